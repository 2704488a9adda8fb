//! Handlers' frames: what is in them, what may be put into them, alternate stacks, interrupted and
//! restarted calls.

use crate::signals::{current_mask, handle};
use crate::sys::*;
use std::arch::{asm, naked_asm};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub const CASES: &[crate::harness::Case] = cases![
    entry_registers, entry_stack, frame_contents, frame_siginfo_only_if_asked, fault_contents, fault_presence, fault_fetches, exception_of_the_x87, exceptions,
    one_byte_breakpoint,
    restorer_needed, handler_nowhere, stack_nowhere, frame_changes, frame_xmm_changes, state_kept, state_at_entry,
    hostile_selectors, hostile_flags, hostile_rip, hostile_fpstate, hostile_stack, restore_initial_state,
    restore_mask, trap_flag, nested_handlers, flags_over_calls, flags_over_faults, flags_of_children,
    float_exceptions_over_calls, time_stamps, time_stamps_among_threads, time_stamps_by_turns,
];

static SEEN: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

fn seen(n: usize) -> u64 {
    SEEN[n].load(SeqCst)
}

fn kill_self(sig: i32) {
    must!(SYS_kill, sc!(SYS_getpid).0, sig);
}

static ENTRY: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

/// Keeps the registers as the handler finds them.
#[unsafe(naked)]
extern "C" fn keep_entry() {
    naked_asm!(
        "lea rcx, [rip + {entry}]",
        "mov [rcx], rdi",
        "mov [rcx + 8], rsi",
        "mov [rcx + 16], rdx",
        "mov [rcx + 24], rax",
        "mov [rcx + 32], rsp",
        "pushfq",
        "pop qword ptr [rcx + 40]",
        "ret",
        entry = sym ENTRY,
    )
}

fn entry_registers() {
    handle(SIGUSR1, keep_entry as *const () as usize, SA_SIGINFO, &[]);
    // SAFETY: the direction flag is cleared again at once.
    unsafe {
        asm!("std", "syscall", "cld", inlateout("rax") SYS_kill => _, in("rdi") sc!(SYS_getpid).0, in("rsi") SIGUSR1,
            lateout("rcx") _, lateout("r11") _);
    }
    let e: Vec<u64> = ENTRY.iter().map(|e| e.load(SeqCst)).collect();
    v!(e[0]);
    v!((e[1] - e[4], e[2] - e[4]));
    v!(e[3]);
    v!(e[4] % 16);
    println!("{:x}", e[5] & 0xd00);
}

fn entry_stack() {
    handle(SIGUSR1, keep_entry as *const () as usize, 0, &[]);
    let at: u64;
    // SAFETY: reads the stack pointer at the call.
    unsafe {
        asm!("mov {at}, rsp", "syscall", at = out(reg) at, inlateout("rax") SYS_kill => _,
            in("rdi") sc!(SYS_getpid).0, in("rsi") SIGUSR1, lateout("rcx") _, lateout("r11") _);
    }
    let frame = ENTRY[4].load(SeqCst);
    v!(frame < at - 128 - 440);
    v!(at - frame < 16384);
}

extern "C" fn keep_frame(_: i32, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes valid pointers to a handler with SA_SIGINFO.
    unsafe {
        let uc = &*context.cast::<ucontext_t>();
        let g = &uc.uc_mcontext.gregs;
        let fp = uc.uc_mcontext.fpregs.cast::<u8>();
        SEEN[0].store(uc.uc_flags, SeqCst);
        SEEN[1].store(uc.uc_link as u64, SeqCst);
        SEEN[2].store(g[REG_CSGSFS as usize] as u64, SeqCst);
        SEEN[3].store(g[REG_ERR as usize] as u64, SeqCst);
        SEEN[4].store(g[REG_TRAPNO as usize] as u64, SeqCst);
        SEEN[5].store(g[REG_OLDMASK as usize] as u64, SeqCst);
        SEEN[6].store(g[REG_CR2 as usize] as u64, SeqCst);
        SEEN[7].store(std::ptr::from_ref(&uc.uc_sigmask).cast::<u64>().read(), SeqCst);
        SEEN[8].store(uc.uc_stack.ss_flags as u64, SeqCst);
        SEEN[9].store(fp as u64 % 64, SeqCst);
        SEEN[10].store(u64::from(fp.add(464).cast::<u32>().read()), SeqCst);
        let size = fp.add(480).cast::<u32>().read() as usize;
        let extended = fp.add(468).cast::<u32>().read() as usize;
        SEEN[11].store((extended - size) as u64, SeqCst);
        SEEN[12].store(u64::from(fp.add(size).cast::<u32>().read_unaligned()), SeqCst);
        SEEN[13].store(fp.add(472).cast::<u64>().read(), SeqCst);
        SEEN[14].store(size as u64, SeqCst);
        SEEN[15].store((*info).si_addr() as u64, SeqCst);
    }
}

