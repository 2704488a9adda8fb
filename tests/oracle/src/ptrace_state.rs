//! ptrace(2): registers and memory of a tracee, steps and breakpoints.
#![expect(clippy::needless_borrows_for_generic_args, reason = "the address of a word is meant, not the word")]

use crate::ptraces::{end, go, info, pt, regs, traced, wait};
use crate::signals::{handle, kill_self, log_signal, logged};
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    general_registers, user_area, refused_registers, register_sets, float_registers, memory_words, memory_refused,
    memory_rights, memory_file, restart_prevented, steps, steps_over_calls, steps_into_handlers, breakpoint, set_id,
];

/// A page of code and data at a place that tracer and tracee both know.
fn page(prot: i32, flags: i32) -> usize {
    must!(SYS_mmap, 0, PAGE, prot, MAP_ANONYMOUS | flags, -1, 0).addr()
}

fn general_registers() {
    let pid = traced(|| ());
    let mut regs = regs(pid);
    v!((regs.cs, regs.ss, regs.ds, regs.es, regs.fs, regs.gs));
    v!((regs.orig_rax == SYS_kill as u64, regs.rax, regs.rdi == pid as u64, regs.rsi));
    (regs.rbx, regs.r15) = (0x1234_5678_9abc_def0, u64::MAX);
    v!(pt(PTRACE_SETREGS, pid, 0, &regs));
    let after = crate::ptraces::regs(pid);
    v!((after.rbx, after.r15, after.rip == regs.rip));
    v!(pt(PTRACE_GETREGS, pid, 0, 8));
    v!(pt(PTRACE_SETREGS, pid, 0, 8));
    end(pid);
}

fn user_area() {
    let pid = traced(|| ());
    let peek = |addr: usize| {
        let mut word = 0x55u64;
        (pt(PTRACE_PEEKUSER, pid, addr, &mut word), word)
    };
    v!((peek(17 * 8), peek(20 * 8)));
    for addr in [4, 27 * 8, 840, 848, 904, 912, 928, usize::MAX - 7] {
        v!((addr, peek(addr)));
    }
    v!(pt(PTRACE_POKEUSER, pid, 5 * 8, 77));
    v!(peek(5 * 8));
    v!(pt(PTRACE_POKEUSER, pid, 3, 77));
    v!(pt(PTRACE_POKEUSER, pid, 928, 0));
    v!(pt(PTRACE_POKEUSER, pid, 848 + 7 * 8, 0));
    end(pid);
}

fn refused_registers() {
    let pid = traced(|| ());
    let before = regs(pid);
    // Code, stack and data of the kernel's own, bases that are no user's.
    for (word, value) in [(17, 0x10u64), (20, 0x18), (17, 0), (20, 0), (23, 0x18), (26, 8), (21, 1 << 63), (22, 1 << 47)]
    {
        v!((word, value, pt(PTRACE_POKEUSER, pid, word * 8, value)));
    }
    // Flags that are not user code's stay as they were: interrupts, port access.
    v!(pt(PTRACE_POKEUSER, pid, 18 * 8, (before.eflags & !0x200) | 0x3001));
    v!(regs(pid).cs == before.cs);
    v!(go(PTRACE_SINGLESTEP, pid, 0));
    v!(regs(pid).eflags & 0x3200);
    v!(go(PTRACE_CONT, pid, 0));
    // An address that is none.
    let pid = traced(|| ());
    v!(pt(PTRACE_POKEUSER, pid, 16 * 8, 1u64 << 63));
    v!(go(PTRACE_CONT, pid, 0));
    v!(info(pid).map(|info| (info.si_signo, info.si_code)));
    end(pid);
}

fn set(request: u32, pid: i32, kind: usize, bytes: &mut [u8], len: usize) -> (Ret, usize) {
    let iov = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: len };
    (pt(request, pid, kind, &iov), std::hint::black_box(&iov).iov_len)
}

