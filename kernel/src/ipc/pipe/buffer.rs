//! The bytes in a pipe: a queue of page-size buffers.
//!
//! A byte ring would be simpler, but programs can see the buffers: a write starts a new one unless
//! its last part fits into the one before, and a pipe is full when it has no free buffer left,
//! however few bytes they hold. Doing the same gives the same answers from poll(2) and the same
//! short writes as on Linux.

use crate::mm::IoBuf;
use crate::mm::pressure::room_for;
use crate::{Errno, Result};
use std::collections::VecDeque;

const PAGE: usize = 4096;
/// Emptied pages kept for the next write.
const SPARES: usize = 4;

type Page = Box<[u8; PAGE]>;

/// How the bytes of one write keep together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The next write may add to the last buffer.
    Stream,
    /// A read takes one buffer, and what it does not want of it is lost (O_DIRECT).
    Packet,
    /// Nothing is added to the buffer: it came from splice(2) or vmsplice(2).
    Pages,
}

struct Slot {
    page: Page,
    start: usize,
    end: usize,
    mode: Mode,
}

pub struct Buffer {
    slots: VecDeque<Slot>,
    spares: Vec<Page>,
    max_slots: usize,
}

impl Buffer {
    pub fn new(max_slots: usize) -> Buffer {
        Buffer { slots: VecDeque::new(), spares: Vec::new(), max_slots }
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.slots.len() >= self.max_slots
    }

    /// Bytes in the pipe.
    pub fn len(&self) -> usize {
        self.slots.iter().map(|s| s.end - s.start).sum()
    }

    /// Bytes that whole free buffers can take.
    pub fn room(&self) -> usize {
        self.max_slots.saturating_sub(self.slots.len()) * PAGE
    }

    pub fn used_slots(&self) -> usize {
        self.slots.len()
    }

    pub fn max_slots(&self) -> usize {
        self.max_slots
    }

    pub fn set_max_slots(&mut self, max_slots: usize) {
        self.max_slots = max_slots;
    }

    /// The first step of a write: what does not fill a page goes into the last buffer, if all of it
    /// fits there.
    pub fn append_tail(&mut self, buf: &mut IoBuf<'_>) -> Result<usize> {
        let tail = buf.remaining() % PAGE;
        let Some(last) = self.slots.back_mut() else { return Ok(0) };
        if tail == 0 || last.mode != Mode::Stream || last.end + tail > PAGE {
            return Ok(0);
        }
        let n = buf.take(&mut last.page[last.end..last.end + tail])?;
        if n < tail {
            return Err(Errno::EFAULT);
        }
        last.end += n;
        Ok(n)
    }

