//! Open files: what a descriptor refers to.

use super::inode::FileKind;
use super::mount::MountFlags;
use crate::lock::KCell;
use crate::mm::IoBuf;
use crate::sched::wait::{Sleep, WaitQueue, wait_until};
use crate::{Errno, Result};
use smallvec::SmallVec;
use std::any::Any;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use umlab_host::memory::FileMapping;
use umlab_model::{BackingFile, Prot};

bitflags::bitflags! {
    /// Poll events, in the numbers of poll(2) and epoll(7), which agree.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Events: u32 {
        const IN = abi::EPOLLIN;
        const PRI = abi::EPOLLPRI;
        const OUT = abi::EPOLLOUT;
        const ERR = abi::EPOLLERR;
        const HUP = abi::EPOLLHUP;
        const RDNORM = abi::EPOLLRDNORM;
        const RDBAND = abi::EPOLLRDBAND;
        const WRNORM = abi::EPOLLWRNORM;
        const WRBAND = abi::EPOLLWRBAND;
        const RDHUP = abi::EPOLLRDHUP;
    }
}

/// What mmap(2) of a file maps.
pub enum MapObject {
    /// A host file: parts that are not written by the core are mapped from it directly.
    Host(Arc<HostFile>),
    /// Pages in physmem.
    Pages(Arc<dyn PageSource>),
    /// New zeros, as without a file.
    Zeros,
}

/// A host file that guest mappings, and the core's own reads of guest memory, can use.
pub struct HostFile {
    pub fd: Arc<OwnedFd>,
    /// What is done when it is no longer used, with a file that was opened for writing: the host
    /// tells watchers when it is closed.
    release: Option<fn(Arc<OwnedFd>)>,
    /// The core's own mapping of it, made when guest memory that it is behind is first read by a
    /// system call.
    pub mapping: KCell<Option<Arc<FileMapping>>>,
    /// The same, shared and writable, for shared mappings of read-write trees.
    pub writable: KCell<Option<Arc<FileMapping>>>,
    /// Who maps the file, if guests can cut it.
    pub mappers: Option<Arc<Mappers>>,
}

impl HostFile {
    pub fn new(fd: OwnedFd, mappers: Option<Arc<Mappers>>) -> Arc<HostFile> {
        HostFile::make(fd, None, mappers)
    }

    /// One that was opened for writing, in a tree that guests may watch.
    pub fn writer(fd: OwnedFd, mappers: Option<Arc<Mappers>>, release: fn(Arc<OwnedFd>)) -> Arc<HostFile> {
        HostFile::make(fd, Some(release), mappers)
    }

    fn make(fd: OwnedFd, release: Option<fn(Arc<OwnedFd>)>, mappers: Option<Arc<Mappers>>) -> Arc<HostFile> {
        let fd = Arc::new(fd);
        Arc::new(HostFile { fd, release, mapping: KCell::new(None), writable: KCell::new(None), mappers })
    }
}

impl BackingFile for HostFile {
    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            release(self.fd.clone());
        }
    }
}

/// Something whose contents are frames of physmem: a memory file, shared memory.
pub trait PageSource: Send + Sync {
    /// The frames from page `index` on: at least one page, at most `max` (what lies together is
    /// given together), shared with the source. With `write`, holes are filled; without, they may
    /// be too. Pages wholly past the end: None (SIGBUS).
    fn frames(&self, index: u64, max: u32, write: bool) -> Result<Option<crate::mm::Frames>>;

    /// As `frames`, of what is there, for the audit: nothing is filled.
    fn present(&self, index: u64, max: u32) -> Option<crate::mm::Frames>;

    /// The bytes read as zero from now on, and whole pages of them are given up.
    fn punch(&self, _offset: u64, _len: u64) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The first page after `index` that is there.
    fn next_present(&self, index: u64) -> Option<u64>;

    /// Where mappers are to be known, for sources whose pages can go away. A mapper holds no
    /// reference on frames it has mapped: the source gives none of them up before its mappers have
    /// settled.
    fn mappers(&self) -> Option<&Mappers> {
        None
    }
}