fn register_sets() {
    let pid = traced(|| ());
    let mut bytes = vec![0u8; 16384];
    for (kind, len) in [(1usize, 4096), (1, 64), (1, 7), (2, 4096), (0x202, 576), (0x202, 0), (3, 64), (0x203, 64)] {
        v!((kind, len, set(PTRACE_GETREGSET, pid, kind, &mut bytes, len)));
    }
    // All of the extended state, and again.
    let (ret, len) = set(PTRACE_GETREGSET, pid, 0x202, &mut bytes, 16384);
    v!((ret, len >= 576));
    v!(set(PTRACE_SETREGSET, pid, 0x202, &mut bytes, len).0);
    v!(set(PTRACE_SETREGSET, pid, 0x202, &mut bytes, 512).0);
    bytes[512 + 7] = 0x80;
    v!(set(PTRACE_SETREGSET, pid, 0x202, &mut bytes, len).0);
    set(PTRACE_GETREGSET, pid, 1, &mut bytes, 216);
    bytes[0] = 99;
    v!(set(PTRACE_SETREGSET, pid, 1, &mut bytes, 8).0);
    v!(regs(pid).r15 as u8);
    end(pid);
}

fn float_registers() {
    let pid = traced(|| {
        let values = [1.5f64, 2.5];
        let mut seen = [0f64; 2];
        let own = std::process::id();
        // SAFETY: kill(2) of this process, with values in a register that the call leaves.
        unsafe {
            std::arch::asm!("movupd xmm7, [{values}]", "syscall", "movupd [{seen}], xmm7",
                values = in(reg) &raw const values, seen = in(reg) &raw mut seen, inlateout("rax") SYS_kill => _,
                in("rdi") own, in("rsi") SIGUSR1, out("rcx") _, out("r11") _, out("xmm7") _);
        }
        v!(seen);
    });
    v!(go(PTRACE_CONT, pid, 0));
    let mut state = [0u8; 512];
    v!(pt(PTRACE_GETFPREGS, pid, 0, &mut state));
    let at = 160 + 7 * 16;
    v!(f64::from_le_bytes(state[at..at + 8].try_into().expect("eight bytes")));
    state[at..at + 8].copy_from_slice(&7.25f64.to_le_bytes());
    v!(pt(PTRACE_SETFPREGS, pid, 0, &state));
    state[27] = 0xff;
    v!(pt(PTRACE_SETFPREGS, pid, 0, &state));
    v!(go(PTRACE_CONT, pid, 0));
}

fn peek(pid: i32, addr: usize) -> (Ret, u64) {
    let mut word = 0u64;
    (pt(PTRACE_PEEKDATA, pid, addr, &mut word), word)
}

fn memory_words() {
    let shared = page(PROT_READ | PROT_WRITE, MAP_SHARED);
    let private = page(PROT_READ | PROT_WRITE, MAP_PRIVATE);
    let pid = traced(|| ());
    for addr in [shared, private, private + 5] {
        v!(pt(PTRACE_POKEDATA, pid, addr, 0x1122_3344_5566_7788u64));
        v!(peek(pid, addr));
        // SAFETY: pages that were made above.
        v!(unsafe { (addr as *const u64).read_unaligned() });
    }
    v!(peek(pid, private + PAGE - 8));
    v!(pt(PTRACE_PEEKDATA, pid, private, 8));
    end(pid);
}

fn memory_refused() {
    let hole = page(PROT_NONE, MAP_PRIVATE);
    let gone = page(PROT_READ, MAP_PRIVATE);
    must!(SYS_munmap, gone, PAGE);
    let fd = file(&c("f"), &[7; PAGE]);
    let shared = must!(SYS_mmap, 0, PAGE, PROT_READ, MAP_SHARED, fd, 0).addr();
    let pid = traced(|| ());
    v!(peek(pid, gone));
    v!(pt(PTRACE_POKEDATA, pid, gone, 0));
    v!(peek(pid, 0));
    v!(peek(pid, usize::MAX - 7));
    v!(peek(pid, 1 << 47));
    v!(pt(PTRACE_POKEDATA, pid, 1usize << 47, 0));
    // No rights do not matter to a tracer, but a file that may only be read stays as it is.
    v!(peek(pid, hole));
    v!(pt(PTRACE_POKEDATA, pid, hole, 1));
    v!(peek(pid, hole));
    v!(peek(pid, shared));
    v!(pt(PTRACE_POKEDATA, pid, shared, 1));
    v!(content("f").0.starts_with("\"\\x07\\x07"));
    end(pid);
}

