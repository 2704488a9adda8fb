//! How threads and processes end.
//!
//! A thread ends in two steps. First its end is decided ([`end_thread`], [`exit_group`]): it is
//! woken if it sleeps, and brought back from user mode. Then, on its own kernel stack, the trap
//! loop sees that and calls [`finish`], which gives up all it holds. The last thread takes the
//! process along, which stays as a zombie until its parent has waited for it.

use super::process::{Identity, Job};
use super::usage::{Usage, ticks};
use super::{Process, ProcessGroup, Task, clone, futex, init, pid, process, ptrace};
use crate::lock::KCell;
use crate::task::signal::{self, SigInfo, is_signal, send_to_group, send_to_process, send_to_task};
use std::sync::Arc;

/// The wait status of a process that exited with `code`.
pub const fn exited(code: i32) -> i32 {
    (code & 0xff) << 8
}

/// The wait status of a process that a signal killed.
pub const fn killed_by(signal: i32, core_dumped: bool) -> i32 {
    signal | if core_dumped { 0x80 } else { 0 }
}

/// Threads whose end was decided, and that have not given up yet all they hold.
static DYING: KCell<usize> = KCell::new(0);

/// How many threads are about to end, and then give memory back.
pub fn dying() -> usize {
    DYING.get()
}

/// Makes one thread end with a wait status. It ends when it next looks, which this makes it do.
pub fn end_thread(task: &Arc<Task>, status: i32) {
    if task.ending.borrow().is_none() {
        task.ending.set(Some(status));
        *DYING.borrow_mut() += 1;
        crate::sched::wake(task);
        crate::sched::interrupt(&**task);
    } else if task.trace.is_stopped() {
        ptrace::events::end_anew(task);
    }
}

/// exit_group(2), or a fatal signal: ends all threads of the task's process with a wait status. The
/// first call decides it.
pub fn exit_group(task: &Arc<Task>, status: i32) {
    exit_process(&task.process, status);
}

/// As [`exit_group`], from anywhere.
pub fn exit_process(process: &Arc<Process>, status: i32) {
    let status = {
        let mut life = process.life.borrow_mut();
        *life.status.get_or_insert(status)
    };
    // It is not stopped any more, nor is a stop to be told of.
    process.set_job(Job::default());
    for thread in process.threads() {
        end_thread(&thread, status);
    }
}

/// Ends a task whose end was decided, on its own kernel stack. Afterwards the trap loop leaves the
/// context for good.
pub fn finish(task: &Arc<Task>) {
    let status = task.ending.borrow().unwrap_or(0);
    let process = task.process.clone();
    crate::trace::ended(task.tid(), status);
    signal::on_task_exit(task);
    leave_space(task);
    let space = task.space.take();
    if let Some(space) = space.as_ref().filter(|space| Arc::strong_count(space) == 1) {
        space.empty();
    }
    drop(space);
    clone::release_vfork_parent(task);
    task.leave_undo_list();
    let files = task.files.take();
    if let Some(files) = files.as_ref().filter(|files| Arc::strong_count(files) == 1) {
        files.clear();
    }
    drop(files);
    *DYING.borrow_mut() -= 1;
    send_death_signals(task);

    let last = {
        let mut threads = process.threads.borrow_mut();
        threads.remove(&task.tid());
        if task.tid() == process.pid {
            process.identity.set(Identity::of(task));
        }
        threads.is_empty()
    };
    pid::remove_task(task.tid());
    let remains = ptrace::on_task_exit(task, status);
    if task.tid() != process.pid && !remains {
        pid::uncount(task.creds.borrow().uid);
    }
    if last {
        end_process(&process, status);
    } else {
        process.exit_events.wake_all();
    }
}

/// Takes back a task that `clone` had published, but that could not be started.
pub(super) fn undo_clone(task: &Arc<Task>) {
    let process = &task.process;
    ptrace::undo(task);
    process.threads.borrow_mut().remove(&task.tid());
    pid::remove_task(task.tid());
    task.space.take();
    task.files.take();
    task.undo.take();
    if task.ending().is_some() {
        *DYING.borrow_mut() -= 1;
    }
    if process.pid == task.tid() {
        forget(process);
    }
    clone::release_vfork_parent(task);
    pid::uncount(task.creds.borrow().uid);
}

