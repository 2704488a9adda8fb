//! Whether the machine was quiet enough to believe it.

use crate::schema::{HOST, Results};
use crate::series::{Key, series};
use crate::stats::{median, outliers};

/// One sample far from the others of its kind.
pub struct Outlier {
    pub key: Key,
    pub runner: String,
    pub round: u32,
    pub value: f64,
    pub median: f64,
}

/// What a reader should know of the machine's noise.
#[derive(Default)]
pub struct Noise {
    /// The mean part of the measuring CPUs that others used when we did nothing.
    pub busy: f64,
    /// The mean part of the time that the hypervisor took.
    pub stolen: f64,
    /// The median over the host's series of the median deviation from the median.
    pub host_spread: f64,
    pub outliers: Vec<Outlier>,
    pub values: usize,
}

pub fn noise(results: &Results) -> Noise {
    let samples: Vec<_> = results.samples.iter().filter(|sample| sample.seconds > 0.0).collect();
    let mean = |f: &dyn Fn(&crate::schema::Noise) -> f64| {
        samples.iter().map(|sample| f(&sample.noise)).sum::<f64>() / samples.len().max(1) as f64
    };
    let mut noise = Noise { busy: mean(&|n| n.busy_before), stolen: mean(&|n| n.stolen), ..Noise::default() };
    let mut spreads = Vec::new();
    for series in series(results) {
        for (runner, pairs) in &series.values {
            let values: Vec<f64> = pairs.iter().map(|(_, value)| *value).collect();
            noise.values += values.len();
            let mid = median(&values).unwrap_or(0.0);
            if *runner == HOST && values.len() > 1 && mid > 0.0 {
                let deviations: Vec<f64> = values.iter().map(|v| (v - mid).abs() / mid).collect();
                spreads.extend(median(&deviations));
            }
            noise.outliers.extend(outliers(&values).into_iter().map(|at| Outlier {
                key: series.key.clone(),
                runner: runner.clone(),
                round: pairs[at].0,
                value: values[at],
                median: mid,
            }));
        }
    }
    noise.host_spread = median(&spreads).unwrap_or(0.0);
    noise
}

impl Noise {
    pub fn is_noisy(&self) -> bool {
        self.busy > 0.05 || self.stolen > 0.02 || self.host_spread > 0.05
    }
}

/// Lines for the end of a run.
pub fn remarks(results: &Results) -> Vec<String> {
    let noise = noise(results);
    let mut lines = Vec::new();
    if noise.is_noisy() {
        lines.push(format!(
            "noisy machine: others used {:.0} % of the CPUs between samples, {:.1} % was stolen by the hypervisor, the host's \
             own samples spread by {:.1} %",
            noise.busy * 100.0,
            noise.stolen * 100.0,
            noise.host_spread * 100.0
        ));
    }
    if !noise.outliers.is_empty() {
        lines.push(format!(
            "{} of {} values are far from the others of their kind (kept, and listed in the report)",
            noise.outliers.len(),
            noise.values
        ));
    }
    lines
}
