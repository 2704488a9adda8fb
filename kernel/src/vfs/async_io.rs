//! Signal-driven input and output: who gets a signal when a file with O_ASYNC becomes ready
//! (F_SETOWN, F_SETSIG of fcntl(2)).

use super::file::OpenFile;
use super::upcall;
use crate::Pid;
use crate::creds::Creds;
use crate::lock::KCell;
use crate::sched::wait::{Wake, WakeReason};
use std::sync::Arc;

/// F_OWNER_* of fcntl(2).
pub const OWNER_THREAD: i32 = 0;
pub const OWNER_PROCESS: i32 = 1;
pub const OWNER_GROUP: i32 = 2;

/// Who is told.
#[derive(Clone)]
pub struct Owner {
    pub kind: i32,
    /// 0 for nobody.
    pub id: Pid,
    /// Who named the owner: he must be allowed to send it signals.
    pub setter: Arc<Creds>,
}

/// An open file's owner, and the signal to send.
#[derive(Default)]
pub struct AsyncIo {
    owner: KCell<Option<Owner>>,
    /// 0 for a plain SIGIO.
    signal: KCell<i32>,
    /// Its places in the file's wait queues, while O_ASYNC is set.
    registered: KCell<Vec<u64>>,
}

impl AsyncIo {
    pub fn owner(&self) -> Option<Owner> {
        self.owner.cloned()
    }

    pub fn set_owner(&self, owner: Owner) {
        self.owner.set(Some(owner));
    }

    pub fn signal(&self) -> i32 {
        self.signal.get()
    }

    pub fn set_signal(&self, signal: i32) {
        self.signal.set(signal);
    }
}

impl Wake for AsyncIo {
    fn wake(&self, reason: WakeReason) {
        if let (WakeReason::Event(events), Some(owner), Some(upcalls)) = (reason, self.owner.cloned(), upcall::get()) {
            (upcalls.ready)(&owner, self.signal.get(), events);
        }
    }
}

impl OpenFile {
    /// The file's owner and signal, made when first asked for.
    pub fn async_io(&self) -> Arc<AsyncIo> {
        self.async_io.borrow_mut().get_or_insert_default().clone()
    }

    /// O_ASYNC was switched. False for files that have no such thing.
    pub fn set_async(&self, on: bool) -> bool {
        let Some(queues) = self.ops.poll_queues() else { return false };
        if !on && self.async_io.borrow().is_none() {
            return true;
        }
        let async_io = self.async_io();
        let old = async_io.registered.take();
        for (queue, id) in queues.iter().zip(old) {
            queue.remove(id);
        }
        if on {
            let waker: Arc<dyn Wake> = async_io.clone();
            let ids = queues.iter().map(|queue| queue.add(waker.clone())).collect();
            async_io.registered.set(ids);
        }
        true
    }
}
