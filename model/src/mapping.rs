//! Mappings: which pages of a guest address space show what.

use crate::{PageRange, physmem};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

bitflags::bitflags! {
    /// What user code may do with a mapping; the bits are those of mmap(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Prot: u32 {
        const READ = libc::PROT_READ as u32;
        const WRITE = libc::PROT_WRITE as u32;
        const EXEC = libc::PROT_EXEC as u32;
    }
}

/// A host file that guest mappings show. It stays open while a model holds it.
pub trait BackingFile: Send + Sync {
    fn fd(&self) -> BorrowedFd<'_>;

    /// Guests cannot change what is in it, so a model may show them a copy in its place.
    fn is_fixed(&self) -> bool {
        false
    }
}

/// What is behind a mapping.
#[derive(Clone)]
pub enum Source {
    /// Guest memory, at a byte offset into physmem.
    Physmem { offset: u64 },
    /// A host file, for parts of files that the kernel need not own. `shared` is mmap(2)'s
    /// MAP_SHARED; a private mapping is never given PROT_WRITE.
    File { file: Arc<dyn BackingFile>, offset: u64, shared: bool },
}

/// One mapping to make in an address space. Offsets are multiples of the page size.
#[derive(Clone)]
pub struct Mapping {
    pub range: PageRange,
    pub prot: Prot,
    pub source: Source,
    /// Bring the pages in at once: they are resident and about to be touched.
    pub populate: bool,
}

/// What mmap(2) wants to know of a mapping beside its place and rights.
pub struct HostMap {
    /// All but MAP_FIXED.
    pub flags: i32,
    pub fd: i32,
    pub offset: u64,
    /// Keeps `fd` open.
    pub file: Option<Arc<dyn BackingFile>>,
}

impl Mapping {
    /// For models that make it by mmap(2), or have it made.
    pub fn host_map(&self) -> HostMap {
        let populate = if self.populate { libc::MAP_POPULATE } else { 0 };
        let (kind, fd, offset, file) = match &self.source {
            Source::Physmem { offset } => (libc::MAP_SHARED, physmem::memory().fd().as_raw_fd(), *offset, None),
            Source::File { file, offset, shared } => {
                let kind = if *shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
                (kind, file.fd().as_raw_fd(), *offset, Some(file.clone()))
            }
        };
        HostMap { flags: libc::MAP_NORESERVE | populate | kind, fd, offset, file }
    }
}
