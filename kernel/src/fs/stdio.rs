//! The streams that `uml` was started with, as guest files.
//!
//! Pipes, files and sockets are used by host calls on the descriptor itself, so end of file, broken
//! pipes and the shared file position mean in the guest what they mean outside. When both input and
//! output are a terminal, the guest gets a terminal of its own instead (see
//! [`crate::tty::console`]).

use crate::lock::KCell;
use crate::mm::invalidate::{Gone, Mappers};
use crate::mm::object::{HostFile, MapObject};
use crate::mm::{IoBuf, PAGE_SIZE};
use crate::sched::events::{HostReady, Watch};
use crate::sched::wait::{WaitQueue, wait_on};
use crate::vfs::file::{Events, FileOps, OpenFile};
use crate::vfs::inode::{Attr, FileKind, Inode, InodeRef, InodeState, SetAttr, Timestamp};
use crate::{Errno, Result};
use abi::number::Low;
use smallvec::{SmallVec, smallvec};
use std::any::Any;
use std::sync::Arc;
use umlab_host::stream::{self, Stream};
use umlab_host::terminal;
use umlab_model::Prot;

/// What one of the guest's first three descriptors is.
pub enum Standard {
    /// It was closed when `uml` was started.
    Closed,
    /// The guest's own terminal, /dev/console.
    Console,
    /// A host stream: its inode and operations, the flags it was opened with, and its position.
    Stream { inode: InodeRef, ops: Arc<dyn FileOps>, flags: i32, position: u64 },
    /// The same open file description as an earlier descriptor.
    SameAs(usize),
}

/// What descriptors 0, 1 and 2 of the guest's command are to be. Called once, by boot.
pub fn standard_streams() -> [Standard; 3] {
    let mut streams: [Option<Stream>; 3] = [0, 1, 2].map(Stream::standard);
    let interactive = |n: usize| streams[n].as_ref().is_some_and(Stream::is_terminal);
    let console = interactive(0) && interactive(1);
    let mut out = [const { Standard::Closed }; 3];
    for n in 0..3 {
        let Some(stream) = streams[n].take() else { continue };
        if console && stream.is_terminal() {
            out[n] = Standard::Console;
            continue;
        }
        let number = n.low_i32();
        if let Some(same) =
            (0..n).find(|&m| matches!(out[m], Standard::Stream { .. }) && stream::same_description(m.low_i32(), number))
        {
            out[n] = Standard::SameAs(same);
            continue;
        }
        let flags = stream.flags() & (abi::O_ACCMODE | abi::O_APPEND);
        let position = if stream.seekable() { stream.position() } else { 0 };
        // Messages of our own still go to standard error.
        let number = (n < 2).then_some(number);
        let shared = Arc::new(Shared { stream, number, mappers: Default::default() });
        let inode: InodeRef = Arc::new(StreamInode { shared: shared.clone(), state: InodeState::default() });
        let ops = HostStream::new(shared, Some(position));
        out[n] = Standard::Stream { inode, ops, flags, position };
    }
    out
}

struct Shared {
    stream: Stream,
    number: Option<i32>,
    mappers: Arc<Mappers>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The guest closed it for good: whoever is at the other end is to see that.
        if let Some(number) = self.number {
            stream::abandon(number);
        }
    }
}

/// An open file on a host stream.
struct HostStream {
    shared: Arc<Shared>,
    queue: WaitQueue,
    watch: KCell<Option<Watch>>,
    armed: KCell<u32>,
    /// Where the host's file position stands as far as we know; None when this open file has a
    /// position of its own.
    host_position: KCell<Option<u64>>,
}

impl HostReady for HostStream {
    fn ready(&self, events: u32) {
        self.armed.set(0);
        self.queue.wake(events);
    }
}

impl HostStream {
    fn new(shared: Arc<Shared>, host_position: Option<u64>) -> Arc<HostStream> {
        let ops = Arc::new(HostStream {
            shared,
            queue: WaitQueue::new(),
            watch: KCell::new(None),
            armed: KCell::new(0),
            host_position: KCell::new(host_position),
        });
        let target: Arc<dyn HostReady> = ops.clone();
        ops.watch.set(Some(Watch::new(&target)));
        ops
    }

    fn stream(&self) -> &Stream {
        &self.shared.stream
    }

    /// Has the queue woken when one of `events` comes.
    fn arm(&self, events: u32) {
        let wanted = self.armed.get() | events;
        if wanted != self.armed.get()
            && let Some(watch) = &*self.watch.borrow()
            && watch.arm(self.stream().fd(), wanted).is_ok()
        {
            self.armed.set(wanted);
        }
    }

