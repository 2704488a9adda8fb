//! Guest threads: their user-mode state, and the way into user mode and back.

use crate::{ModelSpace, TASK_SIZE};
use std::sync::Arc;
use umlab_host::Result;
use umlab_host::ptrace::SignalInfo;

pub use umlab_abi::ptrace::{Regs, USER_CS, USER_DS, USER32_CS};

/// Why a guest left user mode.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Trap {
    /// A system call. Registers stand after the instruction; `rax` is not yet the result (see
    /// [`UserThread::set_result`]).
    Syscall { number: u64, args: [u64; 6], abi: SyscallAbi },
    /// A memory access that the host mappings do not allow.
    Fault(Fault),
    /// Any other exception of user code, as the signal Linux sends for it.
    Exception { signal: i32, code: i32, addr: u64 },
    /// The host interrupted user mode: a tick, or [`crate::Machine::kick`].
    Interrupt,
    /// User mode was not entered: the host refuses what that takes on this CPU, but has it on
    /// another one.
    Migrate { cpu: usize },
    /// The host object that ran the thread is gone (killed from outside, say): the guest process
    /// cannot go on.
    Lost,
}

impl Trap {
    /// What a host signal is that stopped user code in a traced process, with the access, where the
    /// host tells. `regs` fetches the registers, which one kind of trap needs.
    pub fn of_signal(info: SignalInfo, access: Option<Access>, regs: impl FnOnce() -> Regs) -> Trap {
        const SEGV_MAPERR: i32 = 1;
        const SEGV_ACCERR: i32 = 2;
        match info.signal {
            // Signals that somebody on the host sent are not the guest's; SI_KERNEL is the host's
            // way to report some exceptions.
            _ if info.code <= 0 => Trap::Interrupt,
            libc::SIGSEGV if matches!(info.code, SEGV_MAPERR | SEGV_ACCERR) => {
                Trap::Fault(Fault { addr: info.addr, present: info.code == SEGV_ACCERR, access })
            }
            // The vsyscall page, where a filter catches its calls.
            libc::SIGSYS => {
                let regs = regs();
                let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
                Trap::Syscall { number: info.syscall as u64, args, abi: SyscallAbi::Vsyscall }
            }
            signal @ (libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL | libc::SIGTRAP) => {
                Trap::Exception { signal, code: info.code, addr: info.addr }
            }
            // What the host's kernel has against its own process, as a limit on CPU time, is no
            // exception of user code.
            _ => Trap::Interrupt,
        }
    }
}

/// Gives registers that a guest had a say in the selectors and bases that user code may have. The
/// host cuts the flags.
pub fn make_harmless(regs: &mut Regs) {
    if regs.cs != USER32_CS {
        regs.cs = USER_CS;
    }
    regs.ss = USER_DS;
    for selector in [&mut regs.ds, &mut regs.es, &mut regs.fs, &mut regs.gs] {
        if *selector != USER_DS {
            *selector = 0;
        }
    }
    for base in [&mut regs.fs_base, &mut regs.gs_base] {
        if *base >= TASK_SIZE {
            *base = 0;
        }
    }
    regs.orig_rax = u64::MAX;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyscallAbi {
    X64,
    /// A call of one of the entries in the vsyscall page, where the host has one, which has
    /// returned already. The numbers are those of x86-64.
    Vsyscall,
    /// `int 0x80` or `sysenter`, from code in any mode.
    I386,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    pub addr: u64,
    /// Whether anything was mapped there on the host (the access was refused), or nothing (it was
    /// missing).
    pub present: bool,
    /// The access, where the model knows it.
    pub access: Option<Access>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Read,
    Write,
    Exec,
}

/// A guest thread's user-mode state. Owned by its task's kernel context, which alone enters user
/// mode with it.
pub trait UserThread: Send {
    /// Runs user code in `space` until it traps. Called with the big lock held; the model drops it
    /// while user code runs and has taken it again on return. Orders given to `space` so far are
    /// carried out first.
    fn run(&mut self, space: &dyn ModelSpace) -> Trap;

    /// The registers, after a trap or as set. Fetched from the host when first asked for, which can
    /// cost as much as a fifth of a system call: nothing on the way of every call asks.
    fn regs(&mut self) -> &Regs;

    /// The registers, to be changed. The model makes whatever is written harmless: selectors and
    /// flags are those user code may have.
    fn regs_mut(&mut self) -> &mut Regs;

    /// Sets the result register of the system call just trapped; all else stays. Cheaper than
    /// `regs_mut`.
    fn set_result(&mut self, value: u64);

    /// Makes `image` the extended state (x87, SSE, AVX, ...) in the XSAVE layout of the CPU, as
    /// signal frames hold it; the first of software's words (byte 464) is the mask of the features
    /// there are. Allocates only where `image` is shorter than that.
    fn read_extended_state(&mut self, image: &mut Vec<u8>);

    /// The extended state, as `read_extended_state` gives it.
    fn extended_state(&mut self) -> Vec<u8> {
        let mut image = Vec::new();
        self.read_extended_state(&mut image);
        image
    }

    /// Replaces the extended state. What the CPU would refuse is EINVAL.
    fn set_extended_state(&mut self, xsave: &[u8]) -> Result<()>;

    /// Makes the extended state that with which a program starts.
    fn reset_extended_state(&mut self);

    /// Whether `rdtsc` and `rdtscp` work in user code, as they do at first.
    fn timestamps(&self) -> bool;

    /// Lets `rdtsc` and `rdtscp` work, or raise SIGSEGV: PR_SET_TSC of prctl(2).
    fn set_timestamps(&mut self, on: bool);

    /// What execve(2) does to it: registers zero, extended state initial. Time stamps stay as they
    /// are.
    fn reset(&mut self);

    /// A new thread with the same user-mode state, for fork(2) and clone(2).
    fn duplicate(&mut self) -> Box<dyn UserThread>;

    /// CPU time that the host has given so far to whatever of its own runs this thread's user code
    /// at the moment. Costs a host call.
    fn host_time(&self) -> Option<HostTime> {
        None
    }

    /// The handle by which the scheduler moves this thread between CPUs. None where any CPU reaches
    /// the thread's state.
    fn residence(&self) -> Option<Arc<dyn Residence>> {
        None
    }
}

/// What the host counts of one of its processes or threads.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct HostTime {
    /// Tells it apart from others: readings of two are not to be compared.
    pub of: u64,
    /// Nanoseconds.
    pub given: u64,
}

/// Where a thread's user-mode state lives on the host.
pub trait Residence: Send + Sync {
    /// Called on the CPU that the thread last ran on, before it runs on another one: brings its
    /// state into the kernel's memory.
    fn evict(&self);
}
