//! Memory objects: a memfd mapped whole into this process, and windows into mapped memory.
//!
//! Guest code may write the memory behind a window at any moment, on another CPU. So no Rust
//! reference is ever made to it: every access is a copy through raw pointers, and what was copied
//! is an allegation that is judged afterwards.

use crate::lock::SharedLock;
use crate::{Errno, Result, copy};
use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::*};

pub const PAGE: usize = 4096;

/// Memory of the core is shared with its child processes: see [`share_with_children`].
static SHARED: AtomicBool = AtomicBool::new(false);

/// Address space that memory objects are put into, from its end on, so that they lie side by side.
static ROOM: Room = Room { start: AtomicUsize::new(0), end: AtomicUsize::new(0) };

struct Room {
    start: AtomicUsize,
    end: AtomicUsize,
}

const ROOM_LEN: usize = 1 << 40;

/// Where the core maps files; 0 where the core is in one process.
static FILES_FROM: AtomicUsize = AtomicUsize::new(0);
/// Where all that a guest has ends.
static GUEST_END: AtomicUsize = AtomicUsize::new(0);

impl Room {
    /// Reserves it, to end at `end` if that is possible.
    fn reserve(&self, end: usize) {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let wanted = end.saturating_sub(ROOM_LEN) as *mut _;
        // SAFETY: a new mapping of nothing; the address is a wish.
        let start = unsafe { libc::mmap(wanted, ROOM_LEN, libc::PROT_NONE, flags, -1, 0) };
        if start != libc::MAP_FAILED {
            self.start.store(start as usize, SeqCst);
            self.end.store(start as usize + ROOM_LEN, SeqCst);
        }
    }

    /// A place for `len` bytes that is nobody else's; none when there is no room.
    fn take(&self, len: usize) -> Option<usize> {
        let below = |end: usize| end.checked_sub(len.next_multiple_of(PAGE)).filter(|at| *at > self.start.load(SeqCst));
        let old = self.end.fetch_update(SeqCst, SeqCst, below).ok()?;
        below(old)
    }
}

/// From now on memory objects made here are inherited by child processes, and files mapped here are
/// mapped in each process when it first touches them, at the same place everywhere: for models that
/// run the core in several processes. Objects lie side by side below `below`, files from
/// `files_from` on, and guests have what lies below `guest_end`.
pub fn share_with_children(below: usize, files_from: usize, guest_end: usize) {
    GUEST_END.store(guest_end, SeqCst);
    ROOM.reserve(below);
    SHARED.store(true, SeqCst);
    FILES_FROM.store(files_from, SeqCst);
    FILES.with(|files| files.next = files_from);
}

/// Maps memory of this process alone, which its children begin with a copy of, at an address where
/// nothing is.
pub fn map_private_at(start: usize, len: usize) -> Result<()> {
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new memory where nothing is mapped.
    match unsafe { libc::mmap(start as *mut _, len, prot, flags | libc::MAP_FIXED_NOREPLACE, -1, 0) } {
        libc::MAP_FAILED => Err(Errno::last()),
        _ => Ok(()),
    }
}

/// Unmaps all files from the running process. What is touched again is mapped again.
pub fn unmap_files() {
    let first = FILES_FROM.load(Relaxed);
    FILES.with(|files| {
        if files.next > first {
            // SAFETY: the range is for these mappings alone, which may be missing at any time.
            unsafe { libc::munmap(first as *mut _, files.next - first) };
        }
    });
}

/// Files mapped in a core of several processes, by where they begin. Places are not used twice: a
/// process may still have the old file there.
struct SharedFiles {
    lock: SharedLock,
    inner: UnsafeCell<Files>,
}

struct Files {
    next: usize,
    by_start: BTreeMap<usize, FilePlace>,
}

struct FilePlace {
    fd: OwnedFd,
    len: usize,
    prot: i32,
    flags: i32,
}

