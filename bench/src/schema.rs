//! The results of a run as they are kept: `results.json`, version 1 (docs/results-schema.md tells
//! every field).
//!
//! A results file outlives the program that wrote it. So it says of what form it is, older forms
//! are read as long as they can be, and a newer one is refused rather than misunderstood. Names
//! that a later harness may not know any more (workloads, metrics, models) are plain text here: a
//! report of an old file needs nothing but the file.

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What the file's field `schema` says.
pub const SCHEMA: &str = "umlab-results";
/// The version that is written.
pub const VERSION: u32 = 1;

/// The name of the runner that all others are compared with.
pub const HOST: &str = "host";
/// The round that warms caches and tells what a right result is; it is kept and never counted.
pub const WARM_UP: u32 = 0;

/// What a run is: everything but its samples.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Head {
    pub schema: String,
    pub version: u32,
    pub plan: Plan,
    pub environment: Environment,
}

/// A whole results file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    #[serde(flatten)]
    pub head: Head,
    /// Whether the run came to its end.
    pub finished: bool,
    pub samples: Vec<Sample>,
}

/// What was to be measured.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Plan {
    /// `quick`, `default` or `full`.
    pub profile: String,
    pub rounds: u32,
    /// Seconds after which no further sample begins.
    pub budget: f64,
    /// Processes that spin on each of the measured CPUs while a sample runs.
    #[serde(default, skip_serializing_if = "is_none")]
    pub neighbours: u32,
    /// The source tree that kernel-build builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_tree: Option<String>,
    pub runners: Vec<RunnerInfo>,
    /// What was not measured because this host cannot run it, and why.
    pub absent: Vec<Absent>,
    pub workloads: Vec<WorkloadInfo>,
}

// The signature is serde's.
fn is_none(number: &u32) -> bool {
    *number == 0
}

