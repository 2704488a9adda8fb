//! What an open file is to the areas that map it.

use super::file::OpenFile;
use super::inode::FileKind;
use super::mount::MountFlags;
use super::write_access;
use crate::mm::object::{MapObject, MappedFile};
use crate::mm::vma::VmaFlags;
use crate::{Errno, Result};
use std::any::Any;
use std::sync::Arc;
use umlab_model::Prot;

/// The open file that was mapped. None for a file of another kind, of which there is none.
pub fn open_file(file: &Arc<dyn MappedFile>) -> Option<Arc<OpenFile>> {
    let file: Arc<dyn Any + Send + Sync> = file.clone();
    file.downcast().ok()
}

/// Whether nothing of it may be executed, not even where it is mapped: on a mount that is noexec,
/// and what has no place in any.
fn is_noexec(file: &OpenFile) -> bool {
    file.path.as_ref().is_none_or(|path| path.mount.flags().contains(MountFlags::NOEXEC))
}

impl MappedFile for OpenFile {
    fn map(&self, prot: Prot, shared: bool) -> Result<(MapObject, VmaFlags)> {
        let may_write = !shared || !prot.contains(Prot::WRITE) || self.writable();
        if !may_write || !self.readable() {
            return Err(Errno::EACCES);
        }
        let mut never = VmaFlags::empty();
        if is_noexec(self) {
            if prot.contains(Prot::EXEC) {
                return Err(Errno::EPERM);
            }
            never |= VmaFlags::NOEXEC;
        }
        if shared && !self.ops.may_map_writable(self) {
            never |= VmaFlags::NOWRITE;
        }
        Ok((self.ops.map(self, prot, shared)?, never))
    }

    /// Sockets refuse it themselves.
    fn refuses_late(&self) -> bool {
        self.inode.kind() == FileKind::Socket
    }

    fn is_written(&self) -> bool {
        self.writable() || write_access::is_written(&self.inode)
    }

    fn has_name(&self) -> bool {
        self.inode.attr().is_ok_and(|attr| attr.nlink > 0)
    }

    fn is_program(&self) -> bool {
        self.inode.owner().is_ok_and(|owner| owner.mode & 0o111 != 0)
    }

    fn punch(&self, offset: u64, len: u64) -> Result<bool> {
        let is_regular = self.inode.kind() == FileKind::Regular;
        if is_regular {
            self.inode.allocate(abi::FALLOC_FL_PUNCH_HOLE | abi::FALLOC_FL_KEEP_SIZE, offset, len)?;
        }
        Ok(is_regular)
    }

    fn sync(&self) -> Result<()> {
        self.fsync(true)
    }
}
