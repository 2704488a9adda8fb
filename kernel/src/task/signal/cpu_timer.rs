//! Timers that count CPU time: ITIMER_VIRTUAL, ITIMER_PROF, timer_create(2) on CPU clocks,
//! RLIMIT_CPU.
//!
//! What a process used is known when its threads trap, so that is when these timers are looked at.
//! A thread that computes without trapping is brought in by a wall-clock timer at the earliest time
//! the next one could be due.

use super::info::SigInfo;
use super::posix_timer::PosixTimer;
use super::send::send_to_process;
use crate::limits;
use crate::sched;
use crate::sched::Timer;
use crate::sched::wait::{Wake, WakeReason};
use crate::task::Process;
use crate::task::exit::{exit_group, killed_by};
use crate::task::usage::Usage;
use crate::time::{self, NS_PER_SEC};
use std::sync::{Arc, Weak};

/// CPU timers are as fine as a kernel's tick.
const TICK_NS: u64 = 4_000_000;

/// What of the used time counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CpuClock {
    User,
    /// User and system time.
    Total,
}

impl CpuClock {
    pub fn read(self, usage: &Usage) -> u64 {
        match self {
            CpuClock::User => usage.user,
            CpuClock::Total => usage.total(),
        }
    }
}

/// One of setitimer(2)'s CPU timers: when it is due by its clock (0 for never), and its period.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct CpuTimer {
    pub due: u64,
    pub interval: u64,
}

/// A process's CPU timers.
#[derive(Default)]
pub struct CpuTimers {
    /// ITIMER_VIRTUAL and ITIMER_PROF.
    pub virtual_timer: CpuTimer,
    pub prof_timer: CpuTimer,
    /// timer_create(2)'s that are armed.
    posix: Vec<Arc<PosixTimer>>,
    /// Total CPU time at which RLIMIT_CPU sends its next SIGXCPU; 0 while it does not limit.
    limit_due: u64,
    /// The wall-clock timer that brings computing threads in.
    tick: Option<(Timer, Arc<dyn Wake>)>,
}

impl CpuTimers {
    /// How far the next timer is away, at least; None when none is armed.
    fn next(&self, usage: &Usage) -> Option<u64> {
        let (user, total) = (CpuClock::User.read(usage), CpuClock::Total.read(usage));
        let own = [(self.virtual_timer.due, user), (self.prof_timer.due, total), (self.limit_due, total)];
        let posix = self.posix.iter().map(|timer| (timer.cpu_due(), timer.cpu_now(usage)));
        own.into_iter().chain(posix).filter(|(due, _)| *due != 0).map(|(due, now)| due.saturating_sub(now)).min()
    }

    pub fn is_armed(&self) -> bool {
        self.tick.is_some()
    }

    pub(super) fn add(&mut self, timer: &Arc<PosixTimer>) {
        self.remove(timer);
        self.posix.push(timer.clone());
    }

    pub(super) fn remove(&mut self, timer: &Arc<PosixTimer>) {
        self.posix.retain(|other| !Arc::ptr_eq(other, timer));
    }
}

/// Brings the process's threads in when a CPU timer may be due.
struct Tick(Weak<Process>);

impl Wake for Tick {
    fn wake(&self, _reason: WakeReason) {
        let Some(process) = self.0.upgrade() else { return };
        for thread in process.threads() {
            // Each accounts its time as it comes in.
            sched::interrupt(&*thread);
        }
        check(&process);
        rearm(&process);
    }
}

/// Sets the wall-clock timer for the next CPU timer, or drops it. Called when any of them was set.
pub fn rearm(process: &Arc<Process>) {
    let usage = *process.usage.borrow();
    let next = process.signals.borrow().cpu.next(&usage);
    let tick = next.map(|left| {
        let threads = process.thread_count().max(1) as u64;
        let target: Arc<dyn Wake> = Arc::new(Tick(Arc::downgrade(process)));
        let deadline = time::now().saturating_add((left / threads).max(TICK_NS));
        (Timer::new(deadline, &target), target)
    });
    let old = std::mem::replace(&mut process.signals.borrow_mut().cpu.tick, tick);
    drop(old);
}

/// RLIMIT_CPU was set or inherited.
pub fn limit_changed(process: &Arc<Process>) {
    let soft = process.limit(limits::CPU);
    process.signals.borrow_mut().cpu.limit_due =
        if soft == limits::INFINITY { 0 } else { soft.saturating_mul(NS_PER_SEC).max(1) };
    rearm(process);
}

/// Sends the signals of the CPU timers that are due. Cheap when none is armed; called when time was
/// accounted.
pub fn check(process: &Arc<Process>) {
    if !process.signals.borrow().cpu.is_armed() {
        return;
    }
    let usage = *process.usage.borrow();
    let mut due = Vec::new();
    let posix = {
        let mut signals = process.signals.borrow_mut();
        let cpu = &mut signals.cpu;
        let timers = [
            (&mut cpu.virtual_timer, CpuClock::User.read(&usage), abi::SIGVTALRM),
            (&mut cpu.prof_timer, CpuClock::Total.read(&usage), abi::SIGPROF),
        ];
        for (timer, now, signal) in timers {
            if timer.due != 0 && now >= timer.due {
                timer.due = next_due(timer.due, timer.interval, now);
                due.push(signal);
            }
        }
        let (posix, left) = std::mem::take(&mut cpu.posix)
            .into_iter()
            .partition(|t: &Arc<PosixTimer>| t.cpu_now(&usage) >= t.cpu_due());
        cpu.posix = left;
        posix
    };
    for signal in due {
        // A standard signal of the kernel's always gets through.
        let _ = send_to_process(process, SigInfo::kernel(signal));
    }
    let posix: Vec<Arc<PosixTimer>> = posix;
    for timer in posix {
        timer.expired();
    }
    check_limit(process, CpuClock::Total.read(&usage));
}

/// The first expiration after `now`; 0 for a timer without a period.
fn next_due(due: u64, interval: u64, now: u64) -> u64 {
    match interval {
        0 => 0,
        _ => due.saturating_add(((now - due) / interval + 1).saturating_mul(interval)),
    }
}

fn check_limit(process: &Arc<Process>, used: u64) {
    let due = process.signals.borrow().cpu.limit_due;
    if due == 0 || used < due {
        return;
    }
    let hard = process.limits.borrow().get(limits::CPU).hard;
    if hard != limits::INFINITY && used >= hard.saturating_mul(NS_PER_SEC) {
        if let Some(task) = process.main_thread() {
            exit_group(&task, killed_by(abi::SIGKILL, false));
        }
        return;
    }
    // One more each second, as long as it goes on.
    process.signals.borrow_mut().cpu.limit_due = due.saturating_add(NS_PER_SEC);
    let _ = send_to_process(process, SigInfo::kernel(abi::SIGXCPU));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_counted_from_the_first_expiration() {
        assert_eq!(next_due(100, 10, 100), 110);
        assert_eq!(next_due(100, 10, 125), 130);
        assert_eq!(next_due(100, 0, 125), 0);
        assert_eq!(next_due(u64::MAX - 1, u64::MAX, u64::MAX), u64::MAX);
    }
}
