//! The occasions at which a tracee stops. All of this is called by the tracee itself, and returns
//! at once for a thread without a tracer.

use super::registers::{FLAG_TRAP, call_arguments, number_of_call};
use super::stop::{Kind, Occasion, end_step, stop, wants};
use super::{NO_CALL, Options, Pace};
use crate::Pid;
use crate::task::clone::CloneArgs;
use crate::task::signal::{self, Queued, SigInfo, SyscallOutcome};
use crate::task::{Process, Task};
use abi::number::extended;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use umlab_model::{SyscallAbi, Trap, UserThread};

/// PTRACE_EVENT_STOP.
pub(super) const EVENT_STOP: i32 = abi::PTRACE_EVENT_STOP;

/// The stop that job control has the process in, or is bringing it into: its signal.
pub(super) fn group_stop(process: &Process) -> Option<i32> {
    let stopping = process.signals.borrow().stopping;
    stopping.or(process.job.borrow().stopped)
}

/// A signal is about to be acted on: the tracer may take it away, or give another one.
pub fn before_signal(
    task: &Arc<Task>,
    user: &mut dyn UserThread,
    info: SigInfo,
    outcome: &mut Option<SyscallOutcome>,
) -> Option<SigInfo> {
    let signal = info.signal();
    let tracer = task.trace.tracer();
    let occasion = Occasion { kind: Kind::Signal, code: signal, info: Some(info) };
    let Some(stop) = stop(task, user, occasion, outcome) else {
        return task.ending().is_none().then_some(info);
    };
    let chosen = stop.let_go.filter(|&signal| signal != 0)?;
    let info = match stop.info {
        Some(info) if info.signal() == chosen => info,
        _ => {
            let (pid, uid) = tracer.map_or((0, 0), |tracer| (tracer.pid(), tracer.creds().uid));
            SigInfo::kill(chosen, pid, uid)
        }
    };
    if chosen == abi::SIGKILL {
        let _ = signal::send_to_task(task, info);
        return None;
    }
    let mut signals = task.signals.borrow_mut();
    if signals.mask.contains(chosen) {
        signals.pending.push(Queued { info, charge: None, timer: None });
        return None;
    }
    Some(info)
}

/// A handler was entered. With a step, its first instruction is not carried out yet.
pub fn handler_entered(task: &Arc<Task>, user: &mut dyn UserThread, stepping: bool) {
    if stepping && task.trace.is_traced() {
        let occasion = occasion(task, Kind::Handler, abi::SIGTRAP);
        stop(task, user, occasion, &mut None);
    }
}

/// A handler is about to be entered: its frame must not have the tracer's trap flag. Returns
/// whether there was one.
pub fn before_handler(task: &Arc<Task>, user: &mut dyn UserThread) -> bool {
    end_step(task, user)
}

/// Job control stops the process, or the tracer asked for a stop.
pub fn job_trap(task: &Arc<Task>, user: &mut dyn UserThread, outcome: &mut Option<SyscallOutcome>) {
    let group = group_stop(&task.process);
    let seized = task.trace.of_link(|link| link.seized).unwrap_or(false);
    {
        let mut signals = task.signals.borrow_mut();
        signals.trap_pending = false;
        signals.stop_pending = false;
        signals.stopped = group.is_some();
    }
    let occasion = match group {
        _ if seized => Some(occasion(task, Kind::Group, group.unwrap_or(abi::SIGTRAP) | EVENT_STOP << 8)),
        Some(signal) => Some(Occasion { kind: Kind::Group, code: signal, info: None }),
        None => None,
    };
    if group.is_some() {
        signal::complete_stop(&task.process);
    }
    match (occasion, task.trace.tracer()) {
        (Some(occasion), _) => drop(stop(task, user, occasion, outcome)),
        // It may wait for a stop that SIGCONT has made unnecessary.
        (None, Some(tracer)) => tracer.process.child_events.wake_all(),
        (None, None) => {}
    }
    task.signals.borrow_mut().stopped = false;
}

/// SIGCONT was sent to the process: tracees that were seized stop anew to tell of it.
pub fn on_continue(process: &Arc<Process>) {
    for thread in process.threads() {
        if thread.trace.of_link(|link| link.seized).unwrap_or(false) {
            thread.signals.borrow_mut().trap_pending = true;
            signal::wake(&thread);
        }
    }
}

/// The thread has left user mode.
pub fn left_user(task: &Arc<Task>, trap: &Trap) {
    let call = match trap {
        Trap::Syscall { number, abi, .. } if *abi != SyscallAbi::Vsyscall => *number,
        _ => NO_CALL,
    };
    task.trace.change_link(|link| link.call = call);
}

/// An exception that is the end of a step, of a thread that has no tracer any more: there was none.
pub fn is_left_over_step(task: &Arc<Task>, user: &mut dyn UserThread, signal: i32, code: i32) -> bool {
    signal == abi::SIGTRAP && code == abi::TRAP_TRACE && !task.trace.is_traced() && end_step(task, user)
}

/// A system call begins. Its number and arguments may be others afterwards; false when it is not to
/// be carried out.
pub fn call_begins(task: &Arc<Task>, user: &mut dyn UserThread, number: &mut u64, args: &mut [u64; 6]) -> bool {
    let pace = task.trace.pace();
    if !matches!(pace, Pace::Syscall | Pace::Emulate) {
        return true;
    }
    let occasion = call_occasion(task, Kind::SyscallEntry);
    let Some(stop) = stop(task, user, occasion, &mut None) else { return task.ending().is_none() };
    send_after_stop(task, stop.let_go);
    if stop.regs_changed {
        *number = number_of_call(&stop.regs);
        *args = call_arguments(&stop.regs);
        task.trace.change_link(|link| link.call = stop.regs.orig_rax);
    }
    let skipped = pace == Pace::Emulate || *number == NO_CALL;
    if skipped {
        // The result is what the registers have, which the tracer may have set.
        user.set_result(stop.regs.rax);
    }
    !skipped && task.ending().is_none()
}

