//! Device files: which driver a device number stands for.
//!
//! A device node is only a number in some file system; what opens is found here. So a node works
//! the same wherever it was made, in /dev or by mknod(2) elsewhere.

use crate::fs::memory_devices;
use crate::tty;
use crate::vfs::device::{MEMORY, PTS, TTY_SPECIAL};
use crate::vfs::file::FileOps;
use crate::vfs::inode::FileKind;
use crate::{Errno, Result};
use std::sync::Arc;

/// Opens the device behind a node, with the flags of open(2).
///
/// # Errors
/// ENXIO when there is no such device, and whatever the driver says.
pub fn open(kind: FileKind, device: u64, flags: i32) -> Result<Arc<dyn FileOps>> {
    if kind != FileKind::CharDevice {
        return Err(Errno::ENXIO);
    }
    let minor = abi::minor(device);
    match abi::major(device) {
        MEMORY => memory_devices::open(minor),
        TTY_SPECIAL => tty::open_special(minor, flags),
        PTS => tty::open_slave(minor, flags),
        _ => Err(Errno::ENXIO),
    }
}
