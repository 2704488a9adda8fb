//! pidfds (pidfd_open(2)): descriptors that stand for a process, and become readable when it ends.

use super::Process;
use crate::sched::wait::WaitQueue;
use crate::vfs::anon::AnonKind;
use crate::vfs::file::{Events, FileOps, OpenFile};
use crate::{Errno, Result};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

pub struct PidFd {
    process: Arc<Process>,
}

/// A pidfd as an open file; `flags` may be O_NONBLOCK.
pub fn open(process: &Arc<Process>, flags: i32) -> Arc<OpenFile> {
    OpenFile::anonymous(
        AnonKind::Process(process.pid),
        Arc::new(PidFd { process: process.clone() }),
        flags | abi::O_RDWR,
    )
}

/// The process that a pidfd stands for. EBADF when the file is something else.
pub fn process_of(file: &OpenFile) -> Result<Arc<Process>> {
    file.ops_as::<PidFd>().map(|fd| fd.process.clone()).ok_or(Errno::EBADF)
}

impl PidFd {
    /// The PID, -1 once it was waited for.
    pub fn pid(&self) -> i32 {
        if self.process.life.borrow().reaped { -1 } else { self.process.pid }
    }
}

impl FileOps for PidFd {
    fn poll(&self, _file: &OpenFile) -> Events {
        let life = *self.process.life.borrow();
        let ended = if life.zombie { Events::IN | Events::RDNORM } else { Events::empty() };
        if life.reaped { ended | Events::HUP } else { ended }
    }

    fn describe(&self, _file: &OpenFile) -> String {
        format!("Pid:\t{0}\nNSpid:\t{0}\n", self.pid())
    }

    fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        Some(SmallVec::from_slice(&[&self.process.exit_events]))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
