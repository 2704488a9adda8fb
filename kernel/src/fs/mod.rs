//! Files: what an inode and an open file are, and everything built of them.

pub mod anon;
pub mod contents;
pub mod devfs;
pub mod device;
pub mod epoll;
pub mod eventfd;
pub mod exec;
pub mod fdtable;
pub mod file;
pub mod inode;
mod memory_devices;
pub mod pipe;
pub mod signalfd;
pub mod socket;
pub mod stdio;
pub mod timerfd;
pub mod tty;

pub use fdtable::FdTable;

use crate::lock::KCell;

/// A place in the tree of names: a dentry in a mount.
#[derive(Clone)]
pub struct Path {}

/// Where a task stands in the tree: root, working directory, umask (what CLONE_FS shares).
pub struct FsContext {
    pub umask: KCell<u32>,
}

impl FsContext {
    /// A context of its own that stands at the same place.
    pub fn duplicate(&self) -> std::sync::Arc<FsContext> {
        std::sync::Arc::new(FsContext { umask: KCell::new(self.umask.get()) })
    }
}

/// A write to a pipe or socket without a reader: SIGPIPE for the current task.
pub(crate) fn send_sigpipe() {
    let task = crate::sched::current();
    let info = crate::signal::SigInfo::kill(libc::SIGPIPE, task.pid(), task.creds().uid);
    // A standard signal always gets through.
    let _ = crate::signal::send_to_task(&task, info);
}
