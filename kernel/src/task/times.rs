//! Whose the time is: user code's, the core's on a task's behalf, or nobody's.
//!
//! The clock is read at every way into user mode and out of it. Of what passes in between, two things are not user code's. The way there and back
//! is the kernel's work, as on any machine: the shortest that was seen is taken for it. And while the host runs something else, time passes in
//! which no task runs: where so much went by that this is possible, the host is asked how much it gave.

use super::Task;
use crate::lock::KCell;
use crate::model::{HostTime, Trap, UserThread};
use crate::{signal, time};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The host's scheduler gives a CPU to others for no less than this.
const LONG_NS: u64 = 1_000_000;
/// A reading of the host's count is this old at most when user mode is entered: less than what matters, and seldom enough to cost a task nothing
/// that runs for some microseconds at a time.
const FRESH_NS: u64 = 500_000;
/// Nothing that takes longer is only the way through a trap.
const MOST_FOR_TRAP_NS: u64 = 20_000;

/// The least time seen between entering user mode and a system call.
static TRAP_NS: AtomicU64 = AtomicU64::new(MOST_FOR_TRAP_NS);

#[derive(Default)]
pub struct Times {
    inner: KCell<Inner>,
    /// How often user mode was entered and left: odd while user code runs. The big lock orders all access.
    crossings: AtomicU64,
    /// An instruction that serializes is to be executed on the way back to user mode.
    serialize: AtomicBool,
}

#[derive(Clone, Copy, Default)]
struct Inner {
    /// Up to when time is accounted for (CLOCK_MONOTONIC, ns).
    until: u64,
    /// When the host's count was read last, and what it was.
    read: u64,
    host: HostTime,
}

impl Times {
    pub fn new() -> Times {
        Times { inner: KCell::new(Inner { until: time::now(), ..Inner::default() }), ..Times::default() }
    }

    /// Time since the last call.
    fn lap(&self) -> (u64, u64) {
        let now = time::now();
        let mut inner = self.inner.borrow_mut();
        (now, now.saturating_sub(std::mem::replace(&mut inner.until, now)))
    }
}

impl Task {
    /// Since when a running task is in the core without a pause: it came out of user mode, or was given a CPU (CLOCK_MONOTONIC, ns).
    pub fn in_core_since(&self) -> u64 {
        self.times.inner.borrow().until
    }

    /// The trap loop is about to enter user mode: the time since was the core's.
    pub fn enter_user(&self, user: &dyn UserThread) {
        if self.times.serialize.load(Relaxed) {
            self.times.serialize.store(false, Relaxed);
            umlab_host::thread::serialize();
        }
        self.times.crossings.fetch_add(1, Relaxed);
        let (now, lap) = self.times.lap();
        self.account(0, lap);
        if now - self.times.inner.borrow().read >= FRESH_NS
            && let Some(host) = user.host_time()
        {
            let mut inner = self.times.inner.borrow_mut();
            (inner.read, inner.host) = (now, host);
        }
    }

    /// The trap loop has left user mode.
    pub fn leave_user(&self, user: &dyn UserThread, trap: &Trap) {
        self.times.crossings.fetch_add(1, Relaxed);
        let (now, mut lap) = self.times.lap();
        if lap >= LONG_NS
            && let Some(host) = user.host_time()
        {
            let mut inner = self.times.inner.borrow_mut();
            if host.of == inner.host.of {
                lap = lap.min(host.given.saturating_sub(inner.host.given));
            }
            (inner.read, inner.host) = (now, host);
        }
        let way = match trap {
            Trap::Syscall { .. } if lap < TRAP_NS.load(Relaxed) => {
                TRAP_NS.store(lap, Relaxed);
                lap
            }
            Trap::Syscall { .. } | Trap::Fault(_) => TRAP_NS.load(Relaxed).min(lap),
            _ => 0,
        };
        self.account(lap - way, way);
        signal::check_cpu_timers(&self.process);
    }

    /// While user code runs, a number that no other stay in user mode has.
    pub fn user_visit(&self) -> Option<u64> {
        Some(self.times.crossings.load(Relaxed)).filter(|crossings| crossings % 2 == 1)
    }

    /// The CPU is to forget what it read ahead of this thread's code, before the thread goes back to user mode.
    pub fn serialize_later(&self) {
        self.times.serialize.store(true, Relaxed);
    }

    /// The scheduler takes the CPU away, or gives it back (what went by in between was nobody's).
    pub fn switched(&self, out: bool) {
        let (_, lap) = self.times.lap();
        if out {
            self.account(0, lap);
        }
    }

    fn account(&self, user: u64, system: u64) {
        for usage in [&self.usage, &self.process.usage] {
            let mut usage = usage.borrow_mut();
            usage.user += user;
            usage.system += system;
        }
        crate::sched::account(user, system);
    }
}
