//! The process-model interface: how guest processes exist on the host, and how control passes
//! between guest user code and the kernel.
//!
//! It has two halves. The guest's objects:
//! - a [`ModelSpace`] for each guest address space: the host object that user mappings are made in
//!   ([`space`]);
//! - a [`UserThread`] for each guest thread: its user-mode registers, and the way into user mode
//!   and back ([`thread`]).
//!
//! And the machine that the kernel runs on ([`machine`]): its CPUs, which are host threads or
//! processes, how they sleep and are interrupted, and a [`Context`] for each task's kernel stack.
//!
//! [`ProcessModel`] makes the first and has the second. A model depends on this crate and on
//! `umlab-host`, never on the kernel; the kernel depends on this crate and names no model. They
//! share the big lock ([`lock`]), under which all of this is called unless a method's text excepts
//! it, guest memory ([`physmem`]), and messages ([`log`]). In the other direction, a model calls
//! the kernel by [`kernel::get`].
//!
//! People choose a model by its [`Model`].
//!
//! `docs/process-models.md` describes method by method how each model implements this.

mod choice;
mod counters;
pub mod kernel;
pub mod lock;
pub mod log;
pub mod machine;
pub mod mapping;
pub mod pages;
pub mod physmem;
pub mod space;
pub mod thread;
pub mod view;

pub use choice::{CannotRun, Isolation, Model};
pub use kernel::Kernel;
pub use machine::{Context, ContextMain, Machine};
pub use mapping::{BackingFile, HostMap, Mapping, Prot, Source};
pub use pages::{PAGE_SHIFT, PAGE_SIZE, PageRange, TASK_SIZE};
pub use space::{ModelSpace, When};
pub use thread::{Access, Fault, HostTime, Regs, Residence, SyscallAbi, Trap, UserThread};
pub use view::HostView;

use umlab_host::Result;

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

    /// The CPUs and kernel stacks that the kernel runs on.
    fn machine(&self) -> &dyn Machine;

    /// The first address that is not the guest's. Constant for the guest's life.
    fn user_top(&self) -> u64;

    /// The vDSO that every new address space holds, if the model provides one. It stays mapped
    /// until the kernel unmaps it; one that lies above `user_top` is the model's own: guests can
    /// use it, and cannot change it.
    fn vdso(&self) -> Option<Vdso>;

    /// A new, empty address space (but for the vDSO).
    ///
    /// # Errors
    /// The host's, when it refuses what that takes.
    fn new_space(&self) -> Result<Box<dyn ModelSpace>>;

    /// A new thread, its state as [`UserThread::reset`] leaves it.
    fn new_thread(&self) -> Box<dyn UserThread>;

    /// For the audit: the host processes that no address space has now, as the next one will find
    /// them. See [`ModelSpace::audit`].
    fn audit_idle(&self) -> Vec<HostView> {
        Vec::new()
    }

    /// What the model did so far, by name, for reports: traps, switches, host calls, mappings.
    fn counters(&self) -> Vec<(&'static str, u64)>;
}
