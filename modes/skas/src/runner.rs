//! Runners, on a patched host (skas3): the host process of each guest CPU that runs all user code
//! there, and hops between address spaces.
//!
//! It begins as a fork of the core, and leaves that memory with its first hop: from then on it has
//! mapped what the guest has mapped and nothing else. It never makes a system call of the host:
//! PTRACE_SYSEMU takes those of user code, a seccomp filter those that it does not see (the
//! vsyscall page), and mappings are made from outside.

use crate::cpu::{self, count};
use crate::stub::{self, Loaded};
use crate::thread::State;
use umlab_host::Result;
use umlab_host::ptrace::Tracee;

pub struct Runner {
    pub tracee: Tracee,
    /// The thread whose user-mode state is in it.
    pub loaded: Loaded,
    /// The number of the space it is in; 0 for none that anybody runs in.
    pub space: u64,
    /// It may read the time stamp counter.
    pub timestamps: bool,
}

impl Runner {
    fn new(timestamps: bool) -> Result<Runner> {
        count(|c| &c.stubs_made, 1);
        let tracee = stub::fork_runner(timestamps)?;
        Ok(Runner { tracee, loaded: None, space: 0, timestamps })
    }

    /// Sees to it that the current CPU has a runner, with or without the time stamp counter. A
    /// runner makes no system calls, so another one takes its place where it has the wrong setting.
    pub fn provide(timestamps: bool) -> Result<()> {
        let mut runner = cpu::this().runner.borrow_mut();
        if runner.as_ref().is_some_and(|runner| runner.timestamps == timestamps) {
            return Ok(());
        }
        let other = Runner::new(timestamps)?;
        if let Some(old) = runner.replace(other) {
            if let Some(state) = old.loaded.as_ref().filter(|state| state.borrow().is_on(old.tracee)) {
                State::unload(state);
            }
            old.end();
        }
        Ok(())
    }

    /// Calls `with` with the current CPU's runner, which is made if there is none.
    pub fn with<T>(with: impl FnOnce(&mut Runner) -> Result<T>) -> Result<T> {
        let mut runner = cpu::this().runner.borrow_mut();
        match &mut *runner {
            Some(runner) => with(runner),
            none => with(none.insert(Runner::new(true)?)),
        }
    }

    /// Ends the process and reaps it. On its own CPU only.
    pub fn end(self) {
        self.tracee.end();
    }
}
