//! System V objects: shared memory, semaphores, and queues of messages.

use super::Arg::{Below, Bits, Fd, Made, Memory, One, Place, Size};
use super::{Arg, Call, call};
use crate::generate::ipc::{ipc_settings, queued_message, semaphore_operations, semaphore_value};
use crate::generate::structures::timespec;
use crate::program::FdKind as K;
use libc as l;

/// A private object, and a few that processes have in common.
const KEY: Arg = One(&[0, 0, 1, 2, 3]);
const MAKING: Arg = One(&[0o1666, 0o1666, 0o1600, 0o3600, 0o666, 0, 0o5600, 0o1000]);
const QUEUE: Arg = Fd(&[K::Queue]);
const SEMAPHORES: Arg = Fd(&[K::Semaphores]);
const SEGMENT: Arg = Fd(&[K::Segment]);

pub const CALLS: &[Call] = &[
    call("shmget", l::SYS_shmget, 3, &[KEY, One(&[0x5000, 4096, 1, 0, 1 << 20, 1 << 28, 1 << 40, u64::MAX]), MAKING])
        .makes(K::Segment),
    call("shmat", l::SYS_shmat, 5, &[SEGMENT, Place, Bits(&[0o10000, 0o20000, 0o40000, 0o40000, 0o100_000])]),
    call("shmdt", l::SYS_shmdt, 2, &[Place]),
    call("shmctl", l::SYS_shmctl, 3, &[SEGMENT, One(&[0, 1, 2, 3, 11, 12, 13, 14, 15]), Made(ipc_settings)]),
    call("semget", l::SYS_semget, 2, &[KEY, One(&[1, 3, 3, 0, 250, 32000, 32001, u64::MAX]), MAKING])
        .makes(K::Semaphores),
    call("semop", l::SYS_semop, 4, &[SEMAPHORES, Made(semaphore_operations), One(&[1, 2, 3, 3, 0, 501, u64::MAX])]),
    call(
        "semtimedop",
        l::SYS_semtimedop,
        3,
        &[SEMAPHORES, Made(semaphore_operations), One(&[1, 2, 3, 3, 0, 501]), Made(timespec)],
    ),
    call(
        "semctl",
        l::SYS_semctl,
        4,
        &[SEMAPHORES, Below(4), One(&[0, 1, 2, 3, 11, 12, 13, 14, 15, 18, 19, 20]), Made(ipc_settings)],
    ),
    call(
        "semctl-set",
        super::ALSO + l::SYS_semctl,
        3,
        &[SEMAPHORES, Below(4), One(&[16, 16, 17]), Made(semaphore_value)],
    ),
    call("msgget", l::SYS_msgget, 2, &[KEY, MAKING]).makes(K::Queue),
    call("msgsnd", l::SYS_msgsnd, 4, &[QUEUE, Made(queued_message), Size, Bits(&[0o4000, 0o4000])]),
    call(
        "msgrcv",
        l::SYS_msgrcv,
        4,
        &[
            QUEUE,
            Memory,
            Size,
            One(&[0, 0, 1, 2, -2_i64 as u64, -1_i64 as u64, i64::MIN as u64]),
            Bits(&[0o4000, 0o4000, 0o10000, 0o20000, 0o40000]),
        ],
    ),
    call("msgctl", l::SYS_msgctl, 3, &[QUEUE, One(&[0, 1, 2, 3, 11, 12, 13]), Made(ipc_settings)]),
];