fn memory_rights() {
    // Private memory that may only be read becomes the tracee's own, and nobody else finds it
    // changed.
    let fd = file(&c("f"), &[7; PAGE]);
    let private = must!(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0).addr();
    let zero = page(PROT_READ, MAP_PRIVATE);
    let code = memory_rights as *const () as usize;
    let before = peek_own(code);
    let pid = traced(move || {
        v!((peek_own(private), peek_own(zero)));
        v!(in_child(|| {
            v!((peek_own(private), peek_own(zero)));
        }));
        v!(peek_own(code) == !before);
        // SAFETY: it may not be written to, which ends this.
        unsafe { (private as *mut u64).write_volatile(1) };
    });
    let word = peek(pid, code).1;
    v!(word == before);
    for (addr, word) in [(private, 21), (zero, 22), (code, !before)] {
        v!(pt(PTRACE_POKETEXT, pid, addr, word));
    }
    v!((peek_own(private) & 0xff, peek_own(zero), peek_own(code) == before));
    v!(content("f").0.starts_with("\"\\x07\\x07"));
    v!(go(PTRACE_CONT, pid, 0));
    v!(go(PTRACE_CONT, pid, 0));
    v!(go(PTRACE_CONT, pid, SIGSEGV));
}

fn peek_own(addr: usize) -> u64 {
    // SAFETY: mapped for reading, and aligned or not.
    unsafe { (addr as *const u64).read_unaligned() }
}

fn memory_file() {
    let private = page(PROT_READ, MAP_PRIVATE);
    let pid = traced(move || {
        v!(peek_own(private));
    });
    let mem = open(&c(&format!("/proc/{pid}/mem")), O_RDWR);
    let word = 0x0102_0304u64;
    v!(sc!(SYS_pwrite64, mem, &word, 8, private));
    let mut read = 0u64;
    v!(sc!(SYS_pread64, mem, &mut read, 8, private));
    v!(read == word);
    v!(sc!(SYS_pread64, mem, &mut read, 8, 8));
    v!(go(PTRACE_CONT, pid, 0));
}

fn restart_prevented() {
    let pid = traced(|| {
        let (reader, _writer) = pipe();
        let mut byte = [0u8; 1];
        let results = [(); 2].map(|()| sc!(SYS_read, reader, &mut byte, 1));
        v!(results);
    });
    v!(pt(PTRACE_CONT, pid, 0, 0));
    until_sleeping(pid);
    must!(SYS_kill, pid, SIGUSR1);
    v!(wait(pid, 0));
    v!((regs(pid).rax as i64, regs(pid).orig_rax));
    // A call that was interrupted begins again unless the tracer changes what tells of it.
    v!(pt(PTRACE_CONT, pid, 0, 0));
    until_sleeping(pid);
    must!(SYS_kill, pid, SIGUSR1);
    v!(wait(pid, 0));
    v!(pt(PTRACE_POKEUSER, pid, 15 * 8, -1i64));
    v!(pt(PTRACE_POKEUSER, pid, 10 * 8, -7i64));
    v!(pt(PTRACE_CONT, pid, 0, 0));
    until_sleeping(pid);
    must!(SYS_kill, pid, SIGUSR1);
    v!(wait(pid, 0));
    v!(pt(PTRACE_POKEUSER, pid, 10 * 8, 5));
    v!(pt(PTRACE_POKEUSER, pid, 15 * 8, -1i64));
    v!(go(PTRACE_CONT, pid, 0));
}

/// A tracee that runs `code` when it goes on, and where that is.
fn with_code(code: &[u8]) -> (i32, u64) {
    let at = page(PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE);
    // SAFETY: the page was just made.
    unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), at as *mut u8, code.len()) };
    let pid = traced(|| ());
    let mut regs = regs(pid);
    (regs.rip, regs.orig_rax) = (at as u64, u64::MAX);
    must_set(pid, &regs);
    (pid, at as u64)
}

fn must_set(pid: i32, regs: &user_regs_struct) {
    assert!(pt(PTRACE_SETREGS, pid, 0, regs).is_ok());
}

