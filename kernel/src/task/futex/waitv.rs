//! futex_waitv(2): sleeping on many futexes at once.

use super::{MATCH_ANY, Use, Waiter, key_of, load};
use crate::sched::wait::{Sleep, wait_until};
use crate::task::Task;
use crate::{Errno, Result};
use std::sync::Arc;

/// One futex to wait on.
#[derive(Clone, Copy, Debug)]
pub struct WaitvEntry {
    pub addr: u64,
    pub expected: u32,
    pub private: bool,
}

/// Sleeps until one of the futexes is woken, and returns its index. EAGAIN when one of the words is
/// not as expected.
pub fn waitv(task: &Arc<Task>, entries: &[WaitvEntry], deadline: Option<u64>) -> Result<usize> {
    let space = task.space();
    let mut waiters = Vec::with_capacity(entries.len());
    let mut failure = None;
    // A bad address anywhere comes before a word that is not as expected.
    let keys =
        entries.iter().map(|entry| key_of(&space, entry.addr, entry.private, Use::Look)).collect::<Result<Vec<_>>>()?;
    for (entry, key) in entries.iter().zip(keys) {
        let queued = load(&space, entry.addr).and_then(|word| match word == entry.expected {
            true => Ok(Waiter::queue(task, key, entry.addr, MATCH_ANY, false)),
            false => Err(Errno::EAGAIN),
        });
        match queued {
            Ok(waiter) => waiters.push(waiter),
            Err(e) => {
                failure = Some(e);
                break;
            }
        }
    }
    let woken = || waiters.iter().position(|w| w.is_woken());
    let result = match failure {
        Some(e) => Err(e),
        None => wait_until(&[], deadline, Sleep::Interruptible, woken),
    };
    let index = woken();
    for waiter in &waiters {
        waiter.leave();
    }
    match index {
        Some(index) => Ok(index),
        None => result,
    }
}
