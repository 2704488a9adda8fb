//! POSIX message queues (mq_overview(7)).
//!
//! A queue has a name in a directory of its own, which is not mounted anywhere, and is used by
//! descriptors.

mod file;
mod queue;

use crate::limits;
use crate::lock::KCell;
use crate::mm::pressure::room_for;
use crate::task::Task;
use crate::vfs::file::OpenFile;
use crate::vfs::inode::Owner;
use crate::vfs::permission;
use crate::{Errno, Result};
pub use file::MqFile;
pub use queue::{Message, Notification, Queue};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Settings of /proc/sys/fs/mqueue: messages and bytes that a queue has unless it is told, the most
/// it may be told, and how many queues there may be.
pub static MSG_DEFAULT: AtomicI64 = AtomicI64::new(10);
pub static MSG_MAX: AtomicI64 = AtomicI64::new(10);
pub static SIZE_DEFAULT: AtomicI64 = AtomicI64::new(8192);
pub static SIZE_MAX: AtomicI64 = AtomicI64::new(8192);
pub static QUEUES_MAX: AtomicI64 = AtomicI64::new(256);

/// What the privileged may tell a queue, and what the settings may be set to.
pub const HARD_MSG_MAX: i64 = 65536;
pub const HARD_SIZE_MAX: i64 = 16 << 20;
/// One above the highest priority.
pub const PRIORITIES: u32 = 32768;

/// What counts against a user's RLIMIT_MSGQUEUE for each message that a queue may hold, and for
/// each priority that they may have.
const MESSAGE_COST: u64 = 48;
const PRIORITY_COST: u64 = 48;

static NAMES: KCell<BTreeMap<Vec<u8>, Arc<Queue>>> = KCell::new(BTreeMap::new());
/// Bytes that each user's queues may come to hold.
static USED: KCell<BTreeMap<u32, u64>> = KCell::new(BTreeMap::new());

/// A part of what a user's queues may hold, given back when it is dropped.
struct Share {
    uid: u32,
    bytes: u64,
}

impl Share {
    fn take(uid: u32, bytes: u64, limit: u64) -> Result<Share> {
        let mut used = USED.borrow_mut();
        let before = used.get(&uid).copied().unwrap_or(0);
        let after = before.checked_add(bytes).filter(|&after| after <= limit).ok_or(Errno::EMFILE)?;
        used.insert(uid, after);
        Ok(Share { uid, bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut used = USED.borrow_mut();
        let left = used.get(&self.uid).map_or(0, |used| used - self.bytes);
        if left == 0 {
            used.remove(&self.uid);
        } else {
            used.insert(self.uid, left);
        }
    }
}

fn check_name(name: &[u8]) -> Result<()> {
    match name {
        b"" => Err(Errno::ENOENT),
        b"." | b".." => Err(Errno::EACCES),
        _ if name.contains(&b'/') => Err(Errno::EACCES),
        _ if name.len() > abi::NAME_MAX as usize => Err(Errno::ENAMETOOLONG),
        _ => Ok(()),
    }
}

/// mq_open(3): `sizes` are the most messages, and the most bytes of each, if they are told.
pub fn open(task: &Task, name: &[u8], flags: i32, mode: u32, sizes: Option<[i64; 2]>) -> Result<Arc<OpenFile>> {
    check_name(name)?;
    let creds = task.creds();
    let found = NAMES.borrow().get(name).cloned();
    let queue = match found {
        Some(_) if flags & abi::O_CREAT != 0 && flags & abi::O_EXCL != 0 => return Err(Errno::EEXIST),
        Some(queue) => {
            let wanted = match flags & abi::O_ACCMODE {
                abi::O_RDONLY => permission::READ,
                abi::O_WRONLY => permission::WRITE,
                abi::O_RDWR => permission::READ | permission::WRITE,
                _ => return Err(Errno::EINVAL),
            };
            permission::check(&creds, &*queue, wanted)?;
            queue
        }
        None if flags & abi::O_CREAT == 0 => return Err(Errno::ENOENT),
        None => {
            let mode = mode & 0o7777 & !task.fs.borrow().umask.get();
            let queue = create(task, mode, sizes)?;
            room_for(name.len())?;
            NAMES.borrow_mut().insert(name.to_vec(), queue.clone());
            queue
        }
    };
    let flags = flags & (abi::O_ACCMODE | abi::O_NONBLOCK);
    Ok(OpenFile::new(Arc::new(MqFile(queue.clone())), queue, flags))
}

fn create(task: &Task, mode: u32, sizes: Option<[i64; 2]>) -> Result<Arc<Queue>> {
    let creds = task.creds();
    let privileged = creds.capable(abi::CAP_SYS_RESOURCE);
    if NAMES.borrow().len() as u64 >= QUEUES_MAX.load(Relaxed).cast_unsigned() && !privileged {
        return Err(Errno::ENOSPC);
    }
    let [messages, size] = match sizes {
        Some(sizes) => {
            let most = match privileged {
                true => [HARD_MSG_MAX, HARD_SIZE_MAX],
                false => [MSG_MAX.load(Relaxed), SIZE_MAX.load(Relaxed)],
            };
            if sizes.iter().zip(most).any(|(&told, most)| !(1..=most).contains(&told)) {
                return Err(Errno::EINVAL);
            }
            sizes
        }
        None => [
            MSG_DEFAULT.load(Relaxed).min(MSG_MAX.load(Relaxed)),
            SIZE_DEFAULT.load(Relaxed).min(SIZE_MAX.load(Relaxed)),
        ],
    };
    let (messages, size) = (messages.cast_unsigned(), size.cast_unsigned());
    let cost = messages * (MESSAGE_COST + size) + messages.min(PRIORITIES.into()) * PRIORITY_COST;
    let share = Share::take(creds.uid, cost, task.process.limit(limits::MSGQUEUE))?;
    room_for(size_of::<Queue>())?;
    Ok(Queue::new(messages, size, Owner { uid: creds.fsuid, gid: creds.fsgid, mode }, share))
}

/// mq_unlink(3).
pub fn unlink(task: &Task, name: &[u8]) -> Result<()> {
    check_name(name)?;
    let found = NAMES.borrow().get(name).cloned();
    let queue = found.ok_or(Errno::ENOENT)?;
    // The directory is everyone's, and sticky.
    let creds = task.creds();
    if creds.fsuid != queue.uid() && creds.fsuid != 0 && !creds.capable(abi::CAP_FOWNER) {
        return Err(Errno::EPERM);
    }
    let gone = NAMES.borrow_mut().remove(name);
    drop(gone);
    Ok(())
}
