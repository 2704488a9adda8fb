//! A queue's open files.

use super::Queue;
use crate::Result;
use crate::mm::IoBuf;
use crate::sched::wait::WaitQueue;
use crate::task::acting;
use crate::vfs::file::{Events, FileOps, OpenFile};
use abi::number::to_usize;
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

pub struct MqFile(pub Arc<Queue>);

impl FileOps for MqFile {
    fn read(&self, _file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        let text = self.0.text();
        buf.put(text.as_bytes().get(to_usize(offset)..).unwrap_or_default())
    }

    fn seekable(&self) -> bool {
        true
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let count = self.0.count();
        let mut events = Events::empty();
        if count > 0 {
            events |= Events::IN | Events::RDNORM;
        }
        if count < self.0.most {
            events |= Events::OUT | Events::WRNORM;
        }
        events
    }

    fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        Some(SmallVec::from_buf([&self.0.readable, &self.0.writable]))
    }

    fn descriptor_closed(&self, _file: &OpenFile) {
        if let Some(task) = acting() {
            self.0.forget(task.pid());
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
