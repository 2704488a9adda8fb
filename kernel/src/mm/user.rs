//! Guest memory as system calls see it: addresses that are only allegations.

use super::space::{AddressSpace, Rights};
use super::window::GuestWindow;
use crate::{Errno, Result};
use abi::number::{Low, to_usize};
use smallvec::SmallVec;
use std::sync::Arc;
pub use umlab_abi::Plain;
use umlab_host::memory::Window;
use umlab_model::PAGE_SIZE;

/// The bytes of a plain value.
pub fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    value.as_bytes()
}

/// A plain value's bytes, to be filled in.
pub fn bytes_of_mut<T: Plain>(value: &mut T) -> &mut [u8] {
    value.as_mut_bytes()
}

/// A plain value of all zero bytes.
pub fn zeroed<T: Plain>() -> T {
    T::new_zeroed()
}

/// Longest transfer of one read or write, as Linux cuts it (MAX_RW_COUNT).
pub const MAX_TRANSFER: usize = 0x7fff_f000;
/// No guest address is this high, whatever the model leaves of the space below.
const USER_END: u64 = 1 << 47;
/// Strings are read by this many bytes, a part of a page: most are shorter.
const STRING_CHUNK: usize = 256;
/// IOV_MAX.
const MAX_SEGMENTS: usize = 1024;

impl AddressSpace {
    /// Copies a value from guest memory; EFAULT when any of it cannot be read.
    pub fn read<T: Plain>(&self, addr: u64) -> Result<T> {
        let mut value = zeroed();
        self.read_bytes(addr, bytes_of_mut(&mut value))?;
        Ok(value)
    }

    /// Copies a value to guest memory; EFAULT when any of it cannot be written.
    pub fn write<T: Plain>(&self, addr: u64, value: &T) -> Result<()> {
        self.write_bytes(addr, bytes_of(value))
    }

    /// Fills `out`, or EFAULT.
    pub fn read_bytes(&self, addr: u64, out: &mut [u8]) -> Result<()> {
        fill_by(addr, out, |at, out| self.copy_in(at, out, Rights::Own))
    }

    /// Writes all of `bytes`, or EFAULT (a part may have been written).
    pub fn write_bytes(&self, addr: u64, bytes: &[u8]) -> Result<()> {
        store_by(addr, bytes, |at, bytes| self.copy_out(at, bytes, Rights::Own))
    }

    /// As `read_bytes`, for a tracer: no rights are needed.
    pub fn peek(&self, addr: u64, out: &mut [u8]) -> Result<()> {
        fill_by(addr, out, |at, out| self.copy_in(at, out, Rights::Tracer))
    }

    /// As `write_bytes`, for a tracer: private memory need not be writable. What user code may only
    /// read becomes the address space's own copy first, so that nobody else finds it changed.
    pub fn poke(&self, addr: u64, bytes: &[u8]) -> Result<()> {
        store_by(addr, bytes, |at, bytes| self.copy_out(at, bytes, Rights::Tracer))
    }

    /// A slice of `count` values.
    pub fn read_array<T: Plain>(&self, addr: u64, count: usize) -> Result<Vec<T>> {
        let mut values = vec![zeroed(); count];
        for (i, value) in values.iter_mut().enumerate() {
            self.read_bytes(addr.wrapping_add((i * size_of::<T>()) as u64), bytes_of_mut(value))?;
        }
        Ok(values)
    }

    /// A NUL-terminated string without its NUL. `too_long` when there is none within `max` bytes.
    pub fn read_string(&self, addr: u64, max: usize, too_long: Errno) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        while out.len() < max {
            let at = addr.wrapping_add(out.len() as u64);
            let mut chunk = [0u8; STRING_CHUNK];
            // Within a page, so that nothing beyond the string's last one is asked for.
            let want = (max - out.len()).min(STRING_CHUNK - to_usize(at) % STRING_CHUNK);
            let n = self.copy_in(at, &mut chunk[..want], Rights::Own)?;
            if let Some(end) = chunk[..n].iter().position(|&byte| byte == 0) {
                out.extend_from_slice(&chunk[..end]);
                return Ok(out);
            }
            out.extend_from_slice(&chunk[..n]);
        }
        Err(too_long)
    }

    /// A path: at most PATH_MAX with its NUL, else ENAMETOOLONG.
    pub fn read_path(&self, addr: u64) -> Result<Vec<u8>> {
        self.read_string(addr, abi::PATH_MAX as usize, Errno::ENAMETOOLONG)
    }
}

