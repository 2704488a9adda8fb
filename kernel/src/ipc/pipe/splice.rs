//! Moving bytes between pipes and files without user memory (splice(2), tee(2)).
//!
//! Bytes are copied once through the core: there are no page references to hand over.

use super::{Mode, Pipe, READABLE, WRITABLE};
use crate::mm::IoBuf;
use crate::sched::wait::wait_on;
use crate::vfs::file::{Events, OpenFile};
use crate::vfs::inode::FileKind;
use crate::{Errno, Result};
use std::sync::Arc;

/// Most bytes moved at a time.
const CHUNK: usize = 64 * 1024;
/// What a read would not wait for.
const ENDS_A_READ: Events = Events::IN.union(Events::ERR).union(Events::HUP);

impl Pipe {
    /// From the pipe to what `write` writes to: one chunk at most.
    pub fn splice_to(
        &self,
        len: usize,
        nonblock: bool,
        write: impl FnOnce(&mut IoBuf<'_>) -> Result<usize>,
    ) -> Result<usize> {
        let bytes = loop {
            let bytes = self.state.borrow().buffer.peek(len.min(CHUNK));
            if !bytes.is_empty() {
                break bytes;
            }
            if self.state.borrow().writers == 0 {
                return Ok(0);
            }
            if nonblock {
                return Err(Errno::EAGAIN);
            }
            self.wait_readable()?;
        };
        let n = write(&mut IoBuf::kernel(&bytes))?;
        self.take(n);
        Ok(n)
    }

    /// From a file, at `offset`, into the pipe: one chunk at most.
    pub fn splice_from(&self, file: &OpenFile, offset: u64, len: usize, nonblock: bool) -> Result<usize> {
        let room = self.wait_for_room(nonblock)?;
        if len == 0 {
            return Ok(0);
        }
        if !file.is_splice_source() {
            return Err(Errno::EINVAL);
        }
        // A socket's own wait does not know of this call's flag.
        if nonblock && file.inode.kind() == FileKind::Socket && !file.poll().intersects(ENDS_A_READ) {
            return Err(Errno::EAGAIN);
        }
        let mut bytes = vec![0; len.min(CHUNK).min(room)];
        let n = file.read_at(&mut IoBuf::kernel_mut(&mut bytes), offset)?;
        bytes.truncate(n);
        self.push(&bytes)?;
        Ok(n)
    }

    /// From one pipe to another; `keep` leaves the bytes in the first as well (tee).
    pub fn splice_pipe(self: &Arc<Self>, to: &Arc<Pipe>, len: usize, nonblock: bool, keep: bool) -> Result<usize> {
        if Arc::ptr_eq(self, to) {
            return Err(Errno::EINVAL);
        }
        loop {
            let empty = self.state.borrow().buffer.is_empty();
            if empty {
                if self.state.borrow().writers == 0 {
                    return Ok(0);
                }
                if nonblock {
                    return Err(Errno::EAGAIN);
                }
                self.wait_readable()?;
            }
            to.wait_for_room(nonblock)?;
            let (n, freed) = {
                let (mut here, mut there) = (self.state.borrow_mut(), to.state.borrow_mut());
                let was_full = here.buffer.is_full();
                let n = here.buffer.move_to(&mut there.buffer, len, keep)?;
                (n, was_full && !here.buffer.is_full())
            };
            if n == 0 {
                // Another reader was faster while this one waited for room.
                continue;
            }
            to.readable.wake_one(READABLE);
            self.taken(freed);
            return Ok(n);
        }
    }

    /// vmsplice(2) into the pipe: what fits when there is any room.
    pub fn gift(&self, buf: &mut IoBuf<'_>, nonblock: bool) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.wait_for_room(nonblock)?;
        let n = self.state.borrow_mut().buffer.fill_by_page(buf)?;
        self.readable.wake_one(READABLE);
        Ok(n)
    }

    fn wait_for_room(&self, nonblock: bool) -> Result<usize> {
        loop {
            let (readers, room) = {
                let state = self.state.borrow();
                (state.readers, state.buffer.room())
            };
            if readers == 0 {
                crate::task::signal::send_sigpipe();
                return Err(Errno::EPIPE);
            }
            if room > 0 {
                return Ok(room);
            }
            if nonblock {
                return Err(Errno::EAGAIN);
            }
            wait_on(&self.writable, || {
                let state = self.state.borrow();
                (state.buffer.room() > 0 || state.readers == 0).then_some(())
            })?;
        }
    }

    fn push(&self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.state.borrow_mut().buffer.fill(&mut IoBuf::kernel(bytes), Mode::Pages, true)?;
        self.readable.wake_one(READABLE);
        Ok(())
    }

    fn take(&self, n: usize) {
        let freed = {
            let mut state = self.state.borrow_mut();
            let was_full = state.buffer.is_full();
            state.buffer.discard(n);
            was_full && !state.buffer.is_full()
        };
        self.taken(freed);
    }

    /// Wakes whom it concerns that bytes are gone; `freed` is a first free buffer.
    fn taken(&self, freed: bool) {
        if freed {
            self.writable.wake_one(WRITABLE);
        }
        if !self.state.borrow().buffer.is_empty() {
            self.readable.pass_on();
        }
    }
}
