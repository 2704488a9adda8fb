//! A file system in guest memory (tmpfs): /tmp, /dev, /dev/shm, memfd, and the files that the overlay has to change.

mod file;
mod node;

pub use node::MemInode;

use super::contents::{Contents, Quota};
use super::inode::{FileKind, InodeRef};
use super::mount::{FileSystem, StatFs};
use crate::Result;
use crate::mm::PAGE_SIZE;
use crate::task::creds::Creds;
use node::Data;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

const TMPFS_MAGIC: u64 = 0x0102_1994;

/// What the inodes of one file system share.
pub struct MemFs {
    pub dev: u64,
    pub quota: Arc<Quota>,
    next_ino: AtomicU64,
    inodes: AtomicU64,
}

static NEXT_DEV: AtomicU64 = AtomicU64::new(0x40);

impl MemFs {
    /// An empty file system that may use `limit` bytes.
    pub fn new(limit: u64) -> Arc<MemFs> {
        Arc::new(MemFs {
            dev: libc::makedev(0, NEXT_DEV.fetch_add(1, Relaxed) as u32),
            quota: Quota::new(limit / PAGE_SIZE),
            next_ino: AtomicU64::new(1),
            inodes: AtomicU64::new(0),
        })
    }

    /// A regular file without a name.
    pub fn unnamed(self: &Arc<Self>, mode: u32, creds: &Creds) -> Arc<MemInode> {
        let file = MemInode::new(self, FileKind::Regular, Data::Regular(Contents::new(&self.quota)), mode, creds, 0);
        file.set_nlink(0);
        file
    }

    /// An inode number that no file of it has.
    pub fn next_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Relaxed)
    }

    fn statfs(&self) -> StatFs {
        let (limit, used) = (self.quota.limit, self.quota.used.get());
        let free = limit.saturating_sub(used);
        let files = limit.min(1 << 40);
        StatFs {
            magic: TMPFS_MAGIC,
            block_size: PAGE_SIZE,
            blocks: limit,
            free,
            available: free,
            files,
            files_free: files.saturating_sub(self.inodes.load(Relaxed)),
            name_max: 255,
        }
    }
}

/// A memory file system with a root directory, to be mounted.
pub struct MemTree {
    fs: Arc<MemFs>,
    root: Arc<MemInode>,
}

impl MemTree {
    /// An empty tree that may use `limit` bytes; its root has these permissions and belongs to `creds`.
    pub fn new(limit: u64, mode: u32, creds: &Creds) -> Arc<MemTree> {
        let fs = MemFs::new(limit);
        let root = MemInode::new(&fs, FileKind::Directory, Data::Directory(Default::default()), mode, creds, 0);
        root.set_nlink(2);
        Arc::new(MemTree { fs, root })
    }
}

impl FileSystem for MemTree {
    fn kind(&self) -> &'static str {
        "tmpfs"
    }

    fn root(&self) -> InodeRef {
        self.root.clone()
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(self.fs.statfs())
    }

    fn options(&self) -> String {
        format!(",size={}k", self.fs.quota.limit.saturating_mul(PAGE_SIZE / 1024))
    }
}

/// The inode behind memfd_create(2).
pub fn memfd(creds: &Creds) -> Arc<MemInode> {
    static ANONYMOUS: OnceLock<Arc<MemFs>> = OnceLock::new();
    ANONYMOUS.get_or_init(|| MemFs::new(crate::mm::frames::limit())).unnamed(0o777, creds)
}
