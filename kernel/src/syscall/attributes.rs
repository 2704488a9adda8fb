//! Changing what a file is: chmod(2), chown(2), utimensat(2), truncate(2), fallocate(2).

use super::stat::resolve;
use super::{Call, Entry, entry};
use crate::fs::memfs;
use crate::limits;
use crate::task::signal::{SigInfo, send_to_task};
use crate::vfs::Path;
use crate::vfs::attributes;
use crate::vfs::file::OpenFile;
use crate::vfs::inode::{FileKind, InodeRef, SetAttr, Timestamp};
use crate::vfs::notify;
use crate::vfs::permission::{self, WRITE};
use crate::{Errno, Result};

const NO_FOLLOW: i32 = abi::AT_SYMLINK_NOFOLLOW;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_chmod, "chmod", "po", |call| {
        chmod(call, target(call, abi::AT_FDCWD, call.args[0], 0)?, call.uint(1))
    }),
    entry(abi::SYS_fchmod, "fchmod", "fo", |call| chmod(call, open_target(call)?, call.uint(1))),
    entry(abi::SYS_fchmodat, "fchmodat", "fpo", |call| {
        chmod(call, target(call, call.int(0), call.args[1], 0)?, call.uint(2))
    }),
    entry(abi::SYS_fchmodat2, "fchmodat2", "fpox", |call| {
        let flags = known(call.int(3), NO_FOLLOW | abi::AT_EMPTY_PATH)?;
        chmod(call, target(call, call.int(0), call.args[1], flags)?, call.uint(2))
    }),
    entry(abi::SYS_chown, "chown", "pdd", |call| {
        chown(call, target(call, abi::AT_FDCWD, call.args[0], 0)?, call.uint(1), call.uint(2))
    }),
    entry(abi::SYS_lchown, "lchown", "pdd", |call| {
        chown(call, target(call, abi::AT_FDCWD, call.args[0], NO_FOLLOW)?, call.uint(1), call.uint(2))
    }),
    entry(abi::SYS_fchown, "fchown", "fdd", |call| chown(call, open_target(call)?, call.uint(1), call.uint(2))),
    entry(abi::SYS_fchownat, "fchownat", "fpddx", |call| {
        let flags = known(call.int(4), NO_FOLLOW | abi::AT_EMPTY_PATH)?;
        chown(call, target(call, call.int(0), call.args[1], flags)?, call.uint(2), call.uint(3))
    }),
    entry(abi::SYS_utime, "utime", "pP", utime),
    entry(abi::SYS_utimes, "utimes", "pP", |call| utimes(call, abi::AT_FDCWD, call.args[0], call.args[1])),
    entry(abi::SYS_futimesat, "futimesat", "fpP", |call| utimes(call, call.int(0), call.args[1], call.args[2])),
    entry(abi::SYS_utimensat, "utimensat", "fpPx", utimensat),
    entry(abi::SYS_truncate, "truncate", "pd", truncate),
    entry(abi::SYS_ftruncate, "ftruncate", "fd", ftruncate),
    entry(abi::SYS_fallocate, "fallocate", "fxdd", fallocate),
];

/// What is to be changed: an inode, and where it was found, if it has a name.
pub(super) type Target = (InodeRef, Option<Path>);

fn known(flags: i32, allowed: i32) -> Result<i32> {
    if flags & !allowed != 0 { Err(Errno::EINVAL) } else { Ok(flags) }
}

/// The file that a path names, to be changed: EROFS in a read-only mount.
pub(super) fn target(call: &Call<'_>, dirfd: i32, path: u64, flags: i32) -> Result<Target> {
    writable(resolve(call, dirfd, path, flags)?)
}

/// The open file of the first argument, to be changed.
pub(super) fn open_target(call: &Call<'_>) -> Result<Target> {
    let file = call.task.files().get_io(call.int(0))?;
    writable((file.inode.clone(), file.path.clone()))
}

/// EROFS in a read-only mount.
fn writable(target: Target) -> Result<Target> {
    if let Some(path) = &target.1 {
        path.mount.want_write()?;
    }
    Ok(target)
}

