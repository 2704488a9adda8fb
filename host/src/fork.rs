//! Children that begin as a fork of this process and keep nothing of it: the host processes whose
//! address spaces guests have.
//!
//! Such a child shares memory with its parent wherever that is shared, the heap above all, until it
//! has given it up. So its code, a function of the model's, runs on a stack of its own and makes
//! system calls only, by [`Child`].

use crate::ptrace::{Resume, Status, Tracee};
use crate::{Errno, Result, rseq, seccomp};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering::AcqRel};
use umlab_abi::signal::{SA_NODEFER, SA_ONSTACK, SA_RESTART, SA_RESTORER, SA_SIGINFO};

/// Room for the child's function. Kernel stacks are not inherited: there may be thousands, and the
/// fork would walk them all.
const STACK: usize = 32 << 10;

/// A stack for the next child, null while there is none.
static SPARE: AtomicPtr<u8> = AtomicPtr::new(null_mut());

std::arch::global_asm!(
    // umlab_fork(flags, stack): clone, the child going on at the top of `stack`, where the argument
    // and the function lie.
    ".global umlab_fork",
    "umlab_fork:",
    "mov eax, 56",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "syscall",
    "test rax, rax",
    "jnz 4f",
    "xor ebp, ebp",
    "pop rdi",
    "pop rax",
    "call rax",
    "ud2",
    "4: ret",
);

unsafe extern "C" {
    fn umlab_fork(flags: u64, stack: *mut u64) -> i64;
}

/// Why there is no child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failed {
    /// The host refused the fork.
    Fork(Errno),
    /// The child could not do this step.
    Step(i32),
    /// The child ended, or stopped where it should not.
    Child,
}

impl From<Failed> for Errno {
    fn from(failed: Failed) -> Errno {
        match failed {
            Failed::Fork(error) => error,
            Failed::Step(_) | Failed::Child => Errno::EPERM,
        }
    }
}

/// What the child finds on its stack.
struct Start<P> {
    main: fn(&Child, &P) -> !,
    parent: i32,
    plan: P,
}

extern "C" fn start<P>(start: *const Start<P>) -> ! {
    // SAFETY: `fork` put it on this very stack.
    let start = unsafe { &*start };
    (start.main)(&Child { parent: start.parent }, &start.plan)
}

/// Forks a child that runs `main` on a stack of its own, is traced by the calling thread
/// ([`Child::trace_me`]), and stops by [`Child::stop`] or at an int3 elsewhere. Returns when it has
/// stopped there; it ends with its tracer. The descriptor table is shared.
///
/// # Safety
/// `main` must not touch memory that the parent shares, allocate, take a lock, or panic.
pub unsafe fn fork<P: Copy>(plan: P, main: fn(&Child, &P) -> !) -> std::result::Result<Tracee, Failed> {
    // SAFETY: as the caller promises.
    let tracee = Tracee(unsafe { spawn(plan, main) }.map_err(Failed::Fork)?);
    wait_until_stopped(tracee)?;
    tracee.set_options().map_err(Failed::Fork)?;
    Ok(tracee)
}

/// As [`fork`], for a child that nobody traces. Returns its number at once.
///
/// # Safety
/// As [`fork`].
pub unsafe fn spawn<P: Copy>(plan: P, main: fn(&Child, &P) -> !) -> Result<i32> {
    let base = match SPARE.swap(null_mut(), AcqRel) {
        base if base.is_null() => map_stack()?,
        base => base,
    };
    // SAFETY: everything written lies within the stack, which nobody else uses: a child has its own
    // copy. What `start` is given comes first, from the top; then, 16-byte aligned, what the child
    // pops: the argument and the function.
    let pid = unsafe {
        let at = base.add((STACK - size_of::<Start<P>>()) & !15).cast::<Start<P>>();
        at.write(Start { main, parent: libc::getpid(), plan });
        let stack = at.cast::<u64>().sub(2);
        stack.write(at as u64);
        stack.add(1).write(start::<P> as *const () as u64);
        umlab_fork(libc::CLONE_FILES as u64 | libc::SIGCHLD as u64, stack)
    };
    let other = SPARE.swap(base, AcqRel);
    if !other.is_null() {
        // SAFETY: a stack that was mapped below, and is nobody's now.
        unsafe { libc::munmap(other.cast(), STACK) };
    }
    // A raw call's result: errors are small negative numbers.
    if pid < 0 { Err(Errno::from_raw(pid as i32)) } else { Ok(pid as i32) }
}

fn map_stack() -> Result<*mut u8> {
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new memory, where the host likes.
    let base = unsafe { libc::mmap(null_mut(), STACK, prot, flags, -1, 0) };
    if base == libc::MAP_FAILED { Err(Errno::ENOMEM) } else { Ok(base.cast()) }
}

fn wait_until_stopped(tracee: Tracee) -> std::result::Result<(), Failed> {
    loop {
        match tracee.wait_through_signals() {
            Ok(Status::Signal(libc::SIGTRAP)) => return Ok(()),
            Ok(Status::Signal(libc::SIGALRM) | Status::Syscall) => tracee.resume(Resume::Cont).map_err(Failed::Fork)?,
            Ok(Status::Exited(step)) => return Err(Failed::Step(step)),
            Ok(_) => {
                tracee.end();
                return Err(Failed::Child);
            }
            Err(error) => return Err(Failed::Fork(error)),
        }
    }
}

/// The child, as its function has it. Each step that fails ends it, with the step's number as its
/// exit status; those of [`Child::settle`] are 1 to 9.
pub struct Child {
    parent: i32,
}

