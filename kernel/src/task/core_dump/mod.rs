//! Core dumps: what is left of a process that was killed by a fault or an abort, for a debugger to
//! look at (core(5)).
//!
//! The thread that took the signal writes the file. First all others are stopped on their way out
//! ([`take_part`]), where each leaves its registers and waits until the file is there, so that
//! nothing of the process changes. The process's end is decided by then; SIGKILL only ends the
//! writing.

mod image;
mod notes;
mod place;

pub use place::{USES_PID, pattern, set_pattern};

use super::process::Job;
use super::{Process, Task, exit};
use crate::limits;
use crate::lock::KCell;
use crate::mm::pressure::room_for;
use crate::sched::wait::{Sleep, WaitQueue, wait_until};
use crate::task::signal::SigInfo;
use crate::{Errno, Result};
use notes::ThreadState;
use std::collections::BTreeMap;
use std::sync::Arc;
use umlab_model::UserThread;

/// A smaller limit of the core file's size means none.
const SMALLEST: u64 = 4096;

/// A dump that is under way.
#[derive(Default)]
pub struct Dump {
    /// The threads that have stopped for it. None for one whose state there was no room for.
    stopped: KCell<BTreeMap<crate::Pid, Option<ThreadState>>>,
    over: KCell<bool>,
    /// Those that wait for its end.
    queue: WaitQueue,
}

/// Ends the process of the current task by a signal whose default action is a core dump, with the
/// dump if there is to be one.
pub fn end_process(task: &Arc<Task>, user: &mut dyn UserThread, info: &SigInfo) {
    let status = exit::killed_by(info.signal(), false);
    let process = &task.process;
    if !is_wanted(process) || process.exit_status().is_some() {
        return exit::exit_group(task, status);
    }
    let dumped = dump(task, user, info, status);
    if dumped.is_ok() && task.ending().is_none() {
        process.life.borrow_mut().status = Some(exit::killed_by(info.signal(), true));
    }
    exit::exit_group(task, status);
}

fn is_wanted(process: &Process) -> bool {
    process.settings.borrow().dumpable == 1 && process.limit(limits::CORE) >= SMALLEST
}

fn dump(task: &Arc<Task>, user: &mut dyn UserThread, info: &SigInfo, status: i32) -> Result<()> {
    let process = &task.process;
    let dump = Arc::new(Dump::default());
    process.dump.set(Some(dump.clone()));
    process.life.borrow_mut().status = Some(status);
    process.set_job(Job::default());
    for thread in process.threads() {
        if !Arc::ptr_eq(&thread, task) {
            exit::end_thread(&thread, status);
        }
    }
    let result = others_stopped(task, &dump).and_then(|()| write(task, user, info, &dump));
    if let Err(error) = result {
        umlab_model::log!(Info, "process {}: no core file: {error}", process.pid);
    }
    process.dump.set(None);
    dump.over.set(true);
    dump.queue.wake_all();
    result
}

/// Waits until all other threads have stopped for the dump, or are gone.
fn others_stopped(task: &Arc<Task>, dump: &Dump) -> Result<()> {
    let process = &task.process;
    // Those that have stopped stay, so it is enough to count.
    let all = || (dump.stopped.borrow().len() + 1 == process.thread_count()).then_some(());
    wait_until(&[&process.exit_events], None, Sleep::Killable, all)
}

/// A thread that is about to end stops for its process's dump, if there is one.
pub fn take_part(task: &Arc<Task>, user: &mut dyn UserThread) {
    let Some(dump) = task.process.dump.cloned() else { return };
    let state = room_for(ThreadState::BYTES).is_ok().then(|| ThreadState::of(task, user));
    dump.stopped.borrow_mut().insert(task.tid(), state);
    task.process.exit_events.wake_all();
    // The dump ends as soon as its thread is killed.
    let _ = wait_until(&[&dump.queue], None, Sleep::Uninterruptible, || dump.over.get().then_some(()));
}

/// Writes the file. It is a core file also when there is no room for all of it.
fn write(task: &Arc<Task>, user: &mut dyn UserThread, info: &SigInfo, dump: &Dump) -> Result<()> {
    let file = place::make(task, info.signal())?;
    room_for(ThreadState::BYTES)?;
    let mut threads = vec![ThreadState::of(task, user)];
    for state in dump.stopped.take().into_values() {
        threads.push(state.ok_or(Errno::ENOMEM)?);
    }
    let image = image::Image::of(task, &threads, info)?;
    if let Err(error) = image.write_to(&file, task) {
        umlab_model::log!(Info, "process {}: the core file is cut: {error}", task.process.pid);
    }
    Ok(())
}
