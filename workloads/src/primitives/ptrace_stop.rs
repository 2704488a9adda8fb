use super::{Batch, Primitive};
use crate::children::Child;
use crate::timing::each;
use anyhow::{Result, bail, ensure};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getppid};

/// What a system call of a traced guest costs: the stop, and what the tracer asks and sets.
pub const PTRACE_STOP: Primitive = Primitive {
    name: "ptrace-stop",
    summary: "a traced process's system call, seen by its tracer",
    definition: "PTRACE_SYSEMU, the stop at the next getppid, and waitpid, both on one CPU; the same with GETREGS and SETREGS",
    batches,
};

fn batches() -> Result<Vec<(&'static str, Batch)>> {
    let bare = |_: Pid| -> nix::Result<()> { Ok(()) };
    let registers = |pid| ptrace::getregs(pid).and_then(|registers| ptrace::setregs(pid, registers));
    Ok(vec![("ptrace-stop", stops(bare)?), ("ptrace-stop with registers", stops(registers)?)])
}

fn stops(at_stop: impl Fn(Pid) -> nix::Result<()> + 'static) -> Result<Batch> {
    let child = Child::fork(|| {
        ptrace::traceme()?;
        raise(Signal::SIGSTOP)?;
        loop {
            getppid();
        }
    })?;
    let pid = child.pid();
    match waitpid(pid, None)? {
        WaitStatus::Stopped(_, Signal::SIGSTOP) => ptrace::setoptions(pid, Options::PTRACE_O_EXITKILL)?,
        other => bail!("the traced child did not stop: {other:?}"),
    }
    Ok(Box::new(each(move || {
        ptrace::sysemu(child.pid(), None)?;
        let status = waitpid(child.pid(), None)?;
        ensure!(matches!(status, WaitStatus::Stopped(_, Signal::SIGTRAP)), "not a stop at a call: {status:?}");
        Ok(at_stop(child.pid())?)
    })))
}
