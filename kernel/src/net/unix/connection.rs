//! Making connections: listen, connect, accept.

use super::names::Target;
use super::{Kind, MAX_BACKLOG, Phase, READABLE, SHUT_RECEIVE, UnixSocket, own_creds};
use crate::net::wait;
use crate::{Errno, Result};
use std::sync::Arc;

impl UnixSocket {
    pub(super) fn start_listening(&self, backlog: i32) -> Result<()> {
        if !self.connection_based() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.borrow_mut();
        if state.name.is_none() || state.phase == Phase::Connected {
            return Err(Errno::EINVAL);
        }
        let backlog = usize::try_from(backlog).map_or(MAX_BACKLOG, |backlog| backlog.min(MAX_BACKLOG));
        let more = state.phase == Phase::Listening && backlog > state.backlog;
        state.phase = Phase::Listening;
        state.backlog = backlog;
        state.peer_creds = Some(own_creds());
        drop(state);
        if more {
            self.room.wake_all();
        }
        Ok(())
    }

    pub(super) fn connect_stream(&self, address: &[u8], nonblock: bool) -> Result<()> {
        let target = Target::parse(address)?;
        if self.common.pass_credentials() {
            self.autobind()?;
        }
        loop {
            let listener = target.find(self.kind)?;
            {
                let state = listener.state.borrow();
                if state.dead {
                    continue;
                }
                if state.phase != Phase::Listening || state.shut & SHUT_RECEIVE != 0 {
                    return Err(Errno::ECONNREFUSED);
                }
            }
            if listener.is_full() {
                if nonblock {
                    return Err(Errno::EAGAIN);
                }
                let free = || {
                    let refused = {
                        let state = listener.state.borrow();
                        state.dead || state.phase != Phase::Listening
                    };
                    (refused || !listener.is_full()).then_some(())
                };
                wait(&listener.room, self.common.send_timeout(), free)?;
                continue;
            }
            match self.state.borrow().phase {
                Phase::Closed => {}
                Phase::Connected => return Err(Errno::EISCONN),
                Phase::Listening => return Err(Errno::EINVAL),
            }
            self.join(&listener);
            return Ok(());
        }
    }

    /// Connects to a listening socket: its end waits in the backlog.
    fn join(&self, listener: &Arc<UnixSocket>) {
        let end = UnixSocket::new(self.kind, listener.common.inherit());
        {
            let mut state = end.state.borrow_mut();
            state.peer = Some(self.arc());
            state.phase = Phase::Connected;
            state.peer_creds = Some(own_creds());
            state.name = listener.state.borrow().name.clone();
        }
        {
            let mut state = self.state.borrow_mut();
            state.peer = Some(end.clone());
            state.phase = Phase::Connected;
            state.peer_creds = listener.state.borrow().peer_creds;
        }
        listener.state.borrow_mut().pending.push_back(end);
        self.writable.wake_all();
        listener.readable.wake(READABLE);
    }

    pub(super) fn accept_connection(&self, nonblock: bool) -> Result<Arc<UnixSocket>> {
        if self.kind == Kind::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.state.borrow().phase != Phase::Listening {
            return Err(Errno::EINVAL);
        }
        let ready = || {
            let mut state = self.state.borrow_mut();
            match state.pending.pop_front() {
                Some(end) => Some(Ok(end)),
                None => (state.shut & SHUT_RECEIVE != 0).then_some(Err(Errno::EINVAL)),
            }
        };
        let end = if nonblock {
            ready().unwrap_or(Err(Errno::EAGAIN))?
        } else {
            wait(&self.readable, self.common.receive_timeout(), ready)??
        };
        self.room.wake_all();
        Ok(end)
    }

    /// Sets, changes or (AF_UNSPEC) removes the peer of a datagram socket.
    pub(super) fn connect_datagram(&self, address: &[u8]) -> Result<()> {
        let family = address.get(..2).ok_or(Errno::EINVAL)?;
        let peer = if i32::from(u16::from_ne_bytes([family[0], family[1]])) == abi::AF_UNSPEC {
            None
        } else {
            let target = Target::parse(address)?;
            if self.common.pass_credentials() {
                self.autobind()?;
            }
            let peer = target.find(self.kind)?;
            if !peer.accepts_from(self) {
                return Err(Errno::EPERM);
            }
            Some(peer)
        };
        let (old_peer, old_messages) = {
            let mut state = self.state.borrow_mut();
            state.phase = if peer.is_some() { Phase::Connected } else { Phase::Closed };
            let changed = match (&state.peer, &peer) {
                (Some(old), Some(new)) => !Arc::ptr_eq(old, new),
                (Some(_), None) => true,
                (None, _) => false,
            };
            let messages = if changed { std::mem::take(&mut state.incoming) } else { Default::default() };
            (std::mem::replace(&mut state.peer, peer), messages)
        };
        if let Some(old) = &old_peer
            && !old_messages.is_empty()
        {
            // The other direction hears that its messages were lost.
            if old.is_connected_to(self) && !old.state.borrow().dead {
                old.state.borrow_mut().error = Some(Errno::ECONNRESET);
                old.state_changed();
            }
            self.room_made();
        }
        drop(old_messages);
        drop(old_peer);
        self.writable.wake_all();
        Ok(())
    }

    /// Where a message with an address goes.
    pub(super) fn find_target(&self, address: &[u8]) -> Result<Arc<UnixSocket>> {
        Target::parse(address)?.find(self.kind)
    }
}
