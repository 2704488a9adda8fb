//! A lock that works between threads and between host processes that share the memory it lies in.
//!
//! Futex without the private flag, and no owner kept in thread-local storage: both matter in models
//! where the core runs in several host processes in turn. A waiter spins for a while first, because
//! a wake-up across CPUs costs some fifty microseconds and the core is left within a few.

use std::sync::atomic::{AtomicU32, Ordering::*};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// How often a waiter looks before it sleeps: some tens of microseconds.
const SPINS: u32 = 4_000;
/// How often whoever hands the lock over looks whether it was taken: some hundred nanoseconds for a
/// waiter that spins, and some hundred microseconds for one that sleeps.
const HAND_OVER_SPINS: u32 = 50;
const HAND_OVER_YIELDS: u32 = 4_000;

#[derive(Default)]
pub struct SharedLock {
    state: AtomicU32,
}

impl SharedLock {
    pub const fn new() -> SharedLock {
        SharedLock { state: AtomicU32::new(FREE) }
    }

    #[inline]
    pub fn lock(&self) {
        if self.state.compare_exchange(FREE, HELD, Acquire, Relaxed).is_err() {
            self.lock_slow();
        }
    }

    /// Takes it if nobody holds it.
    pub fn try_lock(&self) -> bool {
        self.state.compare_exchange(FREE, HELD, Acquire, Relaxed).is_ok()
    }

    #[cold]
    fn lock_slow(&self) {
        for _ in 0..SPINS {
            if self.state.load(Relaxed) == FREE && self.state.compare_exchange(FREE, HELD, Acquire, Relaxed).is_ok() {
                return;
            }
            std::hint::spin_loop();
        }
        while self.state.swap(CONTENDED, Acquire) != FREE {
            futex_wait(&self.state, CONTENDED, None);
        }
    }

    /// Must be called by whoever holds the lock; it need not be the thread that took it.
    #[inline]
    pub fn unlock(&self) {
        if self.state.swap(FREE, Release) == CONTENDED {
            futex_wake(&self.state, 1);
        }
    }

    /// Unlocks and locks again. Whoever waits has it in between; without a waiter that costs two
    /// atomic operations and a moment.
    pub fn hand_over(&self) {
        let asleep = self.state.load(Relaxed) == CONTENDED;
        self.unlock();
        // A waiter that spins sees a free lock at once; one that sleeps has to be woken first,
        // perhaps on this CPU.
        for round in 0..if asleep { HAND_OVER_YIELDS } else { HAND_OVER_SPINS } {
            if self.state.load(Relaxed) != FREE {
                break;
            }
            if asleep && round % 64 == 63 {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
        self.lock();
    }

    /// Whether anyone holds it: for assertions.
    #[inline]
    pub fn is_locked(&self) -> bool {
        self.state.load(Relaxed) != FREE
    }
}

/// Sleeps while `word` is `expected`, until woken, a signal arrives or `timeout_ns` has passed.
/// Returns early for no reason at times; the caller looks again.
pub fn futex_wait(word: &AtomicU32, expected: u32, timeout_ns: Option<u64>) {
    let time = timeout_ns
        .map(|ns| libc::timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 });
    let time_ptr = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref::<libc::timespec>);
    // SAFETY: the word lives as long as the reference; the timespec, if any, outlives the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, time_ptr) };
}

/// Wakes up to `count` sleepers on `word`.
pub fn futex_wake(word: &AtomicU32, count: u32) {
    // SAFETY: waking only uses the word's address.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn excludes() {
        struct Counter(std::cell::UnsafeCell<u64>);
        // SAFETY: the test accesses the cell only under the lock; that is what is tested.
        unsafe impl Sync for Counter {}
        // SAFETY: as above.
        unsafe impl Send for Counter {}
        let shared = Arc::new((SharedLock::new(), Counter(std::cell::UnsafeCell::new(0))));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    for _ in 0..20_000 {
                        shared.0.lock();
                        // SAFETY: under the lock.
                        unsafe { *shared.1.0.get() += 1 };
                        shared.0.unlock();
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        // SAFETY: all threads have ended.
        assert_eq!(unsafe { *shared.1.0.get() }, 80_000);
    }
}
