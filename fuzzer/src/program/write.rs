//! A program as text.

use super::{Program, Step, Value};
use std::fmt::{Formatter, Result};

pub fn program(program: &Program, f: &mut Formatter) -> Result {
    writeln!(f, "kind {}", program.kind.name())?;
    writeln!(f, "seed {}", program.seed)?;
    writeln!(f, "user {}", if program.root { "root" } else { "nobody" })?;
    for process in &program.processes {
        writeln!(f, "process")?;
        for thread in process {
            writeln!(f, " thread")?;
            for step in thread {
                writeln!(f, "  {step}")?;
            }
        }
    }
    Ok(())
}

pub fn step(step: &Step, f: &mut Formatter) -> Result {
    write!(f, "{}(", step.call.name)?;
    for (i, value) in step.args.iter().enumerate() {
        if i > 0 {
            write!(f, ", ")?;
        }
        write_value(value, f)?;
    }
    write!(f, ")")
}

fn write_value(value: &Value, f: &mut Formatter) -> Result {
    match value {
        Value::Int(n) => number(*n, f),
        Value::Fd(kind, n) => write!(f, "fd:{}.{n}", kind.name()),
        Value::At(region, offset) if *offset < 0 => write!(f, "{}-{:#x}", region.name(), offset.unsigned_abs()),
        Value::At(region, offset) => write!(f, "{}+{offset:#x}", region.name()),
        Value::Text(text) => write!(f, "\"{text}\""),
        Value::Out(len) => write!(f, "out:{len}"),
        Value::Who(who) => write!(f, "pid:{}", who.name()),
        Value::Data { fields, at_border } => {
            write!(f, "{}{{", if *at_border { "&|" } else { "&" })?;
            for (i, field) in fields.iter().enumerate() {
                write!(f, "{}{}:", if i > 0 { ", " } else { "" }, field.width)?;
                write_value(&field.value, f)?;
            }
            write!(f, "}}")
        }
    }
}

/// Small numbers and small negative ones as people write them, others in hexadecimal digits.
fn number(n: u64, f: &mut Formatter) -> Result {
    match n as i64 {
        small @ -4096..=99 => write!(f, "{small}"),
        _ => write!(f, "{n:#x}"),
    }
}
