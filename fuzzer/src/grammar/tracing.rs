//! Tracing other processes: ptrace(2), a row for each use that it has.

use super::Arg::{Below, Bits, In, Made, Memory, One, Who};
use super::{ALSO, Arg, Call, FORK_TRACED, call};
use crate::generate::structures::iovecs;
use crate::generate::tracing::{change, place, tracee};
use libc as l;

const TRACEE: Arg = Made(tracee);
const BEGIN: Arg = One(&[
    l::PTRACE_TRACEME as u64,
    l::PTRACE_ATTACH as u64,
    l::PTRACE_ATTACH as u64,
    l::PTRACE_SEIZE as u64,
    l::PTRACE_SEIZE as u64,
]);
/// PTRACE_O_TRACESYSGOOD, and so on to PTRACE_O_EXITKILL.
const OPTIONS: Arg = Bits(&[1, 2, 4, 8, 16, 32, 64, 128, 1 << 20, 1 << 21]);
const RESUME: Arg = One(&[
    l::PTRACE_CONT as u64,
    l::PTRACE_CONT as u64,
    l::PTRACE_SYSCALL as u64,
    l::PTRACE_SYSCALL as u64,
    l::PTRACE_SINGLESTEP as u64,
    31, // PTRACE_SYSEMU
    l::PTRACE_DETACH as u64,
    l::PTRACE_INTERRUPT as u64,
    l::PTRACE_LISTEN as u64,
    l::PTRACE_KILL as u64,
]);
const LOOK: Arg = One(&[
    l::PTRACE_PEEKTEXT as u64,
    l::PTRACE_PEEKUSER as u64,
    l::PTRACE_GETREGS as u64,
    l::PTRACE_GETFPREGS as u64,
    l::PTRACE_GETEVENTMSG as u64,
    l::PTRACE_GETSIGINFO as u64,
    l::PTRACE_GETSIGMASK as u64,
    0x420e, // PTRACE_GET_SYSCALL_INFO
]);
const CHANGE: Arg = One(&[
    l::PTRACE_POKEDATA as u64,
    l::PTRACE_POKEUSER as u64,
    l::PTRACE_POKEUSER as u64,
    l::PTRACE_SETREGS as u64,
    l::PTRACE_SETFPREGS as u64,
    l::PTRACE_SETOPTIONS as u64,
    l::PTRACE_SETSIGINFO as u64,
    l::PTRACE_SETSIGMASK as u64,
]);
/// NT_PRSTATUS, NT_PRFPREG, NT_X86_XSTATE, and one that there is not.
const SETS: Arg = One(&[1, 2, 0x202, 0x202, 3]);

pub const CALLS: &[Call] = &[
    call("fork-traced", FORK_TRACED, 2, &[]),
    call("ptrace", l::SYS_ptrace, 1, &[Below(32), Who, Memory, Memory]),
    call("ptrace-begin", ALSO + l::SYS_ptrace, 2, &[BEGIN, TRACEE, One(&[0]), OPTIONS]),
    call(
        "ptrace-resume",
        2 * ALSO + l::SYS_ptrace,
        3,
        &[RESUME, TRACEE, One(&[0]), One(&[0, 0, 0, 10, 12, 19, 18, 17, 5, 9, 64, 65])],
    ),
    call("ptrace-look", 3 * ALSO + l::SYS_ptrace, 2, &[LOOK, TRACEE, Made(place), Memory]),
    call("ptrace-change", 4 * ALSO + l::SYS_ptrace, 2, &[CHANGE, TRACEE, Made(place), Made(change)]),
    call(
        "ptrace-sets",
        5 * ALSO + l::SYS_ptrace,
        2,
        &[One(&[l::PTRACE_GETREGSET as u64, l::PTRACE_SETREGSET as u64]), TRACEE, SETS, Made(iovecs)],
    ),
    call(
        "ptrace-pending",
        6 * ALSO + l::SYS_ptrace,
        1,
        &[One(&[l::PTRACE_PEEKSIGINFO as u64]), TRACEE, In(16), Memory],
    ),
];
