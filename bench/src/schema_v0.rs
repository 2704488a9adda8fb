//! Version 0: what `scripts/bench` wrote before there was a harness. One model beside the host,
//! four measurements.

use crate::schema::*;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct File {
    time: String,
    commit: String,
    model: String,
    machine: Machine,
    measurements: Vec<Measurement>,
}

#[derive(Deserialize)]
struct Machine {
    kernel: String,
    cpu: String,
    cpus: u32,
}

#[derive(Deserialize)]
struct Measurement {
    name: String,
    cpus: u32,
    side: String,
    unit: String,
    samples: Vec<f64>,
}

/// It had no field that says what it is; this is what no other version has.
pub fn is(value: &Value) -> bool {
    value.get("schema").is_none() && value.get("measurements").is_some_and(Value::is_array)
}

pub fn convert(value: &Value) -> Result<Results> {
    let file = File::deserialize(value).context("not a results file of version 0")?;
    // Its default model had no name of its own in the file, and skas was the only one there was.
    let model = if file.model == "default" { "skas".to_string() } else { file.model };
    let mut samples = Vec::new();
    let mut workloads: Vec<WorkloadInfo> = Vec::new();
    for measurement in &file.measurements {
        if measurement.unit != "us" {
            bail!("not a results file of version 0: unknown unit '{}'", measurement.unit);
        }
        let (workload, group, phase, summary) = match measurement.name.as_str() {
            "prepare" | "lib" | "full" => {
                ("kernel-build", "kernel-build", measurement.name.as_str(), "tinyconfig of Linux 6.1")
            }
            "fork" => ("shell-loop", "fork-exec", "loop", "300 times fork and exec of /bin/true in bash"),
            "start" => ("start-to-end", "fork-exec", "", "/bin/true, from the runner's start to its end"),
            other => bail!("not a results file of version 0: unknown measurement '{other}'"),
        };
        let runner = if measurement.side == "host" { HOST.to_string() } else { model.clone() };
        match workloads.iter_mut().find(|w| w.name == workload) {
            Some(known) if known.cpus.contains(&measurement.cpus) => {}
            Some(known) => known.cpus.push(measurement.cpus),
            None => workloads.push(WorkloadInfo {
                name: workload.into(),
                group: group.into(),
                summary: summary.into(),
                definition: String::new(),
                remark: String::new(),
                size: if measurement.name == "full" { "full".into() } else { "quick".into() },
                cpus: vec![measurement.cpus],
                host_only: false,
                limit: 3600.0,
            }),
        }
        for (at, us) in measurement.samples.iter().enumerate() {
            let seconds = us / 1e6;
            let round = at as u32 + 1;
            let phases = match phase {
                "" => Vec::new(),
                name => vec![Phase { name: name.into(), seconds }],
            };
            let same = |s: &&mut Sample| {
                s.round == round && s.runner == runner && s.workload == workload && s.cpus == measurement.cpus
            };
            // The phases of one build were separate measurements.
            match samples.iter_mut().find(same) {
                Some(sample) => {
                    sample.seconds += seconds;
                    sample.phases.extend(phases);
                }
                None => samples.push(Sample {
                    round,
                    runner: runner.clone(),
                    workload: workload.into(),
                    cpus: measurement.cpus,
                    started: file.time.clone(),
                    seconds,
                    outcome: Outcome::Ok,
                    reason: None,
                    log: None,
                    phases,
                    metrics: Vec::new(),
                    left_out: Vec::new(),
                    checks: Default::default(),
                    counters: None,
                    cpu_time: CpuTime::default(),
                    noise: Noise::default(),
                }),
            }
        }
    }
    let rounds = samples.iter().map(|s| s.round).max().unwrap_or(0);
    let info = |name: &str, kind, description: &str| RunnerInfo {
        name: name.into(),
        kind,
        description: description.into(),
        most_cpus: None,
    };
    let plan = Plan {
        profile: "default".into(),
        rounds,
        budget: 0.0,
        neighbours: 0,
        kernel_tree: None,
        runners: vec![info(HOST, Kind::Host, "this machine's own kernel"), info(&model, Kind::Model, "")],
        absent: Vec::new(),
        workloads,
    };
    let environment = Environment {
        started: file.time,
        commit: file.commit,
        cpu: file.machine.cpu,
        cpus: file.machine.cpus,
        kernel: file.machine.kernel,
        ..Environment::default()
    };
    let head = Head { schema: SCHEMA.into(), version: VERSION, plan, environment };
    Ok(Results { head, finished: true, samples })
}
