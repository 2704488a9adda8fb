//! Reading, writing and positioning: read(2), write(2) and their relatives.

use super::{Call, Entry, entry};
use crate::ipc::pipe;
use crate::mm::IoBuf;
use crate::mm::user::{MAX_TRANSFER, check_range};
use crate::vfs::file::OpenFile;
use crate::vfs::inode::FileKind;
use crate::vfs::notify;
use crate::vfs::transfer::{self, check_end, read, read_quietly, write, write_quietly};
use crate::{Errno, Result};
use crate::{sched, task};
use abi::number::to_usize;
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_read, "read", "fPu", |call| {
        let (file, mut buf) = (file(call, 0)?, buffer(call)?);
        Ok(read(&file, &mut buf, None)? as u64)
    }),
    entry(abi::SYS_write, "write", "fbu", |call| {
        let (file, mut buf) = (file(call, 0)?, buffer(call)?);
        Ok(write(&file, &mut buf, None, false)? as u64)
    }),
    entry(abi::SYS_pread64, "pread64", "fPuu", |call| {
        let offset = offset(call.args[3])?;
        let (file, mut buf) = (file_at(call, Some(offset))?, buffer(call)?);
        Ok(read(&file, &mut buf, Some(offset))? as u64)
    }),
    entry(abi::SYS_pwrite64, "pwrite64", "fbuu", |call| {
        let offset = offset(call.args[3])?;
        let (file, mut buf) = (file_at(call, Some(offset))?, buffer(call)?);
        Ok(write(&file, &mut buf, Some(offset), false)? as u64)
    }),
    entry(abi::SYS_readv, "readv", "fvu", |call| read_vector(call, None)),
    entry(abi::SYS_writev, "writev", "fvu", |call| write_vector(call, None, false)),
    entry(abi::SYS_preadv, "preadv", "fvuu", |call| read_vector(call, Some(offset(call.args[3])?))),
    entry(abi::SYS_pwritev, "pwritev", "fvuu", |call| write_vector(call, Some(offset(call.args[3])?), false)),
    entry(abi::SYS_preadv2, "preadv2", "fvuu-x", |call| {
        let offset = optional_offset(call)?;
        vector_flags(call)?;
        read_vector(call, offset)
    }),
    entry(abi::SYS_pwritev2, "pwritev2", "fvuu-x", |call| {
        let offset = optional_offset(call)?;
        let append = vector_flags(call)?;
        write_vector(call, offset, append)
    }),
    entry(abi::SYS_lseek, "lseek", "fdd", lseek),
    entry(abi::SYS_sendfile, "sendfile", "ffPu", sendfile),
    entry(abi::SYS_copy_file_range, "copy_file_range", "fPfPux", copy_file_range),
    entry(abi::SYS_fsync, "fsync", "f", |call| fsync(call, false)),
    entry(abi::SYS_fdatasync, "fdatasync", "f", |call| fsync(call, true)),
];

/// Most bytes that sendfile(2) and copy_file_range(2) move at a time.
const CHUNK: usize = transfer::STEP;

fn file(call: &Call<'_>, arg: usize) -> Result<Arc<OpenFile>> {
    call.task.files().get_io(call.int(arg))
}

/// The file that is read or written at `offset`, or at its position. A file that has none is
/// refused before anything else is looked at.
fn file_at(call: &Call<'_>, offset: Option<u64>) -> Result<Arc<OpenFile>> {
    let file = file(call, 0)?;
    if offset.is_some() && !file.seekable() { Err(Errno::ESPIPE) } else { Ok(file) }
}

fn buffer(call: &Call<'_>) -> Result<IoBuf<'static>> {
    check_range(call.args[1], call.args[2])?;
    Ok(IoBuf::user(&call.task.space(), call.args[1], call.size(2)))
}

/// A file offset; EINVAL for a negative one.
fn offset(arg: u64) -> Result<u64> {
    if arg > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(arg) }
}

/// The offset of preadv2(2) and pwritev2(2): -1 for the file's position.
fn optional_offset(call: &Call<'_>) -> Result<Option<u64>> {
    if call.args[3] == u64::MAX { Ok(None) } else { offset(call.args[3]).map(Some) }
}

