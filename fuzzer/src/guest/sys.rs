//! System calls without anything around them.

use std::arch::{asm, global_asm};

/// Asks the kernel. What that does to the process is for the program to bear: it may take away
/// memory that we use, and then the process ends by a signal, which is no find.
pub fn ask(number: i64, args: [u64; 6]) -> i64 {
    let result;
    // SAFETY: none in general, by intention; the registers are those that a system call changes.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// The same for calls that make a process which shares our memory: that may have no stack, so it
/// ends here, at once.
pub fn ask_for_child_that_ends(number: i64, args: [u64; 6]) -> i64 {
    let result;
    // SAFETY: as above; the child touches no memory.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor edi, edi",
            "mov eax, 60",
            "syscall",
            "2:",
            inlateout("rax") number => result,
            inlateout("rdi") args[0] => _,
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// Ends the process at once.
pub fn end(status: u64) -> ! {
    loop {
        ask(libc::SYS_exit_group, [status, 0, 0, 0, 0, 0]);
    }
}

// Reading and writing a word where that may fault: the handler of the signal goes on at the label
// below, with the signal in rdx.
global_asm!(
    ".globl umlab_probe_load",
    "umlab_probe_load:",
    "xor edx, edx",
    "umlab_probe_load_at:",
    "mov rax, [rdi]",
    "ret",
    ".globl umlab_probe_store",
    "umlab_probe_store:",
    "xor edx, edx",
    "mov rax, rsi",
    "umlab_probe_store_at:",
    "mov [rdi], rsi",
    "umlab_probe_over:",
    "ret",
    ".globl umlab_probe_places",
    ".pushsection .data.rel.ro",
    ".balign 8",
    "umlab_probe_places:",
    ".quad umlab_probe_load_at, umlab_probe_store_at, umlab_probe_over",
    ".popsection",
);

#[repr(C)]
struct Probed {
    value: u64,
    signal: u64,
}

unsafe extern "C" {
    fn umlab_probe_load(at: u64) -> Probed;
    fn umlab_probe_store(at: u64, value: u64) -> Probed;
    static umlab_probe_places: [u64; 3];
}

/// A word of memory, or the signal that reading it gives.
pub fn load(at: u64) -> Result<u64, i32> {
    // SAFETY: a fault is caught, and no memory of Rust's is changed.
    let probed = unsafe { umlab_probe_load(at) };
    if probed.signal == 0 { Ok(probed.value) } else { Err(probed.signal as i32) }
}

/// Writes a word, which must not belong to Rust.
pub fn store(at: u64, value: u64) -> Result<(), i32> {
    // SAFETY: a fault is caught; callers write to regions that nothing else uses.
    let probed = unsafe { umlab_probe_store(at, value) };
    if probed.signal == 0 { Ok(()) } else { Err(probed.signal as i32) }
}

/// From now on [`load`] and [`store`] can fail, and [`kick`](crate::leader) interrupts a call.
/// Other faults end the process, as before.
pub fn catch_signals() {
    extern "C" fn faulted(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel passes a ucontext_t to a handler that was set with SA_SIGINFO.
        let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        // SAFETY: a constant of the assembly above.
        let [load, store, over] = unsafe { umlab_probe_places };
        let at = registers[libc::REG_RIP as usize] as u64;
        if at == load || at == store {
            registers[libc::REG_RIP as usize] = over as i64;
            registers[libc::REG_RDX as usize] = signal.into();
        } else {
            // SAFETY: the default action runs no code of ours; it comes when the instruction faults
            // again.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    extern "C" fn kicked(_: i32, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
    let set = |signal, handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void)| {
        // SAFETY: all zero is a valid sigaction, and the handlers do what a handler may.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    };
    set(libc::SIGSEGV, faulted);
    set(libc::SIGBUS, faulted);
    set(KICK, kicked);
}

/// The signal that gets a thread out of a call in which it sleeps.
pub const KICK: i32 = libc::SIGUSR2;
