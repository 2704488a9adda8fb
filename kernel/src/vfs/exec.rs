//! What execve(2) needs of files.

use super::context::Caller;
use super::file::OpenFile;
use super::inode::FileKind;
use super::mount::MountFlags;
use super::notify;
use super::path::Path;
use super::permission;
use super::walk::{self, Walk};
use super::write_access::Claim;
use crate::{Errno, Result};
use std::sync::Arc;

/// Opens a program by path, from the task's working directory.
///
/// # Errors
/// EACCES for what is no regular file or not executable, and those of path lookup.
pub fn open(caller: &dyn Caller, path: &[u8]) -> Result<Arc<OpenFile>> {
    open_program(caller, walk::lookup(caller, abi::AT_FDCWD, path, Walk::FOLLOW)?)
}

/// As [`open`], for execveat(2): AT_EMPTY_PATH and AT_SYMLINK_NOFOLLOW in `flags`.
pub fn open_at(caller: &dyn Caller, dirfd: i32, path: &[u8], flags: i32) -> Result<Arc<OpenFile>> {
    let mut how = Walk::empty();
    how.set(Walk::EMPTY, flags & abi::AT_EMPTY_PATH != 0);
    how.set(Walk::FOLLOW, flags & abi::AT_SYMLINK_NOFOLLOW == 0);
    let path = walk::lookup(caller, dirfd, path, how)?;
    if path.inode().kind() == FileKind::Symlink {
        return Err(Errno::ELOOP);
    }
    open_program(caller, path)
}

/// Executing needs no right to read.
fn open_program(caller: &dyn Caller, path: Path) -> Result<Arc<OpenFile>> {
    let inode = path.inode().clone();
    if inode.kind() != FileKind::Regular || path.mount.flags().contains(MountFlags::NOEXEC) {
        return Err(Errno::EACCES);
    }
    permission::check(&caller.creds(), &*inode, permission::EXEC)?;
    let claim = Claim::execute(&inode)?;
    let ops = inode.open(abi::O_RDONLY)?;
    notify::file(&path.dentry, notify::OPEN);
    Ok(OpenFile::claimed(ops, path, Some(claim), abi::O_RDONLY | super::open::LARGEFILE))
}
