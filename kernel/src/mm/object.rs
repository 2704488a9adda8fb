//! What an area shows: the objects that hold its pages, and the file it was mapped from.
//!
//! Those who have pages to show (file systems, shared memory) make such an object of them. Memory
//! knows nothing else of files.

use super::frames::Frames;
use super::invalidate::Mappers;
use super::vma::VmaFlags;
use crate::lock::KCell;
use crate::{Errno, Result};
use std::any::Any;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use umlab_host::memory::FileMapping;
use umlab_model::{BackingFile, Prot};

/// A file as the areas that were mapped from it know it. They hold it, so it stays open as long as
/// one of them is there.
///
/// [`MappedFile::is_written`] is asked at faults, while the address space is borrowed; all else is
/// asked with nothing borrowed, and may sleep.
pub trait MappedFile: Any + Send + Sync {
    /// What to map, for mmap(2), with `prot` and `shared` as asked; and the rights that mprotect(2)
    /// must not give later ([`VmaFlags::NOWRITE`], [`VmaFlags::NOEXEC`]).
    ///
    /// # Errors
    /// EACCES and EPERM where the file may not be mapped so, ENODEV where it cannot be mapped at
    /// all.
    fn map(&self, prot: Prot, shared: bool) -> Result<(MapObject, VmaFlags)>;

    /// Whether Linux finds only when the place is cleared that the file cannot be mapped.
    fn refuses_late(&self) -> bool;

    /// Whether it is open for writing, as this open file or another one.
    fn is_written(&self) -> bool;

    /// Whether a file system has a name for it.
    fn has_name(&self) -> bool;

    /// Whether anybody may execute it.
    fn is_program(&self) -> bool;

    /// Makes a hole in it (FALLOC_FL_PUNCH_HOLE): the bytes read as zero from now on. False for a
    /// file that holds none itself, as /dev/zero.
    fn punch(&self, offset: u64, len: u64) -> Result<bool>;

    /// Has what was written to it reach the disk.
    fn sync(&self) -> Result<()>;
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

    fn is_fixed(&self) -> bool {
        self.mappers.is_none()
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
    fn frames(&self, index: u64, max: u32, write: bool) -> Result<Option<Frames>>;

    /// As `frames`, of what is there, for the audit: nothing is filled.
    fn present(&self, index: u64, max: u32) -> Option<Frames>;

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