static FILES: SharedFiles =
    SharedFiles { lock: SharedLock::new(), inner: UnsafeCell::new(Files { next: 0, by_start: BTreeMap::new() }) };

// SAFETY: the contents are reached under the lock only.
unsafe impl Sync for SharedFiles {}

impl SharedFiles {
    fn with<T>(&self, f: impl FnOnce(&mut Files) -> T) -> T {
        self.lock.lock();
        // SAFETY: under the lock, and `f` does not come back here.
        let result = f(unsafe { &mut *self.inner.get() });
        self.lock.unlock();
        result
    }
}

/// Makes a mapping of the core's own in a process that a guest may have filled. Where there are as
/// many mappings as the host allows one process (vm.max_map_count), the guest's are all taken away:
/// faults bring back those that are used.
fn with_room<T>(map: impl Fn() -> Result<T>) -> Result<T> {
    map().or_else(|e| {
        let guest_end = GUEST_END.load(Relaxed);
        if e != Errno::ENOMEM || guest_end == 0 {
            return Err(e);
        }
        // SAFETY: the guest's part, of which any mapping may be missing at any time.
        Errno::check(i64::from(unsafe { libc::munmap(std::ptr::null_mut(), guest_end) }))?;
        map()
    })
}

impl FilePlace {
    fn map_at(&self, start: usize) -> Result<()> {
        let flags = self.flags | libc::MAP_FIXED;
        // SAFETY: the place was given to this file for good.
        match unsafe { libc::mmap(start as *mut _, self.len, self.prot, flags, self.fd.as_raw_fd(), 0) } {
            libc::MAP_FAILED => Err(Errno::last()),
            _ => Ok(()),
        }
    }
}

/// Maps the file that belongs at `addr` into this process. False when none does: the access is an
/// error.
pub fn map_missing(addr: usize) -> bool {
    SHARED.load(Relaxed)
        && FILES.with(|files| {
            let place = files.by_start.range(..=addr).next_back();
            place.is_some_and(|(&start, place)| addr - start < place.len && with_room(|| place.map_at(start)).is_ok())
        })
}

/// A memfd and its mapping. The mapping is as long as the object and is never moved.
pub struct SharedMemory {
    fd: OwnedFd,
    base: *mut u8,
    len: usize,
}

