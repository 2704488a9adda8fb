//! Inodes of the host's tree: what the host said of them, for how long that holds, and the way back
//! to the host's file.

use super::{HostFs, Key, handles, set_ids, watch};
use crate::creds::Creds;
use crate::lock::KCell;
use crate::mm::PAGE_SIZE;
use crate::mm::invalidate::{Gone, Mappers};
use crate::mm::object::HostFile;
use crate::vfs::file::{DirEntry, FileOps};
use crate::vfs::inode::{Attr, FileKind, Inode, InodeRef, InodeState, NewNode, Owner, SetAttr, Timestamp};
use crate::vfs::notify::Watch;
use crate::{Errno, Result};
use abi::number::to_usize;
use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use umlab_host::file as host;

pub struct HostInode {
    pub(super) fs: Arc<HostFs>,
    me: Weak<HostInode>,
    pub(super) key: Key,
    kind: FileKind,
    /// The host's mount it belongs to.
    pub(super) mount: u64,
    /// A place of the host kernel's own, shown as an empty directory or an empty file.
    hidden: bool,
    /// A name by which the host knows it.
    place: KCell<(Option<Arc<HostInode>>, Box<[u8]>)>,
    known: KCell<Known>,
    pub(super) open: KCell<Open>,
    pub(super) mappers: Arc<Mappers>,
    state: InodeState,
    /// Mode bits that it has in the guest only.
    pub(super) set_ids: AtomicU32,
    /// Guests' watches that hear of it.
    pub(super) watchers: AtomicUsize,
    used: AtomicBool,
}

/// What the host said last.
#[derive(Clone, Copy)]
struct Known {
    attr: Attr,
    /// When; 0 for too long ago.
    at: u64,
    /// Counts the times that a directory was seen to have changed.
    version: u64,
}

/// Host descriptors.
#[derive(Default)]
pub(super) struct Open {
    /// O_PATH.
    handle: Option<Arc<OwnedFd>>,
    pub reader: Option<Arc<HostFile>>,
    pub writer: Option<Arc<HostFile>>,
    /// The file opened last: may be alive in open files of guests when it is not kept here any
    /// more.
    last: Weak<HostFile>,
}

pub fn key_of(stat: &host::Statx) -> Key {
    (host::device(stat), stat.stx_ino)
}

/// When the file was made, if its file system keeps that.
pub fn born(stat: &host::Statx) -> Option<Timestamp> {
    (stat.stx_mask & abi::STATX_BTIME != 0).then(|| time(&stat.stx_btime))
}

fn time(t: &host::StatxTime) -> Timestamp {
    i128::from(t.tv_sec) * 1_000_000_000 + i128::from(t.tv_nsec)
}

fn attr_of(stat: &host::Statx) -> Attr {
    let (dev, ino) = key_of(stat);
    Attr {
        dev,
        ino,
        kind: FileKind::from_mode(u32::from(stat.stx_mode)),
        mode: u32::from(stat.stx_mode) & 0o7777,
        nlink: stat.stx_nlink,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        rdev: abi::makedev(stat.stx_rdev_major, stat.stx_rdev_minor),
        size: stat.stx_size,
        blocks: stat.stx_blocks,
        block_size: stat.stx_blksize,
        atime: time(&stat.stx_atime),
        mtime: time(&stat.stx_mtime),
        ctime: time(&stat.stx_ctime),
        btime: born(stat),
    }
}

impl HostInode {
    pub(super) fn new(
        fs: &Arc<HostFs>,
        stat: &host::Statx,
        parent: Option<Arc<HostInode>>,
        name: &[u8],
        hidden: bool,
    ) -> Arc<HostInode> {
        let known = Known { attr: attr_of(stat), at: fs.now(), version: 0 };
        Arc::new_cyclic(|me| HostInode {
            fs: fs.clone(),
            me: me.clone(),
            key: key_of(stat),
            kind: known.attr.kind,
            mount: stat.stx_mnt_id,
            hidden,
            place: KCell::new((parent, name.into())),
            known: KCell::new(known),
            open: KCell::default(),
            mappers: Arc::default(),
            state: InodeState::default(),
            set_ids: AtomicU32::new(set_ids::initial(fs, stat)),
            watchers: AtomicUsize::new(0),
            used: AtomicBool::new(true),
        })
    }

    pub(super) fn arc(&self) -> Arc<HostInode> {
        self.me.upgrade().expect("an inode that is being used has an owner")
    }