fn frame_contents() {
    mask(SIG_BLOCK, &[SIGHUP]);
    handle(SIGUSR1, keep_frame as *const () as usize, SA_SIGINFO, &[SIGINT]);
    kill_self(SIGUSR1);
    println!("flags {:x} link {:x} selectors {:x}", seen(0), seen(1), seen(2));
    println!("err {} trapno {} oldmask {:x} cr2 {:x} mask {:x}", seen(3), seen(4), seen(5), seen(6), seen(7));
    println!("stack flags {:x}", seen(8));
    println!("fp at {} magic {:x} +{} {:x}", seen(9), seen(10), seen(11), seen(12));
    println!("features {:x} size {}", seen(13), seen(14));
}

static GOT_INFO: AtomicU64 = AtomicU64::new(0);

extern "C" fn look_at_info(_: i32, info: *const u64) {
    // SAFETY: the address is within the frame.
    GOT_INFO.store(unsafe { info.read() }, SeqCst);
}

fn frame_siginfo_only_if_asked() {
    handle(SIGUSR1, look_at_info as *const () as usize, SA_SIGINFO, &[]);
    kill_self(SIGUSR1);
    v!(GOT_INFO.load(SeqCst));
}

extern "C" fn step_over(sig: i32, info: *mut siginfo_t, context: *mut c_void) {
    keep_frame(sig, info, context);
    // SAFETY: as in keep_frame; the length of the instruction was noted before.
    unsafe {
        SEEN[0].store(sig as u64, SeqCst);
        SEEN[1].store((*info).si_code as u64, SeqCst);
        let rip = &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs[REG_RIP as usize];
        SEEN[8].store(((*info).si_addr() as u64).wrapping_sub(*rip as u64), SeqCst);
        *rip += STEP.load(SeqCst) as i64;
    }
}

static STEP: AtomicU64 = AtomicU64::new(0);

/// Stands for the address of the instruction itself.
const THE_INSTRUCTION: u64 = 1;

fn show_fault(what: &str, base: u64) {
    let at = match seen(15) {
        0 => "nothing".to_string(),
        _ if base == THE_INSTRUCTION => format!("the instruction {:+}", seen(8) as i64),
        at => format!("{:+}", at.wrapping_sub(base) as i64),
    };
    println!("{what}: {} code {} err {} trapno {} at {at}", signal_name(seen(0) as i32), seen(1), seen(3), seen(4));
}

macro_rules! fault {
    ($what:literal, $base:expr, $len:literal, $($asm:tt)*) => {{
        STEP.store($len, SeqCst);
        SEEN[0].store(0, SeqCst);
        let base = $base as u64;
        // SAFETY: the handler steps over the instruction that faults.
        unsafe { asm!($($asm)*) };
        show_fault($what, base);
    }};
}

fn fault_contents() {
    for sig in [SIGSEGV, SIGBUS] {
        handle(sig, step_over as *const () as usize, SA_SIGINFO, &[]);
    }
    let none = map(PAGE * 2, RW, ANON) + PAGE;
    must!(SYS_mprotect, none, PAGE, PROT_NONE);
    let ro = map(PAGE, PROT_READ, ANON);
    let fd = file(&c("short"), b"x");
    let past = map_fd(fd, PAGE * 2, RW, MAP_SHARED) + PAGE;
    let gone = map(PAGE, RW, ANON);
    must!(SYS_munmap, gone, PAGE);
    fault!("read none", none, 2, "mov al, [rdi]", in("rdi") none + 5, out("al") _);
    fault!("write none", none, 2, "mov [rdi], al", in("rdi") none + 5, in("al") 0u8);
    fault!("write read-only", ro, 2, "mov [rdi], al", in("rdi") ro + 9, in("al") 0u8);
    fault!("read gone", gone, 2, "mov al, [rdi]", in("rdi") gone, out("al") _);
    fault!("write gone", gone, 2, "mov [rdi], al", in("rdi") gone, in("al") 0u8);
    fault!("exchange none", none, 4, "lock xadd [rdi], al", in("rdi") none, inout("al") 0u8 => _);
    fault!("copy from none", none, 1, "movsb", inout("rsi") none => _, inout("rdi") gone => _);
    fault!("compare none", none, 2, "cmp [rdi], al", in("rdi") none, in("al") 0u8);
    fault!("fill none", none, 2, "rep stosb", inout("rdi") none + 7 => _, inout("rcx") 3 => _, in("al") 0u8);
    fault!("store across into none", none, 3, "movups [rdi], xmm0", in("rdi") none - 8);
    fault!("read past end", past, 2, "mov al, [rdi]", in("rdi") past + 1, out("al") _);
    fault!("write past end", past, 2, "mov [rdi], al", in("rdi") past + 1, in("al") 0u8);
    fault!("null", 0, 2, "mov al, [rdi]", in("rdi") 0usize, out("al") _);
    fault!("not canonical", 0, 2, "mov al, [rdi]", in("rdi") 1usize << 63, out("al") _);
    fault!("kernel half", 0, 2, "mov al, [rdi]", in("rdi") 0xffff_8000_0000_0000u64, out("al") _);
}

