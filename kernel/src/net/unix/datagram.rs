//! Messages over datagram and sequenced-packet sockets.

use super::message::{Attachments, Message};
use super::{Phase, READABLE, SHUT_RECEIVE, UnixSocket};
use crate::mm::IoBuf;
use crate::net::{Incoming, Outgoing, wait};
use crate::{Errno, Result};
use std::sync::Arc;

impl UnixSocket {
    /// A sequenced packet: to the peer only.
    pub(super) fn send_packet(&self, buf: &mut IoBuf<'_>, mut message: Outgoing<'_>) -> Result<usize> {
        {
            let mut state = self.state.borrow_mut();
            if let Some(error) = state.error.take() {
                return Err(error);
            }
            if state.phase != Phase::Connected {
                return Err(Errno::ENOTCONN);
            }
        }
        message.to = None;
        self.send_datagram(buf, message)
    }

    pub(super) fn send_datagram(&self, buf: &mut IoBuf<'_>, mut message: Outgoing<'_>) -> Result<usize> {
        let nonblock = message.flags & abi::MSG_DONTWAIT != 0;
        let mut receiver = match message.to {
            Some(_) => None,
            None => Some(self.peer().ok_or(Errno::ENOTCONN)?),
        };
        let attachments = Attachments::new(&mut message)?;
        if self.common.pass_credentials() {
            self.autobind()?;
        }
        let len = buf.remaining();
        if len > self.common.send_buffer() - 32 {
            return Err(Errno::EMSGSIZE);
        }
        self.wait_to_send(nonblock)?;
        let mut packet = Some(Message::new(self, receiver.as_deref(), buf, len, attachments)?);
        loop {
            let target = match (receiver.take(), message.to) {
                (Some(target), _) => target,
                (None, Some(to)) => self.find_target(to)?,
                (None, None) => return Err(Errno::ECONNRESET),
            };
            if !target.accepts_from(self) {
                return Err(Errno::EPERM);
            }
            let (dead, shut) = {
                let state = target.state.borrow();
                (state.dead, state.shut)
            };
            if dead {
                if self.disconnect_from(&target) {
                    return Err(Errno::ECONNREFUSED);
                }
                continue;
            }
            if shut & SHUT_RECEIVE != 0 {
                return Err(Errno::EPIPE);
            }
            if !std::ptr::eq(self, Arc::as_ptr(&target)) && !target.is_connected_to(self) && target.is_full() {
                if nonblock {
                    return Err(Errno::EAGAIN);
                }
                let free = || {
                    let gone = {
                        let state = target.state.borrow();
                        state.dead || state.shut & SHUT_RECEIVE != 0
                    };
                    (gone || !target.is_full()).then_some(())
                };
                wait(&target.room, self.common.send_timeout(), free)?;
                receiver = Some(target);
                continue;
            }
            if let Some(packet) = packet.take() {
                target.state.borrow_mut().incoming.push_back(packet);
            }
            target.readable.wake(READABLE);
            return Ok(len);
        }
    }

    /// Whether it takes messages from `sender`: a connected one only from its peer.
    pub(super) fn accepts_from(&self, sender: &UnixSocket) -> bool {
        match &self.state.borrow().peer {
            Some(peer) => std::ptr::eq(Arc::as_ptr(peer), sender),
            None => true,
        }
    }

    pub(super) fn is_connected_to(&self, other: &UnixSocket) -> bool {
        self.state.borrow().peer.as_ref().is_some_and(|p| std::ptr::eq(Arc::as_ptr(p), other))
    }

    /// Forgets a peer that is gone. False if it was not the peer.
    fn disconnect_from(&self, gone: &Arc<UnixSocket>) -> bool {
        let mut state = self.state.borrow_mut();
        if !state.peer.as_ref().is_some_and(|p| Arc::ptr_eq(p, gone)) {
            return false;
        }
        state.peer = None;
        state.phase = Phase::Closed;
        // What the old peer sent is not for the next one.
        let old = std::mem::take(&mut state.incoming);
        drop(state);
        drop(old);
        true
    }

    pub(super) fn receive_datagram(&self, buf: &mut IoBuf<'_>, flags: i32) -> Result<Incoming> {
        if self.connection_based() && self.state.borrow().phase != Phase::Connected {
            return Err(Errno::ENOTCONN);
        }
        if flags & abi::MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let peek = flags & abi::MSG_PEEK != 0;
        if !self.wait_for_message(flags & abi::MSG_DONTWAIT != 0)? {
            return Ok(Incoming::default());
        }
        let mut incoming = Incoming::default();
        let mut rights = Vec::new();
        let (bytes, taken);
        {
            let mut state = self.state.borrow_mut();
            let skip = if peek { state.peek_offset.unwrap_or(0) } else { 0 };
            let Some(message) = state.incoming.front_mut() else { return Err(Errno::EAGAIN) };
            incoming.from = message.sender_address();
            if self.common.pass_credentials() {
                incoming.creds = Some(message.creds_or_nobody());
            }
            let skip = skip.min(message.len());
            let n = (message.len() - skip).min(buf.remaining());
            let left = message.len() - skip - n;
            incoming.len = n;
            if left > 0 {
                incoming.flags |= abi::MSG_TRUNC;
                if flags & abi::MSG_TRUNC != 0 {
                    incoming.len = n + left;
                }
            }
            if peek {
                rights = message.rights().to_vec();
                bytes = message.bytes()[skip..skip + n].to_vec();
                taken = None;
                if let Some(offset) = &mut state.peek_offset {
                    *offset += n;
                }
            } else {
                bytes = Vec::new();
                taken = state.incoming.pop_front();
            }
        }
        let Some(mut message) = taken else {
            buf.put_all(&bytes)?;
            incoming.rights = rights;
            return Ok(incoming);
        };
        self.room_made();
        let n = message.len().min(buf.remaining());
        buf.put_all(&message.bytes()[..n])?;
        incoming.rights = message.take_rights();
        Ok(incoming)
    }

    /// Waits until there is a message (true), or there will be none (false).
    fn wait_for_message(&self, nonblock: bool) -> Result<bool> {
        let ready = || {
            let mut state = self.state.borrow_mut();
            if let Some(error) = state.error.take() {
                return Some(Err(error));
            }
            if !state.incoming.is_empty() {
                return Some(Ok(true));
            }
            // Without waiting, only a connection tells its end from having nothing yet.
            (state.shut & SHUT_RECEIVE != 0 && (self.connection_based() || !nonblock)).then_some(Ok(false))
        };
        if nonblock {
            return ready().unwrap_or(Err(Errno::EAGAIN));
        }
        wait(&self.readable, self.common.receive_timeout(), ready)?
    }
}
