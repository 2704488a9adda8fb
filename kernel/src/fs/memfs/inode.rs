//! Inodes in memory: attributes, and what kind of body there is.

use super::dir::Dir;
use super::file::MemFile;
use super::{Instance, timestamp};
use crate::creds::Creds;
use crate::ipc::pipe::{Fifo, open_fifo};
use crate::lock::KCell;
use crate::mm::page_cache::Contents;
use crate::mm::pressure::room_for;
use crate::vfs::file::{DirEntry, FileOps};
use crate::vfs::inode::{Attr, FileKind, Inode, InodeRef, InodeState, NewNode, Owner, SetAttr, Timestamp};
use crate::vfs::notify::Watch;
use crate::{Errno, Result};
use abi::number::Low;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use umlab_model::PAGE_SIZE;

pub struct MemInode {
    pub(super) fs: Arc<Instance>,
    me: Weak<MemInode>,
    ino: u64,
    kind: FileKind,
    pub(super) body: Body,
    /// None while the lower inode's are the inode's attributes.
    pub(super) meta: KCell<Option<Meta>>,
    /// The inode this one stands for.
    pub(super) lower: Option<InodeRef>,
    /// Where the stand-in was found, until the directory there holds it for good.
    pub(super) origin: KCell<Option<(Arc<MemInode>, Box<[u8]>)>>,
    state: InodeState,
}

pub(super) enum Body {
    Regular(KCell<Regular>),
    Directory(KCell<Dir>),
    Symlink(Box<[u8]>),
    Device(u64),
    Fifo(Arc<Fifo>),
    Socket,
    /// Of a stand-in that is no file and no directory: all is in the lower inode.
    Lower,
}

#[derive(Default)]
pub(super) struct Regular {
    /// None while the lower file's are the contents.
    pub contents: Option<Arc<Contents>>,
    /// F_SEAL_* of fcntl(2).
    pub seals: u32,
}

#[derive(Clone)]
pub(super) struct Meta {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub atime: Timestamp,
    pub mtime: Timestamp,
    pub ctime: Timestamp,
    pub btime: Timestamp,
    #[expect(clippy::box_collection, reason = "most inodes have none, and there are many inodes")]
    pub xattrs: Option<Box<BTreeMap<Vec<u8>, Vec<u8>>>>,
    /// An unnamed file that link(2) may name.
    pub linkable: bool,
}

impl Meta {
    fn new(mode: u32, uid: u32, gid: u32, nlink: u32) -> Meta {
        let now = timestamp();
        Meta { mode, uid, gid, nlink, atime: now, mtime: now, ctime: now, btime: now, xattrs: None, linkable: false }
    }
}

impl MemInode {
    fn new(fs: &Arc<Instance>, ino: u64, kind: FileKind, body: Body, meta: Meta) -> Arc<MemInode> {
        MemInode::build(fs, ino, kind, body, Some(meta), None, None)
    }

    pub(super) fn build(
        fs: &Arc<Instance>,
        ino: u64,
        kind: FileKind,
        body: Body,
        meta: Option<Meta>,
        lower: Option<InodeRef>,
        origin: Option<(Arc<MemInode>, Box<[u8]>)>,
    ) -> Arc<MemInode> {
        Arc::new_cyclic(|me| MemInode {
            fs: fs.clone(),
            me: me.clone(),
            ino,
            kind,
            body,
            meta: KCell::new(meta),
            lower,
            origin: KCell::new(origin),
            state: InodeState::default(),
        })
    }

    pub(super) fn new_root(fs: &Arc<Instance>, mode: u32, uid: u32, gid: u32) -> Arc<MemInode> {
        fs.inode_count.fetch_add(1, Relaxed);
        let ino = fs.next_ino.fetch_add(1, Relaxed);
        let meta = Meta::new(mode & 0o7777, uid, gid, 2);
        MemInode::new(fs, ino, FileKind::Directory, Body::Directory(KCell::default()), meta)
    }

