//! What the CPUs do: time by kind, context switches, and the load averages.

use super::{CPUS, RunState, Thread};
use crate::lock::KCell;
use crate::time;

/// Nanoseconds that one CPU spent.
#[derive(Clone, Copy, Default, Debug)]
pub struct CpuTimes {
    pub user: u64,
    pub system: u64,
    pub idle: u64,
}

struct Load {
    times: Vec<CpuTimes>,
    switches: u64,
    /// Runnable tasks, averaged over 1, 5 and 15 minutes, as of `sampled`.
    average: [f64; 3],
    sampled: u64,
}

static LOAD: KCell<Load> = KCell::new(Load { times: Vec::new(), switches: 0, average: [0.0; 3], sampled: 0 });

/// The averages move in steps of this long.
const SAMPLE_NS: u64 = 5_000_000_000;
const MINUTES: [f64; 3] = [1.0, 5.0, 15.0];

fn here(add: impl FnOnce(&mut CpuTimes)) {
    let cpu = super::machine().current_cpu();
    let mut load = LOAD.borrow_mut();
    if load.times.len() <= cpu {
        load.times.resize(cpu + 1, CpuTimes::default());
    }
    add(&mut load.times[cpu]);
}

/// A task used the current CPU.
pub fn account(user: u64, system: u64) {
    here(|times| {
        times.user += user;
        times.system += system;
    });
}

/// The current CPU slept.
pub(super) fn account_idle(ns: u64) {
    here(|times| times.idle += ns);
}

pub(super) fn count_switch() {
    LOAD.borrow_mut().switches += 1;
}

/// Time by CPU.
pub fn cpu_times() -> Vec<CpuTimes> {
    let mut times = LOAD.borrow().times.clone();
    times.resize(super::cpu_count(), CpuTimes::default());
    times
}

pub fn switch_count() -> u64 {
    LOAD.borrow().switches
}

/// Tasks that run or want to; a CPU's own idle context is none.
pub fn runnable() -> usize {
    let cpus = CPUS.borrow();
    cpus.iter().map(|cpu| cpu.queue.len() + usize::from(cpu.current.as_ref().is_some_and(is_runnable))).sum()
}

fn is_runnable(task: &std::sync::Arc<dyn Thread>) -> bool {
    task.entity().run_state() == RunState::Runnable
}

/// The load averages, brought up to date.
pub fn load_average() -> [f64; 3] {
    sample();
    LOAD.borrow().average
}

/// Moves the averages on if it is time; called now and then.
pub(super) fn sample() {
    let now = time::now();
    let running = runnable() as f64;
    let mut load = LOAD.borrow_mut();
    if load.sampled == 0 {
        load.sampled = now;
    }
    // After a long quiet time the averages have forgotten everything.
    let steps = (now.saturating_sub(load.sampled) / SAMPLE_NS).min(4000);
    if steps == 0 {
        return;
    }
    load.sampled = now;
    for (average, minutes) in load.average.iter_mut().zip(MINUTES) {
        let keep = (-5.0 * steps as f64 / (60.0 * minutes)).exp();
        *average = *average * keep + running * (1.0 - keep);
    }
}
