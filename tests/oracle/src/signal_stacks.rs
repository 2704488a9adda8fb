//! Alternate signal stacks.

use crate::signals::handle;
use crate::sys::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

static SEEN: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

fn seen(n: usize) -> u64 {
    SEEN[n].load(SeqCst)
}

fn kill_self(sig: i32) {
    must!(SYS_kill, sc!(SYS_getpid).0, sig);
}

pub const CASES: &[crate::harness::Case] = cases![
    alt_errors, alt_use, alt_in_use, alt_disarm, alt_small, alt_overflow, alt_thread,
];

fn alt_errors() {
    let mem = map(PAGE * 4, RW, ANON);
    let mut old = [9u64; 3];
    t!(SYS_sigaltstack, 0, &mut old);
    v!((old[1], old[2]));
    for stack in [
        [mem as u64, 0, 8192],
        [mem as u64, 1, 8192],
        [mem as u64, 2, 8192],
        [0, 2, 0],
        [mem as u64, 3, 8192],
        [mem as u64, 4, 8192],
        [mem as u64, 0, 2047],
        [mem as u64, 0, 0],
        [mem as u64, 1 << 31, 8192],
        [mem as u64, 1 << 31 | 1, 8192],
        [mem as u64, 1 << 31 | 2, 8192],
    ] {
        let ret = sc!(SYS_sigaltstack, &stack, &mut old);
        let mut now = [0u64; 3];
        must!(SYS_sigaltstack, 0, &mut now);
        println!("{:x?} = {ret}, before {}, now {:x} {}", &stack[1..], old[1], now[1], now[2]);
    }
    t!(SYS_sigaltstack, 8, 0);
    t!(SYS_sigaltstack, 0, 8);
}

fn set_alt(at: usize, len: usize, flags: i32) {
    must!(SYS_sigaltstack, &[at as u64, u64::from(flags as u32), len as u64], 0);
}

extern "C" fn where_am_i(_: i32) {
    let mut stack = [0u64; 3];
    sc!(SYS_sigaltstack, 0, &mut stack);
    let here = std::ptr::from_ref(&stack) as u64;
    SEEN[0].store(u64::from(here >= stack[0] && here < stack[0] + stack[2]), SeqCst);
    SEEN[1].store(stack[1], SeqCst);
    let other = [stack[0], 0, stack[2]];
    SEEN[2].store(sc!(SYS_sigaltstack, &other, 0).0 as u64, SeqCst);
    SEEN[3].store(sc!(SYS_sigaltstack, &[0u64, 2, 0], 0).0 as u64, SeqCst);
}

fn alt_use() {
    set_alt(map(PAGE * 8, RW, ANON), PAGE * 8, 0);
    for flags in [SA_ONSTACK, 0] {
        handle(SIGUSR1, where_am_i as *const () as usize, flags, &[]);
        kill_self(SIGUSR1);
        println!("on it {} flags {:x}", seen(0), seen(1));
        set_alt(map(PAGE * 8, RW, ANON), PAGE * 8, 0);
    }
}

fn alt_in_use() {
    set_alt(map(PAGE * 8, RW, ANON), PAGE * 8, 0);
    handle(SIGUSR1, where_am_i as *const () as usize, SA_ONSTACK, &[]);
    kill_self(SIGUSR1);
    v!((seen(2) as i64, seen(3) as i64));
    let mut now = [0u64; 3];
    t!(SYS_sigaltstack, 0, &mut now);
    v!((now[1], now[2]));
}

fn alt_disarm() {
    set_alt(map(PAGE * 8, RW, ANON), PAGE * 8, 1 << 31);
    handle(SIGUSR1, where_am_i as *const () as usize, SA_ONSTACK, &[]);
    kill_self(SIGUSR1);
    println!("on it {} flags {:x} may set {} {}", seen(0), seen(1), seen(2) as i64, seen(3) as i64);
    let mut now = [0u64; 3];
    t!(SYS_sigaltstack, 0, &mut now);
    println!("{:x} {}", now[1], now[2]);
}

fn alt_small() {
    v!(in_child(|| {
        set_alt(map(PAGE, RW, ANON), 2048, 0);
        handle(SIGUSR1, where_am_i as *const () as usize, SA_ONSTACK, &[]);
        kill_self(SIGUSR1);
    }));
}

extern "C" fn survive(_: i32) {
    println!("caught on the other stack");
    exit(5);
}

#[allow(unconditional_recursion)]
fn recurse(n: u64) -> u64 {
    let big = std::hint::black_box([n; 512]);
    recurse(n + 1) + big[(n % 512) as usize]
}

fn alt_overflow() {
    v!(in_child(|| {
        set_alt(map(PAGE * 16, RW, ANON), PAGE * 16, 0);
        handle(SIGSEGV, survive as *const () as usize, SA_ONSTACK, &[]);
        println!("{}", recurse(0));
    }));
    v!(in_child(|| {
        handle(SIGSEGV, survive as *const () as usize, 0, &[]);
        println!("{}", recurse(0));
    }));
}

fn alt_thread() {
    set_alt(map(PAGE * 8, RW, ANON), PAGE * 8, 0);
    v!(in_child(|| {
        let mut now = [0u64; 3];
        must!(SYS_sigaltstack, 0, &mut now);
        v!((now[1], now[2]));
    }));
}
