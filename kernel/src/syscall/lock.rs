//! File locks: flock(2), and the lock commands of fcntl(2).

use super::{Call, Entry, entry};
use crate::vfs::file::OpenFile;
use crate::vfs::inode::FileKind;
use crate::vfs::locks::{self, END, Kind, Owner, Record};
use crate::{Errno, Result};
use abi::number::Low;
use std::sync::Arc;
use umlab_abi::fcntl::Flock;

pub const CALLS: &[Entry] = &[entry(abi::SYS_flock, "flock", "fd", flock)];

fn flock(call: &mut Call<'_>) -> Result<u64> {
    let file = call.task.files().get_io(call.int(0))?;
    let operation = call.int(1);
    let kind = match operation & !abi::LOCK_NB {
        abi::LOCK_SH => Some(Kind::Read),
        abi::LOCK_EX => Some(Kind::Write),
        abi::LOCK_UN => None,
        _ => return Err(Errno::EINVAL),
    };
    locks::flock(&file, kind, operation & abi::LOCK_NB == 0, call.task.pid())?;
    Ok(0)
}

/// A lock command of fcntl(2). None when `command` is no such command.
pub fn fcntl(call: &Call<'_>, file: &Arc<OpenFile>, command: i32, arg: u64) -> Option<Result<u64>> {
    Some(match command {
        abi::F_GETLK | abi::F_OFD_GETLK => get(call, file, command, arg),
        abi::F_SETLK | abi::F_SETLKW | abi::F_OFD_SETLK | abi::F_OFD_SETLKW => set(call, file, command, arg),
        abi::F_GETLEASE => Ok(abi::F_UNLCK as u64),
        abi::F_SETLEASE => lease(file, arg.low_i32()),
        _ => return None,
    })
}

/// The owner and pid that a command's lock has.
fn owner(call: &Call<'_>, file: &OpenFile, command: i32, asked: &Flock) -> Result<(Owner, i32)> {
    match command {
        abi::F_OFD_GETLK | abi::F_OFD_SETLK | abi::F_OFD_SETLKW => {
            if asked.l_pid != 0 {
                return Err(Errno::EINVAL);
            }
            Ok((Owner::open_file(file), -1))
        }
        _ => Ok((Owner::process(&call.task.files()), call.task.pid())),
    }
}

/// The bytes that a struct flock means, both ends included.
fn range(file: &OpenFile, asked: &Flock) -> Result<(u64, u64)> {
    let base = match i32::from(asked.l_whence) {
        abi::SEEK_SET => 0,
        abi::SEEK_CUR => file.position.get().cast_signed(),
        abi::SEEK_END => file.inode.attr()?.size.cast_signed(),
        _ => return Err(Errno::EINVAL),
    };
    let start = base.checked_add(asked.l_start).ok_or(Errno::EOVERFLOW)?;
    if start < 0 {
        return Err(Errno::EINVAL);
    }
    let (start, end) = match asked.l_len {
        0 => (start, END.cast_signed()),
        len @ 1.. => (start, start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?),
        len => (start.checked_add(len).ok_or(Errno::EINVAL)?, start - 1),
    };
    if start < 0 { Err(Errno::EINVAL) } else { Ok((start.cast_unsigned(), end.cast_unsigned())) }
}

fn kind(asked: &Flock) -> Result<Option<Kind>> {
    match i32::from(asked.l_type) {
        abi::F_RDLCK => Ok(Some(Kind::Read)),
        abi::F_WRLCK => Ok(Some(Kind::Write)),
        abi::F_UNLCK => Ok(None),
        _ => Err(Errno::EINVAL),
    }
}

fn get(call: &Call<'_>, file: &OpenFile, command: i32, arg: u64) -> Result<u64> {
    let mut asked: Flock = call.task.space().read(arg)?;
    let kind = kind(&asked)?.ok_or(Errno::EINVAL)?;
    let (start, end) = range(file, &asked)?;
    let (owner, pid) = owner(call, file, command, &asked)?;
    match locks::conflict(file, &Record { owner, pid, kind, start, end })? {
        None => asked.l_type = abi::F_UNLCK.low_i16(),
        Some(held) => {
            let kind = if held.kind == Kind::Write { abi::F_WRLCK } else { abi::F_RDLCK };
            asked.l_type = kind.low_i16();
            asked.l_whence = abi::SEEK_SET.low_i16();
            asked.l_start = held.start.cast_signed();
            asked.l_len = if held.end == END { 0 } else { (held.end - held.start + 1).cast_signed() };
            asked.l_pid = held.pid;
        }
    }
    call.task.space().write(arg, &asked)?;
    Ok(0)
}

fn set(call: &Call<'_>, file: &OpenFile, command: i32, arg: u64) -> Result<u64> {
    let asked: Flock = call.task.space().read(arg)?;
    let (start, end) = range(file, &asked)?;
    let kind = kind(&asked)?;
    let (owner, pid) = owner(call, file, command, &asked)?;
    match kind {
        Some(Kind::Read) if !file.readable() => return Err(Errno::EBADF),
        Some(Kind::Write) if !file.writable() => return Err(Errno::EBADF),
        Some(kind) => {
            let wait = matches!(command, abi::F_SETLKW | abi::F_OFD_SETLKW);
            locks::lock(file, Record { owner, pid, kind, start, end }, wait)?;
        }
        None => locks::unlock(file, owner, start, end)?,
    }
    Ok(0)
}

/// Nobody breaks leases here, so none are given out; but who may ask is judged as Linux does.
fn lease(file: &OpenFile, kind: i32) -> Result<u64> {
    if file.inode.kind() != FileKind::Regular || ![abi::F_RDLCK, abi::F_WRLCK, abi::F_UNLCK].contains(&kind) {
        return Err(Errno::EINVAL);
    }
    Err(Errno::EAGAIN)
}
