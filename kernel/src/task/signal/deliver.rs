//! Delivery: what happens to pending signals on the way back to user mode, and to the system call
//! they interrupted.

use super::action::{Default as Action, SigAction, default_action};
use super::info::SigInfo;
use super::send::retarget;
use super::set::SigSet;
use super::state::{Pending, Queued};
use super::{frame, stop};
use crate::task::exit::{exit_group, killed_by};
use crate::task::ptrace::events;
use crate::task::{Task, core_dump};
use crate::{Errno, Result};
use std::sync::Arc;
use umlab_model::UserThread;

/// The system call that the thread returns from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SyscallOutcome {
    pub number: u64,
    pub result: Result<u64>,
}

/// What the trap loop does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterSignals {
    /// Enter user mode.
    Continue,
    /// The thread must exit; the wait status is the process's.
    Exit(i32),
}

/// Called before every return to user mode. `syscall` is the call that was trapped, its result
/// already in the result register (ERESTART* included: they do not survive this function), None
/// after other traps.
pub fn on_user_return(task: &Arc<Task>, user: &mut dyn UserThread, syscall: Option<SyscallOutcome>) -> AfterSignals {
    let syscall = syscall.filter(|outcome| outcome.result.is_err_and(Errno::is_restart));
    if syscall.is_none() && !needs_attention(task) {
        return AfterSignals::Continue;
    }
    deliver(task, user, syscall)
}

fn needs_attention(task: &Task) -> bool {
    task.signal_pending() || task.signals.borrow().saved_mask.is_some()
}

#[cold]
fn deliver(task: &Arc<Task>, user: &mut dyn UserThread, mut syscall: Option<SyscallOutcome>) -> AfterSignals {
    loop {
        if let Some(status) = task.ending() {
            return AfterSignals::Exit(status);
        }
        let (stops, traps) = {
            let signals = task.signals.borrow();
            (signals.stop_pending, signals.trap_pending)
        };
        if stops || traps {
            if task.trace.is_traced() {
                events::job_trap(task, user, &mut syscall);
            } else {
                task.signals.borrow_mut().trap_pending = false;
                if stops {
                    stop::take_part(task);
                }
            }
            continue;
        }
        let Some(mut info) = take_next(task) else { break };
        if task.trace.is_traced() {
            match events::before_signal(task, user, info, &mut syscall) {
                Some(chosen) => info = chosen,
                None => continue,
            }
        }
        crate::trace::signal(task.tid(), info.signal(), info.code());
        let signal = info.signal();
        let action = take_action(task, signal);
        match action.handler {
            abi::SIG_IGN => {}
            abi::SIG_DFL => act_by_default(task, user, &info),
            _ => {
                if let Some(outcome) = syscall.take() {
                    interrupt_syscall(user, outcome, &action);
                }
                let stepping = events::before_handler(task, user);
                match frame::enter_handler(task, user, &info, &action) {
                    Ok(()) => events::handler_entered(task, user, stepping),
                    Err(_) => super::trap::frame_failed(task, signal),
                }
            }
        }
    }
    if let Some(outcome) = syscall {
        restart_syscall(user, outcome);
    }
    // No handler has taken the saved mask into its frame: the call that set a temporary one is
    // over.
    let saved = task.signals.borrow_mut().saved_mask.take();
    if let Some(mask) = saved {
        set_mask(task, mask);
        if needs_attention(task) {
            return deliver(task, user, None);
        }
    }
    AfterSignals::Continue
}

/// Takes a pending signal of `set`, the thread's own first, for those who take signals without a
/// handler (sigwait, signalfd).
pub fn dequeue(task: &Task, set: SigSet) -> Option<SigInfo> {
    let take = |pending: &mut Pending| pending.set().intersection(set).first().and_then(|signal| pending.take(signal));
    loop {
        let own = take(&mut task.signals.borrow_mut().pending);
        let shared = own.is_none();
        let Queued { mut info, timer, .. } = own.or_else(|| take(&mut task.process.signals.borrow_mut().pending))?;
        if shared && info.signal() == abi::SIGALRM {
            let real = task.process.signals.borrow().timers.real.clone();
            if let Some(real) = real {
                real.signal_taken();
            }
        }
        if timer.is_none_or(|timer| timer.taken(&mut info)) {
            return Some(info);
        }
    }
}

