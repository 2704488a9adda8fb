//! A page that two processes share and take turns with, as the models do that have no ptrace: who
//! has it works, the other spins for a while and then sleeps on a futex.

use crate::memory::{Mapping, PAGE};
use anyhow::Result;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Side {
    Guest = 0,
    Core = 1,
}

/// In the word: the side whose turn it is not sleeps.
const SLEEPS: u32 = 2;

/// What lies in the page.
#[repr(C, align(64))]
pub struct Turns {
    /// Whose turn it is, and whether the other sleeps.
    word: AtomicU32,
    /// Looks at the word before sleeping.
    spins: AtomicU32,
    /// Of who has the turn.
    pub words: [AtomicU64; 8],
}

impl Turns {
    /// Sleeps, after some looks, until it is this side's turn.
    pub fn await_turn(&self, side: Side) {
        let theirs = side as u32 ^ 1;
        for _ in 0..self.spins.load(Relaxed) {
            if self.is_turn(side) {
                return;
            }
            std::hint::spin_loop();
        }
        while !self.is_turn(side) {
            let told = self.word.compare_exchange(theirs, theirs | SLEEPS, SeqCst, SeqCst);
            if told == Ok(theirs) || told == Err(theirs | SLEEPS) {
                self.futex(libc::FUTEX_WAIT, theirs | SLEEPS);
            }
        }
    }

    /// Gives the turn to the other side, and wakes it if it sleeps.
    pub fn hand_to(&self, side: Side) {
        if self.word.swap(side as u32, SeqCst) & SLEEPS != 0 {
            self.futex(libc::FUTEX_WAKE, 1);
        }
    }

    fn is_turn(&self, side: Side) -> bool {
        self.word.load(SeqCst) & !SLEEPS == side as u32
    }

    /// Not a private one: the other side is another process. Callers look at the word again.
    fn futex(&self, operation: i32, value: u32) {
        let nothing = std::ptr::null::<libc::timespec>();
        // SAFETY: the word lives as long as the call, which changes no memory.
        unsafe { libc::syscall(libc::SYS_futex, self.word.as_ptr(), operation, value, nothing) };
    }
}

/// The page, which children that are forked from now on share. It begins as the guest's turn.
pub struct Page(Mapping);

impl Page {
    pub fn new(spins: u32) -> Result<Page> {
        const { assert!(size_of::<Turns>() <= PAGE) };
        let page = Page(Mapping::shared(PAGE)?);
        page.turns().spins.store(spins, Relaxed);
        Ok(page)
    }

    pub fn turns(&self) -> &Turns {
        // SAFETY: a page that lives as long as `self`, is aligned, holds atomics only, of which any
        // bits are values, and which nobody accesses by other means.
        unsafe { self.0.start().cast::<Turns>().as_ref() }
    }
}