/// What becomes of a source's pages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// They are beyond the source's new end. Private copies of them are given up too.
    Cut,
    /// There is a hole.
    Punched,
}

/// Something that maps pages of a source: an address space. A source is known by its list of
/// mappers.
pub trait Mapper: Send + Sync {
    /// The source's pages from `first` to before `end` are no longer what they were: mappings of
    /// them must be looked up again at the next touch. Nothing of the mapper's may be borrowed.
    fn invalidate(&self, source: &Mappers, first: u64, end: u64, gone: Gone);

    /// Whether user code may write to the source by way of this mapper.
    fn writes_to(&self, source: &Mappers) -> bool;

    /// Returns when no CPU's user code can reach what was invalidated. May drop the big lock.
    fn settle(&self);
}

/// Who maps a source. An address space adds itself when it makes a mapping.
#[derive(Default)]
pub struct Mappers(KCell<Vec<std::sync::Weak<dyn Mapper>>>);

impl Mappers {
    pub fn add(&self, mapper: std::sync::Weak<dyn Mapper>) {
        let mut list = self.0.borrow_mut();
        list.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&mapper));
        list.push(mapper);
    }

    /// Whether anybody may write to the source by a mapping.
    pub fn any_writes_to(&self) -> bool {
        self.0.borrow().iter().filter_map(std::sync::Weak::upgrade).any(|mapper| mapper.writes_to(self))
    }

    /// Makes all mappers forget the pages, and returns when they are out of reach.
    pub fn invalidate(&self, first: u64, end: u64, gone: Gone) {
        if self.0.borrow().is_empty() {
            return;
        }
        let list: Vec<_> = self.0.borrow().iter().filter_map(std::sync::Weak::upgrade).collect();
        for mapper in &list {
            mapper.invalidate(self, first, end, gone);
        }
        for mapper in &list {
            mapper.settle();
        }
    }
}

/// What one kind of file does. Everything has a default that answers as Linux does for a file
/// without the operation.
///
/// All of it is called with the big lock held and may sleep.
#[allow(unused_variables)]
pub trait FileOps: Send + Sync + Any {
    /// Reads at `offset`. Files that cannot seek ignore it. Returns the bytes read, 0 at the end.
    fn read(&self, file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    /// Writes at `offset`, which for O_APPEND is the end.
    fn write(&self, file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    /// Whether it has a file position (else lseek and pread are ESPIPE).
    fn seekable(&self) -> bool {
        false
    }

    /// For SEEK_END the end (the caller adds the offset, and passes 0); for SEEK_DATA and SEEK_HOLE
    /// the position found from `offset` on.
    fn seek_special(&self, file: &OpenFile, offset: i64, whence: i32) -> Result<u64> {
        Err(Errno::EINVAL)
    }

    /// Whether it may be open for direct transfers (O_DIRECT).
    fn takes_direct(&self) -> bool {
        false
    }

    /// Whether splice(2) and sendfile(2) can take bytes from it.
    fn is_splice_source(&self, file: &OpenFile) -> bool {
        !matches!(file.inode.kind(), FileKind::Directory | FileKind::Anonymous)
    }

    /// The events that hold now.
    fn poll(&self, file: &OpenFile) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }

    /// The queues that are woken when what `poll` says may have changed. None: it never changes
    /// (epoll refuses such files).
    fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        None
    }

    /// ioctl(2) beyond those every file has (FIOCLEX, FIONBIO, ...).
    fn ioctl(&self, file: &OpenFile, command: u32, arg: u64) -> Result<u64> {
        Err(Errno::ENOTTY)
    }

    /// What to map, for mmap(2). `prot` and `shared` as asked.
    fn map(&self, file: &OpenFile, prot: Prot, shared: bool) -> Result<MapObject> {
        Err(Errno::ENODEV)
    }