    /// Fills free buffers; all of them if `over` (what came from a file cannot be put back).
    pub fn fill(&mut self, buf: &mut IoBuf<'_>, mode: Mode, over: bool) -> Result<usize> {
        let mut done = 0;
        while !buf.is_empty() && (over || !self.is_full()) {
            let mut page = match self.new_page() {
                Ok(page) => page,
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            };
            let want = buf.remaining().min(PAGE);
            match buf.take(&mut page[..want]) {
                Ok(n) if n == want => {
                    self.slots.push_back(Slot { page, start: 0, end: n, mode });
                    done += n;
                }
                // Memory that ends within a page: none of the page is written.
                _ if done > 0 => break,
                Ok(_) => return Err(Errno::EFAULT),
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// Fills free buffers as vmsplice(2) does: one for each page of the caller's memory that has
    /// some of the bytes, as far as that memory is there.
    pub fn fill_by_page(&mut self, buf: &mut IoBuf<'_>) -> Result<usize> {
        let mut done = 0;
        while !buf.is_empty() && !self.is_full() {
            let want = buf.in_this_page();
            let step = self.new_page().and_then(|mut page| Ok((buf.take(&mut page[..want])?, page)));
            match step {
                Ok((end, page)) => {
                    self.slots.push_back(Slot { page, start: 0, end, mode: Mode::Pages });
                    done += end;
                }
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// Moves up to `max` bytes into another pipe's free buffers; `keep` leaves them here as well.
    /// Buffers are never joined.
    pub fn move_to(&mut self, to: &mut Buffer, max: usize, keep: bool) -> Result<usize> {
        let (mut done, mut at) = (0, 0);
        while done < max
            && !to.is_full()
            && let Some(slot) = self.slots.get_mut(at)
        {
            let n = (slot.end - slot.start).min(max - done);
            if !keep && n == slot.end - slot.start {
                to.slots.extend(self.slots.pop_front());
            } else {
                let mut page = match to.new_page() {
                    Ok(page) => page,
                    Err(_) if done > 0 => break,
                    Err(e) => return Err(e),
                };
                page[..n].copy_from_slice(&slot.page[slot.start..slot.start + n]);
                let mode = if slot.mode == Mode::Packet { Mode::Packet } else { Mode::Pages };
                to.slots.push_back(Slot { page, start: 0, end: n, mode });
                if keep {
                    at += 1;
                } else {
                    slot.start += n;
                }
            }
            done += n;
        }
        Ok(done)
    }

    fn new_page(&mut self) -> Result<Page> {
        match self.spares.pop() {
            Some(page) => Ok(page),
            None => room_for(PAGE).map(|()| Box::new([0; PAGE])),
        }
    }

    /// Takes bytes out. A slot whose bytes only partly reach their place stays as it is. `packets`
    /// ends with the first packet, and loses the part of it that was not wanted.
    pub fn drain(&mut self, buf: &mut IoBuf<'_>, packets: bool) -> Result<usize> {
        let mut done = 0;
        while !buf.is_empty()
            && let Some(slot) = self.slots.front_mut()
        {
            let packet = packets && slot.mode == Mode::Packet;
            if packet && done > 0 {
                break;
            }
            let want = (slot.end - slot.start).min(buf.remaining());
            match buf.put(&slot.page[slot.start..slot.start + want]) {
                Ok(n) if n == want => {}
                _ if done > 0 => break,
                Ok(_) => return Err(Errno::EFAULT),
                Err(e) => return Err(e),
            }
            done += want;
            slot.start += want;
            if packet || slot.start == slot.end {
                self.drop_front();
            }
            if packet {
                break;
            }
        }
        Ok(done)
    }

    /// Copies the first `max` bytes, without taking them.
    pub fn peek(&self, max: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for slot in &self.slots {
            let n = (slot.end - slot.start).min(max - out.len());
            out.extend_from_slice(&slot.page[slot.start..slot.start + n]);
            if out.len() == max {
                break;
            }
        }
        out
    }

    /// Takes `n` bytes without looking at them.
    pub fn discard(&mut self, mut n: usize) {
        while n > 0
            && let Some(slot) = self.slots.front_mut()
        {
            let step = n.min(slot.end - slot.start);
            slot.start += step;
            n -= step;
            if slot.start == slot.end {
                self.drop_front();
            }
        }
    }

    fn drop_front(&mut self) {
        if let Some(slot) = self.slots.pop_front()
            && self.spares.len() < SPARES
        {
            self.spares.push(slot.page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(buffer: &mut Buffer, bytes: &[u8], mode: Mode) -> usize {
        let mut buf = IoBuf::kernel(bytes);
        let head = if mode != Mode::Stream { 0 } else { buffer.append_tail(&mut buf).unwrap() };
        head + buffer.fill(&mut buf, mode, false).unwrap()
    }

    fn read(buffer: &mut Buffer, max: usize) -> Vec<u8> {
        let mut out = vec![0; max];
        let n = buffer.drain(&mut IoBuf::kernel_mut(&mut out), true).unwrap();
        out.truncate(n);
        out
    }

    #[test]
    fn small_writes_share_a_buffer() {
        let _held = crate::fs::tests::hold();
        let mut buffer = Buffer::new(2);
        for _ in 0..4096 {
            assert_eq!(write(&mut buffer, b"x", Mode::Stream), 1);
        }
        assert_eq!((buffer.used_slots(), buffer.len()), (1, 4096));
        assert_eq!(write(&mut buffer, &[b'y'; 5000], Mode::Stream), 4096, "one free buffer is left");
        assert!(buffer.is_full());
        assert_eq!(read(&mut buffer, 10_000).len(), 8192);
        assert!(buffer.is_empty());
    }

    #[test]
    fn the_tail_joins_only_when_all_of_it_fits() {
        let _held = crate::fs::tests::hold();
        let mut buffer = Buffer::new(4);
        write(&mut buffer, &[1; 4000], Mode::Stream);
        write(&mut buffer, &[2; 4096 + 96], Mode::Stream);
        assert_eq!(buffer.used_slots(), 2);
        write(&mut buffer, &[3; 1], Mode::Stream);
        assert_eq!(buffer.used_slots(), 3);
    }

    #[test]
    fn packets_stay_apart_and_lose_what_is_not_read() {
        let _held = crate::fs::tests::hold();
        let mut buffer = Buffer::new(4);
        write(&mut buffer, b"hello", Mode::Packet);
        write(&mut buffer, b"world", Mode::Packet);
        assert_eq!(buffer.used_slots(), 2);
        assert_eq!(read(&mut buffer, 2), b"he");
        assert_eq!(read(&mut buffer, 100), b"world");
    }

    #[test]
    fn moved_buffers_stay_apart() {
        let _held = crate::fs::tests::hold();
        let (mut from, mut to) = (Buffer::new(4), Buffer::new(2));
        for text in [b"one", b"two", b"six"] {
            write(&mut from, text, Mode::Pages);
        }
        assert_eq!(from.move_to(&mut to, 4, true).unwrap(), 4);
        assert_eq!((read(&mut to, 100), from.len()), (b"onet".to_vec(), 9));
        assert_eq!(from.move_to(&mut to, 100, false).unwrap(), 6);
        assert_eq!((read(&mut to, 100), read(&mut from, 100)), (b"onetwo".to_vec(), b"six".to_vec()));
    }

    #[test]
    fn peeking_takes_nothing() {
        let _held = crate::fs::tests::hold();
        let mut buffer = Buffer::new(4);
        write(&mut buffer, &[7; 5000], Mode::Stream);
        assert_eq!(buffer.peek(4500).len(), 4500);
        buffer.discard(4097);
        assert_eq!(buffer.len(), 903);
    }
}
