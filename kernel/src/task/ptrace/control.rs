//! What a tracer asks of its tracees.

use super::events::EVENT_STOP;
use super::stop::{Kind, Stop};
use super::{Options, Pace, registers};
use crate::Pid;
use crate::mm::AddressSpace;
use crate::task::exit::{exit_group, killed_by};
use crate::task::signal::{self, SigInfo, SigSet};
use crate::task::{Task, find};
use crate::{Errno, Result};
use std::sync::Arc;
use umlab_model::Regs;

/// The tracee with this number.
///
/// # Errors
/// ESRCH when there is none, or it is not the caller's.
pub fn tracee(tracer: &Arc<Task>, tid: Pid) -> Result<Arc<Task>> {
    let target = find(tid).ok_or(Errno::ESRCH)?;
    match target.trace.tracer() {
        Some(owner) if Arc::ptr_eq(&owner, tracer) => Ok(target),
        _ => Err(Errno::ESRCH),
    }
}

/// The same, if it is stopped and not only to be listened to: else ESRCH.
pub fn stopped_tracee(tracer: &Arc<Task>, tid: Pid) -> Result<Arc<Task>> {
    let target = tracee(tracer, tid)?;
    with_stop(&target, |_| Ok(()))?;
    Ok(target)
}

/// Looks at a tracee's stop.
pub fn with_stop<T>(target: &Task, look: impl FnOnce(&mut Stop) -> Result<T>) -> Result<T> {
    let mut stop = target.trace.stop.borrow_mut();
    match &mut *stop {
        Some(stop) if stop.let_go.is_none() && !stop.listening && target.ending().is_none_or(|_| stop.is_last()) => {
            look(stop)
        }
        _ => Err(Errno::ESRCH),
    }
}

/// Lets a tracee go on, with a signal or 0.
pub fn let_go(target: &Arc<Task>, pace: Pace, signal: i32) -> Result<()> {
    with_stop(target, |stop| {
        stop.let_go = Some(signal);
        Ok(())
    })?;
    target.trace.change_link(|link| link.pace = pace);
    crate::sched::wake(target);
    Ok(())
}

/// PTRACE_KILL.
pub fn kill(target: &Arc<Task>) {
    exit_group(target, killed_by(abi::SIGKILL, false));
}

/// PTRACE_INTERRUPT: EIO unless it was seized.
pub fn interrupt(target: &Arc<Task>) -> Result<()> {
    if !target.trace.of_link(|link| link.seized).unwrap_or(false) {
        return Err(Errno::EIO);
    }
    target.signals.borrow_mut().trap_pending = true;
    signal::wake(target);
    Ok(())
}

/// PTRACE_LISTEN: EIO but in a PTRACE_EVENT_STOP.
pub fn listen(target: &Arc<Task>) -> Result<()> {
    let seized = target.trace.of_link(|link| link.seized).unwrap_or(false);
    with_stop(target, |stop| {
        let fits = seized && stop.info.is_some_and(|info| info.code() >> 8 == EVENT_STOP);
        stop.listening = fits;
        if fits { Ok(()) } else { Err(Errno::EIO) }
    })?;
    // What happened since the stop is told at once.
    crate::sched::wake(target);
    Ok(())
}

/// PTRACE_SETOPTIONS: EINVAL for those that do not exist here.
pub fn set_options(target: &Task, bits: u64) -> Result<()> {
    let options = u32::try_from(bits).ok().and_then(Options::from_bits).ok_or(Errno::EINVAL)?;
    target.trace.change_link(|link| link.options = options);
    Ok(())
}

/// PTRACE_GETEVENTMSG.
pub fn message(target: &Task) -> u64 {
    target.trace.of_link(|link| link.message).unwrap_or(0)
}

/// PTRACE_GETSIGINFO: EINVAL in a stop of job control, which has none.
pub fn signal_info(target: &Task) -> Result<SigInfo> {
    with_stop(target, |stop| stop.info.ok_or(Errno::EINVAL))
}

/// PTRACE_SETSIGINFO.
pub fn set_signal_info(target: &Task, info: SigInfo) -> Result<()> {
    with_stop(target, |stop| stop.info.as_mut().map(|place| *place = info).ok_or(Errno::EINVAL))
}

/// Signals that are pending for the thread, or with `shared` for its process: at most `count`, from
/// the one with this index on.
pub fn pending(target: &Task, shared: bool, from: u64, count: usize) -> Vec<SigInfo> {
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    if shared {
        target.process.signals.borrow().pending.queued().skip(from).take(count).collect()
    } else {
        target.signals.borrow().pending.queued().skip(from).take(count).collect()
    }
}

/// PTRACE_GETSIGMASK: the mask that counts outside a call with one of its own.
pub fn mask(target: &Task) -> SigSet {
    let signals = target.signals.borrow();
    signals.saved_mask.unwrap_or(signals.mask)
}

/// PTRACE_SETSIGMASK.
pub fn set_mask(target: &Arc<Task>, mask: SigSet) {
    target.signals.borrow_mut().saved_mask = None;
    signal::set_mask(target, mask);
}

pub fn regs(target: &Task) -> Result<Regs> {
    with_stop(target, |stop| Ok(stop.regs))
}

/// Replaces the registers: EIO for what user code cannot have.
pub fn set_regs(target: &Task, regs: &Regs) -> Result<()> {
    with_stop(target, |stop| {
        registers::judge(&stop.regs, regs)?;
        stop.regs = *regs;
        stop.regs_changed = true;
        Ok(())
    })
}

/// The extended state, in XSAVE layout.
pub fn extended_state(target: &Task) -> Result<Vec<u8>> {
    with_stop(target, |stop| Ok(stop.extended.clone()))
}

/// Replaces its first part, FXSAVE's, or all of it. EINVAL for what the CPU would refuse.
pub fn set_extended_state(target: &Task, state: &[u8]) -> Result<()> {
    with_stop(target, |stop| {
        stop.extended = signal::judge_extended_state(&stop.extended, state)?;
        stop.extended_changed = true;
        Ok(())
    })
}

/// What PTRACE_GET_SYSCALL_INFO tells.
pub enum CallInfo {
    Entry { number: u64, args: [u64; 6] },
    Exit { result: i64 },
    Neither,
}

/// The system call it is stopped at, which it tells only with PTRACE_O_TRACESYSGOOD, and its
/// registers.
pub fn call_info(target: &Task) -> Result<(CallInfo, Regs)> {
    const SYSCALL_STOP: i32 = abi::SIGTRAP | 0x80;
    with_stop(target, |stop| {
        let regs = stop.regs;
        let marked = stop.info.is_some_and(|info| info.code() == SYSCALL_STOP);
        let info = match stop.kind {
            Kind::SyscallEntry if marked => {
                CallInfo::Entry { number: regs.orig_rax, args: registers::call_arguments(&regs) }
            }
            Kind::SyscallExit if marked => CallInfo::Exit { result: regs.rax.cast_signed() },
            _ => CallInfo::Neither,
        };
        Ok((info, regs))
    })
}

/// A tracee's memory, for its tracer.
///
/// # Errors
/// EIO when it has none any more, or the program has rights that the tracer has not got.
pub fn memory(target: &Task) -> Result<Arc<AddressSpace>> {
    let dumpable = target.process.settings.borrow().dumpable == 1;
    let trusted = target.trace.of_link(|link| link.trusted).unwrap_or(false);
    if !dumpable && !trusted {
        return Err(Errno::EIO);
    }
    target.space.cloned().ok_or(Errno::EIO)
}
