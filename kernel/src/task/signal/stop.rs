//! Job control: stopping a process whole, and continuing it.

use super::info::SigInfo;
use super::send::{send_to_process, wake};
use crate::sched::wait::{Sleep, wait_until};
use crate::task::process::Job;
use crate::task::ptrace::wait::is_own_tracee;
use crate::task::usage::ticks;
use crate::task::{Process, Task};
use std::sync::Arc;

/// Begins to stop the process, by the stop signal that `task` has just taken; each thread joins on
/// its way to user mode.
pub(super) fn begin(task: &Arc<Task>, signal: i32) {
    let process = &task.process;
    if process.exit_status().is_some() {
        return;
    }
    process.signals.borrow_mut().stopping.get_or_insert(signal);
    for thread in process.threads() {
        let tell = {
            let mut signals = thread.signals.borrow_mut();
            let tell = !signals.exiting && !signals.stopped;
            signals.stop_pending |= tell;
            tell
        };
        if tell && !Arc::ptr_eq(&thread, task) {
            wake(&thread);
        }
    }
}

/// Stops the current thread until its process is continued or killed.
pub(super) fn take_part(task: &Arc<Task>) {
    {
        let mut signals = task.signals.borrow_mut();
        signals.stop_pending = false;
        signals.stopped = true;
    }
    complete_if_all_stopped(&task.process);
    // Killed is the only way out besides, and for a tracer to take the stop over; all are looked at
    // by the caller's loop.
    let _ = wait_until(&[], None, Sleep::Killable, || {
        let signals = task.signals.borrow();
        (!signals.stopped || signals.trap_pending).then_some(())
    });
    task.signals.borrow_mut().stopped = false;
}

/// Tells the parent when the last running thread has stopped (or ended).
pub(crate) fn complete_if_all_stopped(process: &Arc<Process>) {
    let Some(signal) = process.signals.borrow().stopping else { return };
    let all = process.threads().iter().all(|thread| {
        let signals = thread.signals.borrow();
        signals.stopped || signals.exiting
    });
    if !all {
        return;
    }
    process.signals.borrow_mut().stopping = None;
    process.set_job(Job { stopped: Some(signal), stop_news: true, continue_news: false });
    // A parent that traces it is told of the thread's own stop.
    if process.parent().is_none_or(|parent| !is_own_tracee(&parent, process)) {
        notify_parent(process, abi::CLD_STOPPED, signal);
    }
}

/// Continues a stopped process, as SIGCONT does when it is sent.
pub(super) fn resume(process: &Arc<Process>) {
    let stopping = process.signals.borrow_mut().stopping.take();
    let stopped = process.job.borrow().stopped.is_some();
    if stopping.is_none() && !stopped {
        return;
    }
    process.set_job(Job { stopped: None, stop_news: false, continue_news: true });
    for thread in process.threads() {
        let woken = {
            let mut signals = thread.signals.borrow_mut();
            signals.stop_pending = false;
            std::mem::take(&mut signals.stopped)
        };
        if woken {
            wake(&thread);
        }
    }
    match stopping {
        // It never got to the stop; the parent is told of that all the same.
        Some(signal) => notify_parent(process, abi::CLD_STOPPED, signal),
        None => notify_parent(process, abi::CLD_CONTINUED, abi::SIGCONT),
    }
}

/// SIGCHLD for a child that stopped or continued, and a wake-up for a parent that waits.
fn notify_parent(process: &Arc<Process>, code: i32, status: i32) {
    let Some(parent) = process.parent() else { return };
    let quiet = parent.main_thread().is_none_or(|task| {
        let action = task.actions.borrow().borrow().get(abi::SIGCHLD);
        action.handler == abi::SIG_IGN || action.has(abi::SA_NOCLDSTOP)
    });
    if !quiet {
        let uid = process.main_thread().map_or(0, |task| task.creds().uid);
        let (user, system) = {
            let usage = process.usage.borrow();
            (ticks(usage.user), ticks(usage.system))
        };
        // A standard signal of the kernel's always gets through.
        let _ = send_to_process(&parent, SigInfo::child(abi::SIGCHLD, code, process.pid, uid, status, user, system));
    }
    parent.child_events.wake_all();
}
