//! Wait queues: how a task sleeps until something happens.
//!
//! A sleeper registers on the queues it cares about, looks at its condition, and sleeps; whoever changes the condition
//! wakes the queue. Since core code runs under the big lock, nothing can change between the look and the sleep.

use super::{block_current, current};
use crate::lock::KCell;
use crate::time::Timer;
use crate::{Errno, Result};
use std::sync::Arc;

/// Why something was woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WakeReason {
    /// A wait queue it was registered on, with the poll events that may now hold (0 for "look again").
    Event(u32),
    Timer,
    Signal,
}

/// Anything that can be woken: a task, an epoll item, a timer's owner.
pub trait Wake: Send + Sync {
    fn wake(&self, reason: WakeReason);
}

#[derive(Default)]
pub struct WaitQueue {
    entries: KCell<Vec<(u64, Arc<dyn Wake>)>>,
}

static NEXT_ID: KCell<u64> = KCell::new(0);

impl WaitQueue {
    pub const fn new() -> WaitQueue {
        WaitQueue { entries: KCell::new(Vec::new()) }
    }

    /// Wakes everyone registered. `events` are poll(2) events that may now hold, 0 when that says nothing.
    pub fn wake(&self, events: u32) {
        if self.entries.borrow().is_empty() {
            return;
        }
        // A copy, because waking may change the queue (an epoll item's owner, say).
        let entries: Vec<_> = self.entries.borrow().iter().map(|(_, w)| w.clone()).collect();
        for waker in entries {
            waker.wake(WakeReason::Event(events));
        }
    }

    pub fn wake_all(&self) {
        self.wake(0)
    }

    /// Registers; the returned id is for `remove`.
    pub fn add(&self, waker: Arc<dyn Wake>) -> u64 {
        let mut next = NEXT_ID.borrow_mut();
        *next += 1;
        self.entries.borrow_mut().push((*next, waker));
        *next
    }

    pub fn remove(&self, id: u64) {
        self.entries.borrow_mut().retain(|(entry, _)| *entry != id);
    }

    pub fn is_empty(&self) -> bool {
        self.entries.borrow().is_empty()
    }
}

/// How a sleep may end early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sleep {
    /// Any pending, unblocked signal ends it with ERESTARTSYS.
    Interruptible,
    /// Only a fatal signal does.
    Killable,
    /// Nothing does. Only for waits that surely end soon.
    Uninterruptible,
}

/// Sleeps until `condition` gives a value. It is evaluated first, and again after every wake-up of one of `queues`.
///
/// # Errors
/// ETIMEDOUT when `deadline` (CLOCK_MONOTONIC, ns) passed; ERESTARTSYS when a signal ended the sleep: the caller
/// passes it on or turns it into the restart rule of its system call.
pub fn wait_until<T>(
    queues: &[&WaitQueue],
    deadline: Option<u64>,
    sleep: Sleep,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T> {
    if let Some(value) = condition() {
        return Ok(value);
    }
    let task = current();
    let waker: Arc<dyn Wake> = task.clone();
    let ids: Vec<u64> = queues.iter().map(|q| q.add(waker.clone())).collect();
    let timer = deadline.map(|deadline| Timer::new(deadline, &waker));
    let result = loop {
        if let Some(value) = condition() {
            break Ok(value);
        }
        if timer.as_ref().is_some_and(|t| crate::time::now() >= t.deadline()) {
            break Err(Errno::ETIMEDOUT);
        }
        let interrupted = match sleep {
            Sleep::Interruptible => task.signal_pending(),
            Sleep::Killable => task.fatal_signal_pending(),
            Sleep::Uninterruptible => false,
        };
        if interrupted {
            break Err(Errno::ERESTARTSYS);
        }
        block_current();
    };
    for (queue, id) in queues.iter().zip(ids) {
        queue.remove(id);
    }
    result
}

/// `wait_until` on one queue, interruptible, without a deadline.
pub fn wait_on<T>(queue: &WaitQueue, condition: impl FnMut() -> Option<T>) -> Result<T> {
    wait_until(&[queue], None, Sleep::Interruptible, condition)
}
