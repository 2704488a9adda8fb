//! Wait queues: how a task sleeps until something happens.
//!
//! A sleeper registers on the queues it cares about, looks at its condition, and sleeps; whoever
//! changes the condition wakes the queue. Since core code runs under the big lock, nothing can
//! change between the look and the sleep.

use super::Timer;
use super::{block_current, current};
use crate::lock::KCell;
use crate::{Errno, Result};
use smallvec::SmallVec;
use std::sync::Arc;

/// Why something was woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WakeReason {
    /// A wait queue it was registered on, with the poll events that may now hold (0 for "look
    /// again").
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
    entries: KCell<Vec<Entry>>,
}

struct Entry {
    id: u64,
    waker: Arc<dyn Wake>,
    /// One of several that each could use up what they wait for: waking one is enough.
    exclusive: bool,
    /// An exclusive one that was chosen, and has not run yet.
    chosen: bool,
}

static NEXT_ID: KCell<u64> = KCell::new(0);

impl WaitQueue {
    pub const fn new() -> WaitQueue {
        WaitQueue { entries: KCell::new(Vec::new()) }
    }

    /// Wakes everyone registered. `events` are poll(2) events that may now hold, 0 when that says
    /// nothing.
    pub fn wake(&self, events: u32) {
        if self.is_empty() {
            return;
        }
        // A copy, because waking may change the queue (an epoll item's owner, say).
        let wakers: SmallVec<[Arc<dyn Wake>; 4]> = self.entries.borrow().iter().map(|e| e.waker.clone()).collect();
        for waker in wakers {
            waker.wake(WakeReason::Event(events));
        }
    }

    pub fn wake_all(&self) {
        self.wake(0);
    }

    /// Wakes everyone registered, but of the exclusive waiters only the first that is not awake
    /// already.
    pub fn wake_one(&self, events: u32) {
        if self.is_empty() {
            return;
        }
        self.wake_chosen(events, true);
    }

    /// Wakes another exclusive waiter, because what the last one was woken for is not used up.
    pub fn pass_on(&self) {
        if self.entries.borrow().iter().any(|e| e.exclusive) {
            self.wake_chosen(0, false);
        }
    }

    fn wake_chosen(&self, events: u32, others: bool) {
        let mut wakers: SmallVec<[Arc<dyn Wake>; 4]> = SmallVec::new();
        let mut found = false;
        for entry in self.entries.borrow_mut().iter_mut() {
            if !entry.exclusive {
                if others {
                    wakers.push(entry.waker.clone());
                }
            } else if !found && !entry.chosen {
                entry.chosen = true;
                found = true;
                wakers.push(entry.waker.clone());
            }
        }
        for waker in wakers {
            waker.wake(WakeReason::Event(events));
        }
    }

    /// Registers; the returned id is for `remove`.
    pub fn add(&self, waker: Arc<dyn Wake>) -> u64 {
        self.add_entry(waker, false)
    }

    fn add_entry(&self, waker: Arc<dyn Wake>, exclusive: bool) -> u64 {
        let mut next = NEXT_ID.borrow_mut();
        *next += 1;
        let id = *next;
        self.entries.borrow_mut().push(Entry { id, waker, exclusive, chosen: false });
        id
    }

    pub fn remove(&self, id: u64) {
        self.remove_entry(id);
    }

    /// Tells whether it was an exclusive waiter that was chosen.
    fn remove_entry(&self, id: u64) -> bool {
        let mut entries = self.entries.borrow_mut();
        let at = entries.iter().position(|e| e.id == id);
        at.is_some_and(|at| entries.remove(at).chosen)
    }

