//! Code that never traps is interrupted all the same: by time, by signals, and by the death of its
//! process.

use crate::tools::*;
use crate::verdict::{Verdict, ensure};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: i32) {
    SIGNALS.fetch_add(1, SeqCst);
}

fn count_signals(signal: i32) {
    // SAFETY: the handler touches one atomic.
    unsafe { libc::signal(signal, count as *const () as usize) };
}

/// Long enough for whatever is waited for, on a busy machine.
const LONG: Duration = Duration::from_secs(15);

/// Spins until there were so many signals. It makes no system call; a vDSO reads the clock, and
/// without one each look at it would be a trap, so there are few.
fn spin_until(signals: u64) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < LONG {
        for _ in 0..50_000_000 {
            if SIGNALS.load(SeqCst) >= signals {
                return true;
            }
        }
    }
    false
}

/// A timer's signals.
pub fn timer() -> Verdict {
    count_signals(libc::SIGALRM);
    let every = libc::timeval { tv_sec: 0, tv_usec: 5000 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: a timer, and nothing for the old one.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    ensure!(spin_until(20), "of 20 signals of a timer {} came", SIGNALS.load(SeqCst));
    Ok(())
}

/// A signal of another process.
pub fn signal() -> Verdict {
    count_signals(libc::SIGUSR1);
    let own = std::process::id() as i32;
    let other = child(move || {
        for _ in 0..1000 {
            pause(2);
            kill(own, libc::SIGUSR1);
        }
        Ok(())
    })?;
    let came = spin_until(10);
    kill(other, libc::SIGKILL);
    wait_for(other)?;
    ensure!(came, "of 10 signals of another process {} came", SIGNALS.load(SeqCst));
    Ok(())
}

/// SIGKILL.
pub fn kill_spinning() -> Verdict {
    for time in 0..20 {
        let gate = Gate::new()?;
        let spinning = child(|| {
            gate.open();
            loop {
                std::hint::spin_loop();
            }
        })?;
        gate.wait();
        pause(time % 3);
        kill(spinning, libc::SIGKILL);
        let status = wait_for(spinning)?;
        ensure!(status == libc::SIGKILL, "a killed process ended with status {status:#x}");
    }
    Ok(())
}

/// More processes than CPUs, which only compute: all get on.
pub fn slices() -> Verdict {
    let cpu = cpus()[0];
    let counters = map(1, WRITE, true)?;
    let mut children = Vec::new();
    for number in 0..3 {
        children.push(child(move || {
            pin(0, cpu)?;
            loop {
                word(counters + number * 64).fetch_add(1, SeqCst);
            }
        })?);
    }
    let counts = || [0, 1, 2].map(|number| word(counters + number * 64).load(SeqCst));
    let begin = Instant::now();
    // Each of them goes on after all have begun.
    while counts().contains(&0) && begin.elapsed() < LONG {
        pause(5);
    }
    let first = counts();
    while counts().iter().zip(first).any(|(now, first)| *now == first) && begin.elapsed() < LONG {
        pause(5);
    }
    let last = counts();
    for other in children {
        kill(other, libc::SIGKILL);
        wait_for(other)?;
    }
    ensure!(
        last.iter().zip(first).all(|(last, first)| *last > first),
        "three processes that compute on one CPU came as far as {first:?}, then {last:?}"
    );
    Ok(())
}

/// One that sleeps wakes in time, though others compute.
pub fn sleeper() -> Verdict {
    let mut children = Vec::new();
    for _ in 0..cpus().len() + 1 {
        children.push(child(|| {
            loop {
                std::hint::spin_loop();
            }
        })?);
    }
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let begin = Instant::now();
        pause(3);
        longest = longest.max(begin.elapsed());
    }
    for other in children {
        kill(other, libc::SIGKILL);
        wait_for(other)?;
    }
    ensure!(longest < Duration::from_secs(4), "it slept {longest:?} instead of 3 ms");
    Ok(())
}

/// An interruption at any instruction changes nothing of a computation.
pub fn computation() -> Verdict {
    count_signals(libc::SIGALRM);
    let every = libc::timeval { tv_sec: 0, tv_usec: 500 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: a timer, and nothing for the old one.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    let compute = || {
        let mut chance = Chance::new(1);
        (0..2_000_000).fold(0u64, |sum, _| std::hint::black_box(sum.rotate_left(7) ^ chance.next()))
    };
    let first = compute();
    let begin = Instant::now();
    while SIGNALS.load(SeqCst) < 50 && begin.elapsed() < LONG {
        let again = compute();
        ensure!(again == first, "a computation came to {again:#x}, and before to {first:#x}");
    }
    ensure!(SIGNALS.load(SeqCst) >= 50, "of 50 signals of a timer {} came", SIGNALS.load(SeqCst));
    Ok(())
}
