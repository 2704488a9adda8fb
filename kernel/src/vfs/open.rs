//! open(2): from a path name to an open file.

use super::anon::AnonInode;
use super::attributes;
use super::context::Caller;
use super::directory::Directory;
use super::file::{FileOps, OpenFile};
use super::inode::{FileKind, InodeRef, NewNode, SetAttr};
use super::mount::MountFlags;
use super::notify;
use super::path::Path;
use super::permission::{self, EXEC, READ, WRITE};
use super::walk::{self, Last, Walk};
use super::write_access::Claim;
use crate::creds::Creds;
use crate::mm::IoBuf;
use crate::{Errno, Result};
use std::any::Any;
use std::sync::Arc;

/// Flags of O_TMPFILE beyond those of O_DIRECTORY.
const TMPFILE: i32 = abi::O_TMPFILE & !abi::O_DIRECTORY;
/// Flags that say how to open, and are not kept.
const NOT_KEPT: i32 = abi::O_CREAT | abi::O_EXCL | abi::O_NOCTTY | abi::O_TRUNC | abi::O_CLOEXEC;
/// What Linux sets for every 64-bit program.
pub const LARGEFILE: i32 = 0o100000;

/// The flags that hold of those asked for. EINVAL for those that exclude each other, whatever the
/// path.
pub fn check_flags(mut flags: i32) -> Result<i32> {
    if flags & abi::O_PATH != 0 {
        flags &= abi::O_DIRECTORY | abi::O_NOFOLLOW | abi::O_PATH | abi::O_CLOEXEC;
    }
    let makes_directory = flags & abi::O_CREAT != 0 && flags & abi::O_DIRECTORY != 0;
    let unnamed = flags & TMPFILE != 0;
    let wrong_unnamed = flags & abi::O_TMPFILE != abi::O_TMPFILE || flags & abi::O_ACCMODE == abi::O_RDONLY;
    if makes_directory || unnamed && wrong_unnamed { Err(Errno::EINVAL) } else { Ok(flags) }
}

/// openat2(2) in full: flags and mode of open(2), and how to walk the path. The flags are such as
/// [`check_flags`] leaves them.
pub fn open(
    caller: &dyn Caller,
    dirfd: i32,
    path: &[u8],
    flags: i32,
    mode: u32,
    resolve: Walk,
) -> Result<Arc<OpenFile>> {
    let mut how = resolve;
    if flags & abi::O_DIRECTORY != 0 {
        how |= Walk::DIRECTORY;
    }
    if flags & abi::O_NOFOLLOW == 0 {
        how |= Walk::FOLLOW;
    }
    if flags & TMPFILE != 0 {
        return open_unnamed(caller, dirfd, path, flags, mode, how);
    }
    if flags & abi::O_CREAT == 0 {
        let path = walk::lookup(caller, dirfd, path, how)?;
        return open_path(&caller.creds(), path, flags);
    }
    if flags & abi::O_EXCL != 0 {
        how.remove(Walk::FOLLOW);
    }
    let found = walk::walk(caller, dirfd, path, how | Walk::CREATE)?;
    if found.slash {
        return Err(Errno::EISDIR);
    }
    let creds = caller.creds();
    if let Some(target) = found.target {
        if flags & abi::O_EXCL != 0 {
            return Err(Errno::EEXIST);
        }
        if target.is_dir() {
            return Err(Errno::EISDIR);
        }
        return open_path(&creds, target, flags);
    }
    if found.last != Last::Name {
        return Err(Errno::EISDIR);
    }
    permission::check_create(&creds, &found.dir)?;
    let mode = mode & 0o7777 & !caller.umask();
    let inode = found.dir.inode().create(&found.name, &NewNode::Regular, mode, &creds)?;
    let dentry = found.dir.dentry.add(&found.name, inode);
    notify::entry(&found.dir.dentry, notify::CREATE, &found.name, false);
    let path = Path { mount: found.dir.mount, dentry };
    let claim = claim(&path, flags)?;
    open_inode(path, flags, claim)
}

