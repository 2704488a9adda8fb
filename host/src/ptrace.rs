//! ptrace(2), as far as process models use it. A tracer is a thread: all of this must be called by
//! the thread that the tracee stopped for.

use crate::{Errno, Result, seccomp};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub use umlab_abi::ptrace::Regs;

/// A host process that we trace, or one of its threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tracee(pub i32);

/// What wait(2) says of a tracee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Exited(i32),
    Killed(i32),
    /// At a system call (with PTRACE_O_TRACESYSGOOD).
    Syscall,
    /// Before the delivery of a signal.
    Signal(i32),
}

impl Status {
    fn of(status: i32) -> Status {
        if libc::WIFEXITED(status) {
            Status::Exited(libc::WEXITSTATUS(status))
        } else if libc::WIFSIGNALED(status) {
            Status::Killed(libc::WTERMSIG(status))
        } else if libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80 {
            Status::Syscall
        } else {
            Status::Signal(libc::WSTOPSIG(status))
        }
    }
}

/// How a tracee goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resume {
    /// Until its next system call, which is not carried out.
    Sysemu,
    /// Until a signal.
    Cont,
    /// Until its next system call, and then until its end.
    Syscall,
}

impl Resume {
    /// Its number for ptrace(2).
    pub(crate) fn request(self) -> u32 {
        match self {
            Resume::Sysemu => libc::PTRACE_SYSEMU,
            Resume::Cont => libc::PTRACE_CONT,
            Resume::Syscall => libc::PTRACE_SYSCALL,
        }
    }
}

/// A system call a tracee stopped at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SyscallEntry {
    pub number: u64,
    pub args: [u64; 6],
    /// Made through the 32-bit interface.
    pub compat: bool,
}

/// What siginfo says of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignalInfo {
    pub signal: i32,
    pub code: i32,
    pub addr: u64,
    /// For SIGSYS.
    pub syscall: i32,
}

const NT_X86_XSTATE: usize = 0x202;
/// Byte offset of rax in `struct user`.
const RAX: usize = std::mem::offset_of!(Regs, rax);
const ORIG_RAX: usize = std::mem::offset_of!(Regs, orig_rax);
const RBX: usize = std::mem::offset_of!(Regs, rbx);

static INITIAL: OnceLock<Vec<u8>> = OnceLock::new();

/// The extended state with which a program starts: every component is initial. Empty until some
/// tracee was given it ([`Tracee::reset_extended_state`]).
pub fn initial_extended_state() -> &'static [u8] {
    INITIAL.get().map_or(&[], Vec::as_slice)
}

