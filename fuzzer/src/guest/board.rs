//! Memory that the leader and all others share: how far threads are, what calls answered, and what
//! was found.

use anyhow::Result;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

pub const MOST_THREADS: usize = 16;
pub const MOST_ANSWERS: usize = 256;
const CALLS: usize = 512;

/// All zero in the beginning.
pub struct Board {
    pub threads: [Thread; MOST_THREADS],
    /// By number: how often it was asked, how often that was answered by ENOSYS, which errors came.
    pub calls: [Calls; CALLS],
    pub answers: [Answer; MOST_ANSWERS],
    /// Zero: nothing was found.
    pub wrong: [AtomicU64; 6],
}

pub struct Thread {
    /// The step it is at, counted from one, and one more than there are at its end.
    pub at: AtomicU32,
    pub tid: AtomicI32,
}

pub struct Calls {
    pub asked: AtomicU64,
    pub missing: AtomicU64,
    pub errors: [AtomicU64; 3],
}

pub struct Answer {
    pub given: AtomicU32,
    pub value: AtomicU64,
    pub hash: AtomicU64,
}

impl Board {
    pub fn new() -> Result<&'static Board> {
        let at = crate::memory::map_shared(std::mem::size_of::<Board>())?;
        // SAFETY: the mapping is large enough, stays, and zeros are valid atomics.
        Ok(unsafe { &*(at as *const Board) })
    }

    pub fn count(&self, number: i64, result: i64) {
        let Some(calls) = self.calls.get(number as usize) else { return };
        calls.asked.fetch_add(1, Relaxed);
        let error = result.wrapping_neg();
        if (1..192).contains(&error) {
            calls.errors[error as usize / 64].fetch_or(1 << (error % 64), Relaxed);
        }
        if error == libc::ENOSYS.into() {
            calls.missing.fetch_add(1, Relaxed);
        }
    }

    pub fn answer(&self, step: usize, value: u64, hash: u64) {
        let Some(answer) = self.answers.get(step) else { return };
        answer.value.store(value, Relaxed);
        answer.hash.store(hash, Relaxed);
        answer.given.store(1, Relaxed);
    }

    /// Notes that memory is not as it must be; the first of these stays.
    pub fn wrong(&self, reason: u64, thread: u64, step: u64, page: u64, expected: u64, found: u64) {
        if self.wrong[0].compare_exchange(0, reason, Relaxed, Relaxed).is_ok() {
            for (cell, n) in self.wrong[1..].iter().zip([thread, step, page, expected, found]) {
                cell.store(n, Relaxed);
            }
        }
    }
}