    /// Whether a shared mapping of it may be written, now or when its rights are changed later.
    fn may_map_writable(&self, file: &OpenFile) -> bool {
        file.writable()
    }

    fn fsync(&self, file: &OpenFile, data_only: bool) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// Lines of its own for /proc/PID/fdinfo.
    fn describe(&self, file: &OpenFile) -> String {
        String::new()
    }

    /// The flags that fcntl(F_SETFL) changed, after the change.
    fn flags_changed(&self, file: &OpenFile) {}

    /// A descriptor of this open file was closed (flush; the last one is `Drop` of the ops).
    fn descriptor_closed(&self, file: &OpenFile) {}

    /// Directory entries from the file's position on; `emit` returns false when its buffer is full.
    fn read_dir(&self, file: &OpenFile, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        Err(Errno::ENOTDIR)
    }

    fn as_any(&self) -> &dyn Any;
}

/// One directory entry, as getdents64(2) gives it.
pub struct DirEntry<'a> {
    pub ino: u64,
    /// The position after this entry, for lseek(2).
    pub next: u64,
    /// DT_* of readdir(3).
    pub kind: u8,
    pub name: &'a [u8],
}

/// An open file description (open(2)): shared by the descriptors that dup and fork made of one
/// open.
pub struct OpenFile {
    /// Called from this folder only: what holds for files of all kinds is here.
    pub(super) ops: Arc<dyn FileOps>,
    /// The inode it was opened on; anonymous files (pipes, epoll, ...) have one of their own file
    /// system.
    pub inode: super::inode::InodeRef,
    /// Where it was opened; None for files without a name.
    pub path: Option<super::Path>,
    /// That it is open for writing, or being executed.
    pub claim: Option<super::write_access::Claim>,
    /// O_* flags, the access mode included, without those that only matter to open.
    pub flags: KCell<i32>,
    pub position: KCell<u64>,
    /// A transfer at the position is under way, in several steps.
    busy: KCell<bool>,
    /// Who is told when it becomes ready, if anybody.
    pub(super) async_io: KCell<Option<Arc<super::async_io::AsyncIo>>>,
    /// The epoll files that watch it.
    pub watchers: super::watchers::Watchers,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.watchers.file_closed(self);
        super::locks::file_closed(self);
        super::notify::closed(self);
        if self.flags.get() & abi::O_ASYNC != 0 {
            self.set_async(false);
        }
    }
}

/// Who waits for another's long transfer: few ever do, so one queue is enough for all files.
static TURNS: WaitQueue = WaitQueue::new();

/// A long transfer at a file's position: others wait until it is over, as if it were one step.
pub struct Turn<'a>(&'a OpenFile);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.busy.set(false);
        TURNS.wake_all();
    }
}

impl OpenFile {
    /// A new open file, at its start.
    pub fn new(ops: Arc<dyn FileOps>, inode: super::inode::InodeRef, flags: i32) -> Arc<OpenFile> {
        OpenFile::make(ops, inode, None, None, flags)
    }

    /// A new open file of what is at `path`.
    pub fn at(ops: Arc<dyn FileOps>, path: super::Path, flags: i32) -> Arc<OpenFile> {
        OpenFile::make(ops, path.inode().clone(), Some(path), None, flags)
    }

    /// As `at`, for a use that excludes others.
    pub fn claimed(
        ops: Arc<dyn FileOps>,
        path: super::Path,
        claim: Option<super::write_access::Claim>,
        flags: i32,
    ) -> Arc<OpenFile> {
        OpenFile::make(ops, path.inode().clone(), Some(path), claim, flags)
    }

    fn make(
        ops: Arc<dyn FileOps>,
        inode: super::inode::InodeRef,
        path: Option<super::Path>,
        claim: Option<super::write_access::Claim>,
        flags: i32,
    ) -> Arc<OpenFile> {
        let position = KCell::new(0);
        Arc::new(OpenFile {
            ops,
            inode,
            path,
            claim,
            flags: KCell::new(flags),
            position,
            busy: KCell::new(false),
            async_io: KCell::new(None),
            watchers: Default::default(),
        })
    }

