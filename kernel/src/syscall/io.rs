//! Reading, writing and positioning: read(2), write(2) and their relatives.

use super::{Call, Entry, entry};
use crate::ipc::pipe;
use crate::mm::IoBuf;
use crate::mm::user::{MAX_TRANSFER, check_range};
use crate::sched;
use crate::signal::SigInfo;
use crate::task::limits;
use crate::vfs::attributes;
use crate::vfs::file::OpenFile;
use crate::vfs::inode::FileKind;
use crate::vfs::notify;
use crate::{Errno, Result};
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(libc::SYS_read, "read", "fPu", |call| {
        let (file, mut buf) = (file(call, 0)?, buffer(call)?);
        Ok(read(&file, &mut buf, None)? as u64)
    }),
    entry(libc::SYS_write, "write", "fbu", |call| {
        let (file, mut buf) = (file(call, 0)?, buffer(call)?);
        Ok(write(&file, &mut buf, None, false)? as u64)
    }),
    entry(libc::SYS_pread64, "pread64", "fPuu", |call| {
        let offset = offset(call.args[3])?;
        let (file, mut buf) = (file_at(call, Some(offset))?, buffer(call)?);
        Ok(read(&file, &mut buf, Some(offset))? as u64)
    }),
    entry(libc::SYS_pwrite64, "pwrite64", "fbuu", |call| {
        let offset = offset(call.args[3])?;
        let (file, mut buf) = (file_at(call, Some(offset))?, buffer(call)?);
        Ok(write(&file, &mut buf, Some(offset), false)? as u64)
    }),
    entry(libc::SYS_readv, "readv", "fvu", |call| read_vector(call, None)),
    entry(libc::SYS_writev, "writev", "fvu", |call| write_vector(call, None, false)),
    entry(libc::SYS_preadv, "preadv", "fvuu", |call| read_vector(call, Some(offset(call.args[3])?))),
    entry(libc::SYS_pwritev, "pwritev", "fvuu", |call| write_vector(call, Some(offset(call.args[3])?), false)),
    entry(libc::SYS_preadv2, "preadv2", "fvuu-x", |call| {
        let offset = optional_offset(call)?;
        vector_flags(call)?;
        read_vector(call, offset)
    }),
    entry(libc::SYS_pwritev2, "pwritev2", "fvuu-x", |call| {
        let offset = optional_offset(call)?;
        let append = vector_flags(call)?;
        write_vector(call, offset, append)
    }),
    entry(libc::SYS_lseek, "lseek", "fdd", lseek),
    entry(libc::SYS_sendfile, "sendfile", "ffPu", sendfile),
    entry(libc::SYS_copy_file_range, "copy_file_range", "fPfPux", copy_file_range),
    entry(libc::SYS_fsync, "fsync", "f", |call| fsync(call, false)),
    entry(libc::SYS_fdatasync, "fdatasync", "f", |call| fsync(call, true)),
];

/// Most bytes that sendfile(2) and copy_file_range(2) move at a time.
const CHUNK: usize = STEP;

fn file(call: &Call<'_>, arg: usize) -> Result<Arc<OpenFile>> {
    call.task.files().get_io(call.int(arg))
}

/// The file that is read or written at `offset`, or at its position. A file that has none is
/// refused before anything else is looked at.
fn file_at(call: &Call<'_>, offset: Option<u64>) -> Result<Arc<OpenFile>> {
    let file = file(call, 0)?;
    if offset.is_some() && !file.ops.seekable() { Err(Errno::ESPIPE) } else { Ok(file) }
}

