//! Timers that wake things.

use super::wait::{Wake, WakeReason};
use crate::lock::KCell;
use crate::time::now;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

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
            super::update_alarm();
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
