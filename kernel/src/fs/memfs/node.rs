//! Inodes of a memory file system.

use super::MemFs;
use super::file::{MemFile, allocate};
use crate::fs::contents::{Contents, MAX_SIZE};
use crate::fs::directory::DirFile;
use crate::fs::file::{DirEntry, FileOps, Mappers};
use crate::fs::inode::{Attr, FileKind, Inode, InodeRef, NewNode, Owner, SetAttr, Timestamp};
use crate::fs::pipe::{Fifo, open_fifo};
use crate::lock::KCell;
use crate::mm::PAGE_SIZE;
use crate::task::creds::Creds;
use crate::{Errno, Result};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

pub struct MemInode {
    me: Weak<MemInode>,
    fs: Arc<MemFs>,
    ino: u64,
    kind: FileKind,
    rdev: u64,
    state: KCell<State>,
    mappers: Mappers,
}

struct State {
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    atime: Timestamp,
    mtime: Timestamp,
    ctime: Timestamp,
    btime: Timestamp,
    data: Data,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// F_SEAL_* of memfd files; None where sealing is not allowed.
    seals: Option<i32>,
}

pub enum Data {
    Regular(Arc<Contents>),
    Directory(Directory),
    Symlink(Vec<u8>),
    Fifo(Arc<Fifo>),
    None,
}

#[derive(Default)]
pub struct Directory {
    entries: BTreeMap<Vec<u8>, (u64, Arc<MemInode>)>,
    /// Names by the position that getdents gives them, in the order they were made.
    order: BTreeMap<u64, Vec<u8>>,
    last: u64,
    parent: Option<Weak<MemInode>>,
    removed: bool,
}

impl Directory {
    fn insert(&mut self, name: &[u8], inode: Arc<MemInode>) {
        self.last += 1;
        self.order.insert(self.last, name.to_vec());
        self.entries.insert(name.to_vec(), (self.last, inode));
    }

    fn remove(&mut self, name: &[u8]) -> Option<Arc<MemInode>> {
        let (position, inode) = self.entries.remove(name)?;
        self.order.remove(&position);
        Some(inode)
    }

    /// EEXIST when the name is taken, ENOENT when the directory itself was removed.
    fn check_free(&self, name: &[u8]) -> Result<()> {
        if self.removed {
            Err(Errno::ENOENT)
        } else if self.entries.contains_key(name) {
            Err(Errno::EEXIST)
        } else {
            Ok(())
        }
    }
}

fn now() -> Timestamp {
    umlab_host::clock::realtime_coarse() as Timestamp
}

impl MemInode {
    pub fn new(fs: &Arc<MemFs>, kind: FileKind, data: Data, mode: u32, creds: &Creds, rdev: u64) -> Arc<MemInode> {
        let now = now();
        let state = State {
            mode: mode & 0o7777,
            uid: creds.fsuid,
            gid: creds.fsgid,
            nlink: 1,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            data,
            xattrs: BTreeMap::new(),
            seals: None,
        };
        fs.inodes.fetch_add(1, Relaxed);
        Arc::new_cyclic(|me| MemInode {
            me: me.clone(),
            fs: fs.clone(),
            ino: fs.next_ino(),
            kind,
            rdev,
            state: KCell::new(state),
            mappers: Mappers::default(),
        })
    }

    /// A new node of any kind, in no directory yet.
    pub fn make(fs: &Arc<MemFs>, node: &NewNode<'_>, mode: u32, creds: &Creds) -> Arc<MemInode> {
        let (kind, data, mode, rdev) = match *node {
            NewNode::Regular => (FileKind::Regular, Data::Regular(Contents::new(&fs.quota)), mode, 0),
            NewNode::Directory => (FileKind::Directory, Data::Directory(Directory::default()), mode, 0),
            NewNode::Symlink(target) => (FileKind::Symlink, Data::Symlink(target.to_vec()), 0o777, 0),
            NewNode::Device(kind, rdev) => (kind, Data::None, mode, rdev),
            NewNode::Fifo => (FileKind::Fifo, Data::Fifo(Fifo::new()), mode, 0),
            NewNode::Socket => (FileKind::Socket, Data::None, mode, 0),
        };
        let inode = Self::new(fs, kind, data, mode, creds, rdev);
        if kind == FileKind::Directory {
            inode.set_nlink(2);
        }
        inode
    }