/// Takes the next signal that is not blocked: what the thread itself caused, then its own, then the
/// process's.
fn take_next(task: &Task) -> Option<SigInfo> {
    let blocked = task.signals.borrow().mask;
    dequeue(task, SigSet::FULL.without(blocked))
}

fn take_action(task: &Task, signal: i32) -> SigAction {
    let actions = task.actions.borrow();
    let mut actions = actions.borrow_mut();
    let action = actions.get(signal);
    if action.has(abi::SA_RESETHAND) && action.handler != abi::SIG_IGN && action.handler != abi::SIG_DFL {
        actions.set(signal, SigAction { handler: abi::SIG_DFL, ..action });
    }
    action
}

fn act_by_default(task: &Arc<Task>, user: &mut dyn UserThread, info: &SigInfo) {
    let signal = info.signal();
    let action = default_action(signal);
    if matches!(action, Action::Ignore | Action::Continue) {
        return;
    }
    match action {
        // A stop that no shell could undo is not carried out.
        Action::Stop if signal != abi::SIGSTOP && task.process.group().is_orphaned(None) => {}
        Action::Stop => stop::begin(task, signal),
        Action::Core => core_dump::end_process(task, user, info),
        _ => exit_group(task, killed_by(signal, false)),
    }
}

/// The system call's result when a handler is about to run.
fn interrupt_syscall(user: &mut dyn UserThread, outcome: SyscallOutcome, action: &SigAction) {
    let Err(error) = outcome.result else { return };
    let again = error == Errno::ERESTARTNOINTR || error == Errno::ERESTARTSYS && action.has(abi::SA_RESTART);
    if again {
        restart_syscall(user, outcome);
    } else {
        user.regs_mut().rax = (-i64::from(Errno::EINTR.raw())).cast_unsigned();
    }
}

/// Sets the registers back to before the system call instruction (two bytes, whichever of the three
/// it was).
fn restart_syscall(user: &mut dyn UserThread, outcome: SyscallOutcome) {
    let number = match outcome.result {
        Err(Errno::ERESTART_RESTARTBLOCK) => abi::SYS_restart_syscall.cast_unsigned(),
        _ => outcome.number,
    };
    let regs = user.regs_mut();
    regs.rax = number;
    regs.rip = regs.rip.wrapping_sub(2);
}

/// Sets the current thread's mask. Signals of the process that it now blocks go to other threads.
pub fn set_mask(task: &Arc<Task>, mask: SigSet) {
    let added = {
        let mut signals = task.signals.borrow_mut();
        let mask = mask.as_mask();
        let added = mask.without(signals.mask);
        signals.mask = mask;
        added
    };
    if !added.is_empty() {
        retarget(task, added);
    }
}

/// Runs the waiting part of a system call with another mask (ppoll, pselect, epoll_pwait,
/// sigsuspend). When a signal ends it, the mask stays until that signal's handler runs, whose frame
/// has the old one; else it is restored.
pub fn with_temporary_mask<T>(task: &Arc<Task>, mask: Option<SigSet>, wait: impl FnOnce() -> Result<T>) -> Result<T> {
    let Some(mask) = mask else { return wait() };
    let old = task.signals.borrow().mask;
    task.signals.borrow_mut().saved_mask = Some(old);
    set_mask(task, mask);
    let result = wait();
    let interrupted = matches!(&result, Err(error) if error.is_restart() || *error == Errno::EINTR);
    if !interrupted {
        task.signals.borrow_mut().saved_mask = None;
        set_mask(task, old);
    }
    result
}

/// The mask argument of such calls: none for a null pointer. EINVAL unless `size` is that of a
/// kernel's sigset_t.
pub fn read_mask(task: &Task, addr: u64, size: u64) -> Result<Option<SigSet>> {
    if addr == 0 {
        return Ok(None);
    }
    if size != 8 {
        return Err(Errno::EINVAL);
    }
    Ok(Some(SigSet(task.space().read::<u64>(addr)?).as_mask()))
}