/// The last the task does with an address space that it is about to leave, by exit or execve: locks
/// it holds there are let go, and whoever waits for its end is woken.
pub fn leave_space(task: &Arc<Task>) {
    let (clear, robust) = {
        let mut attributes = task.attributes.borrow_mut();
        (std::mem::take(&mut attributes.clear_child_tid), std::mem::take(&mut attributes.robust_list))
    };
    let Some(space) = task.space.cloned() else { return };
    task.process.note_resident(&space);
    futex::release_held(task, &space, robust);
    // Nobody is left to look at memory that only this task had; it and we hold two references.
    if clear != 0 && Arc::strong_count(&space) > 2 && space.write(clear, &0u32).is_ok() {
        let _ = futex::wake_address(&space, clear, 1);
    }
    space.collect();
}

/// PR_SET_PDEATHSIG: to the children this very thread made.
fn send_death_signals(task: &Task) {
    for child in task.process.children() {
        if child.parent_thread.get() != task.tid() {
            continue;
        }
        for thread in child.threads() {
            let signal = thread.attributes.borrow().parent_death_signal;
            if is_signal(signal) {
                let info = SigInfo::kill(signal, task.pid(), task.creds.borrow().uid);
                let _ = send_to_task(&thread, info);
            }
        }
    }
}

/// The process has no threads any more.
fn end_process(process: &Arc<Process>, status: i32) {
    let group = process.group();
    // Only a group with a stopped member has to be told that it became orphaned, and there seldom
    // is one.
    let was_orphaned = !process::any_stopped() || group.is_orphaned(None);
    process.set_job(Job::default());
    signal::on_process_exit(process);
    {
        let mut life = process.life.borrow_mut();
        // Unless something ended it whole, it ends as its last thread did.
        life.status.get_or_insert(status);
        life.zombie = true;
    }
    // The leader's end takes the terminal from the session.
    if group.session.sid == process.pid {
        let tty = group.session.tty.take();
        if let Some(tty) = tty {
            tty.release(&group.session, true);
        } else if group.session.old_foreground.get() != 0 {
            // The terminal hung up before: what ran in its foreground is told now.
            for signal in [abi::SIGHUP, abi::SIGCONT] {
                let _ = signal::send_to_group(group.session.old_foreground.get(), SigInfo::kernel(signal));
            }
        }
    }
    give_children_away(process);
    if !was_orphaned {
        hang_up_if_orphaned(&group);
    }
    process.exit_events.wake_all();
    tell_parent(process);
}

/// Children get a new parent, which is told of those that have ended already.
fn give_children_away(process: &Arc<Process>) {
    let children = std::mem::take(&mut *process.children.borrow_mut());
    if children.is_empty() {
        return;
    }
    let heir = heir_of(process);
    for (birth, child) in children {
        let group = child.group();
        let was_orphaned = !process::any_stopped() || group.pgid == process.group().pgid || group.is_orphaned(None);
        child.parent.set(Some(heir.clone()));
        child.parent_thread.set(heir.main_thread().map_or(heir.pid, |t| t.tid()));
        // Whatever it was made to send, its new parent expects SIGCHLD.
        child.exit_signal.set(abi::SIGCHLD);
        heir.children.borrow_mut().insert(birth, child.clone());
        if child.ended() {
            tell_parent(&child);
        }
        if !was_orphaned {
            hang_up_if_orphaned(&group);
        }
    }
}

/// The nearest ancestor that asked for orphans (PR_SET_CHILD_SUBREAPER), or init.
fn heir_of(process: &Arc<Process>) -> Arc<Process> {
    let mut at = process.parent();
    while let Some(ancestor) = at {
        if ancestor.is_init() || ancestor.settings.borrow().subreaper && !ancestor.ended() {
            return ancestor;
        }
        at = ancestor.parent();
    }
    init::process()
}

/// A group that just became orphaned, with stopped members that nobody could continue: they are
/// told, and continued.
pub(super) fn hang_up_if_orphaned(group: &Arc<ProcessGroup>) {
    let stopped = group.members().iter().any(|member| !member.ended() && member.job.borrow().stopped.is_some());
    if stopped && group.is_orphaned(None) {
        let _ = send_to_group(group.pgid, SigInfo::kernel(abi::SIGHUP));
        let _ = send_to_group(group.pgid, SigInfo::kernel(abi::SIGCONT));
    }
}

