//! System V IPC (sysvipc(7)): shared memory, semaphores and message queues, by number.
//!
//! An object of a family has a key, by which programs that share nothing else find it, and a
//! number, by which it is used. It lives until it is removed, not until its users end. How many
//! there may be is bounded, and what they hold counts against the guest's memory. POSIX message
//! queues ([`mq`]) and pipes ([`pipe`]) are beside them.

mod ids;
pub mod mq;
pub mod msg;
pub mod pipe;
pub mod sem;
pub mod shm;

use crate::creds::Creds;
use crate::{Errno, Result, time};
pub use ids::Ids;

/// Reading and writing, for all, in the bits of a mode.
pub const READ: u32 = 0o444;
pub const WRITE: u32 = 0o222;

/// Who owns an object, and who may use it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Perm {
    pub key: i32,
    pub uid: u32,
    pub gid: u32,
    pub creator_uid: u32,
    pub creator_gid: u32,
    /// The permission bits, and what a family keeps above them.
    pub mode: u32,
}

impl Perm {
    pub fn new(key: i32, mode: u32, creds: &Creds) -> Perm {
        let (uid, gid) = (creds.euid, creds.egid);
        Perm { key, uid, gid, creator_uid: uid, creator_gid: gid, mode: mode & 0o777 }
    }

    /// EACCES if they may not do what the bits of `wanted` say, in whichever class they stand.
    pub fn check(&self, wanted: u32, creds: &Creds) -> Result<()> {
        let wanted = (wanted >> 6 | wanted >> 3 | wanted) & 0o7;
        let in_group = |gid| creds.egid == gid || creds.groups.contains(&gid);
        let granted = if creds.euid == self.uid || creds.euid == self.creator_uid {
            self.mode >> 6
        } else if in_group(self.gid) || in_group(self.creator_gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        if wanted & !granted != 0 && !creds.capable(abi::CAP_IPC_OWNER) { Err(Errno::EACCES) } else { Ok(()) }
    }

    /// EPERM for who may neither change nor remove it.
    pub fn check_owner(&self, creds: &Creds) -> Result<()> {
        let own = creds.euid == self.uid || creds.euid == self.creator_uid;
        if own || creds.capable(abi::CAP_SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// IPC_SET.
    pub fn set(&mut self, uid: u32, gid: u32, mode: u32) -> Result<()> {
        if uid == u32::MAX || gid == u32::MAX {
            return Err(Errno::EINVAL);
        }
        (self.uid, self.gid, self.mode) = (uid, gid, self.mode & !0o777 | mode & 0o777);
        Ok(())
    }
}

/// An object of a family.
pub trait Object {
    fn perm(&self) -> Perm;
}

/// Seconds since 1970, as the objects' times are told.
pub fn seconds() -> i64 {
    (time::realtime() / time::NS_PER_SEC).cast_signed()
}
