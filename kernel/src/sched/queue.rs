//! A CPU's run queue: who waits for it, and who comes first (sched(7)).
//!
//! Tasks of a higher real-time priority come before all of a lower one, and those of equal priority
//! in the order of their coming. All others have the priority 0.

use super::thread::{Demands, Thread};
use std::collections::VecDeque;
use std::sync::Arc;

/// How long a task may wait for real-time tasks of higher priority to leave it the CPU: then it has
/// a turn, so that there is always somebody who can end them.
pub const PATIENCE_NS: u64 = 950_000_000;
/// How long a task runs while others of its priority wait.
pub const SLICE_NS: u64 = 10_000_000;
const ROUND_ROBIN_SLICE_NS: u64 = 100_000_000;
const SHORTEST_SLICE_NS: u64 = 1_000_000;

/// A task's real-time priority, 0 for none.
pub fn rank(task: &Arc<dyn Thread>) -> i32 {
    task.demands().priority
}

/// How long a task runs while others of its priority wait; None for as long as it likes.
pub fn slice(task: &Arc<dyn Thread>) -> Option<u64> {
    let Demands { policy, nice, .. } = task.demands();
    match policy {
        abi::SCHED_FIFO => None,
        abi::SCHED_RR => Some(ROUND_ROBIN_SLICE_NS),
        abi::SCHED_IDLE => Some(SHORTEST_SLICE_NS),
        _ => Some(nice_slice(nice)),
    }
}

/// Turns come one after another, so that their length is the share of the CPU: a step of nice is a
/// fifth of it.
fn nice_slice(nice: i32) -> u64 {
    let mut slice = SLICE_NS;
    for _ in 0..nice.unsigned_abs() {
        slice = if nice > 0 { slice * 4 / 5 } else { slice * 5 / 4 };
    }
    slice.clamp(SHORTEST_SLICE_NS, ROUND_ROBIN_SLICE_NS)
}

#[derive(Default)]
pub struct RunQueue(VecDeque<Arc<dyn Thread>>);

impl RunQueue {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Thread>> {
        self.0.iter()
    }

    /// Who comes next, but for those who have waited too long.
    pub fn front(&self) -> Option<&Arc<dyn Thread>> {
        self.0.front()
    }

    /// Adds a task behind those of its priority.
    pub fn push(&mut self, task: Arc<dyn Thread>) {
        let rank = rank(&task);
        let mut at = self.0.len();
        while at > 0 && self.rank_at(at - 1) < rank {
            at -= 1;
        }
        self.0.insert(at, task);
    }

    /// Adds a task that was made to give way, before those of its priority.
    pub fn push_first(&mut self, task: Arc<dyn Thread>) {
        let rank = rank(&task);
        let at = self.0.iter().position(|other| self::rank(other) <= rank).unwrap_or(self.0.len());
        self.0.insert(at, task);
    }

    pub fn pop(&mut self, now: u64) -> Option<Arc<dyn Thread>> {
        if self.rank_at(0) > 0
            && let Some((at, since)) = self.neglected()
            && now.saturating_sub(since) >= PATIENCE_NS
        {
            return self.0.remove(at);
        }
        self.0.pop_front()
    }

    pub fn remove(&mut self, at: usize) -> Option<Arc<dyn Thread>> {
        self.0.remove(at)
    }

    /// The one without priority that waits longest, and since when.
    pub fn neglected(&self) -> Option<(usize, u64)> {
        // In the order of their coming, at the end.
        let at = self.0.iter().rposition(|task| rank(task) > 0).map_or(0, |at| at + 1);
        let task = self.0.get(at)?;
        Some((at, task.entity().state.borrow().queued_at))
    }

    /// Puts a task in its place that has another priority now. False if it does not wait here.
    pub fn reorder(&mut self, task: &dyn Thread) -> bool {
        let Some(at) = self.0.iter().position(|other| std::ptr::addr_eq(&raw const **other, task)) else {
            return false;
        };
        if let Some(task) = self.0.remove(at) {
            self.push(task);
        }
        true
    }

    fn rank_at(&self, at: usize) -> i32 {
        self.0.get(at).map_or(0, rank)
    }
}

#[cfg(test)]
mod tests {
    use super::nice_slice;

    #[test]
    fn a_turn_is_as_long_as_its_share() {
        assert_eq!(nice_slice(0), 10_000_000);
        assert_eq!(nice_slice(1), 8_000_000);
        assert_eq!(nice_slice(-1), 12_500_000);
        assert_eq!((nice_slice(19), nice_slice(-20)), (1_000_000, 100_000_000));
    }
}