fn chmod(call: &Call<'_>, (inode, path): Target, mode: u32) -> Result<u64> {
    if inode.kind() == FileKind::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    let creds = call.task.creds();
    permission::check_owner(&creds, &*inode)?;
    let mut mode = mode & 0o7777;
    if mode & abi::S_ISGID != 0 && !creds.capable(abi::CAP_FSETID) && !creds.in_group(inode.owner()?.gid) {
        mode &= !abi::S_ISGID;
    }
    attributes::change(&inode, path.as_ref(), &SetAttr { mode: Some(mode), ..SetAttr::default() })?;
    Ok(0)
}

fn chown(call: &Call<'_>, (inode, path): Target, uid: u32, gid: u32) -> Result<u64> {
    let [uid, gid] = [uid, gid].map(|id| Some(id).filter(|&id| id != u32::MAX));
    let creds = call.task.creds();
    if !creds.capable(abi::CAP_CHOWN) {
        let owner = inode.owner()?;
        let uid_ok = uid.is_none_or(|uid| uid == owner.uid && creds.fsuid == owner.uid);
        let gid_ok = gid.is_none_or(|gid| creds.fsuid == owner.uid && (gid == owner.gid || creds.in_group(gid)));
        if !uid_ok || !gid_ok {
            return Err(Errno::EPERM);
        }
    }
    let mode = attributes::without_set_ids(&creds, &inode)?;
    attributes::change(&inode, path.as_ref(), &SetAttr { uid, gid, mode, ..SetAttr::default() })?;
    Ok(0)
}

/// One time to set: none (UTIME_OMIT), now, or a certain one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NewTime {
    Keep,
    Now,
    At(Timestamp),
}

impl NewTime {
    fn from_timespec(sec: i64, nsec: i64) -> Result<NewTime> {
        match nsec {
            abi::UTIME_NOW => Ok(NewTime::Now),
            abi::UTIME_OMIT => Ok(NewTime::Keep),
            0..1_000_000_000 => Ok(NewTime::At(Timestamp::from(sec) * 1_000_000_000 + Timestamp::from(nsec))),
            _ => Err(Errno::EINVAL),
        }
    }

    fn value(self) -> Option<Timestamp> {
        match self {
            NewTime::Keep => None,
            // The clock that file systems stamp with: a finer one would be ahead of them.
            NewTime::Now => Some(memfs::timestamp()),
            NewTime::At(time) => Some(time),
        }
    }
}

fn set_times(call: &Call<'_>, (inode, path): Target, times: [NewTime; 2]) -> Result<u64> {
    let creds = call.task.creds();
    let is_owner = || -> Result<bool> { Ok(creds.capable(abi::CAP_FOWNER) || inode.owner()?.uid == creds.fsuid) };
    if times == [NewTime::Now; 2] {
        // Whoever may write may say that something was written.
        if !is_owner()? {
            permission::check(&creds, &*inode, WRITE)?;
        }
    } else if !is_owner()? {
        return Err(Errno::EPERM);
    }
    let [atime, mtime] = times.map(NewTime::value);
    attributes::change(&inode, path.as_ref(), &SetAttr { atime, mtime, ..SetAttr::default() })?;
    Ok(0)
}

fn utimensat(call: &mut Call<'_>) -> Result<u64> {
    let [_, path, times, ..] = call.args;
    let times = match times {
        0 => Ok([NewTime::Now; 2]),
        addr => {
            let [asec, ansec, msec, mnsec] = call.task.space().read::<[i64; 4]>(addr)?;
            if [ansec, mnsec] == [abi::UTIME_OMIT; 2] {
                return Ok(0);
            }
            NewTime::from_timespec(asec, ansec).and_then(|atime| Ok([atime, NewTime::from_timespec(msec, mnsec)?]))
        }
    };
    let flags = known(call.int(3), NO_FOLLOW | abi::AT_EMPTY_PATH)?;
    // The file is found before its times are judged.
    if path == 0 && call.int(0) != abi::AT_FDCWD {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        let target = open_target(call)?;
        return set_times(call, target, times?);
    }
    let target = target(call, call.int(0), path, flags)?;
    set_times(call, target, times?)
}

fn utimes(call: &Call<'_>, dirfd: i32, path: u64, times: u64) -> Result<u64> {
    let times = match times {
        0 => [NewTime::Now; 2],
        addr => {
            let [asec, ausec, msec, musec] = call.task.space().read::<[i64; 4]>(addr)?;
            if !(0..1_000_000).contains(&ausec) || !(0..1_000_000).contains(&musec) {
                return Err(Errno::EINVAL);
            }
            [NewTime::from_timespec(asec, ausec * 1000)?, NewTime::from_timespec(msec, musec * 1000)?]
        }
    };
    set_times(call, target(call, dirfd, path, 0)?, times)
}

