//! Signal frames that are changed before they are returned from, each in a child: whatever they ask
//! for, only the child may pay.

use crate::scratch::Scratch;
use crate::sys::{ask, end};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use umlab_fuzzer::generate::frames::STATE;
use umlab_fuzzer::program::Step;

/// The changes that the handler makes: pairs of a place and a value.
static CHANGES: [AtomicU64; 6] = [const { AtomicU64::new(0) }; 6];
static COUNT: AtomicU64 = AtomicU64::new(0);

pub fn step(step: &Step, scratch: &mut Scratch) {
    let args = scratch.arguments(step);
    match ask(libc::SYS_fork, [0; 6]) {
        0 => child(step.call.name, args, step.args.len()),
        child if child > 0 => wait(child as u64),
        _ => {}
    }
}

/// Waits for the child's end for a moment, then ends it: it may have come to a loop.
fn wait(child: u64) {
    static SHORT: [u64; 2] = [0, 2_000_000];
    for _ in 0..25 {
        if ask(libc::SYS_wait4, [child, 0, libc::WNOHANG as u64, 0, 0, 0]) != 0 {
            return;
        }
        ask(libc::SYS_nanosleep, [(&raw const SHORT) as u64, 0, 0, 0, 0, 0]);
    }
    ask(libc::SYS_kill, [child, 9, 0, 0, 0, 0]);
    ask(libc::SYS_wait4, [child, 0, 0, 0, 0, 0]);
}

fn child(name: &str, args: [u64; 6], given: usize) -> ! {
    set_handler();
    let (changes, stack) = match name {
        "return-on" => return_on(args[0]),
        "frame-at" => (&args[1..given.max(1)], Some(args[0])),
        _ => (&args[..given], None),
    };
    for (cell, &value) in CHANGES.iter().zip(changes) {
        cell.store(value, Relaxed);
    }
    COUNT.store(changes.len() as u64 / 2, Relaxed);
    if let Some(at) = stack {
        // A frame ends at a stack's end, and this one's end is where a region begins or ends.
        let stack = [at.wrapping_sub(16 << 10), 0, 16 << 10];
        ask(libc::SYS_sigaltstack, [(&raw const stack) as u64, 0, 0, 0, 0, 0]);
    }
    let own = ask(libc::SYS_getpid, [0; 6]) as u64;
    ask(libc::SYS_kill, [own, libc::SIGUSR1 as u64, 0, 0, 0, 0]);
    // Here registers may be anything.
    end(0)
}

fn return_on(at: u64) -> ! {
    // SAFETY: it does not come back; the process ends or goes on wherever the memory there leads
    // it.
    unsafe {
        std::arch::asm!("mov rsp, {at}", "mov eax, 15", "syscall", "mov eax, 231", "syscall", at = in(reg) at, options(noreturn))
    }
}

fn set_handler() {
    extern "C" fn handler(_: i32, info: *mut u64, context: *mut u64) {
        let words = context;
        let state_at = 28; // uc_mcontext.fpregs
        for n in 0..COUNT.load(Relaxed).min(3) as usize {
            let (place, value) = (CHANGES[2 * n].load(Relaxed), CHANGES[2 * n + 1].load(Relaxed));
            // SAFETY: none, by intention: words of the frame, or of what its pointer to the
            // extended state points to.
            unsafe {
                if place < 60 {
                    words.add(place as usize).write_volatile(value);
                } else if place >= STATE {
                    let state = words.add(state_at).read_volatile() as *mut u8;
                    state.add((place - STATE) as usize).cast::<u32>().write_unaligned(value as u32);
                } else {
                    info.add(place as usize % 16).write_volatile(value);
                }
            }
        }
    }
    // SAFETY: all zero is a valid sigaction.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as extern "C" fn(i32, *mut u64, *mut u64) as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
    }
}
