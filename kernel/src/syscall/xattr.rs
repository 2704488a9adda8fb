//! Extended attributes (xattr(7)).

use super::attributes::{Target, open_target, target};
use super::stat::resolve;
use super::{Call, Entry, entry};
use crate::vfs::inode::{FileKind, InodeRef};
use crate::vfs::notify;
use crate::vfs::permission::{self, READ, WRITE};
use crate::{Errno, Result};
use abi::number::to_usize;

const NO_FOLLOW: i32 = abi::AT_SYMLINK_NOFOLLOW;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_getxattr, "getxattr", "psPu", |call| get(call, by_path(call, 0)?)),
    entry(abi::SYS_lgetxattr, "lgetxattr", "psPu", |call| get(call, by_path(call, NO_FOLLOW)?)),
    entry(abi::SYS_fgetxattr, "fgetxattr", "fsPu", |call| get(call, by_descriptor(call)?)),
    entry(abi::SYS_setxattr, "setxattr", "psPux", |call| set(call, target(call, abi::AT_FDCWD, call.args[0], 0)?)),
    entry(abi::SYS_lsetxattr, "lsetxattr", "psPux", |call| {
        set(call, target(call, abi::AT_FDCWD, call.args[0], NO_FOLLOW)?)
    }),
    entry(abi::SYS_fsetxattr, "fsetxattr", "fsPux", |call| set(call, open_target(call)?)),
    entry(abi::SYS_listxattr, "listxattr", "pPu", |call| list(call, by_path(call, 0)?)),
    entry(abi::SYS_llistxattr, "llistxattr", "pPu", |call| list(call, by_path(call, NO_FOLLOW)?)),
    entry(abi::SYS_flistxattr, "flistxattr", "fPu", |call| list(call, by_descriptor(call)?)),
    entry(abi::SYS_removexattr, "removexattr", "ps", |call| {
        remove(call, target(call, abi::AT_FDCWD, call.args[0], 0)?)
    }),
    entry(abi::SYS_lremovexattr, "lremovexattr", "ps", |call| {
        remove(call, target(call, abi::AT_FDCWD, call.args[0], NO_FOLLOW)?)
    }),
    entry(abi::SYS_fremovexattr, "fremovexattr", "fs", |call| remove(call, open_target(call)?)),
];

/// XATTR_NAME_MAX and XATTR_SIZE_MAX.
const MAX_NAME: usize = 255;
const MAX_VALUE: u64 = 65536;

fn by_path(call: &Call<'_>, flags: i32) -> Result<InodeRef> {
    Ok(resolve(call, abi::AT_FDCWD, call.args[0], flags)?.0)
}

fn by_descriptor(call: &Call<'_>) -> Result<InodeRef> {
    Ok(call.task.files().get_io(call.int(0))?.inode.clone())
}

fn name(call: &Call<'_>) -> Result<Vec<u8>> {
    let name = call.task.space().read_string(call.args[1], MAX_NAME + 1, Errno::ERANGE)?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}

/// Whether the task may use an attribute of that name: user.* as the file's permissions say (those
/// of a directory that many write to are its owner's), trusted.* for the privileged.
fn check(call: &Call<'_>, inode: &InodeRef, name: &[u8], wanted: u32) -> Result<()> {
    let creds = call.task.creds();
    if name.starts_with(b"trusted.") && !creds.capable(abi::CAP_SYS_ADMIN) {
        return Err(if wanted == WRITE { Errno::EPERM } else { Errno::ENODATA });
    }
    if name.starts_with(b"user.") {
        // Links and special files have none: their permissions mean something else.
        if !matches!(inode.kind(), FileKind::Regular | FileKind::Directory) {
            return Err(if wanted == WRITE { Errno::EPERM } else { Errno::ENODATA });
        }
        let shared = wanted == WRITE && inode.kind() == FileKind::Directory && inode.owner()?.mode & abi::S_ISVTX != 0;
        if shared {
            permission::check_owner(&creds, &**inode)?;
        }
        return permission::check(&creds, &**inode, wanted);
    }
    if wanted == WRITE && name.starts_with(b"security.") && !creds.capable(abi::CAP_SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// Copies a result into a buffer of the caller's; a size of 0 asks for the length only.
fn give(call: &Call<'_>, addr: u64, size: u64, value: &[u8]) -> Result<u64> {
    if size != 0 {
        if (value.len() as u64) > size {
            return Err(Errno::ERANGE);
        }
        call.task.space().write_bytes(addr, value)?;
    }
    Ok(value.len() as u64)
}

fn get(call: &Call<'_>, inode: InodeRef) -> Result<u64> {
    let name = name(call)?;
    check(call, &inode, &name, READ)?;
    give(call, call.args[2], call.args[3], &inode.xattr(&name)?)
}

fn set(call: &Call<'_>, (inode, path): Target) -> Result<u64> {
    let [_, _, addr, size, ..] = call.args;
    let flags = call.int(4);
    if flags & !(abi::XATTR_CREATE | abi::XATTR_REPLACE) != 0 {
        return Err(Errno::EINVAL);
    }
    let name = name(call)?;
    if size > MAX_VALUE {
        return Err(Errno::E2BIG);
    }
    let mut value = vec![0; to_usize(size)];
    call.task.space().read_bytes(addr, &mut value)?;
    check(call, &inode, &name, WRITE)?;
    inode.set_xattr(&name, &value, flags)?;
    notify::path(path.as_ref(), notify::ATTRIB);
    Ok(0)
}

fn list(call: &Call<'_>, inode: InodeRef) -> Result<u64> {
    give(call, call.args[1], call.args[2], &inode.list_xattrs()?)
}

fn remove(call: &Call<'_>, (inode, path): Target) -> Result<u64> {
    let name = name(call)?;
    check(call, &inode, &name, WRITE)?;
    inode.remove_xattr(&name)?;
    notify::path(path.as_ref(), notify::ATTRIB);
    Ok(0)
}
