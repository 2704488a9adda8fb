//! The statistics, all of them: medians, and intervals of medians and of ratios.
//!
//! Samples of a time are not normally distributed: they have a floor and a tail. So an estimate is
//! a median, and its uncertainty comes from the samples themselves, by drawing from them with
//! replacement (the percentile bootstrap). Guest and host are compared within a round, where both
//! saw the same machine: a slow minute then moves both, and the ratio stays.
//!
//! Drawing from few samples gives no more than their range, which holds the true median with a
//! probability of 1 - 2^(1-n): 50 % for two, 75 % for three. An interval that says 95 % must reach
//! beyond them, and how far only an assumption can tell. Below [`ENOUGH`] samples we assume that
//! logarithms are normally distributed, as those of ratios and times with many small causes are,
//! and take Student's t: wide for two samples, as it should be. One sample has no interval at all.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The confidence of the intervals in reports.
pub const CONFIDENCE: f64 = 0.95;
/// So many samples the bootstrap needs: the range of six holds the median with 97 %.
pub const ENOUGH: usize = 6;
const RESAMPLES: usize = 4000;
/// Fixed, so that the same samples give the same report.
const SEED: u64 = 0x756d_6c61_6273_6b61;

/// A median with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub low: f64,
    pub mid: f64,
    pub high: f64,
    /// How many samples it stands on.
    pub n: usize,
}

impl Estimate {
    /// Whether there is an interval at all.
    pub fn has_interval(&self) -> bool {
        self.n > 1
    }

    pub fn map(self, f: impl Fn(f64) -> f64) -> Estimate {
        let (a, b) = (f(self.low), f(self.high));
        Estimate { low: a.min(b), mid: f(self.mid), high: a.max(b), n: self.n }
    }
}

/// The middle value, or the mean of the two in the middle. None of an empty list.
pub fn median(values: &[f64]) -> Option<f64> {
    median_of(&mut values.to_vec())
}

fn median_of(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => None,
        n if n % 2 == 1 => Some(values[n / 2]),
        _ => Some((values[n / 2 - 1] + values[n / 2]) / 2.0),
    }
}

/// The median of the samples, with an interval of the given confidence.
pub fn median_estimate(values: &[f64], confidence: f64) -> Option<Estimate> {
    let mid = median(values)?;
    if let Some(logs) = Logs::of_few(values) {
        return Some(student(mid, confidence, values.len(), logs));
    }
    let mut draw = vec![0.0; values.len()];
    let mut rng = Pcg64Mcg::seed_from_u64(SEED);
    let resampled = (0..RESAMPLES).map(|_| resample(values, &mut draw, &mut rng)).collect();
    Some(interval(resampled, mid, confidence, values.len()))
}

/// The median of the rounds' ratios, `(numerator, denominator)` of one round each.
pub fn ratio_estimate(rounds: &[(f64, f64)], confidence: f64) -> Option<Estimate> {
    let ratios: Vec<f64> = rounds.iter().filter(|(_, by)| *by > 0.0).map(|(of, by)| of / by).collect();
    median_estimate(&ratios, confidence)
}

/// The ratio of the medians of two independent sets of samples, `of` by `by`.
pub fn change_estimate(of: &[f64], by: &[f64], confidence: f64) -> Option<Estimate> {
    let mid = median(of)? / median(by).filter(|m| *m > 0.0)?;
    let n = of.len().min(by.len());
    if let (Some(a), Some(b)) = (Logs::of_few(of), Logs::of_few(by)) {
        return Some(student(mid, confidence, n, a.minus(&b)));
    }
    let (mut draw_of, mut draw_by) = (vec![0.0; of.len()], vec![0.0; by.len()]);
    let mut rng = Pcg64Mcg::seed_from_u64(SEED);
    let resampled = (0..RESAMPLES)
        .map(|_| resample(of, &mut draw_of, &mut rng) / resample(by, &mut draw_by, &mut rng))
        .filter(|ratio| ratio.is_finite())
        .collect();
    Some(interval(resampled, mid, confidence, n))
}

/// The mean of samples' logarithms, as far as Student's t needs it.
struct Logs {
    /// One of the samples, and how far the mean is from its logarithm: so equal samples have a mean
    /// without rounding.
    base: f64,
    mean: f64,
    /// The square of the mean's standard error.
    error2: f64,
    freedom: f64,
}

impl Logs {
    /// Of samples that are too few for the bootstrap, and more than one. Logarithms need values
    /// above nothing.
    fn of_few(values: &[f64]) -> Option<Logs> {
        if !(2..ENOUGH).contains(&values.len()) || values.iter().any(|v| *v <= 0.0) {
            return None;
        }
        let n = values.len() as f64;
        let base = values[0];
        let mean = values.iter().map(|v| (v / base).ln()).sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| ((v / base).ln() - mean).powi(2)).sum();
        Some(Logs { base, mean, error2: squares / (n - 1.0) / n, freedom: n - 1.0 })
    }

    /// The difference of two means whose samples need not scatter alike, after Welch.
    fn minus(&self, other: &Logs) -> Logs {
        let error2 = self.error2 + other.error2;
        let part = |logs: &Logs| logs.error2 * logs.error2 / logs.freedom;
        let freedom = error2 * error2 / (part(self) + part(other));
        // Without any scatter the freedom does not matter.
        let freedom = if freedom.is_finite() { freedom } else { 1.0 };
        Logs { base: self.base / other.base, mean: self.mean - other.mean, error2, freedom }
    }
}

/// A median with the interval of the mean of logarithms, widened where the median lies outside of
/// it.
fn student(mid: f64, confidence: f64, n: usize, logs: Logs) -> Estimate {
    let t = StudentsT::new(0.0, 1.0, logs.freedom).map_or(f64::INFINITY, |t| t.inverse_cdf(0.5 + confidence / 2.0));
    let reach = if logs.error2 > 0.0 { t * logs.error2.sqrt() } else { 0.0 };
    let end = |reach: f64| logs.base * (logs.mean + reach).exp();
    Estimate { low: end(-reach).min(mid), mid, high: end(reach).max(mid), n }
}

/// The median of as many values, drawn with replacement.
fn resample(values: &[f64], draw: &mut [f64], rng: &mut Pcg64Mcg) -> f64 {
    for slot in draw.iter_mut() {
        *slot = values[rng.random_range(0..values.len())];
    }
    median_of(draw).unwrap_or(f64::NAN)
}

fn interval(mut resampled: Vec<f64>, mid: f64, confidence: f64, n: usize) -> Estimate {
    resampled.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    let at = |part: f64| {
        let last = resampled.len().saturating_sub(1);
        resampled.get((part * last as f64).round() as usize).copied().unwrap_or(mid)
    };
    Estimate { low: at(tail).min(mid), mid, high: at(1.0 - tail).max(mid), n }
}

/// The positions of samples far from the others: a modified z-score (by the median absolute
/// deviation) above 3.5, as Iglewicz and Hoaglin propose. They are reported, never removed.
pub fn outliers(values: &[f64]) -> Vec<usize> {
    let Some(mid) = median(values) else { return Vec::new() };
    let deviations: Vec<f64> = values.iter().map(|v| (v - mid).abs()).collect();
    // When most samples are alike to the clock's tick, a deviation of 1 % of the median is the
    // least that is far.
    let spread = median(&deviations).unwrap_or(0.0).max(mid.abs() * 0.01 / 3.5 * 0.6745);
    if values.len() < 4 || spread <= 0.0 {
        return Vec::new();
    }
    (0..values.len()).filter(|&i| 0.6745 * deviations[i] / spread > 3.5).collect()
}
