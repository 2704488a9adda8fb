//! Pipes and named pipes (pipe(7), fifo(7)).
//!
//! Nearly every program run by a shell or by make reads or writes one, and make hands out its job
//! slots through one, so the rules here are exact: which writes are atomic, when poll(2) says what,
//! who is woken, who gets SIGPIPE.

mod buffer;
pub mod fifo;
pub mod splice;

pub use fifo::{Fifo, open_fifo, reopen};

use crate::lock::KCell;
use crate::mm::IoBuf;
use crate::sched::wait::{WaitQueue, wait_exclusive};
use crate::task::Task;
use crate::vfs::anon::{AnonInode, AnonKind, Reopen};
use crate::vfs::file::{Events, FileOps, OpenFile};
use crate::vfs::inode::InodeRef;
use crate::{Errno, Result};
use abi::number::{Low, to_usize};
use buffer::Buffer;
use buffer::Mode;
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Buffers of a new pipe, a page each.
const DEFAULT_SLOTS: usize = 16;
/// Buffers of a new pipe when there are very many.
const SCARCE_SLOTS: usize = 2;
/// Buffers that all pipes together may have before new ones get few.
const SOFT_LIMIT: usize = 16384;
/// /proc/sys/fs/pipe-max-size.
static MAX_SIZE: AtomicUsize = AtomicUsize::new(1 << 20);

pub fn max_size() -> usize {
    MAX_SIZE.load(Relaxed)
}

/// Sets it to the next power of two pages. EINVAL for what no pipe can have.
pub fn set_max_size(size: i64) -> Result<()> {
    let size = usize::try_from(size).ok().filter(|&size| size <= 1 << 31).ok_or(Errno::EINVAL)?;
    MAX_SIZE.store(size.max(1).div_ceil(PAGE).next_power_of_two() * PAGE, Relaxed);
    Ok(())
}
const PAGE: usize = 4096;

const READABLE: u32 = Events::IN.union(Events::RDNORM).bits();
const WRITABLE: u32 = Events::OUT.union(Events::WRNORM).bits();
const CLOSED: u32 = Events::ERR.union(Events::HUP).bits();

/// Buffers of all pipes.
static TOTAL_SLOTS: KCell<usize> = KCell::new(0);

/// A pipe: what its two ends share.
pub struct Pipe {
    state: KCell<State>,
    /// Readers that wait for bytes, or for the last writer to go.
    readable: WaitQueue,
    /// Writers that wait for room, or for the last reader to go.
    writable: WaitQueue,
    /// Who waits in open(2) for the other end of a named pipe.
    opened: WaitQueue,
}

struct State {
    buffer: Buffer,
    readers: u32,
    writers: u32,
    /// How many ends were ever opened: an open that waits sees a partner that came and went.
    reader_opens: u64,
    writer_opens: u64,
}

impl Pipe {
    pub fn new() -> Pipe {
        let mut total = TOTAL_SLOTS.borrow_mut();
        let slots = if *total + DEFAULT_SLOTS > SOFT_LIMIT { SCARCE_SLOTS } else { DEFAULT_SLOTS };
        *total += slots;
        let state = State { buffer: Buffer::new(slots), readers: 0, writers: 0, reader_opens: 0, writer_opens: 0 };
        Pipe {
            state: KCell::new(state),
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
            opened: WaitQueue::new(),
        }
    }

