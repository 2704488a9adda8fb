//! Open regular files of a memory file system.

use super::MemInode;
use crate::fs::contents::Contents;
use crate::fs::file::{FileOps, MapObject, OpenFile};
use crate::mm::IoBuf;
use crate::model::Prot;
use crate::{Errno, Result};
use std::any::Any;
use std::sync::Arc;

/// fallocate(2) on contents in memory.
pub fn allocate(inode: &MemInode, contents: &Contents, mode: i32, offset: u64, len: u64) -> Result<()> {
    let keep = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
    let seals = inode.seals().unwrap_or(0);
    let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
    match mode & !libc::FALLOC_FL_KEEP_SIZE {
        0 => {
            if seals & libc::F_SEAL_GROW != 0 && end > contents.size() && !keep {
                return Err(Errno::EPERM);
            }
            contents.allocate(offset, len, keep)
        }
        libc::FALLOC_FL_PUNCH_HOLE if keep => {
            if seals & (libc::F_SEAL_WRITE | libc::F_SEAL_FUTURE_WRITE) != 0 {
                return Err(Errno::EPERM);
            }
            contents.punch(offset, len);
            inode.pages_gone(offset, end);
            Ok(())
        }
        _ => Err(Errno::EOPNOTSUPP),
    }
}

pub struct MemFile {
    pub inode: Arc<MemInode>,
    pub contents: Arc<Contents>,
}

impl FileOps for MemFile {
    fn read(&self, _file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        self.contents.read(buf, offset)
    }

    fn write(&self, file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        let size = self.contents.size();
        let offset = if file.flags.get() & libc::O_APPEND != 0 { size } else { offset };
        if let Some(seals) = self.inode.seals() {
            if seals & (libc::F_SEAL_WRITE | libc::F_SEAL_FUTURE_WRITE) != 0 {
                return Err(Errno::EPERM);
            }
            if seals & libc::F_SEAL_GROW != 0 && offset.saturating_add(buf.remaining() as u64) > size {
                if offset >= size {
                    return Err(Errno::EPERM);
                }
                buf.limit((size - offset) as usize);
            }
        }
        let n = self.contents.write(buf, offset)?;
        self.inode.touch();
        Ok(n)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek_special(&self, _file: &OpenFile, offset: i64, whence: i32) -> Result<u64> {
        match whence {
            libc::SEEK_END => Ok(self.contents.size()),
            _ => self.contents.seek(u64::try_from(offset).map_err(|_| Errno::ENXIO)?, whence),
        }
    }

    fn map(&self, _file: &OpenFile, prot: Prot, shared: bool) -> Result<MapObject> {
        let seals = self.inode.seals().unwrap_or(0);
        let sealed = seals & (libc::F_SEAL_WRITE | libc::F_SEAL_FUTURE_WRITE) != 0;
        if shared && sealed && prot.contains(Prot::WRITE) {
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
