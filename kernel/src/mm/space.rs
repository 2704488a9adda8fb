//! Guest address spaces.

use crate::Result;
use umlab_host::memory::Window;

pub struct AddressSpace {}

impl AddressSpace {
    /// The core's own way to the guest memory at `addr`: as many of `len` bytes as lie together, at least one (none if `len` is
    /// 0). With `write` the guest must be able to write there; copies on write are made first. EFAULT otherwise.
    pub fn window(&self, _addr: u64, _len: usize, _write: bool) -> Result<Window> {
        Err(crate::Errno::EFAULT)
    }
}
