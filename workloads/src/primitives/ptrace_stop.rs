use super::{Batch, Offered, Primitive};
use crate::children::Child;
use crate::timing::each;
use anyhow::{Result, bail, ensure};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getppid};
use umlab_host::ptrace::Tracee;

/// What a system call of a traced guest costs: the stop, and what the tracer asks and sets.
pub const PTRACE_STOP: Primitive = Primitive {
    name: "ptrace-stop",
    summary: "a traced process's system call, seen by its tracer",
    definition: "PTRACE_SYSEMU, the stop at the next getppid, and waitpid, both on one CPU; the same with GETREGS and SETREGS, \
                 and with GET_SYSCALL_INFO and POKEUSER of rax",
    batches,
};

fn batches() -> Result<Vec<(&'static str, Offered)>> {
    let bare = |_: Pid| -> nix::Result<()> { Ok(()) };
    let registers = |pid| ptrace::getregs(pid).and_then(|registers| ptrace::setregs(pid, registers));
    let call = |pid: Pid| {
        let tracee = Tracee(pid.as_raw());
        tracee.syscall_entry().and_then(|call| tracee.set_rax(call.number))
    };
    Ok(vec![
        ("ptrace-stop", Ok(stops(bare)?)),
        ("ptrace-stop with registers", Ok(stops(registers)?)),
        ("ptrace-stop with call and result", Ok(stops(call)?)),
    ])
}

fn stops<E: std::error::Error + Send + Sync + 'static>(
    at_stop: impl Fn(Pid) -> Result<(), E> + 'static,
) -> Result<Batch> {
    let child = Child::bound(|| {
        ptrace::traceme()?;
        raise(Signal::SIGSTOP)?;
        loop {
            getppid();
        }
    })?;
    let pid = child.pid();
    match waitpid(pid, None)? {
        WaitStatus::Stopped(_, Signal::SIGSTOP) => {
            ptrace::setoptions(pid, Options::PTRACE_O_EXITKILL | Options::PTRACE_O_TRACESYSGOOD)?;
        }
        other => bail!("the traced child did not stop: {other:?}"),
    }
    Ok(Box::new(each(move || {
        ptrace::sysemu(child.pid(), None)?;
        let status = waitpid(child.pid(), None)?;
        ensure!(matches!(status, WaitStatus::PtraceSyscall(_)), "not a stop at a call: {status:?}");
        Ok(at_stop(child.pid())?)
    })))
}
