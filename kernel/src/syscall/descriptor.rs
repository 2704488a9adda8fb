//! Descriptors themselves: close(2), dup(2), fcntl(2), ioctl(2).

use super::{Call, Entry, entry};
use crate::fs::memfs;
use crate::ipc::pipe;
use crate::task::{self, signal::is_signal};
use crate::vfs::async_io::{OWNER_GROUP, OWNER_PROCESS, OWNER_THREAD, Owner};
use crate::vfs::file::OpenFile;
use crate::vfs::inode::FileKind;
use crate::vfs::permission;
use crate::{Errno, Result};
use abi::number::extended;
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_close, "close", "f", |call| {
        call.task.files().close(call.int(0))?;
        Ok(0)
    }),
    entry(abi::SYS_close_range, "close_range", "uux", close_range),
    entry(abi::SYS_dup, "dup", "f", |call| {
        let files = call.task.files();
        let file = files.get(call.int(0))?;
        files.install(file, false).map(extended)
    }),
    entry(abi::SYS_dup2, "dup2", "fd", dup2),
    entry(abi::SYS_dup3, "dup3", "fdx", dup3),
    entry(abi::SYS_fcntl, "fcntl", "fdx", fcntl),
    entry(abi::SYS_ioctl, "ioctl", "fxx", ioctl),
];

/// The flags F_SETFL may change.
const CHANGEABLE: i32 = abi::O_APPEND | abi::O_NONBLOCK | abi::O_DIRECT | abi::O_NOATIME;

fn close_range(call: &mut Call<'_>) -> Result<u64> {
    let [first, last, flags] = [0, 1, 2].map(|i| call.uint(i));
    if flags & !(abi::CLOSE_RANGE_UNSHARE | abi::CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL);
    }
    if flags & abi::CLOSE_RANGE_UNSHARE != 0 {
        let own = call.task.files().duplicate()?;
        call.task.files.set(Some(own));
    }
    let files = call.task.files();
    if flags & abi::CLOSE_RANGE_CLOEXEC != 0 {
        files.set_range_close_on_exec(first, last);
    } else {
        files.close_range(first, last);
    }
    Ok(0)
}

fn dup2(call: &mut Call<'_>) -> Result<u64> {
    let (old, new) = (call.int(0), call.int(1));
    let files = call.task.files();
    let file = files.get(old)?;
    if old != new {
        files.install_at(new, file, false)?;
    }
    Ok(extended(new))
}

fn dup3(call: &mut Call<'_>) -> Result<u64> {
    let (old, new, flags) = (call.int(0), call.int(1), call.int(2));
    if flags & !abi::O_CLOEXEC != 0 || old == new {
        return Err(Errno::EINVAL);
    }
    let files = call.task.files();
    let file = files.get(old)?;
    files.install_at(new, file, flags & abi::O_CLOEXEC != 0)?;
    Ok(extended(new))
}

