//! Open directories, of every file system that has nothing special to do for them.

use super::file::{DirEntry, FileOps, OpenFile};
use super::inode::InodeRef;
use crate::mm::IoBuf;
use crate::{Errno, Result};
use std::any::Any;
use std::sync::Arc;

/// Positions 0 and 1 are before "." and ".."; from here on the file system's own follow.
const FIRST: u64 = 2;

pub struct DirFile {
    inode: InodeRef,
}

impl DirFile {
    pub fn new(inode: InodeRef) -> Arc<DirFile> {
        Arc::new(DirFile { inode })
    }
}

impl FileOps for DirFile {
    fn read(&self, _file: &OpenFile, _buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek_special(&self, _file: &OpenFile, _offset: i64, whence: i32) -> Result<u64> {
        if whence == libc::SEEK_END { Ok(i64::MAX as u64) } else { Err(Errno::EINVAL) }
    }

    fn fsync(&self, _file: &OpenFile, _data_only: bool) -> Result<()> {
        Ok(())
    }

    fn read_dir(&self, file: &OpenFile, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        let mut position = file.position.get();
        while position < FIRST {
            let (ino, name): (u64, &[u8]) = match position {
                0 => (self.inode.attr()?.ino, b"."),
                _ => (parent_ino(file)?, b".."),
            };
            if !emit(&DirEntry { ino, next: position + 1, kind: libc::DT_DIR, name }) {
                return Ok(());
            }
            position += 1;
        }
        self.inode.read_dir(position - FIRST, &mut |entry| {
            emit(&DirEntry {
                ino: entry.ino,
                next: entry.next.saturating_add(FIRST),
                kind: entry.kind,
                name: entry.name,
            })
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The inode number of what ".." leads to; the directory's own at the top of the tree.
fn parent_ino(file: &OpenFile) -> Result<u64> {
    let Some(mut path) = file.path.clone() else { return Ok(file.inode.attr()?.ino) };
    path.ascend(&super::mount::root());
    Ok(path.inode().attr()?.ino)
}