/// Tells the tracer of a zombie, or else the parent, or clears it away at once when the parent will
/// not ask.
pub(super) fn tell_parent(process: &Arc<Process>) {
    let Some(parent) = process.parent() else { return };
    if ptrace::wait::tell_of_end(process, process.exit_signal.get()) {
        return;
    }
    if parent.is_init() {
        let status = process.exit_status().unwrap_or(0);
        let ours = init::child_ended(process, status);
        if !ours {
            reap(process);
        }
        return;
    }
    let signal = process.exit_signal.get();
    let action = parent.main_thread().map(|thread| thread.actions.borrow().borrow().get(abi::SIGCHLD));
    let (ignored, no_wait) = match action {
        Some(action) => (action.handler == abi::SIG_IGN, action.has(abi::SA_NOCLDWAIT)),
        None => (false, false),
    };
    let clear = signal == abi::SIGCHLD && (ignored || no_wait);
    if is_signal(signal) && !(signal == abi::SIGCHLD && ignored) {
        // The kernel's own signals always get through.
        let _ = send_to_process(&parent, ended_info(process, signal));
    }
    if clear {
        reap(process);
    }
    parent.child_events.wake_all();
}

/// The siginfo of an ended child.
pub(super) fn ended_info(process: &Process, signal: i32) -> SigInfo {
    let (code, status) = code_of(process.exit_status().unwrap_or(0));
    let usage = process.usage.get();
    let uid = process.identity.borrow().creds.uid;
    SigInfo::child(signal, code, process.pid, uid, status, ticks(usage.user), ticks(usage.system))
}

/// A wait status in the terms of siginfo: CLD_* and the exit code or signal.
pub fn code_of(status: i32) -> (i32, i32) {
    match status & 0x7f {
        0 => (abi::CLD_EXITED, status >> 8 & 0xff),
        signal if status & 0x80 != 0 => (abi::CLD_DUMPED, signal),
        signal => (abi::CLD_KILLED, signal),
    }
}

/// Clears a zombie away. Its number is free again.
pub(super) fn reap(process: &Arc<Process>) {
    if std::mem::replace(&mut process.life.borrow_mut().reaped, true) {
        return;
    }
    pid::uncount(process.identity.borrow().creds.uid);
    forget(process);
}

/// Takes a process out of its family, its group and the table.
fn forget(process: &Arc<Process>) {
    let parent = process.parent.take();
    if let Some(parent) = &parent {
        parent.children.borrow_mut().remove(&process.birth);
    }
    process.group().leave(process.pid);
    pid::remove_process(process.pid);
}

/// What a waited-for child used becomes its parent's children's.
pub(super) fn add_usage(parent: &Process, child: &Process) {
    let mut total: Usage = child.usage.get();
    total.add(&child.children_usage.borrow());
    parent.children_usage.borrow_mut().add(&total);
}

/// For execve(2): ends all other threads of the process and waits until they are gone. The caller
/// then is the first thread, and has the process's PID as its tid. EAGAIN when the process is
/// ending or another thread does the same.
pub fn become_only_thread(task: &Arc<Task>) -> crate::Result<()> {
    let process = &task.process;
    if task.ending().is_some() {
        return Err(crate::Errno::EAGAIN);
    }
    for thread in process.threads() {
        if !Arc::ptr_eq(&thread, task) {
            end_thread(&thread, killed_by(abi::SIGKILL, false));
        }
    }
    crate::sched::wait::wait_until(&[&process.exit_events], None, crate::sched::wait::Sleep::Killable, || {
        (process.thread_count() == 1).then_some(())
    })
    .map_err(|_| crate::Errno::EAGAIN)?;
    let old = task.tid();
    if old != process.pid {
        process.threads.borrow_mut().remove(&old);
        pid::remove_task(old);
        // The first thread was still counted for the process; this one no longer is.
        pid::uncount(process.identity.borrow().creds.uid);
        task.set_tid(process.pid);
        pid::insert_task(task);
        process.threads.borrow_mut().insert(process.pid, task.clone());
        ptrace::renumber(task, old);
    }
    Ok(())
}
