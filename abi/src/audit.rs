//! linux/audit.h: the architectures of system calls (seccomp(2)).

pub const AUDIT_ARCH_I386: u32 = 0x4000_0003;
pub const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
