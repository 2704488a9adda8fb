//! Device files: which driver a device number stands for.
//!
//! A device node is only a number in some file system; what opens is found here. So a node works the same wherever it was
//! made, in /dev or by mknod(2) elsewhere.

use crate::fs::memory_devices;
use crate::tty;
use crate::vfs::file::FileOps;
use crate::vfs::inode::FileKind;
use crate::{Errno, Result};
use std::sync::Arc;

/// Major number of null, zero, random and their kind.
pub const MEMORY: u32 = 1;
/// Major number of /dev/tty, /dev/console and /dev/ptmx.
pub const TTY_SPECIAL: u32 = 5;
/// Major number of the slaves of pseudo terminals.
pub const PTS: u32 = 136;

/// A device number as stat(2) gives it.
pub const fn number(major: u32, minor: u32) -> u64 {
    libc::makedev(major, minor)
}

/// Opens the device behind a node, with the flags of open(2).
///
/// # Errors
/// ENXIO when there is no such device, and whatever the driver says.
pub fn open(kind: FileKind, device: u64, flags: i32) -> Result<Arc<dyn FileOps>> {
    if kind != FileKind::CharDevice {
        return Err(Errno::ENXIO);
    }
    let minor = libc::minor(device);
    match libc::major(device) {
        MEMORY => memory_devices::open(minor),
        TTY_SPECIAL => tty::open_special(minor, flags),
        PTS => tty::open_slave(minor, flags),
        _ => Err(Errno::ENXIO),
    }
}