    /// Sleeps until a call may get on, or fails with EAGAIN for a nonblocking file.
    fn wait(&self, file: &OpenFile, poll: i16) -> Result<()> {
        if file.nonblocking() {
            return Err(Errno::EAGAIN);
        }
        wait_on(&self.queue, || {
            let ready = self.stream().poll(poll) != 0;
            if !ready {
                self.arm(u32::from(poll.cast_unsigned()));
            }
            ready.then_some(())
        })
    }

    /// Brings the host's file position to the guest's, for a call at that position. False: the call
    /// is pread or pwrite, or the position is the guest's alone.
    fn at_position(&self, file: &OpenFile, offset: u64) -> Result<bool> {
        let Some(known) = self.host_position.get() else { return Ok(false) };
        if file.position.get() != offset {
            return Ok(false);
        }
        if known != offset {
            self.stream().seek(i64::try_from(offset).map_err(|_| Errno::EINVAL)?, abi::SEEK_SET)?;
            self.host_position.set(Some(offset));
        }
        Ok(true)
    }

    fn moved(&self, n: usize) {
        let position = self.host_position.get().map(|p| p + n as u64);
        self.host_position.set(position);
    }

    fn read_file(&self, file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        let shared = self.at_position(file, offset)?;
        while !buf.is_empty() {
            let at = offset + buf.done() as u64;
            let step = buf.with_window(usize::MAX, true, |window| match shared {
                true => self.stream().read(window),
                false => window.read_from(self.stream().fd(), Some(at)),
            });
            match step {
                Ok(0) => break,
                Ok(n) if shared => self.moved(n),
                Ok(_) => {}
                Err(_) if buf.done() > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(buf.done())
    }

    fn write_file(&self, file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        let shared = self.at_position(file, offset)? || self.stream().flags() & abi::O_APPEND != 0;
        while !buf.is_empty() {
            let at = offset + buf.done() as u64;
            let step = buf.with_window(usize::MAX, false, |window| match shared {
                true => self.stream().write(window),
                false => window.write_to(self.stream().fd(), Some(at)),
            });
            match step {
                Ok(0) => break,
                Ok(n) if shared => self.moved(n),
                Ok(_) => {}
                Err(_) if buf.done() > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(buf.done())
    }

    /// Writes as much as goes without waiting; what is at most a pipe's atomic size goes as one.
    fn write_some(&self, buf: &mut IoBuf<'_>, chunk: &mut Chunk) -> Result<()> {
        if chunk.is_empty() && buf.remaining() > chunk.bytes.len() {
            buf.with_window(usize::MAX, false, |window| self.stream().write(window))?;
            return Ok(());
        }
        if chunk.is_empty() {
            chunk.end = buf.take(&mut chunk.bytes)?;
            chunk.start = 0;
        }
        let rest = umlab_host::memory::Window::of(&chunk.bytes[chunk.start..chunk.end]);
        chunk.start += self.stream().write(rest)?;
        Ok(())
    }
}

/// Bytes taken from the guest that the host has not taken yet.
struct Chunk {
    bytes: [u8; 4096],
    start: usize,
    end: usize,
}

impl Chunk {
    fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

impl FileOps for HostStream {
    fn read(&self, file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        if self.stream().seekable() {
            return self.read_file(file, buf, offset);
        }
        while !buf.is_empty() {
            match buf.with_window(usize::MAX, true, |window| self.stream().read(window)) {
                Err(Errno::EAGAIN) => self.wait(file, abi::POLLIN)?,
                other => return other,
            }
        }
        Ok(0)
    }

    fn write(&self, file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        if self.stream().seekable() {
            return self.write_file(file, buf, offset);
        }
        let mut chunk = Chunk { bytes: [0; 4096], start: 0, end: 0 };
        let mut result = Ok(());
        while result.is_ok() && !(buf.is_empty() && chunk.is_empty()) {
            result = match self.write_some(buf, &mut chunk) {
                Err(Errno::EAGAIN) => self.wait(file, abi::POLLOUT),
                other => other,
            };
        }
        if result == Err(Errno::EPIPE) {
            crate::task::signal::send_sigpipe();
        }
        match buf.done() - (chunk.end - chunk.start) {
            0 => result.map(|()| 0),
            done => Ok(done),
        }
    }

    fn seekable(&self) -> bool {
        self.stream().seekable()
    }

    fn seek_special(&self, _file: &OpenFile, offset: i64, whence: i32) -> Result<u64> {
        // The host's position moves with it; the next read or write sets it to the guest's.
        let position = self.stream().seek(offset, whence)?;
        if self.host_position.get().is_some() {
            self.host_position.set(Some(position));
        }
        Ok(position)
    }

    fn poll(&self, file: &OpenFile) -> Events {
        let mut wanted = 0;
        if file.readable() {
            wanted |= abi::POLLIN;
        }
        if file.writable() {
            wanted |= abi::POLLOUT;
        }
        let found = self.stream().poll(wanted);
        let missing = wanted & !found;
        if missing != 0 {
            self.arm(u32::from(missing.cast_unsigned()));
        }
        let mut events = Events::from_bits_truncate(u32::from(found.cast_unsigned()));
        if events.contains(Events::IN) {
            events |= Events::RDNORM;
        }
        if events.contains(Events::OUT) {
            events |= Events::WRNORM;
        }
        events
    }

    fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        (!self.stream().seekable()).then(|| smallvec![&self.queue])
    }

    fn ioctl(&self, _file: &OpenFile, command: u32, arg: u64) -> Result<u64> {
        let task = &crate::task::current();
        match command {
            abi::FIONREAD => {
                let count = self.stream().readable_bytes()?;
                task.space().write(arg, &count)?;
            }
            // Enough for a program to see that it writes to a terminal, and how wide that is. As
            // input it is a plain stream: nobody edits lines twice.
            abi::TCGETS if self.shared.number != Some(0) => {
                let settings = terminal::settings(self.stream().fd())?;
                task.space().write(arg, &crate::tty::termios::Termios::of_host(&settings).to_kernel())?;
            }
            abi::TIOCGWINSZ => task.space().write(arg, &crate::tty::window_of(terminal::size(self.stream().fd())?))?,
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    fn map(&self, _file: &OpenFile, _prot: Prot, _shared: bool) -> Result<MapObject> {
        if !self.stream().seekable() {
            return Err(Errno::ENODEV);
        }
        let fd = self.stream().duplicate()?;
        Ok(MapObject::Host(HostFile::new(fd, Some(self.shared.mappers.clone()))))
    }

    fn fsync(&self, _file: &OpenFile, _data_only: bool) -> Result<()> {
        self.stream().sync()
    }

    fn descriptor_closed(&self, file: &OpenFile) {
        // Leave the host's position where the guest's is, for who reads on after us.
        if self.stream().seekable() {
            let _ = self.at_position(file, file.position.get());
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The inode of a host stream: what fstat(2) tells of it is the host's.
struct StreamInode {
    shared: Arc<Shared>,
    state: InodeState,
}

impl Inode for StreamInode {
    fn state(&self) -> &InodeState {
        &self.state
    }

    fn link_text(&self) -> Option<Vec<u8>> {
        Some(self.shared.stream.name())
    }

    fn attr(&self) -> Result<Attr> {
        let stat = self.shared.stream.stat()?;
        let time = |sec: i64, nsec: u64| Timestamp::from(sec) * 1_000_000_000 + Timestamp::from(nsec);
        Ok(Attr {
            dev: stat.st_dev,
            ino: stat.st_ino,
            kind: FileKind::from_mode(stat.st_mode),
            mode: stat.st_mode & 0o7777,
            nlink: stat.st_nlink.low_u32(),
            uid: stat.st_uid,
            gid: stat.st_gid,
            rdev: stat.st_rdev,
            size: stat.st_size.cast_unsigned(),
            blocks: stat.st_blocks.cast_unsigned(),
            block_size: stat.st_blksize.low_u32(),
            atime: time(stat.st_atime, stat.st_atime_nsec),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            btime: None,
        })
    }

    fn kind(&self) -> FileKind {
        self.shared.stream.stat().map_or(FileKind::Fifo, |s| FileKind::from_mode(s.st_mode))
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        let &SetAttr { mode, uid, gid, size, .. } = change;
        if mode.is_some() || uid.is_some() || gid.is_some() {
            return Err(Errno::EPERM);
        }
        match size {
            Some(size) => {
                self.shared.stream.truncate(size)?;
                self.shared.mappers.invalidate(size.div_ceil(PAGE_SIZE), u64::MAX / PAGE_SIZE, Gone::Cut);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn open(self: Arc<Self>, _flags: i32) -> Result<Arc<dyn FileOps>> {
        if self.kind() == FileKind::Socket {
            return Err(Errno::ENXIO);
        }
        Ok(HostStream::new(self.shared.clone(), None))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
