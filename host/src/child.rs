//! Child processes that must not outlive us, and what they cost.

use crate::{Errno, Result};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Has the child killed when the calling thread ends, however it ends; and puts it into a process
/// group of its own, so that all of it can be signalled at once.
pub fn dies_with_caller(command: &mut Command) -> &mut Command {
    let parent = std::process::id();
    let at_start = move || {
        // SAFETY: plain numbers; the call changes the calling process only.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have ended before the call above: then nothing will ever signal us.
        // SAFETY: no arguments.
        if unsafe { libc::getppid() } as u32 != parent {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(())
    };
    command.process_group(0);
    // SAFETY: the closure makes two system calls and allocates nothing, so it may run between fork
    // and exec.
    unsafe { command.pre_exec(at_start) }
}

/// CPU seconds in user and in system mode, and page faults that took no disk; see getrusage(2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub user: f64,
    pub system: f64,
    pub minor_faults: u64,
}

impl Usage {
    pub fn since(self, before: Usage) -> Usage {
        Usage {
            user: self.user - before.user,
            system: self.system - before.system,
            minor_faults: self.minor_faults.saturating_sub(before.minor_faults),
        }
    }
}

/// Of all children that were waited for.
pub fn usage_of_children() -> Result<Usage> {
    usage(libc::RUSAGE_CHILDREN)
}

/// Of this process itself.
pub fn own_usage() -> Result<Usage> {
    usage(libc::RUSAGE_SELF)
}

fn usage(who: i32) -> Result<Usage> {
    // SAFETY: an all-zero rusage is a valid one; the call fills it.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for writing one rusage.
    Errno::check(i64::from(unsafe { libc::getrusage(who, &raw mut usage) }))?;
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Ok(Usage { user: seconds(usage.ru_utime), system: seconds(usage.ru_stime), minor_faults: usage.ru_minflt as u64 })
}

/// A descriptor that polls readable when the child has ended.
pub fn ended_fd(child: &Child) -> Result<OwnedFd> {
    // SAFETY: two numbers; the child was not waited for, so its number is its own.
    let fd = Errno::check(unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) })?;
    // SAFETY: a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
