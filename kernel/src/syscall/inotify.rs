//! inotify(7).

use super::{Call, Entry, entry};
use crate::event::inotify::Inotify;
use crate::vfs::file::OpenFile;
use crate::vfs::permission;
use crate::vfs::walk::{self, Walk};
use crate::{Errno, Result};
use abi::number::extended;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_inotify_init, "inotify_init", "", |call| init(call, 0)),
    entry(abi::SYS_inotify_init1, "inotify_init1", "x", |call| init(call, call.int(0))),
    entry(abi::SYS_inotify_add_watch, "inotify_add_watch", "fpx", add_watch),
    entry(abi::SYS_inotify_rm_watch, "inotify_rm_watch", "fd", |call| {
        let file = call.task.files().get_io(call.int(0))?;
        inotify_of(&file)?.unwatch(call.int(1))?;
        Ok(0)
    }),
];

fn inotify_of(file: &OpenFile) -> Result<&Inotify> {
    file.ops_as::<Inotify>().ok_or(Errno::EINVAL)
}

fn init(call: &mut Call<'_>, flags: i32) -> Result<u64> {
    if flags & !(abi::IN_NONBLOCK | abi::IN_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = Inotify::open(flags & abi::IN_NONBLOCK != 0)?;
    call.task.files().install(file, flags & abi::IN_CLOEXEC != 0).map(extended)
}

fn add_watch(call: &mut Call<'_>) -> Result<u64> {
    const OPTIONS: u32 = abi::IN_DONT_FOLLOW
        | abi::IN_EXCL_UNLINK
        | abi::IN_MASK_ADD
        | abi::IN_MASK_CREATE
        | abi::IN_ONESHOT
        | abi::IN_ONLYDIR;
    // What only an event has is taken for something to watch, too.
    const REPORTED: u32 = abi::IN_UNMOUNT | abi::IN_Q_OVERFLOW | abi::IN_IGNORED | abi::IN_ISDIR;
    let mask = call.uint(2);
    let both = abi::IN_MASK_ADD | abi::IN_MASK_CREATE;
    let known = abi::IN_ALL_EVENTS | OPTIONS | REPORTED;
    if mask & known == 0 || mask & !known != 0 || mask & both == both {
        return Err(Errno::EINVAL);
    }
    let file = call.task.files().get_io(call.int(0))?;
    let inotify = inotify_of(&file)?;
    let mut how = Walk::empty();
    how.set(Walk::FOLLOW, mask & abi::IN_DONT_FOLLOW == 0);
    how.set(Walk::DIRECTORY, mask & abi::IN_ONLYDIR != 0);
    let path = call.task.space().read_path(call.args[1])?;
    let path = walk::lookup(call.task, abi::AT_FDCWD, &path, how)?;
    permission::check(&call.task.creds(), &**path.inode(), permission::READ)?;
    inotify.watch(path.inode(), mask).map(extended)
}
