//! Sockets (socket(7)): what is common to all protocol families.
//!
//! A family implements [`Socket`]; descriptors hold a [`SocketFile`], which makes an open file of
//! it. The system calls decode addresses and control messages only as far as every family shares
//! them.

pub mod options;
pub mod unix;

use crate::mm::IoBuf;
use crate::sched::wait::{Sleep, WaitQueue, wait_until};
use crate::vfs::anon::AnonKind;
use crate::vfs::file::{Events, FileOps, OpenFile};
use crate::{Errno, Result};
use options::{Common, OptionValue};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;
use umlab_abi::socket::Ucred;

/// sizeof(struct sockaddr_storage): no address is longer.
pub const MAX_ADDRESS: usize = 128;

/// A message on its way out: everything but the bytes.
#[derive(Default)]
pub struct Outgoing<'a> {
    /// MSG_*; MSG_DONTWAIT is set for non-blocking files too.
    pub flags: i32,
    /// Where to, if it was said.
    pub to: Option<&'a [u8]>,
    /// Open files to pass on (SCM_RIGHTS), if any.
    pub rights: Vec<Arc<OpenFile>>,
    /// Who it claims to come from (SCM_CREDENTIALS; checked).
    pub creds: Option<Ucred>,
}

/// A message received: everything but the bytes.
#[derive(Default)]
pub struct Incoming {
    /// What the call returns; more than was copied when MSG_TRUNC asked for the real length.
    pub len: usize,
    /// MSG_TRUNC and the like, for msg_flags.
    pub flags: i32,
    pub from: Option<Vec<u8>>,
    pub rights: Vec<Arc<OpenFile>>,
    /// Who sent it, when SO_PASSCRED asks for that.
    pub creds: Option<Ucred>,
}

/// What a protocol family does for one socket.
#[allow(unused_variables)]
pub trait Socket: Send + Sync + Any {
    /// AF_*.
    fn domain(&self) -> i32;
    /// SOCK_STREAM and so on.
    fn kind(&self) -> i32;
    fn protocol(&self) -> i32 {
        0
    }
    /// The options every socket has.
    fn common(&self) -> &Common;

    /// bind(2). A node that is made for it has the mode that the socket's own file has (fchmod(2)).
    fn bind(&self, address: &[u8], mode: u32) -> Result<()>;
    fn connect(&self, address: &[u8], nonblock: bool) -> Result<()>;
    fn listen(&self, backlog: i32) -> Result<()>;
    fn accept(&self, nonblock: bool) -> Result<Arc<dyn Socket>>;
    /// The address it is bound to (getsockname(2)).
    fn local_address(&self) -> Result<Vec<u8>>;
    /// The address it is connected to (getpeername(2)).
    fn peer_address(&self) -> Result<Vec<u8>>;
    fn send(&self, buf: &mut IoBuf<'_>, message: Outgoing<'_>) -> Result<usize>;
    /// `flags` as in `Outgoing`.
    fn receive(&self, buf: &mut IoBuf<'_>, flags: i32) -> Result<Incoming>;
    /// `how` is SHUT_RD, SHUT_WR or SHUT_RDWR.
    fn shutdown(&self, how: i32) -> Result<()>;

    fn poll(&self) -> Events;
    fn poll_queues(&self) -> SmallVec<[&WaitQueue; 2]>;
    fn ioctl(&self, command: u32, arg: u64) -> Result<u64> {
        Err(Errno::ENOTTY)
    }

    /// The option, when it is one of the family's own; None for those that [`Common`] keeps.
    fn option(&self, level: i32, name: i32) -> Option<Result<OptionValue>> {
        None
    }
    fn set_option(&self, level: i32, name: i32, value: &[u8]) -> Option<Result<()>> {
        None
    }
    /// Takes the pending error (SO_ERROR).
    fn take_error(&self) -> Option<Errno> {
        None
    }
    fn listening(&self) -> bool {
        false
    }

    /// An error that the next call fails with.
    fn set_error(&self, error: Errno);

    /// No descriptor refers to it any more.
    fn released(&self);

    fn as_any(&self) -> &dyn Any;
}

/// A new socket.
///
/// # Errors
/// EAFNOSUPPORT for families there are none of, ESOCKTNOSUPPORT or EPROTONOSUPPORT for kinds and
/// protocols the family lacks.
pub fn create(domain: i32, kind: i32, protocol: i32) -> Result<Arc<dyn Socket>> {
    check_kind(domain, kind)?;
    match domain {
        abi::AF_UNIX => Ok(unix::UnixSocket::create(kind, protocol)?),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// Two connected sockets.
pub fn create_pair(domain: i32, kind: i32, protocol: i32) -> Result<(Arc<dyn Socket>, Arc<dyn Socket>)> {
    check_kind(domain, kind)?;
    match domain {
        abi::AF_UNIX => {
            let (a, b) = unix::UnixSocket::create_pair(kind, protocol)?;
            Ok((a, b))
        }
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

fn check_kind(domain: i32, kind: i32) -> Result<()> {
    const FAMILIES: i32 = 46;
    const KINDS: i32 = 11;
    if !(0..FAMILIES).contains(&domain) {
        return Err(Errno::EAFNOSUPPORT);
    }
    if !(0..KINDS).contains(&kind) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// The operations of an open socket.
pub struct SocketFile {
    socket: Arc<dyn Socket>,
}

impl SocketFile {
    /// An open file for the socket; `flags` may have O_NONBLOCK.
    pub fn open(socket: Arc<dyn Socket>, flags: i32) -> Arc<OpenFile> {
        OpenFile::anonymous(AnonKind::Socket, Arc::new(SocketFile { socket }), flags | abi::O_RDWR)
    }

    pub fn socket(&self) -> &Arc<dyn Socket> {
        &self.socket
    }
}

/// The socket behind an open file; ENOTSOCK when there is none.
pub fn of(file: &OpenFile) -> Result<&Arc<dyn Socket>> {
    file.ops_as::<SocketFile>().map(SocketFile::socket).ok_or(Errno::ENOTSOCK)
}

/// MSG_DONTWAIT for a non-blocking file.
pub fn wait_flag(file: &OpenFile) -> i32 {
    if file.nonblocking() { abi::MSG_DONTWAIT } else { 0 }
}

/// Sleeps until `condition` gives a value, as a socket call does: EAGAIN when `timeout` (ns)
/// passes; with a timeout a signal means EINTR, without one the call is restarted.
pub(crate) fn wait<T>(queue: &WaitQueue, timeout: Option<u64>, condition: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = timeout.map(|t| crate::time::now().saturating_add(t));
    wait_until(&[queue], deadline, Sleep::Interruptible, condition).map_err(|e| match e {
        Errno::ETIMEDOUT => Errno::EAGAIN,
        Errno::ERESTARTSYS if timeout.is_some() => Errno::EINTR,
        e => e,
    })
}

impl FileOps for SocketFile {
    fn read(&self, file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        Ok(self.socket.receive(buf, wait_flag(file))?.len)
    }

    fn write(&self, file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        self.socket.send(buf, Outgoing { flags: wait_flag(file), ..Outgoing::default() })
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        self.socket.poll()
    }

    fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        Some(self.socket.poll_queues())
    }

    fn ioctl(&self, _file: &OpenFile, command: u32, arg: u64) -> Result<u64> {
        self.socket.ioctl(command, arg)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.socket.released();
    }
}
