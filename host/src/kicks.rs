//! Kicks: how one guest CPU makes another look up, and what an idle one waits for.

use crate::clock;
use crate::lock::{futex_wait, futex_wake};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

/// The kicks of one CPU. It alone takes them and waits; anybody gives them.
#[derive(Default)]
pub struct Kicks {
    given: AtomicU32,
    taken: AtomicU32,
    /// The CPU sleeps in `wait`.
    asleep: AtomicBool,
}

impl Kicks {
    /// Returns whether it is the first that was not taken yet.
    pub fn give(&self) -> bool {
        self.given.fetch_add(1, SeqCst) == self.taken.load(SeqCst)
    }

    /// Wakes the CPU if it sleeps in `wait`.
    pub fn wake(&self) {
        if self.asleep.load(SeqCst) {
            futex_wake(&self.given, 1);
        }
    }

    /// Whether the CPU sleeps in `wait`.
    pub fn is_asleep(&self) -> bool {
        self.asleep.load(SeqCst)
    }

    /// Whether it was kicked since this was last asked.
    pub fn take(&self) -> bool {
        let given = self.given.load(SeqCst);
        given != self.taken.swap(given, SeqCst)
    }

    /// Waits for a kick since the last `take`, `timeout` nanoseconds at most. `look` says to look
    /// for one before going to sleep, for about as long as a wake-up across CPUs takes: work that
    /// comes back soon (the other side of a pipe) then costs no wake-up, and sleep no more than
    /// twice as much. Returns whether it slept.
    pub fn wait(&self, look: bool, timeout: Option<u64>) -> bool {
        let taken = self.taken.load(SeqCst);
        if look && self.comes_soon(taken) {
            return false;
        }
        self.asleep.store(true, SeqCst);
        futex_wait(&self.given, taken, timeout);
        self.asleep.store(false, SeqCst);
        true
    }

    fn comes_soon(&self, taken: u32) -> bool {
        const SPIN_NS: u64 = 50_000;
        let until = clock::monotonic() + SPIN_NS;
        loop {
            for _ in 0..50 {
                if self.given.load(SeqCst) != taken {
                    return true;
                }
                std::hint::spin_loop();
            }
            if clock::monotonic() > until {
                return false;
            }
        }
    }
}