/// Checks RWF_* flags; tells whether to append. Synchronous ones ask for what is always done here.
fn vector_flags(call: &Call<'_>) -> Result<bool> {
    let flags = call.int(5);
    if flags & !(abi::RWF_HIPRI | abi::RWF_DSYNC | abi::RWF_SYNC | abi::RWF_APPEND) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    Ok(flags & abi::RWF_APPEND != 0)
}

fn read_vector(call: &Call<'_>, offset: Option<u64>) -> Result<u64> {
    let file = file_at(call, offset)?;
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    let mut buf = IoBuf::user_vector(&call.task.space(), call.args[1], call.args[2])?;
    let n = if buf.is_empty() { 0 } else { read(&file, &mut buf, offset)? };
    if n == 0 {
        // An access like others, though not for read(2).
        notify::open_file(&file, notify::ACCESS);
    }
    Ok(n as u64)
}

fn write_vector(call: &Call<'_>, offset: Option<u64>, append: bool) -> Result<u64> {
    let file = file_at(call, offset)?;
    if !file.writable() {
        return Err(Errno::EBADF);
    }
    let mut buf = IoBuf::user_vector(&call.task.space(), call.args[1], call.args[2])?;
    if buf.is_empty() {
        return Ok(0);
    }
    Ok(write(&file, &mut buf, offset, append)? as u64)
}

fn lseek(call: &mut Call<'_>) -> Result<u64> {
    let file = file(call, 0)?;
    let (offset, whence) = (call.long(1), call.int(2));
    if !(abi::SEEK_SET..=abi::SEEK_HOLE).contains(&whence) {
        return Err(Errno::EINVAL);
    }
    if !file.seekable() {
        return Err(Errno::ESPIPE);
    }
    let position = match whence {
        abi::SEEK_SET => offset,
        abi::SEEK_CUR => file.position.get().cast_signed().checked_add(offset).ok_or(Errno::EINVAL)?,
        abi::SEEK_END => {
            let end = file.seek_special(0, whence)?;
            end.cast_signed().checked_add(offset).ok_or(Errno::EINVAL)?
        }
        _ => file.seek_special(offset, whence)?.cast_signed(),
    };
    // Devices without a position take any for the first.
    let position = if file.inode.kind() == FileKind::CharDevice { 0 } else { position };
    let position = u64::try_from(position).map_err(|_| Errno::EINVAL)?;
    file.position.set(position);
    Ok(position)
}

fn copy_file_range(call: &mut Call<'_>) -> Result<u64> {
    let (input, output) = (file(call, 0)?, file(call, 2)?);
    let space = call.task.space();
    let position = |file: &OpenFile, addr: u64| match addr {
        0 => Ok(file.position.get()),
        addr => space.read(addr),
    };
    let (from, to) = (position(&input, call.args[1])?, position(&output, call.args[3])?);
    if call.int(5) != 0 {
        return Err(Errno::EINVAL);
    }
    let kinds = [input.inode.kind(), output.inode.kind()];
    if kinds.contains(&FileKind::Directory) {
        return Err(Errno::EISDIR);
    }
    if kinds != [FileKind::Regular; 2] {
        return Err(Errno::EINVAL);
    }
    if !input.readable() || !output.writable() || output.flags.get() & abi::O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    let count = call.args[4];
    if from.checked_add(count).is_none() || to.checked_add(count).is_none() {
        return Err(Errno::EOVERFLOW);
    }
    // Nothing is written at the largest offset.
    if to == i64::MAX as u64 {
        return Err(Errno::EFBIG);
    }
    let (from, to) = (offset(from)?, offset(to)?);
    // Cut at the end of what there is, and of what there can be.
    let count = count.min(input.inode.attr()?.size.saturating_sub(from)).min(i64::MAX as u64 - to);
    if Arc::ptr_eq(&input.inode, &output.inode) && from.abs_diff(to) < count {
        return Err(Errno::EINVAL);
    }
    let count = to_usize(count).min(MAX_TRANSFER);
    let mut chunk = vec![0; count.min(CHUNK)];
    let mut done = 0;
    let result = loop {
        let want = (count - done).min(CHUNK);
        let at = done as u64;
        let got = match read_quietly(&input, &mut IoBuf::kernel_mut(&mut chunk[..want]), Some(from + at)) {
            Ok(0) => break Ok(()),
            Ok(got) => got,
            Err(e) => break Err(e),
        };
        match write_quietly(&output, &mut IoBuf::kernel(&chunk[..got]), Some(to + at), false) {
            Ok(n) => done += n,
            Err(e) => break Err(e),
        }
        sched::preempt_point();
        if done == count || call.task.signal_pending() {
            break Ok(());
        }
    };
    if done == 0 {
        result?;
    } else {
        notify::open_file(&input, notify::ACCESS);
        notify::open_file(&output, notify::MODIFY);
    }
    for (file, addr, start) in [(&input, call.args[1], from), (&output, call.args[3], to)] {
        let end = start + done as u64;
        match addr {
            0 => file.position.set(end),
            addr => space.write(addr, &end)?,
        }
    }
    Ok(done as u64)
}

