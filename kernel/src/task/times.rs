//! Whose the time is: user code's, the core's on a task's behalf, or nobody's.
//!
//! The clock is read at every way into user mode and out of it. Of what passes in between, two
//! things are not user code's. The way there and back is the kernel's work, as on any machine: the
//! shortest that was seen is taken for it. And while the host runs something else, time passes in
//! which no task runs: where so much went by that this is possible, the host is asked how much it
//! gave.

use super::Task;
use super::signal;
use crate::lock::KCell;
use crate::sched::machine;
use crate::time;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use umlab_model::{HostTime, Trap, UserThread};

/// The host's scheduler gives a CPU to others for no less than this.
const LONG_NS: u64 = 1_000_000;
/// No more was used since the host's count was read last when user mode is entered: less than what
/// matters, and much more than a task uses that runs for some microseconds at a time.
const FRESH_NS: u64 = 500_000;
/// Nothing that takes longer is only the way through a trap.
const MOST_FOR_TRAP_NS: u64 = 20_000;

/// The least time seen between entering user mode and a system call.
static TRAP_NS: AtomicU64 = AtomicU64::new(MOST_FOR_TRAP_NS);

#[derive(Default)]
pub struct Times {
    inner: KCell<Inner>,
    /// How often user mode was entered and left: odd while user code runs. The big lock orders all
    /// access.
    crossings: AtomicU64,
    /// An instruction that serializes is to be executed on the way back to user mode.
    serialize: AtomicBool,
}

#[derive(Clone, Copy, Default)]
struct Inner {
    /// Up to when it is clear whose the time is (CLOCK_MONOTONIC, ns).
    until: u64,
    /// The time before that, back to the change before: in user mode, the core's, which is
    /// accounted for when user mode is left again.
    lap: u64,
    read: Option<Reading>,
}

/// A reading of the host's count of what it gave.
#[derive(Clone, Copy)]
struct Reading {
    host: HostTime,
    /// Where: on another CPU a thread can be in another process of the host.
    cpu: usize,
    /// The time that the process had used.
    used: u64,
}

impl Times {
    pub fn new() -> Times {
        Times { inner: KCell::new(Inner { until: time::now(), ..Inner::default() }), ..Times::default() }
    }

    /// From `now` on, the time is somebody else's. As it was before, and the time since.
    fn lap(&self, now: u64) -> (Inner, u64) {
        let mut inner = self.inner.borrow_mut();
        let last = *inner;
        let lap = now.saturating_sub(last.until);
        (inner.until, inner.lap) = (now, lap);
        (last, lap)
    }

    fn cross(&self) {
        self.crossings.store(self.crossings.load(Relaxed) + 1, Relaxed);
    }
}

impl Task {
    /// Since when a running task is in the core without a pause: it came out of user mode, or was
    /// given a CPU (CLOCK_MONOTONIC, ns).
    pub fn in_core_since(&self) -> u64 {
        self.times.inner.borrow().until
    }

    /// The trap loop is about to enter user mode: the time since was the core's.
    pub fn enter_user(&self, user: &dyn UserThread) {
        if self.times.serialize.load(Relaxed) {
            self.times.serialize.store(false, Relaxed);
            umlab_host::thread::serialize();
        }
        self.times.cross();
        let (last, _) = self.times.lap(time::now());
        if last.read.is_none_or(|read| read.cpu != machine().current_cpu()) {
            self.read_host(user);
        }
    }

    /// The trap loop has left user mode.
    pub fn leave_user(&self, user: &dyn UserThread, trap: &Trap) {
        self.times.cross();
        let (Inner { lap: before_user, read, .. }, mut lap) = self.times.lap(time::now());
        if let Some(last) = read
            && (lap >= LONG_NS || self.process.usage.borrow().total().saturating_sub(last.used) >= FRESH_NS)
            && let Some(host) = self.read_host(user)
            && host.of == last.host.of
            && lap >= LONG_NS
        {
            lap = lap.min(host.given.saturating_sub(last.host.given));
        }
        let way = match trap {
            Trap::Syscall { .. } if lap < TRAP_NS.load(Relaxed) => {
                TRAP_NS.store(lap, Relaxed);
                lap
            }
            Trap::Syscall { .. } | Trap::Fault(_) => TRAP_NS.load(Relaxed).min(lap),
            _ => 0,
        };
        self.account(lap - way, before_user + way);
        signal::check_cpu_timers(&self.process);
    }

    /// While user code runs, a number that no other stay in user mode has.
    pub fn user_visit(&self) -> Option<u64> {
        Some(self.times.crossings.load(Relaxed)).filter(|crossings| crossings % 2 == 1)
    }

    /// The CPU is to forget what it read ahead of this thread's code, before the thread goes back
    /// to user mode.
    pub fn serialize_later(&self) {
        self.times.serialize.store(true, Relaxed);
    }

    /// The scheduler takes the CPU away.
    pub fn gives_up_cpu(&self, now: u64) {
        let (_, lap) = self.times.lap(now);
        self.account(0, lap);
    }

    /// The scheduler gives it the CPU: the time since it had one was nobody's.
    pub fn given_cpu(&self, now: u64) {
        self.times.lap(now);
    }

    /// How much the host has given, which is kept for the next time.
    fn read_host(&self, user: &dyn UserThread) -> Option<HostTime> {
        let host = user.host_time()?;
        let used = self.process.usage.borrow().total();
        self.times.inner.borrow_mut().read = Some(Reading { host, cpu: machine().current_cpu(), used });
        Some(host)
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
