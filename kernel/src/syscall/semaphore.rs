//! System V semaphores: semget, semop, semtimedop, semctl.

use super::ipc::{perm_words, wanted_owner};
use super::timeout::{deadline, read_timespec};
use super::{Call, Entry, entry};
use crate::ipc::sem::{self, Counted, Op, SemSet};
use crate::ipc::{Object, READ, WRITE};
use crate::mm::AddressSpace;
use crate::mm::pressure::room_for;
use crate::{Errno, Result};
use abi::number::{extended, saturated_i32};

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_semget, "semget", "xdx", semget),
    entry(abi::SYS_semop, "semop", "dPu", |call| {
        let ops = read_operations(call)?;
        operate(call, ops, None)
    }),
    entry(abi::SYS_semtimedop, "semtimedop", "dPuP", semtimedop),
    entry(abi::SYS_semctl, "semctl", "dddP", semctl),
];

/// Bytes of a struct sembuf.
const OP_BYTES: usize = 6;

fn semget(call: &mut Call<'_>) -> Result<u64> {
    sem::get(call.task, call.int(0), call.int(1), call.int(2)).map(extended)
}

fn semtimedop(call: &mut Call<'_>) -> Result<u64> {
    let space = call.task.space();
    // An address that cannot be read comes before all else, a time that is none after the
    // operations.
    let timeout = read_timespec(&space, call.args[3]);
    if timeout == Err(Errno::EFAULT) {
        return Err(Errno::EFAULT);
    }
    let ops = read_operations(call)?;
    if call.int(0) < 0 {
        return Err(Errno::EINVAL);
    }
    let timeout = timeout?;
    operate(call, ops, timeout)
}

fn read_operations(call: &Call<'_>) -> Result<Vec<Op>> {
    let count = call.uint(2) as usize;
    if count > sem::most_operations() {
        return Err(Errno::E2BIG);
    }
    if count == 0 {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; count * OP_BYTES];
    call.task.space().read_bytes(call.args[1], &mut bytes)?;
    let word = |op: &[u8], at: usize| u16::from_le_bytes([op[at], op[at + 1]]);
    let signed = |op: &[u8], at: usize| word(op, at).cast_signed();
    let op = |op: &[u8]| Op { number: word(op, 0), change: signed(op, 2), flags: signed(op, 4) };
    Ok(bytes.chunks_exact(OP_BYTES).map(op).collect())
}

fn operate(call: &Call<'_>, ops: Vec<Op>, timeout: Option<u64>) -> Result<u64> {
    sem::operate(call.task, call.int(0), ops, deadline(timeout)).map(|()| 0)
}

/// struct semid64_ds.
fn set_words(id: i32, set: &SemSet) -> [u64; 13] {
    let (operated, changed) = set.times();
    let mut words = [0; 13];
    words[..6].copy_from_slice(&perm_words(&set.perm(), id));
    (words[6], words[8], words[10]) = (extended(operated), extended(changed), set.len() as u64);
    words
}

fn semctl(call: &mut Call<'_>) -> Result<u64> {
    let (id, number, command, argument) = (call.int(0), call.int(1), call.int(2), call.args[3]);
    let (space, creds) = (call.task.space(), call.task.creds());
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        abi::IPC_INFO | abi::SEM_INFO => {
            space.write(argument, &information(command == abi::SEM_INFO))?;
            Ok(sem::usage().2.into())
        }
        abi::IPC_STAT => {
            let set = sem::find(id, READ, &creds)?;
            space.write(argument, &set_words(id, &set))?;
            Ok(0)
        }
        abi::SEM_STAT | abi::SEM_STAT_ANY => {
            // The index in the place of the number.
            let (id, set) = sem::at(id.cast_unsigned())?;
            if command == abi::SEM_STAT {
                set.perm().check(READ, &creds)?;
            }
            space.write(argument, &set_words(id, &set))?;
            Ok(extended(id))
        }
        abi::GETALL => {
            let set = sem::find(id, READ, &creds)?;
            room_for(4 * set.len())?;
            let bytes: Vec<u8> = set.values().iter().flat_map(|value| value.to_le_bytes()).collect();
            space.write_bytes(argument, &bytes)?;
            Ok(0)
        }
        abi::SETALL => {
            let set = sem::find(id, WRITE, &creds)?;
            let values = read_values(&space, argument, set.len())?;
            sem::set_all(call.task, &set, &values).map(|()| 0)
        }
        abi::GETVAL | abi::GETPID | abi::GETNCNT | abi::GETZCNT => {
            let set = sem::find(id, READ, &creds)?;
            let number = set.number(number)?;
            Ok(match command {
                abi::GETVAL => set.sem(number).value.into(),
                abi::GETPID => extended(set.sem(number).pid),
                abi::GETNCNT => set.count_waiters(number, Counted::Rise) as u64,
                _ => set.count_waiters(number, Counted::Zero) as u64,
            })
        }
        abi::SETVAL => sem::set_value(call.task, id, number, call.int(3)).map(|()| 0),
        abi::IPC_SET => {
            let words: [u64; 13] = space.read(argument)?;
            let (uid, gid, mode) = wanted_owner(&words);
            sem::change(id, uid, gid, mode, &creds).map(|()| 0)
        }
        abi::IPC_RMID => sem::remove(id, &creds).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}

fn read_values(space: &AddressSpace, addr: u64, count: usize) -> Result<Vec<u16>> {
    room_for(4 * count)?;
    let mut bytes = vec![0; 2 * count];
    space.read_bytes(addr, &mut bytes)?;
    Ok(bytes.chunks_exact(2).map(|value| u16::from_le_bytes([value[0], value[1]])).collect())
}

/// struct seminfo: limits, and the size of an undo structure and its highest value, or in their
/// places how many sets and semaphores there are.
fn information(used: bool) -> [i32; 10] {
    const UNDO_BYTES: i32 = 20;
    let [most_in_set, most, most_operations, sets] = [0, 1, 2, 3].map(|which| saturated_i32(sem::limit(which)));
    let (size, highest) = match sem::usage() {
        (sets, semaphores, _) if used => (saturated_i32(sets), saturated_i32(semaphores)),
        _ => (UNDO_BYTES, sem::MAX_VALUE),
    };
    [most, sets, most, most, most_in_set, most_operations, most_operations, size, sem::MAX_VALUE, highest]
}
