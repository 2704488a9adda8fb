//! Asking about files: stat(2), access(2), readlink(2), getdents(2), statfs(2).

use super::{Call, Entry, entry};
use crate::creds::Creds;
use crate::mm::user::zeroed;
use crate::sched::killable_point;
use crate::vfs::Path;
use crate::vfs::file::OpenFile;
use crate::vfs::inode::{Attr, FileKind, InodeRef, Timestamp};
use crate::vfs::mount::{self, StatFs};
use crate::vfs::notify;
use crate::vfs::permission::{self, WRITE};
use crate::vfs::walk::{self, Walk};
use crate::{Errno, Result};
use abi::number::Low;
use umlab_abi::stat::Stat;
use umlab_abi::stat::Statx;
use umlab_abi::stat::StatxTimestamp;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_stat, "stat", "pP", |call| stat_path(call, abi::AT_FDCWD, call.args[0], call.args[1], 0)),
    entry(abi::SYS_lstat, "lstat", "pP", |call| {
        stat_path(call, abi::AT_FDCWD, call.args[0], call.args[1], abi::AT_SYMLINK_NOFOLLOW)
    }),
    entry(abi::SYS_fstat, "fstat", "fP", |call| {
        let file = call.task.files().get(call.int(0))?;
        write_stat(call, call.args[1], &file.inode.attr()?)
    }),
    entry(abi::SYS_newfstatat, "newfstatat", "fpPx", |call| {
        stat_path(call, call.int(0), call.args[1], call.args[2], call.int(3))
    }),
    entry(abi::SYS_statx, "statx", "fpxxP", statx),
    entry(abi::SYS_access, "access", "po", |call| access(call, abi::AT_FDCWD, call.args[0], call.uint(1), 0)),
    entry(abi::SYS_faccessat, "faccessat", "fpo", |call| access(call, call.int(0), call.args[1], call.uint(2), 0)),
    entry(abi::SYS_faccessat2, "faccessat2", "fpox", |call| {
        access(call, call.int(0), call.args[1], call.uint(2), call.int(3))
    }),
    entry(abi::SYS_readlink, "readlink", "pPu", |call| {
        read_link(call, abi::AT_FDCWD, call.args[0], call.args[1], call.int(2))
    }),
    entry(abi::SYS_readlinkat, "readlinkat", "fpPu", |call| {
        read_link(call, call.int(0), call.args[1], call.args[2], call.int(3))
    }),
    entry(abi::SYS_getdents, "getdents", "fPu", |call| read_dir(call, true)),
    entry(abi::SYS_getdents64, "getdents64", "fPu", |call| read_dir(call, false)),
    entry(abi::SYS_statfs, "statfs", "pP", |call| {
        let path = call.task.space().read_path(call.args[0])?;
        let path = walk::lookup(call.task, abi::AT_FDCWD, &path, Walk::FOLLOW)?;
        write_statfs(call, Some(&path), &path.mount.fs.statfs()?)
    }),
    entry(abi::SYS_fstatfs, "fstatfs", "fP", fstatfs),
    entry(abi::SYS_ustat, "ustat", "xP", ustat),
];

/// The AT_* flags that only ask for a more or less exact answer: it is exact here.
const SYNC_FLAGS: i32 = abi::AT_STATX_FORCE_SYNC | abi::AT_STATX_DONT_SYNC | abi::AT_NO_AUTOMOUNT;
/// Most bytes of directory entries that one call gives.
const MAX_ENTRIES: usize = 256 * 1024;

/// What a path with AT_* flags names: a place in the tree, or with AT_EMPTY_PATH perhaps a file
/// without one.
pub(super) fn resolve(call: &Call<'_>, dirfd: i32, path_addr: u64, flags: i32) -> Result<(InodeRef, Option<Path>)> {
    let path = match path_addr {
        0 if flags & abi::AT_EMPTY_PATH != 0 => Vec::new(),
        addr => call.task.space().read_path(addr)?,
    };
    named(call, dirfd, &path, flags)
}