fn fcntl(call: &mut Call<'_>) -> Result<u64> {
    let (fd, command, arg) = (call.int(0), call.int(1), call.args[2]);
    let files = call.task.files();
    let file = files.get(fd)?;
    match command {
        abi::F_DUPFD => return files.install_from(call.int(2), file, false).map(extended),
        abi::F_DUPFD_CLOEXEC => return files.install_from(call.int(2), file, true).map(extended),
        abi::F_GETFD => return Ok(if files.close_on_exec(fd)? { abi::FD_CLOEXEC as u64 } else { 0 }),
        abi::F_SETFD => {
            files.set_close_on_exec(fd, call.int(2) & abi::FD_CLOEXEC != 0)?;
            return Ok(0);
        }
        abi::F_DUPFD_QUERY => return Ok(Arc::ptr_eq(&file, &files.get(call.int(2))?).into()),
        abi::F_GETFL => return Ok(u64::from(file.flags.get().cast_unsigned())),
        _ => {}
    }
    if file.flags.get() & abi::O_PATH != 0 {
        return Err(Errno::EBADF);
    }
    match command {
        abi::F_SETFL => {
            let flags = call.int(2);
            if flags & abi::O_NOATIME & !file.flags.get() != 0 {
                permission::check_owner(&call.task.creds(), &*file.inode)?;
            }
            // Of a pipe it makes packets.
            if flags & abi::O_DIRECT != 0 && file.inode.kind() != FileKind::Fifo && !file.takes_direct() {
                return Err(Errno::EINVAL);
            }
            set_flags(&file, flags);
            set_async(&file, flags & abi::O_ASYNC != 0);
            Ok(0)
        }
        abi::F_GETOWN => {
            let owner = file.async_io().owner();
            Ok(extended(owner.map_or(0, |owner| if owner.kind == OWNER_GROUP { -owner.id } else { owner.id })))
        }
        abi::F_SETOWN => {
            let id = call.int(2);
            let kind = if id < 0 { OWNER_GROUP } else { OWNER_PROCESS };
            set_owner(call, &file, kind, id.checked_abs().ok_or(Errno::EINVAL)?)
        }
        abi::F_SETOWN_EX => {
            let [kind, id]: [i32; 2] = call.task.space().read(arg)?;
            if !(OWNER_THREAD..=OWNER_GROUP).contains(&kind) {
                return Err(Errno::EINVAL);
            }
            set_owner(call, &file, kind, id)
        }
        abi::F_GETOWN_EX => {
            let owner = file.async_io().owner();
            let pair = owner.map_or([OWNER_PROCESS, 0], |owner| [owner.kind, owner.id]);
            call.task.space().write(arg, &pair)?;
            Ok(0)
        }
        abi::F_SETSIG => {
            let signal = call.int(2);
            if signal != 0 && !is_signal(signal) {
                return Err(Errno::EINVAL);
            }
            file.async_io().set_signal(signal);
            Ok(0)
        }
        abi::F_GETSIG => Ok(extended(file.async_io().signal())),
        abi::F_GET_SEALS => Ok(u64::from(memfs::seals(&file)?)),
        abi::F_ADD_SEALS => {
            memfs::add_seals(&file, call.uint(2))?;
            Ok(0)
        }
        abi::F_GETPIPE_SZ => Ok(pipe::of(&file).ok_or(Errno::EBADF)?.size() as u64),
        abi::F_SETPIPE_SZ => {
            Ok(pipe::of(&file).ok_or(Errno::EBADF)?.set_size(u64::from(call.uint(2)), call.task)? as u64)
        }
        _ => super::lock::fcntl(call, &file, command, arg).unwrap_or(Err(Errno::EINVAL)),
    }
}

/// F_SETOWN: 0 for nobody; ESRCH for who does not exist.
fn set_owner(call: &Call<'_>, file: &OpenFile, kind: i32, id: i32) -> Result<u64> {
    let exists = match kind {
        _ if id == 0 => true,
        OWNER_THREAD => task::find(id).is_some(),
        OWNER_GROUP => task::find_group(id).is_some(),
        _ => task::find_process(id).is_some(),
    };
    if !exists {
        return Err(Errno::ESRCH);
    }
    file.async_io().set_owner(Owner { kind, id, setter: call.task.creds() });
    Ok(0)
}

/// Switches O_ASYNC, for files that can tell when they become ready.
fn set_async(file: &OpenFile, on: bool) {
    let flags = file.flags.get();
    if (flags & abi::O_ASYNC != 0) != on && file.set_async(on) {
        file.flags.set(flags ^ abi::O_ASYNC);
    }
}

fn set_flags(file: &OpenFile, flags: i32) {
    let old = file.flags.get();
    let new = old & !CHANGEABLE | flags & CHANGEABLE;
    if new != old {
        file.flags.set(new);
        file.flags_changed();
    }
}

fn ioctl(call: &mut Call<'_>) -> Result<u64> {
    let (fd, command, arg) = (call.int(0), call.uint(1), call.args[2]);
    let files = call.task.files();
    let file = files.get_io(fd)?;
    match command {
        abi::FIOCLEX => files.set_close_on_exec(fd, true)?,
        abi::FIONCLEX => files.set_close_on_exec(fd, false)?,
        abi::FIONBIO => {
            let on: i32 = call.task.space().read(arg)?;
            let flags = file.flags.get();
            set_flags(&file, if on != 0 { flags | abi::O_NONBLOCK } else { flags & !abi::O_NONBLOCK });
        }
        abi::FIOASYNC => {
            let on: i32 = call.task.space().read(arg)?;
            set_async(&file, on != 0);
        }
        _ => return file.ioctl(command, arg),
    }
    Ok(0)
}
