//! Making, removing and moving names: mkdir(2), unlink(2), rename(2), link(2) and their relatives.

use super::{Call, Entry, entry};
use crate::vfs::Path;
use crate::vfs::inode::{FileKind, NewNode};
use crate::vfs::namei;
use crate::vfs::walk::{self, Walk};
use crate::{Errno, Result};

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_mkdir, "mkdir", "po", |call| {
        make(call, abi::AT_FDCWD, call.args[0], &NewNode::Directory, call.uint(1))
    }),
    entry(abi::SYS_mkdirat, "mkdirat", "fpo", |call| {
        make(call, call.int(0), call.args[1], &NewNode::Directory, call.uint(2))
    }),
    entry(abi::SYS_mknod, "mknod", "pox", |call| {
        make_node(call, abi::AT_FDCWD, call.args[0], call.uint(1), call.uint(2))
    }),
    entry(abi::SYS_mknodat, "mknodat", "fpox", |call| {
        make_node(call, call.int(0), call.args[1], call.uint(2), call.uint(3))
    }),
    entry(abi::SYS_symlink, "symlink", "pp", |call| symlink(call, call.args[0], abi::AT_FDCWD, call.args[1])),
    entry(abi::SYS_symlinkat, "symlinkat", "pfp", |call| symlink(call, call.args[0], call.int(1), call.args[2])),
    entry(abi::SYS_link, "link", "pp", |call| {
        link(call, (abi::AT_FDCWD, call.args[0]), (abi::AT_FDCWD, call.args[1]), 0)
    }),
    entry(abi::SYS_linkat, "linkat", "fpfpx", |call| {
        link(call, (call.int(0), call.args[1]), (call.int(2), call.args[3]), call.int(4))
    }),
    entry(abi::SYS_unlink, "unlink", "p", |call| remove(call, abi::AT_FDCWD, call.args[0], false)),
    entry(abi::SYS_rmdir, "rmdir", "p", |call| remove(call, abi::AT_FDCWD, call.args[0], true)),
    entry(abi::SYS_unlinkat, "unlinkat", "fpx", |call| match call.int(2) {
        0 => remove(call, call.int(0), call.args[1], false),
        abi::AT_REMOVEDIR => remove(call, call.int(0), call.args[1], true),
        _ => Err(Errno::EINVAL),
    }),
    entry(abi::SYS_rename, "rename", "pp", |call| {
        rename(call, (abi::AT_FDCWD, call.args[0]), (abi::AT_FDCWD, call.args[1]), 0)
    }),
    entry(abi::SYS_renameat, "renameat", "fpfp", |call| {
        rename(call, (call.int(0), call.args[1]), (call.int(2), call.args[3]), 0)
    }),
    entry(abi::SYS_renameat2, "renameat2", "fpfpx", |call| {
        rename(call, (call.int(0), call.args[1]), (call.int(2), call.args[3]), call.uint(4))
    }),
];

fn path(call: &Call<'_>, addr: u64) -> Result<Vec<u8>> {
    call.task.space().read_path(addr)
}

fn make(call: &Call<'_>, dirfd: i32, addr: u64, node: &NewNode<'_>, mode: u32) -> Result<u64> {
    namei::make(call.task, dirfd, &path(call, addr)?, node, mode)?;
    Ok(0)
}

fn make_node(call: &Call<'_>, dirfd: i32, addr: u64, mode: u32, device: u32) -> Result<u64> {
    let node = match mode & abi::S_IFMT {
        0 | abi::S_IFREG => NewNode::Regular,
        abi::S_IFCHR => NewNode::Device(FileKind::CharDevice, device.into()),
        abi::S_IFBLK => NewNode::Device(FileKind::BlockDevice, device.into()),
        abi::S_IFIFO => NewNode::Fifo,
        abi::S_IFSOCK => NewNode::Socket,
        abi::S_IFDIR => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    make(call, dirfd, addr, &node, mode & 0o7777)
}

fn symlink(call: &Call<'_>, target: u64, dirfd: i32, addr: u64) -> Result<u64> {
    let target = path(call, target)?;
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    make(call, dirfd, addr, &NewNode::Symlink(&target), 0o777)
}

fn link(call: &Call<'_>, old: (i32, u64), new: (i32, u64), flags: i32) -> Result<u64> {
    if flags & !(abi::AT_SYMLINK_FOLLOW | abi::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let text = path(call, old.1)?;
    let mut how = Walk::empty();
    how.set(Walk::FOLLOW, flags & abi::AT_SYMLINK_FOLLOW != 0);
    if flags & abi::AT_EMPTY_PATH != 0 && text.is_empty() {
        if !call.task.creds().capable(abi::CAP_DAC_READ_SEARCH) {
            return Err(Errno::ENOENT);
        }
        how |= Walk::EMPTY;
    }
    let target: Path = walk::lookup(call.task, old.0, &text, how)?;
    namei::link(call.task, &target, new.0, &path(call, new.1)?)?;
    Ok(0)
}

fn remove(call: &Call<'_>, dirfd: i32, addr: u64, directory: bool) -> Result<u64> {
    namei::remove(call.task, dirfd, &path(call, addr)?, directory)?;
    Ok(0)
}

fn rename(call: &Call<'_>, old: (i32, u64), new: (i32, u64), flags: u32) -> Result<u64> {
    let (from, to) = (path(call, old.1)?, path(call, new.1)?);
    namei::rename(call.task, (old.0, &from), (new.0, &to), flags)?;
    Ok(0)
}
