//! Stand-ins for lower inodes, and the moment they become the guest's own.

use super::Instance;
use super::inode::{Body, MemInode, Meta, Regular};
use crate::lock::KCell;
use crate::mm::IoBuf;
use crate::mm::page_cache::Contents;
use crate::vfs::file::OpenFile;
use crate::vfs::inode::{FileKind, InodeRef};
use crate::{Errno, Result};
use abi::number::to_usize;
use std::sync::{Arc, Weak};

/// Bits of an inode number that are the lower inode's; above them, which lower device.
const INO_BITS: u32 = 48;
/// How much is copied at a time.
const CHUNK: usize = 128 * 1024;

fn key(lower: &InodeRef) -> usize {
    Arc::as_ptr(lower).cast::<()>() as usize
}

impl Instance {
    /// The inode that stands for a lower one; the same for all its names. `origin` says where it
    /// was found.
    pub(super) fn stand_in(self: &Arc<Self>, lower: InodeRef, origin: Option<(Arc<MemInode>, &[u8])>) -> Arc<MemInode> {
        if let Some(known) = self.stand_ins.borrow().get(&key(&lower)).and_then(Weak::upgrade) {
            return known;
        }
        let kind = lower.kind();
        let body = match kind {
            FileKind::Regular => {
                let regular = Regular { contents: None, seals: abi::F_SEAL_SEAL as u32 };
                Body::Regular(KCell::new(regular))
            }
            FileKind::Directory => Body::Directory(KCell::default()),
            // A pipe's two ends meet in the guest.
            FileKind::Fifo => Body::Fifo(crate::ipc::pipe::Fifo::new()),
            _ => Body::Lower,
        };
        let key = key(&lower);
        let origin = origin.map(|(dir, name)| (dir, name.into()));
        let ino = lower.attr().map_or(0, |attr| self.map_ino(attr.dev, attr.ino));
        let inode = MemInode::build(self, ino, kind, body, None, Some(lower), origin);
        self.stand_ins.borrow_mut().insert(key, Arc::downgrade(&inode));
        inode
    }

    pub(super) fn forget_stand_in(&self, lower: &InodeRef, inode: &MemInode) {
        let mut stand_ins = self.stand_ins.borrow_mut();
        if stand_ins.get(&key(lower)).is_some_and(|known| std::ptr::eq(known.as_ptr(), inode)) {
            stand_ins.remove(&key(lower));
        }
    }

    /// One number for an inode of any of the lower tree's devices.
    pub(super) fn map_ino(&self, dev: u64, ino: u64) -> u64 {
        let mut devices = self.lower_devices.borrow_mut();
        let index = devices.iter().position(|&known| known == dev).unwrap_or_else(|| {
            devices.push(dev);
            devices.len() - 1
        });
        ino.wrapping_add((index as u64) << INO_BITS)
    }
}

impl MemInode {
    /// Makes the attributes its own.
    pub(super) fn own_meta(&self) -> Result<()> {
        if self.meta.borrow().is_some() {
            return Ok(());
        }
        let lower = self.lower.as_ref().ok_or(Errno::EIO)?;
        let attr = lower.attr()?;
        let names = lower.list_xattrs().unwrap_or_default();
        let mut meta = Meta {
            mode: attr.mode,
            uid: attr.uid,
            gid: attr.gid,
            nlink: attr.nlink.max(1),
            atime: attr.atime,
            mtime: attr.mtime,
            ctime: attr.ctime,
            btime: attr.btime.unwrap_or(attr.ctime),
            xattrs: None,
            linkable: false,
        };
        for name in names.split(|&b| b == 0).filter(|name| !name.is_empty()) {
            if let Ok(value) = lower.xattr(name) {
                meta.xattrs.get_or_insert_default().insert(name.to_vec(), value);
            }
        }
        self.meta.set(Some(meta));
        self.keep();
        Ok(())
    }

    /// Makes sure that the directories above hold this inode, which differs from the lower one now.
    pub(super) fn keep(&self) {
        let mut next = self.origin.take();
        let mut node = self.arc();
        while let Some((dir, name)) = next {
            // A directory that ceased to be one does not exist.
            let _ = dir.hold(&name, &node);
            next = dir.origin.take();
            node = dir;
        }
    }

    /// The file's contents as its own, copied from the lower file at the first call.
    pub(super) fn own_contents(&self) -> Result<Arc<Contents>> {
        let regular = self.regular()?;
        if let Some(contents) = &regular.borrow().contents {
            return Ok(contents.clone());
        }
        let lower = self.lower.as_ref().ok_or(Errno::EIO)?;
        self.own_meta()?;
        let contents = Contents::new(&self.fs.quota);
        let file = OpenFile::new(lower.clone().open(abi::O_RDONLY)?, lower.clone(), abi::O_RDONLY);
        let size = lower.attr()?.size;
        let mut chunk = vec![0; CHUNK.min(to_usize(size) + 1)];
        let mut at = 0u64;
        loop {
            // Holes stay holes.
            match file.seek_special(at.cast_signed(), abi::SEEK_DATA) {
                Ok(data) => at = at.max(data),
                Err(Errno::ENXIO) => break,
                Err(_) => {}
            }
            let n = file.read_at(&mut IoBuf::kernel_mut(&mut chunk), at)?;
            if n == 0 {
                break;
            }
            let mut from = IoBuf::kernel(&chunk[..n]);
            if contents.write(&mut from, at)? < n {
                return Err(Errno::ENOSPC);
            }
            at += n as u64;
        }
        if contents.size() < size {
            contents.truncate(size);
        }
        regular.borrow_mut().contents = Some(contents.clone());
        Ok(contents)
    }
}
