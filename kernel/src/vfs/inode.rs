//! Inodes: what a file system has to offer.

use super::file::{DirEntry, FileOps};
use super::notify::Watch;
use crate::creds::Creds;
use crate::lock::KCell;
use crate::{Errno, Result};
use abi::number::Low;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;

pub type InodeRef = Arc<dyn Inode>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    Regular,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
    /// What epoll_create(2) and the like return: no type at all.
    Anonymous,
}

impl FileKind {
    /// The S_IFMT bits.
    pub fn mode(self) -> u32 {
        match self {
            FileKind::Regular => abi::S_IFREG,
            FileKind::Directory => abi::S_IFDIR,
            FileKind::Symlink => abi::S_IFLNK,
            FileKind::CharDevice => abi::S_IFCHR,
            FileKind::BlockDevice => abi::S_IFBLK,
            FileKind::Fifo => abi::S_IFIFO,
            FileKind::Socket => abi::S_IFSOCK,
            FileKind::Anonymous => 0,
        }
    }

    pub fn from_mode(mode: u32) -> FileKind {
        match mode & abi::S_IFMT {
            abi::S_IFDIR => FileKind::Directory,
            abi::S_IFLNK => FileKind::Symlink,
            abi::S_IFCHR => FileKind::CharDevice,
            abi::S_IFBLK => FileKind::BlockDevice,
            abi::S_IFIFO => FileKind::Fifo,
            abi::S_IFSOCK => FileKind::Socket,
            _ => FileKind::Regular,
        }
    }

    /// DT_* of readdir(3).
    pub fn dirent_type(self) -> u8 {
        (self.mode() >> 12).low_u8()
    }
}

/// A time stamp, in nanoseconds since 1970 (negative before).
pub type Timestamp = i128;

/// What stat(2) tells.
#[derive(Clone, Copy, Debug)]
pub struct Attr {
    pub dev: u64,
    pub ino: u64,
    pub kind: FileKind,
    /// The permission bits, set-ids and sticky included (07777).
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    /// Of a device file.
    pub rdev: u64,
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    pub block_size: u32,
    pub atime: Timestamp,
    pub mtime: Timestamp,
    pub ctime: Timestamp,
    pub btime: Option<Timestamp>,
}

impl Attr {
    /// Those of a file in the core's memory that keeps no more than its owner and when it was made.
    pub fn simple(dev: u64, ino: u64, kind: FileKind, owner: Owner, created: Timestamp) -> Attr {
        let Owner { uid, gid, mode } = owner;
        let (atime, mtime, ctime) = (created, created, created);
        let (nlink, rdev, size, blocks, block_size) = (1, 0, 0, 0, 4096);
        Attr { dev, ino, kind, mode, nlink, uid, gid, rdev, size, blocks, block_size, atime, mtime, ctime, btime: None }
    }
}

/// Who may do what with a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
    /// As in [`Attr`].
    pub mode: u32,
}

/// What to change of the attributes; the file system sets ctime.
#[derive(Clone, Copy, Default, Debug)]
pub struct SetAttr {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<Timestamp>,
    pub mtime: Option<Timestamp>,
}

impl Owner {
    /// Takes over what is to be changed of it.
    pub fn change(&mut self, change: &SetAttr) {
        self.mode = change.mode.unwrap_or(self.mode);
        self.uid = change.uid.unwrap_or(self.uid);
        self.gid = change.gid.unwrap_or(self.gid);
    }
}

/// A new directory entry's file.
#[derive(Clone, Debug)]
pub enum NewNode<'a> {
    Regular,
    Directory,
    Symlink(&'a [u8]),
    Device(FileKind, u64),
    Fifo,
    Socket,
}

/// What is kept of a file while it is in use, whatever its file system. Locks and the socket bound
/// to it are not here: they belong to the file by its device and inode number, also where several
/// inodes show it.
#[derive(Default)]
pub struct InodeState {
    /// How many have it open for writing, or, negative, how many execute it. The big lock orders
    /// all access.
    pub(super) uses: AtomicI32,
    /// Who watches it; most files are watched by nobody.
    #[expect(clippy::box_collection, reason = "most inodes have none, and there are many inodes")]
    pub(super) watches: KCell<Option<Box<Vec<Arc<Watch>>>>>,
}