/// A system call is over, its result in the registers.
pub fn call_ends(
    task: &Arc<Task>,
    user: &mut dyn UserThread,
    mut outcome: Option<SyscallOutcome>,
) -> Option<SyscallOutcome> {
    if task.ending().is_some() {
        return outcome;
    }
    match task.trace.pace() {
        Pace::Syscall => {
            let occasion = call_occasion(task, Kind::SyscallExit);
            let stop = stop(task, user, occasion, &mut outcome);
            send_after_stop(task, stop.and_then(|stop| stop.let_go));
        }
        Pace::Step => {
            end_step(task, user);
            signal::force(task, SigInfo::fault(abi::SIGTRAP, abi::TRAP_BRKPT, user.regs().rip));
        }
        Pace::Free | Pace::Emulate => {}
    }
    outcome
}

/// At a system call's stop there is no signal to be acted on: one that the tracer gives is sent.
fn send_after_stop(task: &Arc<Task>, signal: Option<i32>) {
    if let Some(signal) = signal.filter(|&signal| signal != 0) {
        let _ = signal::send_to_task(task, SigInfo::kernel(signal));
    }
}

fn call_occasion(task: &Task, kind: Kind) -> Occasion {
    let mark = if wants(task, Options::SYSGOOD) { 0x80 } else { 0 };
    occasion(task, kind, abi::SIGTRAP | mark)
}

/// A stop that is not a signal's has a siginfo of its own.
fn occasion(task: &Task, kind: Kind, code: i32) -> Occasion {
    let mut info = SigInfo::kill(code & 0x7f, task.tid(), task.creds().uid);
    info.set_code(code);
    Occasion { kind, code, info: Some(info) }
}

fn event(task: &Arc<Task>, user: &mut dyn UserThread, kind: Kind, event: i32, message: u64) {
    task.trace.change_link(|link| link.message = message);
    let occasion = occasion(task, kind, abi::SIGTRAP | event << 8);
    stop(task, user, occasion, &mut None);
}

/// The event by which a tracee tells that it makes a task, if it is to tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CloneEvent(i32);

pub fn clone_event(task: &Task, args: &CloneArgs) -> Option<CloneEvent> {
    if !task.trace.is_traced() || args.flags & abi::CLONE_UNTRACED != 0 {
        return None;
    }
    let (event, option) = if args.flags & abi::CLONE_VFORK != 0 {
        (abi::PTRACE_EVENT_VFORK, Options::VFORK)
    } else if args.exit_signal != abi::SIGCHLD {
        (abi::PTRACE_EVENT_CLONE, Options::CLONE)
    } else {
        (abi::PTRACE_EVENT_FORK, Options::FORK)
    };
    wants(task, option).then_some(CloneEvent(event))
}

/// A copy of a tracee's registers has no trap flag of its tracer's.
pub fn child_does_not_step(parent: &Task, child: &mut dyn UserThread) {
    if parent.trace.stepping.load(Relaxed) {
        child.regs_mut().eflags &= !FLAG_TRAP;
    }
}

/// Whether the new task has its maker's tracer.
pub fn child_is_traced(event: Option<CloneEvent>, args: &CloneArgs) -> bool {
    event.is_some() || args.flags & abi::CLONE_PTRACE != 0
}

/// A task was made, and runs.
pub fn cloned(task: &Arc<Task>, user: &mut dyn UserThread, CloneEvent(number): CloneEvent, child: Pid) {
    event(task, user, Kind::Event, number, extended(child));
}

/// The child has given the address space back.
pub fn vfork_done(task: &Arc<Task>, user: &mut dyn UserThread, child: Pid) {
    if wants(task, Options::VFORK_DONE) && task.ending().is_none() {
        event(task, user, Kind::Event, abi::PTRACE_EVENT_VFORK_DONE, extended(child));
    }
}

/// Another program was loaded. `old` was the thread's number before.
pub fn executed(task: &Arc<Task>, user: &mut dyn UserThread, old: Pid) {
    if wants(task, Options::EXEC) {
        event(task, user, Kind::Event, abi::PTRACE_EVENT_EXEC, extended(old));
    } else if !task.trace.of_link(|link| link.seized).unwrap_or(true) {
        // The stop of old: a signal, which waits until the call is over.
        let _ = signal::send_to_task(task, SigInfo::kill(abi::SIGTRAP, task.pid(), task.creds().uid));
    }
}

/// The thread is about to end, and still has all that it had. SIGKILL lets nobody look any more.
pub fn exiting(task: &Arc<Task>, user: &mut dyn UserThread) {
    let status = task.ending().unwrap_or(0);
    if wants(task, Options::EXIT) && status & 0x7f != abi::SIGKILL {
        event(task, user, Kind::Exit, abi::PTRACE_EVENT_EXIT, extended(status));
    }
}

/// The thread is to end, and is ending already: it does not wait for its tracer any longer.
pub fn end_anew(task: &Arc<Task>) {
    if let Some(stop) = &mut *task.trace.stop.borrow_mut() {
        stop.let_go.get_or_insert(0);
    }
    crate::sched::wake(task);
}
