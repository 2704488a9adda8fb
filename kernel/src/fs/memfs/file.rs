//! Open files in memory.

use super::inode::MemInode;
use super::timestamp;
use crate::mm::IoBuf;
use crate::mm::object::MapObject;
use crate::mm::page_cache::Contents;
use crate::vfs::file::{FileOps, OpenFile};
use crate::vfs::mount::MountFlags;
use crate::{Errno, Result};
use abi::number::to_usize;
use std::any::Any;
use std::sync::Arc;
use umlab_model::{PAGE_SIZE, Prot};

/// A read touches the access time again after a day, as the relatime rule says.
const DAY: i128 = 86_400_000_000_000;

pub struct MemFile {
    inode: Arc<MemInode>,
    contents: Arc<Contents>,
}

impl MemFile {
    pub(super) fn new(inode: &Arc<MemInode>, contents: Arc<Contents>) -> Arc<MemFile> {
        Arc::new(MemFile { inode: inode.clone(), contents })
    }

    fn sealed(&self, seals: i32) -> bool {
        self.inode.regular().is_ok_and(|regular| regular.borrow().seals & seals.cast_unsigned() != 0)
    }

    fn accessed(&self, file: &OpenFile) {
        let no_atime = |path: &crate::vfs::Path| path.mount.flags().contains(MountFlags::NOATIME);
        if file.flags.get() & abi::O_NOATIME != 0 || file.path.as_ref().is_some_and(no_atime) {
            return;
        }
        if let Some(meta) = &mut *self.inode.meta.borrow_mut() {
            let now = timestamp();
            if meta.atime <= meta.mtime || meta.atime <= meta.ctime || now - meta.atime > DAY {
                meta.atime = now;
            }
        }
    }
}

impl FileOps for MemFile {
    fn takes_direct(&self) -> bool {
        true
    }

    fn read(&self, file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        let n = self.contents.read(buf, offset)?;
        self.accessed(file);
        Ok(n)
    }

    fn write(&self, _file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.sealed(abi::F_SEAL_WRITE | abi::F_SEAL_FUTURE_WRITE) {
            return Err(Errno::EPERM);
        }
        if self.sealed(abi::F_SEAL_GROW) {
            // Page by page, each as a whole or not at all.
            let size = self.contents.size();
            let fits = offset.checked_add(buf.remaining() as u64).is_some_and(|end| end <= size);
            let room = (size & !(PAGE_SIZE - 1)).saturating_sub(offset);
            if !fits && room == 0 {
                return Err(Errno::EPERM);
            }
            if !fits {
                buf.limit(to_usize(room));
            }
        }
        let n = self.contents.write(buf, offset)?;
        let now = timestamp();
        self.inode.change(|meta| {
            meta.mtime = now;
            meta.ctime = now;
        })?;
        Ok(n)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek_special(&self, _file: &OpenFile, offset: i64, whence: i32) -> Result<u64> {
        if whence == abi::SEEK_END {
            let size = self.contents.size().cast_signed();
            return size.checked_add(offset).and_then(|at| u64::try_from(at).ok()).ok_or(Errno::EINVAL);
        }
        let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
        self.contents.seek(offset, whence)
    }

    fn may_map_writable(&self, file: &OpenFile) -> bool {
        file.writable() && !self.sealed(abi::F_SEAL_WRITE | abi::F_SEAL_FUTURE_WRITE)
    }

    fn map(&self, file: &OpenFile, prot: Prot, shared: bool) -> Result<MapObject> {
        if shared && prot.contains(Prot::WRITE) && !self.may_map_writable(file) {
            return Err(Errno::EPERM);
        }
        Ok(MapObject::Pages(self.contents.clone()))
    }

    fn fsync(&self, _file: &OpenFile, _data_only: bool) -> Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl MemInode {
    /// fallocate(2).
    pub(super) fn allocate_range(&self, mode: i32, offset: u64, len: u64) -> Result<()> {
        const KEEP: i32 = abi::FALLOC_FL_KEEP_SIZE;
        const PUNCH: i32 = abi::FALLOC_FL_PUNCH_HOLE | KEEP;
        if mode & !PUNCH != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let regular = self.regular().map_err(|_| Errno::ENODEV)?;
        let contents = self.own_contents()?;
        let seals = regular.borrow().seals;
        let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
        if mode == PUNCH {
            if seals & (abi::F_SEAL_WRITE | abi::F_SEAL_FUTURE_WRITE) as u32 != 0 {
                return Err(Errno::EPERM);
            }
            contents.punch(offset, len);
        } else {
            if seals & abi::F_SEAL_GROW as u32 != 0 && end > contents.size() {
                return Err(Errno::EPERM);
            }
            contents.allocate(offset, len, mode & KEEP != 0)?;
        }
        self.touch()
    }
}
