//! A queue: its messages by priority and age, who waits, and who is to be told of a message.

use super::{MqFile, Share};
use crate::Pid;
use crate::lock::KCell;
use crate::sched::wait::{Sleep, WaitQueue, wait_until};
use crate::task::signal::{SigInfo, send_to_process};
use crate::task::{Process, Task};
use crate::vfs::file::FileOps;
use crate::vfs::inode::{Attr, FileKind, Inode, InodeState, Owner, SetAttr, Timestamp};
use crate::{Errno, Result, time};
use std::any::Any;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// The size that such a file has for stat(2).
const FILE_SIZE: u64 = 80;
const DEVICE: u64 = 19;

pub struct Message {
    pub priority: u32,
    pub bytes: Vec<u8>,
}

/// How a process is told that a message came to an empty queue where nobody waited; once.
#[derive(Clone)]
pub struct Notification {
    pub process: Weak<Process>,
    pub pid: Pid,
    /// None for one that only keeps others from being told.
    pub signal: Option<(i32, u64)>,
}

struct Receiver {
    queue: WaitQueue,
    message: KCell<Option<Message>>,
}

struct Sender {
    queue: WaitQueue,
    message: KCell<Option<Message>>,
    done: KCell<Option<()>>,
}

pub struct Queue {
    /// The most messages, and the most bytes of each.
    pub most: u64,
    pub size: u64,
    ino: u64,
    created: Timestamp,
    owner: KCell<Owner>,
    inner: KCell<Inner>,
    /// For poll(2).
    pub readable: WaitQueue,
    pub writable: WaitQueue,
    state: InodeState,
    _share: Share,
}

#[derive(Default)]
struct Inner {
    messages: BTreeMap<(Reverse<u32>, u64), Vec<u8>>,
    bytes: u64,
    next: u64,
    receivers: BTreeMap<u64, Arc<Receiver>>,
    senders: BTreeMap<u64, Arc<Sender>>,
    notification: Option<Notification>,
}

impl Inner {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn push(&mut self, message: Message) {
        let age = self.number();
        self.bytes += message.bytes.len() as u64;
        self.messages.insert((Reverse(message.priority), age), message.bytes);
    }

    fn pop(&mut self) -> Option<Message> {
        let ((Reverse(priority), _), bytes) = self.messages.pop_first()?;
        self.bytes -= bytes.len() as u64;
        Some(Message { priority, bytes })
    }
}

impl Queue {
    pub(super) fn new(most: u64, size: u64, owner: Owner, share: Share) -> Arc<Queue> {
        static NEXT: AtomicU64 = AtomicU64::new(2);
        Arc::new(Queue {
            most,
            size,
            ino: NEXT.fetch_add(1, Relaxed),
            created: Timestamp::from(time::realtime()),
            owner: KCell::new(owner),
            inner: KCell::default(),
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
            state: InodeState::default(),
            _share: share,
        })
    }

    pub fn uid(&self) -> u32 {
        self.owner.get().uid
    }

    /// Messages in it.
    pub fn count(&self) -> u64 {
        self.inner.borrow().messages.len() as u64
    }

    /// What a read of its file tells: the bytes in it, and how whom is told of a message.
    pub fn text(&self) -> String {
        let inner = self.inner.borrow();
        let (kind, signal, pid) = match &inner.notification {
            Some(Notification { signal: Some((signal, _)), pid, .. }) => (abi::SIGEV_SIGNAL, *signal, *pid),
            Some(Notification { pid, .. }) => (abi::SIGEV_NONE, 0, *pid),
            None => (0, 0, 0),
        };
        format!("QSIZE:{:<10} NOTIFY:{kind:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n", inner.bytes)
    }