    /// read(2), and with `packets` off a vmsplice(2) of the reading end, for which packets are
    /// bytes like others.
    pub fn read(&self, buf: &mut IoBuf<'_>, nonblock: bool, packets: bool) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let (was_full, result) = {
                let mut state = self.state.borrow_mut();
                if !state.buffer.is_empty() {
                    let (was_full, len) = (state.buffer.is_full(), state.buffer.len());
                    (was_full, Some(buf.in_pieces(len, |buf| state.buffer.drain(buf, packets))))
                } else if state.writers == 0 {
                    return Ok(0);
                } else {
                    (false, None)
                }
            };
            if let Some(result) = result {
                let (full, empty) = {
                    let state = self.state.borrow();
                    (state.buffer.is_full(), state.buffer.is_empty())
                };
                if was_full && !full {
                    self.writable.wake_one(WRITABLE);
                }
                if !empty {
                    self.readable.pass_on();
                }
                return result;
            }
            if nonblock {
                return Err(Errno::EAGAIN);
            }
            self.wait_readable()?;
        }
    }

    fn write(&self, buf: &mut IoBuf<'_>, nonblock: bool, mode: Mode) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let mut done = 0;
        let mut first = mode == Mode::Stream;
        loop {
            let step = {
                let mut state = self.state.borrow_mut();
                if state.readers == 0 {
                    Err(Errno::EPIPE)
                } else {
                    let head = if std::mem::take(&mut first) { state.buffer.append_tail(buf) } else { Ok(0) };
                    head.and_then(|head| {
                        let room = state.buffer.room();
                        match buf.in_pieces(room, |buf| state.buffer.fill(buf, mode, false)) {
                            Ok(n) => Ok(head + n),
                            Err(_) if head > 0 => Ok(head),
                            Err(e) => Err(e),
                        }
                    })
                }
            };
            let written = match step {
                Ok(written) => written,
                Err(e) => {
                    if e == Errno::EPIPE {
                        crate::task::signal::send_sigpipe();
                    } else {
                        self.writable.pass_on();
                    }
                    return if done > 0 { Ok(done) } else { Err(e) };
                }
            };
            done += written;
            if written > 0 {
                self.readable.wake_one(READABLE);
            }
            if buf.is_empty() {
                if !self.state.borrow().buffer.is_full() {
                    self.writable.pass_on();
                }
                return Ok(done);
            }
            let wait = if nonblock { Err(Errno::EAGAIN) } else { self.wait_writable() };
            if let Err(e) = wait {
                return if done > 0 { Ok(done) } else { Err(e) };
            }
        }
    }

    /// Sleeps until there are bytes, or no writer.
    fn wait_readable(&self) -> Result<()> {
        wait_exclusive(&self.readable, None, || {
            let state = self.state.borrow();
            (!state.buffer.is_empty() || state.writers == 0).then_some(())
        })
    }

    /// Sleeps until there is a free buffer, or no reader.
    fn wait_writable(&self) -> Result<()> {
        wait_exclusive(&self.writable, None, || {
            let state = self.state.borrow();
            (!state.buffer.is_full() || state.readers == 0).then_some(())
        })
    }

    /// What it can hold, in bytes (F_GETPIPE_SZ).
    pub fn size(&self) -> usize {
        self.state.borrow().buffer.max_slots() * PAGE
    }

    /// F_SETPIPE_SZ. Returns the new size, the next power of two pages.
    ///
    /// # Errors
    /// EPERM above /proc/sys/fs/pipe-max-size for the unprivileged, EBUSY when it holds more than
    /// that now.
    pub fn set_size(&self, size: u64, task: &Task) -> Result<usize> {
        if size > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let size = to_usize(size.max(1)).div_ceil(PAGE).next_power_of_two() * PAGE;
        let mut state = self.state.borrow_mut();
        let (new, old) = (size / PAGE, state.buffer.max_slots());
        if new > old && size > max_size() && !task.creds().capable(abi::CAP_SYS_RESOURCE) {
            return Err(Errno::EPERM);
        }
        if new < state.buffer.used_slots() {
            return Err(Errno::EBUSY);
        }
        let mut total = TOTAL_SLOTS.borrow_mut();
        *total = *total - old + new;
        drop(total);
        let was_full = state.buffer.is_full();
        state.buffer.set_max_slots(new);
        drop(state);
        if was_full && new > old {
            self.writable.wake(WRITABLE);
        }
        Ok(size)
    }

    /// Counts a new open of either side, and wakes who waits for it.
    fn open_end(self: &Arc<Self>, reads: bool, writes: bool) -> PipeEnd {
        let mut state = self.state.borrow_mut();
        if reads {
            state.readers += 1;
            state.reader_opens += 1;
        }
        if writes {
            state.writers += 1;
            state.writer_opens += 1;
        }
        let writers_seen = state.writer_opens;
        drop(state);
        self.opened.wake_all();
        PipeEnd { pipe: self.clone(), reads, writes, quiet_until_writer: KCell::new(None), writers_seen }
    }
}