fn fault_presence() {
    for sig in [SIGSEGV, SIGBUS] {
        handle(sig, step_over as *const () as usize, SA_SIGINFO, &[]);
    }
    let pages = map(PAGE * 64, RW, ANON);
    fill(pages, PAGE, 1);
    fill(pages + 40 * PAGE, PAGE, 1);
    must!(SYS_mprotect, pages, PAGE * 64, PROT_READ);
    let far = pages + 20 * PAGE;
    fault!("write touched", pages, 2, "mov [rdi], al", in("rdi") pages + 5, in("al") 0u8);
    fault!("write touched, further on", pages, 2, "mov [rdi], al", in("rdi") pages + 40 * PAGE, in("al") 0u8);
    fault!("write untouched", far, 2, "mov [rdi], al", in("rdi") far, in("al") 0u8);
    must!(SYS_mprotect, pages, PAGE, PROT_NONE);
    fault!("read touched none", pages, 2, "mov al, [rdi]", in("rdi") pages, out("al") _);
    fault!("write touched none", pages, 2, "mov [rdi], al", in("rdi") pages, in("al") 0u8);
    let fd = file(&c("f"), &[0; 2 * PAGE]);
    let shown = map_fd(fd, PAGE * 2, PROT_READ, MAP_SHARED);
    peek(shown, 1);
    fault!("write shown", shown, 2, "mov [rdi], al", in("rdi") shown, in("al") 0u8);
}

extern "C" fn jump_back(sig: i32, info: *mut siginfo_t, context: *mut c_void) {
    step_over(sig, info, context);
    // SAFETY: the faulting call left its return address on the stack.
    unsafe {
        let gregs = &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs;
        gregs[REG_RIP as usize] = (gregs[REG_RSP as usize] as *const i64).read();
        gregs[REG_RSP as usize] += 8;
    }
}

fn fault_fetches() {
    for sig in [SIGSEGV, SIGBUS] {
        handle(sig, jump_back as *const () as usize, SA_SIGINFO, &[]);
    }
    let pages = map(PAGE * 3, RW, ANON);
    fill(pages, PAGE, 0xc3);
    must!(SYS_mprotect, pages + 2 * PAGE, PAGE, PROT_NONE);
    fault!("fetch touched", pages, 0, "call {}", in(reg) pages);
    fault!("fetch untouched", pages + PAGE, 0, "call {}", in(reg) pages + PAGE);
    fault!("fetch none", pages + 2 * PAGE, 0, "call {}", in(reg) pages + 2 * PAGE);
    must!(SYS_munmap, pages, PAGE);
    fault!("fetch gone", pages, 0, "call {}", in(reg) pages);
    fault!("fetch kernel", 0, 0, "call {}", in(reg) 0xffff_ffff_8100_0000u64);
}

fn exceptions() {
    for sig in [SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS] {
        handle(sig, step_over as *const () as usize, SA_SIGINFO, &[]);
    }
    fault!("divide by zero", THE_INSTRUCTION, 2, "div cl", in("cl") 0u8, inout("ax") 1u16 => _);
    fault!("undefined", THE_INSTRUCTION, 2, "ud2");
    fault!("breakpoint", 0, 0, "int3");
    fault!("privileged", 0, 1, "hlt");
    fault!("port", 0, 1, "in al, dx", in("dx") 0x80u16, out("al") _);
    fault!("into the kernel", 0, 3, "lgdt [rdi]", in("rdi") 0);
    fault!("a gate", 0, 2, "int 0x20");
    fault!("the debugger's gate", 0, 2, ".byte 0xcd, 1");
    fault!("a selector", 0, 2, "mov fs, edi", in("edi") 0x1237);
    fault!("misaligned", 0, 3, "movaps xmm0, [rdi]", in("rdi") 1, out("xmm0") _);
    fault!("not a stack", 0, 4, "mov al, [rsp + rdi]", "nop", in("rdi") 1usize << 63, out("al") _);
    let (one, zero, all) = (1f64, 0f64, 0x1d80u32);
    fault!("sse division", THE_INSTRUCTION, 4, "ldmxcsr [{}]", "divsd {}, {}", in(reg) &raw const all, inout(xmm_reg) one => _,
        in(xmm_reg) zero);
}

