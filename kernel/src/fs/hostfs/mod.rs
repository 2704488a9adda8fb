//! A directory tree of the host, as a file system.
//!
//! What the host said of a file is believed for a while (about a second for a tree that the guest only reads, hardly longer than
//! a system call for one it writes), so most lookups and stats ask nothing. An inode is known by its host device and number. It has no
//! descriptor of its own: those are opened when they are needed and kept as long as there is room ([`handles`]).

mod change;
mod file;
mod handles;
mod inode;

pub use inode::HostInode;

use super::inode::InodeRef;
use super::mount::{FileSystem, StatFs};
use crate::lock::KCell;
use crate::{Errno, Result};
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};
use umlab_host::{clock, file as host};

/// How long a tree that only the host changes is believed.
const READ_ONLY_LIFETIME: u64 = 1_000_000_000;
/// How long one that the guest changes is: the answers to one system call, hardly more.
const WRITABLE_LIFETIME: u64 = 20_000;

/// Kinds of mounts that tell of the host itself: their places are shown as empty directories.
const HIDDEN: &[&str] = &[
    "proc",
    "sysfs",
    "devtmpfs",
    "devpts",
    "mqueue",
    "cgroup",
    "cgroup2",
    "securityfs",
    "debugfs",
    "tracefs",
    "configfs",
    "fusectl",
    "bpf",
    "pstore",
    "efivarfs",
    "binfmt_misc",
    "autofs",
];

/// What makes a host file itself: device and inode number.
type Key = (u64, u64);

pub struct HostFs {
    writable: bool,
    root: OnceLock<Arc<HostInode>>,
    inodes: KCell<HashMap<Key, Weak<HostInode>>>,
    mount_types: KCell<HashMap<u64, String>>,
}

impl HostFs {
    /// Shows the host's `path`, a directory or a file.
    pub fn new(path: &Path, writable: bool) -> Result<Arc<HostFs>> {
        let fs = Arc::new(HostFs {
            writable,
            root: OnceLock::new(),
            inodes: KCell::default(),
            mount_types: KCell::new(host::mount_types()),
        });
        let fd = host::open(path, libc::O_PATH)?;
        let stat = host::statx(fd.as_fd(), b"")?;
        let root = HostInode::new(&fs, &stat, None, b"", false);
        root.keep_handle(Arc::new(fd));
        fs.inodes.borrow_mut().insert(root.key, Arc::downgrade(&root));
        assert!(fs.root.set(root).is_ok(), "the root is set once");
        Ok(fs)
    }

    /// A clock for how long something is believed: as exact as the lifetime needs.
    fn now(&self) -> u64 {
        if self.writable { clock::monotonic() } else { clock::monotonic_coarse() }
    }

    fn lifetime(&self) -> u64 {
        if self.writable { WRITABLE_LIFETIME } else { READ_ONLY_LIFETIME }
    }

    /// Whether the mount shows what the guest must not see.
    fn is_hidden(&self, mount: u64) -> bool {
        if !self.mount_types.borrow().contains_key(&mount) {
            self.mount_types.set(host::mount_types());
        }
        self.mount_types.borrow().get(&mount).is_some_and(|kind| HIDDEN.contains(&kind.as_str()))
    }

    /// The inode of an entry that the host just told of.
    fn inode_of(self: &Arc<Self>, stat: &libc::statx, parent: &Arc<HostInode>, name: &[u8]) -> Arc<HostInode> {
        let key = inode::key_of(stat);
        let known = self.inodes.borrow().get(&key).and_then(Weak::upgrade);
        if let Some(known) = known
            && known.is_same(stat)
        {
            known.update(stat);
            // Of several names the last one used: the others may be gone.
            known.set_place(parent, name);
            return known;
        }
        let hidden = parent.mount != stat.stx_mnt_id && self.is_hidden(stat.stx_mnt_id);
        let inode = HostInode::new(self, stat, Some(parent.clone()), name, hidden);
        self.inodes.borrow_mut().insert(key, Arc::downgrade(&inode));
        inode
    }

    fn want_write(&self) -> Result<()> {
        if self.writable { Ok(()) } else { Err(Errno::EROFS) }
    }
}

impl FileSystem for HostFs {
    fn kind(&self) -> &'static str {
        "hostfs"
    }

    fn root(&self) -> InodeRef {
        self.root.get().expect("set when it was made").clone()
    }

    fn statfs(&self) -> Result<StatFs> {
        let handle = self.root.get().ok_or(Errno::EIO)?.handle()?;
        let stat = host::statfs(handle.as_fd())?;
        Ok(StatFs {
            magic: stat.f_type as u64,
            block_size: stat.f_bsize as u64,
            blocks: stat.f_blocks,
            free: stat.f_bfree,
            available: stat.f_bavail,
            files: stat.f_files,
            files_free: stat.f_ffree,
            name_max: stat.f_namelen as u64,
        })
    }
}
