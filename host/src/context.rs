//! Stacks of our own, and the switch between them: what kernel contexts are made of where the core
//! is one process.

use crate::{Errno, Result};
use std::cell::UnsafeCell;

/// Address space of a stack; the host fills it as it is used.
const STACK_SIZE: usize = 512 * 1024;

/// A stack with a page below it that faults.
pub struct Stack {
    base: *mut u8,
}

// SAFETY: a stack is plain memory; who runs on it is the owner's business.
unsafe impl Send for Stack {}
// SAFETY: as above.
unsafe impl Sync for Stack {}

impl Stack {
    pub fn new() -> Result<Stack> {
        // SAFETY: new anonymous memory at an address the host chooses.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                STACK_SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        // SAFETY: the memory just mapped, and its lowest page. Children of this process do not run
        // on it.
        unsafe {
            libc::mprotect(base, 4096, libc::PROT_NONE);
            libc::madvise(base, STACK_SIZE, libc::MADV_DONTFORK);
        }
        Ok(Stack { base: base.cast() })
    }

    fn top(&self) -> *mut u8 {
        // SAFETY: one past the mapping's end.
        unsafe { self.base.add(STACK_SIZE) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `new`; nothing runs on it any more by the owner's contract.
        unsafe { libc::munmap(self.base.cast(), STACK_SIZE) };
    }
}

/// Where a context that does not run left off: its stack pointer, the callee-saved registers lie on
/// the stack.
#[derive(Default)]
pub struct SavedContext {
    rsp: UnsafeCell<u64>,
}

// SAFETY: only accessed by `switch` and `prepare`, whose callers hold the lock that orders
// switches.
unsafe impl Sync for SavedContext {}

std::arch::global_asm!(
    ".global umlab_context_switch",
    "umlab_context_switch:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [rdi], rsp",
    "mov rsp, [rsi]",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    // A new context's first switch lands here: r12 is the argument, r13 the function.
    ".global umlab_context_start",
    "umlab_context_start:",
    "mov rdi, r12",
    "xor ebp, ebp",
    "call r13",
    "ud2",
);

unsafe extern "C" {
    fn umlab_context_switch(from: *mut u64, to: *const u64);
    fn umlab_context_start();
}

impl SavedContext {
    /// Makes the first switch to this context call `main(argument)` on `stack`.
    pub fn prepare(&self, stack: &Stack, main: extern "C" fn(usize) -> !, argument: usize) {
        // What `umlab_context_switch` pops: r15, r14, r13, r12, rbx, rbp, then the return address.
        // After the `ret` the stack is 16-byte aligned, as the ABI wants before a call.
        let frame = [0, 0, main as *const () as u64, argument as u64, 0, 0, umlab_context_start as *const () as u64, 0];
        // SAFETY: the frame lies within the stack, which nothing runs on yet.
        unsafe {
            let at = stack.top().cast::<u64>().sub(frame.len() + 1);
            std::ptr::copy_nonoverlapping(frame.as_ptr(), at, frame.len());
            *self.rsp.get() = at as u64;
        }
    }

    /// Leaves the running context, saved in `self`, for `to`.
    ///
    /// # Safety
    /// `to` was prepared or saved by a switch and does not run; its stack is alive; and the
    /// caller's lock orders this against all other switches of the two contexts.
    pub unsafe fn switch(&self, to: &SavedContext) {
        // SAFETY: the caller's contract.
        unsafe { umlab_context_switch(self.rsp.get(), to.rsp.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pair {
        main: SavedContext,
        other: SavedContext,
        log: UnsafeCell<Vec<u32>>,
    }

    extern "C" fn other_main(argument: usize) -> ! {
        // SAFETY: the test passes a pointer to a Pair that outlives the context.
        let pair = unsafe { &*(argument as *const Pair) };
        for i in 0.. {
            // SAFETY: only one context runs at a time.
            unsafe { (*pair.log.get()).push(i) };
            // SAFETY: main was saved by its switch.
            unsafe { pair.other.switch(&pair.main) };
        }
        unreachable!()
    }

    #[test]
    fn switches_back_and_forth() {
        let stack = Stack::new().unwrap();
        let pair = Pair { main: Default::default(), other: Default::default(), log: Default::default() };
        pair.other.prepare(&stack, other_main, &raw const pair as usize);
        for _ in 0..3 {
            // SAFETY: other was prepared, or saved by its switch.
            unsafe { pair.main.switch(&pair.other) };
        }
        assert_eq!(pair.log.into_inner(), [0, 1, 2]);
    }
}
