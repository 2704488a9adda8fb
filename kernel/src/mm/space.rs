//! Guest address spaces.

use crate::Result;
use std::sync::Arc;
use umlab_host::memory::Window;

pub struct AddressSpace {}

/// What makes two futex addresses the same futex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FutexKey {
    /// Memory of one address space.
    Private { space: u64, addr: u64 },
    /// Memory that others can map too: which object, and where in it.
    Shared { object: u64, offset: u64 },
}

impl AddressSpace {
    /// The core's own way to the guest memory at `addr`: as many of `len` bytes as lie together, at least one (none if `len` is
    /// 0). With `write` the guest must be able to write there; copies on write are made first. EFAULT otherwise.
    pub fn window(&self, _addr: u64, _len: usize, _write: bool) -> Result<Window> {
        Err(crate::Errno::EFAULT)
    }

    /// A copy for a new process, of which each sees its own changes.
    pub fn fork(self: &Arc<Self>) -> Result<Arc<AddressSpace>> {
        Err(crate::Errno::ENOMEM)
    }

    /// The futex at `addr`; `private` says that the caller looks for no other process's.
    pub fn futex_key(&self, addr: u64, _private: bool) -> Result<FutexKey> {
        Ok(FutexKey::Private { space: std::ptr::from_ref(self) as u64, addr })
    }
}
