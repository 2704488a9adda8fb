//! Files: what an inode and an open file are, and everything built of them.

pub mod anon;
pub mod async_io;
pub mod attributes;
pub mod busy;
pub mod contents;
pub mod context;
pub mod dentry;
pub mod devfs;
pub mod device;
pub mod directory;
pub mod epoll;
pub mod eventfd;
pub mod exec;
pub mod fdtable;
pub mod file;
pub mod hostfs;
pub mod inode;
pub mod inotify;
pub mod locks;
pub mod memfs;
mod memory_devices;
pub mod mount;
pub mod names;
pub mod notify;
pub mod open;
pub mod path;
pub mod permission;
pub mod pipe;
pub mod procfs;
pub mod pseudo;
pub mod signalfd;
pub mod socket;
pub mod stdio;
pub mod sysfs;
pub mod timerfd;
pub mod tree;
pub mod tty;
pub mod walk;

pub use context::FsContext;
pub use fdtable::FdTable;
pub use path::Path;

/// A write to a pipe or socket without a reader: SIGPIPE for the current task.
pub(crate) fn send_sigpipe() {
    let task = crate::sched::current();
    let info = crate::signal::SigInfo::kill(libc::SIGPIPE, task.pid(), task.creds().uid);
    // A standard signal always gets through.
    let _ = crate::signal::send_to_task(&task, info);
}

#[cfg(test)]
pub(crate) mod tests;
