//! membarrier(2).

use crate::sys::*;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::*};

pub const CASES: &[crate::harness::Case] =
    cases![commands, errors, unregistered, registrations, by_threads, orders, orders_globally, new_code];

const GLOBAL: i32 = 1;
const GLOBAL_EXPEDITED: i32 = 2;
const REGISTER_GLOBAL_EXPEDITED: i32 = 4;
const PRIVATE: i32 = 8;
const REGISTER_PRIVATE: i32 = 16;
const SYNC_CORE: i32 = 32;
const REGISTER_SYNC_CORE: i32 = 64;
/// Commands of restartable sequences, which not every kernel has.
const SEQUENCES: i64 = 128 | 256;
const REGISTRATIONS: i32 = 512;

fn commands() {
    v!(sc!(SYS_membarrier, 0, 0).0 & !SEQUENCES);
}

fn errors() {
    for command in [-1, 3, 1024, 1 << 20, i32::MIN] {
        t!(SYS_membarrier, command, 0);
    }
    for command in [0, GLOBAL, PRIVATE, REGISTER_PRIVATE, SYNC_CORE, REGISTRATIONS, 3] {
        t!(SYS_membarrier, command, 1);
        t!(SYS_membarrier, command, 2);
        t!(SYS_membarrier, command, -1);
    }
}

fn unregistered() {
    for command in [GLOBAL, GLOBAL_EXPEDITED, PRIVATE, SYNC_CORE] {
        t!(SYS_membarrier, command, 0);
    }
    for register in [REGISTER_PRIVATE, REGISTER_SYNC_CORE, REGISTER_GLOBAL_EXPEDITED] {
        v!(in_child(|| {
            t!(SYS_membarrier, register, 0);
            for command in [GLOBAL, GLOBAL_EXPEDITED, PRIVATE, SYNC_CORE] {
                t!(SYS_membarrier, command, 0, 77);
            }
        }));
    }
}

fn registrations() {
    t!(SYS_membarrier, REGISTRATIONS, 0);
    for register in [REGISTER_PRIVATE, REGISTER_PRIVATE, REGISTER_GLOBAL_EXPEDITED, REGISTER_SYNC_CORE] {
        t!(SYS_membarrier, register, 0);
        t!(SYS_membarrier, REGISTRATIONS, 0);
    }
    v!(in_child(|| {
        t!(SYS_membarrier, REGISTRATIONS, 0);
        t!(SYS_membarrier, PRIVATE, 0);
    }));
}

/// A registration is the address space's.
fn by_threads() {
    std::thread::scope(|scope| {
        scope.spawn(|| t!(SYS_membarrier, REGISTER_PRIVATE, 0)).join().unwrap();
        t!(SYS_membarrier, PRIVATE, 0);
    });
}

/// Two threads that each write one place and read the other's: never do both read what was there
/// before. Only one of them has a barrier, for both.
fn litmus(command: i32) {
    let (x, y, turn, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let seen = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1.. {
                while turn.load(Acquire) < round {
                    if over.load(Relaxed) {
                        return;
                    }
                    spin_loop();
                }
                x.store(round, Relaxed);
                std::sync::atomic::compiler_fence(SeqCst);
                seen.store(y.load(Relaxed), Relaxed);
                done.store(round, Release);
            }
        });
        let mut missed = 0;
        for round in 1..=300 {
            turn.store(round, Release);
            y.store(round, Relaxed);
            must!(SYS_membarrier, command, 0);
            let read = x.load(Relaxed);
            // On one CPU the other has to be let run.
            while done.load(Acquire) < round {
                sc!(SYS_sched_yield);
            }
            missed += u32::from(read < round && seen.load(Relaxed) < round);
        }
        over.store(true, Relaxed);
        v!(missed);
    });
}

fn orders() {
    must!(SYS_membarrier, REGISTER_PRIVATE, 0);
    litmus(PRIVATE);
}

fn orders_globally() {
    must!(SYS_membarrier, REGISTER_GLOBAL_EXPEDITED, 0);
    litmus(GLOBAL_EXPEDITED);
}

/// A thread that calls code over and over sees the new one, once a barrier has been made.
fn new_code() {
    must!(SYS_membarrier, REGISTER_SYNC_CORE, 0);
    let a = map(PAGE, RW | PROT_EXEC, ANON);
    // mov eax, imm32; ret
    copy_in(a, &[0xb8, 0, 0, 0, 0, 0xc3]);
    // SAFETY: there is a function of this kind, and its number is changed by one store.
    let code: extern "C" fn() -> i32 = unsafe { std::mem::transmute(a) };
    let (wanted, seen, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                let round = wanted.load(Acquire);
                // The newest, and the round it was surely called after.
                if code() as u64 >= round {
                    seen.store(round, Release);
                }
            }
        });
        for round in 1..=50u8 {
            store(a + 1, round);
            must!(SYS_membarrier, SYNC_CORE, 0);
            wanted.store(round.into(), Release);
            while seen.load(Acquire) < round.into() {
                sc!(SYS_sched_yield);
            }
        }
        over.store(true, Relaxed);
    });
    println!("all seen");
}
