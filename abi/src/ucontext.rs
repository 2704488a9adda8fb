//! asm/ucontext.h, asm/sigcontext.h: the frame of a signal, as its handler finds it (sigaction(2)).

use crate::ptrace::{Regs, USER_CS, USER_DS, USER32_CS};

/// There is extended state in XSAVE layout.
pub const UC_FP_XSTATE: u64 = 1;
/// The stack segment is there, and counts as it is.
pub const UC_SIGCONTEXT_SS: u64 = 2;
pub const UC_STRICT_RESTORE_SS: u64 = 4;

super::structures! {
    /// `struct ucontext` with the `struct sigcontext` of 64-bit code in it: the registers, but for
    /// segment bases.
    UContext 304 {
        flags: u64,
        link: u64,
        /// `stack_t`: address, flags, length.
        stack: [u64; 3],
        r8: u64,
        r9: u64,
        r10: u64,
        r11: u64,
        r12: u64,
        r13: u64,
        r14: u64,
        r15: u64,
        rdi: u64,
        rsi: u64,
        rbp: u64,
        rbx: u64,
        rdx: u64,
        rax: u64,
        rcx: u64,
        rsp: u64,
        rip: u64,
        eflags: u64,
        cs: u16,
        gs: u16,
        fs: u16,
        ss: u16,
        error: u64,
        trap: u64,
        old_mask: u64,
        cr2: u64,
        /// Where the extended state is.
        extended: u64,
        reserved: [u64; 8],
        mask: u64,
    }
}

impl UContext {
    /// The registers, as far as they are here. No system call is to be restarted.
    pub fn regs(&self) -> Regs {
        let mut regs = Regs { cs: self.cs.into(), ss: self.ss.into(), ..Regs::fresh() };
        macro_rules! copy { ($($name:ident)*) => { $(regs.$name = self.$name;)* } }
        copy!(r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip eflags);
        regs
    }

    /// Sets the registers. Selectors are made those that user code may have; flags are cut by who
    /// restores them.
    pub fn set_regs(&mut self, regs: &Regs) {
        macro_rules! copy { ($($name:ident)*) => { $(self.$name = regs.$name;)* } }
        copy!(r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip eflags);
        self.cs = if regs.cs == USER32_CS { USER32_CS } else { USER_CS } as u16;
        self.ss = USER_DS as u16;
    }
}
