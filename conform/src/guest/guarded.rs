//! Code that may trap: what it was told of the trap, or its result.
//!
//! Checks run a few instructions of their own by [`guarded`]. A signal that these get ends them and
//! is the result. A signal outside of them fails the check.

use crate::tools::exit;
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Once;

/// A signal, as its handler was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Caught {
    pub signal: i32,
    pub code: i32,
    pub addr: usize,
    /// The instruction that trapped, or the next one.
    pub rip: usize,
    /// The number of the exception, and its error code.
    pub trap: u64,
    pub error: u64,
}

/// Instructions to run: a function in assembly.
pub type Code = unsafe extern "C" fn(usize, usize) -> usize;

std::arch::global_asm!(
    // conform_guarded(code, a, b, saved)
    ".global conform_guarded, conform_guarded_failed, conform_on_signal",
    "conform_guarded:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "mov [rcx], rsp",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov rsi, rdx",
    "call rax",
    "conform_guarded_failed:",
    // Whatever the instructions changed of the ways to compute.
    "fninit",
    "mov dword ptr [rsp], 0x1f80",
    "ldmxcsr [rsp]",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    // Handlers begin with most flags of the code that trapped; with this one they would trap.
    "conform_on_signal:",
    "pushfq",
    "and qword ptr [rsp], -0x40001",
    "popfq",
    "jmp {on_signal}",
    on_signal = sym on_signal,
);

unsafe extern "C" {
    fn conform_guarded(code: Code, a: usize, b: usize, saved: *mut usize) -> usize;
    fn conform_guarded_failed();
    fn conform_on_signal();
}

thread_local! {
    /// The stack pointer to go on with, while guarded code runs, else 0.
    static SAVED: Cell<usize> = const { Cell::new(0) };
    static CAUGHT: Cell<Option<Caught>> = const { Cell::new(None) };
    static HAS_STACK: Cell<bool> = const { Cell::new(false) };
}

const SIGNALS: [i32; 6] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// Runs the code with two arguments.
pub fn guarded(code: Code, a: usize, b: usize) -> Result<usize, Caught> {
    static HANDLERS: Once = Once::new();
    HANDLERS.call_once(|| SIGNALS.into_iter().for_each(|signal| handle(signal, conform_on_signal)));
    if !HAS_STACK.replace(true) {
        use_signal_stack();
    }
    CAUGHT.set(None);
    // SAFETY: the handler goes on behind the call with the stack pointer that it left in `SAVED`,
    // and the code is assembly, which holds nothing that would have to be dropped.
    let result = unsafe { conform_guarded(code, a, b, SAVED.with(Cell::as_ptr)) };
    SAVED.set(0);
    CAUGHT.take().map_or(Ok(result), Err)
}

/// Installs a handler, of three arguments, that runs on the signal stack.
pub fn handle(signal: i32, handler: unsafe extern "C" fn()) {
    // SAFETY: an all-zero action is valid, and the handler is a function of this program.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

/// Gives this thread a stack for its handlers, which stays.
pub fn use_signal_stack() {
    let stack = Box::leak(vec![0u8; 64 << 10].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
    // SAFETY: the memory is never given back.
    unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
}

pub fn caught_of(signal: i32, info: &libc::siginfo_t, context: &libc::ucontext_t) -> Caught {
    let gregs = &context.uc_mcontext.gregs;
    Caught {
        signal,
        code: info.si_code,
        // SAFETY: all signals that are handled here have an address, or zeros in its place.
        addr: unsafe { info.si_addr() } as usize,
        rip: gregs[libc::REG_RIP as usize] as usize,
        trap: gregs[libc::REG_TRAPNO as usize] as u64,
        error: gregs[libc::REG_ERR as usize] as u64,
    }
}

extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives both to a handler that was installed with SA_SIGINFO.
    let (info, context) = unsafe { (&*info, &mut *context.cast::<libc::ucontext_t>()) };
    let caught = caught_of(signal, info, context);
    let saved = SAVED.get();
    if saved == 0 {
        println!("FAILED: a signal that nothing asked for: {caught:x?}");
        exit(1);
    }
    CAUGHT.set(Some(caught));
    let gregs = &mut context.uc_mcontext.gregs;
    gregs[libc::REG_RSP as usize] = saved as i64;
    gregs[libc::REG_RIP as usize] = conform_guarded_failed as *const () as i64;
    gregs[libc::REG_EFL as usize] = 0x202;
}

std::arch::global_asm!(
    ".global conform_load, conform_store, conform_jump",
    "conform_load:",
    "movzx eax, byte ptr [rdi]",
    "ret",
    "conform_store:",
    "mov [rdi], sil",
    "ret",
    "conform_jump:",
    "jmp rdi",
);

unsafe extern "C" {
    fn conform_load(at: usize, _: usize) -> usize;
    fn conform_store(at: usize, byte: usize) -> usize;
    fn conform_jump(at: usize, _: usize) -> usize;
}

/// The byte at an address.
pub fn load(at: usize) -> Result<u8, Caught> {
    guarded(conform_load, at, 0).map(|byte| byte as u8)
}

/// Writes a byte. The caller knows that none of Rust's objects is there.
pub fn store(at: usize, byte: u8) -> Result<(), Caught> {
    guarded(conform_store, at, byte.into()).map(drop)
}

/// Calls the code at an address; what it returns.
pub fn jump(at: usize) -> Result<usize, Caught> {
    guarded(conform_jump, at, 0)
}
