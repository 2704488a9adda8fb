//! Time: the clocks as the core reads them, and timers that wake things.

use crate::lock::KCell;
use crate::sched::wait::{Wake, WakeReason};
use crate::{Errno, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use umlab_abi::time::Timespec;
use umlab_abi::time::Timeval;
use umlab_host::clock;

/// Nanoseconds of CLOCK_MONOTONIC. Deadlines are counted in these.
pub fn now() -> u64 {
    clock::monotonic()
}

/// Nanoseconds since 1970.
pub fn realtime() -> u64 {
    clock::realtime()
}

/// One of the host's clocks (clock_gettime(2)).
pub fn read_clock(id: libc::clockid_t) -> u64 {
    match id {
        libc::CLOCK_MONOTONIC => now(),
        libc::CLOCK_REALTIME => realtime(),
        _ => clock::get(id),
    }
}

/// Nanoseconds of a length of time or a point in time that a guest gave; more than can be counted is cut. EINVAL for nonsense.
pub fn duration(t: &Timespec) -> Result<u64> {
    if t.tv_sec < 0 || !(0..NS_PER_SEC as i64).contains(&t.tv_nsec) {
        return Err(Errno::EINVAL);
    }
    Ok((t.tv_sec as u64).saturating_mul(NS_PER_SEC).saturating_add(t.tv_nsec as u64))
}

/// As `duration`, in microseconds as timeval has them.
pub fn duration_of_timeval(t: &Timeval) -> Result<u64> {
    if t.tv_sec < 0 || !(0..1_000_000).contains(&t.tv_usec) {
        return Err(Errno::EINVAL);
    }
    Ok((t.tv_sec as u64).saturating_mul(NS_PER_SEC).saturating_add(t.tv_usec as u64 * 1000))
}

pub fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / NS_PER_SEC) as i64, tv_nsec: (ns % NS_PER_SEC) as i64 }
}

/// Parts of a microsecond are cut.
pub fn timeval(ns: u64) -> Timeval {
    Timeval { tv_sec: (ns / NS_PER_SEC) as i64, tv_usec: (ns % NS_PER_SEC / 1000) as i64 }
}

pub const NS_PER_SEC: u64 = 1_000_000_000;

static TIMERS: KCell<Timers> = KCell::new(Timers { queue: BTreeMap::new(), next_id: 0 });

struct Timers {
    queue: BTreeMap<(u64, u64), Weak<dyn Wake>>,
    next_id: u64,
}

/// A running timer; dropping it cancels it.
#[must_use]
pub struct Timer {
    key: (u64, u64),
}

impl Timer {
    /// Calls `target.wake(WakeReason::Timer)` once `deadline` (CLOCK_MONOTONIC, ns) has passed.
    pub fn new(deadline: u64, target: &Arc<dyn Wake>) -> Timer {
        let mut timers = TIMERS.borrow_mut();
        let key = (deadline, timers.next_id);
        timers.next_id += 1;
        let first = timers.queue.keys().next().is_none_or(|first| deadline < first.0);
        timers.queue.insert(key, Arc::downgrade(target));
        drop(timers);
        if first {
            crate::sched::update_alarm();
        }
        Timer { key }
    }

    pub fn deadline(&self) -> u64 {
        self.key.0
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        TIMERS.borrow_mut().queue.remove(&self.key);
    }
}

/// The earliest deadline of all timers.
pub fn next_deadline() -> Option<u64> {
    TIMERS.borrow().queue.keys().next().map(|key| key.0)
}

/// Wakes the targets of all timers that are due.
pub fn expire() {
    loop {
        let due = {
            let mut timers = TIMERS.borrow_mut();
            match timers.queue.first_entry() {
                Some(entry) if entry.key().0 <= now() => entry.remove(),
                _ => return,
            }
        };
        if let Some(target) = due.upgrade() {
            target.wake(WakeReason::Timer);
        }
    }
}
