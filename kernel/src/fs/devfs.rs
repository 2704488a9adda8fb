//! What /dev holds when the guest starts.
//!
//! /dev is an ordinary memory file system, so guests may add to it; boot calls [`populate`] on its
//! root, and then mounts devpts on `pts` and a memory file system on `shm`.

use crate::Result;
use crate::creds::Creds;
use crate::vfs::device::{MEMORY, TTY_GROUP, TTY_SPECIAL, number};
use crate::vfs::inode::{FileKind, InodeRef, NewNode, SetAttr};

/// Name, major, minor, mode.
const NODES: &[(&str, u32, u32, u32)] = &[
    ("null", MEMORY, 3, 0o666),
    ("zero", MEMORY, 5, 0o666),
    ("full", MEMORY, 7, 0o666),
    ("random", MEMORY, 8, 0o666),
    ("urandom", MEMORY, 9, 0o666),
    ("kmsg", MEMORY, 11, 0o644),
    ("tty", TTY_SPECIAL, 0, 0o666),
    ("console", TTY_SPECIAL, 1, 0o620),
    ("ptmx", TTY_SPECIAL, 2, 0o666),
];

const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

const DIRECTORIES: &[(&str, u32)] = &[("pts", 0o755), ("shm", 0o1777), ("mqueue", 0o1777)];

/// Makes the nodes, links and directories of /dev in `root`. The console belongs to `owner`, so
/// that the guest's command can open it.
pub fn populate(root: &InodeRef, owner: u32) -> Result<()> {
    let creds = Creds::user(0, 0, Vec::new());
    for &(name, major, minor, mode) in NODES {
        let node = NewNode::Device(FileKind::CharDevice, number(major, minor));
        let inode = root.create(name.as_bytes(), &node, mode, &creds)?;
        if major == TTY_SPECIAL {
            let uid = if name == "console" { owner } else { 0 };
            inode.set_attr(&SetAttr { uid: Some(uid), gid: Some(TTY_GROUP), ..SetAttr::default() })?;
        }
    }
    for &(name, target) in LINKS {
        root.create(name.as_bytes(), &NewNode::Symlink(target.as_bytes()), 0o777, &creds)?;
    }
    for &(name, mode) in DIRECTORIES {
        root.create(name.as_bytes(), &NewNode::Directory, mode, &creds)?;
    }
    Ok(())
}
