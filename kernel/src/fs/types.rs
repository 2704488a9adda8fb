//! The types of file systems there are: for mount(2) and /proc/filesystems. A new one is a row.

use super::{memfs, procfs, sysfs};
use crate::tty::devpts;
use crate::vfs::mount::FileSystem;
use crate::{Errno, Result};
use std::sync::Arc;

struct FsType {
    name: &'static str,
    /// Makes one with the options of mount(2); none for what is only there from the beginning.
    make: Option<fn(&[u8]) -> Result<Arc<dyn FileSystem>>>,
}

const TYPES: &[FsType] = &[
    FsType { name: "sysfs", make: Some(|_| Ok(sysfs::file_system())) },
    FsType { name: "tmpfs", make: Some(memfs::options::mount) },
    FsType { name: "proc", make: Some(|_| Ok(procfs::file_system())) },
    FsType { name: "devtmpfs", make: None },
    FsType { name: "devpts", make: Some(|_| Ok(devpts::file_system())) },
    FsType { name: "ramfs", make: Some(memfs::options::mount) },
    FsType { name: "overlay", make: None },
];

/// A new file system by the name of its type; ENODEV when there is no such type, or none can be
/// made.
pub fn mount(name: &[u8], options: &[u8]) -> Result<Arc<dyn FileSystem>> {
    let found = TYPES.iter().find(|known| known.name.as_bytes() == name);
    found.and_then(|known| known.make).ok_or(Errno::ENODEV)?(options)
}

/// Their names, in the order of /proc/filesystems. None has a device.
pub fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|known| known.name)
}
