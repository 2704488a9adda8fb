//! Preemption points: where long work in the core lets others in.
//!
//! Core code is not preempted, so work whose length a guest chooses is cut into steps of well below
//! a millisecond, with a call of [`preempt_point`] after each. There the big lock is handed to
//! whoever waits for it, the host's news and due timers are acted on, and another task of the CPU
//! runs if the slice is over. Anything of the core's may have changed afterwards: as in a sleep, no
//! borrow and no computed address may be held.

use super::{CPUS, hand_to_idle_cpu, load, park, stopping, yield_now};
use super::{events, timer};
use crate::lock::{self, KCell};
use crate::{Errno, Result, time};

/// No shorter than this between two times that others are let in.
const BREATH_NS: u64 = 250_000;

/// A preemption point lets the host's news in, whose handlers may come to another one.
static DELIVERING: KCell<bool> = KCell::new(false);

/// Lets others in if the last time was long enough ago.
///
/// # Panics
/// If core data is borrowed or a window onto guest memory is held, whether others are let in or
/// not.
#[track_caller]
pub fn preempt_point() {
    lock::assert_no_borrows();
    // A unit test has no CPUs.
    let Some(machine) = super::MACHINE.get() else { return };
    let cpu = machine.current_cpu();
    let now = time::now();
    {
        let mut cpus = CPUS.borrow_mut();
        // The idle context, which only takes in news, has nobody to make way for.
        let Some(cpu) = cpus.get_mut(cpu) else { return };
        let Some(current) = &cpu.current else { return };
        // A task that came out of user mode, or had its turn, since then took the lock anew.
        if now.saturating_sub(cpu.breath.max(current.in_core_since())) < BREATH_NS {
            return;
        }
        cpu.breath = now;
    }
    if DELIVERING.get() {
        return;
    }
    lock::let_others_in();
    if stopping() {
        park();
        return;
    }
    if !DELIVERING.replace(true) {
        events::deliver();
        timer::expire();
        load::sample();
        DELIVERING.set(false);
    }
    hand_to_idle_cpu(cpu);
    let expired = {
        let cpus = CPUS.borrow();
        !cpus[cpu].queue.is_empty() && now >= cpus[cpu].slice_end
    };
    if expired {
        yield_now();
    }
}

/// As `preempt_point`, in work that SIGKILL ends: EINTR, which the process does not live to see.
#[track_caller]
pub fn killable_point() -> Result<()> {
    preempt_point();
    if super::MODEL.get().is_some() && super::current().fatal_signal_pending() { Err(Errno::EINTR) } else { Ok(()) }
}