fn step(pid: i32, from: u64) {
    let text = go(PTRACE_SINGLESTEP, pid, 0);
    let regs = regs(pid);
    let told = info(pid).map(|info| (info.si_signo, info.si_code));
    println!("{text:?} at {} flags {:x} {told:?}", regs.rip.wrapping_sub(from), regs.eflags & 0x100);
}

fn steps() {
    // nop; nop; push rax; pop rax; jmp over a byte; nop; pushf; pop rax
    let (pid, at) = with_code(&[0x90, 0x90, 0x50, 0x58, 0xeb, 1, 0xcc, 0x90, 0x9c, 0x58, 0x90]);
    for _ in 0..8 {
        step(pid, at);
    }
    v!(regs(pid).rax & 0x100);
    // Without a step it runs on.
    v!(pt(PTRACE_POKEUSER, pid, 16 * 8, at + 6));
    v!(go(PTRACE_CONT, pid, 0));
    v!(regs(pid).rip - at);
    v!(info(pid).map(|info| (info.si_signo, info.si_code)));
    end(pid);
}

fn steps_over_calls() {
    // mov eax, 102 (getuid); syscall; nop; mov eax, 102; syscall; nop
    let (pid, at) = with_code(&[0xb8, 102, 0, 0, 0, 0x0f, 5, 0x90, 0xb8, 102, 0, 0, 0, 0x0f, 5, 0x90]);
    for _ in 0..6 {
        step(pid, at);
    }
    end(pid);
}

fn steps_into_handlers() {
    let pid = traced(|| {
        handle(SIGUSR1, log_signal as *const () as usize, 0, &[]);
        kill_self(SIGUSR1);
        v!(logged());
    });
    v!(go(PTRACE_CONT, pid, 0));
    v!(go(PTRACE_SINGLESTEP, pid, SIGUSR1));
    v!(regs(pid).rip == log_signal as *const () as u64);
    v!(info(pid).map(|info| (info.si_signo, info.si_code)));
    v!(regs(pid).eflags & 0x100);
    v!(go(PTRACE_SINGLESTEP, pid, 0));
    v!(go(PTRACE_CONT, pid, 0));
}

fn breakpoint() {
    let (pid, at) = with_code(&[0x90, 0x90, 0x90, 0xcc]);
    let word = peek(pid, at as usize).1;
    v!(pt(PTRACE_POKETEXT, pid, at, word & !0xff00 | 0xcc00));
    v!(go(PTRACE_CONT, pid, 0));
    v!(regs(pid).rip - at);
    v!(info(pid).map(|info| (info.si_signo, info.si_code)));
    v!(pt(PTRACE_POKETEXT, pid, at, word));
    v!(pt(PTRACE_POKEUSER, pid, 16 * 8, at + 1));
    step(pid, at);
    v!(go(PTRACE_CONT, pid, 0));
    v!(regs(pid).rip - at);
    v!(go(PTRACE_CONT, pid, SIGTRAP));
}

/// A program that would give its caller rights gives none with a tracer who has not got them.
fn set_id() {
    if !is_root() {
        return;
    }
    let copied = std::fs::read("/usr/bin/id").and_then(|program| std::fs::write("id", program));
    v!(copied.is_ok());
    must!(SYS_chmod, &*c("id"), 0o4755);
    must!(SYS_chmod, &*c("."), 0o777);
    let run = || {
        let (path, argv) = (c("id"), [c("id"), c("-u")]);
        let argv = [argv[0].as_ptr() as usize, argv[1].as_ptr() as usize, 0];
        must!(SYS_execve, &*path, &argv, &[0usize]);
    };
    v!(unprivileged(run));
    v!(unprivileged(|| {
        let pid = traced(run);
        v!(go(PTRACE_CONT, pid, 0));
        v!(go(PTRACE_CONT, pid, 0));
    }));
    // One who may trace all is no hindrance.
    let pid = traced(|| {
        must!(SYS_setresuid, 65534, 65534, 65534);
        run();
    });
    v!(go(PTRACE_CONT, pid, 0));
    v!(go(PTRACE_CONT, pid, 0));
}
