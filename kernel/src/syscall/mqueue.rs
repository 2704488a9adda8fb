//! POSIX message queues: mq_open, mq_unlink, mq_timedsend, mq_timedreceive, mq_notify,
//! mq_getsetattr.

use super::timeout::nanoseconds;
use super::{Call, Entry, entry};
use crate::ipc::mq::{self, Message, MqFile, Notification, Queue};
use crate::mm::pressure::room_for;
use crate::sched::killable_point;
use crate::task::signal::is_signal;
use crate::vfs::file::OpenFile;
use crate::{Errno, Result, time};
use abi::number::{Low, extended, to_usize};
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_mq_open, "mq_open", "sxoP", mq_open),
    entry(abi::SYS_mq_unlink, "mq_unlink", "s", |call| {
        let name = call.task.space().read_path(call.args[0])?;
        mq::unlink(call.task, &name).map(|()| 0)
    }),
    entry(abi::SYS_mq_timedsend, "mq_timedsend", "fbuuP", mq_timedsend),
    entry(abi::SYS_mq_timedreceive, "mq_timedreceive", "fPuPP", mq_timedreceive),
    entry(abi::SYS_mq_notify, "mq_notify", "fP", mq_notify),
    entry(abi::SYS_mq_getsetattr, "mq_getsetattr", "fPP", mq_getsetattr),
];

/// About what the core keeps for a message beside its bytes.
const MESSAGE: usize = 128;
/// So many bytes of a message are copied between two preemption points.
const STEP: usize = 64 << 10;

/// struct mq_attr: flags, the most messages, the most bytes of each, messages there are, and room
/// for more.
type Attributes = [i64; 8];

fn mq_open(call: &mut Call<'_>) -> Result<u64> {
    let [name, _, _, attributes, ..] = call.args;
    let space = call.task.space();
    let sizes = match attributes {
        0 => None,
        addr => {
            let [_, messages, size, ..] = space.read::<Attributes>(addr)?;
            Some([messages, size])
        }
    };
    let name = space.read_path(name)?;
    call.task.files().has_room()?;
    let file = mq::open(call.task, &name, call.int(1), call.uint(2), sizes)?;
    Ok(extended(call.task.files().install(file, true)?))
}

/// A queue's open file, for those who may do what `may` asks.
fn queue_of(call: &Call<'_>, may: impl Fn(&OpenFile) -> bool) -> Result<(Arc<OpenFile>, Arc<Queue>)> {
    let file = call.task.files().get_io(call.int(0))?;
    let queue = file.ops_as::<MqFile>().filter(|_| may(&file)).map(|ops| ops.0.clone()).ok_or(Errno::EBADF)?;
    Ok((file, queue))
}

/// A time on CLOCK_REALTIME at which a wait ends, in CLOCK_MONOTONIC's terms.
fn deadline(call: &Call<'_>, addr: u64) -> Result<Option<u64>> {
    if addr == 0 {
        return Ok(None);
    }
    let [sec, nsec] = call.task.space().read::<[i64; 2]>(addr)?;
    let until = nanoseconds(sec, nsec)?;
    Ok(Some(time::now().saturating_add(until.saturating_sub(time::realtime()))))
}

fn mq_timedsend(call: &mut Call<'_>) -> Result<u64> {
    let [_, mut addr, len, _, until, _] = call.args;
    let deadline = deadline(call, until)?;
    let priority = call.uint(3);
    if priority >= mq::PRIORITIES {
        return Err(Errno::EINVAL);
    }
    let (file, queue) = queue_of(call, OpenFile::writable)?;
    if len > queue.size {
        return Err(Errno::EMSGSIZE);
    }
    room_for(to_usize(len) + MESSAGE)?;
    let mut bytes = vec![0; to_usize(len)];
    for part in bytes.chunks_mut(STEP) {
        call.task.space().read_bytes(addr, part)?;
        addr = addr.wrapping_add(part.len() as u64);
        killable_point()?;
    }
    queue.send(call.task, Message { priority, bytes }, !file.nonblocking(), deadline)?;
    Ok(0)
}

fn mq_timedreceive(call: &mut Call<'_>) -> Result<u64> {
    let [_, mut addr, len, priority, until, _] = call.args;
    let deadline = deadline(call, until)?;
    let (file, queue) = queue_of(call, OpenFile::readable)?;
    if len < queue.size {
        return Err(Errno::EMSGSIZE);
    }
    let message = queue.receive(!file.nonblocking(), deadline)?;
    let space = call.task.space();
    if priority != 0 {
        space.write(priority, &message.priority)?;
    }
    for part in message.bytes.chunks(STEP) {
        space.write_bytes(addr, part)?;
        addr = addr.wrapping_add(part.len() as u64);
        killable_point()?;
    }
    Ok(message.bytes.len() as u64)
}

fn mq_notify(call: &mut Call<'_>) -> Result<u64> {
    let addr = call.args[1];
    let wanted = match addr {
        0 => None,
        _ => {
            let [value, signal_and_kind] = call.task.space().read::<[u64; 2]>(addr)?;
            let (signal, kind) = (signal_and_kind.low_i32(), (signal_and_kind >> 32).low_i32());
            match kind {
                abi::SIGEV_NONE => Some(None),
                abi::SIGEV_SIGNAL if is_signal(signal) => Some(Some((signal, value))),
                // It is told by a socket of a family that there is not.
                abi::SIGEV_THREAD => return Err(Errno::EBADF),
                _ => return Err(Errno::EINVAL),
            }
        }
    };
    let (_, queue) = queue_of(call, |_| true)?;
    let process = &call.task.process;
    match wanted {
        None => queue.forget(process.pid),
        Some(signal) => queue.notify(Notification { process: Arc::downgrade(process), pid: process.pid, signal })?,
    }
    Ok(0)
}

fn mq_getsetattr(call: &mut Call<'_>) -> Result<u64> {
    let [_, new, old, ..] = call.args;
    let space = call.task.space();
    let flags = match new {
        0 => None,
        addr => Some(space.read::<Attributes>(addr)?[0]),
    };
    if flags.is_some_and(|flags| flags & !i64::from(abi::O_NONBLOCK) != 0) {
        return Err(Errno::EINVAL);
    }
    let (file, queue) = queue_of(call, |_| true)?;
    let before = i64::from(file.flags.get() & abi::O_NONBLOCK);
    let [most, size, count] = [queue.most, queue.size, queue.count()].map(u64::cast_signed);
    let attributes: Attributes = [before, most, size, count, 0, 0, 0, 0];
    if let Some(flags) = flags {
        file.flags.set(file.flags.get() & !abi::O_NONBLOCK | flags.low_i32());
    }
    if old != 0 {
        space.write(old, &attributes)?;
    }
    Ok(0)
}
