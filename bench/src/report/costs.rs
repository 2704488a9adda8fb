//! Where the time goes: the model's counters, times what each thing costs on this host.
//!
//! This is a reckoning, not a profile. What the program itself computes is taken from the host's
//! run of the same workload, and what all processes of a guest compute beyond that in user mode is
//! the core's. What a trap, a mapping, a fault or a signal costs is taken from the primitives
//! measured on the host in the same run; what a model measured itself needs no such price. What
//! these do not explain is shown as that: work of the host's kernel that nobody counts, waiting,
//! and mistakes in the unit costs.

use super::claims::primitive;
use crate::chart::{Part, Stack};
use crate::schema::{HOST, Kind, Results, Sample};
use crate::series::Series;
use crate::stats::{CONFIDENCE, median};

pub const USER: usize = 0;
pub const TRAPS: usize = 1;
pub const SIGNALS: usize = 2;
pub const TRACER: usize = 3;
pub const MAPPING: usize = 4;
pub const PROTECTION: usize = 5;
pub const CORE: usize = 6;
/// In the order of the stack.
pub const PARTS: [&str; 7] = ["user", "traps", "signals", "tracer", "mapping", "protection", "core"];
/// The host's kernel, in the host's own bar.
const KERNEL: usize = PARTS.len();

/// A page fault that the host's kernel answers: what a touch costs more than a mapping.
const TOUCH: (&[&str], &[&str]) = (&["mmap and touch"], &["mmap", "mmap-page"]);

/// What one of a counter's things costs.
enum Unit {
    /// As much as a primitive, which has any of these names.
    Primitive(&'static [&'static str]),
    /// Half of what one primitive costs more than another.
    HalfOfMore(&'static [&'static str], &'static [&'static str]),
    /// What one primitive costs more than another.
    More(&'static [&'static str], &'static [&'static str]),
    /// The model measured it: the counter is in nanoseconds.
    Measured,
    /// Nothing of its own: another counter has it.
    Within,
}

/// A counter, the part of the stack that it belongs to, and what one of it costs. A counter may
/// have several.
struct Cost {
    counter: &'static str,
    part: usize,
    unit: Unit,
}

const fn cost(counter: &'static str, part: usize, unit: Unit) -> Cost {
    Cost { counter, part, unit }
}

const PTRACE: &[&str] = &["ptrace-stop", "ptrace stop", "ptrace"];
const PTRACE_REGISTERS: &[&str] = &["ptrace-stop with registers"];
const STOP: Unit = Unit::Primitive(PTRACE);
/// A ptrace request that reads or writes registers of a stopped task.
const REGISTERS: Unit = Unit::HalfOfMore(PTRACE_REGISTERS, PTRACE);
const SIGNAL: Unit = Unit::Primitive(&["signal-delivery", "signal delivery", "signal"]);
const SWITCH: Unit = Unit::Primitive(&["process-switch", "process switch"]);
const MAP: Unit = Unit::Primitive(&["mmap", "mmap-page"]);
const SIGSYS: &[&str] = &["sigsys"];
/// A call that another process is notified of, and answers.
const NOTIFICATION: Unit = Unit::Primitive(&["user-notification with SYNC_WAKE_UP", "user-notification"]);
/// A signal from whose frame user code goes on.
const REPORT: Unit = Unit::Primitive(SIGSYS);
/// A hand-over in shared memory, beside its signal.
const POST: Unit = Unit::More(&["sigsys-hand-over across CPUs, spinning"], SIGSYS);
/// A call of the core, in the place of a system call.
const CALL: Unit = Unit::Primitive(&["rewritten-call with vector registers"]);
/// Orders to a thread, beside what they are about.
const BATCH: Unit = Unit::More(&["mmap-order by a thread"], &["mmap", "mmap-page"]);
const PROTECT: Unit = Unit::Primitive(&["mprotect", "mprotect-page"]);

