//! The page with the oldest system calls (vsyscall), at an address that programs may know: it is
//! listed and works, or neither.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![listed, calls, other_places, other_accesses];

const PAGE_OF_CALLS: usize = 0xffff_ffff_ff60_0000;
const ENTRY: usize = 1024;

fn lines(of: &str) -> Vec<String> {
    let found = std::fs::read_to_string(of).expect("a list of mappings");
    found.lines().filter(|line| line.contains("[vsyscall]")).map(str::to_string).collect()
}

fn listed() {
    v!(lines("/proc/self/maps"));
    v!(lines("/proc/self/smaps"));
    let maps = std::fs::read_to_string("/proc/self/maps").expect("our mappings");
    v!(maps.lines().position(|line| line.contains("[vsyscall]")).map(|at| at + 1 == maps.lines().count()));
}

/// Calls what is at an address, with two arguments, in a child.
fn call(addr: usize, a: usize, b: usize, judge: fn(i64) -> bool) -> Text {
    in_child(|| {
        // SAFETY: what is called takes three arguments or ends the child.
        let entry: extern "C" fn(usize, usize, usize) -> i64 = unsafe { std::mem::transmute(addr) };
        v!(judge(entry(a, b, 0)));
    })
}

fn calls() {
    let mut words = [0i64; 2];
    let place = words.as_mut_ptr() as usize;
    v!(call(PAGE_OF_CALLS, place, 0, |ret| ret == 0));
    v!(call(PAGE_OF_CALLS + ENTRY, 0, 0, |ret| ret > 1_000_000_000));
    v!(call(PAGE_OF_CALLS + ENTRY, place, 0, |ret| ret > 1_000_000_000));
    v!(call(PAGE_OF_CALLS + 2 * ENTRY, place, place + 4, |ret| ret == 0));
    // A bad address is the caller's end.
    v!(call(PAGE_OF_CALLS, 16, 0, |_| true));
}

fn other_places() {
    for offset in [1, ENTRY - 1, ENTRY + 1, 3 * ENTRY, 4 * ENTRY, usize::MAX] {
        v!(call(PAGE_OF_CALLS.wrapping_add(offset), 0, 0, |_| true));
    }
}

fn other_accesses() {
    v!(load(PAGE_OF_CALLS));
    v!(store(PAGE_OF_CALLS, 1));
    t!(SYS_munmap, PAGE_OF_CALLS, PAGE);
    t!(SYS_mprotect, PAGE_OF_CALLS, PAGE, PROT_READ);
    o!(SYS_write, 1, PAGE_OF_CALLS, 1);
    t!(SYS_mincore, PAGE_OF_CALLS, PAGE, &mut [0u8; 1]);
}
