//! What a process leaves behind in the host's threads that ran it: the next process must not meet
//! it.

use crate::Verdict;
use crate::tools::*;
use std::arch::asm;

/// The instructions by which a stub's signal handler reports (`modes/seccomp`): the number of the
/// call, and the call.
const REPORT: [u8; 7] = [0xb8, 0, 0, 0x60, 0, 0x0f, 0x05];
/// Where such a stub has its code, and how far below that its slots may end and begin.
const CODE: usize = END - PAGE;
const NEAR: usize = 16 * PAGE;
const SLOTS: usize = 1024 * PAGE;
const SLOT: usize = 4 * PAGE;

/// Where the call that reports is made, in a model that has such a stub.
fn report() -> Option<usize> {
    let code: Vec<u8> = (CODE..CODE + PAGE).map_while(load).collect();
    let at = code.windows(REPORT.len()).position(|bytes| bytes == REPORT)?;
    Some(CODE + at + REPORT.len() - 2)
}

/// The lowest address of the slots, which user code can write to.
fn slots() -> Option<usize> {
    let below = |from: usize, len: usize| (from - len..from).step_by(PAGE).rev();
    let last = below(CODE, NEAR).find(|&at| writable(at))?;
    below(last + PAGE, SLOTS).take_while(|&at| writable(at)).last()
}

fn word(at: usize) -> u64 {
    // SAFETY: within a slot, which is mapped and holds plain words.
    unsafe { (at as *const u64).read_volatile() }
}

/// Where the frame is that has this process's registers, if it is in the first slot.
fn frame(slot: usize) -> Option<usize> {
    /// From a frame's beginning to its registers, and from those to the instruction pointer, the
    /// selectors and the address of the extended state.
    const REGISTERS: usize = 40;
    let found = |registers: &usize| {
        let word = |index: usize| word(registers + 8 * index);
        let text = own_text();
        word(18) & 0xffff == 0x33
            && text.contains(&(word(16) as usize))
            && (slot..slot + SLOT).contains(&(word(23) as usize))
    };
    (slot + SLOT / 2..slot + SLOT - 256).step_by(8).find(found).map(|registers| registers - REGISTERS)
}

/// This program's own code.
fn own_text() -> std::ops::Range<usize> {
    let here = own_text as *const () as usize;
    here.saturating_sub(16 << 20)..here + (16 << 20)
}

/// Claims that the handler of a signal reports the end of this process, from a stack that no
/// handler has, and with flags of its choice.
fn end_by_a_report(report: usize, frame: usize, flags: u64) -> ! {
    const SYSTEM_CALL: u64 = 1 << 32 | libc::SIGSYS as u64;
    const EXIT_GROUP: u64 = 0xc000_003e << 32 | libc::SYS_exit_group as u64;
    let stack = [0u64; 64];
    let way = [report as u64, 0x33, flags, &raw const stack[60] as u64, 0x2b];
    // SAFETY: the process ends.
    unsafe {
        asm!("mov rsp, {way}", "xor r8d, r8d", "xor r9d, r9d", "iretq", way = in(reg) &raw const way,
            in("rax") 0x60_0000, in("rdi") SYSTEM_CALL, in("rsi") frame, in("rdx") 0, in("r10") EXIT_GROUP,
            options(noreturn));
    }
}

/// Has itself killed by a call that it makes with this stack pointer.
fn end_by_a_call(stack: usize) -> ! {
    // SAFETY: the process ends.
    unsafe {
        let own = libc::getpid();
        asm!("mov rsp, {stack}", "syscall", "ud2", stack = in(reg) stack, in("rax") libc::SYS_kill, in("rdi") own,
            in("rsi") libc::SIGKILL, options(noreturn));
    }
}

pub fn runners() -> Verdict {
    let (report, slots) = (report(), report().and_then(|_| slots()));
    let stacks = [0, 0x1234_5678, usize::MAX, END].into_iter().chain(slots.map(|at| at + SLOT / 2));
    let stacks: Vec<usize> = stacks.collect();
    const STEP: u64 = 1 << 8;
    const NOTHING_TO_FORGE: i32 = 99;
    let mut forged = 0;
    for round in 0..40 {
        let way = round % (stacks.len() + 2);
        let status = wait_for(start_child(|| {
            become_nobody();
            if let Some(&stack) = stacks.get(way) {
                end_by_a_call(stack);
            }
            let flags = 0x202 | if way == stacks.len() { STEP } else { 0 };
            match (report, slots.and_then(frame)) {
                (Some(report), Some(frame)) => end_by_a_report(report, frame, flags),
                _ => exit(NOTHING_TO_FORGE),
            }
        }));
        forged += usize::from(way >= stacks.len() && status != NOTHING_TO_FORGE << 8);
        for _ in 0..3 {
            let status = wait_for(start_child(|| exit(7)));
            if status != 7 << 8 {
                return Err(format!("after attacker {way} an innocent process ended with status {status:#x}"));
            }
        }
    }
    // A stub whose frames are not found is one that this attack has to be changed for.
    match report {
        Some(_) if forged == 0 => Err("there is a stub, but no frame of it was found".into()),
        _ => Ok(()),
    }
}
