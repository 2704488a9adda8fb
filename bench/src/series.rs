//! From samples to what is compared: for each workload, metric and number of CPUs the values of
//! every runner, by round.

use crate::schema::{HOST, Results, Sample};
use crate::stats::{Estimate, median_estimate, ratio_estimate};
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub workload: String,
    pub metric: String,
    pub cpus: u32,
}

impl Key {
    /// As people read it: the metric, and the workload before it where the metric does not begin
    /// with what it says.
    pub fn label(&self) -> String {
        let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        let (workload, metric) = (letters(&self.workload), letters(&self.metric));
        let shared = workload.chars().zip(metric.chars()).take_while(|(a, b)| a == b).count();
        let cpus = if self.cpus == 1 { String::new() } else { format!(", {} CPUs", self.cpus) };
        match self.metric.as_str() {
            "" => format!("{}{cpus}", self.workload),
            metric if shared >= workload.len().min(4) => format!("{metric}{cpus}"),
            metric => format!("{}: {metric}{cpus}", self.workload),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Series {
    pub key: Key,
    pub group: String,
    pub unit: String,
    /// By runner, in the order of the plan: round and value.
    pub values: Vec<(String, Vec<(u32, f64)>)>,
}

impl Series {
    pub fn of(&self, runner: &str) -> Option<&[(u32, f64)]> {
        self.values.iter().find(|(name, _)| name == runner).map(|(_, values)| values.as_slice())
    }

    pub fn plain(&self, runner: &str) -> Vec<f64> {
        self.of(runner).unwrap_or_default().iter().map(|(_, value)| *value).collect()
    }

    pub fn estimate(&self, runner: &str, confidence: f64) -> Option<Estimate> {
        median_estimate(&self.plain(runner), confidence)
    }

    /// Whether a greater value is a better one: amounts per time are, times are not.
    pub fn more_is_better(&self) -> bool {
        self.unit.ends_with("/s")
    }

    /// Pairs of values of the same round, oriented so that their ratio is how many times as slow
    /// `of` is as `by`.
    pub fn pairs(&self, of: &str, by: &str) -> Vec<(f64, f64)> {
        let by: BTreeMap<u32, f64> = self.of(by).unwrap_or_default().iter().copied().collect();
        let of = self.of(of).unwrap_or_default();
        let pairs = of.iter().filter_map(|(round, value)| Some((*value, *by.get(round)?)));
        pairs.map(|(of, by)| if self.more_is_better() { (by, of) } else { (of, by) }).collect()
    }

    /// How many times as slow as another runner, from rounds that both were in.
    pub fn times(&self, of: &str, by: &str, confidence: f64) -> Option<Estimate> {
        ratio_estimate(&self.pairs(of, by), confidence)
    }

    pub fn times_host(&self, runner: &str, confidence: f64) -> Option<Estimate> {
        self.times(runner, HOST, confidence)
    }
}

/// A sample's values by metric, with their units.
pub fn values(sample: &Sample) -> Vec<(String, f64, String)> {
    let phases = sample.phases.iter().map(|phase| (phase.name.clone(), phase.seconds, "s".to_string()));
    let metrics = sample.metrics.iter().map(|metric| (metric.name.clone(), metric.value, metric.unit.clone()));
    let mut values: Vec<_> = if sample.metrics.is_empty() { phases.collect() } else { metrics.collect() };
    if values.is_empty() {
        values.push((String::new(), sample.seconds, "s".into()));
    }
    values
}

/// All series, in the order of the plan's workloads and of the metrics as they came.
pub fn series(results: &Results) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for sample in results.counted() {
        for (metric, value, unit) in values(sample) {
            let key = Key { workload: sample.workload.clone(), metric, cpus: sample.cpus };
            let at = all.iter().position(|series| series.key == key).unwrap_or_else(|| {
                let group = results.workload(&key.workload).map_or("other", |w| w.group.as_str()).to_string();
                all.push(Series { key, group, unit, values: Vec::new() });
                all.len() - 1
            });
            let values = &mut all[at].values;
            match values.iter_mut().find(|(name, _)| *name == sample.runner) {
                Some((_, values)) => values.push((sample.round, value)),
                None => values.push((sample.runner.clone(), vec![(sample.round, value)])),
            }
        }
    }
    let place = |name: &str| results.head.plan.workloads.iter().position(|w| w.name == name).unwrap_or(usize::MAX);
    // Stable: metrics stay in the order in which the workload told them.
    all.sort_by_key(|series| (place(&series.key.workload), series.key.cpus));
    all
}