fn named(call: &Call<'_>, dirfd: i32, path: &[u8], flags: i32) -> Result<(InodeRef, Option<Path>)> {
    if path.is_empty() && flags & abi::AT_EMPTY_PATH != 0 && dirfd != abi::AT_FDCWD {
        let file = call.task.files().get(dirfd)?;
        return Ok((file.inode.clone(), file.path.clone()));
    }
    let mut how = if flags & abi::AT_SYMLINK_NOFOLLOW == 0 { Walk::FOLLOW } else { Walk::empty() };
    how.set(Walk::EMPTY, flags & abi::AT_EMPTY_PATH != 0);
    let found = walk::lookup(call.task, dirfd, path, how)?;
    Ok((found.inode().clone(), Some(found)))
}

fn split_time(time: Timestamp) -> (i64, i64) {
    const SECOND: i64 = 1_000_000_000;
    match i64::try_from(time) {
        Ok(time) => (time.div_euclid(SECOND), time.rem_euclid(SECOND)),
        // A division that the processor does not have: for the years before 1677 and after 2262.
        // The seconds fit, as they did when the time was made of them.
        Err(_) => [time.div_euclid(SECOND.into()), time.rem_euclid(SECOND.into())]
            .map(|part| i64::try_from(part).unwrap_or(i64::MAX))
            .into(),
    }
}

fn stat_path(call: &Call<'_>, dirfd: i32, path: u64, addr: u64, flags: i32) -> Result<u64> {
    if flags & !(abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH | SYNC_FLAGS) != 0 {
        return Err(Errno::EINVAL);
    }
    let (inode, _) = resolve(call, dirfd, path, flags)?;
    write_stat(call, addr, &inode.attr()?)
}

fn write_stat(call: &Call<'_>, addr: u64, attr: &Attr) -> Result<u64> {
    let mut stat: Stat = zeroed();
    stat.st_dev = attr.dev;
    stat.st_ino = attr.ino;
    stat.st_nlink = u64::from(attr.nlink);
    stat.st_mode = attr.kind.mode() | attr.mode;
    stat.st_uid = attr.uid;
    stat.st_gid = attr.gid;
    stat.st_rdev = attr.rdev;
    stat.st_size = attr.size.cast_signed();
    stat.st_blksize = i64::from(attr.block_size);
    stat.st_blocks = attr.blocks.cast_signed();
    (stat.st_atime, stat.st_atime_nsec) = split_time(attr.atime);
    (stat.st_mtime, stat.st_mtime_nsec) = split_time(attr.mtime);
    (stat.st_ctime, stat.st_ctime_nsec) = split_time(attr.ctime);
    call.task.space().write(addr, &stat)?;
    Ok(0)
}

fn statx(call: &mut Call<'_>) -> Result<u64> {
    let (flags, mask) = (call.int(2), call.uint(3));
    let sync = flags & (abi::AT_STATX_FORCE_SYNC | abi::AT_STATX_DONT_SYNC);
    if flags & !(abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH | SYNC_FLAGS) != 0
        || sync == abi::AT_STATX_FORCE_SYNC | abi::AT_STATX_DONT_SYNC
        || mask & abi::STATX__RESERVED.cast_unsigned() != 0
    {
        return Err(Errno::EINVAL);
    }
    let (inode, path) = resolve(call, call.int(0), call.args[1], flags)?;
    let attr = inode.attr()?;
    let mut out: Statx = zeroed();
    out.stx_mask = abi::STATX_BASIC_STATS;
    out.stx_blksize = attr.block_size;
    out.stx_nlink = attr.nlink;
    out.stx_uid = attr.uid;
    out.stx_gid = attr.gid;
    out.stx_mode = (attr.kind.mode() | attr.mode).low_u16();
    out.stx_ino = attr.ino;
    out.stx_size = attr.size;
    out.stx_blocks = attr.blocks;
    let time = |time: Timestamp| {
        let (sec, nsec) = split_time(time);
        let mut out: StatxTimestamp = zeroed::<Statx>().stx_atime;
        out.tv_sec = sec;
        out.tv_nsec = nsec.low_u32();
        out
    };
    out.stx_atime = time(attr.atime);
    out.stx_mtime = time(attr.mtime);
    out.stx_ctime = time(attr.ctime);
    if let Some(btime) = attr.btime {
        out.stx_btime = time(btime);
        out.stx_mask |= abi::STATX_BTIME;
    }
    (out.stx_rdev_major, out.stx_rdev_minor) = (abi::major(attr.rdev), abi::minor(attr.rdev));
    (out.stx_dev_major, out.stx_dev_minor) = (abi::major(attr.dev), abi::minor(attr.dev));
    out.stx_attributes_mask = abi::STATX_ATTR_MOUNT_ROOT as u64;
    if let Some(path) = path {
        out.stx_mnt_id = u64::from(path.mount.id);
        out.stx_mask |= abi::STATX_MNT_ID;
        if path.is_mount_root() {
            out.stx_attributes |= abi::STATX_ATTR_MOUNT_ROOT as u64;
        }
    }
    call.task.space().write(call.args[4], &out)?;
    Ok(0)
}

