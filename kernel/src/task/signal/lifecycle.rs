//! Signal state when tasks begin, execute another program, and end.

use super::posix_timer::Setting;
use super::send::retarget;
use super::set::SigSet;
use super::state::AltStack;
use super::stop;
use crate::lock::KCell;
use crate::task::{Process, Task};
use std::sync::Arc;

/// execve(2), once nothing can fail any more and the other threads are gone: handlers go back to
/// the default, what is ignored stays ignored, mask and pending signals stay.
pub fn on_exec(task: &Arc<Task>) {
    let mut own = task.actions.cloned().cloned();
    own.reset_for_exec();
    delete_timers(&task.process);
    // A table shared with another process (CLONE_SIGHAND without CLONE_THREAD) is left to it.
    task.actions.set(Arc::new(KCell::new(own)));
    let mut signals = task.signals.borrow_mut();
    // The flags are kept, as on Linux, where they show in the frames of handlers.
    signals.alt_stack = AltStack { sp: 0, size: 0, flags: signals.alt_stack.flags };
    signals.restart = None;
}

/// timer_create(2)'s timers go with the program that made them; setitimer(2)'s stay.
fn delete_timers(process: &Arc<Process>) {
    let timers = process.signals.borrow_mut().timers.take_all();
    for timer in timers {
        timer.set(Setting::default(), false);
    }
}

/// The last thread of a process ends: no timer has anyone to tell any more.
pub fn on_process_exit(process: &Arc<Process>) {
    delete_timers(process);
    let (real, cpu) = {
        let mut signals = process.signals.borrow_mut();
        (signals.timers.real.take(), std::mem::take(&mut signals.cpu))
    };
    drop((real, cpu));
    process.signals.borrow_mut().pending.flush(SigSet::FULL);
}

/// A thread begins to exit: it takes no more signals, and those of the process it was woken for go
/// to others.
pub fn on_task_exit(task: &Arc<Task>) {
    let mask = {
        let mut signals = task.signals.borrow_mut();
        signals.exiting = true;
        signals.stop_pending = false;
        signals.trap_pending = false;
        signals.stopped = false;
        signals.pending.flush(SigSet::FULL);
        signals.restart = None;
        signals.mask
    };
    retarget(task, SigSet::FULL.without(mask));
    stop::complete_if_all_stopped(&task.process);
}
