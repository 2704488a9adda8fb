//! A queue: its messages, and who waits for one or for room.
//!
//! A message goes straight to the first receiver that wants it, and room to the first sender whose
//! message fits: the order of arrival decides, not who runs first.

use super::store::{Message, Messages, Which};
use super::{MAX_BYTES, Object, Perm, seconds};
use crate::Pid;
use crate::lock::KCell;
use crate::sched::preempt_point;
use crate::sched::wait::WaitQueue;
use crate::{Errno, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// So many messages are dropped between two preemption points.
const BATCH: usize = 1024;

/// What became of a wait. EAGAIN: who may do what has changed, and the call begins again.
type Outcome<T> = KCell<Option<Result<T>>>;

/// A sleeper that wants a message.
pub struct Receiver {
    pub which: Which,
    pub room: usize,
    /// A longer message is cut.
    pub cut: bool,
    pub pid: Pid,
    pub queue: WaitQueue,
    pub outcome: Outcome<Message>,
}

impl Receiver {
    fn finish(&self, outcome: Result<Message>) {
        self.outcome.set(Some(outcome));
        self.queue.wake_all();
    }
}

/// A sleeper whose message finds no room.
pub struct Sender {
    pub message: KCell<Option<Message>>,
    len: usize,
    pid: Pid,
    pub queue: WaitQueue,
    pub outcome: Outcome<()>,
}

impl Sender {
    fn new(message: Message, pid: Pid) -> Arc<Sender> {
        let len = message.bytes.len();
        let (queue, outcome) = (WaitQueue::new(), KCell::default());
        Arc::new(Sender { message: KCell::new(Some(message)), len, pid, queue, outcome })
    }

    fn finish(&self, outcome: Result<()>) {
        self.outcome.set(Some(outcome));
        self.queue.wake_all();
    }
}

/// What a queue is asked about.
#[derive(Clone, Copy)]
pub struct Status {
    pub sent: i64,
    pub received: i64,
    pub changed: i64,
    pub bytes: u64,
    pub messages: u64,
    /// The most bytes.
    pub limit: u64,
    pub last_sender: Pid,
    pub last_receiver: Pid,
}

pub struct MsgQueue {
    pub(super) perm: KCell<Perm>,
    inner: KCell<Inner>,
}

struct Inner {
    messages: Messages,
    receivers: BTreeMap<u64, Arc<Receiver>>,
    senders: BTreeMap<u64, Arc<Sender>>,
    next: u64,
    limit: u64,
    sent: i64,
    received: i64,
    changed: i64,
    last_sender: Pid,
    last_receiver: Pid,
    removed: bool,
}

impl Object for MsgQueue {
    fn perm(&self) -> Perm {
        self.perm.get()
    }
}

impl MsgQueue {
    pub fn new(perm: Perm) -> MsgQueue {
        let inner = Inner {
            messages: Messages::default(),
            receivers: BTreeMap::new(),
            senders: BTreeMap::new(),
            next: 0,
            limit: MAX_BYTES.load(Relaxed).cast_unsigned(),
            sent: 0,
            received: 0,
            changed: seconds(),
            last_sender: 0,
            last_receiver: 0,
            removed: false,
        };
        MsgQueue { perm: KCell::new(perm), inner: KCell::new(inner) }
    }

    pub fn status(&self) -> Status {
        let inner = self.inner.borrow();
        Status {
            sent: inner.sent,
            received: inner.received,
            changed: inner.changed,
            bytes: inner.messages.bytes(),
            messages: inner.messages.count(),
            limit: inner.limit,
            last_sender: inner.last_sender,
            last_receiver: inner.last_receiver,
        }
    }

    /// Sends, or gives back where to wait, if it `may_wait`.
    ///
    /// # Errors
    /// EIDRM; EAGAIN when there is no room.
    pub fn send(&self, message: Message, pid: Pid, may_wait: bool) -> Result<Option<(u64, Arc<Sender>)>> {
        let mut inner = self.inner.borrow_mut();
        if inner.removed {
            return Err(Errno::EIDRM);
        }
        if inner.fits(message.bytes.len()) {
            inner.accept(message, pid);
            return Ok(None);
        }
        if !may_wait {
            return Err(Errno::EAGAIN);
        }
        let (serial, sender) = (inner.number(), Sender::new(message, pid));
        inner.senders.insert(serial, sender.clone());
        Ok(Some((serial, sender)))
    }

    /// A message for the receiver, if there is one.
    ///
    /// # Errors
    /// EIDRM; E2BIG when it is too long, and stays.
    pub fn receive(&self, receiver: &Receiver) -> Result<Option<Message>> {
        let mut inner = self.inner.borrow_mut();
        if inner.removed {
            return Err(Errno::EIDRM);
        }
        let Some((kind, len)) = inner.messages.find(receiver.which) else { return Ok(None) };
        if len > receiver.room && !receiver.cut {
            return Err(Errno::E2BIG);
        }
        let message = inner.messages.take(kind);
        inner.note_received(receiver.pid);
        inner.admit();
        Ok(message)
    }

    /// Lets a receiver wait. Nothing may happen between `receive` and this.
    pub fn add_receiver(&self, receiver: &Arc<Receiver>) -> u64 {
        let mut inner = self.inner.borrow_mut();
        let serial = inner.number();
        inner.receivers.insert(serial, receiver.clone());
        serial
    }

    pub fn remove_waiter(&self, serial: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.receivers.remove(&serial);
        inner.senders.remove(&serial);
    }

    /// IPC_SET. Who waits may not have the right any more, or may have room.
    pub fn change(&self, uid: u32, gid: u32, mode: u32, limit: u64) -> Result<()> {
        self.perm.borrow_mut().set(uid, gid, mode)?;
        let mut inner = self.inner.borrow_mut();
        inner.limit = limit;
        inner.changed = seconds();
        inner.finish_all(Errno::EAGAIN);
        Ok(())
    }

    /// It is removed: all who wait are told, and messages are lost.
    pub fn end(&self) {
        let mut messages = {
            let mut inner = self.inner.borrow_mut();
            inner.removed = true;
            inner.finish_all(Errno::EIDRM);
            std::mem::take(&mut inner.messages)
        };
        while messages.count() > 0 {
            for _ in 0..BATCH {
                let first = messages.find(Which::First);
                drop(first.and_then(|(kind, _)| messages.take(kind)));
            }
            preempt_point();
        }
    }
}

impl Inner {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Empty messages need room too.
    fn fits(&self, len: usize) -> bool {
        self.messages.bytes() + len as u64 <= self.limit && self.messages.count() < self.limit
    }

    /// Gives a message to whoever waits for it, or keeps it.
    fn accept(&mut self, message: Message, pid: Pid) {
        self.last_sender = pid;
        self.sent = seconds();
        let wants = |receiver: &Receiver| receiver.which.matches(message.kind);
        while let Some((&serial, _)) = self.receivers.iter().find(|(_, receiver)| wants(receiver)) {
            let Some(receiver) = self.receivers.remove(&serial) else { break };
            if message.bytes.len() > receiver.room && !receiver.cut {
                receiver.finish(Err(Errno::E2BIG));
                continue;
            }
            self.note_received(receiver.pid);
            receiver.finish(Ok(message));
            return;
        }
        self.messages.push(message);
    }

    fn note_received(&mut self, pid: Pid) {
        self.last_receiver = pid;
        self.received = seconds();
    }

    /// There is room: those senders go on whose messages fit now.
    fn admit(&mut self) {
        let waiting: Vec<u64> = self.senders.keys().copied().collect();
        for serial in waiting {
            if !self.senders.get(&serial).is_some_and(|sender| self.fits(sender.len)) {
                continue;
            }
            if let Some(sender) = self.senders.remove(&serial)
                && let Some(message) = sender.message.take()
            {
                self.accept(message, sender.pid);
                sender.finish(Ok(()));
            }
        }
    }

    fn finish_all(&mut self, error: Errno) {
        for receiver in std::mem::take(&mut self.receivers).values() {
            receiver.finish(Err(error));
        }
        for sender in std::mem::take(&mut self.senders).values() {
            sender.finish(Err(error));
        }
    }
}
