//! Tasks and processes.
//!
//! A [`Task`] is a thread: what the scheduler runs, with a kernel stack of its own. A [`Process`] is a thread group: what has a PID,
//! a parent, and ends with an exit status.

pub mod creds;

use crate::fs::{FdTable, FsContext};
use crate::lock::KCell;
use crate::mm::AddressSpace;
use crate::model::Context;
use crate::sched::{SchedState, wait};
use creds::Creds;
use std::sync::{Arc, OnceLock};

pub type Pid = i32;

/// A thread.
pub struct Task {
    pub tid: Pid,
    pub process: Arc<Process>,
    /// The name in /proc/PID/comm, at most 15 bytes.
    pub name: KCell<Vec<u8>>,
    /// None once the task has begun to exit.
    pub space: KCell<Option<Arc<AddressSpace>>>,
    pub files: KCell<Option<Arc<FdTable>>>,
    pub fs: KCell<Arc<FsContext>>,
    pub creds: KCell<Arc<Creds>>,
    pub sched: KCell<SchedState>,
    context: OnceLock<Arc<dyn Context>>,
}

/// A thread group.
pub struct Process {
    pub pid: Pid,
}

impl Task {
    pub fn context(&self) -> Arc<dyn Context> {
        self.context.get().expect("a task has its context before it is started").clone()
    }

    /// Its address space; only for a task that has not begun to exit, as the current one in a system call.
    pub fn space(&self) -> Arc<AddressSpace> {
        self.space.borrow().clone().expect("a task in a system call has its address space")
    }

    /// Its descriptor table; as `space`.
    pub fn files(&self) -> Arc<FdTable> {
        self.files.borrow().clone().expect("a task in a system call has its descriptors")
    }

    pub fn creds(&self) -> Arc<Creds> {
        self.creds.borrow().clone()
    }

    /// Whether an unblocked signal waits to be acted on.
    pub fn signal_pending(&self) -> bool {
        false
    }

    /// Whether it is about to be killed.
    pub fn fatal_signal_pending(&self) -> bool {
        false
    }
}

impl wait::Wake for Task {
    fn wake(&self, _reason: wait::WakeReason) {
        if let Some(task) = find(self.tid) {
            crate::sched::wake(&task);
        }
    }
}

/// The task with this thread id.
pub fn find(_tid: Pid) -> Option<Arc<Task>> {
    None
}
