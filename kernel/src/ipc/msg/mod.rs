//! Message queues (msgget(2), msgop(2), msgctl(2)).

mod queue;
mod store;

use super::{Ids, Object, Perm, READ, WRITE, seconds};
use crate::creds::Creds;
use crate::lock::KCell;
use crate::mm::pressure::room_for;
use crate::sched::wait::{Sleep, WaitQueue, wait_until};
use crate::task::Task;
use crate::{Errno, Result};
use abi::number::to_usize;
pub use queue::MsgQueue;
use queue::Receiver;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
pub use store::{Message, Which};

/// The longest message, the bytes that a new queue may hold, and how many queues there may be
/// (/proc/sys/kernel/msgmax, msgmnb, msgmni).
pub static MAX_LEN: AtomicI64 = AtomicI64::new(8192);
pub static MAX_BYTES: AtomicI64 = AtomicI64::new(16384);
pub static MOST: AtomicI64 = AtomicI64::new(32000);

/// About what the core keeps for a message beside its bytes.
const MESSAGE: usize = 128;

static QUEUES: KCell<Ids<MsgQueue>> = KCell::new(Ids::empty());

/// msgget(2).
pub fn get(task: &Task, key: i32, flags: i32) -> Result<i32> {
    let creds = task.creds();
    let known = QUEUES.borrow().known(key, flags, &creds, |_| Ok(()))?;
    if let Some(id) = known {
        return Ok(id);
    }
    room_for(size_of::<MsgQueue>())?;
    let queue = Arc::new(MsgQueue::new(Perm::new(key, flags.cast_unsigned(), &creds)));
    QUEUES.borrow_mut().insert(queue, to_usize(MOST.load(Relaxed).cast_unsigned()))
}

/// Asked before a message of this length is taken from its sender.
pub fn room_for_message(len: usize) -> Result<()> {
    room_for(len + MESSAGE)
}

/// msgsnd(2).
pub fn send(task: &Task, id: i32, message: Message, may_wait: bool) -> Result<()> {
    let queue = QUEUES.borrow().get(id)?;
    let mut message = message;
    loop {
        queue.perm().check(WRITE, &task.creds())?;
        let Some((serial, sender)) = queue.send(message, task.pid(), may_wait)? else { return Ok(()) };
        match wait_until(&[&sender.queue], None, Sleep::Interruptible, || sender.outcome.take()) {
            Ok(Err(Errno::EAGAIN)) => message = sender.message.take().ok_or(Errno::EIDRM)?,
            Ok(outcome) => return outcome,
            Err(_) => {
                queue.remove_waiter(serial);
                return Err(Errno::ERESTARTNOHAND);
            }
        }
    }
}

/// msgrcv(2): the message, which may be longer than `room` if it is to be cut.
pub fn receive(task: &Task, id: i32, which: Which, room: usize, cut: bool, may_wait: bool) -> Result<Message> {
    room_for(MESSAGE)?;
    let queue = QUEUES.borrow().get(id)?;
    loop {
        queue.perm().check(READ, &task.creds())?;
        let (pid, outcome) = (task.pid(), KCell::default());
        let receiver = Arc::new(Receiver { which, room, cut, pid, queue: WaitQueue::new(), outcome });
        if let Some(message) = queue.receive(&receiver)? {
            return Ok(message);
        }
        if !may_wait {
            return Err(Errno::ENOMSG);
        }
        let serial = queue.add_receiver(&receiver);
        match wait_until(&[&receiver.queue], None, Sleep::Interruptible, || receiver.outcome.take()) {
            Ok(Err(Errno::EAGAIN)) => {}
            Ok(outcome) => return outcome,
            Err(_) => {
                queue.remove_waiter(serial);
                return Err(Errno::ERESTARTNOHAND);
            }
        }
    }
}

/// The queue with this number, for those who may do what `wanted` says.
pub fn find(id: i32, wanted: u32, creds: &Creds) -> Result<Arc<MsgQueue>> {
    QUEUES.borrow().permitted(id, wanted, creds)
}

/// The number and the queue at an index.
pub fn at(index: u32) -> Result<(i32, Arc<MsgQueue>)> {
    QUEUES.borrow().at(index).ok_or(Errno::EINVAL)
}

/// IPC_SET.
pub fn change(id: i32, uid: u32, gid: u32, mode: u32, limit: u64, creds: &Creds) -> Result<()> {
    let queue = QUEUES.borrow().owned(id, creds)?;
    if limit > MAX_BYTES.load(Relaxed).cast_unsigned() && !creds.capable(abi::CAP_SYS_RESOURCE) {
        return Err(Errno::EPERM);
    }
    queue.change(uid, gid, mode, limit)
}

/// IPC_RMID.
pub fn remove(id: i32, creds: &Creds) -> Result<()> {
    let queue = QUEUES.borrow().owned(id, creds)?;
    QUEUES.borrow_mut().remove(id);
    queue.end();
    Ok(())
}

/// All queues.
pub fn all() -> Vec<(i32, Arc<MsgQueue>)> {
    QUEUES.borrow().all()
}

/// How many there are, and the highest index in use.
pub fn usage() -> (usize, u32) {
    let queues = QUEUES.borrow();
    (queues.len(), queues.highest())
}
