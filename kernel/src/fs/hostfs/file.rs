//! Open files of the host's tree: reads and writes go straight between the host's file and guest
//! memory.

use super::HostInode;
use crate::mm::IoBuf;
use crate::mm::object::{HostFile, MapObject};
use crate::vfs::file::{FileOps, OpenFile};
use crate::vfs::inode::{FileKind, Inode};
use crate::{Errno, Result};
use std::any::Any;
use std::os::fd::AsFd;
use std::sync::Arc;
use umlab_host::file as host;
use umlab_model::Prot;

struct Regular {
    inode: Arc<HostInode>,
    file: Arc<HostFile>,
}

/// Opens a regular file. Devices of the host are not for guests, and its pipes and sockets have
/// their other ends there.
pub fn open(inode: Arc<HostInode>, flags: i32) -> Result<Arc<dyn FileOps>> {
    if inode.kind() != FileKind::Regular {
        return Err(Errno::ENXIO);
    }
    let write = flags & abi::O_ACCMODE != abi::O_RDONLY;
    if write {
        inode.want_write()?;
    }
    if inode.is_hidden() {
        return Ok(Arc::new(Empty));
    }
    let file = inode.host_file(write)?;
    Ok(Arc::new(Regular { inode, file }))
}

impl Drop for Regular {
    fn drop(&mut self) {
        // Watchers of a file without a name are waiting for its end.
        if self.inode.is_watched() && self.inode.attr().is_ok_and(|attr| attr.nlink == 0) {
            self.inode.close_unused(1);
        }
    }
}

impl FileOps for Regular {
    fn takes_direct(&self) -> bool {
        true
    }

    fn read(&self, _file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        // Most files are read to their end, and then once more to see that it is the end.
        if let Some(size) = self.inode.known_size()
            && size > 0
            && offset >= size
        {
            return Ok(0);
        }
        let mut done = 0;
        while !buf.is_empty() {
            let mut asked = 0;
            let result = buf.with_window(usize::MAX, true, |window| {
                asked = window.len();
                window.read_from(self.file.fd.as_fd(), Some(offset + done as u64))
            });
            match result {
                Ok(n) => {
                    done += n;
                    if n < asked {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write(&self, _file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        self.inode.expire();
        let mut done = 0;
        while !buf.is_empty() {
            let result = buf.with_window(usize::MAX, false, |window| {
                window.write_to(self.file.fd.as_fd(), Some(offset + done as u64))
            });
            match result {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek_special(&self, _file: &OpenFile, offset: i64, whence: i32) -> Result<u64> {
        if whence == abi::SEEK_END {
            let size = self.inode.attr()?.size.cast_signed();
            return size.checked_add(offset).and_then(|at| u64::try_from(at).ok()).ok_or(Errno::EINVAL);
        }
        host::seek(self.file.fd.as_fd(), offset, whence)
    }

    fn map(&self, _file: &OpenFile, _prot: Prot, _shared: bool) -> Result<MapObject> {
        Ok(MapObject::Host(self.file.clone()))
    }

    fn fsync(&self, _file: &OpenFile, data_only: bool) -> Result<()> {
        if self.inode.fs.writable() { host::sync(self.file.fd.as_fd(), data_only) } else { Ok(()) }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A file of the host kernel's own: there is nothing in it.
struct Empty;

impl FileOps for Empty {
    fn read(&self, _file: &OpenFile, _buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        Ok(0)
    }

    fn write(&self, _file: &OpenFile, _buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
