//! Guest address spaces on the host.

use crate::{HostView, Mapping, PageRange, Prot};
use std::any::Any;
use umlab_host::Result;

/// When a mapping has to be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Before the space's user code runs again.
    Now,
    /// As `Now`, on the current CPU: the kernel brings back what user code found missing. Nothing
    /// else can be mapped there, so what other CPUs have of the range is right.
    Refill,
    /// At the latest when user code faults on it (the kernel then asks with `Now`) or other orders
    /// are carried out. Only for ranges where user code cannot reach anything older.
    Lazy,
}

/// The host's side of one guest address space.
///
/// Host mappings are a cache of the kernel's areas: a model may drop any of them at any time, and
/// the kernel makes them again at the fault. The kernel relies on the other direction: once
/// [`ModelSpace::unmap`], [`ModelSpace::protect`] or a replacing [`ModelSpace::map`] was called and
/// the calling task enters user mode (or [`ModelSpace::sync`] returned), no user code can use the
/// old mapping, on any CPU.
pub trait ModelSpace: Send + Sync {
    /// Reserves what the host needs to run user code in the space, so that a fork fails before the
    /// child exists.
    ///
    /// # Errors
    /// The host's, when it refuses another process: EAGAIN or ENOMEM.
    fn reserve(&self) -> Result<()>;

    /// Maps, over whatever was there.
    fn map(&self, mapping: Mapping, when: When);

    fn unmap(&self, range: PageRange);

    /// Changes rights of what is mapped in the range; parts where nothing is mapped are skipped.
    fn protect(&self, range: PageRange, prot: Prot);

    /// Waits until no CPU's user code can use mappings that were removed or restricted before this
    /// call. It may drop the big lock while it waits. Needed when the kernel reuses or shares the
    /// memory before the caller enters user mode (fork).
    fn sync(&self);

    /// For the audit: each host process that the space has, and what user code will find mapped
    /// there when it next runs, which is what the host lists, changed by the orders that were not
    /// carried out yet. One that carries out orders at this moment is left out. What is the model's
    /// own is left out as well, where it is as it should be.
    fn audit(&self) -> Vec<HostView> {
        Vec::new()
    }

    fn as_any(&self) -> &dyn Any;
}
