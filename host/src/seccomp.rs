//! Filters of system calls (seccomp(2)): the instructions that they are made of, and how a thread
//! gets one.

use crate::{Errno, Result};

/// An instruction of classic BPF.
pub type Instruction = libc::sock_filter;

// Offsets into struct seccomp_data.
pub const NUMBER: u32 = 0;
/// The interface by which the call was made: [`X86_64`] or [`I386`].
pub const ARCH: u32 = 4;
/// The instruction pointer's lower half.
pub const POINTER_LOW: u32 = 8;
pub const POINTER_HIGH: u32 = 12;

/// AUDIT_ARCH_X86_64 and AUDIT_ARCH_I386.
pub const X86_64: u32 = 0xc000_003e;
pub const I386: u32 = 0x4000_0003;

const fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code: code as u16, jt, jf, k }
}

/// Loads a word of struct seccomp_data.
pub const fn load(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

/// Leaves of the word those bits that `mask` has.
pub const fn and(mask: u32) -> Instruction {
    instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, mask)
}

/// Skips `then` instructions if the word is `value`, else `otherwise`.
pub const fn skip_if(value: u32, then: u8, otherwise: u8) -> Instruction {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, then, otherwise, value)
}

/// The call is carried out.
pub const ALLOW: Instruction = instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW);
/// The call is SIGSYS.
pub const TRAP: Instruction = instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_TRAP);

/// The call sleeps until the filter's [`crate::notify::Listener`] has answered it.
pub const NOTIFY: Instruction = instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_USER_NOTIF);

/// Does with one call what `action` says, and lets all others through. It tells calls apart by
/// number only, so it is for programs that make none through the 32-bit interface.
pub const fn only(number: i64, action: Instruction) -> [Instruction; 4] {
    [load(NUMBER), skip_if(number as u32, 0, 1), action, ALLOW]
}

/// Puts the calling thread, and what it forks from now on, under a filter, for ever; and has it
/// gain no privileges by execve(2) any more, without which the host takes no filter. Allocates
/// nothing, so it may be called between fork and exec.
///
/// # Safety
/// The code that goes on under the filter must expect the results that the filter gives its calls.
pub unsafe fn install(filter: &[Instruction]) -> Result<()> {
    // SAFETY: as the caller promises.
    unsafe { set(filter, 0) }?;
    Ok(())
}

/// # Safety
/// As [`install`].
pub(crate) unsafe fn set(filter: &[Instruction], flags: libc::c_ulong) -> Result<i32> {
    let program = program(filter);
    // SAFETY: plain numbers, and a filter that outlives the call.
    unsafe {
        Errno::check(i64::from(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)))?;
        let result =
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&program));
        Ok(Errno::check(result)? as i32)
    }
}

/// A filter as seccomp(2) takes it. Valid as long as `filter` is.
pub fn program(filter: &[Instruction]) -> libc::sock_fprog {
    libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() }
}

/// A filter that lets system calls through from one page only, and turns all others into SIGSYS:
/// those of the vsyscall page as well, which ptrace(2) does not see.
pub const fn only_from_page(page: u64) -> [Instruction; 7] {
    by_page(page, ALLOW, TRAP)
}

/// A filter that does one thing with calls that are made in a page, and another with all others.
pub const fn by_page(page: u64, inside: Instruction, outside: Instruction) -> [Instruction; 7] {
    const WITHIN: u32 = crate::memory::PAGE as u32 - 1;
    [
        load(POINTER_HIGH),
        skip_if((page >> 32) as u32, 0, 3),
        load(POINTER_LOW),
        and(!WITHIN),
        skip_if(page as u32, 1, 0),
        outside,
        inside,
    ]
}