fn buffer(call: &Call<'_>) -> Result<IoBuf<'static>> {
    check_range(call.args[1], call.args[2])?;
    Ok(IoBuf::user(&call.task.space(), call.args[1], call.args[2] as usize))
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
    if flags & !(libc::RWF_HIPRI | libc::RWF_DSYNC | libc::RWF_SYNC | libc::RWF_APPEND) != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    Ok(flags & libc::RWF_APPEND != 0)
}

/// Where a transfer begins: at `offset`, or at the file's position, where there is one. EINVAL when
/// it would end beyond the largest offset.
fn start(file: &OpenFile, offset: Option<u64>, len: usize) -> Result<u64> {
    if !file.ops.seekable() {
        return if offset.is_some() { Err(Errno::ESPIPE) } else { Ok(0) };
    }
    let start = offset.unwrap_or_else(|| file.position.get());
    match start.checked_add(len as u64) {
        Some(end) if end <= i64::MAX as u64 => Ok(start),
        _ => Err(Errno::EINVAL),
    }
}

/// Most bytes that one step of a long transfer moves: as many as keep the core for well below a
/// millisecond.
const STEP: usize = 256 * 1024;

/// Has `step` move the bytes of `buf`, with a preemption point between two steps, where SIGKILL
/// ends the transfer, and any signal that of a device. `step` is given how much is done, and the
/// transfer ends when it does less than it could. What has no position is moved in one step: pipes,
/// sockets and terminals see to it themselves.
fn in_steps(
    file: &OpenFile,
    buf: &mut IoBuf<'_>,
    mut step: impl FnMut(&mut IoBuf<'_>, usize) -> Result<usize>,
) -> Result<usize> {
    if buf.remaining() <= STEP || !file.ops.seekable() {
        return step(buf, 0);
    }
    let mut done = 0;
    loop {
        let asked = buf.remaining().min(STEP);
        match buf.step(STEP, |buf| step(buf, done)) {
            Ok(n) => {
                done += n;
                if n < asked || buf.is_empty() {
                    return Ok(done);
                }
            }
            Err(_) if done > 0 => return Ok(done),
            Err(e) => return Err(e),
        }
        let device = file.inode.kind() == FileKind::CharDevice;
        if sched::killable_point().is_err() || device && sched::current().signal_pending() {
            return Ok(done);
        }
    }
}

/// Reads at `offset`, or at the file's position, which moves.
pub fn read(file: &OpenFile, buf: &mut IoBuf<'_>, offset: Option<u64>) -> Result<usize> {
    let n = read_untold(file, buf, offset)?;
    if n > 0 {
        notify::open_file(file, notify::ACCESS);
    }
    Ok(n)
}

/// As [`read`], but watches are left to the caller.
fn read_untold(file: &OpenFile, buf: &mut IoBuf<'_>, offset: Option<u64>) -> Result<usize> {
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    let seekable = file.ops.seekable();
    let _turn = if offset.is_none() && seekable { file.take_turn(buf.remaining() > STEP)? } else { None };
    let at = start(file, offset, buf.remaining())?;
    let step = |buf: &mut IoBuf<'_>, done| file.ops.read(file, buf, at + done as u64);
    let n = in_steps(file, buf, step).map_err(|e| match e {
        Errno::EINVAL if file.inode.kind() == FileKind::Directory => Errno::EISDIR,
        e => e,
    })?;
    if offset.is_none() && n > 0 && seekable {
        file.position.set(at + n as u64);
    }
    Ok(n)
}

/// Writes at `offset`, at the file's position, which moves, or (O_APPEND, or `append`) at the end.
pub fn write(file: &OpenFile, buf: &mut IoBuf<'_>, offset: Option<u64>, append: bool) -> Result<usize> {
    let n = write_untold(file, buf, offset, append)?;
    if n > 0 {
        notify::open_file(file, notify::MODIFY);
    }
    Ok(n)
}

/// As [`write`], but watches are left to the caller.
pub(super) fn write_untold(file: &OpenFile, buf: &mut IoBuf<'_>, offset: Option<u64>, append: bool) -> Result<usize> {
    if !file.writable() {
        return Err(Errno::EBADF);
    }
    let seekable = file.ops.seekable();
    let _turn = if offset.is_none() && seekable { file.take_turn(buf.remaining() > STEP)? } else { None };
    let mut at = start(file, offset, buf.remaining())?;
    let append = seekable && (append || file.flags.get() & libc::O_APPEND != 0);
    if append {
        at = file.inode.attr()?.size;
    }
    let regular = file.inode.kind() == FileKind::Regular;
    if regular && !buf.is_empty() {
        obey_size_limit(buf, at)?;
    }
    // Where the last step began, and what was done before it.
    let mut last = (at, 0);
    let step = |buf: &mut IoBuf<'_>, done| {
        if append && done > 0 {
            // Others may have written behind it meanwhile.
            last = (file.inode.attr()?.size, done);
        } else {
            last = (at + done as u64, done);
        }
        file.ops.write(file, buf, last.0)
    };
    let n = in_steps(file, buf, step)?;
    if offset.is_none() && n > 0 && seekable {
        file.position.set(last.0 + (n - last.1) as u64);
    }
    if n > 0 && regular {
        attributes::drop_set_ids(&file.inode, file.path.as_ref())?;
    }
    Ok(n)
}

/// RLIMIT_FSIZE: a write that would begin beyond it is EFBIG and SIGXFSZ, one that would end there
/// is cut.
fn obey_size_limit(buf: &mut IoBuf<'_>, at: u64) -> Result<()> {
    let task = crate::sched::current();
    let limit = task.process.limit(limits::FSIZE);
    if limit == limits::INFINITY {
        return Ok(());
    }
    if at >= limit {
        // A standard signal always gets through.
        let _ = crate::signal::send_to_task(&task, SigInfo::kill(libc::SIGXFSZ, task.pid(), task.creds().uid));
        return Err(Errno::EFBIG);
    }
    buf.limit((limit - at) as usize);
    Ok(())
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
    let (offset, whence) = (call.args[1] as i64, call.int(2));
    if !(libc::SEEK_SET..=libc::SEEK_HOLE).contains(&whence) {
        return Err(Errno::EINVAL);
    }
    if !file.ops.seekable() {
        return Err(Errno::ESPIPE);
    }
    let position = match whence {
        libc::SEEK_SET => offset,
        libc::SEEK_CUR => (file.position.get() as i64).checked_add(offset).ok_or(Errno::EINVAL)?,
        libc::SEEK_END => {
            let end = file.ops.seek_special(&file, 0, whence)?;
            (end as i64).checked_add(offset).ok_or(Errno::EINVAL)?
        }
        _ => file.ops.seek_special(&file, offset, whence)? as i64,
    };
    // Devices without a position take any for the first.
    let position = if file.inode.kind() == FileKind::CharDevice { 0 } else { position };
    if position < 0 {
        return Err(Errno::EINVAL);
    }
    file.position.set(position as u64);
    Ok(position as u64)
}

fn copy_file_range(call: &mut Call<'_>) -> Result<u64> {
    let (input, output) = (file(call, 0)?, file(call, 2)?);
    let space = call.task.space();
    let position = |file: &OpenFile, addr: u64| match addr {
        0 => Ok(file.position.get()),
        addr => offset(space.read(addr)?),
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
    if !input.readable() || !output.writable() || output.flags.get() & libc::O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    let count = (call.args[4] as usize).min(MAX_TRANSFER);
    let (first, last) = (from.min(to), from.max(to));
    if Arc::ptr_eq(&input.inode, &output.inode) && last - first < count as u64 {
        return Err(Errno::EINVAL);
    }
    let mut chunk = vec![0; count.min(CHUNK)];
    let mut done = 0;
    let result = loop {
        let want = (count - done).min(CHUNK);
        let at = done as u64;
        let got = match read_untold(&input, &mut IoBuf::kernel_mut(&mut chunk[..want]), Some(from + at)) {
            Ok(0) => break Ok(()),
            Ok(got) => got,
            Err(e) => break Err(e),
        };
        match write_untold(&output, &mut IoBuf::kernel(&chunk[..got]), Some(to + at), false) {
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
        Some(_) if !input.ops.seekable() => return Err(Errno::ESPIPE),
        Some(asked) => offset(asked)?,
        None => input.position.get(),
    };
    let output = file(call, 0)?;
    if !output.writable() {
        return Err(Errno::EBADF);
    }
    let count = (call.args[3] as usize).min(MAX_TRANSFER);
    let done = match pipe::of(&output) {
        Some(pipe) => super::pipe::splice_from(pipe, &input, at, count, output.nonblocking())?,
        None => {
            // Bytes that were read and not written have to stay where they are.
            let kept = input.ops.seekable() || input.inode.kind() == FileKind::Anonymous;
            if !kept || output.flags.get() & libc::O_APPEND != 0 || count > 0 && !input.ops.is_splice_source(&input) {
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
    } else if input.ops.seekable() {
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
        let got = match input.ops.read(input, &mut IoBuf::kernel_mut(&mut chunk[..want]), at) {
            Ok(0) => break Ok(()),
            Ok(got) => got,
            Err(e) => break Err(e),
        };
        if let Err(e) = super::pipe::check_kind(output) {
            break Err(e);
        }
        let n = match write_untold(output, &mut IoBuf::kernel(&chunk[..got]), None, false) {
            Ok(n) => n,
            Err(e) => break Err(e),
        };
        at += n as u64;
        done += n;
        sched::preempt_point();
        if n < got || sched::current().signal_pending() {
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
    file.ops.fsync(&file, data_only)?;
    Ok(0)
}
