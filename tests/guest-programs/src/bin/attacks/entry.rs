//! How user code leaves for the guest kernel: with flags, floating-point state and a stack of its
//! choice, and with signal frames of its threads that another one has written over, where the host
//! keeps those within reach.

use crate::Verdict;
use crate::tools::*;
use std::arch::asm;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const STEP: u64 = 1 << 8;
const DOWN: u64 = 1 << 10;
const NESTED: u64 = 1 << 14;
const ALIGNMENT: u64 = 1 << 18;
const IDENTIFICATION: u64 = 1 << 21;
const ARITHMETIC: u64 = 0x8d5;

const SETS: [u64; 9] = [
    0,
    DOWN,
    NESTED,
    ALIGNMENT,
    IDENTIFICATION,
    STEP,
    DOWN | ALIGNMENT,
    DOWN | NESTED | ALIGNMENT | IDENTIFICATION | ARITHMETIC,
    STEP | DOWN | NESTED | ALIGNMENT | IDENTIFICATION | ARITHMETIC,
];

/// With these flags, all floating-point exceptions unmasked, one of the x87's pending, and no
/// stack: a system call.
fn call(flags: u64, number: i64, arguments: [usize; 3]) -> i64 {
    let result: i64;
    let (sse, x87) = (0u32, 0x0340u16);
    // SAFETY: what the calls below write to is theirs; the registers, the stack and the flags are
    // put back. A step's trap is handled by nobody: it ends the process.
    unsafe {
        asm!(
            "fninit", "fldcw [r12]", "fldz", "fld1", "fdivrp st(1), st", "ldmxcsr [r13]",
            "mov r15, rsp", "push r14", "popfq", "mov rsp, 0x1234567", "syscall", "mov rsp, r15",
            "push 0x202", "popfq", "fninit", "push 0x1f80", "ldmxcsr [rsp]", "pop rcx",
            in("r12") &raw const x87, in("r13") &raw const sse, in("r14") flags, out("r15") _, inlateout("rax") number => result,
            in("rdi") arguments[0], in("rsi") arguments[1], in("rdx") arguments[2], in("r10") 0, in("r8") 0,
            lateout("rcx") _, lateout("r11") _, out("st(0)") _, out("st(1)") _
        );
    }
    result
}

/// With these flags: a touch of a page that is not there yet, and of one that never will be.
fn touch(flags: u64) {
    let (present, absent) = (0x5555_0000_0000usize, 0x5556_0000_0001usize);
    map_at(present, PAGE, libc::PROT_READ | libc::PROT_WRITE);
    for at in [present, absent] {
        // SAFETY: as above.
        unsafe {
            asm!("push {flags}", "popfq", "mov byte ptr [{at}], 1", "push 0x202", "popfq", flags = in(reg) flags,
                at = in(reg) at);
        }
    }
}

pub fn flags() -> Verdict {
    let path = c"/proc/stat".as_ptr() as usize;
    let pause = libc::timespec { tv_sec: 0, tv_nsec: 1000 };
    for flags in SETS {
        let mut buffer = [0u8; 4099];
        let odd = buffer.as_mut_ptr() as usize + 1;
        let status = in_child(|| {
            let file = call(flags, libc::SYS_open, [path, 0, 0]);
            call(flags, libc::SYS_read, [file as usize, odd, 4000]);
            call(flags, libc::SYS_uname, [odd, 0, 0]);
            call(flags, libc::SYS_sysinfo, [odd, 0, 0]);
            call(flags, libc::SYS_getrusage, [0, odd, 0]);
            call(flags, libc::SYS_nanosleep, [&raw const pause as usize, 0, 0]);
            call(flags, libc::SYS_clock_gettime, [usize::MAX, odd, 0]);
            call(flags, libc::SYS_execve, [odd, odd, odd]);
            call(flags, -1, [0, 0, 0]);
            if call(flags, libc::SYS_fork, [0, 0, 0]) == 0 {
                exit(0);
            }
            Ok(())
        });
        // A step ends it, and nothing else does.
        let expected = if flags & STEP != 0 { libc::SIGTRAP | 0x80 } else { 0 };
        if status & !0x80 != expected & !0x80 {
            return Err(format!("with flags {flags:#x} a child ended with status {status:#x}"));
        }
        in_child(|| {
            touch(flags);
            Ok(())
        });
        for signal_maker in [0, 1, 2] {
            in_child(|| {
                // SAFETY: each ends the process.
                unsafe {
                    match signal_maker {
                        0 => asm!("push {}", "popfq", "ud2", in(reg) flags),
                        1 => asm!("push {}", "popfq", "mov rsp, 3", "int3", in(reg) flags),
                        _ => asm!("push {}", "popfq", "mov rsp, -1", "xor eax, eax", "div al", in(reg) flags),
                    }
                }
                Ok(())
            });
        }
    }
    Ok(())
}

