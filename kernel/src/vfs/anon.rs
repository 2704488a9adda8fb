//! Files without a name: pipes, sockets, and what epoll_create(2), eventfd(2) and the like return.
//!
//! They have inodes all the same, for fstat(2) and /proc/PID/fd.

use super::file::{FileOps, OpenFile};
use super::inode::{Attr, FileKind, Inode, InodeState, Owner, SetAttr, Timestamp};
use crate::lock::KCell;
use crate::{Errno, Result, time};
use abi::number::extended;
use std::any::Any;
use std::sync::Arc;

/// What a nameless file is, as /proc/PID/fd shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnonKind {
    Pipe,
    Socket,
    /// A descriptor of the process with this number.
    Process(i32),
    /// Everything else: no type bits in its mode, and this name.
    Other(&'static str),
}

impl AnonKind {
    /// Device numbers of the file systems they belong to.
    fn dev(self) -> u64 {
        match self {
            AnonKind::Socket => 8,
            AnonKind::Pipe => 13,
            AnonKind::Other(_) => 14,
            AnonKind::Process(_) => 15,
        }
    }

    /// Whether it is the kernel's own file, which nobody can change.
    fn is_fixed(self) -> bool {
        matches!(self, AnonKind::Other(_) | AnonKind::Process(_))
    }
}

/// Opens a file without a name once more, with flags of open(2).
pub type Reopen = Box<dyn Fn(i32) -> Result<Arc<dyn FileOps>> + Send + Sync>;

pub struct AnonInode {
    kind: AnonKind,
    ino: u64,
    owner: KCell<Owner>,
    created: Timestamp,
    /// What its links in /proc/PID/fd open, if they can be opened.
    reopen: Option<Reopen>,
    state: InodeState,
}

static NEXT_INO: KCell<u64> = KCell::new(1000);

impl AnonInode {
    pub fn new(kind: AnonKind, uid: u32, gid: u32) -> Arc<AnonInode> {
        AnonInode::make(kind, uid, gid, None)
    }

    pub fn make(kind: AnonKind, uid: u32, gid: u32, reopen: Option<Reopen>) -> Arc<AnonInode> {
        let mode = match kind {
            AnonKind::Pipe | AnonKind::Other(_) => 0o600,
            AnonKind::Socket => 0o777,
            AnonKind::Process(_) => 0o700,
        };
        let ino = match kind {
            // All of these are one file on Linux.
            AnonKind::Other(_) => 1,
            AnonKind::Process(pid) => extended(pid),
            AnonKind::Pipe | AnonKind::Socket => {
                let mut next = NEXT_INO.borrow_mut();
                *next += 1;
                *next
            }
        };
        let (owner, created) = (KCell::new(Owner { uid, gid, mode }), Timestamp::from(time::realtime()));
        Arc::new(AnonInode { kind, ino, owner, created, reopen, state: InodeState::default() })
    }
}

impl Inode for AnonInode {
    fn link_text(&self) -> Option<Vec<u8>> {
        let text = match self.kind {
            AnonKind::Pipe => format!("pipe:[{}]", self.ino),
            AnonKind::Socket => format!("socket:[{}]", self.ino),
            AnonKind::Process(_) => "anon_inode:[pidfd]".into(),
            AnonKind::Other(name) => format!("anon_inode:{name}"),
        };
        Some(text.into_bytes())
    }

    fn state(&self) -> &InodeState {
        &self.state
    }

    fn attr(&self) -> Result<Attr> {
        Ok(Attr::simple(self.kind.dev(), self.ino, self.kind(), self.owner.get(), self.created))
    }

    fn kind(&self) -> FileKind {
        match self.kind {
            AnonKind::Pipe => FileKind::Fifo,
            AnonKind::Socket => FileKind::Socket,
            AnonKind::Process(_) | AnonKind::Other(_) => FileKind::Anonymous,
        }
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        if self.kind.is_fixed() {
            return Err(Errno::EOPNOTSUPP);
        }
        self.owner.borrow_mut().change(change);
        Ok(())
    }

    fn open(self: Arc<Self>, flags: i32) -> Result<Arc<dyn FileOps>> {
        self.reopen.as_ref().ok_or(Errno::ENXIO)?(flags)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl OpenFile {
    /// An open file of the current task without a name. `flags` are O_RDONLY, ... and O_NONBLOCK
    /// and the like.
    pub fn anonymous(kind: AnonKind, ops: Arc<dyn FileOps>, flags: i32) -> Arc<OpenFile> {
        let creds = crate::sched::current().creds();
        let (uid, gid) = match kind {
            // What is nobody's in particular is root's on Linux.
            kind if kind.is_fixed() => (0, 0),
            _ => (creds.fsuid, creds.fsgid),
        };
        OpenFile::new(ops, AnonInode::new(kind, uid, gid), flags)
    }
}
