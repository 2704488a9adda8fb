//! Mounts: mount(2), umount2(2), sync(2) and syncfs(2).
//!
//! There is one mount namespace and nothing propagates in it, so a mount is private from the
//! beginning.

use super::{Call, Entry, entry};
use crate::fs::types;
use crate::sched::{killable_point, preempt_point};
use crate::vfs::mount::{self, Mount, MountFlags};
use crate::vfs::path::Path;
use crate::vfs::walk::{self, Walk};
use crate::{Errno, Result};
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_mount, "mount", "ppsxP", mount),
    entry(abi::SYS_umount2, "umount2", "px", umount),
    entry(abi::SYS_sync, "sync", "", |_| {
        for mount in mount::all() {
            // Nobody is told of errors here.
            let _ = mount.fs.sync();
        }
        Ok(0)
    }),
    entry(abi::SYS_syncfs, "syncfs", "f", |call| {
        let file = call.task.files().get_io(call.int(0))?;
        match &file.path {
            Some(path) => path.mount.fs.sync().map(|()| 0),
            None => Ok(0),
        }
    }),
];

/// What the upper half of the flags was in ancient times.
const MAGIC: u64 = 0xc0ed_0000;
const MAGIC_MASK: u64 = 0xffff_0000;
const PROPAGATION: u64 = abi::MS_SHARED | abi::MS_PRIVATE | abi::MS_SLAVE | abi::MS_UNBINDABLE;

fn administrator(call: &Call<'_>) -> Result<()> {
    if call.task.creds().capable(abi::CAP_SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) }
}

fn string(call: &Call<'_>, arg: usize) -> Result<Option<Vec<u8>>> {
    match call.args[arg] {
        0 => Ok(None),
        addr => call.task.space().read_string(addr, abi::PATH_MAX as usize, Errno::EINVAL).map(Some),
    }
}

fn find(call: &Call<'_>, path: &[u8]) -> Result<Path> {
    walk::lookup(call.task, abi::AT_FDCWD, path, Walk::FOLLOW)
}

fn mount(call: &mut Call<'_>) -> Result<u64> {
    let (source, kind) = (string(call, 0)?, string(call, 2)?);
    let target = call.task.space().read_path(call.args[1])?;
    let mut flags = call.args[3];
    if flags & MAGIC_MASK == MAGIC {
        flags &= !MAGIC_MASK;
    }
    let target = find(call, &target)?;
    administrator(call)?;
    let own = MountFlags::from_bits_truncate(flags);
    if flags & abi::MS_REMOUNT != 0 {
        at_root(&target)?.set_flags(own);
    } else if flags & abi::MS_BIND != 0 {
        let source = find(call, &source.ok_or(Errno::EINVAL)?)?;
        bind(&source, &target, flags & abi::MS_REC != 0)?;
    } else if flags & PROPAGATION != 0 {
        at_root(&target)?;
        // What nothing propagates to is private, and a slave of nobody.
        if flags & (abi::MS_SHARED | abi::MS_UNBINDABLE) != 0 {
            return Err(Errno::EINVAL);
        }
    } else if flags & abi::MS_MOVE != 0 {
        return Err(Errno::EINVAL);
    } else {
        let options = if call.args[4] == 0 { Vec::new() } else { string(call, 4)?.unwrap_or_default() };
        let fs = types::mount(&kind.ok_or(Errno::EINVAL)?, &options)?;
        let source = source.unwrap_or_else(|| b"none".to_vec());
        mount::attach(&Mount::new(fs, &source, own), &target)?;
    }
    Ok(0)
}

/// The mount that begins at a place.
fn at_root(place: &Path) -> Result<&Arc<Mount>> {
    if place.is_mount_root() { Ok(&place.mount) } else { Err(Errno::EINVAL) }
}

/// Shows what is at `source` at `target` too; with `recursive`, what is mounted below as well.
fn bind(source: &Path, target: &Path, recursive: bool) -> Result<()> {
    let below: Vec<(Arc<Mount>, Vec<u8>)> = if recursive {
        let inside = |mount: Arc<Mount>| {
            preempt_point();
            let place = mount.place()?;
            let (name, reachable) = place.name_below(source);
            // Names that are no paths are not found again.
            (reachable && place != *source && name.len() < abi::PATH_MAX as usize).then_some((mount, name))
        };
        mount::all().into_iter().filter_map(inside).collect()
    } else {
        Vec::new()
    };
    let copy = Mount::bind(source);
    mount::attach(&copy, target)?;
    let (creds, top) = (crate::task::current().creds(), copy.root_path());
    for (mount, name) in below {
        let place = walk::walk_from(&creds, &top, &top, &name, Walk::FOLLOW)?.target.ok_or(Errno::ENOENT)?;
        mount::attach(&Mount::bind(&mount.root_path()), &place)?;
        killable_point()?;
    }
    Ok(())
}

fn umount(call: &mut Call<'_>) -> Result<u64> {
    let flags = call.int(1);
    if flags & !(abi::MNT_FORCE | abi::MNT_DETACH | abi::MNT_EXPIRE | abi::UMOUNT_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = call.task.space().read_path(call.args[0])?;
    let how = if flags & abi::UMOUNT_NOFOLLOW != 0 { Walk::empty() } else { Walk::FOLLOW };
    let place = walk::lookup(call.task, abi::AT_FDCWD, &path, how)?;
    administrator(call)?;
    let mount = at_root(&place)?.clone();
    // The place itself keeps the mount in use.
    drop(place);
    mount::detach(&mount, flags & abi::MNT_DETACH != 0)?;
    Ok(0)
}
