//! Filters of system calls (seccomp(2)): the instructions that they are made of.

/// An instruction of classic BPF.
pub type Instruction = libc::sock_filter;

// Offsets into struct seccomp_data.
pub const NUMBER: u32 = 0;
/// The instruction pointer's lower half.
pub const POINTER_LOW: u32 = 8;
pub const POINTER_HIGH: u32 = 12;

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

/// A filter as seccomp(2) takes it. Valid as long as `filter` is.
pub fn program(filter: &[Instruction]) -> libc::sock_fprog {
    libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() }
}
