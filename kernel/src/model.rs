//! The process-model interface: how guest processes exist on the host, and how control passes between guest user code
//! and the core.
//!
//! A model gives the core four kinds of thing:
//! - a [`ModelSpace`] for each guest address space: the host object that user mappings are made in;
//! - a [`UserThread`] for each guest thread: its user-mode registers, and the way into user mode and back;
//! - a [`Context`] for each task's kernel stack, and the switch between contexts;
//! - the CPUs: host threads (or processes) that the core runs on, their sleep, and how to interrupt one.
//!
//! Everything here is called with the big kernel lock held (see [`crate::lock`]) unless it says otherwise.
//! `docs/process-models.md` says method by method how each model implements this.

use crate::fs::file::HostFile;
use crate::mm::audit::HostView;
use crate::mm::{PageRange, frames};
use std::any::Any;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use umlab_host::Result;

/// User-mode registers, in the layout of ptrace(2)'s PTRACE_GETREGS.
pub type Regs = libc::user_regs_struct;

bitflags::bitflags! {
    /// What user code may do with a mapping; the bits are those of mmap(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Prot: u32 {
        const READ = libc::PROT_READ as u32;
        const WRITE = libc::PROT_WRITE as u32;
        const EXEC = libc::PROT_EXEC as u32;
    }
}

/// What is behind a mapping.
#[derive(Clone)]
pub enum Source {
    /// Guest memory, at a byte offset into physmem.
    Physmem { offset: u64 },
    /// A host file, for parts of files that the core need not own. `shared` is mmap(2)'s MAP_SHARED; a private mapping is
    /// never given PROT_WRITE.
    HostFile { file: Arc<HostFile>, offset: u64, shared: bool },
}

/// One mapping to make in an address space. Offsets are multiples of the page size.
#[derive(Clone)]
pub struct Mapping {
    pub range: PageRange,
    pub prot: Prot,
    pub source: Source,
    /// Bring the pages in at once: they are resident and about to be touched.
    pub populate: bool,
}

/// What mmap(2) wants to know of a mapping beside its place and rights.
pub struct HostMap {
    /// All but MAP_FIXED.
    pub flags: i32,
    pub fd: i32,
    pub offset: u64,
    /// Keeps `fd` open.
    pub file: Option<Arc<HostFile>>,
}

impl Mapping {
    pub fn host_map(&self) -> HostMap {
        let populate = if self.populate { libc::MAP_POPULATE } else { 0 };
        let (kind, fd, offset, file) = match &self.source {
            Source::Physmem { offset } => (libc::MAP_SHARED, frames::memory().fd().as_raw_fd(), *offset, None),
            Source::HostFile { file, offset, shared } => {
                let kind = if *shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
                (kind, file.fd.as_raw_fd(), *offset, Some(file.clone()))
            }
        };
        HostMap { flags: libc::MAP_NORESERVE | populate | kind, fd, offset, file }
    }
}

/// When a mapping has to be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Before the space's user code runs again.
    Now,
    /// As `Now`, on the current CPU: the core brings back what user code found missing. Nothing else can be mapped there, so what other
    /// CPUs have of the range is right.
    Missing,
    /// At the latest when user code faults on it (the core then asks with `Now`) or other orders are carried out. Only for ranges
    /// where user code cannot reach anything older.
    OnTouch,
}

/// The host's side of one guest address space.
///
/// Host mappings are a cache of what the core knows: a model may drop any of them at any time, and the core makes them
/// again at the fault. What the core relies on is the other direction: once [`ModelSpace::unmap`], [`ModelSpace::protect`] or a
/// replacing [`ModelSpace::map`] was called and the calling task enters user mode (or [`ModelSpace::sync`] returned), no user
/// code can use the old mapping, on any CPU.
pub trait ModelSpace: Send + Sync {
    /// Makes sure that user code will be able to run in the space, of which the host may not have enough: for the copy that a fork makes.
    ///
    /// # Errors
    /// What the host says when it refuses another process, EAGAIN or ENOMEM.
    fn secure(&self) -> Result<()>;
    /// Maps, over whatever was there.
    fn map(&self, mapping: Mapping, when: When);
    fn unmap(&self, range: PageRange);
    /// Changes rights of what is mapped in the range; parts where nothing is mapped are skipped.
    fn protect(&self, range: PageRange, prot: Prot);
    /// Waits until no CPU's user code can use mappings that were removed or restricted before this call. It may drop the big
    /// lock while it waits. Needed when the core reuses or shares the memory before the caller enters user mode (fork).
    fn sync(&self);
    /// For the audit ([`crate::mm::audit`]): each host process that the space has, and what user code will find mapped there when it next runs,
    /// which is what the host lists, changed by the orders that were not carried out yet. One that carries out orders at this moment is left
    /// out. What is the model's own is left out as well, where it is as it should be.
    fn audit(&self) -> Vec<HostView> {
        Vec::new()
    }
    fn as_any(&self) -> &dyn Any;
}