    /// A regular file's contents.
    pub fn contents(&self) -> Option<Arc<Contents>> {
        match &self.state.borrow().data {
            Data::Regular(contents) => Some(contents.clone()),
            _ => None,
        }
    }

    pub fn set_nlink(&self, nlink: u32) {
        self.state.borrow_mut().nlink = nlink;
    }

    /// Takes over all attributes, at copy-up.
    pub fn adopt(&self, attr: &Attr) {
        let mut state = self.state.borrow_mut();
        state.mode = attr.mode;
        state.uid = attr.uid;
        state.gid = attr.gid;
        state.atime = attr.atime;
        state.mtime = attr.mtime;
        state.ctime = attr.ctime;
        state.btime = attr.btime.unwrap_or(attr.ctime);
        state.nlink = attr.nlink;
    }

    /// Another name for it, or one fewer.
    pub fn add_link(&self, by: i32) {
        let mut state = self.state.borrow_mut();
        state.nlink = state.nlink.saturating_add_signed(by);
        state.ctime = now();
    }

    /// Its contents, or a directory's entries, changed.
    pub fn touch(&self) {
        let mut state = self.state.borrow_mut();
        state.mtime = now();
        state.ctime = state.mtime;
    }

    /// F_SEAL_* that are set; None for files that cannot be sealed.
    pub fn seals(&self) -> Option<i32> {
        self.state.borrow().seals
    }

    pub fn set_seals(&self, seals: Option<i32>) {
        self.state.borrow_mut().seals = seals;
    }

    /// Pages of the contents went away: mappings of them must be looked up again.
    pub fn pages_gone(&self, from: u64, to: u64) {
        if !self.mappers.is_empty()
            && let Some(me) = self.me.upgrade()
        {
            let me: InodeRef = me;
            self.mappers.invalidate(&me, from / PAGE_SIZE, to.div_ceil(PAGE_SIZE));
        }
    }

    /// The inode as one of this kind of file system; EXDEV for others.
    pub fn of(inode: &InodeRef) -> Result<Arc<MemInode>> {
        let known = inode.as_any().downcast_ref::<MemInode>().ok_or(Errno::EXDEV)?;
        known.me.upgrade().ok_or(Errno::ESTALE)
    }

