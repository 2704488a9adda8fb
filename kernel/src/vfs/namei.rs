//! Making, removing and moving names: what mkdir(2), link(2), unlink(2), rename(2) and their kind
//! do in every file system.

use super::context::Caller;
use super::dentry::Dentry;
use super::inode::{InodeRef, NewNode};
use super::notify;
use super::path::Path;
use super::permission::{self, EXEC, WRITE};
use super::walk::{self, Found, Last, Walk};
use crate::{Errno, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Where something new is to be made: EEXIST when something is there. Only directories may be named
/// with a slash behind.
fn vacancy(caller: &dyn Caller, dirfd: i32, path: &[u8], directory: bool) -> Result<Found> {
    let found = walk::walk(caller, dirfd, path, Walk::CREATE)?;
    if found.target.is_some() || found.last != Last::Name {
        return Err(Errno::EEXIST);
    }
    if found.slash && !directory {
        return Err(Errno::ENOENT);
    }
    permission::check_create(&caller.creds(), &found.dir)?;
    Ok(found)
}

/// mkdir(2), mknod(2), symlink(2): makes a node. The umask applies to all but symbolic links.
pub fn make(caller: &dyn Caller, dirfd: i32, path: &[u8], node: &NewNode<'_>, mode: u32) -> Result<Path> {
    let is_dir = matches!(node, NewNode::Directory);
    let found = vacancy(caller, dirfd, path, is_dir)?;
    let creds = caller.creds();
    if matches!(node, NewNode::Device(..)) && !creds.capable(abi::CAP_MKNOD) {
        return Err(Errno::EPERM);
    }
    let mode = match node {
        NewNode::Symlink(_) => 0o777,
        NewNode::Directory => mode & 0o1777 & !caller.umask(),
        _ => mode & 0o7777 & !caller.umask(),
    };
    let inode = found.dir.inode().create(&found.name, node, mode, &creds)?;
    let dentry = found.dir.dentry.add(&found.name, inode);
    notify::entry(&found.dir.dentry, notify::CREATE, &found.name, is_dir);
    Ok(Path { mount: found.dir.mount, dentry })
}

/// link(2): another name for `target`.
pub fn link(caller: &dyn Caller, target: &Path, dirfd: i32, path: &[u8]) -> Result<()> {
    let found = vacancy(caller, dirfd, path, false)?;
    if !Arc::ptr_eq(&found.dir.mount, &target.mount) {
        return Err(Errno::EXDEV);
    }
    if target.is_dir() {
        return Err(Errno::EPERM);
    }
    permission::check_link(&caller.creds(), &**target.inode())?;
    found.dir.inode().link(&found.name, target.inode())?;
    found.dir.dentry.add(&found.name, target.inode().clone());
    notify::links_changed(&target.dentry);
    notify::entry(&found.dir.dentry, notify::CREATE, &found.name, false);
    Ok(())
}

/// unlink(2) and rmdir(2).
pub fn remove(caller: &dyn Caller, dirfd: i32, path: &[u8], directory: bool) -> Result<()> {
    let found = walk::walk(caller, dirfd, path, Walk::CREATE)?;
    match found.last {
        Last::Name => {}
        Last::Dot if directory => return Err(Errno::EINVAL),
        Last::DotDot if directory => return Err(Errno::ENOTEMPTY),
        _ if directory => return Err(Errno::EBUSY),
        _ => return Err(Errno::EISDIR),
    }
    let victim = found.target.ok_or(Errno::ENOENT)?;
    if !directory && found.slash {
        return Err(if victim.is_dir() { Errno::EISDIR } else { Errno::ENOTDIR });
    }
    found.dir.mount.want_write()?;
    let dir = found.dir.inode();
    if victim.is_mount_root() {
        permission::check(&caller.creds(), &**dir, WRITE | EXEC)?;
        return Err(if !directory && victim.is_dir() { Errno::EISDIR } else { Errno::EBUSY });
    }
    permission::check_delete(&caller.creds(), dir, &victim.dentry, Some(directory))?;
    if directory {
        dir.rmdir(&found.name)?;
    } else {
        dir.unlink(&found.name)?;
    }
    victim.dentry.removed();
    notify::removed(&found.dir.dentry, victim.dentry, &found.name);
    Ok(())
}

/// renameat2(2).
pub fn rename(caller: &dyn Caller, from: (i32, &[u8]), to: (i32, &[u8]), flags: u32) -> Result<()> {
    const KNOWN: u32 = abi::RENAME_NOREPLACE | abi::RENAME_EXCHANGE | abi::RENAME_WHITEOUT;
    let exchange = flags & abi::RENAME_EXCHANGE != 0;
    if flags & !KNOWN != 0 || exchange && flags & (abi::RENAME_NOREPLACE | abi::RENAME_WHITEOUT) != 0 {
        return Err(Errno::EINVAL);
    }
    let old = walk::walk(caller, from.0, from.1, Walk::CREATE)?;
    let new = walk::walk(caller, to.0, to.1, Walk::CREATE)?;
    if !Arc::ptr_eq(&old.dir.mount, &new.dir.mount) {
        return Err(Errno::EXDEV);
    }
    if old.last != Last::Name {
        return Err(Errno::EBUSY);
    }
    if new.last != Last::Name {
        return Err(if flags & abi::RENAME_NOREPLACE != 0 { Errno::EEXIST } else { Errno::EBUSY });
    }
    old.dir.mount.want_write()?;
    let source = old.target.ok_or(Errno::ENOENT)?;
    match &new.target {
        Some(_) if flags & abi::RENAME_NOREPLACE != 0 => return Err(Errno::EEXIST),
        None if exchange => return Err(Errno::ENOENT),
        _ => {}
    }
    let target_is_dir = new.target.as_ref().is_some_and(Path::is_dir);
    if !source.is_dir() && (old.slash || !exchange && new.slash) || exchange && new.slash && !target_is_dir {
        return Err(Errno::ENOTDIR);
    }
    if new.target.is_none()
        && let Some(refusal) = new.dir.inode().no_names()
    {
        return Err(refusal);
    }
    if source.is_mount_root() || new.target.as_ref().is_some_and(Path::is_mount_root) {
        for dir in [&old.dir, &new.dir] {
            permission::check(&caller.creds(), &**dir.inode(), WRITE | EXEC)?;
        }
        return Err(Errno::EBUSY);
    }
    if new.dir.dentry.is_within(&source.dentry) {
        return Err(Errno::EINVAL);
    }
    if let Some(target) = &new.target
        && old.dir.dentry.is_within(&target.dentry)
    {
        return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
    }
    let target = new.target.map(|path| path.dentry);
    if target.as_ref().is_some_and(|target| Arc::ptr_eq(&target.inode, &source.dentry.inode)) {
        return Ok(());
    }
    let creds = caller.creds();
    permission::check_delete(&creds, old.dir.inode(), &source.dentry, None)?;
    match &target {
        None => permission::check_create(&creds, &new.dir)?,
        Some(target) => {
            let as_dir = if exchange { None } else { Some(source.is_dir()) };
            permission::check_delete(&creds, new.dir.inode(), target, as_dir)?;
        }
    }
    if !Arc::ptr_eq(&old.dir.dentry, &new.dir.dentry) {
        // The ".." of a directory that moves is written to.
        let moving = [Some(&source.dentry), target.as_ref().filter(|_| exchange)];
        for dentry in moving.into_iter().flatten().filter(|dentry| dentry.is_dir()) {
            permission::check(&creds, &*dentry.inode, WRITE)?;
        }
    }
    old.dir.inode().rename(&old.name, new.dir.inode(), &new.name, flags)?;
    finish_rename(&old.dir.dentry, &old.name, &source.dentry, &new.dir.dentry, &new.name, target.as_ref(), exchange);
    Ok(())
}

fn finish_rename(
    old_dir: &Arc<Dentry>,
    old_name: &[u8],
    source: &Arc<Dentry>,
    new_dir: &Arc<Dentry>,
    new_name: &[u8],
    target: Option<&Arc<Dentry>>,
    exchange: bool,
) {
    let replaced = target.filter(|_| !exchange);
    if let Some(replaced) = replaced {
        replaced.removed();
    }
    source.moved(new_dir, new_name, target.filter(|_| exchange));
    notify::moved(old_dir, old_name, new_dir, new_name, source);
    match (target, exchange) {
        (Some(other), true) => notify::moved(new_dir, new_name, old_dir, old_name, other),
        (Some(replaced), false) => notify::links_changed(replaced),
        _ => {}
    }
}

/// Whether anything is mounted on a dentry.
pub fn is_mount_point(dentry: &Dentry) -> bool {
    dentry.mounts.load(Relaxed) > 0
}

/// The node of a socket that bind(2) makes, for the current task; EADDRINUSE when something is
/// there.
pub fn make_socket(path: &[u8], mode: u32) -> Result<InodeRef> {
    let caller = super::upcall::caller();
    match make(&caller, abi::AT_FDCWD, path, &NewNode::Socket, mode) {
        Ok(path) => Ok(path.inode().clone()),
        Err(Errno::EEXIST) => Err(Errno::EADDRINUSE),
        Err(e) => Err(e),
    }
}

/// The socket node that connect(2) names, for the current task, which must be able to write to it.
pub fn find_socket(path: &[u8]) -> Result<InodeRef> {
    let caller = super::upcall::caller();
    let path = walk::lookup(&caller, abi::AT_FDCWD, path, Walk::FOLLOW)?;
    permission::check(&caller.creds(), &**path.inode(), WRITE)?;
    Ok(path.inode().clone())
}
