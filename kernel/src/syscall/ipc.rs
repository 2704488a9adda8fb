//! System V shared memory: shmget, shmat, shmdt, shmctl.

use super::{Call, Entry, entry};
use crate::ipc::{Object, Perm, READ, shm};
use crate::mm::PAGE_SIZE;
use crate::{Errno, Result};
use abi::number::{Low, extended};

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_shmget, "shmget", "xux", shmget),
    entry(abi::SYS_shmat, "shmat", "dxx", shmat),
    entry(abi::SYS_shmdt, "shmdt", "x", shmdt),
    entry(abi::SYS_shmctl, "shmctl", "ddP", shmctl),
];

fn shmget(call: &mut Call<'_>) -> Result<u64> {
    shm::get(call.task, call.int(0), call.args[1], call.int(2)).map(extended)
}

fn shmat(call: &mut Call<'_>) -> Result<u64> {
    shm::attach(call.task, call.int(0), call.args[1], call.int(2))
}

fn shmdt(call: &mut Call<'_>) -> Result<u64> {
    shm::detach(call.task, call.args[0]).map(|()| 0)
}

/// struct ipc64_perm, in words of eight bytes.
pub(super) fn perm_words(perm: &Perm, id: i32) -> [u64; 6] {
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let (key, round) = (perm.key.cast_unsigned(), u64::from(id.cast_unsigned() >> 15));
    [pair(key, perm.uid), pair(perm.gid, perm.creator_uid), pair(perm.creator_gid, perm.mode), round, 0, 0]
}

/// What IPC_SET may change, of the words of a struct ipc64_perm: user, group, and mode.
pub(super) fn wanted_owner(words: &[u64]) -> (u32, u32, u32) {
    ((words[0] >> 32).low_u32(), words[1].low_u32(), (words[2] >> 32).low_u32())
}

/// struct shmid64_ds.
fn segment_words(id: i32, segment: &shm::Segment) -> [u64; 14] {
    let (perm, history) = (segment.perm(), segment.history());
    let mut words = [0; 14];
    words[..6].copy_from_slice(&perm_words(&perm, id));
    words[6] = segment.size;
    words[7..10].copy_from_slice(&[history.attached, history.detached, history.changed].map(i64::cast_unsigned));
    words[10] = u64::from(history.creator.cast_unsigned()) | u64::from(history.last.cast_unsigned()) << 32;
    words[11] = segment.attachments();
    words
}

fn shmctl(call: &mut Call<'_>) -> Result<u64> {
    let (id, command, addr) = (call.int(0), call.int(1), call.args[2]);
    let (space, creds) = (call.task.space(), call.task.creds());
    if id < 0 || command < 0 {
        return Err(Errno::EINVAL);
    }
    match command {
        abi::IPC_INFO => {
            // struct shminfo64.
            let most = shm::MOST as u64;
            space.write(addr, &[shm::MAX_SIZE, 1, most, most, shm::MAX_SIZE, 0, 0, 0, 0])?;
            Ok(shm::highest().into())
        }
        abi::SHM_INFO => {
            // struct shm_info: segments, their pages, and those in memory.
            let all = shm::all();
            let pages: u64 = all.iter().map(|(_, segment)| segment.size.div_ceil(PAGE_SIZE)).sum();
            let resident: u64 = all.iter().map(|(_, segment)| segment.pages()).sum();
            space.write(addr, &[all.len() as u64, pages, resident, 0, 0, 0])?;
            Ok(shm::highest().into())
        }
        abi::IPC_STAT => {
            let segment = shm::find(id, READ, &creds)?;
            space.write(addr, &segment_words(id, &segment))?;
            Ok(0)
        }
        abi::SHM_STAT | abi::SHM_STAT_ANY => {
            // The index in the place of the number.
            let (id, segment) = shm::at(id.cast_unsigned())?;
            if command == abi::SHM_STAT {
                segment.perm().check(READ, &creds)?;
            }
            space.write(addr, &segment_words(id, &segment))?;
            Ok(extended(id))
        }
        abi::IPC_SET => {
            let words: [u64; 14] = space.read(addr)?;
            let (uid, gid, mode) = wanted_owner(&words);
            shm::set(id, uid, gid, mode, &creds).map(|()| 0)
        }
        abi::IPC_RMID => shm::remove(id, &creds).map(|()| 0),
        abi::SHM_LOCK | abi::SHM_UNLOCK => shm::lock(call.task, id, command == abi::SHM_LOCK).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}