// SAFETY: the mapping stays valid for the object's life and is only accessed by raw copies through
// windows.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// A sparse object of `len` bytes, all zero. Pages are allocated by the host as they are first
    /// touched.
    pub fn new(name: &std::ffi::CStr, len: usize) -> Result<SharedMemory> {
        // SAFETY: the name is a C string; the flags are documented in memfd_create(2).
        let fd = Errno::check(i64::from(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) }))? as i32;
        // SAFETY: the call above returned a new descriptor that nothing else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: a descriptor of ours and a length.
        Errno::check(i64::from(unsafe { libc::ftruncate(fd.as_raw_fd(), len as i64) }))?;
        let (place, fixed) = ROOM.take(len).map_or((0, 0), |place| (place, libc::MAP_FIXED));
        let base = SharedMemory::map(&fd, place, len, fixed)?;
        if !SHARED.load(Relaxed) {
            // SAFETY: the mapping was just made; keeping it out of forked children makes their
            // creation cheap.
            unsafe { libc::madvise(base, len, libc::MADV_DONTFORK) };
        }
        Ok(SharedMemory { fd, base: base.cast(), len })
    }

    fn map(fd: &OwnedFd, at: usize, len: usize, fixed: i32) -> Result<*mut libc::c_void> {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_NORESERVE | fixed);
        // SAFETY: a new mapping, at a place that the callers keep for it or that the host chooses.
        match unsafe { libc::mmap(at as *mut _, len, prot, flags, fd.as_raw_fd(), 0) } {
            libc::MAP_FAILED => Err(Errno::last()),
            base => Ok(base),
        }
    }

    /// Maps the object anew where it is, in the calling process: as before, but without entries in
    /// the page table. Ends the process when the host refuses.
    pub fn map_anew(&self) {
        if with_room(|| SharedMemory::map(&self.fd, self.base as usize, self.len, libc::MAP_FIXED)).is_err() {
            std::process::abort();
        }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Maps its beginning once more, as code, at an address where nothing is.
    pub fn map_code_at(&self, start: usize, len: usize) -> Result<()> {
        assert!(len <= self.len);
        let (prot, flags) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE);
        // SAFETY: a new mapping where nothing is.
        match unsafe { libc::mmap(start as *mut _, len, prot, flags, self.fd.as_raw_fd(), 0) } {
            libc::MAP_FAILED => Err(Errno::last()),
            _ => Ok(()),
        }
    }

    /// Has child processes inherit it, if it was made before [`share_with_children`].
    pub fn inherit(&self) {
        // SAFETY: the mapping is ours.
        unsafe { libc::madvise(self.base.cast(), self.len, libc::MADV_DOFORK) };
    }

    /// Where it is mapped.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes from `offset` on. Panics when they are not within the object: offsets are the
    /// core's own, not a guest's.
    pub fn window(&self, offset: usize, len: usize) -> Window<'_> {
        assert!(offset <= self.len && len <= self.len - offset);
        // SAFETY: within the mapping, as just checked.
        Window { ptr: unsafe { self.base.add(offset) }, len, writable: true, memory: PhantomData }
    }

    /// Gives the memory of a range back to the host; it reads as zero afterwards.
    pub fn punch(&self, offset: usize, len: usize) {
        // SAFETY: a descriptor of ours; the range is a number to the host.
        unsafe {
            libc::fallocate(
                self.fd.as_raw_fd(),
                libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
                offset as i64,
                len as i64,
            )
        };
    }

    /// The ranges between `start` and `end`, both multiples of a page's size, that the host has
    /// memory for.
    ///
    /// SEEK_HOLE would find a range's end, but looks at every page as far as the next hole, which
    /// may lie a long way behind `end`. mincore(2) keeps to the pages it is asked for, but calls
    /// those that are swapped out absent; SEEK_DATA knows better.
    pub fn data(&self, start: usize, end: usize) -> impl Iterator<Item = (usize, usize)> {
        let mut next = self.seek_data(start);
        std::iter::from_fn(move || {
            let from = next.filter(|&from| from < end)?;
            let mut to = from;
            let mut present = [0u8; 512];
            while next == Some(to) {
                to += PAGE;
                let pages = ((end - to) / PAGE).min(present.len());
                // SAFETY: the range lies within the mapping; as many bytes as it has pages are
                // written.
                let answer = unsafe { libc::mincore(self.base.add(to).cast(), pages * PAGE, present.as_mut_ptr()) };
                if answer == 0 {
                    to += present[..pages].iter().take_while(|&&page| page & 1 != 0).count() * PAGE;
                }
                next = if to < end { self.seek_data(to) } else { None };
            }
            Some((from, to))
        })
    }

    /// The first offset at or after `offset` that the host has memory for.
    fn seek_data(&self, offset: usize) -> Option<usize> {
        // SAFETY: seeking moves a file position that nothing else uses.
        let found = unsafe { libc::lseek(self.fd.as_raw_fd(), offset as i64, libc::SEEK_DATA) };
        usize::try_from(found).ok()
    }

    /// Bytes of host memory behind the object now.
    pub fn resident(&self) -> u64 {
        // SAFETY: all-zero is a valid stat; the call fills it.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: valid descriptor and place.
        unsafe { libc::fstat(self.fd.as_raw_fd(), &raw mut stat) };
        stat.st_blocks as u64 * 512
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `new`; windows borrow the object.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}

/// A file of the host mapped into this process.
pub struct FileMapping {
    base: *mut u8,
    len: usize,
    writable: bool,
}

