//! Calibrated loops: an operation may take 20 ns on the host and milliseconds in a guest, and
//! either must be repeated often enough for the clock, and not for ever.
//!
//! As in lmbench: first find how many operations fill a window of time, then run several such
//! batches. The value is the median of the batches, each batch's mean is told too. Clocks are the
//! ones that the workload sees.

use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub batches: u32,
    /// How long a batch is to take.
    pub window: Duration,
}

impl Effort {
    /// Whether it runs, not how fast.
    pub const SMOKE: Effort = Effort { batches: 3, window: Duration::from_millis(3) };
    pub const QUICK: Effort = Effort { batches: 7, window: Duration::from_millis(15) };
    pub const FULL: Effort = Effort { batches: 15, window: Duration::from_millis(60) };
}

/// Nanoseconds of one operation.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The mean of each batch, in the order in which they ran.
    pub batches: Vec<f64>,
    /// Operations in all of them together.
    pub n: u64,
}

impl Measured {
    pub fn median(&self) -> f64 {
        let mut sorted = self.batches.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() % 2 {
            0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        }
    }
}

/// Measures an operation. `batch` performs it as often as it is told and returns how long that
/// took, so that it can leave out what does not belong to it.
pub fn measure(effort: Effort, mut batch: impl FnMut(u64) -> Result<Duration>) -> Result<Measured> {
    let window = effort.window.as_secs_f64();
    // The first one finds caches cold and pages missing.
    batch(1)?;
    let mut n = 1u64;
    let mut took = batch(n)?.as_secs_f64();
    loop {
        if took >= window / 2.0 {
            // Perhaps it was only disturbed.
            took = took.min(batch(n)?.as_secs_f64());
        }
        if took >= window / 2.0 {
            break;
        }
        // A guess from a short run is a bad one: at most ten times as many.
        let wanted = (window / took.max(1e-9) * n as f64).min(n as f64 * 10.0);
        n = (wanted as u64).max(n + 1);
        took = batch(n)?.as_secs_f64();
    }
    // What takes many windows by itself is not worth as many batches.
    let batches = if took > 2.0 * window { effort.batches.min(3) } else { effort.batches };
    let mut measured = Measured { batches: Vec::new(), n: n * u64::from(batches) };
    for _ in 0..batches {
        let took = batch(n)?;
        ensure!(!took.is_zero(), "the clock did not move during {n} operations");
        measured.batches.push(took.as_nanos() as f64 / n as f64);
    }
    Ok(measured)
}

/// A batch of an operation that is all that the loop does.
pub fn each(mut operation: impl FnMut() -> Result<()>) -> impl FnMut(u64) -> Result<Duration> {
    move |n| {
        let start = Instant::now();
        for _ in 0..n {
            operation()?;
        }
        Ok(start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EFFORT: Effort = Effort { batches: 5, window: Duration::from_millis(10) };

    /// A clock of our own: an operation takes exactly so long.
    fn of(nanoseconds: u64) -> (Measured, u64) {
        let mut calls = 0;
        let measured = measure(EFFORT, |n| {
            calls += n;
            Ok(Duration::from_nanos(n * nanoseconds))
        });
        (measured.unwrap(), calls)
    }

    #[test]
    fn a_batch_fills_the_window_whatever_an_operation_takes() {
        for nanoseconds in [1, 17, 900, 40_000, 3_000_000] {
            let (measured, calls) = of(nanoseconds);
            let batch = measured.n / 5 * nanoseconds;
            assert!((5_000_000..20_000_000).contains(&batch), "{nanoseconds} ns: {batch}");
            assert_eq!(measured.median(), nanoseconds as f64);
            assert!(calls <= measured.n * 2, "finding out took longer than measuring: {calls}");
        }
    }

    #[test]
    fn what_is_slow_is_not_repeated_more_than_needed() {
        let (measured, calls) = of(5_000_000_000);
        assert_eq!((measured.n, calls), (3, 6));
    }

    #[test]
    fn an_error_of_the_operation_is_the_result() {
        assert!(measure(EFFORT, each(|| anyhow::bail!("no"))).is_err());
        assert!(measure(EFFORT, |n| Ok(Duration::from_millis(if n == 1 { 20 } else { 0 }))).is_ok());
    }

    #[test]
    fn the_median_of_batches() {
        let of = |batches: &[f64]| Measured { batches: batches.to_vec(), n: 1 }.median();
        assert_eq!(of(&[3.0, 1.0, 100.0]), 3.0);
        assert_eq!(of(&[4.0, 1.0, 2.0, 100.0]), 3.0);
    }
}
