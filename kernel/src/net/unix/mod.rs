//! AF_UNIX (unix(7)): sockets between processes of the guest.
//!
//! A connected pair is two [`UnixSocket`]s that know each other; a message goes straight into the
//! receiver's queue and counts against its sender's buffer until it is read.

mod connection;
mod datagram;
mod message;
mod names;
mod rights;
mod stream;

pub use rights::MAX_RIGHTS;

use super::options::{self, Common, OptionValue};
use super::{Incoming, Outgoing, Socket, wait};
use crate::lock::KCell;
use crate::mm::IoBuf;
use crate::mm::user::bytes_of;
use crate::sched::wait::WaitQueue;
use crate::task::current;
use crate::vfs::file::{Events, OpenFile};
use crate::{Errno, Result};
use abi::number::saturated_i32;
use message::Message;
use names::Name;
use smallvec::SmallVec;
use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use umlab_abi::socket::Ucred;

pub(super) const READABLE: u32 = Events::IN.bits() | Events::PRI.bits() | Events::RDNORM.bits() | Events::RDBAND.bits();
pub(super) const WRITABLE: u32 = Events::OUT.bits() | Events::WRNORM.bits() | Events::WRBAND.bits();

/// The halves of a connection that are shut down.
const SHUT_RECEIVE: u8 = 1;
const SHUT_SEND: u8 = 2;
const SHUT_BOTH: u8 = 3;

/// net.unix.max_dgram_qlen: messages a datagram socket holds from senders that are not its peer.
const MAX_QUEUED: usize = 10;
/// net.core.somaxconn.
const MAX_BACKLOG: usize = 4096;
/// The SIOCOUTQ of sockios.h, which is TIOCOUTQ.
const SIOCOUTQ: u32 = abi::TIOCOUTQ;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Stream,
    Datagram,
    SeqPacket,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    #[default]
    Closed,
    Listening,
    Connected,
}

pub struct UnixSocket {
    me: Weak<UnixSocket>,
    kind: Kind,
    common: Common,
    state: KCell<State>,
    /// Who waits for a message, a connection, or their end.
    readable: WaitQueue,
    /// Who waits for messages it sent to be read.
    writable: WaitQueue,
    /// Who waits for this socket's queue, or backlog, to have room for something new.
    room: WaitQueue,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// Nobody has it open any more.
    dead: bool,
    name: Option<Arc<Name>>,
    peer: Option<Arc<UnixSocket>>,
    incoming: VecDeque<Message>,
    /// Connections not accepted yet.
    pending: VecDeque<Arc<UnixSocket>>,
    backlog: usize,
    shut: u8,
    error: Option<Errno>,
    /// Who the peer was when the connection was made (SO_PEERCRED).
    peer_creds: Option<Ucred>,
    /// What sent and unread messages count.
    in_flight: usize,
    /// Sockets that send to this one, and found it full when they were polled.
    pollers: Vec<Weak<UnixSocket>>,
    /// SO_PEEK_OFF, negative when off.
    peek_offset: Option<usize>,
}

/// The effective ids of the current task, as SO_PEERCRED tells them.
fn own_creds() -> Ucred {
    let task = current();
    let creds = task.creds();
    Ucred { pid: task.pid(), uid: creds.euid, gid: creds.egid }
}

impl UnixSocket {
    fn new(kind: Kind, common: Common) -> Arc<UnixSocket> {
        Arc::new_cyclic(|me| UnixSocket {
            me: me.clone(),
            kind,
            common,
            state: KCell::default(),
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
            room: WaitQueue::new(),
        })
    }

    /// A socket for socket(2).
    pub fn create(kind: i32, protocol: i32) -> Result<Arc<UnixSocket>> {
        if protocol != 0 && protocol != abi::AF_UNIX {
            return Err(Errno::EPROTONOSUPPORT);
        }
        let kind = match kind {
            abi::SOCK_STREAM => Kind::Stream,
            // For AF_UNIX a raw socket is a datagram socket.
            abi::SOCK_DGRAM | abi::SOCK_RAW => Kind::Datagram,
            abi::SOCK_SEQPACKET => Kind::SeqPacket,
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        };
        Ok(UnixSocket::new(kind, Common::default()))
    }

    /// Two connected sockets, for socketpair(2).
    pub fn create_pair(kind: i32, protocol: i32) -> Result<(Arc<UnixSocket>, Arc<UnixSocket>)> {
        let (a, b) = (UnixSocket::create(kind, protocol)?, UnixSocket::create(kind, protocol)?);
        let creds = own_creds();
        for (socket, peer) in [(&a, &b), (&b, &a)] {
            let mut state = socket.state.borrow_mut();
            state.peer = Some(peer.clone());
            state.phase = Phase::Connected;
            state.peer_creds = Some(creds);
        }
        Ok((a, b))
    }

    fn arc(&self) -> Arc<UnixSocket> {
        self.me.upgrade().expect("a socket that is used has an owner")
    }

    fn connection_based(&self) -> bool {
        self.kind != Kind::Datagram
    }

