//! A message in a receiver's queue.

use super::names::Name;
use super::rights::Rights;
use super::{Kind, UnixSocket};
use crate::mm::IoBuf;
use crate::mm::pressure::room_for;
use crate::net::Outgoing;
use crate::task::current;
use crate::vfs::file::OpenFile;
use crate::{Errno, Result};
use std::sync::Arc;
use umlab_abi::socket::Ucred;

pub struct Message {
    bytes: Vec<u8>,
    /// How many of the bytes were read (of a stream).
    start: usize,
    /// What it counts against its sender's buffer.
    charge: usize,
    sender: Arc<UnixSocket>,
    rights: Option<Rights>,
    /// Who sent it, if either side had asked for that (SO_PASSCRED) or the sender said.
    pub creds: Option<Ucred>,
}

/// Open files and credentials of a message to be sent.
pub struct Attachments {
    rights: Option<Rights>,
    creds: Option<Ucred>,
}

impl Attachments {
    pub fn new(message: &mut Outgoing<'_>) -> Result<Attachments> {
        let files = std::mem::take(&mut message.rights);
        let rights = if files.is_empty() { None } else { Some(Rights::new(files, &current())?) };
        Ok(Attachments { rights, creds: message.creds })
    }

    /// Credentials alone.
    pub fn with_creds(creds: Option<Ucred>) -> Attachments {
        Attachments { rights: None, creds }
    }
}

/// Who a message comes from when its sender does not say.
fn sender_creds() -> Ucred {
    let task = current();
    let creds = task.creds();
    Ucred { pid: task.pid(), uid: creds.uid, gid: creds.gid }
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
        room_for(len)?;
        let bytes = buf.take_vec(len)?;
        if bytes.len() < len {
            return Err(Errno::EFAULT);
        }
        let asked = sender.common.pass_credentials() || receiver.is_none_or(|r| r.common.pass_credentials());
        let charge = charge(len, sender.kind == Kind::Stream);
        sender.state.borrow_mut().in_flight += charge;
        Ok(Message {
            bytes,
            start: 0,
            charge,
            sender: sender.arc(),
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
    pub fn creds_or_nobody(&self) -> Ucred {
        self.creds.unwrap_or(Ucred { pid: 0, uid: 65534, gid: 65534 })
    }

    /// The sender's address now, as recvfrom(2) gives it; none when it has none.
    pub fn sender_address(&self) -> Option<Vec<u8>> {
        self.sender.state.borrow().name.as_deref().map(Name::address)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.sender.landed(self.charge);
    }
}

/// What a message of `len` bytes counts against the send buffer: on Linux it includes the memory
/// around the bytes, and programs that fill a socket see when it is full.
fn charge(len: usize, stream: bool) -> usize {
    const DESCRIPTOR: usize = 256;
    const SHARED_INFO: usize = 320;
    // What is not in pages of its own.
    let largest_head = if stream { 4096 - SHARED_INFO } else { 4 * 4096 - SHARED_INFO };
    let paged = if len > largest_head { (len - largest_head).next_multiple_of(4096).min(len) } else { 0 };
    let head = (len - paged + SHARED_INFO).next_power_of_two().max(512);
    DESCRIPTOR + head + paged.next_multiple_of(4096)
}

#[cfg(test)]
mod tests {
    use super::charge;

    /// Messages of one size that a stream socket takes before it is full, as seen on Linux.
    #[test]
    fn sockets_fill_up_as_on_linux() {
        for (len, count) in [(1, 278), (1000, 93), (5000, 34)] {
            assert_eq!(212_992usize.div_ceil(charge(len, true)), count, "{len} bytes");
        }
        assert_eq!((charge(36_544, true), charge(26_912, true)), (37_120, 28_928));
    }
}
