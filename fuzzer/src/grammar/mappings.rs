//! The operations of the mapping stress. A thread's pages are its own, so that each operation's
//! effect is known; the interpreter keeps a model of them beside the real ones (guest/mappings.rs).

use super::Arg::{Below, One};
use super::{Call, call};

/// How many pages a thread has.
pub const PAGES: u64 = 48;

pub const CALLS: &[Call] = &[
    // page, pages, protection, kind: private, shared, private file, shared file
    call("map", -1, 10, &[Below(PAGES), Below(PAGES), One(&[0, 1, 3, 3, 3]), Below(4)]),
    call("unmap", -2, 6, &[Below(PAGES), Below(PAGES)]),
    call("protect", -3, 8, &[Below(PAGES), Below(PAGES), One(&[0, 1, 3, 3])]),
    // page, pages, to
    call("remap", -4, 6, &[Below(PAGES), Below(PAGES), Below(PAGES)]),
    call("fill", -5, 12, &[Below(PAGES), Below(PAGES)]),
    call("check", -6, 6, &[Below(PAGES), Below(PAGES)]),
    call("forget", -7, 4, &[Below(PAGES), Below(PAGES)]),
    // How far the child checks and writes.
    call("fork-check", -8, 3, &[Below(PAGES), Below(PAGES)]),
    // To so many pages.
    call("cut", -9, 3, &[Below(PAGES)]),
    // Through the kernel, by read(2) and write(2) of a pipe.
    call("copy-in", -10, 4, &[Below(PAGES)]),
    call("copy-out", -11, 4, &[Below(PAGES)]),
    call("lock", -12, 2, &[Below(PAGES), Below(PAGES), Below(2)]),
];
