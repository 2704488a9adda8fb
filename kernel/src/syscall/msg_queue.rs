//! System V message queues: msgget, msgsnd, msgrcv, msgctl.

use super::ipc::{perm_words, wanted_owner};
use super::{Call, Entry, entry};
use crate::ipc::msg::{self, Message, MsgQueue, Which};
use crate::ipc::{Object, READ};
use crate::sched::killable_point;
use crate::{Errno, Result};
use abi::number::{Low, extended, saturated_i32, to_usize};
use std::sync::atomic::Ordering::Relaxed;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_msgget, "msgget", "xx", |call| msg::get(call.task, call.int(0), call.int(1)).map(extended)),
    entry(abi::SYS_msgsnd, "msgsnd", "dPux", msgsnd),
    entry(abi::SYS_msgrcv, "msgrcv", "dPudx", msgrcv),
    entry(abi::SYS_msgctl, "msgctl", "ddP", msgctl),
];

/// So many bytes of a message are copied between two preemption points.
const STEP: usize = 64 << 10;

fn msgsnd(call: &mut Call<'_>) -> Result<u64> {
    let (id, addr, len, flags) = (call.int(0), call.args[1], call.args[2], call.int(3));
    let space = call.task.space();
    let kind: i64 = space.read(addr)?;
    if len > msg::MAX_LEN.load(Relaxed).cast_unsigned() || id < 0 || kind < 1 {
        return Err(Errno::EINVAL);
    }
    msg::room_for_message(to_usize(len))?;
    let mut bytes = vec![0; to_usize(len)];
    let mut at = addr.wrapping_add(8);
    for part in bytes.chunks_mut(STEP) {
        space.read_bytes(at, part)?;
        at = at.wrapping_add(part.len() as u64);
        killable_point()?;
    }
    msg::send(call.task, id, Message { kind, bytes }, flags & abi::IPC_NOWAIT == 0).map(|()| 0)
}

fn msgrcv(call: &mut Call<'_>) -> Result<u64> {
    let (addr, room) = (call.args[1], call.size(2));
    let (id, kind, flags) = (call.int(0), call.long(3), call.int(4));
    if id < 0 || call.long(2) < 0 {
        return Err(Errno::EINVAL);
    }
    let may_wait = flags & abi::IPC_NOWAIT == 0;
    if flags & abi::MSG_COPY != 0 {
        // As of a kernel without the means to save and restore processes, which it is made for.
        return Err(if flags & abi::MSG_EXCEPT != 0 || may_wait { Errno::EINVAL } else { Errno::ENOSYS });
    }
    let which = match kind {
        0 => Which::First,
        ..0 => Which::UpTo(kind.checked_neg().unwrap_or(i64::MAX)),
        _ if flags & abi::MSG_EXCEPT != 0 => Which::NotKind(kind),
        _ => Which::Kind(kind),
    };
    let cut = flags & abi::MSG_NOERROR != 0;
    let message = msg::receive(call.task, id, which, room, cut, may_wait)?;
    let space = call.task.space();
    space.write(addr, &message.kind)?;
    let bytes = &message.bytes[..message.bytes.len().min(room)];
    let mut at = addr.wrapping_add(8);
    for part in bytes.chunks(STEP) {
        space.write_bytes(at, part)?;
        at = at.wrapping_add(part.len() as u64);
        killable_point()?;
    }
    Ok(bytes.len() as u64)
}

/// struct msqid64_ds.
fn queue_words(id: i32, queue: &MsgQueue) -> [u64; 15] {
    let status = queue.status();
    let mut words = [0; 15];
    words[..6].copy_from_slice(&perm_words(&queue.perm(), id));
    words[6..9].copy_from_slice(&[status.sent, status.received, status.changed].map(i64::cast_unsigned));
    words[9..12].copy_from_slice(&[status.bytes, status.messages, status.limit]);
    words[12] = u64::from(status.last_sender.cast_unsigned()) | u64::from(status.last_receiver.cast_unsigned()) << 32;
    words
}

fn msgctl(call: &mut Call<'_>) -> Result<u64> {
    let (id, command, addr) = (call.int(0), call.int(1), call.args[2]);
    let (space, creds) = (call.task.space(), call.task.creds());
    if id < 0 || command < 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        abi::IPC_INFO | abi::MSG_INFO => {
            space.write(addr, &information(command == abi::MSG_INFO))?;
            Ok(msg::usage().1.into())
        }
        abi::IPC_STAT => {
            let queue = msg::find(id, READ, &creds)?;
            space.write(addr, &queue_words(id, &queue))?;
            Ok(0)
        }
        abi::MSG_STAT | abi::MSG_STAT_ANY => {
            // The index in the place of the number.
            let (id, queue) = msg::at(id.cast_unsigned())?;
            if command == abi::MSG_STAT {
                queue.perm().check(READ, &creds)?;
            }
            space.write(addr, &queue_words(id, &queue))?;
            Ok(extended(id))
        }
        abi::IPC_SET => {
            let words: [u64; 15] = space.read(addr)?;
            let (uid, gid, mode) = wanted_owner(&words);
            msg::change(id, uid, gid, mode, words[11], &creds).map(|()| 0)
        }
        abi::IPC_RMID => msg::remove(id, &creds).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

/// struct msginfo: limits, or with `used`, in the places of three of them, how many queues,
/// messages and bytes there are.
fn information(used: bool) -> [i32; 8] {
    const SEGMENT: i32 = 16;
    const SEGMENTS: i32 = 0xffff;
    let [longest, bytes, queues] =
        [&msg::MAX_LEN, &msg::MAX_BYTES, &msg::MOST].map(|limit| limit.load(Relaxed).low_i32());
    let (pool, map, total) = if used {
        let all = msg::all();
        let sum = |of: fn(&MsgQueue) -> u64| all.iter().map(|(_, queue)| of(queue)).sum::<u64>().low_i32();
        (saturated_i32(all.len()), sum(|queue| queue.status().messages), sum(|queue| queue.status().bytes))
    } else {
        // They depend on the limits that a kernel begins with.
        const QUEUES: i32 = 32000;
        const BYTES: i32 = 16384;
        (QUEUES * (BYTES / 1024), BYTES, BYTES)
    };
    [pool, map, longest, bytes, queues, SEGMENT, total, SEGMENTS]
}
