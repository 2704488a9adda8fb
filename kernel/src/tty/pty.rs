//! Pseudo terminals: a terminal whose other end is a program.
//!
//! Opening /dev/ptmx makes a pair: the open file is the master, and the slave appears in devpts
//! under a number. The slave is an ordinary [`Tty`]; the master types into it and takes its output.

use super::ioctl::put;
use super::{OtherEnd, Tty, devpts};
use crate::lock::KCell;
use crate::mm::IoBuf;
use crate::mm::pressure::room_for;
use crate::sched::wait::{WaitQueue, wait_on};
use crate::vfs::device::{PTS, TTY_GROUP, number};
use crate::vfs::file::{Events, FileOps, OpenFile};
use crate::vfs::inode::{Inode, InodeRef, SetAttr, Timestamp};
use crate::{Errno, Result, sched, task, time};
use abi::number::{Low, extended, saturated_i32};
use smallvec::{SmallVec, smallvec};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

/// As many pairs as Linux allows (/proc/sys/kernel/pty/max).
pub const MAX: u32 = 4096;

/// A pair, as devpts lists it.
pub struct Pair {
    pub index: u32,
    pub slave: Arc<Tty>,
    /// The master sleeps here.
    queue: Arc<WaitQueue>,
    pub owner: KCell<Owner>,
}

/// What stat(2) tells of the slave's node.
#[derive(Clone, Copy)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
    pub time: Timestamp,
}

static PAIRS: KCell<BTreeMap<u32, Arc<Pair>>> = KCell::new(BTreeMap::new());

/// The pairs whose master is open.
pub fn pairs() -> Vec<Arc<Pair>> {
    PAIRS.borrow().values().cloned().collect()
}

pub fn pair(index: u32) -> Option<Arc<Pair>> {
    PAIRS.borrow().get(&index).cloned()
}

pub(super) fn slave(index: u32) -> Option<Arc<Tty>> {
    Some(pair(index)?.slave.clone())
}

/// Opens /dev/ptmx: a new pair.
pub(super) fn open_master(_flags: i32) -> Result<Arc<dyn FileOps>> {
    let index = {
        let pairs = PAIRS.borrow();
        (0..MAX).find(|index| !pairs.contains_key(index)).ok_or(Errno::ENOSPC)?
    };
    room_for(4096)?;
    let queue = Arc::new(WaitQueue::new());
    let slave = Tty::new(number(PTS, index), OtherEnd::Master(queue.clone()));
    slave.state.borrow_mut().locked = true;
    let creds = task::current().creds();
    let owner = Owner { uid: creds.fsuid, gid: TTY_GROUP, mode: 0o620, time: Timestamp::from(time::realtime()) };
    let pair = Arc::new(Pair { index, slave, queue, owner: KCell::new(owner) });
    PAIRS.borrow_mut().insert(index, pair.clone());
    Ok(Arc::new(Master(pair)))
}

impl Pair {
    pub fn set_attr(&self, change: &SetAttr) {
        let mut owner = self.owner.borrow_mut();
        owner.uid = change.uid.unwrap_or(owner.uid);
        owner.gid = change.gid.unwrap_or(owner.gid);
        owner.mode = change.mode.map_or(owner.mode, |m| m & 0o7777);
        owner.time = change.mtime.unwrap_or_else(|| Timestamp::from(time::realtime()));
    }
}

struct Master(Arc<Pair>);

impl Master {
    fn tty(&self) -> &Tty {
        &self.0.slave
    }

    /// Something to read: output, or news in packet mode. An error once the slave was closed by
    /// all.
    fn ready(&self) -> Option<Result<()>> {
        let state = self.tty().state.borrow();
        if !state.output.is_empty() || state.packet_status != 0 {
            return Some(Ok(()));
        }
        state.abandoned.then_some(Err(Errno::EIO))
    }

    fn take(&self, buf: &mut IoBuf<'_>) -> Result<usize> {
        let in_packets = self.tty().state.borrow().packet;
        if in_packets {
            let status = std::mem::take(&mut self.tty().state.borrow_mut().packet_status);
            if let Err(e) = buf.put(&[status]) {
                self.tty().state.borrow_mut().packet_status = status;
                return Err(e);
            }
            if status != 0 {
                return Ok(1);
            }
        }
        while !buf.is_empty() {
            let bytes = self.tty().take_output(buf.remaining().min(16 << 10));
            if bytes.is_empty() {
                break;
            }
            let copied = buf.put(&bytes);
            let n = *copied.as_ref().unwrap_or(&0);
            if n < bytes.len() {
                // Back with what the reader's memory did not take.
                let mut state = self.tty().state.borrow_mut();
                for &byte in bytes[n..].iter().rev() {
                    state.output.push_front(byte);
                }
                drop(state);
                if buf.done() == 0 {
                    copied?;
                }
                break;
            }
            if sched::killable_point().is_err() {
                break;
            }
        }
        Ok(buf.done())
    }
}

