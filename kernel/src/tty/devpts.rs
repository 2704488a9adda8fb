//! /dev/pts: the slaves of the pseudo terminals that exist, by number, and `ptmx`, which makes
//! more.

use super::pty::{self, Pair};
use crate::vfs::device::{self, PTS, TTY_GROUP, TTY_SPECIAL};
use crate::vfs::file::{DirEntry, FileOps};
use crate::vfs::inode::{Attr, FileKind, Inode, InodeRef, InodeState, SetAttr, Timestamp};
use crate::vfs::mount::{FileSystem, StatFs};
use crate::{Errno, Result, time};
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// The file system's device number, and what statfs(2) calls it.
const DEV: u64 = device::number(0, 24);
const MAGIC: u64 = 0x1cd1;

const ROOT_INO: u64 = 1;
const PTMX_INO: u64 = 2;
const FIRST_SLAVE_INO: u64 = 3;

/// The file system, for mounting on /dev/pts.
pub fn file_system() -> Arc<dyn FileSystem> {
    Arc::new(DevPts)
}

struct DevPts;

impl FileSystem for DevPts {
    fn kind(&self) -> &'static str {
        "devpts"
    }

    fn root(&self) -> InodeRef {
        Node::new(Which::Root)
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }

    fn options(&self) -> String {
        format!(",gid={TTY_GROUP},mode=620,ptmxmode=666")
    }
}

/// The node of a pair's slave.
pub(super) fn slave_inode(pair: &Arc<Pair>) -> Arc<Node> {
    Node::new(Which::Slave(pair.clone()))
}

pub(super) struct Node {
    which: Which,
    state: InodeState,
}

enum Which {
    Root,
    Ptmx,
    Slave(Arc<Pair>),
}

impl Node {
    fn new(which: Which) -> Arc<Node> {
        Arc::new(Node { which, state: InodeState::default() })
    }

    fn ino(&self) -> u64 {
        match &self.which {
            Which::Root => ROOT_INO,
            Which::Ptmx => PTMX_INO,
            Which::Slave(pair) => FIRST_SLAVE_INO + u64::from(pair.index),
        }
    }
}

fn mounted_at() -> Timestamp {
    static TIME: OnceLock<Timestamp> = OnceLock::new();
    *TIME.get_or_init(|| Timestamp::from(time::realtime()))
}

impl Inode for Node {
    fn state(&self) -> &InodeState {
        &self.state
    }

    fn attr(&self) -> Result<Attr> {
        let mut attr = Attr {
            dev: DEV,
            ino: self.ino(),
            kind: self.kind(),
            mode: 0o755,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            blocks: 0,
            block_size: 1024,
            atime: mounted_at(),
            mtime: mounted_at(),
            ctime: mounted_at(),
            btime: None,
        };
        match &self.which {
            Which::Root => attr.nlink = 2,
            Which::Ptmx => (attr.mode, attr.rdev) = (0o666, device::number(TTY_SPECIAL, 2)),
            Which::Slave(pair) => {
                let owner = pair.owner.get();
                (attr.mode, attr.uid, attr.gid) = (owner.mode, owner.uid, owner.gid);
                attr.rdev = device::number(PTS, pair.index);
                (attr.atime, attr.mtime, attr.ctime) = (owner.time, owner.time, owner.time);
            }
        }
        Ok(attr)
    }

    fn kind(&self) -> FileKind {
        match &self.which {
            Which::Root => FileKind::Directory,
            Which::Ptmx | Which::Slave(_) => FileKind::CharDevice,
        }
    }

    fn set_attr(&self, change: &SetAttr) -> Result<()> {
        match &self.which {
            Which::Slave(pair) => {
                pair.set_attr(change);
                Ok(())
            }
            _ => Err(Errno::EPERM),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<InodeRef> {
        let Which::Root = self.which else { return Err(Errno::ENOTDIR) };
        if name == b"ptmx" {
            return Ok(Node::new(Which::Ptmx));
        }
        let digits = std::str::from_utf8(name).ok().filter(|s| s.len() == 1 || !s.starts_with(['0', '+']));
        let index = digits.and_then(|s| s.parse().ok()).ok_or(Errno::ENOENT)?;
        Ok(Node::new(Which::Slave(pty::pair(index).ok_or(Errno::ENOENT)?)))
    }

    fn open(self: Arc<Self>, flags: i32) -> Result<Arc<dyn FileOps>> {
        match &self.which {
            Which::Root => Err(Errno::EISDIR),
            Which::Ptmx => pty::open_master(flags),
            // Through the device number: the pair may be gone, and its number another's.
            Which::Slave(pair) => match pty::pair(pair.index) {
                Some(now) if Arc::ptr_eq(&now, pair) => super::open_slave(pair.index, flags),
                _ => Err(Errno::EIO),
            },
        }
    }

    fn read_dir(&self, from: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        let Which::Root = self.which else { return Err(Errno::ENOTDIR) };
        let kind = FileKind::CharDevice.dirent_type();
        if from == 0 && !emit(&DirEntry { ino: PTMX_INO, next: 1, kind, name: b"ptmx" }) {
            return Ok(());
        }
        for pair in pty::pairs() {
            let position = u64::from(pair.index) + 1;
            let name = pair.index.to_string();
            let ino = FIRST_SLAVE_INO + u64::from(pair.index);
            if position >= from.max(1) && !emit(&DirEntry { ino, next: position + 1, kind, name: name.as_bytes() }) {
                break;
            }
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
