//! Registers as a tracer sees them, and what it may make of them.
//!
//! What a tracer sets is taken with the same reserve as what a signal's frame brings back:
//! selectors and flags are those that user code may have anyway.

use crate::task::signal::FLAGS_RESTORED;
use crate::{Errno, Result};
use abi::number::{Low, extended};
use abi::{USER_CS, USER_DS};
use umlab_model::{Regs, TASK_SIZE};

/// The trap flag.
pub const FLAG_TRAP: u64 = 1 << 8;

/// Judges registers that a tracer sets in the place of `old`.
///
/// # Errors
/// EIO for selectors and segment bases that user code cannot have.
pub fn judge(old: &Regs, new: &Regs) -> Result<()> {
    let code = new.cs == USER_CS || new.cs == old.cs;
    let stack = new.ss == USER_DS || new.ss == old.ss;
    let data = [new.ds, new.es, new.fs, new.gs].iter().all(|&selector| selector == 0 || selector & 3 == 3);
    let bases = new.fs_base < TASK_SIZE && new.gs_base < TASK_SIZE;
    if code && stack && data && bases { Ok(()) } else { Err(Errno::EIO) }
}

/// The registers with which a thread goes on that had `old` and for which `new` was set.
pub(super) fn sanitise(old: &Regs, new: &Regs) -> Regs {
    let eflags = old.eflags & !FLAGS_RESTORED | new.eflags & FLAGS_RESTORED;
    Regs { eflags, cs: old.cs, ss: old.ss, orig_rax: old.orig_rax, ..*new }
}

/// The number of a system call that is about to be carried out: an int.
pub(super) fn number_of_call(regs: &Regs) -> u64 {
    extended(regs.orig_rax.low_i32())
}

pub(super) fn call_arguments(regs: &Regs) -> [u64; 6] {
    [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regs() -> Regs {
        Regs { cs: USER_CS, ss: USER_DS, eflags: 0x202, ..crate::mm::user::zeroed() }
    }

    #[test]
    fn only_what_user_code_may_have_is_taken() {
        let (old, kernel_code) = (regs(), Regs { cs: 0x10, ..regs() });
        assert_eq!(judge(&old, &old), Ok(()));
        assert_eq!(judge(&old, &kernel_code), Err(Errno::EIO));
        assert_eq!(judge(&old, &Regs { ss: 0, ..old }), Err(Errno::EIO));
        assert_eq!(judge(&old, &Regs { gs: 0x18, ..old }), Err(Errno::EIO));
        assert_eq!(judge(&old, &Regs { fs_base: 1 << 63, ..old }), Err(Errno::EIO));
        // Interrupts cannot be switched off, nor port access be had.
        let flags = sanitise(&old, &Regs { eflags: 0x3001 | FLAG_TRAP, ..kernel_code });
        assert_eq!((flags.eflags, flags.cs), (0x202 | 1 | FLAG_TRAP, USER_CS));
    }
}
