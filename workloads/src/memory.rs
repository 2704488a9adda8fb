//! Memory that a workload maps and touches by itself, page by page.

use anyhow::{Context, Result, ensure};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous, munmap};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

pub const PAGE: usize = 4096;
pub const MIB: usize = 1 << 20;

/// A mapping of our own, gone when dropped.
pub struct Mapping {
    start: NonNull<c_void>,
    pub len: usize,
}

impl Mapping {
    /// Private and anonymous, readable and writable, not touched; in small pages where the kernel
    /// lets us choose, so that its cost does not depend on how this machine is set up.
    pub fn anonymous(len: usize) -> Result<Mapping> {
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: a new mapping at a place of the kernel's choice changes no memory that is in use.
        let start = unsafe { mmap_anonymous(None, length(len)?, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags) };
        let mapping = Mapping { start: start.context("mmap")?, len };
        // SAFETY: it is our mapping, and the advice does not change what is in it. A kernel without
        // huge pages refuses.
        let _ = unsafe { madvise(mapping.start, len, MmapAdvise::MADV_NOHUGEPAGE) };
        Ok(mapping)
    }

    /// Anonymous, and shared with the children that are forked from now on.
    pub fn shared(len: usize) -> Result<Mapping> {
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: as above.
        let start = unsafe { mmap_anonymous(None, length(len)?, prot, MapFlags::MAP_SHARED) };
        Ok(Mapping { start: start.context("mmap")?, len })
    }

    /// The first bytes of a file.
    pub fn file(file: impl AsFd, len: usize, prot: ProtFlags, flags: MapFlags) -> Result<Mapping> {
        // SAFETY: as above.
        let start = unsafe { mmap(None, length(len)?, prot, flags, file, 0) };
        Ok(Mapping { start: start.context("mmap")?, len })
    }

    pub fn start(&self) -> NonNull<c_void> {
        self.start
    }

    fn byte(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.len);
        // SAFETY: the offset lies within the mapping.
        unsafe { self.start.as_ptr().cast::<u8>().add(offset) }
    }

    /// Reads the byte. The mapping must be readable there.
    pub fn read(&self, offset: usize) -> u8 {
        // SAFETY: `byte` checks the bounds; any byte is a u8. Volatile, because the access itself
        // is what is measured.
        unsafe { self.byte(offset).read_volatile() }
    }

    /// Writes the byte. The mapping must be writable there.
    pub fn write(&self, offset: usize, value: u8) {
        // SAFETY: as above; nobody holds a reference into the mapping.
        unsafe { self.byte(offset).write_volatile(value) }
    }

    /// Writes to every page.
    pub fn touch(&self) {
        for offset in (0..self.len).step_by(PAGE) {
            self.write(offset, 1);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it is our mapping, and nobody holds a reference into it.
        let _ = unsafe { munmap(self.start, self.len) };
    }
}

fn length(len: usize) -> Result<NonZeroUsize> {
    NonZeroUsize::new(len).context("a mapping of no length")
}

/// A parent's resident memory, which its children share until they write.
pub struct Resident(Vec<Mapping>);

impl Resident {
    pub fn none() -> Resident {
        Resident(Vec::new())
    }

    fn len(&self) -> usize {
        self.0.iter().map(|mapping| mapping.len).sum()
    }

    /// Makes it so many bytes, all of them written to. The error says why there are not as many.
    pub fn grow(&mut self, bytes: usize) -> Result<()> {
        let more = bytes.saturating_sub(self.len());
        if more > 0 {
            let free = free_memory()?;
            // A model may copy at a fork what the host shares: leave room for that.
            ensure!(
                free / 5 * 2 >= more,
                "{} MiB of memory are free, too few for a parent of {} MiB",
                free / MIB,
                bytes / MIB
            );
            let mapping = Mapping::anonymous(more)?;
            mapping.touch();
            self.0.push(mapping);
        }
        Ok(())
    }
}

fn free_memory() -> Result<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).context("no MemAvailable in /proc/meminfo")?;
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().context("MemAvailable in /proc/meminfo")?;
    Ok(kib << 10)
}
