//! A tracee's stop.

use super::registers::{FLAG_TRAP, sanitise};
use super::{NO_CALL, Options, Pace, wait};
use crate::Errno;
use crate::sched::wait::{Sleep, wait_until};
use crate::task::Task;
use crate::task::signal::{SigInfo, SyscallOutcome};
use abi::number::extended;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use umlab_model::{Regs, UserThread};

/// The occasion of a stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Before a signal is acted on.
    Signal,
    /// A stop of the whole process by job control, or PTRACE_EVENT_STOP.
    Group,
    SyscallEntry,
    SyscallExit,
    /// PTRACE_EVENT_*, in a system call.
    Event,
    /// A step has led into a signal's handler.
    Handler,
    /// Before the end: PTRACE_EVENT_EXIT.
    Exit,
}

/// What a tracee that is stopped leaves for its tracer.
pub struct Stop {
    pub(super) kind: Kind,
    /// What wait(2) tells in the upper part of the status, until it has told.
    pub(super) code: i32,
    pub(super) news: bool,
    /// None in a stop of job control, for a tracer that did not seize.
    pub(super) info: Option<SigInfo>,
    pub(super) regs: Regs,
    pub(super) regs_changed: bool,
    /// In XSAVE layout.
    pub(super) extended: Vec<u8>,
    pub(super) extended_changed: bool,
    /// PTRACE_LISTEN: it stays stopped, is not to be asked anything, and stops anew at what
    /// happens.
    pub(super) listening: bool,
    /// Some once the tracer lets it go on, with a signal or 0.
    pub(super) let_go: Option<i32>,
}

impl Stop {
    /// Whether the thread ends when it goes on.
    pub(super) fn is_last(&self) -> bool {
        self.kind == Kind::Exit
    }

    /// The beginning and the end of a system call are told apart by what PTRACE_GETEVENTMSG gives.
    fn message(&self) -> Option<u64> {
        match self.kind {
            Kind::SyscallEntry => Some(1),
            Kind::SyscallExit => Some(2),
            _ => None,
        }
    }
}

/// What is to be told of a stop.
pub(super) struct Occasion {
    pub kind: Kind,
    pub code: i32,
    pub info: Option<SigInfo>,
}

/// Stops the current thread, which is a tracee, until its tracer lets it go on. None when it did
/// not stop, or was killed meanwhile. `outcome` is the system call it returns from, which is
/// another one afterwards if the tracer has changed its registers so.
pub(super) fn stop(
    task: &Arc<Task>,
    user: &mut dyn UserThread,
    occasion: Occasion,
    outcome: &mut Option<SyscallOutcome>,
) -> Option<Box<Stop>> {
    let tracer = task.trace.tracer()?;
    let Occasion { kind, code, info } = occasion;
    if task.ending().is_some() && kind != Kind::Exit {
        return None;
    }
    let mut regs = *user.regs();
    // The flag that lets it step is nobody's business but ours.
    let regs_changed = task.trace.stepping.swap(false, Relaxed);
    if regs_changed {
        regs.eflags &= !FLAG_TRAP;
    }
    let call = outcome.map(|outcome| outcome.number).or(task.trace.of_link(|link| link.call));
    regs.orig_rax = call.unwrap_or(NO_CALL);
    if matches!(kind, Kind::SyscallEntry | Kind::Event) {
        // In a call there is no result yet.
        regs.rax = extended(-Errno::ENOSYS.raw());
    }
    let stop = Box::new(Stop {
        kind,
        code,
        news: true,
        info,
        regs,
        regs_changed,
        extended: user.extended_state(),
        extended_changed: false,
        listening: false,
        let_go: None,
    });
    if let Some(message) = stop.message() {
        task.trace.change_link(|link| link.message = message);
    }
    task.trace.stop.set(Some(stop));
    wait::tell_of_stop(&tracer, task, kind, code);
    drop(tracer);
    rest(task, kind);
    let stop = task.trace.stop.take()?;
    if stop.regs_changed {
        let regs = user.regs_mut();
        *regs = sanitise(regs, &stop.regs);
        *outcome = outcome_of(&stop.regs);
    }
    if stop.extended_changed {
        // It was judged when it was given.
        let _ = user.set_extended_state(&stop.extended);
    }
    if task.trace.pace() == Pace::Step && task.ending().is_none() {
        step(task, user);
    }
    stop.let_go?;
    Some(stop)
}

/// Sleeps until the stop is over. SIGKILL ends it, and while listening what happens to the thread.
fn rest(task: &Arc<Task>, kind: Kind) {
    let over = || {
        let stop = task.trace.stop.borrow();
        stop.as_ref().is_none_or(|stop| stop.let_go.is_some() || stop.listening && task.signals.borrow().trap_pending)
    };
    // One that is ending already is let go by whoever kills it again.
    let sleep = if kind == Kind::Exit { Sleep::Uninterruptible } else { Sleep::Killable };
    let _ = wait_until(&[], None, sleep, || over().then_some(()));
}

/// Sets the trap flag, if the thread has not set it itself.
fn step(task: &Arc<Task>, user: &mut dyn UserThread) {
    if user.regs().eflags & FLAG_TRAP == 0 {
        user.regs_mut().eflags |= FLAG_TRAP;
        task.trace.stepping.store(true, Relaxed);
    }
}

/// Takes away a trap flag that is a tracer's doing. Whether there was one.
pub(super) fn end_step(task: &Arc<Task>, user: &mut dyn UserThread) -> bool {
    let stepping = task.trace.stepping.swap(false, Relaxed);
    if stepping {
        user.regs_mut().eflags &= !FLAG_TRAP;
    }
    stepping
}

/// The system call that registers tell of which a tracer set: one to be restarted, or none.
fn outcome_of(regs: &Regs) -> Option<SyscallOutcome> {
    if regs.orig_rax.cast_signed() < 0 {
        return None;
    }
    let error =
        i32::try_from(regs.rax.cast_signed()).ok().filter(|rax| *rax < 0 && *rax > -4096).map(Errno::from_raw)?;
    error.is_restart().then_some(SyscallOutcome { number: regs.orig_rax, result: Err(error) })
}

/// Whether an event is to be told of.
pub(super) fn wants(task: &Task, option: Options) -> bool {
    task.trace.of_link(|link| link.options.contains(option)).unwrap_or(false)
}