    /// Whether what the host tells of is this file, not another one that got its number.
    pub(super) fn is_same(&self, stat: &host::Statx) -> bool {
        let (kind, btime) = (self.kind, self.known.borrow().attr.btime);
        let new = attr_of(stat);
        self.key == (new.dev, new.ino) && kind == new.kind && (btime == new.btime)
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.hidden
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind == FileKind::Directory
    }

    pub(super) fn born(&self) -> Option<Timestamp> {
        self.known.borrow().attr.btime
    }

    /// The permission bits that it has on the host.
    pub(super) fn host_mode(&self) -> Result<u32> {
        self.refresh()?;
        Ok(self.known.borrow().attr.mode)
    }

    /// EROFS when it cannot be changed from here.
    pub(super) fn want_write(&self) -> Result<()> {
        if self.hidden { Err(Errno::EROFS) } else { self.fs.want_write() }
    }

    /// The host told of it.
    pub(super) fn update(&self, stat: &host::Statx) {
        let now = self.fs.now();
        let mut known = self.known.borrow_mut();
        let attr = attr_of(stat);
        if attr.mtime != known.attr.mtime || attr.ctime != known.attr.ctime {
            known.version += 1;
        }
        known.attr = attr;
        known.at = now;
    }

    /// What the host said is not true any more.
    pub(super) fn expire(&self) {
        self.known.borrow_mut().at = 0;
    }

    /// The host tells of an event (IN_*) of it, or of its entry `name`.
    pub(super) fn told(&self, event: u32, name: &[u8]) {
        self.expire();
        if name.is_empty() {
            self.let_go();
            return;
        }
        self.known.borrow_mut().version += 1;
        if event & (abi::IN_DELETE | abi::IN_MOVED_FROM) != 0 {
            return;
        }
        let Some(stat) = self.handle().ok().and_then(|handle| host::statx(handle.as_fd(), name).ok()) else { return };
        let child = self.fs.inodes.borrow().get(&key_of(&stat)).and_then(Weak::upgrade);
        if let Some(child) = child.filter(|child| child.is_same(&stat)) {
            child.update(&stat);
        }
    }

    /// Whether a guest hears what happens to it.
    pub(super) fn is_watched(&self) -> bool {
        self.watchers.load(Relaxed) > 0
    }

    /// If it is watched and has no name any more, closes what only it holds open: until then it is
    /// not gone for the host.
    pub(super) fn let_go(&self) {
        if self.is_watched() && self.ask().is_ok_and(|stat| stat.stx_nlink == 0) {
            self.close_unused(0);
        }
    }

    /// Closes the descriptors that nobody else has, the caller's `own` references not counted.
    pub(super) fn close_unused(&self, own: usize) {
        let unused = |file: &mut Arc<HostFile>| Arc::strong_count(file) <= 1 + own;
        let mut open = self.open.borrow_mut();
        let closed = (open.handle.take(), open.reader.take_if(unused), open.writer.take_if(unused));
        drop(open);
        drop(closed);
    }

    /// It has this name now.
    pub(super) fn set_place(&self, parent: &Arc<HostInode>, name: &[u8]) {
        {
            let place = self.place.borrow();
            // A directory whose root is shown has no place.
            let Some(known) = &place.0 else { return };
            if Arc::ptr_eq(known, parent) && *place.1 == *name {
                return;
            }
        }
        let old = self.place.replace((Some(parent.clone()), name.into()));
        drop(old);
    }

    /// Asks the host again if that is due. A file that is gone keeps what was known of it.
    fn refresh(&self) -> Result<()> {
        let now = self.fs.now();
        if self.fs.believes(self.known.borrow().at, now) {
            return Ok(());
        }
        match self.ask() {
            Ok(stat) if self.is_same(&stat) => self.update(&stat),
            Ok(_) | Err(Errno::ENOENT | Errno::ESTALE | Errno::ENOTDIR) => self.known.borrow_mut().at = now,
            Err(e) => return Err(e),
        }
        Ok(())
    }

    fn ask(&self) -> Result<host::Statx> {
        let (handle, file) = {
            let open = self.open.borrow();
            (open.handle.clone(), open.last.upgrade())
        };
        if let Some(handle) = handle {
            return host::statx(handle.as_fd(), b"");
        }
        if let Some(file) = file {
            return host::statx(file.fd.as_fd(), b"");
        }
        let (parent, name) = self.place.cloned();
        let parent = parent.ok_or(Errno::ESTALE)?.handle()?;
        host::statx(parent.as_fd(), &name)
    }

    pub(super) fn keep_handle(&self, handle: Arc<OwnedFd>) {
        self.open.borrow_mut().handle = Some(handle);
    }

