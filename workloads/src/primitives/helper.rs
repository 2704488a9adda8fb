//! Children that primitives measure with.

use super::{Batch, Offered, Unavailable};
use crate::children::{Child, Line, die_with};
use crate::timing::each;
use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::time::Duration;

/// Says of a child that it is set up; otherwise it says why not.
const READY: u8 = 0;

/// Forks a child that sets something up and goes on with it, and dies with us. What it cannot set
/// up the host does not have.
pub fn start<T>(
    line: (Line, Line),
    set_up: impl FnOnce() -> Result<T>,
    work: impl FnOnce(T, Line) -> Result<()>,
) -> Result<Offered<(Child, Line)>> {
    let parent = Pid::this();
    let (child, mut line) = Child::partner(line, |mut line| {
        die_with(parent)?;
        match set_up() {
            Ok(made) => {
                line.to.write_all(&[READY])?;
                work(made, line)
            }
            Err(reason) => Ok(line.to.write_all(format!("{reason:#}").as_bytes())?),
        }
    })?;
    let mut said = [0; 1];
    line.from.read_exact(&mut said).context("a child ended before it was set up")?;
    if said == [READY] {
        return Ok(Ok((child, line)));
    }
    let mut reason = said.to_vec();
    line.from.read_to_end(&mut reason)?;
    Ok(Err(Unavailable(String::from_utf8_lossy(&reason).into_owned())))
}

/// An operation that a child performs, and measures, by itself: what is set up for it would stay
/// with the process.
pub fn alone(set_up: impl FnOnce() -> Result<()>, operation: impl FnMut() -> Result<()>) -> Result<Offered> {
    let work = |(), mut line: Line| {
        let mut batch = each(operation);
        let mut n = [0; 8];
        while line.from.read_exact(&mut n).is_ok() {
            let took = batch(u64::from_ne_bytes(n))?;
            line.to.write_all(&(took.as_nanos() as u64).to_ne_bytes())?;
        }
        Ok(())
    };
    Ok(start(Line::pipes()?, set_up, work)?.map(|(child, mut line)| -> Batch {
        Box::new(move |n| {
            // It lives as long as we ask.
            let _ = &child;
            let mut took = [0; 8];
            line.to.write_all(&n.to_ne_bytes()).context("cannot ask")?;
            line.from.read_exact(&mut took).context("no answer")?;
            Ok(Duration::from_nanos(u64::from_ne_bytes(took)))
        })
    }))
}

/// What a caller and its supervisor hand over, as either side checks it: each call's argument is
/// the answer to the one before, and the answer is one more.
#[derive(Default)]
pub struct Answers(u64);

impl Answers {
    /// The answer to a call with this argument.
    pub fn next(&mut self, argument: u64) -> Result<u64> {
        ensure!(argument == self.0, "the last answer was {}, and {argument} arrived", self.0);
        self.0 += 1;
        Ok(self.0)
    }
}
