//! Who may do what with a file: owner, group and others, and the capabilities that stand above
//! them.

use super::dentry::Dentry;
use super::inode::{FileKind, Inode, InodeRef};
use super::path::Path;
use crate::creds::Creds;
use crate::{Errno, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Wanted access, in the numbers of access(2).
pub const READ: u32 = abi::R_OK as u32;
pub const WRITE: u32 = abi::W_OK as u32;
pub const EXEC: u32 = abi::X_OK as u32;

/// EACCES when the credentials do not give the wanted access, EPERM when nobody's do.
pub fn check(creds: &Creds, inode: &dyn Inode, wanted: u32) -> Result<()> {
    if wanted & WRITE != 0 && inode.immutable() {
        return Err(Errno::EPERM);
    }
    let is_dir = inode.kind() == FileKind::Directory;
    if creds.capable(abi::CAP_DAC_OVERRIDE) && (is_dir || wanted & EXEC == 0) {
        return Ok(());
    }
    let owner = inode.owner()?;
    let shift = if creds.fsuid == owner.uid {
        6
    } else if creds.in_group(owner.gid) {
        3
    } else {
        0
    };
    if wanted & !(owner.mode >> shift) == 0 {
        return Ok(());
    }
    let overridden = creds.capable(abi::CAP_DAC_OVERRIDE) && owner.mode & 0o111 != 0
        || creds.capable(abi::CAP_DAC_READ_SEARCH) && (wanted == READ || is_dir && wanted & WRITE == 0);
    if overridden { Ok(()) } else { Err(Errno::EACCES) }
}

/// Whether somebody who is neither owner nor privileged is held off: EPERM as chmod(2) and others
/// give it.
pub fn check_owner(creds: &Creds, inode: &dyn Inode) -> Result<()> {
    if creds.capable(abi::CAP_FOWNER) || inode.owner()?.uid == creds.fsuid { Ok(()) } else { Err(Errno::EPERM) }
}

/// Settings of proc_sys_fs(5): fs.protected_hardlinks and fs.protected_symlinks, 0 or 1.
pub static PROTECTED_HARDLINKS: AtomicI64 = AtomicI64::new(1);
pub static PROTECTED_SYMLINKS: AtomicI64 = AtomicI64::new(1);

/// Whether another name may be made for a file: EPERM for a stranger's file that has a privilege or
/// that the caller could not open himself.
pub fn check_link(creds: &Creds, inode: &dyn Inode) -> Result<()> {
    if PROTECTED_HARDLINKS.load(Relaxed) == 0 || creds.capable(abi::CAP_FOWNER) {
        return Ok(());
    }
    let owner = inode.owner()?;
    let group_program = abi::S_ISGID | abi::S_IXGRP;
    let plain = inode.kind() == FileKind::Regular
        && owner.mode & abi::S_ISUID == 0
        && owner.mode & group_program != group_program;
    if owner.uid == creds.fsuid || plain && check(creds, inode, READ | WRITE).is_ok() {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// Whether a symbolic link at a path's end may be followed: EACCES where anybody can leave links
/// for others, as in /tmp, and a stranger did.
pub fn check_follow(creds: &Creds, dir: &dyn Inode, link: &dyn Inode) -> Result<()> {
    const ANYBODY: u32 = abi::S_ISVTX | abi::S_IWOTH;
    if PROTECTED_SYMLINKS.load(Relaxed) == 0 {
        return Ok(());
    }
    let dir = dir.owner()?;
    if dir.mode & ANYBODY != ANYBODY {
        return Ok(());
    }
    let link = link.owner()?;
    if link.uid == creds.fsuid || link.uid == dir.uid { Ok(()) } else { Err(Errno::EACCES) }
}

/// Whether a name may be made in `dir`.
pub fn check_create(creds: &Creds, dir: &Path) -> Result<()> {
    if dir.dentry.is_deleted() {
        return Err(Errno::ENOENT);
    }
    if let Some(refusal) = dir.inode().no_names() {
        return Err(refusal);
    }
    dir.mount.want_write()?;
    check(creds, &**dir.inode(), WRITE | EXEC)
}

/// Whether `victim` may be removed from, or renamed away in `dir`; `as_dir` says which of rmdir(2)
/// and unlink(2) asks, None for rename.
pub fn check_delete(creds: &Creds, dir: &InodeRef, victim: &Arc<Dentry>, as_dir: Option<bool>) -> Result<()> {
    check(creds, &**dir, WRITE | EXEC)?;
    if !creds.capable(abi::CAP_FOWNER) {
        let owner = dir.owner()?;
        let sticky = owner.mode & abi::S_ISVTX != 0;
        if sticky && owner.uid != creds.fsuid && victim.inode.owner()?.uid != creds.fsuid {
            return Err(Errno::EPERM);
        }
    }
    match as_dir {
        Some(true) if !victim.is_dir() => return Err(Errno::ENOTDIR),
        Some(false) if victim.is_dir() => return Err(Errno::EISDIR),
        _ => {}
    }
    if victim.mounts.load(Relaxed) > 0 { Err(Errno::EBUSY) } else { Ok(()) }
}