/// INT1, which is a trap; under some hypervisors the instruction stands still.
fn one_byte_breakpoint() {
    handle(SIGTRAP, past_int1 as *const () as usize, SA_SIGINFO, &[]);
    fault!("one byte breakpoint", THE_INSTRUCTION, 0, ".byte 0xf1", "nop");
}

extern "C" fn past_int1(sig: i32, info: *mut siginfo_t, context: *mut c_void) {
    step_over(sig, info, context);
    // SAFETY: as in keep_frame; the thread stands in the code of the case.
    unsafe {
        let rip = &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs[REG_RIP as usize];
        if *(*rip as *const u8) == 0xf1 {
            *rip += 1;
        }
    }
}

fn exception_of_the_x87() {
    handle(SIGFPE, clear_x87 as *const () as usize, SA_SIGINFO, &[]);
    let control = 0x037bu16;
    fault!("x87 division", THE_INSTRUCTION, 0, "fninit", "fldcw [{}]", "fldz", "fld1", "fdivp st(1), st", "fwait",
        in(reg) &raw const control, out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _, out("st(4)") _,
        out("st(5)") _, out("st(6)") _, out("st(7)") _);
}

extern "C" fn clear_x87(sig: i32, info: *mut siginfo_t, context: *mut c_void) {
    step_over(sig, info, context);
    // SAFETY: the frame's floating-point state begins with the control word.
    unsafe { (*context.cast::<ucontext_t>()).uc_mcontext.fpregs.cast::<u16>().write(0x037f) };
}

fn restorer_needed() {
    v!(in_child(|| {
        let act = [keep_entry as *const () as usize as u64, 0, 0, 0];
        must!(SYS_rt_sigaction, SIGUSR1, &act, 0, 8);
        kill_self(SIGUSR1);
    }));
}

fn handler_nowhere() {
    for at in [8usize, 1 << 63, 0xffff_ffff_ffff_f000, map(PAGE, RW, ANON)] {
        v!(in_child(|| {
            handle(SIGUSR1, at, 0, &[]);
            kill_self(SIGUSR1);
        }));
    }
}

fn stack_nowhere() {
    for at in [0usize, 8, 128, 1 << 63, usize::MAX, map(PAGE, PROT_READ, ANON) + PAGE] {
        v!(in_child(|| {
            handle(SIGUSR1, keep_entry as *const () as usize, 0, &[]);
            // SAFETY: nothing is on the stack any more; the signal ends the process.
            unsafe {
                asm!("mov rsp, {at}", "syscall", at = in(reg) at, inlateout("rax") SYS_kill => _,
                    in("rdi") sc!(SYS_getpid).0, in("rsi") SIGUSR1);
            }
        }));
    }
}

extern "C" fn change_registers(_: i32, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: a valid frame.
    let g = unsafe { &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs };
    for (i, reg) in [REG_RBX, REG_R12, REG_R13, REG_R14, REG_R15, REG_RCX, REG_R11, REG_RAX].into_iter().enumerate() {
        g[reg as usize] = 0x1111 * (i as i64 + 1);
    }
}

fn frame_changes() {
    handle(SIGUSR1, change_registers as *const () as usize, SA_SIGINFO, &[]);
    let mut out = [0u64; 8];
    // SAFETY: the handler changes exactly the registers named here.
    unsafe {
        asm!("push rbx", "syscall", "mov [r8], rbx", "mov [r8+8], r12", "mov [r8+16], r13", "mov [r8+24], r14",
            "mov [r8+32], r15", "mov [r8+40], rcx", "mov [r8+48], r11", "mov [r8+56], rax", "pop rbx",
            inlateout("rax") SYS_kill => _, in("rdi") sc!(SYS_getpid).0, in("rsi") SIGUSR1, in("r8") &raw mut out,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _, out("rcx") _, out("r11") _);
    }
    println!("{out:x?}");
}

extern "C" fn change_xmm(_: i32, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: a valid frame, whose FXSAVE image has xmm7 at 160 + 7 * 16.
    unsafe {
        let fp = (*context.cast::<ucontext_t>()).uc_mcontext.fpregs.cast::<u8>();
        fp.add(160 + 7 * 16).cast::<u64>().write_unaligned(0xabcd);
        fp.add(24).cast::<u32>().write_unaligned(0x1f80 | 0x6000);
    }
}

