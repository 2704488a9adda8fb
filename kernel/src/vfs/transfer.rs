//! Reading and writing open files, whichever call asks for it: rights, the file's position and
//! O_APPEND, RLIMIT_FSIZE, set-id bits, watches, and preemption points in long transfers.

use super::attributes;
use super::file::OpenFile;
use super::inode::FileKind;
use super::notify;
use super::upcall;
use crate::limits;
use crate::mm::IoBuf;
use crate::sched;
use crate::{Errno, Result};
use abi::number::to_usize;

/// Most bytes that one step of a long transfer moves: as many as keep the core for well below a
/// millisecond.
pub const STEP: usize = 256 * 1024;

/// Reads at `offset`, or at the file's position, which moves.
pub fn read(file: &OpenFile, buf: &mut IoBuf<'_>, offset: Option<u64>) -> Result<usize> {
    let n = read_quietly(file, buf, offset)?;
    if n > 0 {
        notify::open_file(file, notify::ACCESS);
    }
    Ok(n)
}

/// As [`read`], but watches are left to the caller.
pub fn read_quietly(file: &OpenFile, buf: &mut IoBuf<'_>, offset: Option<u64>) -> Result<usize> {
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    let seekable = file.seekable();
    let _turn = if offset.is_none() && seekable { file.take_turn(buf.remaining() > STEP)? } else { None };
    let at = start(file, offset, buf.remaining())?;
    let step = |buf: &mut IoBuf<'_>, done| file.read_at(buf, at + done as u64);
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
    let n = write_quietly(file, buf, offset, append)?;
    if n > 0 {
        notify::open_file(file, notify::MODIFY);
    }
    Ok(n)
}

/// As [`write`], but watches are left to the caller.
pub fn write_quietly(file: &OpenFile, buf: &mut IoBuf<'_>, offset: Option<u64>, append: bool) -> Result<usize> {
    if !file.writable() {
        return Err(Errno::EBADF);
    }
    let seekable = file.seekable();
    let _turn = if offset.is_none() && seekable { file.take_turn(buf.remaining() > STEP)? } else { None };
    let mut at = start(file, offset, buf.remaining())?;
    let append = seekable && (append || file.flags.get() & abi::O_APPEND != 0);
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
        file.write_at(buf, last.0)
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

/// Where a transfer begins: at `offset`, or at the file's position, where there is one. EINVAL when
/// it would end beyond the largest offset.
fn start(file: &OpenFile, offset: Option<u64>, len: usize) -> Result<u64> {
    if !file.seekable() {
        return if offset.is_some() { Err(Errno::ESPIPE) } else { Ok(0) };
    }
    let start = offset.unwrap_or_else(|| file.position.get());
    check_end(start, len as u64)?;
    Ok(start)
}

/// EINVAL when a transfer would end beyond the largest offset.
pub fn check_end(start: u64, len: u64) -> Result<()> {
    match start.checked_add(len) {
        Some(end) if i64::try_from(end).is_ok() => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// Has `step` move the bytes of `buf`, with a preemption point between two steps, where SIGKILL
/// ends the transfer, and any signal that of a device. `step` is given how much is done, and the
/// transfer ends when it does less than it could. What has no position is moved in one step: pipes,
/// sockets and terminals see to it themselves.
fn in_steps(
    file: &OpenFile,
    buf: &mut IoBuf<'_>,
    mut step: impl FnMut(&mut IoBuf<'_>, usize) -> Result<usize>,
) -> Result<usize> {
    if buf.remaining() <= STEP || !file.seekable() {
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

/// RLIMIT_FSIZE: a write that would begin beyond it is EFBIG and SIGXFSZ, one that would end there
/// is cut.
fn obey_size_limit(buf: &mut IoBuf<'_>, at: u64) -> Result<()> {
    let limit = sched::current().limit(limits::FSIZE).soft;
    if limit == limits::INFINITY {
        return Ok(());
    }
    if at >= limit {
        if let Some(upcalls) = upcall::get() {
            (upcalls.size_exceeded)();
        }
        return Err(Errno::EFBIG);
    }
    buf.limit(to_usize(limit - at));
    Ok(())
}