// SAFETY: read only by copies; the mapping stays for the object's life.
unsafe impl Send for FileMapping {}
// SAFETY: as above.
unsafe impl Sync for FileMapping {}

impl FileMapping {
    /// The whole file as it is now, to be read. EINVAL for an empty one.
    pub fn private(fd: &impl AsFd) -> Result<FileMapping> {
        FileMapping::map(fd.as_fd(), libc::PROT_READ, libc::MAP_PRIVATE)
    }

    /// The whole file as it is now, to be read and written.
    pub fn shared(fd: &impl AsFd) -> Result<FileMapping> {
        FileMapping::map(fd.as_fd(), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED)
    }

    fn map(fd: BorrowedFd<'_>, prot: i32, flags: i32) -> Result<FileMapping> {
        // SAFETY: all-zero is a valid stat; the call fills it.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: valid descriptor and place.
        Errno::check(i64::from(unsafe { libc::fstat(fd.as_raw_fd(), &raw mut stat) }))?;
        let len = stat.st_size as usize;
        if SHARED.load(Relaxed) {
            return FileMapping::map_shared_place(fd, len, prot, flags);
        }
        // SAFETY: a new mapping at an address the host chooses.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd.as_raw_fd(), 0) };
        if base == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        // SAFETY: the mapping was just made.
        unsafe { libc::madvise(base, len, libc::MADV_DONTFORK) };
        Ok(FileMapping { base: base.cast(), len, writable: prot & libc::PROT_WRITE != 0 })
    }

    /// Gives the file a place; every process maps it there at its first touch.
    fn map_shared_place(fd: BorrowedFd<'_>, len: usize, prot: i32, flags: i32) -> Result<FileMapping> {
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        let place = FilePlace { fd: fd.try_clone_to_owned()?, len, prot, flags };
        FILES.with(|files| {
            let start = files.next;
            with_room(|| place.map_at(start))?;
            files.next += len.next_multiple_of(PAGE);
            files.by_start.insert(start, place);
            Ok(FileMapping { base: start as *mut u8, len, writable: prot & libc::PROT_WRITE != 0 })
        })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A window, cut to the mapping's length.
    pub fn window(&self, offset: usize, len: usize) -> Window<'_> {
        let offset = offset.min(self.len);
        let len = len.min(self.len - offset);
        // SAFETY: within the mapping, as just cut.
        Window { ptr: unsafe { self.base.add(offset) }, len, writable: self.writable, memory: PhantomData }
    }
}