impl FileOps for Master {
    fn read(&self, file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.ready().is_none() && file.nonblocking() {
            return Err(Errno::EAGAIN);
        }
        wait_on(&self.0.queue, || self.ready())??;
        self.take(buf)
    }

    fn write(&self, file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        let mut piece = [0; 2048];
        while !buf.is_empty() {
            let room = self.tty().typing_room();
            if room == 0 {
                if buf.done() > 0 && file.nonblocking() {
                    break;
                }
                if file.nonblocking() {
                    return Err(Errno::EAGAIN);
                }
                match wait_on(&self.tty().writers, || (self.tty().typing_room() > 0).then_some(())) {
                    Err(_) if buf.done() > 0 => break,
                    other => other?,
                }
                continue;
            }
            match room_for(2048) {
                Err(_) if buf.done() > 0 => break,
                other => other?,
            }
            let n = match buf.take(&mut piece[..room.min(2048)]) {
                Err(_) if buf.done() > 0 => break,
                other => other?,
            };
            self.tty().type_in(&piece[..n]);
            if sched::killable_point().is_err() {
                break;
            }
        }
        Ok(buf.done())
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let mut events = Events::empty();
        if let Some(Ok(())) = self.ready() {
            events |= Events::IN | Events::RDNORM;
        }
        let state = self.tty().state.borrow();
        if state.packet_status != 0 {
            events |= Events::PRI;
        }
        if state.abandoned {
            events |= Events::HUP;
        }
        drop(state);
        if self.tty().typing_room() > 0 {
            events |= Events::OUT | Events::WRNORM;
        }
        events
    }

    fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        Some(smallvec![&*self.0.queue, &self.tty().writers])
    }

    fn ioctl(&self, _file: &OpenFile, command: u32, arg: u64) -> Result<u64> {
        let task = &crate::task::current();
        let space = task.space();
        match command {
            abi::TIOCGPTN => put(task, arg, &self.0.index),
            abi::TIOCSPTLCK => {
                let locked = space.read::<i32>(arg)? != 0;
                self.tty().state.borrow_mut().locked = locked;
                Ok(0)
            }
            abi::TIOCGPTLCK => put(task, arg, &i32::from(self.tty().state.borrow().locked)),
            abi::TIOCPKT => {
                let on = space.read::<i32>(arg)? != 0;
                let mut state = self.tty().state.borrow_mut();
                if on != state.packet {
                    state.packet = on;
                    state.packet_status = 0;
                }
                Ok(0)
            }
            abi::TIOCGPKT => put(task, arg, &i32::from(self.tty().state.borrow().packet)),
            abi::TIOCSIG => {
                let signal = arg.low_i32();
                if ![abi::SIGINT, abi::SIGQUIT, abi::SIGTSTP].contains(&signal) {
                    return Err(Errno::EINVAL);
                }
                self.tty().signal_foreground(signal);
                Ok(0)
            }
            abi::TIOCGPTPEER => self.open_peer(arg.low_i32()),
            abi::TIOCINQ => put(task, arg, &saturated_i32(self.tty().state.borrow().output.len())),
            // What was typed is the slave's at once.
            abi::TIOCOUTQ => put(task, arg, &0i32),
            abi::TIOCSTI => Err(Errno::EIO),
            _ => self.tty().shared_ioctl(task, command, arg, true),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Master {
    /// Opens the slave without its name, for programs in another mount namespace or root.
    fn open_peer(&self, flags: i32) -> Result<u64> {
        let inode: InodeRef = devpts::slave_inode(&self.0);
        let ops = Inode::open(devpts::slave_inode(&self.0), flags)?;
        let close_on_exec = flags & abi::O_CLOEXEC != 0;
        let file = OpenFile::new(ops, inode, flags & (abi::O_ACCMODE | abi::O_NONBLOCK));
        Ok(extended(task::current().files().install(file, close_on_exec)?))
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let pair = PAIRS.borrow_mut().remove(&self.0.index);
        drop(pair);
        self.tty().state.borrow_mut().other_closed = true;
        self.tty().hang_up();
    }
}
