//! File systems in guest memory: tmpfs, and the overlay, which is the same with another tree
//! showing through.
//!
//! An inode here may stand for an inode of a *lower* tree that the guest only reads (the host's
//! files). As long as nothing changes, all questions go to the lower one. A change first takes over
//! what it changes: the attributes, the contents of a file, or in a directory the single name. So
//! there is no second tree that would have to be kept parallel: a directory that moves takes its
//! lower directory along, links to one lower file are links to one inode, and the guest's inode
//! numbers never change.

mod dir;
mod file;
mod inode;
mod lower;
mod memfd;
pub mod options;

pub use file::MemFile;
pub use inode::MemInode;
pub use memfd::{add_seals, memfd, nameless, seals};

use crate::lock::KCell;
use crate::mm::frames;
use crate::mm::page_cache::Quota;
use crate::mm::pressure::room_for;
use crate::vfs::inode::{InodeRef, Timestamp};
use crate::vfs::mount::{FileSystem, StatFs};
use crate::{Errno, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use umlab_model::PAGE_SIZE;

const TMPFS_MAGIC: u64 = 0x0102_1994;
const OVERLAY_MAGIC: u64 = 0x794c_7630;
/// Inode numbers of new files in an overlay: above those of the host's files.
const OVERLAY_FIRST_INO: u64 = 1 << 46;
/// About what an inode takes of the core's memory.
const INODE_BYTES: usize = 512;

pub struct MemFs {
    instance: Arc<Instance>,
    root: Arc<MemInode>,
}

/// What the inodes of a file system share. They keep it, and it keeps none of them: what was
/// unmounted ends with the last file in use.
struct Instance {
    kind: &'static str,
    dev: u64,
    quota: Arc<Quota>,
    /// Inodes it may have.
    inode_limit: u64,
    inode_count: AtomicU64,
    next_ino: AtomicU64,
    /// The inodes that stand for lower ones, by the lower one's address.
    stand_ins: KCell<HashMap<usize, Weak<MemInode>>>,
    /// The lower tree's devices: inode numbers of all but the first are told apart by their place
    /// here.
    lower_devices: KCell<Vec<u64>>,
    /// What /proc/mounts tells of it.
    options: KCell<String>,
}

/// A device number for a file system without a device.
pub fn new_device() -> u64 {
    static NEXT: AtomicU32 = AtomicU32::new(24);
    let minor = NEXT.fetch_add(1, Relaxed);
    abi::makedev(0, minor)
}

/// The time stamp of a change now.
pub fn timestamp() -> Timestamp {
    Timestamp::from(umlab_host::clock::realtime_coarse())
}

impl Instance {
    fn make(kind: &'static str, pages: u64, first_ino: u64) -> Arc<Instance> {
        Arc::new(Instance {
            kind,
            dev: new_device(),
            quota: Quota::new(pages),
            inode_limit: (frames::limit() / PAGE_SIZE).max(1024),
            inode_count: AtomicU64::new(0),
            next_ino: AtomicU64::new(first_ino),
            stand_ins: KCell::default(),
            lower_devices: KCell::default(),
            options: KCell::default(),
        })
    }

    /// A number for a new inode, for which there is room with `more` bytes of its own.
    fn new_ino(&self, more: usize) -> Result<u64> {
        room_for(INODE_BYTES + more).map_err(|_| Errno::ENOSPC)?;
        if self.inode_count.fetch_add(1, Relaxed) >= self.inode_limit {
            self.inode_count.fetch_sub(1, Relaxed);
            return Err(Errno::ENOSPC);
        }
        Ok(self.next_ino.fetch_add(1, Relaxed))
    }
}

impl MemFs {
    /// An empty file system of at most `size` bytes (half of the guest's memory if not given),
    /// whose root has these permissions.
    pub fn new(size: Option<u64>, mode: u32, uid: u32, gid: u32) -> Arc<MemFs> {
        MemFs::of_kind("tmpfs", size, mode, uid, gid)
    }

    /// As `new`, under another name in /proc/mounts.
    pub fn of_kind(kind: &'static str, size: Option<u64>, mode: u32, uid: u32, gid: u32) -> Arc<MemFs> {
        let bytes = size.unwrap_or(frames::limit() / 2);
        let instance = Instance::make(kind, bytes.div_ceil(PAGE_SIZE), 1);
        instance.options.set(match size {
            Some(size) => format!(",size={}k,mode={mode:o}", size / 1024),
            None => format!(",mode={mode:o}"),
        });
        let root = MemInode::new_root(&instance, mode, uid, gid);
        Arc::new(MemFs { instance, root })
    }

    /// An overlay: shows `lower`, and keeps all changes in memory, three quarters of the guest's at
    /// most.
    pub fn over(lower: InodeRef) -> Arc<MemFs> {
        let instance = Instance::make("overlay", frames::limit() / 4 * 3 / PAGE_SIZE, OVERLAY_FIRST_INO);
        if let Ok(attr) = lower.attr() {
            instance.lower_devices.borrow_mut().push(attr.dev);
        }
        let root = instance.stand_in(lower, None);
        Arc::new(MemFs { instance, root })
    }
}

impl FileSystem for MemFs {
    fn kind(&self) -> &'static str {
        self.instance.kind
    }

    fn root(&self) -> InodeRef {
        self.root.clone()
    }

    fn statfs(&self) -> Result<StatFs> {
        let used = self.instance.quota.used.get();
        let blocks = self.instance.quota.limit;
        let free = blocks.saturating_sub(used);
        Ok(StatFs {
            magic: if self.instance.kind == "overlay" { OVERLAY_MAGIC } else { TMPFS_MAGIC },
            block_size: PAGE_SIZE,
            blocks,
            free,
            available: free,
            files: self.instance.inode_limit,
            files_free: self.instance.inode_limit.saturating_sub(self.instance.inode_count.load(Relaxed)),
            name_max: 255,
        })
    }

    fn options(&self) -> String {
        self.instance.options.cloned()
    }
}