/// Credentials with the real ids in the place of the effective ones, as access(2) judges.
fn real_creds(creds: &Creds) -> Creds {
    let mut real = creds.clone();
    (real.fsuid, real.fsgid) = (creds.uid, creds.gid);
    real.effective = if creds.uid == 0 { creds.permitted } else { 0 };
    real
}

fn access(call: &Call<'_>, dirfd: i32, path: u64, wanted: u32, flags: i32) -> Result<u64> {
    if wanted & !0o7 != 0 || flags & !(abi::AT_EACCESS | abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let own = call.task.creds();
    let real;
    let creds = if flags & abi::AT_EACCESS != 0 || own.uid == own.fsuid && own.gid == own.fsgid {
        &*own
    } else {
        real = real_creds(&own);
        &real
    };
    let text = call.task.space().read_path(path)?;
    let (inode, place) = if text.is_empty() && flags & abi::AT_EMPTY_PATH != 0 {
        resolve(call, dirfd, path, flags)?
    } else {
        if text.is_empty() {
            return Err(Errno::ENOENT);
        }
        let root = call.task.fs.borrow().root.cloned();
        let start = if text.first() == Some(&b'/') { root.clone() } else { walk::start(call.task, dirfd)? };
        let how = if flags & abi::AT_SYMLINK_NOFOLLOW == 0 { Walk::FOLLOW } else { Walk::empty() };
        let found = walk::walk_from(creds, &root, &start, &text, how)?.target.ok_or(Errno::ENOENT)?;
        (found.inode().clone(), Some(found))
    };
    if wanted == 0 {
        return Ok(0);
    }
    if let Some(place) = &place {
        let kind = inode.kind();
        let flags = place.mount.flags();
        if wanted & permission::EXEC != 0
            && kind == FileKind::Regular
            && flags.contains(crate::vfs::mount::MountFlags::NOEXEC)
        {
            return Err(Errno::EACCES);
        }
        permission::check(creds, &*inode, wanted)?;
        if wanted & WRITE != 0 && matches!(kind, FileKind::Regular | FileKind::Directory | FileKind::Symlink) {
            place.mount.want_write()?;
        }
        return Ok(0);
    }
    permission::check(creds, &*inode, wanted)?;
    Ok(0)
}

fn read_link(call: &Call<'_>, dirfd: i32, path: u64, addr: u64, size: i32) -> Result<u64> {
    let size = usize::try_from(size).ok().filter(|&size| size > 0).ok_or(Errno::EINVAL)?;
    let text = call.task.space().read_path(path)?;
    let (inode, _) = named(call, dirfd, &text, abi::AT_EMPTY_PATH | abi::AT_SYMLINK_NOFOLLOW)?;
    if inode.kind() != FileKind::Symlink {
        return Err(if text.is_empty() { Errno::ENOENT } else { Errno::EINVAL });
    }
    let target = inode.read_link()?;
    let len = target.len().min(size);
    call.task.space().write_bytes(addr, &target[..len])?;
    Ok(len as u64)
}

/// Directory entries, in the layout of getdents64(2) or the older one.
fn read_dir(call: &Call<'_>, old: bool) -> Result<u64> {
    let file = call.task.files().get_io(call.int(0))?;
    if file.inode.kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    if file.path.as_ref().is_some_and(|path| path.dentry.is_deleted()) {
        return Err(Errno::ENOENT);
    }
    let room = (call.uint(2) as usize).min(MAX_ENTRIES);
    let mut out = Vec::new();
    let mut position = file.position.get();
    let mut too_long = false;
    let read = file.read_dir(&mut |entry| {
        // Inode, offset, length, then type and name, or name and, in the last byte, type.
        let len = (19 + entry.name.len() + 1).next_multiple_of(8);
        if out.len() + len > room {
            too_long = out.is_empty();
            return false;
        }
        let end = out.len() + len;
        out.extend_from_slice(&entry.ino.to_ne_bytes());
        out.extend_from_slice(&entry.next.to_ne_bytes());
        out.extend_from_slice(&len.low_u16().to_ne_bytes());
        if !old {
            out.push(entry.kind);
        }
        out.extend_from_slice(entry.name);
        out.resize(end, 0);
        if old {
            out[end - 1] = entry.kind;
        }
        position = entry.next;
        true
    });
    // Whatever came of it.
    notify::open_file(&file, notify::ACCESS);
    read?;
    if too_long {
        return Err(Errno::EINVAL);
    }
    call.task.space().write_bytes(call.args[1], &out)?;
    file.position.set(position);
    Ok(out.len() as u64)
}

fn fstatfs(call: &mut Call<'_>) -> Result<u64> {
    let file = call.task.files().get(call.int(0))?;
    match &file.path {
        Some(path) => write_statfs(call, Some(path), &path.mount.fs.statfs()?),
        None => write_statfs(call, None, &nameless(&file)),
    }
}

/// ustat(2): what is free in the mounted file system with a device number.
fn ustat(call: &mut Call<'_>) -> Result<u64> {
    // As the kernel packs it into 32 bits.
    let device = call.uint(0);
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00);
    let device = abi::makedev(major, minor);
    for mount in mount::all() {
        if mount.fs.root().attr().is_ok_and(|attr| attr.dev == device) {
            let stat = mount.fs.statfs()?;
            // f_tfree is an int; the names at the end are empty.
            let words: [u64; 4] = [stat.free.low_u32().into(), stat.files_free, 0, 0];
            return call.task.space().write(call.args[1], &words).map(|()| 0);
        }
        killable_point()?;
    }
    Err(Errno::EINVAL)
}

