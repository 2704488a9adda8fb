//! Where the tracing thread runs: on the CPUs that have guest tasks in user mode or in the core,
//! and on no other.
//!
//! A hand-over within a CPU costs a fraction of one across CPUs. When a task stops, the host wakes
//! the tracer on the CPU of that task, unless another one is free: it takes the tracer for
//! something that gains by a CPU of its own. So a guest CPU without work is kept out of the
//! tracer's affinity. The affinity is changed when a task is about to enter user mode and the set
//! is not right, not when a CPU falls idle: short rests of one CPU while no other enters user mode
//! cost nothing.

use crate::count;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::*};
use umlab_host::placement::Guest;
use umlab_host::thread;
use umlab_tasks::{cpu, placement};

/// The tracer's thread, once it runs.
static TRACER: AtomicI32 = AtomicI32::new(0);
/// The guest CPUs that do not idle, a bit for each. Those beyond the 64th do not count.
static BUSY: AtomicU64 = AtomicU64::new(0);
/// What the tracer's affinity was made from.
static PLACED: AtomicU64 = AtomicU64::new(0);
/// A guest CPU has another host CPU since.
static MOVED: AtomicBool = AtomicBool::new(false);

/// Called by the tracer's thread.
pub fn begin() {
    if let [only] = cpu::all() {
        // Pinning is for speed only, here and below.
        let _ = thread::pin(only.host_cpu.load(SeqCst));
        PLACED.store(bit(0), SeqCst);
    }
    TRACER.store(thread::id(), SeqCst);
}

fn bit(number: usize) -> u64 {
    1u64.checked_shl(number as u32).unwrap_or(0)
}

/// The CPU has something to do, or no more.
pub fn set_busy(number: usize, busy: bool) {
    if busy {
        BUSY.fetch_or(bit(number), SeqCst);
    } else {
        BUSY.fetch_and(!bit(number), SeqCst);
    }
}

/// A task is about to enter user mode. Called with the big lock held, so changes do not overtake
/// each other.
pub fn follow() {
    let (tracer, busy) = (TRACER.load(Relaxed), BUSY.load(Relaxed));
    if tracer == 0 || PLACED.load(Relaxed) == busy && !MOVED.load(Relaxed) {
        return;
    }
    MOVED.store(false, SeqCst);
    PLACED.store(busy, Relaxed);
    count(|c| &c.tracer_placements, 1);
    let busy = cpu::all().iter().enumerate().filter(|(number, _)| busy & bit(*number) != 0);
    let _ = thread::allow(tracer, busy.map(|(_, cpu)| cpu.host_cpu.load(SeqCst)));
}

/// How guest CPUs are watched and moved.
pub const GUEST: Guest = Guest {
    threads: |number| {
        // Of several CPUs it may be any that the tracer waits for.
        let tracer = if cpu::all().len() == 1 { TRACER.load(Relaxed) } else { 0 };
        [tracer, cpu::all()[number].user.load(SeqCst)]
    },
    moved: |number, host_cpu| {
        MOVED.store(true, SeqCst);
        placement::moved(number, host_cpu);
    },
};