impl Child {
    /// A system call. Errors are small negative numbers.
    pub fn call(&self, number: i64, args: [u64; 6]) -> i64 {
        let result: i64;
        let [a, b, c, d, e, f] = args;
        // SAFETY: the process is a child that gives up all that it has; each caller passes what the
        // call's manual page asks for.
        unsafe {
            std::arch::asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
                in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _);
        }
        result
    }

    /// A system call that must not fail.
    pub fn must(&self, step: u64, number: i64, args: [u64; 6]) -> i64 {
        let result = self.call(number, args);
        if (-4095..0).contains(&result) {
            self.call(libc::SYS_exit, [step, 0, 0, 0, 0, 0]);
        }
        result
    }

    /// What each such child does first. It dies with its parent, takes signals as faults bring
    /// them, leaves no core file, and has given up what the C library registered for the thread
    /// with the host.
    pub fn settle(&self) {
        self.must(1, libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as u64, libc::SIGKILL as u64, 0, 0, 0, 0]);
        // The parent may have died before that took effect.
        if self.call(libc::SYS_getppid, [0; 6]) != i64::from(self.parent) {
            self.call(libc::SYS_exit, [2, 0, 0, 0, 0, 0]);
        }
        self.unregister_rseq();
        // Faults must not be blocked.
        let nothing: u64 = 0;
        let mask = [libc::SIG_SETMASK as u64, &raw const nothing as u64, 0, 8, 0, 0];
        self.must(3, libc::SYS_rt_sigprocmask, mask);
        // A process that can be looked into by others of its user is no danger; one that dumps core
        // would leave files behind.
        let no_core = [0u64, 0u64];
        self.call(libc::SYS_prlimit64, [0, u64::from(libc::RLIMIT_CORE), &raw const no_core as u64, 0, 0, 0]);
    }

    /// The area goes away with the parent's memory, and the host would kill the process for it.
    fn unregister_rseq(&self) {
        let Some((area, lengths)) = rseq::area() else { return };
        for len in lengths {
            if self.call(libc::SYS_rseq, [area, len, rseq::FLAG_UNREGISTER, rseq::SIGNATURE, 0, 0]) == 0 {
                break;
            }
        }
    }

    /// From here on the parent traces it, and no handler of the parent's is used.
    pub fn trace_me(&self) {
        self.must(4, libc::SYS_ptrace, [u64::from(libc::PTRACE_TRACEME), 0, 0, 0, 0, 0]);
    }

    /// Maps the first `len` bytes of a shared memory object at `at`, over what is there.
    pub fn map(&self, step: u64, at: u64, len: usize, prot: i32, fd: i32) {
        self.map_part(step, at, len, prot, fd, 0);
    }

    /// As `map`, from a byte offset into the object on.
    pub fn map_part(&self, step: u64, at: u64, len: usize, prot: i32, fd: i32, offset: usize) {
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        self.must(step, libc::SYS_mmap, [at, len as u64, prot as u64, flags as u64, fd as u64, offset as u64]);
    }

    /// Has a signal call `handler`, on the alternate stack, without any signal blocked meanwhile
    /// but those that are already. The handler must never return by a sigreturn.
    pub fn handle(&self, step: u64, signal: i32, handler: u64) {
        // The host's own `struct sigaction` (asm/signal.h).
        let flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART | SA_RESTORER;
        let action = [handler, flags, handler, 0];
        self.must(step, libc::SYS_rt_sigaction, [signal as u64, &raw const action as u64, 0, 8, 0, 0]);
    }

    /// Keeps the process from gaining privileges by execve(2), without which the host takes no
    /// filters.
    pub fn gain_nothing(&self, step: u64) {
        self.must(step, libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0, 0]);
    }

    /// `rdtsc` raises SIGSEGV.
    pub fn forbid_timestamps(&self, step: u64) {
        self.must(step, libc::SYS_prctl, [libc::PR_SET_TSC as u64, libc::PR_TSC_SIGSEGV as u64, 0, 0, 0, 0]);
    }

    /// Has system calls filtered, from the next one on (seccomp(2)).
    pub fn filter(&self, step: u64, filter: &[seccomp::Instruction]) {
        self.gain_nothing(step);
        let program = seccomp::program(filter);
        let set = [u64::from(libc::SECCOMP_SET_MODE_FILTER), 0, &raw const program as u64, 0, 0, 0];
        self.must(step + 1, libc::SYS_seccomp, set);
    }

    /// Stops for the tracer, which puts the process to another use: it never goes on here.
    pub fn stop(&self) -> ! {
        // SAFETY: the breakpoint stops the process for its tracer.
        unsafe { std::arch::asm!("int3", "ud2", options(noreturn)) }
    }

    /// Goes on at `code`, with `argument` in rbx.
    ///
    /// # Safety
    /// Code that needs nothing else must be there.
    pub unsafe fn jump(&self, code: u64, argument: u64) -> ! {
        // SAFETY: as the caller promises; nothing of this stack is used any more.
        unsafe { std::arch::asm!("mov rbx, rcx", "jmp rax", in("rax") code, in("rcx") argument, options(noreturn)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exits(child: &Child, step: &u64) -> ! {
        child.settle();
        child.must(*step, -1, [0; 6]);
        child.stop()
    }

    fn stops(child: &Child, _: &()) -> ! {
        child.settle();
        child.trace_me();
        child.stop()
    }

    #[test]
    fn a_step_that_fails_is_named() {
        // SAFETY: the function makes system calls only.
        let failed = unsafe { fork(77u64, exits) };
        assert_eq!(failed, Err(Failed::Step(77)));
    }

    #[test]
    fn a_child_stops_for_its_tracer() {
        // SAFETY: as above.
        let tracee = unsafe { fork((), stops) }.unwrap();
        assert!(tracee.regs().unwrap().rip != 0);
        tracee.kill();
        assert_eq!(tracee.wait(), Ok(Status::Killed(libc::SIGKILL)));
    }
}