impl Plan {
    /// The neighbours in words, where there are any.
    pub fn beside(&self) -> Option<String> {
        match self.neighbours {
            0 => None,
            1 => Some("1 neighbour on each CPU".into()),
            n => Some(format!("{n} neighbours on each CPU")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Host,
    Model,
    Peer,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct RunnerInfo {
    pub name: String,
    pub kind: Kind,
    pub description: String,
    /// The most CPUs that it can use; none: as many as there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_cpus: Option<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Absent {
    pub name: String,
    pub reason: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct WorkloadInfo {
    pub name: String,
    pub group: String,
    pub summary: String,
    /// What is done, exactly.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub definition: String,
    /// What a reader of its figures has to know, where they are not what one would expect.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remark: String,
    pub size: String,
    /// The numbers of CPUs (and jobs) it is measured with.
    pub cpus: Vec<u32>,
    /// Only on the host: there is nothing to compare.
    #[serde(default)]
    pub host_only: bool,
    /// Seconds after which a sample counts as hanging, or four times the host's warm-up when that
    /// is more.
    pub limit: f64,
}

/// The machine and what was measured on it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct Environment {
    pub started: String,
    pub umlab_version: String,
    pub commit: String,
    pub cpu: String,
    pub cpus: u32,
    /// The host CPUs that were used, in the order in which they are taken.
    pub pinned: Vec<u32>,
    pub memory_bytes: u64,
    pub kernel: String,
    pub distribution: String,
    /// Virtual machine or container technology, where one can be seen.
    #[serde(default)]
    pub virtualization: String,
    #[serde(default)]
    pub governor: String,
    pub mitigations: BTreeMap<String, String>,
    /// Programs that matter for the workloads, with their versions.
    pub versions: BTreeMap<String, String>,
    pub load_at_start: f64,
    /// What must be known of these figures before any of them is read: `emulated` where the
    /// processor is a program, so that times mean nothing and only ratios do; `counted` where its
    /// clock counts instructions, too. Empty on an ordinary machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
}

/// The label of a machine whose processor is emulated.
pub const EMULATED: &str = "emulated";
/// The label of an emulated machine whose clock goes on by so much for each instruction.
pub const COUNTED: &str = "counted";

impl Environment {
    pub fn is_emulated(&self) -> bool {
        self.label == EMULATED || self.is_counted()
    }

    pub fn is_counted(&self) -> bool {
        self.label == COUNTED
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Ok,
    /// It ended, and its result was not the host's.
    Wrong,
    /// It ended with an error, or without telling its result.
    Failed,
    /// It was ended at its time limit.
    Timeout,
    /// It was not run: the time of the whole run was used up, or it hung in an earlier round.
    Skipped,
}

/// One workload, run once.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Sample {
    pub round: u32,
    pub runner: String,
    pub workload: String,
    pub cpus: u32,
    pub started: String,
    /// From the start of the runner's process to its end, by the host's clock.
    pub seconds: f64,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last lines of what it said on standard error, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Phases, by the host's clock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// What the workload measured itself, by the clock it sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What must be as on the host.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<String, String>,
    /// The guest's own counters (`umlab run --stats`).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "counters")]
    pub counters: Option<Value>,
    #[serde(default)]
    pub cpu_time: CpuTime,
    #[serde(default)]
    pub noise: Noise,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Phase {
    pub name: String,
    pub seconds: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Metric {
    pub name: String,
    pub value: f64,
    pub unit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// The batches that the value is the median of, in the same unit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batches: Vec<f64>,
}

/// A part of a workload that was left out, as what a machine has too little memory for.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct LeftOut {
    pub name: String,
    pub reason: String,
}

/// CPU seconds, and page faults, of the runner's process and of the children that it waited for.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct CpuTime {
    pub user: f64,
    pub system: f64,
    /// Page faults that the host answered without a disk; not known of earlier results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<u64>,
}

/// What else the machine did.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct Noise {
    /// The part of the measuring CPUs that somebody else used just before the sample, when we did
    /// nothing.
    pub busy_before: f64,
    /// The part of the sample's time in which the hypervisor gave our CPUs to others.
    pub stolen: f64,
}

impl Sample {
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// What it takes of a run's time, in seconds: its own, and what comes between two samples.
    pub fn cost(&self) -> f64 {
        self.seconds + 0.1
    }
}

impl Results {
    /// What the samples have taken of the run's time until now.
    pub fn seconds(&self) -> f64 {
        self.samples.iter().map(Sample::cost).sum()
    }

    /// The samples that count: right ones, after the warm-up.
    pub fn counted(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|sample| sample.is_ok() && sample.round != WARM_UP)
    }

    pub fn runner(&self, name: &str) -> Option<&RunnerInfo> {
        self.head.plan.runners.iter().find(|runner| runner.name == name)
    }

    pub fn workload(&self, name: &str) -> Option<&WorkloadInfo> {
        self.head.plan.workloads.iter().find(|workload| workload.name == name)
    }
}

/// Names that a model's counters had in earlier results, and what they are called now.
const RENAMED: &[(&str, &str)] = &[("jail_mprotects", "protection_changes"), ("jail_remaps", "protection_remaps")];

/// Counters by the names that they have now.
fn counters<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<Value>, D::Error> {
    let mut counters = Option::<Value>::deserialize(from)?;
    if let Some(of_model) = counters.as_mut().and_then(|all| all.get_mut("model_counters")?.as_object_mut()) {
        for (before, now) in RENAMED {
            if let Some(count) = of_model.remove(*before) {
                of_model.insert((*now).into(), count);
            }
        }
    }
    Ok(counters)
}

/// Reads a results file of any version that is understood. The error is one line.
pub fn parse(text: &str) -> Result<Results> {
    let value = json(text)?;
    match version(&value)? {
        0 => crate::schema_v0::convert(&value),
        _ => serde_json::from_value(value).with_context(|| format!("not a results file of version {VERSION}")),
    }
}

/// Reads a run's head, as it lies beside the journal of a run that goes on.
pub fn parse_head(text: &str) -> Result<Head> {
    let value = json(text)?;
    match version(&value)? {
        0 => Err(anyhow!("not the head of a run")),
        _ => serde_json::from_value(value).with_context(|| format!("not a run's head of version {VERSION}")),
    }
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|e| match e.classify() {
        serde_json::error::Category::Eof => anyhow!("cut short: it ends in line {} before its JSON does", e.line()),
        _ => anyhow!("not JSON: {e}"),
    })
}

fn version(value: &Value) -> Result<u32> {
    if crate::schema_v0::is(value) {
        return Ok(0);
    }
    if value.get("schema").and_then(Value::as_str) != Some(SCHEMA) {
        bail!("not umlab's results: its field \"schema\" is not \"{SCHEMA}\"");
    }
    match value.get("version").and_then(Value::as_u64) {
        Some(n) if n == u64::from(VERSION) => Ok(VERSION),
        Some(n) if n > u64::from(VERSION) => {
            Err(anyhow!("of version {n}, newer than this program, which reads up to {VERSION}: use a newer umlab"))
        }
        _ => Err(anyhow!("its field \"version\" is not a version number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_earlier_results_have_their_names_of_now() {
        let mut sample = serde_json::to_value(crate::testing::sample(1, "tt-jail", 1.0)).unwrap();
        sample["counters"] = serde_json::json!({"model_counters": {"jail_remaps": 3, "handovers": 1}});
        let read: Sample = serde_json::from_value(sample).unwrap();
        let expected = serde_json::json!({"model_counters": {"protection_remaps": 3, "handovers": 1}});
        assert_eq!(read.counters, Some(expected));
    }
}
