//! Guest memory: one host file in memory, which the kernel hands out in frames and models map.

use std::sync::OnceLock;
use umlab_host::Result;
use umlab_host::memory::SharedMemory;

static MEMORY: OnceLock<SharedMemory> = OnceLock::new();

/// Makes it, of `len` bytes, none of them resident. Boot calls it once.
///
/// # Errors
/// The host's, when it has no such file or no room in the address space.
///
/// # Panics
/// At the second call.
pub fn make(len: usize) -> Result<()> {
    let memory = SharedMemory::new(c"umlab-physmem", len)?;
    assert!(MEMORY.set(memory).is_ok(), "physmem is made once");
    Ok(())
}

/// # Panics
/// Before `make`.
#[inline]
pub fn memory() -> &'static SharedMemory {
    MEMORY.get().expect("physmem was made at boot")
}