fn utime(call: &mut Call<'_>) -> Result<u64> {
    let [path, times, ..] = call.args;
    let times = match times {
        0 => [NewTime::Now; 2],
        addr => {
            let [asec, msec] = call.task.space().read::<[i64; 2]>(addr)?;
            [NewTime::from_timespec(asec, 0)?, NewTime::from_timespec(msec, 0)?]
        }
    };
    set_times(call, target(call, abi::AT_FDCWD, path, 0)?, times)
}

/// Sets a regular file's size, within RLIMIT_FSIZE.
fn set_size(call: &Call<'_>, inode: &InodeRef, path: Option<&Path>, size: u64) -> Result<u64> {
    if size > call.task.process.limit(limits::FSIZE) && size > inode.attr()?.size {
        let _ = send_to_task(call.task, SigInfo::kernel(abi::SIGXFSZ));
        return Err(Errno::EFBIG);
    }
    let mode = attributes::without_set_ids_for_write(&call.task.creds(), inode)?;
    attributes::change(inode, path, &SetAttr { size: Some(size), mode, ..SetAttr::default() })?;
    Ok(0)
}

fn truncate(call: &mut Call<'_>) -> Result<u64> {
    let size = u64::try_from(call.long(1)).map_err(|_| Errno::EINVAL)?;
    let (inode, path) = resolve(call, abi::AT_FDCWD, call.args[0], 0)?;
    match inode.kind() {
        FileKind::Regular => {}
        FileKind::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::EINVAL),
    }
    let (inode, path) = writable((inode, path))?;
    permission::check(&call.task.creds(), &*inode, WRITE)?;
    set_size(call, &inode, path.as_ref(), size)
}

fn ftruncate(call: &mut Call<'_>) -> Result<u64> {
    let size = u64::try_from(call.long(1)).map_err(|_| Errno::EINVAL)?;
    let file = call.task.files().get_io(call.int(0))?;
    if file.inode.kind() != FileKind::Regular || !file.writable() {
        return Err(Errno::EINVAL);
    }
    set_size(call, &file.inode, file.path.as_ref(), size)
}

fn fallocate(call: &mut Call<'_>) -> Result<u64> {
    let (mode, offset, len) = (call.int(1), call.long(2), call.long(3));
    if offset < 0 || len <= 0 {
        return Err(Errno::EINVAL);
    }
    let file = call.task.files().get_io(call.int(0))?;
    allocate(call, &file, mode, offset, len)
}

fn allocate(call: &Call<'_>, file: &OpenFile, mode: i32, offset: i64, len: i64) -> Result<u64> {
    const EXCLUSIVE: i32 = abi::FALLOC_FL_PUNCH_HOLE
        | abi::FALLOC_FL_COLLAPSE_RANGE
        | abi::FALLOC_FL_ZERO_RANGE
        | abi::FALLOC_FL_INSERT_RANGE
        | abi::FALLOC_FL_UNSHARE_RANGE;
    let kind = mode & EXCLUSIVE;
    if mode & !(EXCLUSIVE | abi::FALLOC_FL_KEEP_SIZE) != 0 || kind.count_ones() > 1 {
        return Err(Errno::EOPNOTSUPP);
    }
    if kind == abi::FALLOC_FL_PUNCH_HOLE && mode & abi::FALLOC_FL_KEEP_SIZE == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if !file.writable() {
        return Err(Errno::EBADF);
    }
    match file.inode.kind() {
        FileKind::Regular => {}
        FileKind::Fifo => return Err(Errno::ESPIPE),
        FileKind::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::ENODEV),
    }
    let end = offset.checked_add(len).ok_or(Errno::EFBIG)?.cast_unsigned();
    let grows = mode & abi::FALLOC_FL_KEEP_SIZE == 0;
    if grows && end > call.task.process.limit(limits::FSIZE) {
        let _ = send_to_task(call.task, SigInfo::kernel(abi::SIGXFSZ));
        return Err(Errno::EFBIG);
    }
    attributes::drop_set_ids(&file.inode, file.path.as_ref())?;
    file.inode.allocate(mode, offset.cast_unsigned(), len.cast_unsigned())?;
    notify::open_file(file, notify::MODIFY);
    Ok(0)
}
