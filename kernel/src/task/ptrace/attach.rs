//! How a tracer and a tracee come together, and how they part.

use super::wait::{self, Remains};
use super::{Link, NO_CALL, Options, Pace, Traced, Who};
use crate::Pid;
use crate::sched::wait::{Sleep, wait_until};
use crate::task::exit::{self, killed_by};
use crate::task::inspect::may_inspect;
use crate::task::signal::{self, SigInfo};
use crate::task::{Process, Task, find};
use crate::{Errno, Result};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

/// PTRACE_TRACEME: the parent becomes the tracer.
///
/// # Errors
/// EPERM with a tracer already, and when the parent may not trace the caller or is the built-in
/// init, which traces nobody.
pub fn trace_me(task: &Arc<Task>) -> Result<()> {
    let parent = task.process.parent().filter(|parent| !parent.is_init()).ok_or(Errno::EPERM)?;
    let maker = find(task.process.parent_thread()).filter(|maker| Arc::ptr_eq(&maker.process, &parent));
    let tracer = maker.or_else(|| parent.main_thread()).ok_or(Errno::EPERM)?;
    let (own, theirs) = (task.creds(), tracer.creds());
    let trusted = theirs.capable(abi::CAP_SYS_PTRACE);
    if task.trace.is_traced() || own.permitted & !theirs.permitted != 0 && !trusted {
        return Err(Errno::EPERM);
    }
    link(&tracer, task, Link { trusted, ..new_link(&tracer) });
    Ok(())
}

/// PTRACE_ATTACH, or with options PTRACE_SEIZE.
///
/// # Errors
/// EPERM for a thread of the same process, for one that has a tracer, and for one that may not be
/// looked into.
pub fn attach(tracer: &Arc<Task>, target: &Arc<Task>, seize: Option<Options>) -> Result<()> {
    let process = &target.process;
    if Arc::ptr_eq(&tracer.process, process) || process.is_init() {
        return Err(Errno::EPERM);
    }
    // A program that is being loaded is not joined half-way: the rights it will have are decided
    // already.
    wait_until(&[&process.exit_events], None, Sleep::Interruptible, || (process.executing.get() == 0).then_some(()))
        .map_err(|_| Errno::ERESTARTNOINTR)?;
    if !may_inspect(tracer, target) || target.trace.is_traced() || target.signals.borrow().exiting {
        return Err(Errno::EPERM);
    }
    let trusted = tracer.creds().capable(abi::CAP_SYS_PTRACE);
    let options = seize.unwrap_or_default();
    link(tracer, target, Link { trusted, seized: seize.is_some(), options, ..new_link(tracer) });
    if seize.is_none() {
        // The kernel's own standard signal always gets through.
        let _ = signal::send_to_task(target, SigInfo::kernel(abi::SIGSTOP));
    }
    // One that job control has stopped stops for its tracer instead, which finds it so.
    if target.signals.borrow().stopped {
        target.signals.borrow_mut().trap_pending = true;
        signal::wake(target);
        let _ = wait_until(&[&tracer.process.child_events], None, Sleep::Killable, || {
            (target.trace.is_stopped() || !target.trace.is_traced() || !target.signals.borrow().trap_pending)
                .then_some(())
        });
    }
    Ok(())
}

/// Holds off tracers while a program is loaded and its rights are decided.
pub fn exec_guard(process: &Arc<Process>) -> ExecGuard {
    *process.executing.borrow_mut() += 1;
    ExecGuard(process.clone())
}

pub struct ExecGuard(Arc<Process>);

impl Drop for ExecGuard {
    fn drop(&mut self) {
        *self.0.executing.borrow_mut() -= 1;
        self.0.exit_events.wake_all();
    }
}

fn new_link(tracer: &Arc<Task>) -> Link {
    Link {
        tracer: Arc::downgrade(tracer),
        trusted: false,
        seized: false,
        options: Options::empty(),
        pace: Pace::Free,
        message: 0,
        call: NO_CALL,
    }
}

fn link(tracer: &Arc<Task>, task: &Arc<Task>, link: Link) {
    let traced = Traced { tracer: link.tracer.clone(), who: Who::Thread(task.clone()) };
    tracer.process.tracees.borrow_mut().insert(task.tid(), traced);
    task.trace.link.set(Some(link));
    task.trace.traced.store(true, Relaxed);
    if task.tid() == task.process.pid {
        task.process.traced_by.set(Some(Arc::downgrade(&tracer.process)));
    }
}

/// A new thread or process of a tracee has the same tracer, when an event tells of it or its maker
/// asked for that, and begins with a stop.
pub fn adopt_child(parent: &Arc<Task>, child: &Arc<Task>) {
    let Some(theirs) = parent.trace.link.cloned() else { return };
    let Some(tracer) = theirs.tracer.upgrade() else { return };
    let seized = theirs.seized;
    link(&tracer, child, Link { pace: Pace::Free, message: 0, call: NO_CALL, ..theirs });
    let mut signals = child.signals.borrow_mut();
    if seized {
        signals.trap_pending = true;
    } else {
        signals.pending.mark(abi::SIGSTOP);
    }
}

