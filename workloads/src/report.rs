//! Writes what a workload reports while it runs: the lines of [`crate::protocol`].

use crate::protocol::Line;
use crate::timing::{self, Effort};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::time::Duration;

pub struct Report<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Report<'a> {
    pub fn new(out: &'a mut dyn Write) -> Report<'a> {
        Report { out }
    }

    fn line(&mut self, line: Line) -> Result<()> {
        // In one write, so that nothing is left in a buffer that a forked child has too.
        let mut text = serde_json::to_string(&line).context("cannot put the report into JSON")?;
        text.push('\n');
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).context("cannot write the report")
    }

    /// A phase: the reader takes its time.
    pub fn phase<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.line(Line::Begin { begin: name.into() })?;
        let value = work()?;
        self.line(Line::End { end: name.into() })?;
        Ok(value)
    }

    /// The time of one operation, see [`timing::measure`].
    pub fn measure(&mut self, name: &str, effort: Effort, batch: impl FnMut(u64) -> Result<Duration>) -> Result<()> {
        self.scaled(name, "ns", effort, batch, |ns| ns)
    }

    /// How many megabytes (10^6 bytes) a second: an operation moves so many bytes.
    pub fn bandwidth(
        &mut self,
        name: &str,
        bytes: usize,
        effort: Effort,
        batch: impl FnMut(u64) -> Result<Duration>,
    ) -> Result<()> {
        self.scaled(name, "MB/s", effort, batch, |ns| bytes as f64 * 1e3 / ns)
    }

    /// A value that is made of the time of one operation.
    pub fn scaled(
        &mut self,
        name: &str,
        unit: &str,
        effort: Effort,
        batch: impl FnMut(u64) -> Result<Duration>,
        value: impl Fn(f64) -> f64,
    ) -> Result<()> {
        let measured = timing::measure(effort, batch).with_context(|| name.to_string())?;
        let batches: Vec<f64> = measured.batches.iter().map(|ns| value(*ns)).collect();
        let value = value(measured.median());
        self.line(Line::Metric { metric: name.into(), unit: unit.into(), value, n: Some(measured.n), batches })
    }

    /// A result that must be the same everywhere.
    pub fn check(&mut self, name: &str, value: impl ToString) -> Result<()> {
        self.line(Line::Check { check: name.into(), value: value.to_string() })
    }

    /// A result that is too long to be told.
    pub fn check_bytes(&mut self, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.check(name, hex(&Sha256::digest(bytes)))
    }

    pub fn skip(&mut self, name: &str, reason: &str) -> Result<()> {
        self.line(Line::Skip { skip: name.into(), reason: reason.into() })
    }

    pub fn done(&mut self) -> Result<()> {
        self.line(Line::Done { done: true })
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the writes: a line must come in one.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_json_and_whole() {
        let mut writes = Writes::default();
        let mut report = Report::new(&mut writes);
        report.phase("one", || Ok(())).unwrap();
        report.check_bytes("sum", "abc").unwrap();
        report.bandwidth("speed", 1000, Effort::SMOKE, |n| Ok(Duration::from_micros(n))).unwrap();
        report.skip("\"quoted\"", "no memory").unwrap();
        report.done().unwrap();
        let lines: Vec<Line> = writes.0.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        assert!(writes.0.iter().all(|line| line.ends_with(b"\n")));
        assert_eq!(lines[0], Line::Begin { begin: "one".into() });
        assert_eq!(lines[1], Line::End { end: "one".into() });
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(lines[2], Line::Check { check: "sum".into(), value: sum.into() });
        assert!(matches!(&lines[3], Line::Metric { value: 1000.0, .. }), "{:?}", lines[3]);
        assert_eq!(lines[4], Line::Skip { skip: "\"quoted\"".into(), reason: "no memory".into() });
        assert_eq!(lines[5], Line::Done { done: true });
    }

    #[test]
    fn a_phase_that_fails_has_no_end() {
        let mut writes = Writes::default();
        let failed = Report::new(&mut writes).phase("one", || -> Result<()> { anyhow::bail!("no") });
        assert!(failed.is_err());
        assert_eq!(writes.0.len(), 1);
    }
}