    /// Makes an exclusive waiter one that may be chosen again.
    fn rearm(&self, id: u64) -> bool {
        let mut entries = self.entries.borrow_mut();
        entries.iter_mut().find(|e| e.id == id).is_some_and(|e| std::mem::take(&mut e.chosen))
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

/// Sleeps until `condition` gives a value. It is evaluated first, and again after every wake-up of
/// one of `queues`.
///
/// # Errors
/// ETIMEDOUT when `deadline` (CLOCK_MONOTONIC, ns) passed; ERESTARTSYS when a signal ended the
/// sleep: the caller passes it on or turns it into the restart rule of its system call.
pub fn wait_until<T>(
    queues: &[&WaitQueue],
    deadline: Option<u64>,
    sleep: Sleep,
    condition: impl FnMut() -> Option<T>,
) -> Result<T> {
    wait(queues, false, deadline, sleep, condition)
}

/// As `wait_until`, interruptible, on one queue whose `wake_one` wakes only one of those that wait
/// like this. Who takes only a part of what there is calls `pass_on`.
pub fn wait_exclusive<T>(queue: &WaitQueue, deadline: Option<u64>, condition: impl FnMut() -> Option<T>) -> Result<T> {
    wait(&[queue], true, deadline, Sleep::Interruptible, condition)
}

fn wait<T>(
    queues: &[&WaitQueue],
    exclusive: bool,
    deadline: Option<u64>,
    sleep: Sleep,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T> {
    if let Some(value) = condition() {
        return Ok(value);
    }
    let task = current();
    let waker: Arc<dyn Wake> = task.clone();
    let ids: SmallVec<[u64; 8]> = queues.iter().map(|q| q.add_entry(waker.clone(), exclusive)).collect();
    // An exclusive waiter was woken, and no one else was for the same reason.
    let mut chosen = false;
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
        if exclusive {
            chosen = queues.iter().zip(&ids).any(|(queue, &id)| queue.rearm(id));
        }
    };
    for (queue, id) in queues.iter().zip(ids) {
        chosen |= queue.remove_entry(id);
    }
    if chosen && result.is_err() {
        for queue in queues {
            queue.pass_on();
        }
    }
    result
}

/// `wait_until` on one queue, interruptible, without a deadline.
pub fn wait_on<T>(queue: &WaitQueue, condition: impl FnMut() -> Option<T>) -> Result<T> {
    wait_until(&[queue], None, Sleep::Interruptible, condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Counter(KCell<u32>);

    impl Wake for Counter {
        fn wake(&self, _reason: WakeReason) {
            *self.0.borrow_mut() += 1;
        }
    }

    /// A queue with one plain waiter and two exclusive ones, and the ids of the latter.
    fn queue() -> (WaitQueue, [Arc<Counter>; 3], [u64; 2]) {
        let queue = WaitQueue::new();
        let counters: [Arc<Counter>; 3] = Default::default();
        queue.add(counters[0].clone());
        let ids = [1, 2].map(|i| queue.add_entry(counters[i].clone(), true));
        (queue, counters, ids)
    }

    fn counts(counters: &[Arc<Counter>; 3]) -> [u32; 3] {
        [0, 1, 2].map(|i| counters[i].0.get())
    }

    #[test]
    fn each_wake_up_goes_to_another_exclusive_waiter() {
        let _held = crate::fs::tests::hold();
        let (queue, counters, ids) = queue();
        queue.wake_one(0);
        assert_eq!(counts(&counters), [1, 1, 0]);
        queue.wake_one(0);
        assert_eq!(counts(&counters), [2, 1, 1]);
        queue.wake_one(0);
        assert_eq!(counts(&counters), [3, 1, 1], "both are awake already");
        assert!(queue.rearm(ids[0]), "it was chosen, and sleeps again");
        queue.pass_on();
        assert_eq!(counts(&counters), [3, 2, 1]);
    }

    #[test]
    fn a_waiter_that_leaves_says_whether_it_was_chosen() {
        let _held = crate::fs::tests::hold();
        let (queue, counters, ids) = queue();
        queue.wake_one(0);
        assert!(queue.remove_entry(ids[0]));
        assert!(!queue.remove_entry(ids[1]));
        queue.wake_all();
        assert_eq!(counts(&counters), [2, 1, 0]);
    }
}
