//! A directory tree of the host, as a file system.
//!
//! What the host said of a file is believed for a while (about a second for a tree that the guest
//! only reads, hardly longer than a system call for one it writes), so most lookups and stats ask
//! nothing. An inode is known by its host device and number. It has no descriptor of its own: those
//! are opened when they are needed and kept as long as there is room ([`handles`]).
//!
//! Two things stay on their own side. What the host's kernel shows of itself (/proc, /sys and the
//! like) is not for guests, wherever it is mounted: a directory looks empty, a file too. And the
//! guest's privileges do not become the host's: the set-user-ID and set-group-ID bits that a guest
//! gives are kept in the guest alone ([`set_ids`]), and it makes no device nodes, unless
//! [`Access::Special`] allows both.

mod change;
mod file;
mod handles;
mod inode;
mod set_ids;
pub mod watch;

pub use inode::HostInode;

use self::set_ids::SetIds;
use crate::lock::KCell;
use crate::vfs::inode::InodeRef;
use crate::vfs::mount::{FileSystem, StatFs};
use crate::{Errno, Result};
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use umlab_host::{clock, file as host};

/// How long a tree that only the host changes is believed.
const READ_ONLY_LIFETIME: u64 = 1_000_000_000;
/// How long one that the guest changes is: the answers to one system call, hardly more.
const WRITABLE_LIFETIME: u64 = 20_000;

/// What makes a host file itself: device and inode number.
type Key = (u64, u64);

/// How much of what the guest does in a tree reaches the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    ReadOnly,
    /// Everything but privileges.
    Write,
    /// Everything: device nodes, set-user-ID and set-group-ID bits, and the attributes that go with
    /// them.
    Special,
}

pub struct HostFs {
    access: Access,
    root: OnceLock<Arc<HostInode>>,
    inodes: KCell<HashMap<Key, Weak<HostInode>>>,
    set_ids: KCell<SetIds>,
    /// What the host said up to then is not believed any more.
    doubted: AtomicU64,
}

impl HostFs {
    /// Shows the host's `path`, a directory or a file.
    ///
    /// # Errors
    /// EPERM for what is the host kernel's own.
    pub fn new(path: &Path, access: Access) -> Result<Arc<HostFs>> {
        let fs = Arc::new(HostFs {
            access,
            root: OnceLock::new(),
            inodes: KCell::default(),
            set_ids: KCell::default(),
            doubted: AtomicU64::new(0),
        });
        let fd = host::open(path, abi::O_PATH)?;
        if host::is_kernel_made(fd.as_fd())? {
            return Err(Errno::EPERM);
        }
        let stat = host::statx(fd.as_fd(), b"")?;
        let root = HostInode::new(&fs, &stat, None, b"", false);
        root.keep_handle(Arc::new(fd));
        fs.inodes.borrow_mut().insert(root.key, Arc::downgrade(&root));
        assert!(fs.root.set(root).is_ok(), "the root is set once");
        Ok(fs)
    }

    /// A clock for how long something is believed: as exact as the lifetime needs.
    fn now(&self) -> u64 {
        if self.writable() { clock::monotonic() } else { clock::monotonic_coarse() }
    }

    /// Whether what the host said at a time still holds.
    fn believes(&self, at: u64, now: u64) -> bool {
        now.wrapping_sub(at) < self.lifetime() && at > self.doubted.load(Relaxed)
    }

    /// From now on the host tells of a change: what was known before may have changed since, and is
    /// asked again.
    fn doubt(&self) {
        self.doubted.store(self.now(), Relaxed);
    }

    fn lifetime(&self) -> u64 {
        if self.writable() { WRITABLE_LIFETIME } else { READ_ONLY_LIFETIME }
    }

    fn writable(&self) -> bool {
        self.access != Access::ReadOnly
    }

    /// Whether privileges that a guest gives to a file are to be the host's as well.
    fn passes_privileges(&self) -> bool {
        self.access == Access::Special
    }

    /// The inode of an entry that the host just told of.
    fn inode_of(self: &Arc<Self>, stat: &host::Statx, parent: &Arc<HostInode>, name: &[u8]) -> Result<Arc<HostInode>> {
        let key = inode::key_of(stat);
        let known = self.inodes.borrow().get(&key).and_then(Weak::upgrade);
        if let Some(known) = known
            && known.is_same(stat)
        {
            known.update(stat);
            // Of several names the last one used: the others may be gone.
            known.set_place(parent, name);
            return Ok(known);
        }
        // Another file system begins only at a mount. Which one it is must be asked of an open
        // file: a name or the number of a mount can be another's by now.
        let begins = stat.stx_mnt_id != parent.mount && key.0 != parent.key.0;
        let handle = if begins { Some(host::open_at(parent.handle()?.as_fd(), name, abi::O_PATH, 0)?) } else { None };
        let hidden = match &handle {
            Some(handle) => host::is_kernel_made(handle.as_fd())?,
            None => parent.is_hidden(),
        };
        let inode = HostInode::new(self, stat, Some(parent.clone()), name, hidden);
        if let Some(handle) = handle {
            if !inode.is_same(&host::statx(handle.as_fd(), b"")?) {
                return Err(Errno::ESTALE);
            }
            inode.note_opened();
            inode.keep_handle(Arc::new(handle));
        }
        self.inodes.borrow_mut().insert(key, Arc::downgrade(&inode));
        Ok(inode)
    }

    /// A name of a file is about to go, perhaps the last one: a watched file whose descriptors are
    /// closed ends at once.
    fn about_to_lose_name(&self, stat: &host::Statx) {
        if !watch::active() {
            return;
        }
        let known = self.inodes.borrow().get(&inode::key_of(stat)).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.is_watched()) {
            known.close_unused(0);
        }
    }

    /// A file has a name less than when the host told of it.
    fn name_lost(&self, before: &host::Statx) {
        let key = inode::key_of(before);
        if before.stx_nlink <= 1 || u32::from(before.stx_mode) & abi::S_IFMT == abi::S_IFDIR {
            self.set_ids.borrow_mut().forget(key);
        }
        let known = self.inodes.borrow().get(&key).and_then(Weak::upgrade);
        if let Some(known) = known {
            known.expire();
            known.let_go();
        }
    }

    fn want_write(&self) -> Result<()> {
        if self.writable() { Ok(()) } else { Err(Errno::EROFS) }
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
            magic: stat.f_type.cast_unsigned(),
            block_size: stat.f_bsize.cast_unsigned(),
            blocks: stat.f_blocks,
            free: stat.f_bfree,
            available: stat.f_bavail,
            files: stat.f_files,
            files_free: stat.f_ffree,
            name_max: stat.f_namelen.cast_unsigned(),
        })
    }
}
