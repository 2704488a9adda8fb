//! How threads and processes end.

use super::Task;
use std::sync::Arc;

/// The wait status of a process that exited with `code`.
pub const fn exited(code: i32) -> i32 {
    (code & 0xff) << 8
}

/// The wait status of a process that a signal killed.
pub const fn killed_by(signal: i32, core_dumped: bool) -> i32 {
    signal | if core_dumped { 0x80 } else { 0 }
}

/// Makes one thread end with a wait status. It ends when it next looks, which this makes it do.
pub fn end_thread(task: &Arc<Task>, status: i32) {
    if task.ending.borrow().is_none() {
        task.ending.set(Some(status));
        crate::sched::wake(task);
        crate::sched::interrupt(task);
    }
}

/// exit_group(2), or a fatal signal: ends all threads of the task's process with a wait status. The first call decides it.
pub fn exit_group(task: &Arc<Task>, status: i32) {
    let status = {
        let mut life = task.process.life.borrow_mut();
        *life.status.get_or_insert(status)
    };
    for thread in task.process.threads() {
        end_thread(&thread, status);
    }
}
