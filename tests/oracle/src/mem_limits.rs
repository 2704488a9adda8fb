//! How much memory a process may have: its stack, and resource limits.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] =
    cases![stack_limits, stack_limits_and_arguments, long_arguments, calls_grow_the_stack, calls_respect_the_stack_limit,];

fn set(which: u32, soft: u64) {
    let limit = rlimit { rlim_cur: soft, rlim_max: RLIM_INFINITY };
    must!(SYS_prlimit64, 0, which, &limit, 0);
}

/// Runs /bin/true with these arguments, none of which is longer than one may be.
fn run_true(arguments: &[std::ffi::CString]) -> Text {
    let mut argv: Vec<usize> = arguments.iter().map(|a| a.as_ptr() as usize).collect();
    argv.push(0);
    in_child(|| {
        let error = sc!(SYS_execve, c"/bin/true", &argv[..], &[0usize]);
        println!("{error}");
    })
}

fn stack_limits() {
    const GIB: u64 = 1 << 30;
    const HALF: u64 = 1 << 46;
    for limit in [
        (64 << 10) + 1,
        (132 << 10) - 1,
        (8193 << 10) + 1,
        (128 << 20) + 1,
        GIB + 4097,
        HALF + 1,
        2 * HALF,
        2 * HALF + 4097,
        u64::MAX - 1,
        u64::MAX,
    ] {
        let end = in_child(|| {
            set(RLIMIT_STACK, limit);
            v!(run_true(&[c("true")]));
        });
        println!("{limit:#x}: {end:?}");
    }
}

fn stack_limits_and_arguments() {
    for limit in [0, 1 << 12, 1 << 14, 1 << 17, 1 << 18] {
        let end = in_child(|| {
            set(RLIMIT_STACK, limit);
            v!(run_true(&[c("true"), c(&"a".repeat(60_000))]));
        });
        println!("{limit:#x}: {end:?}");
    }
}

fn long_arguments() {
    v!(run_true(&vec![c(&"a".repeat((128 << 10) - 1)); 4]));
    v!(run_true(&[c(&"a".repeat(128 << 10))]));
    v!(run_true(&vec![c("1"); 100_000]));
    v!(run_true(&vec![c("1"); 300_000]));
    // The limit's quarter, or 6 MiB.
    set(RLIMIT_STACK, 64 << 20);
    v!(run_true(&vec![c("1"); 300_000]));
    v!(run_true(&vec![c("1"); 700_000]));
}

fn below_the_stack(distance: usize) -> usize {
    let here = 0u8;
    std::ptr::from_ref(&here) as usize - distance
}

fn calls_grow_the_stack() {
    let (r, w) = pipe();
    put(w, b"x");
    t!(SYS_write, w, below_the_stack(1 << 20), 100);
    v!(get(r, 1));
    t!(SYS_read, r, below_the_stack(3 << 20), 100);
    v!(load(below_the_stack(3 << 20)));
    o!(SYS_getcwd, below_the_stack(5 << 20), 4096);
    t!(SYS_getcwd, below_the_stack(50 << 20), 4096);
}

fn calls_respect_the_stack_limit() {
    let (r, w) = pipe();
    put(w, b"x");
    set(RLIMIT_STACK, (1 << 20) + 1);
    t!(SYS_read, r, below_the_stack(2 << 20), 1);
    t!(SYS_read, r, below_the_stack(1 << 19), 1);
    set(RLIMIT_STACK, (4 << 20) - 1);
    o!(SYS_getcwd, below_the_stack(2 << 20), 4096);
    v!(store(below_the_stack(3 << 20), 1));
    v!(store(below_the_stack(5 << 20), 1));
}