    fn with_directory<T>(&self, f: impl FnOnce(&mut Directory) -> Result<T>) -> Result<T> {
        match &mut self.state.borrow_mut().data {
            Data::Directory(directory) => f(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn is_dir(&self) -> bool {
        self.kind == FileKind::Directory
    }

    fn is_empty_directory(&self) -> bool {
        matches!(&self.state.borrow().data, Data::Directory(d) if d.entries.is_empty())
    }

    fn add(&self, name: &[u8], inode: Arc<MemInode>) -> Result<()> {
        if inode.is_dir() {
            inode.with_directory(|d| {
                d.parent = Some(self.me.clone());
                Ok(())
            })?;
            self.state.borrow_mut().nlink += 1;
        }
        self.with_directory(|d| {
            d.insert(name, inode);
            Ok(())
        })?;
        self.touch();
        Ok(())
    }

    fn take(&self, name: &[u8]) -> Result<Arc<MemInode>> {
        let inode = self.with_directory(|d| d.remove(name).ok_or(Errno::ENOENT))?;
        if inode.is_dir() {
            let mut state = self.state.borrow_mut();
            state.nlink = state.nlink.saturating_sub(1);
        }
        self.touch();
        Ok(inode)
    }

    fn find(&self, name: &[u8]) -> Result<Arc<MemInode>> {
        self.with_directory(|d| d.entries.get(name).map(|(_, inode)| inode.clone()).ok_or(Errno::ENOENT))
    }

    /// Whether it is `other` or lies in it.
    fn is_within(&self, other: &Arc<MemInode>) -> bool {
        let mut at = self.me.upgrade();
        while let Some(inode) = at {
            if Arc::ptr_eq(&inode, other) {
                return true;
            }
            at = inode.with_directory(|d| Ok(d.parent.clone())).ok().flatten().and_then(|p| p.upgrade());
        }
        false
    }
}

impl Drop for MemInode {
    fn drop(&mut self) {
        self.fs.inodes.fetch_sub(1, Relaxed);
        // A deep tree must not become a deep recursion.
        let mut rest: Vec<Arc<MemInode>> = Vec::new();
        let mut state = self.state.borrow_mut();
        if let Data::Directory(directory) = &mut state.data {
            rest.extend(std::mem::take(&mut directory.entries).into_values().map(|(_, inode)| inode));
        }
        drop(state);
        while let Some(inode) = rest.pop() {
            if let Some(inode) = Arc::into_inner(inode)
                && let Data::Directory(directory) = &mut inode.state.borrow_mut().data
            {
                rest.extend(std::mem::take(&mut directory.entries).into_values().map(|(_, inode)| inode));
            }
        }
    }
}

impl Inode for MemInode {
    fn attr(&self) -> Result<Attr> {
        let state = self.state.borrow();
        let (size, pages) = match &state.data {
            Data::Regular(contents) => (contents.size(), contents.pages()),
            Data::Directory(d) => (20 * (d.entries.len() as u64 + 2), 0),
            Data::Symlink(target) => (target.len() as u64, 0),
            Data::Fifo(_) | Data::None => (0, 0),
        };
        Ok(Attr {
            dev: self.fs.dev,
            ino: self.ino,
            kind: self.kind,
            mode: state.mode,
            nlink: state.nlink,
            uid: state.uid,
            gid: state.gid,
            rdev: self.rdev,
            size,
            blocks: pages * (PAGE_SIZE / 512),
            block_size: PAGE_SIZE as u32,
            atime: state.atime,
            mtime: state.mtime,
            ctime: state.ctime,
            btime: Some(state.btime),
        })
    }

    fn owner(&self) -> Result<Owner> {
        let state = self.state.borrow();
        Ok(Owner { uid: state.uid, gid: state.gid, mode: state.mode })
    }

    fn kind(&self) -> FileKind {
        self.kind
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        if let Some(size) = change.size {
            let contents = self.contents().ok_or(Errno::EINVAL)?;
            if size > MAX_SIZE {
                return Err(Errno::EFBIG);
            }
            let (old, seals) = (contents.size(), self.seals().unwrap_or(0));
            if size < old && seals & libc::F_SEAL_SHRINK != 0 || size > old && seals & libc::F_SEAL_GROW != 0 {
                return Err(Errno::EPERM);
            }
            contents.truncate(size);
            if size < old {
                self.pages_gone(size, old);
            }
        }
        let mut state = self.state.borrow_mut();
        state.ctime = now();
        if change.size.is_some() {
            state.mtime = state.ctime;
        }
        state.mode = change.mode.map_or(state.mode, |mode| mode & 0o7777);
        state.uid = change.uid.unwrap_or(state.uid);
        state.gid = change.gid.unwrap_or(state.gid);
        state.atime = change.atime.unwrap_or(state.atime);
        state.mtime = change.mtime.unwrap_or(state.mtime);
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<InodeRef> {
        Ok(self.find(name)?)
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>, mode: u32, creds: &Creds) -> Result<InodeRef> {
        self.with_directory(|d| d.check_free(name))?;
        let inode = MemInode::make(&self.fs, node, mode, creds);
        self.add(name, inode.clone())?;
        Ok(inode)
    }

    fn create_unnamed(&self, mode: u32, creds: &Creds) -> Result<InodeRef> {
        Ok(self.fs.unnamed(mode, creds))
    }

    fn link(&self, name: &[u8], target: &InodeRef) -> Result<()> {
        let target = MemInode::of(target)?;
        if target.is_dir() {
            return Err(Errno::EPERM);
        }
        self.with_directory(|d| d.check_free(name))?;
        target.add_link(1);
        self.add(name, target)
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        if self.find(name)?.is_dir() {
            return Err(Errno::EISDIR);
        }
        self.take(name)?.add_link(-1);
        Ok(())
    }

    fn rmdir(&self, name: &[u8]) -> Result<()> {
        let inode = self.find(name)?;
        if !inode.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        if !inode.is_empty_directory() {
            return Err(Errno::ENOTEMPTY);
        }
        self.take(name)?;
        inode.with_directory(|d| {
            d.removed = true;
            Ok(())
        })?;
        inode.set_nlink(0);
        Ok(())
    }

    fn rename(&self, name: &[u8], new_dir: &InodeRef, new_name: &[u8], flags: u32) -> Result<()> {
        let new_dir = MemInode::of(new_dir)?;
        let inode = self.find(name)?;
        let target = match new_dir.find(new_name) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(e) => return Err(e),
        };
        if new_dir.with_directory(|d| Ok(d.removed))? {
            return Err(Errno::ENOENT);
        }
        if inode.is_dir() && new_dir.is_within(&inode) {
            return Err(Errno::EINVAL);
        }
        if flags & libc::RENAME_EXCHANGE != 0 {
            let target = target.ok_or(Errno::ENOENT)?;
            if target.is_dir() && self.is_within(&target) {
                return Err(Errno::EINVAL);
            }
            if Arc::ptr_eq(&target, &inode) {
                return Ok(());
            }
            self.take(name)?;
            new_dir.take(new_name)?;
            self.add(name, target)?;
            return new_dir.add(new_name, inode);
        }
        if let Some(target) = target {
            if flags & libc::RENAME_NOREPLACE != 0 {
                return Err(Errno::EEXIST);
            }
            if Arc::ptr_eq(&target, &inode) {
                return Ok(());
            }
            match (inode.is_dir(), target.is_dir()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) => new_dir.rmdir(new_name)?,
                (false, false) => new_dir.unlink(new_name)?,
            }
        }
        self.take(name)?;
        inode.add_link(0);
        new_dir.add(new_name, inode)
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        match &self.state.borrow().data {
            Data::Symlink(target) => Ok(target.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn open(self: Arc<Self>, flags: i32) -> Result<Arc<dyn FileOps>> {
        match self.kind {
            FileKind::Regular => {
                let contents = self.contents().ok_or(Errno::EINVAL)?;
                Ok(Arc::new(MemFile { inode: self, contents }))
            }
            FileKind::Directory => Ok(DirFile::new(self)),
            FileKind::Fifo => {
                let fifo = match &self.state.borrow().data {
                    Data::Fifo(fifo) => fifo.clone(),
                    _ => return Err(Errno::ENXIO),
                };
                open_fifo(&fifo, flags)
            }
            FileKind::CharDevice | FileKind::BlockDevice => crate::fs::device::open(self.kind, self.rdev, flags),
            FileKind::Symlink => Err(Errno::ELOOP),
            FileKind::Socket | FileKind::Anonymous => Err(Errno::ENXIO),
        }
    }

    fn read_dir(&self, from: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        let entries: Vec<(u64, Vec<u8>, u64, u8)> = self.with_directory(|d| {
            let after = d.order.range(from.saturating_add(1)..);
            let entry = |(&position, name): (&u64, &Vec<u8>)| {
                let inode = &d.entries.get(name)?.1;
                Some((position, name.clone(), inode.ino, inode.kind.dirent_type()))
            };
            Ok(after.filter_map(entry).collect())
        })?;
        for (next, name, ino, kind) in entries {
            if !emit(&DirEntry { ino, next, kind, name: &name }) {
                break;
            }
        }
        Ok(())
    }

    fn allocate(&self, mode: i32, offset: u64, len: u64) -> Result<()> {
        let contents = self.contents().ok_or(Errno::ENODEV)?;
        allocate(self, &contents, mode, offset, len)?;
        self.touch();
        Ok(())
    }

    fn names_version(&self) -> Option<u64> {
        // Every change goes through the names that are kept.
        Some(0)
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        check_xattr(name, self.kind)?;
        self.state.borrow().xattrs.get(name).cloned().ok_or(Errno::ENODATA)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: i32) -> Result<()> {
        check_xattr(name, self.kind)?;
        let mut state = self.state.borrow_mut();
        let there = state.xattrs.contains_key(name);
        if there && flags & libc::XATTR_CREATE != 0 {
            return Err(Errno::EEXIST);
        }
        if !there && flags & libc::XATTR_REPLACE != 0 {
            return Err(Errno::ENODATA);
        }
        state.xattrs.insert(name.to_vec(), value.to_vec());
        state.ctime = now();
        Ok(())
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        check_xattr(name, self.kind)?;
        let mut state = self.state.borrow_mut();
        state.xattrs.remove(name).ok_or(Errno::ENODATA)?;
        state.ctime = now();
        Ok(())
    }

    fn list_xattrs(&self) -> Result<Vec<u8>> {
        let state = self.state.borrow();
        Ok(state.xattrs.keys().flat_map(|name| name.iter().copied().chain([0])).collect())
    }

    fn mappers(&self) -> Option<&Mappers> {
        Some(&self.mappers)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The name spaces that a memory file system keeps; user.* only on what has contents.
fn check_xattr(name: &[u8], kind: FileKind) -> Result<()> {
    if name.starts_with(b"user.") {
        return match kind {
            FileKind::Regular | FileKind::Directory => Ok(()),
            _ => Err(Errno::EPERM),
        };
    }
    if name.starts_with(b"trusted.") || name.starts_with(b"security.") { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}
