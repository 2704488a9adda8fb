//! open(2) and its relatives.

use super::{Call, Entry, entry};
use crate::vfs::open;
use crate::vfs::walk::Walk;
use crate::{Errno, Result};

pub const CALLS: &[Entry] = &[
    entry(libc::SYS_open, "open", "pxo", |call| {
        let [path, flags, mode, ..] = call.args;
        open(call, libc::AT_FDCWD, path, flags as i32, mode as u32, Walk::empty())
    }),
    entry(libc::SYS_openat, "openat", "fpxo", |call| {
        let [_, path, flags, mode, ..] = call.args;
        open(call, call.int(0), path, flags as i32, mode as u32, Walk::empty())
    }),
    entry(libc::SYS_creat, "creat", "po", |call| {
        let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
        open(call, libc::AT_FDCWD, call.args[0], flags, call.args[1] as u32, Walk::empty())
    }),
    entry(libc::SYS_openat2, "openat2", "fpPu", openat2),
];

/// All flags there are. Others are ignored by open(2) and refused by openat2(2).
const KNOWN: i32 = libc::O_ACCMODE
    | libc::O_CREAT
    | libc::O_EXCL
    | libc::O_NOCTTY
    | libc::O_TRUNC
    | libc::O_APPEND
    | libc::O_NONBLOCK
    | libc::O_DSYNC
    | libc::O_SYNC
    | libc::O_ASYNC
    | libc::O_DIRECT
    | 0o100000
    | libc::O_DIRECTORY
    | libc::O_NOFOLLOW
    | libc::O_NOATIME
    | libc::O_CLOEXEC
    | libc::O_PATH
    | libc::O_TMPFILE;

/// RESOLVE_* and what each means for the walk.
const RESOLVE: [(u64, Walk); 5] = [
    (libc::RESOLVE_NO_XDEV, Walk::NO_XDEV),
    (libc::RESOLVE_NO_MAGICLINKS, Walk::NO_MAGIC),
    (libc::RESOLVE_NO_SYMLINKS, Walk::NO_LINKS),
    (libc::RESOLVE_BENEATH, Walk::BENEATH),
    (libc::RESOLVE_IN_ROOT, Walk::IN_ROOT),
];

fn open(call: &Call<'_>, dirfd: i32, path: u64, flags: i32, mode: u32, how: Walk) -> Result<u64> {
    // The flags are judged before the path is read.
    let flags = open::check_flags(flags & KNOWN)?;
    let path = call.task.space().read_path(path)?;
    // Nothing is made or waited for when no descriptor is left.
    let files = call.task.files();
    files.has_room()?;
    let file = open::open(call.task, dirfd, &path, flags, mode & 0o7777, how)?;
    Ok(files.install(file, flags & libc::O_CLOEXEC != 0)? as u64)
}

fn openat2(call: &mut Call<'_>) -> Result<u64> {
    const FIRST_SIZE: u64 = 24;
    const MAX_SIZE: u64 = 4096;
    let [_, path, addr, size, ..] = call.args;
    if size < FIRST_SIZE {
        return Err(Errno::EINVAL);
    }
    if size > MAX_SIZE {
        return Err(Errno::E2BIG);
    }
    let space = call.task.space();
    let [flags, mode, resolve] = space.read::<[u64; 3]>(addr)?;
    let mut rest = vec![0; (size - FIRST_SIZE) as usize];
    space.read_bytes(addr.wrapping_add(FIRST_SIZE), &mut rest)?;
    if rest.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    let makes = flags & libc::O_CREAT as u64 != 0 || flags & libc::O_TMPFILE as u64 == libc::O_TMPFILE as u64;
    if flags & !(KNOWN as u64) != 0 || mode != 0 && !makes || mode & !0o7777 != 0 {
        return Err(Errno::EINVAL);
    }
    const PATH_FLAGS: i32 = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    if flags as i32 & libc::O_PATH != 0 && flags as i32 & !PATH_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let mut how = Walk::empty();
    let mut unknown = resolve & !libc::RESOLVE_CACHED;
    for (bit, walk) in RESOLVE {
        if resolve & bit != 0 {
            how |= walk;
            unknown &= !bit;
        }
    }
    if unknown != 0 || how.contains(Walk::BENEATH | Walk::IN_ROOT) {
        return Err(Errno::EINVAL);
    }
    open(call, call.int(0), path, flags as i32, mode as u32, how)
}