    /// Waits until no transfer at the position is under way. With `long`, the caller's is one until
    /// the answer is dropped.
    ///
    /// # Errors
    /// EINTR when the caller was killed meanwhile.
    pub fn take_turn(&self, long: bool) -> Result<Option<Turn<'_>>> {
        if self.busy.get() {
            wait_until(&[&TURNS], None, Sleep::Killable, || (!self.busy.get()).then_some(()))
                .map_err(|_| Errno::EINTR)?;
        }
        Ok(long.then(|| {
            self.busy.set(true);
            Turn(self)
        }))
    }

    /// Whether nothing of it may be executed, not even where it is mapped: on a mount that is
    /// noexec, and what has no place in any.
    pub fn is_noexec(&self) -> bool {
        self.path.as_ref().is_none_or(|path| path.mount.flags().contains(MountFlags::NOEXEC))
    }

    pub fn readable(&self) -> bool {
        let flags = self.flags.get();
        flags & abi::O_PATH == 0 && matches!(flags & abi::O_ACCMODE, abi::O_RDONLY | abi::O_RDWR)
    }

    pub fn writable(&self) -> bool {
        let flags = self.flags.get();
        flags & abi::O_PATH == 0 && matches!(flags & abi::O_ACCMODE, abi::O_WRONLY | abi::O_RDWR)
    }

    pub fn nonblocking(&self) -> bool {
        self.flags.get() & abi::O_NONBLOCK != 0
    }

    /// Reads at an offset, for the kernel's own use: the position and watches are left alone. See
    /// [`super::transfer`] for what a program asks for.
    pub fn read_at(&self, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        self.ops.read(self, buf, offset)
    }

    /// Writes at an offset, for the kernel's own use, as [`OpenFile::read_at`]. No limit holds.
    pub fn write_at(&self, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        self.ops.write(self, buf, offset)
    }

    /// [`FileOps::seekable`]
    pub fn seekable(&self) -> bool {
        self.ops.seekable()
    }

    /// [`FileOps::seek_special`]
    pub fn seek_special(&self, offset: i64, whence: i32) -> Result<u64> {
        self.ops.seek_special(self, offset, whence)
    }

    /// [`FileOps::takes_direct`]
    pub fn takes_direct(&self) -> bool {
        self.ops.takes_direct()
    }

    /// [`FileOps::is_splice_source`]
    pub fn is_splice_source(&self) -> bool {
        self.ops.is_splice_source(self)
    }

    /// [`FileOps::poll`]
    pub fn poll(&self) -> Events {
        self.ops.poll(self)
    }

    /// [`FileOps::poll_queues`]
    pub fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        self.ops.poll_queues()
    }

    /// [`FileOps::ioctl`]
    pub fn ioctl(&self, command: u32, arg: u64) -> Result<u64> {
        self.ops.ioctl(self, command, arg)
    }

    /// [`FileOps::map`]
    pub fn map(&self, prot: Prot, shared: bool) -> Result<MapObject> {
        self.ops.map(self, prot, shared)
    }

    /// [`FileOps::may_map_writable`]
    pub fn may_map_writable(&self) -> bool {
        self.ops.may_map_writable(self)
    }

    /// [`FileOps::fsync`]
    pub fn fsync(&self, data_only: bool) -> Result<()> {
        self.ops.fsync(self, data_only)
    }

    /// [`FileOps::describe`]
    pub fn describe(&self) -> String {
        self.ops.describe(self)
    }

    /// [`FileOps::flags_changed`]
    pub fn flags_changed(&self) {
        self.ops.flags_changed(self)
    }

    /// [`FileOps::read_dir`]
    pub fn read_dir(&self, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        self.ops.read_dir(self, emit)
    }

    /// The operations as a type of the caller's, or None.
    pub fn ops_as<T: FileOps>(&self) -> Option<&T> {
        self.ops.as_any().downcast_ref::<T>()
    }
}