fn xmm7_after_kill(before: u64) -> (u64, u32) {
    let (after, mut mxcsr): (u64, u32);
    mxcsr = 0;
    // SAFETY: registers named; MXCSR is put back.
    unsafe {
        asm!("movq xmm7, {before}", "syscall", "movq {after}, xmm7", "stmxcsr [r8]", before = in(reg) before,
            after = lateout(reg) after, inlateout("rax") SYS_kill => _, in("rdi") sc!(SYS_getpid).0,
            in("rsi") SIGUSR1, in("r8") &raw mut mxcsr, lateout("rcx") _, lateout("r11") _, lateout("xmm7") _);
        let normal = 0x1f80u32;
        asm!("ldmxcsr [{}]", in(reg) &raw const normal);
    }
    (after, mxcsr)
}

fn frame_xmm_changes() {
    handle(SIGUSR1, change_xmm as *const () as usize, SA_SIGINFO, &[]);
    println!("{:x?}", xmm7_after_kill(5));
}

extern "C" fn clobber_state(_: i32) {
    let (mut mxcsr, mut control) = (0u32, 0u16);
    let (sse, x87) = (0x1f80u32 | 0x2000, 0x027fu16);
    // SAFETY: a handler may change all of these: they are restored.
    unsafe {
        asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr);
        asm!("fnstcw [{}]", in(reg) &raw mut control);
        let zero: u64;
        asm!("movq {}, xmm7", out(reg) zero);
        SEEN[0].store(u64::from(mxcsr), SeqCst);
        SEEN[1].store(u64::from(control), SeqCst);
        SEEN[2].store(zero, SeqCst);
        asm!("ldmxcsr [{}]", in(reg) &raw const sse);
        asm!("fldcw [{}]", in(reg) &raw const x87);
        asm!("pcmpeqd xmm7, xmm7", out("xmm7") _);
        if std::is_x86_feature_detected!("avx") {
            asm!("vcmpps ymm8, ymm8, ymm8, 15", out("ymm8") _);
        }
    }
}

fn state_kept() {
    handle(SIGUSR1, clobber_state as *const () as usize, 0, &[]);
    println!("{:x?}", xmm7_after_kill(0x1234_5678_9abc_def0));
    if std::is_x86_feature_detected!("avx") {
        let pattern = [7u64, 8, 9, 10];
        let mut after = [0u64; 4];
        // SAFETY: registers named.
        unsafe {
            asm!("vmovdqu ymm8, [r9]", "syscall", "vmovdqu [r10], ymm8", in("r9") &raw const pattern, in("r10") &raw mut after,
                inlateout("rax") SYS_kill => _, in("rdi") sc!(SYS_getpid).0, in("rsi") SIGUSR1, lateout("rcx") _,
                lateout("r11") _, out("ymm8") _);
        }
        v!(after);
    }
}

fn state_at_entry() {
    handle(SIGUSR1, clobber_state as *const () as usize, 0, &[]);
    let (sse, x87) = (0x1f80u32 | 0x4000, 0x007fu16);
    // SAFETY: put back below.
    unsafe {
        asm!("ldmxcsr [{}]", in(reg) &raw const sse);
        asm!("fldcw [{}]", in(reg) &raw const x87);
    }
    let (after, mxcsr) = xmm7_after_kill(99);
    let mut control = 0u16;
    // SAFETY: reads and restores control words.
    unsafe {
        asm!("fnstcw [{}]", in(reg) &raw mut control);
        asm!("fninit");
    }
    println!("at entry {:x} {:x} {}; afterwards {mxcsr:x} {control:x} {after}", seen(0), seen(1), seen(2));
}

/// What a handler does to its frame.
static EDIT: AtomicU64 = AtomicU64::new(0);