/// Opens what a walk found, with the checks of open(2).
pub fn open_path(creds: &Creds, path: Path, flags: i32) -> Result<Arc<OpenFile>> {
    let inode = path.inode();
    let kind = inode.kind();
    if flags & abi::O_PATH != 0 {
        return Ok(OpenFile::at(Arc::new(PathOnly), path, flags & !NOT_KEPT));
    }
    let mut wanted = match flags & abi::O_ACCMODE {
        abi::O_RDONLY => READ,
        abi::O_WRONLY => WRITE,
        _ => READ | WRITE,
    };
    if flags & abi::O_TRUNC != 0 {
        wanted |= WRITE;
    }
    match kind {
        FileKind::Symlink => return Err(Errno::ELOOP),
        FileKind::Directory if wanted & WRITE != 0 => return Err(Errno::EISDIR),
        FileKind::CharDevice | FileKind::BlockDevice if path.mount.flags().contains(MountFlags::NODEV) => {
            return Err(Errno::EACCES);
        }
        FileKind::Regular if wanted & WRITE != 0 => path.mount.want_write()?,
        _ => {}
    }
    permission::check(creds, &**inode, wanted)?;
    if flags & abi::O_NOATIME != 0 {
        permission::check_owner(creds, &**inode)?;
    }
    let claim = claim(&path, flags)?;
    if flags & abi::O_TRUNC != 0 && kind == FileKind::Regular {
        // Before the file is opened: nothing that is about to go has to be copied up.
        notify::file(&path.dentry, notify::OPEN);
        let mode = attributes::without_set_ids_for_write(creds, inode)?;
        attributes::change(inode, Some(&path), &SetAttr { size: Some(0), mode, ..SetAttr::default() })?;
        return open_told(path, flags, claim);
    }
    open_inode(path, flags, claim)
}

/// What opening with these flags excludes.
fn claim(path: &Path, flags: i32) -> Result<Option<Claim>> {
    let writes = flags & (abi::O_ACCMODE | abi::O_TRUNC) != 0 && path.inode().kind() == FileKind::Regular;
    if writes { Claim::write(path.inode()).map(Some) } else { Ok(None) }
}

/// Opens a file that may be opened.
fn open_inode(path: Path, flags: i32, claim: Option<Claim>) -> Result<Arc<OpenFile>> {
    let dentry = path.dentry.clone();
    let file = open_told(path, flags, claim)?;
    notify::file(&dentry, notify::OPEN);
    Ok(file)
}

/// The same, when watchers have heard of it.
fn open_told(path: Path, flags: i32, claim: Option<Claim>) -> Result<Arc<OpenFile>> {
    let ops: Arc<dyn FileOps> = match path.inode().kind() {
        FileKind::Directory => Directory::new(path.clone()),
        FileKind::Socket => return Err(Errno::ENXIO),
        _ => path.inode().clone().open(flags)?,
    };
    if flags & abi::O_DIRECT != 0 && !ops.takes_direct() {
        return Err(Errno::EINVAL);
    }
    let flags = flags & !NOT_KEPT | LARGEFILE;
    if path.inode().as_any().is::<AnonInode>() {
        // Found by way of a link in /proc, and as nameless as the first time.
        return Ok(OpenFile::new(ops, path.inode().clone(), flags));
    }
    Ok(OpenFile::claimed(ops, path, claim, flags))
}

/// O_TMPFILE: a file in a directory's file system that has no name yet.
fn open_unnamed(
    caller: &dyn Caller,
    dirfd: i32,
    path: &[u8],
    flags: i32,
    mode: u32,
    how: Walk,
) -> Result<Arc<OpenFile>> {
    let dir = walk::lookup(caller, dirfd, path, how)?;
    let creds = caller.creds();
    dir.mount.want_write()?;
    permission::check(&creds, &**dir.inode(), WRITE | EXEC)?;
    let mode = mode & 0o7777 & !caller.umask();
    let inode: InodeRef = dir.inode().create_unnamed(mode, &creds, flags & abi::O_EXCL == 0)?;
    let name = format!("#{}", inode.attr()?.ino);
    let dentry = super::dentry::Dentry::nameless(inode, Some(dir.dentry.clone()), name.as_bytes());
    let path = Path { mount: dir.mount, dentry };
    let claim = claim(&path, flags)?;
    open_inode(path, flags & !abi::O_DIRECTORY, claim)
}

/// What an O_PATH descriptor can do: nothing but name its file.
struct PathOnly;

impl FileOps for PathOnly {
    fn read(&self, _file: &OpenFile, _buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn write(&self, _file: &OpenFile, _buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        Err(Errno::EBADF)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
