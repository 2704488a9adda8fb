//! Two processes that exchange bytes, by whatever connects them.

use crate::children::{Child, Line};
use crate::timing::each;
use crate::{Report, Setting};
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::time::Instant;

const CHUNK: usize = 64 << 10;

pub fn latency(name: &str, setting: &Setting, report: &mut Report, ends: (Line, Line)) -> Result<()> {
    let (child, mut line) = Child::partner(ends, |mut line| setting.pin(1).and_then(|()| line.answer()))?;
    report.measure(
        name,
        setting.effort(),
        each(|| {
            ensure!(line.ask(41)? == 42, "the answer is wrong");
            Ok(())
        }),
    )?;
    drop(line);
    child.wait()
}

/// The reader tells when it has them all, so the time is that of bytes that have arrived.
pub fn bandwidth(name: &str, setting: &Setting, report: &mut Report, ends: (Line, Line)) -> Result<()> {
    let (child, mut line) = Child::partner(ends, |line| setting.pin(1).and_then(|()| swallow(line)))?;
    let mut chunk = vec![0u8; CHUNK];
    report.bandwidth(name, CHUNK, setting.effort(), |n| {
        let start = Instant::now();
        line.to.write_all(&n.to_ne_bytes())?;
        for i in 0..n {
            chunk[0] = i as u8;
            line.to.write_all(&chunk).context("cannot send")?;
        }
        let mut wrong = [1];
        line.from.read_exact(&mut wrong).context("no answer")?;
        ensure!(wrong[0] == 0, "bytes arrived changed");
        Ok(start.elapsed())
    })?;
    drop(line);
    child.wait()
}

/// Reads as many chunks as each header says, and answers with whether one was wrong.
fn swallow(mut line: Line) -> Result<()> {
    let mut chunk = vec![0u8; CHUNK];
    loop {
        let mut header = [0; 8];
        if line.from.read(&mut header[..1])? == 0 {
            return Ok(());
        }
        line.from.read_exact(&mut header[1..])?;
        let mut wrong = 0;
        for i in 0..u64::from_ne_bytes(header) {
            line.from.read_exact(&mut chunk).context("a chunk is missing")?;
            wrong |= u8::from(chunk[0] != i as u8 || chunk[CHUNK - 1] != 0);
        }
        line.to.write_all(&[wrong])?;
    }
}