/// A file system's node. Names are single components, never "." or "..", and at most NAME_MAX long.
/// Permissions were checked by the caller; what only the file system knows (read-only, whiteouts,
/// quotas) it checks itself.
#[allow(unused_variables)]
pub trait Inode: Send + Sync + Any {
    fn attr(&self) -> Result<Attr>;

    /// What the file layer keeps of it, which begins as its default.
    fn state(&self) -> &InodeState;

    fn kind(&self) -> FileKind;

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// The entry `name`; ENOENT when there is none.
    fn lookup(&self, name: &[u8]) -> Result<InodeRef> {
        Err(Errno::ENOTDIR)
    }

    /// What making a name here says to everybody, whatever their rights, where a name that is not
    /// there cannot even be looked up.
    fn no_names(&self) -> Option<Errno> {
        None
    }

    /// Nobody may write to it, whatever their rights: EPERM, as for FS_IMMUTABLE_FL of
    /// ioctl_iflags(2).
    fn immutable(&self) -> bool {
        false
    }

    /// Makes a new entry; EEXIST when there is one.
    fn create(&self, name: &[u8], node: &NewNode<'_>, mode: u32, creds: &Creds) -> Result<InodeRef> {
        Err(Errno::EPERM)
    }

    /// A nameless regular file (O_TMPFILE); `linkable` says whether link(2) may give it a name
    /// later.
    fn create_unnamed(&self, mode: u32, creds: &Creds, linkable: bool) -> Result<InodeRef> {
        Err(Errno::EOPNOTSUPP)
    }

    fn link(&self, name: &[u8], target: &InodeRef) -> Result<()> {
        Err(Errno::EPERM)
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        Err(Errno::EPERM)
    }

    fn rmdir(&self, name: &[u8]) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Moves `name` to `new_name` in `new_dir` (of the same file system); RENAME_* flags of
    /// renameat2(2).
    fn rename(&self, name: &[u8], new_dir: &InodeRef, new_name: &[u8], flags: u32) -> Result<()> {
        Err(Errno::EPERM)
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        Err(Errno::EINVAL)
    }

    /// A link that leads straight to an object instead of a path (/proc/PID/fd/N, /proc/PID/exe).
    fn follow(&self) -> Option<Result<super::Path>> {
        None
    }

    /// The operations of a newly opened file (open flags in `flags`); O_TRUNC is done by the
    /// caller.
    fn open(self: Arc<Self>, flags: i32) -> Result<Arc<dyn FileOps>>;

    /// Directory entries from position `from`, without "." and "..".
    fn read_dir(&self, from: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        Err(Errno::ENOTDIR)
    }

    /// Where lseek(2) leads in a directory that is not about its position: as
    /// [`FileOps::seek_special`]. EINVAL if there is no such place.
    fn seek_dir(&self, offset: i64, whence: i32) -> Result<u64> {
        Err(Errno::EINVAL)
    }

    /// fallocate(2).
    fn allocate(&self, mode: i32, offset: u64, len: u64) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// A number that changes when names of this directory may have changed without the core's
    /// doing: what was looked up is kept as long as it stays the same. None: nothing is kept, every
    /// lookup asks the file system.
    fn names_version(&self) -> Option<u64> {
        None
    }

    /// Owner, group and permission bits: the part of `attr` that every step of a path walk needs.
    fn owner(&self) -> Result<Owner> {
        let attr = self.attr()?;
        Ok(Owner { uid: attr.uid, gid: attr.gid, mode: attr.mode })
    }

    /// The value of an extended attribute (xattr(7)); ENODATA when there is none.
    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets an extended attribute; `flags` are XATTR_CREATE and XATTR_REPLACE.
    fn set_xattr(&self, name: &[u8], value: &[u8], flags: i32) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The names of all extended attributes, each followed by NUL.
    fn list_xattrs(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    /// What the link of a descriptor in proc(5) shows, for a file without a name that has more to
    /// show than its kind and number.
    fn link_text(&self) -> Option<Vec<u8>> {
        None
    }

    /// Has the host tell of what a new watch is to hear of the host's file that it is, or that
    /// shows through it, if there is one.
    ///
    /// # Errors
    /// ENOSPC when the host lets this process watch no more files.
    fn watch_host(&self, watch: &Arc<Watch>) -> Result<()> {
        Ok(())
    }

    /// Whether a change of the host's file is one of this file: a change of the entry `name`, or of
    /// the file itself if the name is empty.
    fn shows_host(&self, name: &[u8]) -> bool {
        false
    }

    fn as_any(&self) -> &dyn Any;
}