extern "C" fn edit_frame(_: i32, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: a valid frame; what is done to it is the kernel's affair.
    unsafe {
        let uc = &mut *context.cast::<ucontext_t>();
        let fp = uc.uc_mcontext.fpregs.cast::<u8>();
        let g = &mut uc.uc_mcontext.gregs;
        let selectors = g[REG_CSGSFS as usize] as u64;
        let flags = g[REG_EFL as usize];
        let edit = EDIT.load(SeqCst);
        let set_fp = |uc: &mut ucontext_t, at: usize| uc.uc_mcontext.fpregs = at as *mut _;
        match edit {
            1 => g[REG_CSGSFS as usize] = (selectors & !0xffff) as i64,
            2 => g[REG_CSGSFS as usize] = (selectors & !0xffff | 0x10) as i64,
            3 => g[REG_CSGSFS as usize] = (selectors & !0xffff | 0xfff0) as i64,
            4 => g[REG_CSGSFS as usize] = (selectors & !0xffff | 0x30) as i64,
            5 => g[REG_CSGSFS as usize] = (selectors & 0xffff_ffff_ffff) as i64,
            6 => g[REG_CSGSFS as usize] = (selectors & 0xffff_ffff_ffff | 0x18 << 48) as i64,
            7 => {
                g[REG_CSGSFS as usize] = (selectors & 0xffff_ffff_ffff) as i64;
                uc.uc_flags &= !4;
            }
            8 => g[REG_CSGSFS as usize] = (selectors | 0xffff_ffff_0000 & !0x0000_0000_ffff) as i64,
            10 => g[REG_EFL as usize] = flags | 0x3000,
            11 => g[REG_EFL as usize] = flags & !0x200,
            12 => g[REG_EFL as usize] = flags | 0x4000 | 0x20000,
            13 => g[REG_EFL as usize] = !0x100 & !0x40000 & !0x400,
            14 => g[REG_EFL as usize] = 0,
            15 => g[REG_EFL as usize] = flags | 0x400,
            20 => g[REG_RIP as usize] = i64::MIN,
            21 => g[REG_RIP as usize] = 0x7fff_ffff_ffff,
            22 => g[REG_RIP as usize] = -4096,
            23 => g[REG_RIP as usize] = 0,
            24 => g[REG_RIP as usize] = 0x7fff_ffff_f000,
            30 => set_fp(uc, fp as usize + 1),
            31 => set_fp(uc, fp as usize + 8),
            32 => set_fp(uc, 64),
            33 => set_fp(uc, 1 << 63),
            34 => set_fp(uc, 0),
            35 => fp.add(464).cast::<u32>().write_unaligned(0),
            36 => fp.add(480).cast::<u32>().write_unaligned(1 << 30),
            37 => fp.add(480).cast::<u32>().write_unaligned(16),
            38 => fp.add(468).cast::<u32>().write_unaligned(0),
            39 => fp.add(472).cast::<u64>().write_unaligned(!0),
            40 => fp.add(472).cast::<u64>().write_unaligned(0),
            41 => fp.add(24).cast::<u32>().write_unaligned(0xffff_ffff),
            42 => fp.add(512).cast::<u64>().write_unaligned(!0),
            43 => fp.add(512).cast::<u64>().write_unaligned(0),
            44 => fp.add(520).cast::<u64>().write_unaligned(1 << 63),
            45 => fp.add(528).cast::<u64>().write_unaligned(1),
            46 => {
                let size = fp.add(480).cast::<u32>().read_unaligned() as usize;
                fp.add(size).cast::<u32>().write_unaligned(7);
            }
            47 => uc.uc_flags = 0,
            48 => fp.add(512).cast::<u64>().write_unaligned(1 << 8),
            50 => g[REG_RSP as usize] = 0,
            51 => uc.uc_stack.ss_flags = 77,
            52 => uc.uc_stack = stack_t { ss_sp: 4096 as *mut _, ss_flags: 0, ss_size: 1 },
            53 => uc.uc_stack = stack_t { ss_sp: 4096 as *mut _, ss_flags: 0, ss_size: 65536 },
            _ => {}
        }
    }
}

/// A child whose handler makes this edit; it prints what is left afterwards.
fn edited(edit: u64) {
    let end = in_child(|| {
        handle(SIGUSR1, edit_frame as *const () as usize, SA_SIGINFO, &[]);
        EDIT.store(edit, SeqCst);
        let pid = sc!(SYS_getpid).0;
        let (xmm, mut mxcsr, mut control, flags, ss, cs): (u64, u32, u16, u64, u16, u16);
        (mxcsr, control) = (0, 0);
        // SAFETY: registers named; flags are put back.
        unsafe {
            asm!("movq xmm7, {b}", "syscall", "pushfq", "pop {f}", "cld", "movq {b}, xmm7", "stmxcsr [r8]",
                "fnstcw [r9]", "mov {s:x}, ss", "mov {c:x}, cs", b = inout(reg) 0x77u64 => xmm,
                f = out(reg) flags, s = out(reg) ss, c = out(reg) cs, inlateout("rax") SYS_kill => _, in("rdi") pid,
                in("rsi") SIGUSR1, in("r8") &raw mut mxcsr, in("r9") &raw mut control, lateout("rcx") _, lateout("r11") _,
                lateout("xmm7") _);
        }
        let known = [0x100u64, 0x200, 0x400, 0x3000, 0x4000, 0x10000, 0x20000, 0x40000].iter().sum::<u64>();
        println!("{edit}: lives: {xmm:x} {mxcsr:x} {control:x} flags {:x} {cs:x} {ss:x}", flags & known);
        let mut stack = [0u64; 3];
        must!(SYS_sigaltstack, 0, &mut stack);
        println!("stack {:x?}", &stack[1..]);
    });
    println!("{edit}: {end:?}");
}

fn hostile_selectors() {
    (1..=8).for_each(edited);
}

fn hostile_flags() {
    (10..=15).for_each(edited);
}

fn hostile_rip() {
    (20..=24).for_each(edited);
}