/// A thread that was to be made is not there after all.
pub fn undo(task: &Arc<Task>) {
    if task.trace.is_traced() {
        unlink(task);
    }
}

/// PTRACE_DETACH of a tracee that is stopped: it goes on, with `signal`.
pub fn detach(task: &Arc<Task>, signal: i32) {
    unlink(task);
    let_free(task, signal);
}

fn unlink(task: &Arc<Task>) {
    task.trace.traced.store(false, Relaxed);
    let link = task.trace.link.take();
    let tracer = link.and_then(|link| link.tracer.upgrade());
    let entry = tracer.and_then(|tracer| tracer.process.tracees.borrow_mut().remove(&task.tid()));
    drop(entry);
    if task.tid() == task.process.pid {
        task.process.traced_by.set(None);
    }
}

/// Lets a thread go on that is nobody's tracee any more: if its process is stopped, into that stop.
fn let_free(task: &Arc<Task>, signal: i32) {
    let stopped = super::events::group_stop(&task.process).is_some();
    {
        let mut signals = task.signals.borrow_mut();
        signals.trap_pending = false;
        signals.stop_pending |= stopped && !signals.exiting;
    }
    if let Some(stop) = &mut *task.trace.stop.borrow_mut() {
        stop.let_go.get_or_insert(signal);
    }
    signal::wake(task);
}

/// A thread ends: it traces nobody any more, and its own tracer is to be told. Returns whether it
/// stays counted until the tracer has asked. The process lists the thread no longer.
pub fn on_task_exit(task: &Arc<Task>, status: i32) -> bool {
    release_tracees(task);
    if !task.trace.is_traced() {
        return false;
    }
    task.trace.traced.store(false, Relaxed);
    let Some(tracer) = task.trace.link.take().and_then(|link| link.tracer.upgrade()) else { return false };
    let (process, tid) = (&task.process, task.tid());
    let set = |who: Who| {
        let traced = Traced { tracer: Arc::downgrade(&tracer), who };
        let old = tracer.process.tracees.borrow_mut().insert(tid, traced);
        drop(old);
    };
    if tid == process.pid {
        set(Who::Ended(process.clone()));
        tracer.process.child_events.wake_all();
        return false;
    }
    let remains = Remains::of(task, status);
    let info = remains.info();
    set(Who::Remains(Arc::new(remains)));
    wait::tell(&tracer, info, false);
    true
}

fn release_tracees(tracer: &Arc<Task>) {
    let own = |traced: &Traced| std::ptr::eq(Weak::as_ptr(&traced.tracer), Arc::as_ptr(tracer));
    let all: Vec<Traced> = {
        let mut tracees = tracer.process.tracees.borrow_mut();
        tracees.extract_if(.., |_, traced| own(traced)).map(|(_, traced)| traced).collect()
    };
    for traced in all {
        match traced.who {
            Who::Thread(task) => {
                let kill = task.trace.of_link(|link| link.options.contains(Options::EXITKILL)).unwrap_or(false);
                unlink(&task);
                let_free(&task, 0);
                if kill {
                    exit::exit_group(&task, killed_by(abi::SIGKILL, false));
                }
            }
            Who::Ended(process) => untrace_ended(&tracer.process, &process),
            Who::Remains(_) => {}
        }
    }
}

/// A process whose first thread has ended has no tracer any more: its parent is told what the
/// tracer was to be told first.
pub(super) fn untrace_ended(tracer: &Arc<Process>, process: &Arc<Process>) {
    process.traced_by.set(None);
    let own_child = process.parent().is_some_and(|parent| Arc::ptr_eq(&parent, tracer));
    if own_child {
        tracer.child_events.wake_all();
    } else if process.ended() {
        exit::tell_parent(process);
    }
}

/// A thread other than the first has executed a program, and has the first one's number now: `old`
/// was its own.
pub fn renumber(task: &Arc<Task>, old: Pid) {
    let process = &task.process;
    let first = process.traced_by.take().and_then(|tracer| tracer.upgrade());
    if let Some(tracer) = first {
        // The thread that had the number is gone without a word.
        let entry = tracer.tracees.borrow_mut().remove(&process.pid);
        drop(entry);
        tracer.child_events.wake_all();
    }
    let Some(tracer) = task.trace.tracer() else { return };
    let mut tracees = tracer.process.tracees.borrow_mut();
    if let Some(entry) = tracees.remove(&old) {
        tracees.insert(process.pid, entry);
    }
    drop(tracees);
    process.traced_by.set(Some(Arc::downgrade(&tracer.process)));
}
