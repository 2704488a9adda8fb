//! Syscall user dispatch (prctl(2), PR_SET_SYSCALL_USER_DISPATCH): a thread's system calls from
//! outside a range of its code become SIGSYS, while a byte of its memory, the selector, asks for
//! that. Emulators of other systems use it, for a program's calls and not for their own.
//!
//! A new thread or process, and a new program, begin without it.

use super::Task;
use crate::task::signal::{self, SigInfo};
use crate::{Errno, Result};
use abi::number::Low;
use std::sync::Arc;
use umlab_model::{SyscallAbi, TASK_SIZE, UserThread};

/// The setting of a thread that has it on. A call from `len` bytes at `start`, which may wrap
/// around, is carried out whatever the selector holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserDispatch {
    pub start: u64,
    pub len: u64,
    /// Address of the byte that is asked at each other call; 0: none is carried out.
    pub selector: u64,
}

impl UserDispatch {
    /// The setting for prctl's four arguments; none for PR_SYS_DISPATCH_OFF.
    ///
    /// # Errors
    /// EINVAL for an unknown mode, an empty or wrapping range, or leftovers beside "off"; EFAULT
    /// for a selector that no user memory can hold.
    pub fn from_arguments(mode: u64, start: u64, len: u64, selector: u64) -> Result<Option<UserDispatch>> {
        let wraps = start.wrapping_add(len) <= start;
        let (start, len) = match mode {
            abi::PR_SYS_DISPATCH_OFF if start == 0 && len == 0 && selector == 0 => return Ok(None),
            abi::PR_SYS_DISPATCH_EXCLUSIVE_ON if start == 0 || !wraps => (start, len),
            // All code but the range's is let through.
            abi::PR_SYS_DISPATCH_INCLUSIVE_ON if len != 0 && !wraps => (start + len, len.wrapping_neg()),
            _ => return Err(Errno::EINVAL),
        };
        if selector >= TASK_SIZE {
            return Err(Errno::EFAULT);
        }
        Ok(Some(UserDispatch { start, len, selector }))
    }
}

/// Whether the system call at which the thread left user mode is to be carried out. If not, the
/// thread was sent the signal for it, and has the registers of the call itself.
pub fn lets_through(task: &Arc<Task>, user: &mut dyn UserThread, number: u64, abi: SyscallAbi) -> bool {
    // For nearly all threads that is all: their registers need not be fetched.
    let Some(UserDispatch { start, len, selector }) = task.user_dispatch.get() else { return true };
    let next = user.regs().rip;
    // The vsyscall page's calls are none of the program's own.
    if abi == SyscallAbi::Vsyscall || next.wrapping_sub(start) < len {
        return true;
    }
    let wanted = if selector == 0 { Ok(abi::SYSCALL_DISPATCH_FILTER_BLOCK) } else { task.space().read::<u8>(selector) };
    match wanted {
        Ok(abi::SYSCALL_DISPATCH_FILTER_ALLOW) => return true,
        Ok(abi::SYSCALL_DISPATCH_FILTER_BLOCK) => {
            let arch = if abi == SyscallAbi::I386 { abi::AUDIT_ARCH_I386 } else { abi::AUDIT_ARCH_X86_64 };
            signal::force(task, SigInfo::sys(abi::SYS_USER_DISPATCH, next, number.low_i32(), arch));
        }
        Ok(_) => signal::force_end(task, abi::SIGSYS),
        Err(_) => signal::force_end(task, abi::SIGSEGV),
    }
    user.set_result(number);
    false
}
