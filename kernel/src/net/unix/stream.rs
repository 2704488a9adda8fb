//! Bytes over a stream socket.

use super::message::{Attachments, Message};
use super::{Phase, READABLE, SHUT_RECEIVE, SHUT_SEND, UnixSocket};
use crate::mm::IoBuf;
use crate::net::{Incoming, Outgoing, wait};
use crate::sched::killable_point;
use crate::{Errno, Result};
use smallvec::SmallVec;

/// Most bytes put into one message.
const MAX_CHUNK: usize = 36_544;

impl UnixSocket {
    pub(super) fn send_stream(&self, buf: &mut IoBuf<'_>, mut message: Outgoing<'_>) -> Result<usize> {
        let (peer, connected, shut) = {
            let state = self.state.borrow();
            (state.peer.clone(), state.phase == Phase::Connected, state.shut)
        };
        if message.to.is_some() {
            return Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP });
        }
        let peer = peer.ok_or(Errno::ENOTCONN)?;
        let mut attachments = Some(Attachments::new(&mut message)?);
        let creds = message.creds;
        let nonblock = message.flags & abi::MSG_DONTWAIT != 0;
        let largest = (self.common.send_buffer() / 2 - 64).min(MAX_CHUNK);
        let mut sent = 0;
        let result = loop {
            if shut & SHUT_SEND != 0 {
                break Err(Errno::EPIPE);
            }
            // An empty write sends nothing.
            if buf.is_empty() {
                break Ok(());
            }
            if let Err(e) = self.wait_to_send(nonblock) {
                break Err(e);
            }
            {
                let other = peer.state.borrow();
                if other.dead || other.shut & SHUT_RECEIVE != 0 {
                    break Err(Errno::EPIPE);
                }
            }
            let len = buf.remaining().min(largest);
            // Open files go with the first bytes, credentials with all.
            let with = attachments.take().unwrap_or_else(|| Attachments::with_creds(creds));
            match Message::new(self, Some(&peer), buf, len, with) {
                Ok(message) => peer.state.borrow_mut().incoming.push_back(message),
                Err(e) => break Err(e),
            }
            sent += len;
            peer.readable.wake(READABLE);
            if let Err(e) = killable_point() {
                break Err(e);
            }
        };
        match result {
            Err(Errno::EPIPE) if sent == 0 => {
                if message.flags & abi::MSG_NOSIGNAL == 0 {
                    crate::task::signal::send_sigpipe();
                }
                Err(Errno::EPIPE)
            }
            Err(e) if sent == 0 => Err(e),
            _ => Ok(sent),
        }
    }

    pub(super) fn receive_stream(&self, buf: &mut IoBuf<'_>, flags: i32) -> Result<Incoming> {
        if self.state.borrow().phase != Phase::Connected {
            return Err(Errno::EINVAL);
        }
        if flags & abi::MSG_OOB != 0 {
            // There never is any: it cannot be sent.
            return Err(Errno::EINVAL);
        }
        if flags & abi::MSG_PEEK != 0 {
            return self.peek_stream(buf, flags);
        }
        let nonblock = flags & abi::MSG_DONTWAIT != 0;
        let all = flags & abi::MSG_WAITALL != 0;
        let target = if all { buf.remaining() } else { self.common.low_water().min(buf.remaining()) };
        let with_creds = self.common.pass_credentials();
        let mut incoming = Incoming::default();
        loop {
            let next = self.state.borrow_mut().incoming.pop_front();
            let Some(mut message) = next else {
                if incoming.len > 0 && incoming.len >= target {
                    break;
                }
                match self.wait_for_bytes(nonblock) {
                    Ok(true) => continue,
                    Ok(false) => break,
                    Err(_) if incoming.len > 0 => break,
                    Err(e) => return Err(e),
                }
            };
            if with_creds {
                // Bytes of different senders are not mixed.
                let creds = message.creds_or_nobody();
                match &incoming.creds {
                    Some(have) if (have.pid, have.uid, have.gid) != (creds.pid, creds.uid, creds.gid) => {
                        self.state.borrow_mut().incoming.push_front(message);
                        break;
                    }
                    _ => incoming.creds = Some(creds),
                }
            }
            if incoming.from.is_none() {
                incoming.from = message.sender_address();
            }
            let n = message.len().min(buf.remaining());
            if let Err(e) = buf.put_all(&message.bytes()[..n]) {
                // What did not arrive whole was not received.
                self.state.borrow_mut().incoming.push_front(message);
                if incoming.len > 0 {
                    break;
                }
                return Err(e);
            }
            incoming.len += n;
            message.consume(n);
            let rights = message.take_rights();
            let had_rights = !rights.is_empty();
            incoming.rights.extend(rights);
            if message.len() > 0 {
                self.state.borrow_mut().incoming.push_front(message);
                break;
            }
            drop(message);
            if had_rights || buf.is_empty() || killable_point().is_err() {
                break;
            }
        }
        Ok(incoming)
    }

    /// Waits until there are bytes (true) or there will be none (false).
    fn wait_for_bytes(&self, nonblock: bool) -> Result<bool> {
        let ready = || {
            let mut state = self.state.borrow_mut();
            if !state.incoming.is_empty() {
                return Some(Ok(true));
            }
            if let Some(error) = state.error.take() {
                return Some(Err(error));
            }
            (state.shut & SHUT_RECEIVE != 0).then_some(Ok(false))
        };
        if nonblock {
            return ready().unwrap_or(Err(Errno::EAGAIN));
        }
        wait(&self.readable, self.common.receive_timeout(), ready)?
    }

    /// MSG_PEEK.
    fn peek_stream(&self, buf: &mut IoBuf<'_>, flags: i32) -> Result<Incoming> {
        let nonblock = flags & abi::MSG_DONTWAIT != 0;
        let mut incoming = Incoming::default();
        loop {
            if !self.wait_for_bytes(nonblock)? {
                return Ok(incoming);
            }
            let mut bytes = Vec::new();
            // Where each message's part of the bytes ends.
            let mut ends: SmallVec<[usize; 4]> = SmallVec::new();
            {
                let state = self.state.borrow();
                let mut skip = state.peek_offset.unwrap_or(0);
                for message in &state.incoming {
                    if bytes.len() >= buf.remaining() {
                        break;
                    }
                    if skip >= message.len() {
                        skip -= message.len();
                        continue;
                    }
                    let from = &message.bytes()[std::mem::take(&mut skip)..];
                    bytes.extend_from_slice(&from[..from.len().min(buf.remaining() - bytes.len())]);
                    ends.push(bytes.len());
                    incoming.from = incoming.from.take().or_else(|| message.sender_address());
                    if self.common.pass_credentials() {
                        incoming.creds = Some(message.creds_or_nobody());
                    }
                    if !message.rights().is_empty() {
                        incoming.rights = message.rights().to_vec();
                        break;
                    }
                }
            }
            if bytes.is_empty() && !buf.is_empty() {
                // All there is was peeked at before: wait for more.
                let seen = self.state.borrow().incoming.len();
                if nonblock {
                    return Err(Errno::EAGAIN);
                }
                wait(&self.readable, self.common.receive_timeout(), || {
                    let state = self.state.borrow();
                    (state.incoming.len() != seen || state.shut & SHUT_RECEIVE != 0).then_some(())
                })?;
                if self.state.borrow().incoming.len() == seen {
                    return Ok(incoming);
                }
                continue;
            }
            let copied = buf.put(&bytes)?;
            incoming.len = match ends.iter().rfind(|&&end| end <= copied) {
                Some(&whole) => whole,
                None if bytes.is_empty() => 0,
                None => return Err(Errno::EFAULT),
            };
            if let Some(offset) = &mut self.state.borrow_mut().peek_offset {
                *offset += incoming.len;
            }
            return Ok(incoming);
        }
    }
}