fn hostile_fpstate() {
    (30..=48).for_each(edited);
}

fn hostile_stack() {
    v!(in_child(|| {
        handle(SIGUSR1, edit_frame as *const () as usize, SA_SIGINFO, &[]);
        EDIT.store(50, SeqCst);
        kill_self(SIGUSR1);
    }));
    (51..=53).for_each(edited);
    // Without a frame at all.
    for at in [0usize, 8, 1 << 63, usize::MAX - 7, map(PAGE, RW, ANON), map(PAGE, RW, ANON) + PAGE] {
        v!(in_child(|| {
            // SAFETY: it does not come back.
            unsafe {
                asm!("mov rsp, {at}", "syscall", "ud2", at = in(reg) at, in("rax") SYS_rt_sigreturn,
                    options(noreturn));
            }
        }));
    }
}

fn restore_initial_state() {
    edited(0);
    edited(34);
}

extern "C" fn edit_mask(_: i32, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: a valid frame; the kernel's mask is the first word.
    unsafe { std::ptr::from_mut(&mut (*context.cast::<ucontext_t>()).uc_sigmask).cast::<u64>().write(!0) };
}

fn restore_mask() {
    handle(SIGUSR1, edit_mask as *const () as usize, SA_SIGINFO, &[]);
    kill_self(SIGUSR1);
    println!("{:x}", current_mask());
}

static STEPS: AtomicU64 = AtomicU64::new(0);

extern "C" fn stepped(_: i32, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: a valid frame.
    unsafe {
        SEEN[0].store((*info).si_code as u64, SeqCst);
        let g = &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs;
        SEEN[1].store(g[REG_TRAPNO as usize] as u64, SeqCst);
        if STEPS.fetch_add(1, SeqCst) == 4 {
            g[REG_EFL as usize] &= !0x100;
        }
    }
}

fn trap_flag() {
    handle(SIGTRAP, stepped as *const () as usize, SA_SIGINFO, &[]);
    // SAFETY: single steps, each of which the handler sees; it clears the flag after some.
    unsafe {
        asm!("pushfq", "or dword ptr [rsp], 0x100", "popfq", "nop", "nop", "nop", "nop", "nop", "nop", "nop", "nop");
    }
    v!((STEPS.load(SeqCst), seen(0), seen(1)));
}

static DEPTH: AtomicU64 = AtomicU64::new(0);

extern "C" fn nest(sig: i32) {
    if DEPTH.fetch_add(1, SeqCst) < 20 {
        kill_self(sig);
    }
}

fn nested_handlers() {
    handle(SIGUSR1, nest as *const () as usize, SA_NODEFER, &[]);
    kill_self(SIGUSR1);
    v!(DEPTH.load(SeqCst));
}

const NESTED: u64 = 1 << 14;
const ALIGNMENT: u64 = 1 << 18;
const IDENTIFICATION: u64 = 1 << 21;
const FLAG_SETS: [u64; 6] = [
    0x400,
    NESTED,
    ALIGNMENT,
    IDENTIFICATION,
    ALIGNMENT | IDENTIFICATION | NESTED | 0x400,
    0x8d5 | ALIGNMENT,
];

/// Runs an instruction with flags set. The result is its `rax`, and the flags then.
macro_rules! with_flags {
    ($flags:expr, $instruction:literal, $rax:expr, $($operand:tt)*) => {{
        let (result, after): (i64, u64);
        // SAFETY: registers named; the flags are put back before other code runs.
        unsafe {
            asm!("push {flags}", "popfq", $instruction, "pushfq", "pop {flags}", "push 0x202", "popfq",
                flags = inout(reg) $flags => after, inlateout("rax") $rax => result, lateout("rcx") _, lateout("r11") _,
                $($operand)*);
        }
        (result, after & 0x24_4dd5)
    }};
}

fn flags_over_calls() {
    for flags in FLAG_SETS {
        let (result, after) = with_flags!(flags, "syscall", SYS_dup, in("rdi") 999);
        println!("{flags:x}: {after:x} {result}");
        // One that sleeps.
        let pause = timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        let (result, after) = with_flags!(flags, "syscall", SYS_nanosleep, in("rdi") &raw const pause, in("rsi") 0);
        println!("{flags:x}: {after:x} {result}");
        let mut name = [0u8; 391];
        let (result, after) = with_flags!(flags, "syscall", SYS_uname, in("rdi") &raw mut name[1]);
        println!("{flags:x}: {after:x} {result}");
    }
}

fn flags_over_faults() {
    let fd = file(&c("private"), &[7; PAGE]);
    for flags in FLAG_SETS {
        let at = map_fd(fd, PAGE, RW, MAP_PRIVATE);
        let (result, after) = with_flags!(flags, "xchg [rdi], al", 5i64, in("rdi") at);
        println!("{flags:x}: {after:x} {result}");
    }
}

