//! A message in a receiver's queue.

use super::UnixSocket;
use super::names::Name;
use super::rights::Rights;
use crate::fs::file::OpenFile;
use crate::fs::socket::Outgoing;
use crate::mm::IoBuf;
use crate::sched::current;
use crate::task::limits;
use crate::{Errno, Result};
use std::sync::Arc;

pub struct Message {
    bytes: Vec<u8>,
    /// How many of the bytes were read (of a stream).
    start: usize,
    /// What it counts against its sender's buffer.
    charge: usize,
    sender: Arc<UnixSocket>,
    /// The sender's address when it was sent.
    pub from: Option<Arc<Name>>,
    rights: Option<Rights>,
    /// Who sent it, if either side had asked for that (SO_PASSCRED) or the sender said.
    pub creds: Option<libc::ucred>,
}

/// Open files and credentials of a message to be sent.
pub struct Attachments {
    rights: Option<Rights>,
    creds: Option<libc::ucred>,
}

impl Attachments {
    pub fn new(message: &mut Outgoing<'_>) -> Result<Attachments> {
        let files = std::mem::take(&mut message.rights);
        let rights = if files.is_empty() {
            None
        } else {
            let task = current();
            Rights::new(files, task.creds().uid, task.process.limit(limits::NOFILE))?
        };
        Ok(Attachments { rights, creds: message.creds })
    }

    /// Credentials alone.
    pub fn with_creds(creds: Option<libc::ucred>) -> Attachments {
        Attachments { rights: None, creds }
    }
}

/// Who a message comes from when its sender does not say.
fn sender_creds() -> libc::ucred {
    let task = current();
    let creds = task.creds();
    libc::ucred { pid: task.pid(), uid: creds.uid, gid: creds.gid }
}

impl Message {
    /// Takes `len` bytes from `buf` for a message of `sender` to `receiver`.
    pub fn new(
        sender: &UnixSocket,
        receiver: Option<&UnixSocket>,
        buf: &mut IoBuf<'_>,
        len: usize,
        attachments: Attachments,
    ) -> Result<Message> {
        let bytes = buf.take_vec(len)?;
        if bytes.len() < len {
            return Err(Errno::EFAULT);
        }
        let asked = sender.common.pass_credentials() || receiver.is_none_or(|r| r.common.pass_credentials());
        let charge = charge(len);
        sender.state.borrow_mut().in_flight += charge;
        Ok(Message {
            bytes,
            start: 0,
            charge,
            sender: sender.arc(),
            from: sender.state.borrow().name.clone(),
            rights: attachments.rights,
            creds: attachments.creds.or_else(|| asked.then(sender_creds)),
        })
    }

    /// Bytes not read yet.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Counts bytes as read.
    pub fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.bytes.len());
    }

    pub fn rights(&self) -> &[Arc<OpenFile>] {
        self.rights.as_ref().map_or(&[], Rights::files)
    }

    pub fn take_rights(&mut self) -> Vec<Arc<OpenFile>> {
        self.rights.take().map(Rights::into_files).unwrap_or_default()
    }

    /// The credentials to tell a receiver who asks: nobody's if they were not taken down.
    pub fn creds_or_nobody(&self) -> libc::ucred {
        self.creds.unwrap_or(libc::ucred { pid: 0, uid: 65534, gid: 65534 })
    }

    /// The sender's address, as recvfrom(2) gives it; none when it has none.
    pub fn from_address(&self) -> Option<Vec<u8>> {
        self.from.as_deref().map(Name::address)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.sender.landed(self.charge);
    }
}

/// What a message of `len` bytes counts against the send buffer: on Linux it includes the memory around the bytes, and programs that
/// fill a socket see when it is full.
fn charge(len: usize) -> usize {
    const DESCRIPTOR: usize = 256;
    const SHARED_INFO: usize = 320;
    const LARGEST_HEAD: usize = 4096 - SHARED_INFO;
    let paged = if len > LARGEST_HEAD { (len - LARGEST_HEAD).next_multiple_of(4096).min(len) } else { 0 };
    let head = len - paged + SHARED_INFO;
    let head = if head <= 704 { 704 } else { head.next_power_of_two() };
    DESCRIPTOR + head + paged.next_multiple_of(4096)
}