    /// A new inode without a name yet, as made in `dir` by somebody with these credentials.
    pub(super) fn new_node(dir: &MemInode, node: &NewNode<'_>, mode: u32, creds: &Creds) -> Result<Arc<MemInode>> {
        let fs = &dir.fs;
        let (kind, body) = match node {
            NewNode::Regular => {
                let contents = Some(Contents::new(&fs.quota));
                (FileKind::Regular, Body::Regular(KCell::new(Regular { contents, seals: abi::F_SEAL_SEAL as u32 })))
            }
            NewNode::Directory => (FileKind::Directory, Body::Directory(KCell::default())),
            NewNode::Symlink(target) => (FileKind::Symlink, Body::Symlink((*target).into())),
            NewNode::Device(kind, number) => (*kind, Body::Device(*number)),
            NewNode::Fifo => (FileKind::Fifo, Body::Fifo(Fifo::new())),
            NewNode::Socket => (FileKind::Socket, Body::Socket),
        };
        let above = dir.owner()?;
        let (mut mode, mut gid) = (mode & 0o7777, creds.fsgid);
        if above.mode & abi::S_ISGID != 0 {
            gid = above.gid;
            if kind == FileKind::Directory {
                mode |= abi::S_ISGID;
            }
        }
        let nlink = if kind == FileKind::Directory { 2 } else { 1 };
        let more = if let Body::Symlink(target) = &body { target.len() } else { 0 };
        Ok(MemInode::new(fs, fs.new_ino(more)?, kind, body, Meta::new(mode, creds.fsuid, gid, nlink)))
    }

    /// A file that no directory will ever hold.
    pub(super) fn new_detached(fs: &Arc<Instance>, mode: u32, creds: &Creds) -> Result<Arc<MemInode>> {
        let contents = Some(Contents::new(&fs.quota));
        let body = Body::Regular(KCell::new(Regular { contents, seals: abi::F_SEAL_SEAL as u32 }));
        Ok(MemInode::new(fs, fs.new_ino(0)?, FileKind::Regular, body, Meta::new(mode, creds.fsuid, creds.fsgid, 0)))
    }

    pub(super) fn arc(&self) -> Arc<MemInode> {
        self.me.upgrade().expect("an inode that is being used has an owner")
    }

    pub(super) fn of(inode: &InodeRef) -> Result<Arc<MemInode>> {
        Ok(inode.as_any().downcast_ref::<MemInode>().ok_or(Errno::EXDEV)?.arc())
    }