    fn peer(&self) -> Option<Arc<UnixSocket>> {
        self.state.borrow().peer.clone()
    }

    /// Whether it holds as many messages as senders that are not its peer may give it; for a
    /// listening one, connections.
    fn is_full(&self) -> bool {
        let state = self.state.borrow();
        match state.phase {
            Phase::Listening => state.pending.len() > state.backlog,
            _ => state.incoming.len() > MAX_QUEUED,
        }
    }

    /// Whether poll(2) calls it writable: a good part of its buffer is free.
    fn has_room(&self) -> bool {
        let state = self.state.borrow();
        state.phase != Phase::Listening && state.in_flight * 4 <= self.common.send_buffer()
    }

    /// Waits until another message may be sent, as far as the send buffer is concerned.
    fn wait_to_send(&self, nonblock: bool) -> Result<()> {
        let ready = || {
            let mut state = self.state.borrow_mut();
            if let Some(error) = state.error.take() {
                return Some(Err(error));
            }
            if state.shut & SHUT_SEND != 0 {
                return Some(Err(Errno::EPIPE));
            }
            (state.in_flight < self.common.send_buffer()).then_some(Ok(()))
        };
        if nonblock {
            return ready().unwrap_or(Err(Errno::EAGAIN));
        }
        wait(&self.writable, self.common.send_timeout(), ready)?
    }

    /// A message of ours was read, or dropped.
    fn landed(&self, charge: usize) {
        let room = {
            let mut state = self.state.borrow_mut();
            state.in_flight = state.in_flight.saturating_sub(charge);
            !state.dead && state.in_flight * 4 <= self.common.send_buffer()
        };
        if room {
            self.writable.wake(WRITABLE);
        }
    }

    /// Remembers who must hear that there is room in the queue.
    fn note_poller(&self, poller: &Weak<UnixSocket>) {
        let pollers = &mut self.state.borrow_mut().pollers;
        if !pollers.iter().any(|p| p.ptr_eq(poller)) {
            pollers.push(poller.clone());
        }
    }

    /// Wakes who waits for room in the queue: those that sleep in a send, and those that poll their
    /// own sockets.
    fn room_made(&self) {
        self.room.wake_all();
        let pollers = std::mem::take(&mut self.state.borrow_mut().pollers);
        for poller in pollers.iter().filter_map(Weak::upgrade) {
            poller.writable.wake(WRITABLE);
        }
    }

    /// Wakes everyone who looks at the state of the connection.
    fn state_changed(&self) {
        self.readable.wake_all();
        self.writable.wake_all();
    }

    /// Its queued messages, taken away to be dropped.
    fn take_messages(&self) -> VecDeque<Message> {
        std::mem::take(&mut self.state.borrow_mut().incoming)
    }

    /// Calls `f` for every open file in its queue, and in those of connections it has not accepted.
    fn for_each_right(&self, f: &mut dyn FnMut(&Arc<OpenFile>)) {
        let state = self.state.borrow();
        for file in state.incoming.iter().flat_map(Message::rights) {
            f(file);
        }
        for embryo in &state.pending {
            embryo.for_each_right(f);
        }
    }

    /// Ends it: the last open file is gone, or the listening socket that had it in its backlog.
    /// `embryo` for the second.
    fn release(&self, embryo: bool) {
        let mut state = self.state.borrow_mut();
        if std::mem::replace(&mut state.dead, true) {
            return;
        }
        state.phase = Phase::Closed;
        state.shut = SHUT_BOTH;
        let peer = state.peer.take();
        let name = state.name.clone();
        let incoming = std::mem::take(&mut state.incoming);
        let pending = std::mem::take(&mut state.pending);
        drop(state);
        if let Some(name) = name {
            name.unregister(self);
        }
        if let Some(peer) = peer
            && self.connection_based()
        {
            {
                let mut state = peer.state.borrow_mut();
                state.shut = SHUT_BOTH;
                if !incoming.is_empty() || embryo {
                    state.error = Some(Errno::ECONNRESET);
                }
            }
            peer.state_changed();
        }
        for embryo in pending {
            embryo.release(true);
        }
        drop(incoming);
        self.room_made();
        rights::collect();
    }
}

impl Socket for UnixSocket {
    fn domain(&self) -> i32 {
        abi::AF_UNIX
    }

