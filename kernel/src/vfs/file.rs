//! Open files: what a descriptor refers to.

use super::inode::FileKind;
use crate::lock::KCell;
use crate::mm::IoBuf;
use crate::mm::object::MapObject;
use crate::sched::wait::{Sleep, WaitQueue, wait_until};
use crate::{Errno, Result};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;
use umlab_model::Prot;

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
        self.ops.flags_changed(self);
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
