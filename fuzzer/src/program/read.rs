//! A program from its text.

use super::{FdKind, Field, Kind, Program, Region, Step, Value, Who};
use crate::grammar;
use anyhow::{Context, Result, anyhow, bail};

/// Reads a program; an error has its line.
pub fn parse(text: &str) -> Result<Program> {
    let mut program = Program { kind: Kind::Syscalls, seed: 0, root: false, processes: Vec::new() };
    for (number, line) in text.lines().enumerate() {
        let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
        read_line(&mut program, line).with_context(|| format!("line {}", number + 1))?;
    }
    Ok(program)
}

fn read_line(program: &mut Program, line: &str) -> Result<()> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "" => {}
        "kind" => program.kind = Kind::named(rest).with_context(|| format!("there is no kind '{rest}'"))?,
        "seed" => program.seed = rest.parse().with_context(|| format!("'{rest}' is no seed"))?,
        "user" => program.root = rest == "root",
        "process" => program.processes.push(Vec::new()),
        "thread" => program.processes.last_mut().context("a thread before the first process")?.push(Vec::new()),
        _ => {
            let step = read_step(line)?;
            let thread = program.processes.last_mut().and_then(|process| process.last_mut());
            thread.context("a call before the first thread")?.push(step);
        }
    }
    Ok(())
}

fn read_step(line: &str) -> Result<Step> {
    let (name, rest) = line.split_once('(').with_context(|| format!("'{line}' is no call"))?;
    let call = grammar::named(name).with_context(|| format!("there is no call '{name}'"))?;
    let mut reader = Reader { rest };
    let mut args = Vec::new();
    while !reader.skip(")") {
        args.push(reader.value()?);
        reader.skip(",");
    }
    if args.len() > 6 {
        bail!("{} arguments are too many", args.len());
    }
    Ok(Step { call, args })
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Whether this follows; then it is read.
    fn skip(&mut self, text: &str) -> bool {
        self.rest = self.rest.trim_start();
        let found = self.rest.strip_prefix(text);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// What comes before the next of these characters.
    fn until(&mut self, ends: &[char]) -> &'a str {
        let at = self.rest.find(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(at);
        self.rest = rest;
        word.trim()
    }

    fn value(&mut self) -> Result<Value> {
        if self.skip("\"") {
            let text = self.until(&['"']).to_string();
            self.skip("\"");
            return Ok(Value::Text(text));
        }
        if self.skip("&") {
            return self.data();
        }
        let word = self.until(&[',', ')', '}']);
        let wrong = || anyhow!("'{word}' is no value");
        if let Some(rest) = word.strip_prefix("fd:") {
            let (kind, n) = rest.split_once('.').ok_or_else(wrong)?;
            return Ok(Value::Fd(FdKind::named(kind).ok_or_else(wrong)?, n.parse().map_err(|_| wrong())?));
        }
        if let Some(rest) = word.strip_prefix("out:") {
            return Ok(Value::Out(rest.parse().ok().filter(|&n| n <= MOST_OUT).ok_or_else(wrong)?));
        }
        if let Some(rest) = word.strip_prefix("pid:") {
            return Ok(Value::Who(Who::named(rest).ok_or_else(wrong)?));
        }
        if word.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let at = word.find(['+', '-']).ok_or_else(wrong)?;
            let region = Region::named(&word[..at]).ok_or_else(wrong)?;
            let offset = integer(&word[at + 1..]).ok_or_else(wrong)? as i64;
            let offset = if word[at..].starts_with('-') { offset.wrapping_neg() } else { offset };
            return Ok(Value::At(region, offset));
        }
        integer(word).map(Value::Int).ok_or_else(wrong)
    }

    fn data(&mut self) -> Result<Value> {
        let at_border = self.skip("|");
        if !self.skip("{") {
            bail!("a structure without {{");
        }
        let mut fields = Vec::new();
        while !self.skip("}") {
            let width = self.until(&[':']);
            let width = match width {
                "1" | "2" | "4" | "8" => width.parse().unwrap_or(8),
                _ => bail!("'{width}' is no width of a field"),
            };
            self.skip(":");
            fields.push(Field { width, value: self.value()? });
            self.skip(",");
        }
        Ok(Value::Data { fields, at_border })
    }
}

/// What a thread has room for.
const MOST_OUT: u32 = 16 << 10;

fn integer(text: &str) -> Option<u64> {
    match (text.strip_prefix("0x"), text.strip_prefix('-')) {
        (Some(digits), _) => u64::from_str_radix(digits, 16).ok(),
        (_, Some(digits)) => digits.parse::<u64>().ok().map(u64::wrapping_neg),
        _ => text.parse().ok(),
    }
}