/// Counters of any model; a model that counts something under one of these names is costed without
/// a change here.
const COSTS: &[Cost] = &[
    cost("syscall_stops", TRAPS, STOP),
    // What it is about is asked for at each.
    cost("syscall_stops", TRAPS, REGISTERS),
    cost("fault_stops", TRAPS, STOP),
    cost("fault_stops", TRAPS, REGISTERS),
    cost("exception_stops", TRAPS, STOP),
    cost("exception_stops", TRAPS, REGISTERS),
    cost("interrupt_stops", TRAPS, STOP),
    cost("register_reads", TRAPS, REGISTERS),
    cost("register_writes", TRAPS, REGISTERS),
    cost("result_writes", TRAPS, REGISTERS),
    cost("order_stops", TRACER, STOP),
    cost("cancelled_stops", TRACER, STOP),
    cost("entry_stops", TRACER, STOP),
    cost("leave_stops", TRACER, STOP),
    cost("birth_stops", TRACER, STOP),
    cost("kick_stops", TRACER, STOP),
    cost("other_stops", TRACER, STOP),
    cost("notifications", TRAPS, NOTIFICATION),
    cost("posts", TRAPS, POST),
    cost("reports", TRAPS, REPORT),
    cost("calls", TRAPS, Unit::Within),
    cost("calls_direct", TRAPS, CALL),
    cost("fault_reports", TRAPS, Unit::Within),
    cost("exception_reports", TRAPS, Unit::Within),
    cost("interrupt_reports", TRAPS, Unit::Within),
    cost("settlings", TRAPS, Unit::Within),
    cost("frame_reads", TRAPS, Unit::Within),
    cost("frame_writes", TRAPS, Unit::Within),
    cost("order_batches", MAPPING, BATCH),
    cost("signals_delivered", SIGNALS, SIGNAL),
    cost("handovers", TRACER, SWITCH),
    cost("maps", MAPPING, MAP),
    cost("unmaps", MAPPING, MAP),
    cost("protects", MAPPING, PROTECT),
    cost("host_mmaps", MAPPING, MAP),
    cost("host_munmaps", MAPPING, MAP),
    cost("host_mprotects", MAPPING, PROTECT),
    cost("protection_ns", PROTECTION, Unit::Measured),
    cost("protection_changes", PROTECTION, Unit::Within),
    cost("protection_remaps", PROTECTION, Unit::Within),
    cost("orders", TRACER, Unit::Within),
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
    if results.head.environment.is_emulated() {
        return all; // Its times are nobody's.
    }
    let of_costs = COSTS.iter().flat_map(|cost| match cost.unit {
        Unit::Primitive(names) => vec![names],
        Unit::HalfOfMore(more, less) | Unit::More(more, less) => vec![more, less],
        Unit::Measured | Unit::Within => vec![],
    });
    for names in of_costs.chain([TOUCH.0]) {
        if let Some((name, seconds)) = primitive_cost(series, names)
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
        // A loop that is run for so long, not so often, does less where it is slower: its user time
        // is not the host's.
        if !host.iter().all(|s| s.metrics.is_empty() && !s.phases.is_empty()) {
            continue;
        }
        let Some(host_user) = middle(&host, |s| Some(s.cpu_time.user)) else { continue };
        let mut reckoning = Reckoning { workload: workload.name.clone(), bars: Vec::new(), excess: Vec::new() };
        let system = middle(&host, |s| Some(s.cpu_time.system)).unwrap_or(0.0);
        let whole = middle(&host, |s| Some(s.seconds)).unwrap_or(0.0);
        let parts = vec![
            part(USER, host_user),
            Part { name: "kernel".into(), seconds: system, which: Some(KERNEL) },
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
        let mut known = false;
        for cost in COSTS.iter().filter(|cost| cost.counter == counter.as_str()) {
            if let (Some(seconds), Some(n)) = (unit_cost(series, &cost.unit), n) {
                sums[cost.part] += n * seconds;
                known = true;
            }
        }
        if !known {
            uncosted.push(counter.clone());
        }
    }
    if let (Some(faults), Some(touch)) =
        (middle(samples, |s| s.cpu_time.faults.map(|n| n as f64)), more(series, TOUCH.0, TOUCH.1))
    {
        sums[MAPPING] += faults * touch;
    }
    sums[CORE] = (middle(samples, |s| Some(s.cpu_time.user)).unwrap_or(0.0) - host_user).max(0.0);
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

/// In seconds; nothing where a primitive was not measured.
fn unit_cost(series: &[Series], unit: &Unit) -> Option<f64> {
    match unit {
        Unit::Primitive(names) => primitive_cost(series, names).map(|(_, seconds)| seconds),
        Unit::HalfOfMore(of, than) => more(series, of, than).map(|seconds| seconds / 2.0),
        Unit::More(of, than) => more(series, of, than),
        Unit::Measured => Some(1e-9),
        Unit::Within => Some(0.0),
    }
}

/// What one primitive costs more than another, in seconds.
fn more(series: &[Series], of: &[&str], than: &[&str]) -> Option<f64> {
    let ((_, of), (_, than)) = (primitive_cost(series, of)?, primitive_cost(series, than)?);
    Some((of - than).max(0.0))
}

/// A primitive's name and cost in seconds.
fn primitive_cost(series: &[Series], names: &[&str]) -> Option<(String, f64)> {
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