fn sendfile(call: &mut Call<'_>) -> Result<u64> {
    let space = call.task.space();
    let offset_addr = call.args[2];
    let asked = if offset_addr != 0 { Some(space.read(offset_addr)?) } else { None };
    let input = file(call, 1)?;
    if !input.readable() {
        return Err(Errno::EBADF);
    }
    let mut at = match asked {
        Some(_) if !input.seekable() => return Err(Errno::ESPIPE),
        Some(asked) => offset(asked)?,
        None => input.position.get(),
    };
    check_end(at, call.args[3])?;
    let output = file(call, 0)?;
    if !output.writable() {
        return Err(Errno::EBADF);
    }
    let count = call.size(3).min(MAX_TRANSFER);
    let done = match pipe::of(&output) {
        Some(pipe) => super::pipe::splice_from(pipe, &input, at, count, output.nonblocking())?,
        None => {
            // Bytes that were read and not written have to stay where they are.
            let kept = input.seekable() || input.inode.kind() == FileKind::Anonymous;
            if !kept || output.flags.get() & abi::O_APPEND != 0 || count > 0 && !input.is_splice_source() {
                return Err(Errno::EINVAL);
            }
            copy_to(&output, &input, at, count)?
        }
    };
    if done > 0 {
        notify::open_file(&input, notify::ACCESS);
        notify::open_file(&output, notify::MODIFY);
    }
    at += done as u64;
    if offset_addr != 0 {
        space.write(offset_addr, &at)?;
    } else if input.seekable() {
        input.position.set(at);
    }
    Ok(done as u64)
}

/// Copies bytes of a file, from `at` on, to where the other one is. Ends early when there are no
/// more, or no more are taken, and for a signal.
fn copy_to(output: &OpenFile, input: &OpenFile, mut at: u64, count: usize) -> Result<usize> {
    let mut chunk = vec![0; count.min(CHUNK)];
    let mut done = 0;
    let result = loop {
        if done == count {
            break Ok(());
        }
        let want = (count - done).min(CHUNK);
        let got = match input.read_at(&mut IoBuf::kernel_mut(&mut chunk[..want]), at) {
            Ok(0) => break Ok(()),
            Ok(got) => got,
            Err(e) => break Err(e),
        };
        if let Err(e) = super::pipe::check_kind(output) {
            break Err(e);
        }
        let n = match write_quietly(output, &mut IoBuf::kernel(&chunk[..got]), None, false) {
            Ok(n) => n,
            Err(e) => break Err(e),
        };
        at += n as u64;
        done += n;
        sched::preempt_point();
        if n < got || task::current().signal_pending() {
            break Ok(());
        }
    };
    if done == 0 {
        result?;
    }
    Ok(done)
}

fn fsync(call: &Call<'_>, data_only: bool) -> Result<u64> {
    let file = file(call, 0)?;
    file.fsync(data_only)?;
    Ok(0)
}