/// Above here lies nothing of a guest's own, in the models that have their kernel in its address
/// space.
const KERNEL_FROM: usize = 0x7000_0000_0000;
/// What those set aside for frames.
const SLOT: usize = 1 << 15;
const SLOTS: usize = SLOT << 16;
/// A frame's user-mode selectors: a word that is found in each.
const SELECTORS: u64 = 0x002b_0000_0000_0033;

/// Where user code can write outside of its own memory, by steps in which all frames would be found
/// once or twice.
fn frames() -> Option<usize> {
    let own = listed();
    let steps =
        (KERNEL_FROM..END).step_by(SLOTS / 2).filter(|at| !own.iter().any(|(from, to)| (from..to).contains(&at)));
    let found: Vec<usize> = steps.filter(|&at| writable(at)).collect();
    // A model that leaves its kernel open to guests has nothing to hold.
    let &first = found.first().filter(|_| found.len() <= 2)?;
    (0..SLOTS).step_by(SLOT).map(|below| first - below).take_while(|&at| writable(at)).last()
}

fn word(at: usize) -> &'static AtomicU64 {
    // SAFETY: within the slots, which are mapped and hold plain words.
    unsafe { &*(at as *const AtomicU64) }
}

/// Changes a word of a frame whose selectors are at `at`, and of the extended state that belongs to
/// it.
fn change(way: usize, base: usize, at: usize) {
    let flags = word(at - 8);
    let state = word(at + 40).load(Relaxed) as usize;
    if !(base..base + 64 * SLOT).contains(&state) {
        return;
    }
    match way {
        0 => word(state + 24).store(u64::MAX, Relaxed),
        1 => word(at - 24).store(u64::MAX, Relaxed),
        2 => drop(flags.fetch_or(ALIGNMENT | NESTED | IDENTIFICATION, Relaxed)),
        3 => word(at - 24).store(0x10000, Relaxed),
        4 => word(at).store(0x13, Relaxed),
        5 => word(at).store(0x0007_0000_0000_0033, Relaxed),
        6 => word(at - 16).store(0xffff_8000_0000_0000, Relaxed),
        7 => word(at + 40).store(0x10000, Relaxed),
        8 => drop(flags.fetch_or(STEP | DOWN, Relaxed)),
        _ => word(state + 512).store(u64::MAX, Relaxed),
    }
}

/// Writes over all of a slot.
fn smear(way: usize, slot: usize) {
    let mut random = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(way as u64 + slot as u64);
    for at in (slot..slot + SLOT).step_by(8) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        match way {
            0 => word(at).store(u64::MAX, Relaxed),
            1 => word(at).store(0, Relaxed),
            2 => word(at).store(random, Relaxed),
            3 if random & 15 == 0 => word(at).store(slot as u64 + (random >> 49), Relaxed),
            4 if random & 15 == 0 => drop(word(at).fetch_or(ALIGNMENT | STEP, Relaxed)),
            5 if random & 63 == 0 => drop(word(at).fetch_xor(1 << (random >> 58), Relaxed)),
            _ => {}
        }
    }
}

/// A process whose threads sleep in the kernel while the first one changes their frames, and are
/// then woken.
fn with_sleepers(attack: impl Fn()) -> i32 {
    in_child(|| {
        let mut pipe = [0i32; 2];
        // SAFETY: room for two descriptors, and for a byte.
        unsafe {
            must("pipe", i64::from(libc::pipe(pipe.as_mut_ptr())));
            for _ in 0..4 {
                std::thread::spawn(move || {
                    let mut byte = 0u8;
                    loop {
                        libc::read(pipe[0], (&raw mut byte).cast(), 1);
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(30));
            for _ in 0..8 {
                attack();
                libc::write(pipe[1], c"xxxx".as_ptr().cast(), 4);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    })
}

pub fn frames_of_others() -> Verdict {
    let Some(base) = frames() else { return Ok(()) };
    let slots = || (0..64).map(|number| base + number * SLOT);
    for way in 0..10 {
        // However that process ends.
        with_sleepers(|| {
            for slot in slots() {
                (slot + SLOT / 2..slot + SLOT - 64)
                    .step_by(8)
                    .filter(|&at| word(at).load(Relaxed) == SELECTORS)
                    .for_each(|at| change(way, base, at));
            }
        });
    }
    for way in 0..6 {
        with_sleepers(|| {
            let used = |slot: &usize| (slot + SLOT / 2..slot + SLOT).step_by(8).any(|at| word(at).load(Relaxed) != 0);
            slots().filter(used).for_each(|slot| smear(way, slot));
        });
    }
    Ok(())
}
