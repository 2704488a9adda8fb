//! What tasks and processes remember of signals.

use super::cpu_timer::CpuTimers;
use super::info::SigInfo;
use super::posix_timer::{TimerSignal, Timers};
use super::set::{SIGRTMIN, SigSet};
use super::trap::FaultRecord;
use crate::task::Call;
use crate::{Errno, Result};
use std::collections::VecDeque;

/// Signals that were sent and not yet taken: a queue of a thread, or one its whole process shares.
#[derive(Default)]
pub struct Pending {
    /// The signals that are pending. One without an entry in the queue was sent when the queue was
    /// full.
    set: SigSet,
    queue: VecDeque<Queued>,
}

/// A signal in a queue.
pub struct Queued {
    pub info: SigInfo,
    /// Counts it against RLIMIT_SIGPENDING while it waits.
    pub charge: Option<super::send::Charge>,
    /// The POSIX timer it is from.
    pub timer: Option<TimerSignal>,
}

impl Pending {
    pub fn set(&self) -> SigSet {
        self.set
    }

    /// Queues it, or for a standard signal that is pending already, drops it.
    pub fn push(&mut self, queued: Queued) {
        let signal = queued.info.signal();
        if signal < SIGRTMIN && self.set.contains(signal) && queued.timer.is_none() {
            return;
        }
        self.set.insert(signal);
        self.queue.push_back(queued);
    }

    /// Makes it pending without anything to tell about it.
    pub fn mark(&mut self, signal: i32) {
        self.set.insert(signal);
    }

    /// Takes the oldest instance of a signal.
    pub(super) fn take(&mut self, signal: i32) -> Option<Queued> {
        if !self.set.contains(signal) {
            return None;
        }
        let mut found = None;
        let mut more = false;
        let mut at = 0;
        while at < self.queue.len() {
            if self.queue[at].info.signal() == signal {
                if found.is_some() {
                    more = true;
                    break;
                }
                found = self.queue.remove(at);
            } else {
                at += 1;
            }
        }
        if !more {
            self.set.remove(signal);
        }
        Some(found.unwrap_or(Queued { info: SigInfo::kill(signal, 0, 0), charge: None, timer: None }))
    }

    /// What is queued, oldest first.
    pub fn queued(&self) -> impl Iterator<Item = SigInfo> {
        self.queue.iter().map(|queued| queued.info)
    }

    /// Forgets all of `signals`.
    pub fn flush(&mut self, signals: SigSet) {
        if !self.set.intersection(signals).is_empty() {
            self.set = self.set.without(signals);
            self.queue.retain(|queued| !signals.contains(queued.info.signal()));
        }
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }
}

/// The alternate signal stack (sigaltstack(2)).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct AltStack {
    pub sp: u64,
    pub size: u64,
    /// SS_DISABLE, SS_AUTODISARM.
    pub flags: i32,
}

impl AltStack {
    pub const NONE: AltStack = AltStack { sp: 0, size: 0, flags: abi::SS_DISABLE };

    /// Whether a stack pointer is on it. One that disarms itself is never in use.
    pub fn holds(&self, sp: u64) -> bool {
        self.flags & abi::SS_AUTODISARM == 0 && self.contains(sp)
    }

    /// Whether the address lies on it.
    pub fn contains(&self, sp: u64) -> bool {
        sp > self.sp && sp - self.sp <= self.size
    }

    /// SS_DISABLE, SS_ONSTACK or 0, for a thread whose stack pointer is `sp`.
    pub fn state(&self, sp: u64) -> i32 {
        if self.size == 0 {
            abi::SS_DISABLE
        } else if self.holds(sp) {
            abi::SS_ONSTACK
        } else {
            0
        }
    }
}

/// How restart_syscall(2) goes on with an interrupted sleep.
pub type Restart = Box<dyn FnOnce(&mut Call<'_>) -> Result<u64> + Send>;

/// Signal state of a thread.
#[derive(Default)]
pub struct TaskSignals {
    /// Blocked signals.
    pub mask: SigSet,
    /// The mask to go back to after a call that blocks others for its duration (sigsuspend, ppoll,
    /// ...).
    pub saved_mask: Option<SigSet>,
    /// The signals that rt_sigtimedwait(2) waits for: they wake the thread although they are
    /// blocked.
    pub awaited: SigSet,
    /// Signals sent to this thread alone.
    pub pending: Pending,
    pub alt_stack: AltStack,
    pub restart: Option<Restart>,
    /// It has to take part in a stop of its process.
    pub stop_pending: bool,
    /// It has to stop for its tracer.
    pub trap_pending: bool,
    /// It is stopped, by job control.
    pub stopped: bool,
    /// It has begun to exit and takes no more signals.
    pub exiting: bool,
    /// Its last exception.
    pub fault: FaultRecord,
    /// Where its extended state is on the way to and from frames.
    pub images: super::xstate::Images,
}

impl TaskSignals {
    /// What a new thread or process starts with: its creator's mask, nothing pending. Threads that
    /// share memory (CLONE_VM without CLONE_VFORK) do not share the alternate stack.
    pub fn for_clone(&self, keep_alt_stack: bool) -> TaskSignals {
        TaskSignals {
            mask: self.mask,
            alt_stack: if keep_alt_stack { self.alt_stack } else { AltStack::NONE },
            ..TaskSignals::default()
        }
    }

    /// Keeps how to go on with the current system call, which returns the error given:
    /// `return Err(signals.restart_with(..))`.
    pub fn restart_with(&mut self, restart: Restart) -> Errno {
        self.restart = Some(restart);
        Errno::ERESTART_RESTARTBLOCK
    }
}

/// Signal state that the threads of a process share.
#[derive(Default)]
pub struct ProcessSignals {
    /// Signals sent to the process as a whole.
    pub pending: Pending,
    /// The signal that is stopping it, until all threads have stopped; then
    /// [`crate::task::process::Job`] has it.
    pub stopping: Option<i32>,
    pub timers: Timers,
    pub cpu: CpuTimers,
}
