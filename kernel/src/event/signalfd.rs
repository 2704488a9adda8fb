//! signalfd (signalfd(2)): blocked signals, read from a descriptor.
//!
//! A read takes the signals of whoever reads, as on Linux; poll(2) and epoll watch the process that
//! made the descriptor.

use crate::lock::KCell;
use crate::mm::IoBuf;
use crate::mm::user::{bytes_of, zeroed};
use crate::sched::wait::{WaitQueue, wait_on};
use crate::task::current;
use crate::task::signal::{SIGRTMIN, SigInfo, SigSet, dequeue};
use crate::task::{Process, Task};
use crate::vfs::file::{Events, FileOps, OpenFile};
use crate::{Errno, Result};
use abi::number::Low;
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;
use umlab_abi::signalfd::SignalfdSiginfo;

const RECORD: usize = size_of::<SignalfdSiginfo>();

pub struct SignalFd {
    mask: KCell<SigSet>,
    process: Arc<Process>,
}

impl SignalFd {
    pub fn new(mask: SigSet, process: &Arc<Process>) -> Arc<SignalFd> {
        Arc::new(SignalFd { mask: KCell::new(mask.as_mask()), process: process.clone() })
    }

    pub fn mask(&self) -> SigSet {
        self.mask.get()
    }

    pub fn set_mask(&self, mask: SigSet) {
        self.mask.set(mask.as_mask());
        self.process.signal_queue.wake_all();
    }

    fn pending(&self, task: &Task) -> SigSet {
        let own = task.signals.borrow().pending.set();
        let shared = task.process.signals.borrow().pending.set();
        own.union(shared).intersection(self.mask())
    }

    fn take(&self, task: &Task) -> Option<SigInfo> {
        dequeue(task, self.mask())
    }
}

/// A siginfo as signalfd(2) tells it.
fn record(info: &SigInfo) -> SignalfdSiginfo {
    let mut out: SignalfdSiginfo = zeroed();
    out.ssi_signo = info.signal().cast_unsigned();
    out.ssi_errno = info.errno();
    out.ssi_code = info.code();
    let code = info.code();
    let from_kernel = code > 0 && code != abi::SI_KERNEL;
    match info.signal() {
        _ if code == abi::SI_TIMER => {
            out.ssi_tid = info.timer_id().cast_unsigned();
            out.ssi_overrun = info.overrun().cast_unsigned();
            out.ssi_ptr = info.value();
            out.ssi_int = info.value().low_i32();
        }
        abi::SIGCHLD if from_kernel => {
            let (utime, stime) = info.times();
            out.ssi_pid = info.pid().cast_unsigned();
            out.ssi_uid = info.uid();
            out.ssi_status = info.status();
            out.ssi_utime = utime.cast_unsigned();
            out.ssi_stime = stime.cast_unsigned();
        }
        abi::SIGIO if from_kernel => {
            out.ssi_band = info.addr().low_u32();
            out.ssi_fd = info.status();
        }
        abi::SIGSEGV | abi::SIGBUS | abi::SIGILL | abi::SIGFPE | abi::SIGTRAP if from_kernel => {
            out.ssi_addr = info.addr();
        }
        signal => {
            out.ssi_pid = info.pid().cast_unsigned();
            out.ssi_uid = info.uid();
            if code < 0 || signal >= SIGRTMIN {
                out.ssi_ptr = info.value();
                out.ssi_int = info.value().low_i32();
            }
        }
    }
    out
}

impl FileOps for SignalFd {
    fn read(&self, file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        if buf.remaining() < RECORD {
            return Err(Errno::EINVAL);
        }
        let task = current();
        let mut next = match self.take(&task) {
            Some(info) => Some(info),
            None if file.nonblocking() => return Err(Errno::EAGAIN),
            None => Some(wait_on(&task.process.signal_queue, || self.take(&task))?),
        };
        let mut done = 0;
        while let Some(info) = next {
            match buf.put(bytes_of(&record(&info))) {
                Ok(RECORD) => done += RECORD,
                _ if done > 0 => return Ok(done),
                _ => return Err(Errno::EFAULT),
            }
            next = if buf.remaining() >= RECORD { self.take(&task) } else { None };
        }
        Ok(done)
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        if self.pending(&current()).is_empty() { Events::empty() } else { Events::IN }
    }

    fn describe(&self, _file: &OpenFile) -> String {
        format!("sigmask:\t{:016x}\n", self.mask().0)
    }

    fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        Some(SmallVec::from_slice(&[&self.process.signal_queue]))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