/// Why a guest left user mode.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Trap {
    /// A system call. Registers stand after the instruction; `rax` is not yet the result (see [`UserThread::set_result`]).
    Syscall { number: u64, args: [u64; 6], abi: SyscallAbi },
    /// A memory access that the host mappings do not allow.
    Fault(Fault),
    /// Any other exception of user code, as the signal Linux sends for it.
    Exception { signal: i32, code: i32, addr: u64 },
    /// The host interrupted user mode: a tick, or [`ProcessModel::kick`].
    Interrupt,
    /// User mode was not entered: the host refuses what that takes on this CPU, but has it on another one.
    Elsewhere { cpu: usize },
    /// The host object that ran the thread is gone (killed from outside, say): the guest process cannot go on.
    Lost,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyscallAbi {
    X64,
    /// A call of one of the entries in the vsyscall page, where the host has one, which has returned already. The numbers are those of x86-64.
    Vsyscall,
    /// `int 0x80` or `sysenter`, from code in any mode.
    I386,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    pub addr: u64,
    /// Whether anything was mapped there on the host (the access was refused), or nothing (it was missing).
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

/// A guest thread's user-mode state. Owned by its task's kernel context, which alone enters user mode with it.
pub trait UserThread: Send {
    /// Runs user code in `space` until it traps. Called with the big lock held; the model drops it while user code runs and
    /// has taken it again on return. Orders given to `space` so far are carried out first.
    fn run(&mut self, space: &dyn ModelSpace) -> Trap;

    /// The registers, after a trap or as set. Fetched from the host when first asked for.
    fn regs(&mut self) -> &Regs;

    /// The registers, to be changed. The model makes whatever is written harmless: selectors and flags are those user code may have.
    fn regs_mut(&mut self) -> &mut Regs;

    /// Sets the result register of the system call just trapped; all else stays. Cheaper than `regs_mut`.
    fn set_result(&mut self, value: u64);

    /// The extended state (x87, SSE, AVX, ...) in the XSAVE layout of the CPU, as signal frames hold it.
    fn extended_state(&mut self) -> Vec<u8>;

    /// Replaces the extended state. What the CPU would refuse is EINVAL.
    fn set_extended_state(&mut self, xsave: &[u8]) -> Result<()>;

    /// What execve(2) does to it: registers zero, extended state initial.
    fn reset(&mut self);

    /// A new thread with the same user-mode state, for fork(2) and clone(2).
    fn duplicate(&mut self) -> Box<dyn UserThread>;

    /// CPU time that the host has given so far to whatever of its own runs this thread's user code at the moment. Costs a host call.
    fn host_time(&self) -> Option<HostTime> {
        None
    }

    /// The handle by which the scheduler moves this thread between CPUs.
    fn residence(&self) -> Arc<dyn Residence>;
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
    /// Called on the CPU that the thread last ran on, before it runs on another one: brings its state into the core.
    fn leave_cpu(&self);
}

/// A kernel stack and the registers saved on it while it does not run.
pub trait Context: Send + Sync {
    fn as_any(&self) -> &dyn Any;

    /// Whether the host object that the context ran on was ended from outside, so that its task cannot enter user mode again. The model
    /// says [`crate::events::context_lost`] when that begins.
    fn is_lost(&self) -> bool {
        false
    }
}

/// What a context runs. When it returns, the model goes on in the context it returned, and the ended one is never switched to
/// again; the core drops it from another one.
pub type ContextMain = Box<dyn FnOnce() -> Arc<dyn Context> + Send>;

/// The vDSO that a model puts into every address space, so that reading the clock is no trap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vdso {
    /// First byte of the data pages, which lie below the code.
    pub data: u64,
    /// First byte of the ELF image (AT_SYSINFO_EHDR).
    pub image: u64,
    /// First byte after the image.
    pub end: u64,
}

/// A way for guest processes to exist on the host. One object for the whole guest.
pub trait ProcessModel: Send + Sync {
    fn name(&self) -> &'static str;

    /// The first address that is not the guest's. Constant for the guest's life.
    fn user_top(&self) -> u64;

    /// The vDSO that every new address space holds, if the model provides one. It stays mapped until the core unmaps it; one that lies
    /// above `user_top` is the model's own: guests can use it, and cannot change it.
    fn vdso(&self) -> Option<Vdso>;

    /// A new, empty address space (but for the vDSO).
    fn new_space(&self) -> Result<Box<dyn ModelSpace>>;

    /// A new thread, its state as `reset` leaves it.
    fn new_thread(&self) -> Box<dyn UserThread>;

    /// A new context that will run `main` when it is first switched to. `space` is the address space whose user code it will first
    /// enter, for models in which a context is a host task and lives in one.
    fn new_context(&self, space: Option<&dyn ModelSpace>, main: ContextMain) -> Result<Arc<dyn Context>>;

    /// Leaves the running context, which `from` saves, and goes on in `to`, on the same CPU, with the big lock held
    /// throughout. Returns when something switches back to `from`, perhaps on another CPU.
    fn switch(&self, from: &dyn Context, to: &dyn Context);

    /// Runs `main` on every guest CPU, each on a host thread of its own with the big lock held, and returns when all have returned.
    /// `main` is given the CPU's number and the context it runs on, which is the CPU's idle context.
    fn run_cpus(&self, count: usize, main: &(dyn Fn(usize, Arc<dyn Context>) + Sync));

    /// The CPU this code runs on.
    fn current_cpu(&self) -> usize;

    /// Makes `cpu` come back into the core soon: out of user mode as [`Trap::Interrupt`], or out of `idle`. Callable from any host
    /// thread, with or without the big lock.
    fn kick(&self, cpu: usize);

    /// Sleeps on the current CPU until kicked or `deadline` (CLOCK_MONOTONIC, ns). Drops the big lock meanwhile.
    fn idle(&self, deadline: Option<u64>);

    /// Asks that user mode on the current CPU be interrupted at `deadline` (CLOCK_MONOTONIC, ns), none for never.
    fn set_alarm(&self, deadline: Option<u64>);

    /// For the audit: the host processes that no address space has now, as the next one will find them. See [`ModelSpace::audit`].
    fn audit_idle(&self) -> Vec<HostView> {
        Vec::new()
    }

    /// What the model did so far, by name, for reports: traps, switches, host calls, mappings.
    fn counters(&self) -> Vec<(&'static str, u64)>;
}