fn flags_of_children() {
    for flags in [0x400, NESTED, ALIGNMENT, NESTED | ALIGNMENT | 0x8d5] {
        let (pid, after) = with_flags!(flags, "syscall", SYS_fork, in("rdi") 0);
        if pid == 0 {
            exit((after >> 8) as i32 & 0x4c | (after >> 18) as i32);
        }
        println!("{flags:x}: {after:x} {:?}", reap(pid as i32));
    }
}

/// With all exceptions unmasked and one of each unit pending.
fn float_exceptions_over_calls() {
    let (sse, x87) = (0x0004u32, 0x0340u16);
    let (mut mxcsr, mut status) = (0u32, 0u16);
    let mut buffer = [0u64; 512];
    let fd = open(c"/proc/loadavg", O_RDONLY);
    for (number, first) in [(SYS_pread64, fd as usize), (SYS_getcwd, 0), (SYS_sysinfo, 0), (SYS_times, 0)] {
        let first = if first == 0 { buffer.as_mut_ptr() as usize } else { first };
        let result: i64;
        // SAFETY: registers named; the state is made anew.
        unsafe {
            asm!("fninit", "fldcw [r12]", "fldz", "fld1", "fdivrp st(1), st", "ldmxcsr [r13]", "syscall",
                "fnstsw [r14]", "stmxcsr [r15]", "fninit", "push 0x1f80", "ldmxcsr [rsp]", "pop rcx",
                in("r12") &raw const x87, in("r13") &raw const sse, in("r14") &raw mut status, in("r15") &raw mut mxcsr,
                inlateout("rax") number => result, in("rdi") first,
                in("rsi") if number == SYS_getcwd { 4096 } else { buffer.as_mut_ptr() as usize }, in("rdx") 64,
                in("r10") 0, lateout("rcx") _, lateout("r11") _, out("st(0)") _, out("st(1)") _);
        }
        println!("{number}: {} {status:x} {mxcsr:x}", result > 0 || number == SYS_sysinfo && result == 0);
    }
}

/// What PR_GET_TSC answers, and how the two instructions that it is about behave.
fn show_time_stamps(who: &str) {
    let mut setting = 0;
    must!(SYS_prctl, PR_GET_TSC, &mut setting, 0, 0, 0);
    SEEN[1].store(0, SeqCst);
    fault!("rdtsc", 0, 2, "rdtsc", out("eax") _, out("edx") _);
    fault!("rdtscp", 0, 3, "rdtscp", out("eax") _, out("edx") _, out("ecx") _);
    println!("{who}: setting {setting}");
}

fn time_stamps() {
    handle(SIGSEGV, step_over as *const () as usize, SA_SIGINFO, &[]);
    for setting in [0usize, 3, 1 << 32 | PR_TSC_ENABLE as usize] {
        t!(SYS_prctl, PR_SET_TSC, setting, 0, 0, 0);
    }
    t!(SYS_prctl, PR_GET_TSC, 8, 0, 0, 0);
    show_time_stamps("at first");
    t!(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
    show_time_stamps("without");
    v!(in_child(|| {
        show_time_stamps("child");
        t!(SYS_prctl, PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0);
        show_time_stamps("child with");
    }));
    show_time_stamps("still without");
    t!(SYS_prctl, PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0);
    show_time_stamps("with");
}

/// Beside many threads that wait in system calls and have time stamps, one has none.
fn time_stamps_among_threads() {
    handle(SIGSEGV, step_over as *const () as usize, SA_SIGINFO, &[]);
    let (r, w) = pipe();
    let waiting = Sleepers::new();
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                waiting.announce();
                get(r, 1);
            });
        }
        waiting.until_asleep(24);
        t!(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
        show_time_stamps("without");
        t!(SYS_prctl, PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0);
        show_time_stamps("with");
        put(w, &[0; 24]);
    });
}

/// Processes, then threads, that differ in it and take turns.
fn time_stamps_by_turns() {
    handle(SIGSEGV, step_over as *const () as usize, SA_SIGINFO, &[]);
    let ((here, wake_here), (there, wake_there)) = (pipe(), pipe());
    let other = || {
        t!(SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
        for _ in 0..20 {
            get(there, 1);
            show_time_stamps("other");
            put(wake_here, b"x");
        }
    };
    let first = || {
        for _ in 0..20 {
            put(wake_there, b"x");
            get(here, 1);
            show_time_stamps("first");
        }
    };
    let child = spawn(other);
    first();
    v!(reap(child));
    std::thread::scope(|scope| {
        scope.spawn(other);
        first();
    });
}
