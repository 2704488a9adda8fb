//! linux/ptrace.h: ptrace(2); asm/user.h: the registers of a thread as it has them.

pub const PTRACE_TRACEME: u32 = 0;
pub const PTRACE_PEEKTEXT: u32 = 1;
pub const PTRACE_PEEKDATA: u32 = 2;
pub const PTRACE_PEEKUSER: u32 = 3;
pub const PTRACE_POKETEXT: u32 = 4;
pub const PTRACE_POKEDATA: u32 = 5;
pub const PTRACE_POKEUSER: u32 = 6;
pub const PTRACE_CONT: u32 = 7;
pub const PTRACE_KILL: u32 = 8;
pub const PTRACE_SINGLESTEP: u32 = 9;
pub const PTRACE_GETREGS: u32 = 12;
pub const PTRACE_SETREGS: u32 = 13;
pub const PTRACE_GETFPREGS: u32 = 14;
pub const PTRACE_SETFPREGS: u32 = 15;
pub const PTRACE_ATTACH: u32 = 16;
pub const PTRACE_DETACH: u32 = 17;
pub const PTRACE_SYSCALL: u32 = 24;
pub const PTRACE_SYSEMU: u32 = 31;
pub const PTRACE_SETOPTIONS: u32 = 0x4200;
pub const PTRACE_GETEVENTMSG: u32 = 0x4201;
pub const PTRACE_GETSIGINFO: u32 = 0x4202;
pub const PTRACE_SETSIGINFO: u32 = 0x4203;
pub const PTRACE_GETREGSET: u32 = 0x4204;
pub const PTRACE_SETREGSET: u32 = 0x4205;
pub const PTRACE_SEIZE: u32 = 0x4206;
pub const PTRACE_INTERRUPT: u32 = 0x4207;
pub const PTRACE_LISTEN: u32 = 0x4208;
pub const PTRACE_PEEKSIGINFO: u32 = 0x4209;
pub const PTRACE_GETSIGMASK: u32 = 0x420a;
pub const PTRACE_SETSIGMASK: u32 = 0x420b;
pub const PTRACE_GET_SYSCALL_INFO: u32 = 0x420e;
pub const PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG: u32 = 0x4210;
pub const PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG: u32 = 0x4211;

pub const PTRACE_EVENT_FORK: i32 = 1;
pub const PTRACE_EVENT_VFORK: i32 = 2;
pub const PTRACE_EVENT_CLONE: i32 = 3;
pub const PTRACE_EVENT_EXEC: i32 = 4;
pub const PTRACE_EVENT_VFORK_DONE: i32 = 5;
pub const PTRACE_EVENT_EXIT: i32 = 6;
pub const PTRACE_EVENT_STOP: i32 = 128;

pub const PTRACE_O_TRACESYSGOOD: i32 = 1;
pub const PTRACE_O_TRACEFORK: i32 = 2;
pub const PTRACE_O_TRACEVFORK: i32 = 4;
pub const PTRACE_O_TRACECLONE: i32 = 8;
pub const PTRACE_O_TRACEEXEC: i32 = 16;
pub const PTRACE_O_TRACEVFORKDONE: i32 = 32;
pub const PTRACE_O_TRACEEXIT: i32 = 64;
pub const PTRACE_O_TRACESECCOMP: i32 = 128;
pub const PTRACE_O_EXITKILL: i32 = 0x10_0000;

/// Selectors of user code and of its data and stack (arch/x86/include/asm/segment.h), and of 32-bit
/// code.
pub const USER_CS: u64 = 0x33;
pub const USER_DS: u64 = 0x2b;
pub const USER32_CS: u64 = 0x23;

super::structures! {
    /// PTRACE_GETREGS, and the beginning of `struct user`.
    Regs 216 {
        r15: u64,
        r14: u64,
        r13: u64,
        r12: u64,
        rbp: u64,
        rbx: u64,
        r11: u64,
        r10: u64,
        r9: u64,
        r8: u64,
        rax: u64,
        rcx: u64,
        rdx: u64,
        rsi: u64,
        rdi: u64,
        orig_rax: u64,
        rip: u64,
        cs: u64,
        eflags: u64,
        rsp: u64,
        ss: u64,
        fs_base: u64,
        gs_base: u64,
        ds: u64,
        es: u64,
        fs: u64,
        gs: u64,
    }
}

impl Regs {
    /// Those with which a program starts, but for where. No system call is to be restarted.
    pub fn fresh() -> Regs {
        const RESERVED_AND_INTERRUPTS: u64 = 0x202;
        let zero = <Regs as zerocopy::FromZeros>::new_zeroed();
        Regs { cs: USER_CS, ss: USER_DS, eflags: RESERVED_AND_INTERRUPTS, orig_rax: u64::MAX, ..zero }
    }
}
