//! Child processes of workloads: made by a plain fork, ended for sure, and their end looked at.

use anyhow::{Context, Result, bail, ensure};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{AccessFlags, ForkResult, Pid, access, fork, getppid, pipe};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The argument that makes this program end at once.
pub const DO_NOTHING: &str = "do-nothing";

/// The dynamic program that does nothing.
pub const DYNAMIC: &CStr = c"/bin/true";

/// This program, as the static one that does nothing: its path and arguments.
pub fn itself() -> Result<[CString; 2]> {
    let path = std::env::current_exe().context("cannot find this program's own path")?;
    Ok([CString::new(path.as_os_str().as_bytes())?, CString::new(DO_NOTHING)?])
}

pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| access(&dir.join(program), AccessFlags::X_OK).is_ok())
}

/// A child process. Dropped, it is killed.
pub struct Child(Option<Pid>);

impl Child {
    /// Forks a child that runs `work` and ends with its result: status 0, or 1 and a message. A
    /// panic ends it too: what the stack has is the parent's.
    pub fn fork(work: impl FnOnce() -> Result<()>) -> Result<Child> {
        // SAFETY: workloads fork only while they have one thread, so no lock of another thread's is
        // held in the child.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Parent { child } => Ok(Child(Some(child))),
            ForkResult::Child => {
                let status = match catch_unwind(AssertUnwindSafe(work)) {
                    Ok(Ok(())) => 0,
                    Ok(Err(error)) => {
                        eprintln!("umlab-workload: in a child: {error:#}");
                        1
                    }
                    Err(_) => 1,
                };
                exit_now(status)
            }
        }
    }

    /// As `fork`; the child is killed when the thread that forks it ends, however that ends.
    pub fn bound(work: impl FnOnce() -> Result<()>) -> Result<Child> {
        let parent = Pid::this();
        Child::fork(|| die_with(parent).and_then(|()| work()))
    }

    pub fn pid(&self) -> Pid {
        self.0.expect("it was not waited for")
    }

    /// Its end, which must be a good one.
    pub fn wait(mut self) -> Result<()> {
        match self.0.take() {
            Some(pid) => ended_well(pid),
            None => bail!("there is nothing to wait for"),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take() {
            // An error: it has ended by itself. Either way it is waited for.
            let _ = kill(pid, Signal::SIGKILL);
            let _ = waitpid(pid, None);
        }
    }
}

/// A way to a child and back, as one side sees it.
pub struct Line {
    pub from: File,
    pub to: File,
}

impl Line {
    /// Two pipes: our side and the child's.
    pub fn pipes() -> Result<(Line, Line)> {
        let there = pipe().context("pipe")?;
        let back = pipe().context("pipe")?;
        let ours = Line { from: back.0.into(), to: there.1.into() };
        Ok((ours, Line { from: there.0.into(), to: back.1.into() }))
    }

    /// A pair of connected unix stream sockets.
    pub fn sockets() -> Result<(Line, Line)> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::empty()).context("socketpair")?;
        let line = |fd: OwnedFd| -> Result<Line> { Ok(Line { from: fd.try_clone()?.into(), to: fd.into() }) };
        Ok((line(ours)?, line(theirs)?))
    }

    /// Sends a byte and waits for one: what the answer is.
    pub fn ask(&mut self, byte: u8) -> Result<u8> {
        let mut answer = [byte];
        self.to.write_all(&answer).context("cannot send")?;
        self.from.read_exact(&mut answer).context("no answer")?;
        Ok(answer[0])
    }

    /// Answers each byte with its successor until the other side is gone.
    pub fn answer(&mut self) -> Result<()> {
        let mut byte = [0];
        while self.from.read(&mut byte).context("cannot receive")? == 1 {
            byte[0] = byte[0].wrapping_add(1);
            self.to.write_all(&byte).context("cannot answer")?;
        }
        Ok(())
    }
}

impl Child {
    /// Forks a partner at the other side of the line. Each side closes what belongs to the other,
    /// so that either sees the other's end.
    pub fn partner((ours, theirs): (Line, Line), work: impl FnOnce(Line) -> Result<()>) -> Result<(Child, Line)> {
        let mut sides = (Some(ours), Some(theirs));
        let child = Child::fork(|| {
            sides.0 = None;
            sides.1.take().map_or(Ok(()), work)
        })?;
        sides.0.take().map(|ours| (child, ours)).context("the line is lost")
    }
}

/// Has the calling process, a child of `parent`, killed when the thread ends that forked it.
pub fn die_with(parent: Pid) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("PR_SET_PDEATHSIG")?;
    ensure!(getppid() == parent, "the parent has ended already");
    Ok(())
}

/// Waits for the child, which must end with status 0.
pub fn ended_well(pid: Pid) -> Result<()> {
    let status = waitpid(pid, None).context("waitpid")?;
    ensure!(matches!(status, WaitStatus::Exited(ended, 0) if ended == pid), "a child ended badly: {status:?}");
    Ok(())
}

/// The end of a forked child, without the parent's clean-up.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: it ends the process and touches nothing.
    unsafe { libc::_exit(status) }
}
