//! Pipes, and moving bytes through them: pipe(2), splice(2), tee(2), vmsplice(2).

use super::{Call, Entry, entry};
use crate::ipc::pipe::{self, Pipe};
use crate::mm::IoBuf;
use crate::mm::user::MAX_TRANSFER;
use crate::sched::preempt_point;
use crate::task::current;
use crate::vfs::file::OpenFile;
use crate::vfs::inode::FileKind;
use crate::vfs::notify;
use crate::vfs::transfer::{check_end, write_quietly};
use crate::{Errno, Result};
use abi::number::to_usize;
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_pipe, "pipe", "P", |call| make(call, 0)),
    entry(abi::SYS_pipe2, "pipe2", "Px", |call| make(call, call.int(1))),
    entry(abi::SYS_splice, "splice", "fPfPux", splice),
    entry(abi::SYS_tee, "tee", "ffux", tee),
    entry(abi::SYS_vmsplice, "vmsplice", "fvux", vmsplice),
];

const SPLICE_FLAGS: u32 = abi::SPLICE_F_MOVE | abi::SPLICE_F_NONBLOCK | abi::SPLICE_F_MORE | abi::SPLICE_F_GIFT;

fn make(call: &mut Call<'_>, flags: i32) -> Result<u64> {
    if flags & !(abi::O_CLOEXEC | abi::O_NONBLOCK | abi::O_DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    let (reader, writer) = pipe::open_pair(flags & !abi::O_CLOEXEC);
    install_pair(call, call.args[0], reader, writer, flags & abi::O_CLOEXEC != 0)
}

/// Gives two open files descriptors and writes those to the int[2] at `addr`.
pub(super) fn install_pair(
    call: &Call<'_>,
    addr: u64,
    first: Arc<OpenFile>,
    second: Arc<OpenFile>,
    close_on_exec: bool,
) -> Result<u64> {
    let files = call.task.files();
    let a = files.install(first, close_on_exec)?;
    let result = files.install(second, close_on_exec).and_then(|b| {
        call.task.space().write(addr, &[a, b]).inspect_err(|_| {
            let _ = files.close(b);
        })
    });
    if let Err(e) = result {
        let _ = files.close(a);
        return Err(e);
    }
    Ok(0)
}

/// Where a splice reads or writes: at an offset the caller keeps in its memory, or at the file's
/// position.
struct Place {
    addr: u64,
    offset: u64,
}

impl Place {
    fn new(call: &Call<'_>, file: &OpenFile, addr: u64) -> Result<Place> {
        if addr == 0 {
            return Ok(Place { addr, offset: file.position.get() });
        }
        if !file.seekable() {
            return Err(Errno::EINVAL);
        }
        let offset: i64 = call.task.space().read(addr)?;
        Ok(Place { addr, offset: u64::try_from(offset).map_err(|_| Errno::EINVAL)? })
    }

    fn advance(&self, call: &Call<'_>, file: &OpenFile, n: usize) -> Result<()> {
        let offset = self.offset.saturating_add(n as u64);
        if self.addr != 0 {
            return call.task.space().write(self.addr, &offset);
        }
        if file.seekable() {
            file.position.set(offset);
        }
        Ok(())
    }
}

fn splice(call: &mut Call<'_>) -> Result<u64> {
    let [_, off_in, _, off_out, len, _] = call.args;
    let flags = call.uint(5);
    if len == 0 {
        return Ok(0);
    }
    if flags & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let (asked_len, len) = (len, to_usize(len).min(MAX_TRANSFER));
    let files = call.task.files();
    let (input, output) = (files.get_io(call.int(0))?, files.get_io(call.int(2))?);
    if !input.readable() || !output.writable() {
        return Err(Errno::EBADF);
    }
    let (from, to) = (pipe::of(&input), pipe::of(&output));
    if from.is_some() && off_in != 0 || to.is_some() && off_out != 0 {
        return Err(Errno::ESPIPE);
    }
    let asked = flags & abi::SPLICE_F_NONBLOCK != 0;
    let n = match (from, to) {
        (Some(from), Some(to)) => {
            let nonblock = asked || input.nonblocking() || output.nonblocking();
            from.splice_pipe(to, len, nonblock, false)?
        }
        (Some(from), None) => {
            if output.flags.get() & abi::O_APPEND != 0 {
                return Err(Errno::EINVAL);
            }
            let place = Place::new(call, &output, off_out)?;
            check_end(place.offset, asked_len)?;
            check_kind(&output)?;
            let n = repeat(len, |done| {
                let nonblock = asked || input.nonblocking() || done > 0;
                let offset = output.seekable().then(|| place.offset.saturating_add(done as u64));
                from.splice_to(len - done, nonblock, |bytes| write_quietly(&output, bytes, offset, false))
            })?;
            place.advance(call, &output, n)?;
            n
        }
        (None, Some(to)) => {
            let place = Place::new(call, &input, off_in)?;
            check_end(place.offset, asked_len)?;
            let n = splice_from(to, &input, place.offset, len, asked || output.nonblocking())?;
            place.advance(call, &input, n)?;
            n
        }
        (None, None) => return Err(Errno::EINVAL),
    };
    if n > 0 {
        notify::open_file(&output, notify::MODIFY);
        notify::open_file(&input, notify::ACCESS);
    }
    Ok(n as u64)
}

/// Moves bytes of a file, from `offset` on, into a pipe: as many as it has room for.
pub(super) fn splice_from(to: &Pipe, input: &OpenFile, offset: u64, len: usize, nonblock: bool) -> Result<usize> {
    let step = |done| {
        // A file that cannot seek may have less than was asked for: the first chunk is enough.
        if done > 0 && !input.seekable() {
            return Ok(0);
        }
        to.splice_from(input, offset.saturating_add(done as u64), len - done, nonblock || done > 0)
    };
    // Of no bytes, too, a pipe that nobody reads is told.
    if len == 0 { step(0) } else { repeat(len, step) }
}

/// Directories, and what epoll_create(2) and the like return, are written by their own calls only.
pub(super) fn check_kind(file: &OpenFile) -> Result<()> {
    match file.inode.kind() {
        FileKind::Directory | FileKind::Anonymous => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

/// Repeats `step`, which is given how much is done, until all is or a step does nothing. An error
/// counts when it is the first.
fn repeat(len: usize, mut step: impl FnMut(usize) -> Result<usize>) -> Result<usize> {
    let mut done = 0;
    while done < len {
        match step(done) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(_) if done > 0 => break,
            Err(e) => return Err(e),
        }
        preempt_point();
        if current().signal_pending() {
            break;
        }
    }
    Ok(done)
}

fn two_pipes<'a>(input: &'a OpenFile, output: &'a OpenFile) -> Result<(&'a Arc<Pipe>, &'a Arc<Pipe>)> {
    if !input.readable() || !output.writable() {
        return Err(Errno::EBADF);
    }
    pipe::of(input).zip(pipe::of(output)).ok_or(Errno::EINVAL)
}

fn tee(call: &mut Call<'_>) -> Result<u64> {
    let flags = call.uint(3);
    if flags & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let len = call.size(2).min(MAX_TRANSFER);
    if len == 0 {
        return Ok(0);
    }
    let files = call.task.files();
    let (input, output) = (files.get_io(call.int(0))?, files.get_io(call.int(1))?);
    let (from, to) = two_pipes(&input, &output)?;
    let nonblock = flags & abi::SPLICE_F_NONBLOCK != 0 || input.nonblocking() || output.nonblocking();
    Ok(from.splice_pipe(to, len, nonblock, true)? as u64)
}

fn vmsplice(call: &mut Call<'_>) -> Result<u64> {
    let [_, iov, count, ..] = call.args;
    let flags = call.uint(3);
    if flags & !SPLICE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let file = call.task.files().get_io(call.int(0))?;
    let mut buf = IoBuf::user_vector(&call.task.space(), iov, count)?;
    if buf.is_empty() {
        return Ok(0);
    }
    let pipe = pipe::of(&file).ok_or(Errno::EBADF)?;
    let nonblock = flags & abi::SPLICE_F_NONBLOCK != 0;
    let n = if file.writable() { pipe.gift(&mut buf, nonblock)? } else { pipe.read(&mut buf, nonblock, false)? };
    Ok(n as u64)
}
