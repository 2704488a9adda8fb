//! Child processes that must not outlive us, and what they cost.

use crate::{Errno, Result};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, set_parent_process_death_signal};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Has the child killed when the calling thread ends, however it ends; and puts it into a process
/// group of its own, so that all of it can be signalled at once.
pub fn dies_with_caller(command: &mut Command) -> &mut Command {
    let parent = getpid();
    let at_start = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before the call above: then nothing will ever signal us.
        if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
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
    // The child was not waited for, so its number is its own.
    Ok(pidfd_open(Pid::from_child(child), PidfdFlags::empty())?)
}

/// What [`next_ended`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// This child has ended, with this exit status or by this signal. Its number stays its own
    /// until it is reaped.
    Child { pid: i32, status: i32 },
    /// There is none to wait for.
    NoChildren,
}

/// Sleeps until some child has ended, and leaves it as it is. For processes whose children are not
/// traced: a tracee that stops wakes it again and again.
pub fn next_ended() -> Ended {
    loop {
        // SAFETY: all-zero is a valid siginfo; the call fills it.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: a valid place for one.
        let result = unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOWAIT) };
        match Errno::check(i64::from(result)) {
            // The host tells of a tracee's stop whether it was asked or not.
            Ok(_) if info.si_code == libc::CLD_TRAPPED => std::thread::yield_now(),
            // SAFETY: waitid(2) has filled in the child's number and status.
            Ok(_) => return unsafe { Ended::Child { pid: info.si_pid(), status: info.si_status() } },
            Err(Errno::EINTR) => {}
            Err(_) => return Ended::NoChildren,
        }
    }
}

/// Takes the status of a child that has ended: nothing is left of it, and its number may be given
/// to another process.
pub fn reap(pid: i32) {
    // SAFETY: nothing is written.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
}

/// Ends a child that was not reaped yet.
pub fn kill(pid: i32) {
    // SAFETY: plain numbers.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}