    /// An O_PATH descriptor of it.
    ///
    /// # Errors
    /// ESTALE when the host has another file in its place.
    pub(super) fn handle(&self) -> Result<Arc<OwnedFd>> {
        // The directories above that have none either, this one first.
        let mut missing = Vec::new();
        let mut at = self.arc();
        let mut handle = loop {
            at.used.store(true, Relaxed);
            if let Some(handle) = &at.open.borrow().handle {
                break handle.clone();
            }
            let parent = at.place.borrow().0.clone().ok_or(Errno::ESTALE)?;
            missing.push(std::mem::replace(&mut at, parent));
        };
        for inode in missing.into_iter().rev() {
            let name = inode.place.borrow().1.clone();
            let fd = host::open_at(handle.as_fd(), &name, abi::O_PATH, 0)?;
            if !inode.is_same(&host::statx(fd.as_fd(), b"")?) {
                return Err(Errno::ESTALE);
            }
            handle = Arc::new(fd);
            inode.note_opened();
            inode.keep_handle(handle.clone());
        }
        Ok(handle)
    }

    /// The directory, open with a position of its own.
    fn open_dir(&self) -> Result<OwnedFd> {
        host::open_at(self.handle()?.as_fd(), b".", abi::O_RDONLY | abi::O_DIRECTORY, 0)
    }

    pub(super) fn note_opened(&self) {
        self.used.store(true, Relaxed);
        let first = {
            let open = self.open.borrow();
            open.handle.is_none() && open.reader.is_none() && open.writer.is_none()
        };
        if first && self.place.borrow().0.is_some() {
            handles::opened(&self.me);
        }
    }

    pub(super) fn was_used(&self) -> bool {
        self.used.swap(false, Relaxed)
    }

    /// Gives its descriptors up, but for those that others hold.
    pub(super) fn close_handles(&self) {
        let open = self.open.take();
        self.open.borrow_mut().last = open.last.clone();
    }

    /// The host file, opened for reading, or for writing (and reading, if the host allows it).
    pub(super) fn host_file(&self, write: bool) -> Result<Arc<HostFile>> {
        self.used.store(true, Relaxed);
        {
            let open = self.open.borrow();
            let file = if write { &open.writer } else { &open.reader };
            if let Some(file) = file {
                return Ok(file.clone());
            }
        }
        if write {
            watch::close_some();
        }
        let open_as = |flags| -> Result<OwnedFd> {
            let (parent, name) = self.place.cloned();
            let fd = match parent {
                Some(parent) => host::open_at(parent.handle()?.as_fd(), &name, flags | abi::O_NONBLOCK, 0)?,
                None => host::reopen(self.handle()?.as_fd(), flags | abi::O_NONBLOCK)?,
            };
            Ok(fd)
        };
        let mut fd = match write {
            false => open_as(abi::O_RDONLY)?,
            true => match open_as(abi::O_RDWR) {
                Err(Errno::EACCES) => open_as(abi::O_WRONLY)?,
                other => other?,
            },
        };
        let mut stat = host::statx(fd.as_fd(), b"")?;
        if !self.is_same(&stat) {
            // The name is another file's now: by its descriptor the right one may still be found.
            let handle = self.open.borrow().handle.clone().ok_or(Errno::ENOENT)?;
            fd = host::reopen(handle.as_fd(), if write { abi::O_RDWR } else { abi::O_RDONLY })?;
            stat = host::statx(fd.as_fd(), b"")?;
        }
        if write {
            self.disarm(fd.as_fd(), &stat)?;
        }
        self.update(&stat);
        let mappers = self.fs.writable().then(|| self.mappers.clone());
        let file = if write { HostFile::writer(fd, mappers, watch::close_later) } else { HostFile::new(fd, mappers) };
        self.note_opened();
        let mut open = self.open.borrow_mut();
        open.last = Arc::downgrade(&file);
        *(if write { &mut open.writer } else { &mut open.reader }) = Some(file.clone());
        Ok(file)
    }

    /// The size, if what the host said of it still holds.
    pub(super) fn known_size(&self) -> Option<u64> {
        let known = self.known.borrow();
        self.fs.believes(known.at, self.fs.now()).then_some(known.attr.size)
    }
}

impl Drop for HostInode {
    fn drop(&mut self) {
        {
            let mut inodes = self.fs.inodes.borrow_mut();
            if inodes.get(&self.key).is_some_and(|known| std::ptr::eq(known.as_ptr(), self)) {
                inodes.remove(&self.key);
            }
        }
        // One directory after the other: trees can be deeper than a kernel stack.
        let mut next = self.place.take().0;
        while let Some(parent) = next.and_then(Arc::into_inner) {
            next = parent.place.take().0;
        }
    }
}

