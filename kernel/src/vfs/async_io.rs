//! Signal-driven input and output: who gets a signal when a file with O_ASYNC becomes ready
//! (F_SETOWN, F_SETSIG of fcntl(2)).

use super::file::OpenFile;
use crate::lock::KCell;
use crate::sched::wait::{Wake, WakeReason};
use crate::signal::{SigInfo, send_to_process, send_to_task};
use crate::task::creds::Creds;
use crate::task::{self, Pid, Process};
use std::sync::Arc;

/// F_OWNER_* of fcntl(2).
pub const OWNER_THREAD: i32 = 0;
pub const OWNER_PROCESS: i32 = 1;
pub const OWNER_GROUP: i32 = 2;

/// si_code: there is something to read.
const POLL_IN: i32 = 1;

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

impl Owner {
    fn may_tell(&self, target: &Process) -> bool {
        let creds = target.creds();
        let setter = [self.setter.euid, self.setter.uid];
        self.setter.euid == 0 || setter.iter().any(|id| [creds.uid, creds.suid].contains(id))
    }
}

impl Wake for AsyncIo {
    fn wake(&self, reason: WakeReason) {
        let (WakeReason::Event(events), Some(owner)) = (reason, self.owner.cloned()) else { return };
        let info = match self.signal.get() {
            0 => SigInfo::kernel(abi::SIGIO),
            signal => SigInfo::poll(signal, POLL_IN, events as i64, 0),
        };
        // An owner that is gone hears nothing, and a full queue of signals is as good as one more.
        match owner.kind {
            OWNER_THREAD => {
                if let Some(task) = task::find(owner.id).filter(|task| owner.may_tell(&task.process)) {
                    let _ = send_to_task(&task, info);
                }
            }
            OWNER_GROUP => {
                let members = task::find_group(owner.id).map(|group| group.members()).unwrap_or_default();
                for process in members.iter().filter(|process| owner.may_tell(process)) {
                    let _ = send_to_process(process, info);
                }
            }
            _ => {
                if let Some(process) = task::find_process(owner.id).filter(|process| owner.may_tell(process)) {
                    let _ = send_to_process(&process, info);
                }
            }
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