    /// Sends a message, to the first who waits for one or to the queue.
    ///
    /// # Errors
    /// EAGAIN when it is full and `wait` is not set, ETIMEDOUT, and ERESTARTSYS for signals.
    pub fn send(&self, task: &Task, message: Message, wait: bool, deadline: Option<u64>) -> Result<()> {
        let (serial, sender) = {
            let mut inner = self.inner.borrow_mut();
            if (inner.messages.len() as u64) < self.most {
                drop(inner);
                self.accept(task, message);
                return Ok(());
            }
            if !wait {
                return Err(Errno::EAGAIN);
            }
            let message = KCell::new(Some(message));
            let sender = Arc::new(Sender { queue: WaitQueue::new(), message, done: KCell::new(None) });
            let serial = inner.number();
            inner.senders.insert(serial, sender.clone());
            (serial, sender)
        };
        let result = wait_until(&[&sender.queue], deadline, Sleep::Interruptible, || sender.done.get());
        if result.is_err() {
            self.inner.borrow_mut().senders.remove(&serial);
        }
        result
    }

    fn accept(&self, task: &Task, message: Message) {
        let told = {
            let mut inner = self.inner.borrow_mut();
            if let Some((_, receiver)) = inner.receivers.pop_first() {
                receiver.message.set(Some(message));
                receiver.queue.wake_all();
                return;
            }
            let was_empty = inner.messages.is_empty();
            inner.push(message);
            if was_empty { inner.notification.take() } else { None }
        };
        self.readable.wake(abi::EPOLLIN | abi::EPOLLRDNORM);
        if let Some(Notification { process, signal: Some((signal, value)), .. }) = told
            && let Some(process) = process.upgrade()
        {
            let info = SigInfo::queue(signal, abi::SI_MESGQ, task.pid(), task.creds().uid, value);
            let _ = send_to_process(&process, info);
        }
    }

    /// The first message of the highest priority.
    ///
    /// # Errors
    /// As `send`, when there is none.
    pub fn receive(&self, wait: bool, deadline: Option<u64>) -> Result<Message> {
        let (serial, receiver) = {
            let mut inner = self.inner.borrow_mut();
            if let Some(message) = inner.pop() {
                let sender = inner.senders.pop_first().map(|(_, sender)| sender);
                // The room goes to the first sender that waits.
                if let Some(sender) = &sender {
                    inner.push(sender.message.take().expect("it was not sent yet"));
                    sender.done.set(Some(()));
                    sender.queue.wake_all();
                } else {
                    self.writable.wake(abi::EPOLLOUT | abi::EPOLLWRNORM);
                }
                return Ok(message);
            }
            if !wait {
                return Err(Errno::EAGAIN);
            }
            let receiver = Arc::new(Receiver { queue: WaitQueue::new(), message: KCell::new(None) });
            let serial = inner.number();
            inner.receivers.insert(serial, receiver.clone());
            (serial, receiver)
        };
        let result = wait_until(&[&receiver.queue], deadline, Sleep::Interruptible, || receiver.message.take());
        if result.is_err() {
            self.inner.borrow_mut().receivers.remove(&serial);
        }
        result
    }

    /// Has a process told of the next message; EBUSY if another is to be.
    pub fn notify(&self, notification: Notification) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        // One whose process is gone without closing is nobody's.
        if inner.notification.as_ref().is_some_and(|known| known.process.strong_count() > 0) {
            return Err(Errno::EBUSY);
        }
        inner.notification = Some(notification);
        Ok(())
    }

    /// A process is not to be told any more.
    pub fn forget(&self, pid: Pid) {
        let mut inner = self.inner.borrow_mut();
        if inner.notification.as_ref().is_some_and(|known| known.pid == pid) {
            inner.notification = None;
        }
    }
}

impl Inode for Queue {
    fn state(&self) -> &InodeState {
        &self.state
    }

    fn attr(&self) -> Result<Attr> {
        let attr = Attr::simple(DEVICE, self.ino, self.kind(), self.owner.get(), self.created);
        Ok(Attr { size: FILE_SIZE, ..attr })
    }

    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        if change.size.is_some() {
            return Err(Errno::EINVAL);
        }
        self.owner.borrow_mut().change(change);
        Ok(())
    }

    fn open(self: Arc<Self>, _flags: i32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(MqFile(self)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