    fn kind(&self) -> i32 {
        match self.kind {
            Kind::Stream => abi::SOCK_STREAM,
            Kind::Datagram => abi::SOCK_DGRAM,
            Kind::SeqPacket => abi::SOCK_SEQPACKET,
        }
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn bind(&self, address: &[u8], mode: u32) -> Result<()> {
        self.bind_name(address, mode)
    }

    fn connect(&self, address: &[u8], nonblock: bool) -> Result<()> {
        match self.kind {
            Kind::Datagram => self.connect_datagram(address),
            _ => self.connect_stream(address, nonblock),
        }
    }

    fn listen(&self, backlog: i32) -> Result<()> {
        self.start_listening(backlog)
    }

    fn accept(&self, nonblock: bool) -> Result<Arc<dyn Socket>> {
        Ok(self.accept_connection(nonblock)?)
    }

    fn local_address(&self) -> Result<Vec<u8>> {
        Ok(names::address_of(self.state.borrow().name.as_deref()))
    }

    fn peer_address(&self) -> Result<Vec<u8>> {
        let peer = self.peer().ok_or(Errno::ENOTCONN)?;
        peer.local_address()
    }

    fn send(&self, buf: &mut IoBuf<'_>, message: Outgoing<'_>) -> Result<usize> {
        if message.flags & abi::MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        match self.kind {
            Kind::Stream => self.send_stream(buf, message),
            Kind::Datagram => self.send_datagram(buf, message),
            Kind::SeqPacket => self.send_packet(buf, message),
        }
    }

    fn receive(&self, buf: &mut IoBuf<'_>, flags: i32) -> Result<Incoming> {
        match self.kind {
            Kind::Stream => self.receive_stream(buf, flags),
            _ => self.receive_datagram(buf, flags),
        }
    }

    fn shutdown(&self, how: i32) -> Result<()> {
        let shut = match how {
            abi::SHUT_RD => SHUT_RECEIVE,
            abi::SHUT_WR => SHUT_SEND,
            abi::SHUT_RDWR => SHUT_BOTH,
            _ => return Err(Errno::EINVAL),
        };
        let peer = {
            let mut state = self.state.borrow_mut();
            state.shut |= shut;
            state.peer.clone()
        };
        if let Some(peer) = peer
            && self.connection_based()
        {
            // What one side will not receive the other cannot send, and the other way round.
            peer.state.borrow_mut().shut |= (shut & SHUT_RECEIVE) << 1 | (shut & SHUT_SEND) >> 1;
            peer.state_changed();
        }
        self.state_changed();
        Ok(())
    }

    fn poll(&self) -> Events {
        let (mut events, peer) = {
            let state = self.state.borrow();
            let mut events = Events::empty();
            if state.error.is_some() {
                events |= Events::ERR;
            }
            if state.shut == SHUT_BOTH || self.connection_based() && state.phase == Phase::Closed {
                events |= Events::HUP;
            }
            if state.shut & SHUT_RECEIVE != 0 {
                events |= Events::RDHUP | Events::IN | Events::RDNORM;
            }
            if !state.incoming.is_empty() || !state.pending.is_empty() {
                events |= Events::IN | Events::RDNORM;
            }
            (events, state.peer.clone())
        };
        let peer_full = || match peer {
            Some(peer) if self.kind == Kind::Datagram => {
                let full = !peer.is_connected_to(self) && peer.is_full();
                if full {
                    peer.note_poller(&self.me);
                }
                full
            }
            _ => false,
        };
        if self.has_room() && !peer_full() {
            events |= Events::OUT | Events::WRNORM | Events::WRBAND;
        }
        events
    }

    fn poll_queues(&self) -> SmallVec<[&WaitQueue; 2]> {
        SmallVec::from_buf([&self.readable, &self.writable])
    }

    fn ioctl(&self, command: u32, arg: u64) -> Result<u64> {
        let task = &crate::task::current();
        let state = self.state.borrow();
        let value = match command {
            SIOCOUTQ => state.in_flight,
            abi::FIONREAD => match (self.kind, state.phase) {
                (_, Phase::Listening) => return Err(Errno::EINVAL),
                (Kind::Datagram, _) => state.incoming.front().map_or(0, Message::len),
                _ => state.incoming.iter().map(Message::len).sum(),
            },
            _ => return Err(Errno::ENOTTY),
        };
        drop(state);
        task.space().write(arg, &saturated_i32(value))?;
        Ok(0)
    }

    fn option(&self, level: i32, name: i32) -> Option<Result<OptionValue>> {
        if level != abi::SOL_SOCKET {
            return None;
        }
        match name {
            abi::SO_PEERCRED => {
                let none = Ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
                let creds = self.state.borrow().peer_creds.unwrap_or(none);
                Some(Ok(SmallVec::from_slice(bytes_of(&creds))))
            }
            abi::SO_PEEK_OFF => {
                let offset = self.state.borrow().peek_offset;
                Some(Ok(options::int(offset.map_or(-1, saturated_i32))))
            }
            _ => None,
        }
    }

    fn set_option(&self, level: i32, name: i32, value: &[u8]) -> Option<Result<()>> {
        if level != abi::SOL_SOCKET || name != abi::SO_PEEK_OFF {
            return None;
        }
        Some(options::parse_int(value).map(|offset| {
            self.state.borrow_mut().peek_offset = usize::try_from(offset).ok();
        }))
    }

    fn set_error(&self, error: Errno) {
        self.state.borrow_mut().error = Some(error);
    }

    fn take_error(&self) -> Option<Errno> {
        self.state.borrow_mut().error.take()
    }

    fn listening(&self) -> bool {
        self.state.borrow().phase == Phase::Listening
    }

    fn released(&self) {
        self.release(false);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