impl Inode for HostInode {
    fn state(&self) -> &InodeState {
        &self.state
    }

    fn attr(&self) -> Result<Attr> {
        self.refresh()?;
        let mut attr = self.known.borrow().attr;
        attr.mode |= self.own_set_ids();
        if self.hidden && self.kind == FileKind::Regular {
            (attr.size, attr.blocks) = (0, 0);
        }
        Ok(attr)
    }

    fn kind(&self) -> FileKind {
        self.kind
    }

    fn owner(&self) -> Result<Owner> {
        self.refresh()?;
        let known = self.known.borrow();
        Ok(Owner { uid: known.attr.uid, gid: known.attr.gid, mode: known.attr.mode | self.own_set_ids() })
    }

    fn names_version(&self) -> Option<u64> {
        if self.fs.writable() {
            return None;
        }
        // A host that cannot be asked has said nothing new.
        let _ = self.refresh();
        Some(self.known.borrow().version)
    }

    fn lookup(&self, name: &[u8]) -> Result<InodeRef> {
        if self.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if self.hidden {
            return Err(Errno::ENOENT);
        }
        let stat = host::statx(self.handle()?.as_fd(), name)?;
        Ok(self.fs.inode_of(&stat, &self.arc(), name)?)
    }

    fn read_link(&self) -> Result<Vec<u8>> {
        if self.kind != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        if self.hidden {
            return Err(Errno::EACCES);
        }
        let (parent, name) = self.place.cloned();
        host::read_link_at(parent.ok_or(Errno::ESTALE)?.handle()?.as_fd(), &name)
    }

    fn read_dir(&self, from: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        if self.kind != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        if self.hidden {
            return Ok(());
        }
        let dir = self.open_dir()?;
        for (i, entry) in (1..).zip(host::read_dir(dir.as_fd())?).skip(to_usize(from)) {
            if !emit(&DirEntry { ino: entry.ino, next: i, kind: entry.kind, name: &entry.name }) {
                break;
            }
        }
        Ok(())
    }

    fn seek_dir(&self, offset: i64, whence: i32) -> Result<u64> {
        if self.hidden { Err(Errno::EINVAL) } else { host::seek(self.open_dir()?.as_fd(), offset, whence) }
    }

    fn open(self: Arc<Self>, flags: i32) -> Result<Arc<dyn FileOps>> {
        super::file::open(self, flags)
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        self.change_attr(change)
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>, mode: u32, creds: &Creds) -> Result<InodeRef> {
        self.make(name, node, mode, creds)
    }

    fn link(&self, name: &[u8], target: &InodeRef) -> Result<()> {
        self.make_link(name, target)
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        self.remove(name, 0)
    }

    fn rmdir(&self, name: &[u8]) -> Result<()> {
        self.remove(name, abi::AT_REMOVEDIR)
    }

    fn rename(&self, name: &[u8], new_dir: &InodeRef, new_name: &[u8], flags: u32) -> Result<()> {
        self.move_entry(name, new_dir, new_name, flags)
    }

    fn allocate(&self, mode: i32, offset: u64, len: u64) -> Result<()> {
        self.want_write()?;
        let result = host::allocate(self.host_file(true)?.fd.as_fd(), mode, offset, len);
        // What follows is at other places now.
        if result.is_ok() && mode & (abi::FALLOC_FL_COLLAPSE_RANGE | abi::FALLOC_FL_INSERT_RANGE) != 0 {
            self.mappers.invalidate(offset / PAGE_SIZE, u64::MAX / PAGE_SIZE, Gone::Cut);
        }
        self.expire();
        result
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>> {
        if self.hidden {
            return Err(Errno::EOPNOTSUPP);
        }
        host::xattr(self.handle()?.as_fd(), name)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: i32) -> Result<()> {
        self.want_xattr(name)?;
        host::set_xattr(self.handle()?.as_fd(), name, value, flags)
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        self.want_xattr(name)?;
        host::remove_xattr(self.handle()?.as_fd(), name)
    }

    fn list_xattrs(&self) -> Result<Vec<u8>> {
        if self.hidden {
            return Ok(Vec::new());
        }
        host::list_xattrs(self.handle()?.as_fd())
    }

    fn watch_host(&self, watch: &Arc<Watch>) -> Result<()> {
        watch::follow(&self.arc(), watch)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
