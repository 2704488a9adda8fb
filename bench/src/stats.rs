//! The statistics, all of them: medians, and bootstrap intervals of medians and of ratios.
//!
//! A few samples of a time are not normally distributed: they have a floor and a tail. So nothing here takes a mean
//! or a standard deviation. An estimate is a median; its uncertainty comes from the samples themselves, by drawing from
//! them with replacement (the percentile bootstrap). Guest and host are compared within a round, where both saw the
//! same machine: a slow minute then moves both, and the ratio stays.
//!
//! What few samples cannot give is not invented: with n samples no interval of this kind reaches beyond the least and
//! the greatest of them, which hold the true median with a probability of 1 - 2^(1-n) at most: 75 % for three samples,
//! 94 % for five. One sample has no interval at all.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// The confidence of the intervals in reports.
pub const CONFIDENCE: f64 = 0.95;
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
    let (mut draw_of, mut draw_by) = (vec![0.0; of.len()], vec![0.0; by.len()]);
    let mut rng = Pcg64Mcg::seed_from_u64(SEED);
    let resampled = (0..RESAMPLES)
        .map(|_| resample(of, &mut draw_of, &mut rng) / resample(by, &mut draw_by, &mut rng))
        .filter(|ratio| ratio.is_finite())
        .collect();
    Some(interval(resampled, mid, confidence, of.len().min(by.len())))
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

/// The positions of samples far from the others: a modified z-score (by the median absolute deviation) above 3.5, as
/// Iglewicz and Hoaglin propose. They are reported, never removed.
pub fn outliers(values: &[f64]) -> Vec<usize> {
    let Some(mid) = median(values) else { return Vec::new() };
    let deviations: Vec<f64> = values.iter().map(|v| (v - mid).abs()).collect();
    // When most samples are alike to the clock's tick, a deviation of 1 % of the median is the least that is far.
    let spread = median(&deviations).unwrap_or(0.0).max(mid.abs() * 0.01 / 3.5 * 0.6745);
    if values.len() < 4 || spread <= 0.0 {
        return Vec::new();
    }
    (0..values.len()).filter(|&i| 0.6745 * deviations[i] / spread > 3.5).collect()
}

/// The geometric mean: what many ratios come to.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logs: Vec<f64> = values.iter().filter(|v| **v > 0.0).map(|v| v.ln()).collect();
    (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
}