/// Fills `out` by `copy`, which fills some of what is left of it from an address on.
#[inline]
fn fill_by(addr: u64, out: &mut [u8], copy: impl Fn(u64, &mut [u8]) -> Result<usize>) -> Result<()> {
    let mut done = 0;
    while done < out.len() {
        done += copy(addr.wrapping_add(done as u64), &mut out[done..])?;
    }
    Ok(())
}

/// As `fill_by`, in the other direction.
#[inline]
fn store_by(addr: u64, bytes: &[u8], copy: impl Fn(u64, &[u8]) -> Result<usize>) -> Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        done += copy(addr.wrapping_add(done as u64), &bytes[done..])?;
    }
    Ok(())
}

/// EFAULT for a range that no guest could have. System calls that move bytes check the whole length
/// they are given, before it is cut.
pub fn check_range(addr: u64, len: u64) -> Result<()> {
    match addr.checked_add(len) {
        Some(end) if end <= USER_END => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// The address and length of each segment of a guest iovec array, cut where the sum would be too
/// large for one transfer. The count is a C unsigned int.
///
/// # Errors
/// EINVAL for too many segments, or lengths that make no sense; EFAULT for what no guest could
/// have.
pub fn user_segments(space: &AddressSpace, iov: u64, count: u64) -> Result<SmallVec<[(u64, usize); 8]>> {
    let count = count.low_u32() as usize;
    if count > MAX_SEGMENTS {
        return Err(Errno::EINVAL);
    }
    let mut segments = SmallVec::new();
    let mut total = 0usize;
    for [addr, len] in space.read_array::<[u64; 2]>(iov, count)? {
        if len > i64::MAX as u64 {
            return Err(Errno::EINVAL);
        }
        check_range(addr, len)?;
        let len = to_usize(len).min(MAX_TRANSFER - total);
        total += len;
        segments.push((addr, len));
    }
    Ok(segments)
}

enum Memory<'a> {
    Kernel(&'a mut [u8]),
    KernelConst(&'a [u8]),
    User { addr: u64, len: usize },
}

/// Where a read puts its bytes or a write takes them from: guest memory in one or more segments, or
/// the core's own.
pub struct IoBuf<'a> {
    space: Option<Arc<AddressSpace>>,
    segments: SmallVec<[Memory<'a>; 1]>,
    /// The segment we are in, and how much of it is done.
    at: (usize, usize),
    remaining: usize,
    done: usize,
    /// How many bytes from here on are moved in pieces while nothing changes the address space: see
    /// [`IoBuf::in_pieces`].
    pieces: usize,
    /// What was reached for the last of those pieces, which most of the others lie in too.
    held: Option<Held>,
}

/// A window to guest memory, and which bytes of which segment it shows.
struct Held {
    window: GuestWindow,
    segment: usize,
    start: usize,
    write: bool,
}

impl Held {
    fn shows(&self, segment: usize, offset: usize, write: bool) -> bool {
        let within = (self.start..self.start + self.window.len()).contains(&offset);
        within && segment == self.segment && (self.write || !write)
    }
}

impl<'a> IoBuf<'a> {
    fn new(space: Option<Arc<AddressSpace>>, segments: SmallVec<[Memory<'a>; 1]>) -> IoBuf<'a> {
        let remaining = segments.iter().map(Memory::len).sum::<usize>().min(MAX_TRANSFER);
        let mut buf = IoBuf { space, segments, at: (0, 0), remaining, done: 0, pieces: 0, held: None };
        // Past empty segments.
        buf.advance(0);
        buf
    }

    /// Guest memory. The range is judged when it is used.
    pub fn user(space: &Arc<AddressSpace>, addr: u64, len: usize) -> IoBuf<'static> {
        IoBuf::new(Some(space.clone()), SmallVec::from_buf([Memory::User { addr, len: len.min(MAX_TRANSFER) }]))
    }

    /// The segments of a guest iovec array; EINVAL for too many, or lengths that make no sense.
    pub fn user_vector(space: &Arc<AddressSpace>, iov: u64, count: u64) -> Result<IoBuf<'static>> {
        let segments = user_segments(space, iov, count)?.into_iter().map(|(addr, len)| Memory::User { addr, len });
        Ok(IoBuf::new(Some(space.clone()), segments.collect()))
    }

    /// The core's own memory, to be filled by a read.
    pub fn kernel_mut(bytes: &'a mut [u8]) -> IoBuf<'a> {
        IoBuf::new(None, SmallVec::from_buf([Memory::Kernel(bytes)]))
    }

    /// The core's own memory, to be taken by a write.
    pub fn kernel(bytes: &'a [u8]) -> IoBuf<'a> {
        IoBuf::new(None, SmallVec::from_buf([Memory::KernelConst(bytes)]))
    }

    /// Bytes still to go.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Bytes done so far.
    pub fn done(&self) -> usize {
        self.done
    }

    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// Bytes to go that lie in one page of one segment.
    pub fn in_this_page(&self) -> usize {
        let (index, offset) = self.at;
        let Some(segment) = self.segments.get(index) else { return 0 };
        let start = match segment {
            Memory::User { addr, .. } => addr.wrapping_add(offset as u64),
            Memory::Kernel(_) | Memory::KernelConst(_) => offset as u64,
        };
        let in_page = to_usize(PAGE_SIZE - start % PAGE_SIZE);
        in_page.min(segment.len() - offset).min(self.remaining)
    }

    /// Bytes to go in one segment.
    pub fn in_this_segment(&self) -> usize {
        let (index, offset) = self.at;
        self.segments.get(index).map_or(0, |segment| segment.len() - offset).min(self.remaining)
    }

    /// No more than `max` further bytes.
    pub fn limit(&mut self, max: usize) {
        self.remaining = self.remaining.min(max);
    }

    /// Runs `f` on no more than the next `max` bytes, of which none are done yet.
    pub fn step<T>(&mut self, max: usize, f: impl FnOnce(&mut IoBuf<'a>) -> T) -> T {
        let later = self.remaining.saturating_sub(max);
        let before = std::mem::take(&mut self.done);
        self.remaining -= later;
        let result = f(self);
        self.remaining += later;
        self.done += before;
        result
    }

    /// Runs `f`, which moves about `len` bytes in many small pieces: guest memory is looked up once
    /// for all that lie together. The big lock cannot drop after the first piece until `f` returns.
    pub fn in_pieces<T>(&mut self, len: usize, f: impl FnOnce(&mut IoBuf<'a>) -> T) -> T {
        self.pieces = len.min(self.remaining);
        let result = f(self);
        (self.pieces, self.held) = (0, None);
        result
    }

    /// Puts bytes in, as a read does: as many as fit. EFAULT when not even the first can be.
    pub fn put(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut copied = 0;
        while copied < bytes.len() && self.remaining > 0 {
            let n = match self.piece(bytes.len() - copied, true) {
                Ok(Piece::Guest(space, at, len)) => {
                    match space.copy_out(at, &bytes[copied..copied + len], Rights::Own) {
                        Err(_) if copied > 0 => return Ok(copied),
                        result => result?,
                    }
                }
                Ok(Piece::Window(w)) => match w.write(&bytes[copied..]) {
                    Err(_) if copied > 0 => return Ok(copied),
                    result => result?,
                },
                Ok(Piece::Kernel(k)) => {
                    k.copy_from_slice(&bytes[copied..copied + k.len()]);
                    k.len()
                }
                Ok(Piece::KernelConst(_)) => return Err(Errno::EFAULT),
                Err(_) if copied > 0 => return Ok(copied),
                Err(e) => return Err(e),
            };
            self.advance(n);
            copied += n;
        }
        Ok(copied)
    }

    /// Puts in all of the bytes, for which there must be room, or fails with EFAULT (a part may
    /// have been put in).
    pub fn put_all(&mut self, bytes: &[u8]) -> Result<()> {
        if self.put(bytes)? < bytes.len() { Err(Errno::EFAULT) } else { Ok(()) }
    }

    /// Takes bytes out, as a write does: as many as there are. EFAULT when not even the first can
    /// be.
    pub fn take(&mut self, out: &mut [u8]) -> Result<usize> {
        let mut copied = 0;
        while copied < out.len() && self.remaining > 0 {
            let want = out.len() - copied;
            let n = match self.piece(want, false) {
                Ok(Piece::Guest(space, at, len)) => {
                    match space.copy_in(at, &mut out[copied..copied + len], Rights::Own) {
                        Err(_) if copied > 0 => return Ok(copied),
                        result => result?,
                    }
                }
                Ok(Piece::Window(w)) => match w.read(&mut out[copied..]) {
                    Err(_) if copied > 0 => return Ok(copied),
                    result => result?,
                },
                Ok(Piece::Kernel(k)) => {
                    out[copied..copied + k.len()].copy_from_slice(k);
                    k.len()
                }
                Ok(Piece::KernelConst(k)) => {
                    out[copied..copied + k.len()].copy_from_slice(k);
                    k.len()
                }
                Err(_) if copied > 0 => return Ok(copied),
                Err(e) => return Err(e),
            };
            self.advance(n);
            copied += n;
        }
        Ok(copied)
    }

    /// Everything that is left, as the core's own bytes; at most `max`.
    pub fn take_vec(&mut self, max: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.remaining.min(max)];
        let n = self.take(&mut bytes)?;
        bytes.truncate(n);
        Ok(bytes)
    }

    /// Lets `f` read into, or write from, the next bytes directly; `f` says how many it used. Bytes
    /// of the core's own go through `f` as a window too. `write` says that the memory is written to
    /// (a read(2)).
    pub fn with_window(
        &mut self,
        max: usize,
        write: bool,
        f: impl FnOnce(Window<'_>) -> Result<usize>,
    ) -> Result<usize> {
        let n = match self.piece(max, write)? {
            Piece::Guest(space, at, len) => f(space.window(at, len, write)?.get())?,
            Piece::Window(w) => f(w)?,
            Piece::Kernel(k) => f(Window::of_mut(k))?,
            Piece::KernelConst(k) if !write => f(Window::of(k))?,
            Piece::KernelConst(_) => return Err(Errno::EFAULT),
        };
        self.advance(n);
        Ok(n)
    }

    fn piece(&mut self, max: usize, write: bool) -> Result<Piece<'_>> {
        let (index, offset) = self.at;
        let max = max.min(self.remaining);
        let Some(segment) = self.segments.get_mut(index) else { return Ok(Piece::KernelConst(&[])) };
        Ok(match segment {
            Memory::Kernel(bytes) => {
                let end = bytes.len().min(offset + max);
                Piece::Kernel(&mut bytes[offset..end])
            }
            Memory::KernelConst(bytes) => Piece::KernelConst(&bytes[offset..bytes.len().min(offset + max)]),
            Memory::User { addr, len } => {
                let space = self.space.as_ref().ok_or(Errno::EFAULT)?;
                let (at, left) = (addr.wrapping_add(offset as u64), *len - offset);
                let held = match self.held.take() {
                    Some(held) if held.shows(index, offset, write) => held,
                    _ if self.pieces <= max => return Ok(Piece::Guest(space, at, max.min(left))),
                    _ => {
                        let window = space.window(at, self.pieces.min(left), write)?;
                        Held { window, segment: index, start: offset, write }
                    }
                };
                let held = self.held.insert(held);
                Piece::Window(held.window.get().slice(offset - held.start, max.min(left)))
            }
        })
    }

    /// Counts bytes as done.
    fn advance(&mut self, mut n: usize) {
        self.remaining -= n;
        self.done += n;
        self.pieces = self.pieces.saturating_sub(n);
        while let Some(segment) = self.segments.get(self.at.0) {
            let left = segment.len() - self.at.1;
            if n < left {
                self.at.1 += n;
                return;
            }
            n -= left;
            self.at = (self.at.0 + 1, 0);
        }
    }
}

/// The next bytes of a buffer.
enum Piece<'b> {
    /// Guest memory that is yet to be found: where, and at most how many bytes.
    Guest(&'b AddressSpace, u64, usize),
    /// Guest memory that is held for later pieces too.
    Window(Window<'b>),
    Kernel(&'b mut [u8]),
    KernelConst(&'b [u8]),
}

impl Memory<'_> {
    fn len(&self) -> usize {
        match self {
            Memory::Kernel(bytes) => bytes.len(),
            Memory::KernelConst(bytes) => bytes.len(),
            Memory::User { len, .. } => *len,
        }
    }
}