impl Drop for FileMapping {
    fn drop(&mut self) {
        if SHARED.load(Relaxed) {
            FILES.with(|files| files.by_start.remove(&(self.base as usize)));
        }
        // SAFETY: the mapping made by `new`.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}

/// A run of bytes in mapped memory that a guest may be changing: read and written by copies only.
///
/// It borrows the mapping, or whatever else keeps its memory from being given away.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    ptr: *mut u8,
    len: usize,
    writable: bool,
    memory: PhantomData<&'a [u8]>,
}

impl<'a> Window<'a> {
    /// A window onto this process's own bytes.
    pub fn of(bytes: &'a [u8]) -> Window<'a> {
        Window { ptr: bytes.as_ptr().cast_mut(), len: bytes.len(), writable: false, memory: PhantomData }
    }

    /// A writable window onto this process's own bytes.
    pub fn of_mut(bytes: &'a mut [u8]) -> Window<'a> {
        Window { ptr: bytes.as_mut_ptr(), len: bytes.len(), writable: true, memory: PhantomData }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part of the window from `offset`, at most `len` bytes.
    pub fn slice(&self, offset: usize, len: usize) -> Window<'a> {
        let offset = offset.min(self.len);
        // SAFETY: offset is within the window.
        let ptr = unsafe { self.ptr.add(offset) };
        Window { ptr, len: len.min(self.len - offset), ..*self }
    }

    /// Copies from the window; as many bytes as both have, fewer when memory of the window is
    /// missing. EFAULT when that is so at its start.
    pub fn read(&self, out: &mut [u8]) -> Result<usize> {
        let n = out.len().min(self.len);
        // SAFETY: the window is a mapping for this, and `out` is borrowed.
        some_of(n, unsafe { copy::copy(out.as_mut_ptr(), self.ptr, n) })
    }

    /// Copies into the window; otherwise as `read`.
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        assert!(self.writable);
        let n = bytes.len().min(self.len);
        // SAFETY: as in `read`, and the window is writable.
        some_of(n, unsafe { copy::copy(self.ptr, bytes.as_ptr(), n) })
    }

    /// Copies between windows; otherwise as `read`. Of windows that overlap, this one must not
    /// begin within the other.
    pub fn copy_from(&self, from: &Window<'_>) -> Result<usize> {
        assert!(self.writable);
        let n = self.len.min(from.len);
        // SAFETY: both windows are mappings for this.
        some_of(n, unsafe { copy::copy(self.ptr, from.ptr, n) })
    }

    /// Fills the window, which is of physmem, with zeros.
    pub fn zero(&self) {
        assert!(self.writable);
        // SAFETY: the window is valid and writable.
        unsafe { std::ptr::write_bytes(self.ptr, 0, self.len) };
    }

    /// The 32-bit word at the window's start, loaded atomically. None when the window is too short
    /// or misaligned, or its memory missing.
    pub fn load_u32(&self) -> Option<u32> {
        // SAFETY: the window is a mapping for this, long enough, and aligned.
        if self.has_word() { unsafe { copy::load(self.ptr.cast()) } } else { None }
    }

    /// Replaces the 32-bit word at the window's start atomically if it is `expected`. Returns what
    /// it was; None as for `load_u32`.
    pub fn compare_exchange_u32(&self, expected: u32, new: u32) -> Option<u32> {
        assert!(self.writable);
        // SAFETY: as in `load_u32`, and the window is writable.
        if self.has_word() { unsafe { copy::compare_exchange(self.ptr.cast(), expected, new) } } else { None }
    }

    /// Sees to it that the window's memory is mapped in this process: the host does not do it for a
    /// system call, and a file that was mapped for several processes may be missing in this one.
    /// Such a file comes back whole.
    fn bring(&self) {
        if SHARED.load(Relaxed) && self.len > 0 {
            let mut byte = 0;
            // SAFETY: the window is a mapping for this. That its memory may be missing for good is
            // the system call's affair.
            unsafe { copy::copy(&raw mut byte, self.ptr, 1) };
        }
    }

    fn has_word(&self) -> bool {
        self.len >= 4 && (self.ptr as usize).is_multiple_of(4)
    }

    /// pread(2) (or read(2) without an offset) from a host file into the window.
    pub fn read_from(&self, fd: BorrowedFd<'_>, offset: Option<u64>) -> Result<usize> {
        assert!(self.writable);
        self.bring();
        // SAFETY: the window is valid for writing `len` bytes.
        let n = unsafe {
            match offset {
                Some(offset) => libc::pread(fd.as_raw_fd(), self.ptr.cast(), self.len, offset as i64),
                None => libc::read(fd.as_raw_fd(), self.ptr.cast(), self.len),
            }
        };
        Ok(Errno::check(n as i64)? as usize)
    }

    /// recv(2) without waiting, from a host socket into the window.
    pub fn receive_from(&self, fd: BorrowedFd<'_>) -> Result<usize> {
        assert!(self.writable);
        self.bring();
        // SAFETY: the window is valid for writing `len` bytes.
        let n = unsafe { libc::recv(fd.as_raw_fd(), self.ptr.cast(), self.len, libc::MSG_DONTWAIT) };
        Ok(Errno::check(n as i64)? as usize)
    }

    /// send(2) without waiting and without SIGPIPE, from the window to a host socket.
    pub fn send_to(&self, fd: BorrowedFd<'_>) -> Result<usize> {
        self.bring();
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the window is valid for reading `len` bytes.
        let n = unsafe { libc::send(fd.as_raw_fd(), self.ptr.cast(), self.len, flags) };
        Ok(Errno::check(n as i64)? as usize)
    }

    /// pwrite(2) (or write(2) without an offset) from the window into a host file.
    pub fn write_to(&self, fd: BorrowedFd<'_>, offset: Option<u64>) -> Result<usize> {
        self.bring();
        // SAFETY: the window is valid for reading `len` bytes.
        let n = unsafe {
            match offset {
                Some(offset) => libc::pwrite(fd.as_raw_fd(), self.ptr.cast(), self.len, offset as i64),
                None => libc::write(fd.as_raw_fd(), self.ptr.cast(), self.len),
            }
        };
        Ok(Errno::check(n as i64)? as usize)
    }
}

/// A copy of `n` bytes of which `copied` were possible.
fn some_of(n: usize, copied: usize) -> Result<usize> {
    if copied == 0 && n > 0 { Err(Errno::EFAULT) } else { Ok(copied) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_found_between_holes_and_no_further_than_asked_for() {
        let memory = SharedMemory::new(c"data", 4096 * PAGE).unwrap();
        for pages in [3..5, 10..11, 600..1700, 2000..2001] {
            for page in pages {
                memory.window(page * PAGE, 1).write(&[1]).unwrap();
            }
        }
        let found = |from: usize, to: usize| {
            let data = memory.data(from * PAGE, to * PAGE);
            data.map(|(from, to)| (from / PAGE, to / PAGE)).collect::<Vec<_>>()
        };
        assert_eq!(found(0, 4096), [(3, 5), (10, 11), (600, 1700), (2000, 2001)]);
        assert_eq!(found(4, 1000), [(4, 5), (10, 11), (600, 1000)]);
        assert_eq!(found(11, 600), []);
        assert_eq!(found(1699, 1700), [(1699, 1700)]);
        memory.punch(700 * PAGE, 10 * PAGE);
        assert_eq!(found(650, 1650), [(650, 700), (710, 1650)]);
    }

    /// As much as the host allows one process, in every second page from `first` on.
    fn fill_up(first: usize) {
        for at in (first..).step_by(2 * PAGE) {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            // SAFETY: new mappings where there are none.
            if unsafe { libc::mmap(at as *mut _, PAGE, libc::PROT_READ, flags, -1, 0) } == libc::MAP_FAILED {
                return;
            }
        }
    }

    #[test]
    fn the_core_maps_where_a_guest_has_as_many_mappings_as_there_can_be() {
        const GUEST: usize = 1 << 32;
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        // SAFETY: the child, which has the calling thread alone, makes mappings in its own address
        // space, and ends.
        let status = unsafe {
            let child = libc::fork();
            if child == 0 {
                share_with_children(1 << 46, 1 << 45, 1 << 45);
                let memory = SharedMemory::new(c"anew", 4 * PAGE).unwrap();
                memory.window(PAGE, 1).write(&[7]).unwrap();
                fill_up(GUEST);
                memory.map_anew();
                let mut byte = [0];
                let kept = memory.window(PAGE, 1).read(&mut byte).is_ok() && byte == [7];
                fill_up(GUEST);
                let first = FileMapping::map(file.as_fd(), libc::PROT_READ, libc::MAP_PRIVATE);
                unmap_files();
                fill_up(GUEST);
                let again = first.is_ok_and(|file| map_missing(file.base as usize));
                libc::_exit(if kept && again { 0 } else { 1 });
            }
            let mut status = 0;
            libc::waitpid(child, &raw mut status, 0);
            status
        };
        assert_eq!(status, 0, "how the child ended");
    }
}