impl Default for Pipe {
    fn default() -> Self {
        Pipe::new()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        *TOTAL_SLOTS.borrow_mut() -= self.state.borrow().buffer.max_slots();
    }
}

/// The current task's open files of a new pipe's ends, for reading and for writing (pipe2(2)).
pub fn open_pair(flags: i32) -> (Arc<OpenFile>, Arc<OpenFile>) {
    let pipe = Arc::new(Pipe::new());
    let (reader, writer) = (Arc::new(pipe.open_end(true, false)), Arc::new(pipe.open_end(false, true)));
    let creds = crate::task::current().creds();
    let again: Reopen = Box::new(move |flags| reopen(&pipe, flags));
    let inode: InodeRef = AnonInode::make(AnonKind::Pipe, creds.fsuid, creds.fsgid, Some(again));
    (OpenFile::new(reader, inode.clone(), flags | abi::O_RDONLY), OpenFile::new(writer, inode, flags | abi::O_WRONLY))
}

/// The pipe that an open file is an end of.
pub fn of(file: &OpenFile) -> Option<&Arc<Pipe>> {
    file.ops_as::<PipeEnd>().map(|end| &end.pipe)
}

/// An open end of a pipe, or both.
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// Opened for reading without waiting and without a writer: no POLLHUP until one has come
    /// (since this many opens).
    quiet_until_writer: KCell<Option<u64>>,
    writers_seen: u64,
}

impl PipeEnd {
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// Says nothing of a missing writer until the first has come.
    fn expect_writer(&self) {
        self.quiet_until_writer.set(Some(self.writers_seen));
    }
}

impl FileOps for PipeEnd {
    /// From a pipe to a pipe there is a way of its own, but not for sendfile(2).
    fn is_splice_source(&self, _file: &OpenFile) -> bool {
        false
    }

    fn read(&self, file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        self.pipe.read(buf, file.nonblocking(), true)
    }

    fn write(&self, file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        let flags = file.flags.get();
        let mode = if flags & abi::O_DIRECT != 0 { Mode::Packet } else { Mode::Stream };
        self.pipe.write(buf, flags & abi::O_NONBLOCK != 0, mode)
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let state = self.pipe.state.borrow();
        let mut events = Events::empty();
        if self.reads {
            if !state.buffer.is_empty() {
                events |= Events::IN | Events::RDNORM;
            }
            if state.writers == 0 && self.quiet_until_writer.get() != Some(state.writer_opens) {
                events |= Events::HUP;
            }
        }
        if self.writes {
            if !state.buffer.is_full() {
                events |= Events::OUT | Events::WRNORM;
            }
            if state.readers == 0 {
                events |= Events::ERR;
            }
        }
        events
    }

    fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        let mut queues = SmallVec::new();
        if self.reads {
            queues.push(&self.pipe.readable);
        }
        if self.writes {
            queues.push(&self.pipe.writable);
        }
        Some(queues)
    }

    fn ioctl(&self, _file: &OpenFile, command: u32, arg: u64) -> Result<u64> {
        let task = &crate::task::current();
        match command {
            abi::FIONREAD => {
                let len = self.pipe.state.borrow().buffer.len().low_i32();
                task.space().write(arg, &len)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let one_side_left = {
            let mut state = self.pipe.state.borrow_mut();
            state.readers -= u32::from(self.reads);
            state.writers -= u32::from(self.writes);
            (state.readers == 0) != (state.writers == 0)
        };
        if one_side_left {
            self.pipe.readable.wake(READABLE | CLOSED);
            self.pipe.writable.wake(WRITABLE | CLOSED);
        }
    }
}
