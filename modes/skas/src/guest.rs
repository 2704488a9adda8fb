//! Guest processes on a patched host (skas3): one host process for each guest CPU, which hops
//! between address spaces.
//!
//! It begins as a fork of the core, and leaves that memory with its first hop: what it runs in then
//! holds what the guest has mapped and nothing else. It never makes a system call of the host:
//! PTRACE_SYSEMU takes those of user code, a seccomp filter what that does not see (the vsyscall
//! page), and mappings are made from outside.

use crate::cpu::{self, count};
use crate::stub::{self, Loaded};
use umlab_host::Result;
use umlab_host::ptrace::{Status, Tracee};

pub struct Guest {
    pub tracee: Tracee,
    /// The thread whose user-mode state is in it.
    pub loaded: Loaded,
    /// The number of the space it is in; 0 for none that anybody runs in.
    pub space: u64,
}

impl Guest {
    fn new() -> Result<Guest> {
        count(|c| &c.stubs_made, 1);
        let tracee = stub::fork_guest()?;
        Ok(Guest { tracee, loaded: None, space: 0 })
    }

    /// Calls `with` with the current CPU's guest process, which is made if there is none.
    pub fn with<T>(with: impl FnOnce(&mut Guest) -> Result<T>) -> Result<T> {
        let mut guest = cpu::this().guest.borrow_mut();
        match &mut *guest {
            Some(guest) => with(guest),
            none => with(none.insert(Guest::new()?)),
        }
    }

    /// Ends the process and reaps it. On its own CPU only.
    pub fn end(self) {
        self.tracee.kill();
        while let Ok(Status::Signal(_) | Status::Syscall) = self.tracee.wait() {}
    }
}
