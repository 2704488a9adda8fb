//! What checks have in common: memory, children, CPUs, and chance that is the same each time.

use crate::verdict::{Not, Verdict, must};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

pub const PAGE: usize = 4096;
pub const READ: i32 = libc::PROT_READ;
pub const WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// Ends this process at once.
pub fn exit(status: i32) -> ! {
    use std::io::Write;
    let _ = std::io::stdout().flush();
    // SAFETY: a number.
    unsafe { libc::_exit(status) }
}

/// Fresh memory of so many pages, private or shared with children.
pub fn map(pages: usize, prot: i32, shared: bool) -> Result<usize, Not> {
    let kind = if shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
    // SAFETY: the kernel chooses a free place.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), pages * PAGE, prot, kind | libc::MAP_ANONYMOUS, -1, 0) };
    must("mmap", at as i64).map(|at| at as usize)
}

/// Fresh private memory over whatever was there, which is the caller's.
pub fn map_over(at: usize, pages: usize, prot: i32) -> Result<(), Not> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    // SAFETY: by the caller's word, nothing else lies there.
    must("mmap", unsafe { libc::mmap(at as *mut _, pages * PAGE, prot, flags, -1, 0) } as i64).map(drop)
}

pub fn unmap(at: usize, pages: usize) -> Result<(), Not> {
    // SAFETY: callers unmap what they mapped.
    must("munmap", unsafe { libc::munmap(at as *mut _, pages * PAGE) }.into()).map(drop)
}

pub fn protect(at: usize, pages: usize, prot: i32) -> Result<(), Not> {
    // SAFETY: callers change what they mapped.
    must("mprotect", unsafe { libc::mprotect(at as *mut _, pages * PAGE, prot) }.into()).map(drop)
}

/// A system call; small negative results are errors.
pub fn call(number: i64, args: [usize; 4]) -> i64 {
    let result: i64;
    // SAFETY: callers pass what the call's manual page asks for.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") number => result, in("rdi") args[0], in("rsi") args[1],
            in("rdx") args[2], in("r10") args[3], in("r8") 0, in("r9") 0, lateout("rcx") _, lateout("r11") _);
    }
    result
}

/// A child process that runs `body`. It ends with 0 when that is ok, else it prints why not and
/// ends with 1.
pub fn child(body: impl FnOnce() -> Verdict) -> Result<i32, Not> {
    // SAFETY: the child runs on a copy of this thread alone; checks that have others when they fork
    // hold no lock in them.
    let pid = must("fork", unsafe { libc::fork() }.into())? as i32;
    if pid == 0 {
        // A check that is ended leaves nothing that spins.
        // SAFETY: numbers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        exit(report(body()));
    }
    Ok(pid)
}

/// Prints a verdict that is not ok; the exit status.
pub fn report(verdict: Verdict) -> i32 {
    match verdict {
        Ok(()) => 0,
        Err(Not::Failed(reason)) => {
            println!("FAILED: {reason}");
            1
        }
        Err(Not::Skipped(reason)) => {
            println!("skipped: {reason}");
            1
        }
    }
}

/// Waits for a child; its wait status.
pub fn wait_for(pid: i32) -> Result<i32, Not> {
    let mut status = 0;
    // SAFETY: an int.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    must("waitpid", waited.into()).map(|_| status)
}

/// Waits for a child that has said itself what is wrong, if anything is.
pub fn join(pid: i32) -> Verdict {
    match wait_for(pid)? {
        0 => Ok(()),
        status => Err(format!("a child ended with status {status:#x}").into()),
    }
}

pub fn kill(pid: i32, signal: i32) {
    // SAFETY: numbers.
    unsafe { libc::kill(pid, signal) };
}

/// The CPUs that this process may use.
pub fn cpus() -> Vec<usize> {
    // SAFETY: an all-zero set is valid, and the call fills it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of_val(&set), &raw mut set);
        (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect()
    }
}

/// Several CPUs, or the check is skipped.
pub fn several_cpus() -> Result<Vec<usize>, Not> {
    let cpus = cpus();
    if cpus.len() < 2 { Err(Not::Skipped("it takes several CPUs".into())) } else { Ok(cpus) }
}

/// Moves a thread (0 for the calling one) to a CPU.
pub fn pin(thread: i32, cpu: usize) -> Verdict {
    // SAFETY: an all-zero set is valid.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(thread, size_of_val(&set), &raw const set)
    };
    must("sched_setaffinity", result.into()).map(drop)
}

/// The CPU that the kernel says this is.
pub fn current_cpu() -> usize {
    let mut cpu = 0u32;
    call(libc::SYS_getcpu, [&raw mut cpu as usize, 0, 0, 0]);
    cpu as usize
}

pub fn own_thread() -> i32 {
    // SAFETY: no arguments.
    unsafe { libc::gettid() }
}

/// Sleeps for so many milliseconds.
pub fn pause(milliseconds: u64) {
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
}

/// What processes wait at until another one opens it: shared memory.
#[derive(Clone, Copy)]
pub struct Gate(usize);

impl Gate {
    pub fn new() -> Result<Gate, Not> {
        map(1, WRITE, true).map(Gate)
    }

    fn word(&self) -> &AtomicU32 {
        word(self.0)
    }

    pub fn open(&self) {
        self.word().store(1, SeqCst);
        call(libc::SYS_futex, [self.0, libc::FUTEX_WAKE as usize, i32::MAX as usize, 0]);
    }

    pub fn wait(&self) {
        while self.word().load(SeqCst) == 0 {
            call(libc::SYS_futex, [self.0, libc::FUTEX_WAIT as usize, 0, 0]);
        }
    }
}

/// A word of memory that was mapped here, and stays.
pub fn word(at: usize) -> &'static AtomicU32 {
    // SAFETY: callers have mapped it, and anything is a number.
    unsafe { &*(at as *const AtomicU32) }
}

/// Numbers that look like chance.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// The verdict of a thread that has ended, or will.
pub fn joined(thread: std::thread::JoinHandle<Verdict>) -> Verdict {
    verdict_of(thread.join())
}

/// The verdict of a thread; a panic is none.
pub fn verdict_of(joined: std::thread::Result<Verdict>) -> Verdict {
    joined.unwrap_or_else(|_| Err("a thread failed".to_string().into()))
}
