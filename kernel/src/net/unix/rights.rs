//! Open files on their way through a socket (SCM_RIGHTS).
//!
//! A file in a message is held open by the message. A socket may travel in a queue that only it can
//! read, or two sockets in each other's queues: nobody can reach them again, and no reference count
//! falls to zero. So files in flight are counted, a user may have only so many, and sockets that
//! are held by nothing but messages are looked for ([`collect`]).

use super::UnixSocket;
use crate::limits;
use crate::lock::KCell;
use crate::net::SocketFile;
use crate::task::Task;
use crate::vfs::file::OpenFile;
use crate::{Errno, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most files in one message (SCM_MAX_FD).
pub const MAX_RIGHTS: usize = 253;

/// Unix sockets in flight, by address of their open file, with how often.
static SOCKETS: KCell<BTreeMap<usize, (std::sync::Weak<OpenFile>, usize)>> = KCell::new(BTreeMap::new());
/// Files in flight for each user.
static USERS: KCell<BTreeMap<u32, usize>> = KCell::new(BTreeMap::new());
/// With more sockets in flight than this, lost ones are looked for: twice what the last search
/// left, so that searches stay rare.
static COLLECT_AT: KCell<usize> = KCell::new(MIN_COLLECT);
const MIN_COLLECT: usize = 64;

/// The open files of one message.
pub struct Rights {
    files: Vec<Arc<OpenFile>>,
    uid: u32,
}

fn unix_socket(file: &OpenFile) -> Option<&UnixSocket> {
    file.ops_as::<SocketFile>()?.socket().as_any().downcast_ref::<UnixSocket>()
}

impl Rights {
    /// ETOOMANYREFS when the sender has more files in flight than it may have open.
    pub fn new(files: Vec<Arc<OpenFile>>, sender: &Task) -> Result<Rights> {
        let creds = sender.creds();
        let uid = creds.uid;
        let in_flight = || USERS.borrow().get(&uid).copied().unwrap_or(0) as u64;
        let limit = sender.process.limit(limits::NOFILE);
        if SOCKETS.borrow().len() > COLLECT_AT.get() || in_flight() > limit {
            collect();
            COLLECT_AT.set(2 * SOCKETS.borrow().len() + MIN_COLLECT);
            let privileged = creds.capable(abi::CAP_SYS_RESOURCE) || creds.capable(abi::CAP_SYS_ADMIN);
            if in_flight() > limit && !privileged {
                return Err(Errno::ETOOMANYREFS);
            }
        }
        *USERS.borrow_mut().entry(uid).or_insert(0) += files.len();
        let mut sockets = SOCKETS.borrow_mut();
        for file in files.iter().filter(|f| unix_socket(f).is_some()) {
            sockets.entry(Arc::as_ptr(file) as usize).or_insert_with(|| (Arc::downgrade(file), 0)).1 += 1;
        }
        drop(sockets);
        Ok(Rights { files, uid })
    }

    /// The files, received.
    pub fn into_files(mut self) -> Vec<Arc<OpenFile>> {
        self.landed();
        std::mem::take(&mut self.files)
    }

    /// The files, while the message stays where it is (MSG_PEEK).
    pub fn files(&self) -> &[Arc<OpenFile>] {
        &self.files
    }

    fn landed(&mut self) {
        if let Some(count) = USERS.borrow_mut().get_mut(&self.uid) {
            *count = count.saturating_sub(self.files.len());
        }
        let mut sockets = SOCKETS.borrow_mut();
        for file in self.files.iter().filter(|f| unix_socket(f).is_some()) {
            let key = Arc::as_ptr(file) as usize;
            if let Some((_, count)) = sockets.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    sockets.remove(&key);
                }
            }
        }
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        if !self.files.is_empty() {
            self.landed();
            close_all(std::mem::take(&mut self.files));
        }
    }
}

/// Files of dropped messages, being closed.
static CLOSING: KCell<Vec<Arc<OpenFile>>> = KCell::new(Vec::new());
static IN_CLOSE: KCell<bool> = KCell::new(false);

/// Drops files one after the other: a socket among them may hold messages with sockets in turn, in
/// a chain of any length, which must not become a recursion of any depth.
fn close_all(files: Vec<Arc<OpenFile>>) {
    CLOSING.borrow_mut().extend(files);
    if IN_CLOSE.replace(true) {
        return;
    }
    loop {
        let file = CLOSING.borrow_mut().pop();
        match file {
            Some(file) => drop(file),
            None => break,
        }
    }
    IN_CLOSE.set(false);
}

/// Frees sockets that only messages hold which only they themselves could receive. Called when a
/// socket is closed, and when there are many.
pub fn collect() {
    if SOCKETS.borrow().is_empty() {
        return;
    }
    let flying: BTreeMap<usize, (Arc<OpenFile>, usize)> =
        SOCKETS.borrow().iter().filter_map(|(&key, (file, count))| Some((key, (file.upgrade()?, *count)))).collect();
    // Held by someone outside of messages (one reference is ours): reachable, and so is all that is
    // in its queues.
    let mut work: Vec<usize> = Vec::new();
    let mut reachable = BTreeSet::new();
    for (&key, (file, count)) in &flying {
        if Arc::strong_count(file) > count + 1 {
            work.push(key);
        }
    }
    // What lies in the queues of sockets that do not fly at all has no holder in `flying`: count
    // what has.
    let mut held: BTreeMap<usize, usize> = BTreeMap::new();
    for (file, _) in flying.values() {
        for key in queued(file) {
            *held.entry(key).or_insert(0) += 1;
        }
    }
    for (key, (_, count)) in &flying {
        if held.get(key).copied().unwrap_or(0) < *count {
            work.push(*key);
        }
    }
    while let Some(key) = work.pop() {
        if reachable.insert(key)
            && let Some((file, _)) = flying.get(&key)
        {
            work.extend(queued(file));
        }
    }
    let lost: Vec<Arc<OpenFile>> =
        flying.iter().filter(|(key, _)| !reachable.contains(key)).map(|(_, (file, _))| file.clone()).collect();
    drop(flying);
    for file in &lost {
        let messages = unix_socket(file).map(UnixSocket::take_messages);
        drop(messages);
    }
}

/// The unix sockets in the queues of a unix socket, those of connections not accepted yet included.
fn queued(file: &OpenFile) -> Vec<usize> {
    let mut keys = Vec::new();
    if let Some(socket) = unix_socket(file) {
        socket.for_each_right(&mut |file| {
            if unix_socket(file).is_some() {
                keys.push(Arc::as_ptr(file) as usize);
            }
        });
    }
    keys
}
