//! Small results for the tests of this crate.

use crate::schema::*;

pub fn head() -> Head {
    let runner = |name: &str, kind| RunnerInfo { name: name.into(), kind, description: String::new(), most_cpus: None };
    Head {
        schema: SCHEMA.into(),
        version: VERSION,
        plan: Plan {
            profile: "quick".into(),
            rounds: 5,
            budget: 60.0,
            neighbours: 0,
            kernel_tree: None,
            runners: vec![runner(HOST, Kind::Host), runner("skas", Kind::Model)],
            absent: Vec::new(),
            workloads: vec![WorkloadInfo {
                name: "work".into(),
                group: "micro".into(),
                summary: "some work".into(),
                definition: String::new(),
                remark: String::new(),
                size: "quick".into(),
                cpus: vec![1],
                host_only: false,
                limit: 10.0,
            }],
        },
        environment: Environment { cpu: "a CPU".into(), kernel: "6.1".into(), ..Environment::default() },
    }
}

/// A sample of the workload `work` whose one metric takes so many milliseconds.
pub fn sample(round: u32, runner: &str, ms: f64) -> Sample {
    Sample {
        round,
        runner: runner.into(),
        workload: "work".into(),
        cpus: 1,
        started: "2026-01-01T00:00:00Z".into(),
        seconds: ms / 1e3,
        outcome: Outcome::Ok,
        reason: None,
        log: None,
        phases: Vec::new(),
        metrics: vec![Metric { name: "call".into(), value: ms, unit: "ms".into(), n: Some(100), batches: Vec::new() }],
        left_out: Vec::new(),
        checks: Default::default(),
        counters: None,
        cpu_time: CpuTime::default(),
        noise: Noise::default(),
    }
}