/// Of any state, the initial one, by the layout of the SDM (volume 1, 13.4): the control word and
/// MXCSR are as after a reset, and the header has no component. Bytes 464 to 511 name the features
/// that the host saves.
fn make_initial(state: &mut [u8]) {
    for (at, byte) in state.iter_mut().enumerate() {
        if !(464..512).contains(&at) {
            *byte = 0;
        }
    }
    state[0..2].copy_from_slice(&0x037fu16.to_le_bytes());
    state[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
}

impl Tracee {
    fn request(self, request: u32, addr: usize, data: usize) -> Result<i64> {
        // SAFETY: the callers pass addresses of live objects of the size the request asks for, or
        // plain numbers.
        unsafe { self.raw_request(request, addr, data) }
    }

    /// Any request.
    ///
    /// # Safety
    /// What the request takes for addresses in this process must be live objects of the size it
    /// asks for.
    pub(crate) unsafe fn raw_request(self, request: u32, addr: usize, data: usize) -> Result<i64> {
        // SAFETY: as the caller promises.
        Errno::check(unsafe { libc::ptrace(request as _, self.0, addr, data) })
    }

    /// Options that make the tracee die with its tracer and mark system-call stops.
    pub fn set_options(self) -> Result<()> {
        let options = libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD;
        self.request(libc::PTRACE_SETOPTIONS, 0, options as usize)?;
        Ok(())
    }

    pub fn resume(self, how: Resume) -> Result<()> {
        self.resume_with(how, 0)
    }

    /// As `resume`, delivering a signal (of a stop before its delivery), or sending one.
    pub fn resume_with(self, how: Resume, signal: i32) -> Result<()> {
        self.request(how.request(), 0, signal as usize)?;
        Ok(())
    }

    /// Sleeps until any tracee stops or ends. EINTR when a signal came first, ECHILD when there is
    /// none.
    pub fn wait_any() -> Result<(Tracee, Status)> {
        let mut status = 0;
        // SAFETY: a valid place for the status.
        let pid =
            Errno::check(i64::from(unsafe { libc::wait4(-1, &raw mut status, libc::__WALL, std::ptr::null_mut()) }))?;
        Ok((Tracee(pid as i32), Status::of(status)))
    }

    /// Sleeps until the tracee stops or ends. EINTR when a signal came first.
    pub fn wait(self) -> Result<Status> {
        let mut status = 0;
        // SAFETY: a valid place for the status.
        Errno::check(i64::from(unsafe { libc::wait4(self.0, &raw mut status, libc::__WALL, std::ptr::null_mut()) }))?;
        Ok(Status::of(status))
    }

    /// As `wait`, whatever signals come meanwhile.
    pub fn wait_through_signals(self) -> Result<Status> {
        loop {
            match self.wait() {
                Err(Errno::EINTR) => {}
                result => return result,
            }
        }
    }

    /// The system call it stopped at.
    pub fn syscall_entry(self) -> Result<SyscallEntry> {
        // struct ptrace_syscall_info of ptrace(2), for PTRACE_SYSCALL_INFO_ENTRY.
        #[repr(C)]
        #[derive(Default)]
        struct Info {
            op: u8,
            pad: [u8; 3],
            arch: u32,
            ip: u64,
            sp: u64,
            number: u64,
            args: [u64; 6],
            rest: [u64; 2],
        }
        let mut info = Info::default();
        self.request(libc::PTRACE_GET_SYSCALL_INFO, size_of::<Info>(), &raw mut info as usize)?;
        if info.op != 1 {
            return Err(Errno::EIO);
        }
        Ok(SyscallEntry { number: info.number, args: info.args, compat: info.arch != seccomp::X86_64 })
    }

    pub fn regs(self) -> Result<Regs> {
        // SAFETY: all-zero is a valid register set.
        let mut regs: Regs = unsafe { std::mem::zeroed() };
        self.request(libc::PTRACE_GETREGS, 0, &raw mut regs as usize)?;
        Ok(regs)
    }

    pub fn set_regs(self, regs: &Regs) -> Result<()> {
        self.request(libc::PTRACE_SETREGS, 0, std::ptr::from_ref::<Regs>(regs) as usize)?;
        Ok(())
    }

    pub fn set_rax(self, value: u64) -> Result<()> {
        self.request(libc::PTRACE_POKEUSER, RAX, value as usize)?;
        Ok(())
    }

    /// Changes the number of the system call that the tracee stopped at.
    pub fn set_orig_rax(self, number: u64) -> Result<()> {
        self.request(libc::PTRACE_POKEUSER, ORIG_RAX, number as usize)?;
        Ok(())
    }

    pub fn rax(self) -> Result<u64> {
        self.peek(RAX)
    }

    pub fn rbx(self) -> Result<u64> {
        self.peek(RBX)
    }

    /// A word of `struct user`.
    fn peek(self, offset: usize) -> Result<u64> {
        // The raw call returns the word through a pointer, unlike the libc wrapper's result;
        // glibc's wrapper hides that, and errors only show in errno then. SAFETY: errno is the
        // thread's own; PEEKUSER reads a word of the tracee's registers.
        unsafe {
            *libc::__errno_location() = 0;
            let word = libc::ptrace(libc::PTRACE_PEEKUSER, self.0, offset, 0usize);
            match *libc::__errno_location() {
                0 => Ok(word as u64),
                e => Err(Errno::from_raw(e)),
            }
        }
    }

    pub fn signal_info(self) -> Result<SignalInfo> {
        // SAFETY: all-zero is a valid siginfo.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        self.request(libc::PTRACE_GETSIGINFO, 0, &raw mut info as usize)?;
        // SAFETY: the union's fault member is two words that are valid whatever was stored.
        let addr = unsafe { info.si_addr() } as u64;
        // The system call's number follows the call address in siginfo's SIGSYS member.
        // SAFETY: siginfo_t is 128 bytes; byte 24 is within.
        let syscall = unsafe { *(&raw const info).cast::<u8>().add(24).cast::<i32>() };
        Ok(SignalInfo { signal: info.si_signo, code: info.si_code, addr, syscall })
    }

    /// Makes `image` the extended state in XSAVE layout. Of features that a process has only when
    /// it asks for them (arch_prctl(2)), it has none.
    pub fn read_extended_state(self, image: &mut Vec<u8>) -> Result<()> {
        /// The length of each image, once one was read: before, more than any.
        static LEN: AtomicUsize = AtomicUsize::new(16384);
        image.resize(LEN.load(Relaxed), 0);
        let mut iov = libc::iovec { iov_base: image.as_mut_ptr().cast(), iov_len: image.len() };
        self.request(libc::PTRACE_GETREGSET, NT_X86_XSTATE, &raw mut iov as usize)?;
        if iov.iov_len < image.len() {
            image.truncate(iov.iov_len);
            image.shrink_to_fit();
            LEN.store(iov.iov_len, Relaxed);
        }
        Ok(())
    }

    /// Makes the extended state that with which a program starts.
    pub fn reset_extended_state(self) -> Result<()> {
        if INITIAL.get().is_none() {
            let mut state = Vec::new();
            self.read_extended_state(&mut state)?;
            make_initial(&mut state);
            let _ = INITIAL.set(state);
        }
        self.set_extended_state(initial_extended_state())
    }

    pub fn set_extended_state(self, state: &[u8]) -> Result<()> {
        let mut iov = libc::iovec { iov_base: state.as_ptr().cast_mut().cast(), iov_len: state.len() };
        self.request(libc::PTRACE_SETREGSET, NT_X86_XSTATE, &raw mut iov as usize)?;
        Ok(())
    }

    /// Ends it and takes its status, so that nothing is left of it. By the thread that traces it.
    pub fn end(self) {
        self.kill();
        while let Ok(Status::Signal(_) | Status::Syscall) = self.wait_through_signals() {}
    }

    /// Ends it. It must still be waited for.
    pub fn kill(self) {
        // SAFETY: plain numbers.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
    }
}
