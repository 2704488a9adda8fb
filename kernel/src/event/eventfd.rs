//! eventfd (eventfd(2)): a counter that can be waited for.

use crate::lock::KCell;
use crate::mm::IoBuf;
use crate::sched::wait::{WaitQueue, wait_on};
use crate::vfs::file::{Events, FileOps, OpenFile};
use crate::{Errno, Result};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const READABLE: u32 = Events::IN.bits();
const WRITABLE: u32 = Events::OUT.bits();

pub struct EventFd {
    /// Tells it apart, for /proc/PID/fdinfo.
    id: u32,
    count: KCell<u64>,
    /// A read takes one, not all.
    semaphore: bool,
    readable: WaitQueue,
    writable: WaitQueue,
}

impl EventFd {
    pub fn new(count: u64, semaphore: bool) -> Arc<EventFd> {
        let (readable, writable) = (WaitQueue::new(), WaitQueue::new());
        static NEXT_ID: AtomicU32 = AtomicU32::new(0);
        let id = NEXT_ID.fetch_add(1, Relaxed);
        Arc::new(EventFd { id, count: KCell::new(count), semaphore, readable, writable })
    }

    pub fn count(&self) -> u64 {
        self.count.get()
    }

    fn take(&self) -> Option<u64> {
        let mut count = self.count.borrow_mut();
        match *count {
            0 => None,
            n => {
                let taken = if self.semaphore { 1 } else { n };
                *count -= taken;
                Some(taken)
            }
        }
    }

    /// Adds, unless that would pass the largest count, `u64::MAX - 1`.
    fn add(&self, n: u64) -> Option<()> {
        let mut count = self.count.borrow_mut();
        if u64::MAX - *count <= n {
            return None;
        }
        *count += n;
        Some(())
    }

    fn write_number(&self, file: &OpenFile, buf: &mut IoBuf<'_>) -> Result<usize> {
        if buf.remaining() != 8 {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; 8];
        if buf.take(&mut bytes)? < 8 {
            return Err(Errno::EFAULT);
        }
        let n = u64::from_ne_bytes(bytes);
        if n == u64::MAX {
            return Err(Errno::EINVAL);
        }
        if self.add(n).is_none() {
            if file.nonblocking() {
                return Err(Errno::EAGAIN);
            }
            wait_on(&self.writable, || self.add(n))?;
        }
        self.readable.wake(READABLE);
        Ok(8)
    }
}

impl FileOps for EventFd {
    fn read(&self, file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        if buf.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let taken = match self.take() {
            Some(taken) => taken,
            None if file.nonblocking() => return Err(Errno::EAGAIN),
            None => wait_on(&self.readable, || self.take())?,
        };
        self.writable.wake(WRITABLE);
        match buf.put(&taken.to_ne_bytes())? {
            8 => Ok(8),
            _ => Err(Errno::EFAULT),
        }
    }

    /// Each segment of a vector is a write of its own: they are not to be one number together.
    fn write(&self, file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        let mut done = 0;
        loop {
            match buf.step(buf.in_this_segment(), |segment| self.write_number(file, segment)) {
                Ok(written) => done += written,
                Err(e) if done == 0 => return Err(e),
                Err(_) => return Ok(done),
            }
            if buf.is_empty() {
                return Ok(done);
            }
        }
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let count = self.count.get();
        let mut events = Events::empty();
        if count > 0 {
            events |= Events::IN;
        }
        if count == u64::MAX {
            events |= Events::ERR;
        }
        if count < u64::MAX - 1 {
            events |= Events::OUT;
        }
        events
    }

    fn describe(&self, _file: &OpenFile) -> String {
        let (count, semaphore) = (self.count(), u32::from(self.semaphore));
        format!("eventfd-count: {count:16x}\neventfd-id: {}\neventfd-semaphore: {semaphore}\n", self.id)
    }

    fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        Some(SmallVec::from_buf([&self.readable, &self.writable]))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let _held = crate::fs::tests::hold();
        let plain = EventFd::new(3, false);
        assert_eq!((plain.take(), plain.take()), (Some(3), None));
        let semaphore = EventFd::new(2, true);
        assert_eq!((semaphore.take(), semaphore.take(), semaphore.take()), (Some(1), Some(1), None));
        assert_eq!(plain.add(u64::MAX - 1), Some(()));
        assert_eq!(plain.add(1), None);
        assert_eq!(plain.add(0), Some(()));
    }
}
