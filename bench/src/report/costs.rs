//! Where the time goes: the model's counters, times what each thing costs on this host.
//!
//! This is a reckoning, not a profile. What the program itself computes is taken from the host's run of the same workload;
//! what a trap, a mapping or a signal costs is taken from the primitives measured on the host in the same run. What these do
//! not explain is shown as that: the core's own work where it cannot be seen, caches, the scheduler, and mistakes in the unit costs.

use super::claims::primitive;
use crate::chart::{Part, Stack};
use crate::schema::{HOST, Kind, Results, Sample};
use crate::series::Series;
use crate::stats::{CONFIDENCE, median};
use serde_json::Value;

pub const USER: usize = 0;
pub const TRAPS: usize = 1;
pub const SIGNALS: usize = 2;
pub const TRACER: usize = 3;
pub const MAPPING: usize = 4;
pub const CORE: usize = 5;
/// In the order of the stack.
pub const PARTS: [&str; 6] = ["user", "traps", "signals", "tracer", "mapping", "core"];

/// What a counter counts: the part it belongs to, and the primitives (any of these names) that one of it costs.
struct Cost {
    counter: &'static str,
    part: usize,
    primitive: &'static [&'static str],
    times: f64,
}

const fn cost(counter: &'static str, part: usize, primitive: &'static [&'static str], times: f64) -> Cost {
    Cost { counter, part, primitive, times }
}

const STOP: &[&str] = &["ptrace-stop", "ptrace stop", "ptrace"];
const SIGNAL: &[&str] = &["signal-delivery", "signal delivery", "signal"];
const SWITCH: &[&str] = &["process-switch", "process switch"];
const MAP: &[&str] = &["mmap", "mmap-page"];
const PROTECT: &[&str] = &["mprotect", "mprotect-page"];

/// Counters of any model; a model that counts something under one of these names is costed without a change here.
const COSTS: &[Cost] = &[
    cost("syscall_stops", TRAPS, STOP, 1.0),
    cost("fault_stops", TRAPS, STOP, 1.0),
    cost("exception_stops", TRAPS, STOP, 1.0),
    cost("interrupt_stops", TRAPS, STOP, 1.0),
    cost("order_stops", TRACER, STOP, 1.0),
    cost("cancelled_stops", TRACER, STOP, 1.0),
    cost("entry_stops", TRACER, STOP, 1.0),
    cost("leave_stops", TRACER, STOP, 1.0),
    cost("sigreturn_stops", TRACER, STOP, 1.0),
    cost("birth_stops", TRACER, STOP, 1.0),
    cost("kick_stops", TRACER, STOP, 1.0),
    cost("other_stops", TRACER, STOP, 1.0),
    cost("signals_delivered", SIGNALS, SIGNAL, 1.0),
    cost("handovers", TRACER, SWITCH, 1.0),
    cost("maps", MAPPING, MAP, 1.0),
    cost("unmaps", MAPPING, MAP, 1.0),
    cost("protects", MAPPING, PROTECT, 1.0),
    cost("host_mmaps", MAPPING, MAP, 1.0),
    cost("host_munmaps", MAPPING, MAP, 1.0),
    cost("host_mprotects", MAPPING, PROTECT, 1.0),
    cost("jail_mprotects", MAPPING, PROTECT, 1.0),
];

/// One workload, with a bar for each runner that counts.
pub struct Reckoning {
    pub workload: String,
    pub bars: Vec<Stack>,
    /// Where the parts come to more than the whole: the unit costs are too high.
    pub excess: Vec<(String, f64)>,
}

pub struct Reckonings {
    pub list: Vec<Reckoning>,
    /// Primitive, and its cost in seconds.
    pub units: Vec<(String, f64)>,
    /// Counters that nothing here has a cost for.
    pub uncosted: Vec<String>,
}

pub fn reckon(results: &Results, series: &[Series]) -> Reckonings {
    let mut all = Reckonings { list: Vec::new(), units: Vec::new(), uncosted: Vec::new() };
    for cost in COSTS {
        if let Some((name, seconds)) = unit(series, cost.primitive)
            && !all.units.iter().any(|(known, _)| *known == name)
        {
            all.units.push((name, seconds));
        }
    }
    for workload in &results.head.plan.workloads {
        let of = |runner: &str| -> Vec<&Sample> {
            // With several CPUs the parts run at the same time and do not add up to the whole.
            results.counted().filter(|s| s.workload == workload.name && s.runner == runner && s.cpus == 1).collect()
        };
        let host = of(HOST);
        // A loop that is run for so long, not so often, does less where it is slower: its user time is not the host's.
        if !host.iter().all(|s| s.metrics.is_empty() && !s.phases.is_empty()) {
            continue;
        }
        let Some(host_user) = middle(&host, |s| Some(s.cpu_time.user)) else { continue };
        let mut reckoning = Reckoning { workload: workload.name.clone(), bars: Vec::new(), excess: Vec::new() };
        let system = middle(&host, |s| Some(s.cpu_time.system)).unwrap_or(0.0);
        let whole = middle(&host, |s| Some(s.seconds)).unwrap_or(0.0);
        let parts = vec![
            part(USER, host_user),
            Part { name: "kernel".into(), seconds: system, which: Some(6) },
            rest(whole - host_user - system),
        ];
        reckoning.bars.push(Stack { label: HOST.into(), parts });
        for runner in results.head.plan.runners.iter().filter(|runner| runner.kind == Kind::Model) {
            let samples = of(&runner.name);
            if let Some(whole) = middle(&samples, |s| s.counters.as_ref().map(|_| s.seconds)) {
                let (bar, excess) = bar(&runner.name, &samples, whole, host_user, series, &mut all.uncosted);
                reckoning.bars.push(bar);
                if excess > 0.0 {
                    reckoning.excess.push((runner.name.clone(), excess));
                }
            }
        }
        // Nothing to see in a run of a few milliseconds.
        if reckoning.bars.len() > 1 && whole > 0.1 {
            all.list.push(reckoning);
        }
    }
    all.uncosted.sort();
    all.uncosted.dedup();
    all
}

fn bar(
    name: &str,
    samples: &[&Sample],
    whole: f64,
    host_user: f64,
    series: &[Series],
    uncosted: &mut Vec<String>,
) -> (Stack, f64) {
    let mut sums = [0.0; PARTS.len()];
    sums[USER] = host_user;
    let mut counters: Vec<&String> = samples
        .iter()
        .filter_map(|s| s.counters.as_ref()?.get("model_counters")?.as_object())
        .flat_map(|o| o.keys())
        .collect();
    counters.sort();
    counters.dedup();
    for counter in counters {
        let n = middle(samples, |s| {
            s.counters.as_ref()?.get("model_counters")?.get(counter).map(|n| n.as_f64().unwrap_or(0.0))
        });
        let cost = COSTS.iter().find(|cost| cost.counter == counter.as_str());
        match (cost, cost.and_then(|cost| unit(series, cost.primitive)), n) {
            (Some(cost), Some((_, seconds)), Some(n)) => sums[cost.part] += n * seconds * cost.times,
            _ => uncosted.push(counter.clone()),
        }
    }
    // CPU time in user mode of the guest kernel's own process, where the guest's programs run in others.
    let own = |s: &Sample| s.counters.as_ref().and_then(|c| c.get("core_user_seconds")).and_then(Value::as_f64);
    sums[CORE] = middle(samples, own).unwrap_or(0.0);
    let known: f64 = sums.iter().sum();
    let mut parts: Vec<Part> = sums.iter().enumerate().map(|(which, seconds)| part(which, *seconds)).collect();
    parts.push(rest(whole - known));
    (Stack { label: name.into(), parts }, known - whole)
}

fn part(which: usize, seconds: f64) -> Part {
    Part { name: PARTS[which].into(), seconds, which: Some(which) }
}

fn rest(seconds: f64) -> Part {
    Part { name: "not explained".into(), seconds: seconds.max(0.0), which: None }
}

fn middle(samples: &[&Sample], f: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    median(&samples.iter().filter_map(|s| f(s)).collect::<Vec<_>>())
}

/// A primitive's name and cost in seconds.
fn unit(series: &[Series], names: &[&str]) -> Option<(String, f64)> {
    let series = primitive(series, names)?;
    let factor = match series.unit.as_str() {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        _ => return None,
    };
    let name = if series.key.metric.is_empty() { &series.key.workload } else { &series.key.metric };
    Some((name.clone(), series.estimate(HOST, CONFIDENCE)?.mid * factor))
}