    /// Changes the attributes, which become the inode's own first.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Meta) -> T) -> Result<T> {
        self.own_meta()?;
        let mut meta = self.meta.borrow_mut();
        Ok(change(meta.as_mut().ok_or(Errno::EIO)?))
    }

    /// Its contents or entries changed.
    pub(super) fn touch(&self) -> Result<()> {
        let now = timestamp();
        self.change(|meta| {
            meta.mtime = now;
            meta.ctime = now;
        })
    }

    pub(super) fn dir(&self) -> Result<&KCell<Dir>> {
        match &self.body {
            Body::Directory(dir) => Ok(dir),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn regular(&self) -> Result<&KCell<Regular>> {
        match &self.body {
            Body::Regular(regular) => Ok(regular),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether some of what `attr` tells is the lower inode's.
    pub(super) fn shows_lower(&self) -> bool {
        self.meta.borrow().is_none()
            || match &self.body {
                Body::Regular(regular) => regular.borrow().contents.is_none(),
                Body::Lower => true,
                _ => false,
            }
    }

    /// Size and pages used.
    fn extent(&self, lower: Option<&Attr>) -> (u64, u64) {
        match &self.body {
            Body::Regular(regular) => match &regular.borrow().contents {
                Some(contents) => (contents.size(), contents.pages()),
                None => lower.map_or((0, 0), |attr| (attr.size, attr.blocks / 8)),
            },
            Body::Symlink(target) => (target.len() as u64, 0),
            Body::Directory(dir) => (dir.borrow().apparent_size(), 0),
            Body::Lower => lower.map_or((0, 0), |attr| (attr.size, 0)),
            _ => (0, 0),
        }
    }

    fn set_size(&self, size: u64) -> Result<()> {
        let regular = self.regular()?;
        if size > crate::mm::page_cache::MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        let contents = if size == 0 && regular.borrow().contents.is_none() {
            let empty = Contents::new(&self.fs.quota);
            self.own_meta()?;
            regular.borrow_mut().contents = Some(empty.clone());
            empty
        } else {
            self.own_contents()?
        };
        let (old, seals) = (contents.size(), regular.borrow().seals);
        let sealed = if size < old { abi::F_SEAL_SHRINK } else { abi::F_SEAL_GROW };
        if size != old && seals & sealed.cast_unsigned() != 0 {
            return Err(Errno::EPERM);
        }
        contents.truncate(size);
        self.touch()
    }
}

impl Inode for MemInode {
    fn state(&self) -> &InodeState {
        &self.state
    }

    fn attr(&self) -> Result<Attr> {
        let ino = self.ino;
        let lower = match &self.lower {
            Some(lower) if self.shows_lower() => Some(lower.attr()?),
            _ => None,
        };
        let meta = self.meta.borrow();
        let Some(meta) = &*meta else {
            let mut attr = lower.ok_or(Errno::EIO)?;
            (attr.dev, attr.ino) = (self.fs.dev, ino);
            if self.kind == FileKind::Directory {
                attr.nlink = 1;
            }
            return Ok(attr);
        };
        let (size, pages) = self.extent(lower.as_ref());
        let nlink = match &self.body {
            // Nobody counts the lower subdirectories.
            Body::Directory(_) if self.lower.is_some() && meta.nlink > 0 => 1,
            _ => meta.nlink,
        };
        Ok(Attr {
            dev: self.fs.dev,
            ino,
            kind: self.kind,
            mode: meta.mode,
            nlink,
            uid: meta.uid,
            gid: meta.gid,
            rdev: match &self.body {
                Body::Device(number) => *number,
                _ => lower.as_ref().map_or(0, |attr| attr.rdev),
            },
            size,
            blocks: pages * (PAGE_SIZE / 512),
            block_size: PAGE_SIZE.low_u32(),
            atime: meta.atime,
            mtime: meta.mtime,
            ctime: meta.ctime,
            btime: Some(meta.btime),
        })
    }

    fn kind(&self) -> FileKind {
        self.kind
    }

    fn owner(&self) -> Result<Owner> {
        if let Some(meta) = &*self.meta.borrow() {
            return Ok(Owner { uid: meta.uid, gid: meta.gid, mode: meta.mode });
        }
        self.lower.as_ref().ok_or(Errno::EIO)?.owner()
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        if let (Some(mode), Body::Regular(regular)) = (change.mode, &self.body)
            && regular.borrow().seals & super::memfd::SEAL_EXEC != 0
            && (self.owner()?.mode ^ mode) & 0o111 != 0
        {
            return Err(Errno::EPERM);
        }
        if let Some(size) = change.size {
            self.set_size(size)?;
        }
        let now = timestamp();
        self.change(|meta| {
            meta.mode = change.mode.unwrap_or(meta.mode);
            meta.uid = change.uid.unwrap_or(meta.uid);
            meta.gid = change.gid.unwrap_or(meta.gid);
            meta.atime = change.atime.unwrap_or(meta.atime);
            meta.mtime = change.mtime.unwrap_or(meta.mtime);
            meta.ctime = now;
        })
    }

    fn names_version(&self) -> Option<u64> {
        match &self.lower {
            Some(lower) => lower.names_version(),
            None => Some(0),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<InodeRef> {
        Ok(self.entry(name)?)
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>, mode: u32, creds: &Creds) -> Result<InodeRef> {
        let inode = MemInode::new_node(self, node, mode, creds)?;
        self.add_entry(name, &inode)?;
        Ok(inode)
    }

    fn create_unnamed(&self, mode: u32, creds: &Creds, linkable: bool) -> Result<InodeRef> {
        let inode = MemInode::new_node(self, &NewNode::Regular, mode, creds)?;
        inode.change(|meta| {
            meta.nlink = 0;
            meta.linkable = linkable;
        })?;
        Ok(inode)
    }

    fn link(&self, name: &[u8], target: &InodeRef) -> Result<()> {
        self.link_entry(name, target)
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        self.unlink_entry(name, false)
    }

    fn rmdir(&self, name: &[u8]) -> Result<()> {
        self.unlink_entry(name, true)
    }

    fn rename(&self, name: &[u8], new_dir: &InodeRef, new_name: &[u8], flags: u32) -> Result<()> {
        self.rename_entry(name, &*MemInode::of(new_dir)?, new_name, flags)
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        match (&self.body, &self.lower) {
            (Body::Symlink(target), _) => Ok(target.to_vec()),
            (Body::Lower, Some(lower)) => lower.read_link(),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(self: Arc<Self>, flags: i32) -> Result<Arc<dyn FileOps>> {
        match &self.body {
            Body::Regular(regular) => {
                let write = flags & abi::O_ACCMODE != abi::O_RDONLY;
                let lower = if write || regular.borrow().contents.is_some() { None } else { self.lower.as_ref() };
                match lower {
                    Some(lower) => lower.clone().open(flags),
                    None => {
                        let contents = self.own_contents()?;
                        Ok(MemFile::new(&self, contents))
                    }
                }
            }
            Body::Device(number) => crate::fs::device::open(self.kind, *number, flags),
            Body::Fifo(fifo) => open_fifo(fifo, flags),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::ENXIO),
        }
    }

    fn read_dir(&self, from: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        self.list(from, emit)
    }

    fn seek_dir(&self, offset: i64, whence: i32) -> Result<u64> {
        self.shown_lower_dir().ok_or(Errno::EINVAL)?.seek_dir(offset, whence)
    }

    fn allocate(&self, mode: i32, offset: u64, len: u64) -> Result<()> {
        self.allocate_range(mode, offset, len)
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        check_xattr_name(name)?;
        match (&*self.meta.borrow(), &self.lower) {
            (Some(meta), _) => {
                let value = meta.xattrs.as_ref().and_then(|xattrs| xattrs.get(name));
                value.cloned().ok_or(Errno::ENODATA)
            }
            (None, Some(lower)) => lower.xattr(name),
            _ => Err(Errno::ENODATA),
        }
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: i32) -> Result<()> {
        check_xattr_name(name)?;
        room_for(128 + name.len() + value.len()).map_err(|_| Errno::ENOSPC)?;
        self.own_meta()?;
        let now = timestamp();
        self.change(|meta| {
            let xattrs = meta.xattrs.get_or_insert_default();
            if flags & abi::XATTR_CREATE != 0 && xattrs.contains_key(name) {
                return Err(Errno::EEXIST);
            }
            if flags & abi::XATTR_REPLACE != 0 && !xattrs.contains_key(name) {
                return Err(Errno::ENODATA);
            }
            // They live in the core's memory: as much as a file of ext4 may have, about.
            let used: usize = xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
            if used + name.len() + value.len() > 128 * 1024 {
                return Err(Errno::ENOSPC);
            }
            xattrs.insert(name.to_vec(), value.to_vec());
            meta.ctime = now;
            Ok(())
        })?
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        check_xattr_name(name)?;
        let now = timestamp();
        self.change(|meta| {
            let removed = meta.xattrs.as_mut().and_then(|xattrs| xattrs.remove(name));
            removed.ok_or(Errno::ENODATA)?;
            meta.ctime = now;
            Ok(())
        })?
    }

    fn list_xattrs(&self) -> Result<Vec<u8>> {
        match (&*self.meta.borrow(), &self.lower) {
            (Some(meta), _) => {
                let names = meta.xattrs.iter().flat_map(|xattrs| xattrs.keys());
                Ok(names.flat_map(|name| name.iter().copied().chain([0])).collect())
            }
            (None, Some(lower)) => lower.list_xattrs(),
            _ => Ok(Vec::new()),
        }
    }

    fn watch_host(&self, watch: &Arc<Watch>) -> Result<()> {
        self.lower.as_ref().map_or(Ok(()), |lower| lower.watch_host(watch))
    }

    fn shows_host(&self, name: &[u8]) -> bool {
        if name.is_empty() { self.lower.is_some() && self.shows_lower() } else { self.entry_shows_lower(name) }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Kinds of attributes that can be kept; access control lists would have to be obeyed.
fn check_xattr_name(name: &[u8]) -> Result<()> {
    let known: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
    if known.iter().any(|prefix| name.starts_with(prefix) && name.len() > prefix.len()) {
        Ok(())
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}

impl Drop for MemInode {
    fn drop(&mut self) {
        match &self.lower {
            Some(lower) => self.fs.forget_stand_in(lower, self),
            None => {
                self.fs.inode_count.fetch_sub(1, Relaxed);
            }
        }
        // One directory after the other: trees can be deeper than a kernel stack.
        let mut pending = Vec::new();
        self.drain_into(&mut pending);
        while let Some(inode) = pending.pop() {
            if let Some(mut inode) = Arc::into_inner(inode) {
                inode.drain_into(&mut pending);
            }
        }
    }
}

impl MemInode {
    fn drain_into(&mut self, pending: &mut Vec<Arc<MemInode>>) {
        if let Body::Directory(dir) = &self.body {
            pending.extend(dir.take().into_nodes());
        }
        pending.extend(self.origin.take().map(|(parent, _)| parent));
    }
}
