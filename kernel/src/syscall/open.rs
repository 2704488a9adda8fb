//! open(2) and its relatives.

use super::{Call, Entry, entry};
use crate::vfs::open;
use crate::vfs::walk::Walk;
use crate::{Errno, Result};
use abi::number::{Low, extended, to_usize};

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_open, "open", "pxo", |call| {
        open(call, abi::AT_FDCWD, call.args[0], call.int(1), call.uint(2), Walk::empty())
    }),
    entry(abi::SYS_openat, "openat", "fpxo", |call| {
        open(call, call.int(0), call.args[1], call.int(2), call.uint(3), Walk::empty())
    }),
    entry(abi::SYS_creat, "creat", "po", |call| {
        let flags = abi::O_CREAT | abi::O_WRONLY | abi::O_TRUNC;
        open(call, abi::AT_FDCWD, call.args[0], flags, call.uint(1), Walk::empty())
    }),
    entry(abi::SYS_openat2, "openat2", "fpPu", openat2),
];

/// All flags there are. Others are ignored by open(2) and refused by openat2(2).
const KNOWN: i32 = abi::O_ACCMODE
    | abi::O_CREAT
    | abi::O_EXCL
    | abi::O_NOCTTY
    | abi::O_TRUNC
    | abi::O_APPEND
    | abi::O_NONBLOCK
    | abi::O_DSYNC
    | abi::O_SYNC
    | abi::O_ASYNC
    | abi::O_DIRECT
    | 0o100000
    | abi::O_DIRECTORY
    | abi::O_NOFOLLOW
    | abi::O_NOATIME
    | abi::O_CLOEXEC
    | abi::O_PATH
    | abi::O_TMPFILE;

/// RESOLVE_* and what each means for the walk.
const RESOLVE: [(u64, Walk); 5] = [
    (abi::RESOLVE_NO_XDEV, Walk::NO_XDEV),
    (abi::RESOLVE_NO_MAGICLINKS, Walk::NO_MAGIC),
    (abi::RESOLVE_NO_SYMLINKS, Walk::NO_LINKS),
    (abi::RESOLVE_BENEATH, Walk::BENEATH),
    (abi::RESOLVE_IN_ROOT, Walk::IN_ROOT),
];

fn open(call: &Call<'_>, dirfd: i32, path: u64, flags: i32, mode: u32, how: Walk) -> Result<u64> {
    // The flags are judged before the path is read.
    let flags = open::check_flags(flags & KNOWN)?;
    let path = call.task.space().read_path(path)?;
    // Nothing is made or waited for when no descriptor is left.
    let files = call.task.files();
    files.has_room()?;
    let file = open::open(call.task, dirfd, &path, flags, mode & 0o7777, how)?;
    Ok(extended(files.install(file, flags & abi::O_CLOEXEC != 0)?))
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
    let mut rest = vec![0; to_usize(size - FIRST_SIZE)];
    space.read_bytes(addr.wrapping_add(FIRST_SIZE), &mut rest)?;
    if rest.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    let makes = flags & abi::O_CREAT as u64 != 0 || flags & abi::O_TMPFILE as u64 == abi::O_TMPFILE as u64;
    if flags & !(KNOWN as u64) != 0 || mode != 0 && !makes || mode & !0o7777 != 0 {
        return Err(Errno::EINVAL);
    }
    const PATH_FLAGS: i32 = abi::O_PATH | abi::O_DIRECTORY | abi::O_NOFOLLOW | abi::O_CLOEXEC;
    let flags = flags.low_i32();
    if flags & abi::O_PATH != 0 && flags & !PATH_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let mut how = Walk::empty();
    let mut unknown = resolve & !abi::RESOLVE_CACHED;
    for (bit, walk) in RESOLVE {
        if resolve & bit != 0 {
            how |= walk;
            unknown &= !bit;
        }
    }
    if unknown != 0 || how.contains(Walk::BENEATH | Walk::IN_ROOT) {
        return Err(Errno::EINVAL);
    }
    open(call, call.int(0), path, flags, mode.low_u32(), how)
}