/// What the file systems of pipes, sockets and other nameless files say.
fn nameless(file: &OpenFile) -> StatFs {
    let magic = match file.inode.kind() {
        FileKind::Fifo => 0x5049_5045,
        FileKind::Socket => 0x534f_434b,
        _ => 0x0904_1934,
    };
    StatFs { magic, block_size: 4096, name_max: 255, ..StatFs::default() }
}

fn write_statfs(call: &Call<'_>, path: Option<&Path>, stat: &StatFs) -> Result<u64> {
    const ST_VALID: u64 = 0x20;
    const ST_RELATIME: u64 = 0x1000;
    let flags = path.map_or(0, |path| path.mount.flags().bits());
    // The numbers of mount(2) and statfs(2) agree but for this one.
    let flags = flags & 0xc0f | if flags & abi::MS_RELATIME != 0 { ST_RELATIME } else { 0 };
    let words: [u64; 15] = [
        stat.magic,
        stat.block_size,
        stat.blocks,
        stat.free,
        stat.available,
        stat.files,
        stat.files_free,
        path.map_or(0, |path| u64::from(path.mount.id)),
        stat.name_max,
        stat.block_size,
        flags | ST_VALID,
        0,
        0,
        0,
        0,
    ];
    call.task.space().write(call.args[1], &words)?;
    Ok(0)
}
