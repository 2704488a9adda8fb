use super::helper::alone;
use super::{Offered, Primitive};
use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use umlab_host::seccomp;

/// What a system call costs that the process itself answers, in a handler.
pub const SIGSYS: Primitive = Primitive {
    name: "sigsys",
    summary: "a system call that a handler of the same process answers",
    definition: "SIGSYS of a getppid by SECCOMP_RET_TRAP, its handler, which sets the result, sigreturn; \
                 the same by PR_SET_SYSCALL_USER_DISPATCH",
    batches,
};

/// What the handler makes the call's result.
const ANSWER: u64 = 4711;

// linux/prctl.h; the C library's crate has them for another one only.
const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
const PR_SYS_DISPATCH_ON: u64 = 1;
const DISPATCH_ALLOW: u8 = 0;
const DISPATCH_BLOCK: u8 = 1;

/// Whether the next system call is SIGSYS, for user dispatch.
static SELECTOR: AtomicU8 = AtomicU8::new(DISPATCH_ALLOW);

fn batches() -> Result<Vec<(&'static str, Offered)>> {
    let trap = || {
        handle(answer)?;
        // SAFETY: the handler answers the one call that traps.
        unsafe { seccomp::install(&seccomp::only(libc::SYS_getppid, seccomp::TRAP)) }.context("no seccomp filter")
    };
    let dispatch = || {
        handle(answer)?;
        // SAFETY: a byte that lives as long as the process. It allows all calls but the one that
        // the handler answers.
        let result =
            unsafe { libc::prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0u64, 0u64, SELECTOR.as_ptr()) };
        Errno::result(result).context("no syscall user dispatch").map(drop)
    };
    let selected = || {
        SELECTOR.store(DISPATCH_BLOCK, SeqCst);
        call()
    };
    Ok(vec![("sigsys", alone(trap, call)?), ("sigsys by user dispatch", alone(dispatch, selected)?)])
}

fn call() -> Result<()> {
    // SAFETY: the call takes no arguments.
    let result = unsafe { libc::syscall(libc::SYS_getppid) };
    ensure!(result as u64 == ANSWER, "the call's result is not the handler's: {result}");
    Ok(())
}

extern "C" fn answer(_: i32, _: *mut libc::siginfo_t, context: *mut c_void) {
    // The return from here is a call too.
    SELECTOR.store(DISPATCH_ALLOW, SeqCst);
    // SAFETY: `handle` makes this a handler.
    let registers = unsafe { registers(context) };
    registers[libc::REG_RAX as usize] = ANSWER as i64;
}

pub type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void);

/// Has SIGSYS handled.
pub fn handle(handler: Handler) -> Result<()> {
    let action = SigAction::new(SigHandler::SigAction(handler), SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: the handlers use atomics, system calls and the registers that they are given.
    unsafe { sigaction(Signal::SIGSYS, &action) }.context("sigaction")?;
    Ok(())
}

/// The registers that a handler's return restores.
///
/// # Safety
/// `context` is what a handler with SA_SIGINFO was given, and it has not returned.
pub unsafe fn registers<'a>(context: *mut c_void) -> &'a mut [i64; 23] {
    // SAFETY: as the caller promises, it is the context that the host has made for the handler.
    unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs }
}
