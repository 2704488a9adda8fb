//! Host threads: identity, pinning, ticks.

use crate::{Errno, Result};
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// The calling thread's id.
pub fn id() -> i32 {
    rustix::thread::gettid().as_raw_pid()
}

/// What the host calls the calling thread, for people who look.
pub fn set_name(name: &std::ffi::CStr) {
    // The host takes 15 bytes of it.
    let _ = rustix::thread::set_name(name);
}

/// Keeps the calling thread's stacks out of what this process forks, where each mapping costs time.
/// For threads that do not fork: a child uses its thread's stack, and the host the thread-local
/// area there. For speed only.
pub fn keep_stacks_from_forks() {
    // SAFETY: the attributes are initialised by the first call and destroyed by the last; the
    // others fill what they are given. The mappings stay as they are in this process. The guard
    // lies below the stack since glibc 2.27.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) == 0 {
            let (mut stack, mut len, mut guard) = (std::ptr::null_mut(), 0, 0);
            if libc::pthread_attr_getstack(&raw const attributes, &raw mut stack, &raw mut len) == 0
                && libc::pthread_attr_getguardsize(&raw const attributes, &raw mut guard) == 0
            {
                libc::madvise(stack.byte_sub(guard), len + guard, libc::MADV_DONTFORK);
            }
            libc::pthread_attr_destroy(&raw mut attributes);
        }
        let mut signals: libc::stack_t = std::mem::zeroed();
        if libc::sigaltstack(std::ptr::null(), &raw mut signals) == 0 && signals.ss_flags & libc::SS_DISABLE == 0 {
            libc::madvise(signals.ss_sp, signals.ss_size, libc::MADV_DONTFORK);
        }
    }
}

/// Executes an instruction that serializes: what comes after it is read from memory again, code
/// too.
pub fn serialize() {
    std::hint::black_box(std::arch::x86_64::__cpuid(0));
}

/// The host CPUs this process may run on, in order.
pub fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return vec![0] };
    (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

/// The host CPU the calling thread runs on, at the moment.
pub fn current_cpu() -> Option<usize> {
    // SAFETY: no arguments.
    usize::try_from(unsafe { libc::sched_getcpu() }).ok()
}

/// Pins the calling thread, and what it forks from now on, to one host CPU.
pub fn pin(cpu: usize) -> Result<()> {
    allow(0, [cpu])
}

/// Lets a host thread (0 for the calling one) run on these host CPUs only.
pub fn allow(thread: i32, cpus: impl IntoIterator<Item = usize>) -> Result<()> {
    let mut set = CpuSet::new();
    cpus.into_iter().for_each(|cpu| set.set(cpu));
    Ok(sched_setaffinity(Pid::from_raw(thread), &set)?)
}

/// A one-shot timer that interrupts the thread that made it with SIGALRM.
pub struct ThreadTimer {
    id: libc::timer_t,
}

// SAFETY: a timer id is a plain number to the host; any thread may set the timer.
unsafe impl Send for ThreadTimer {}
// SAFETY: as above.
unsafe impl Sync for ThreadTimer {}

static ON_ALARM: std::sync::OnceLock<fn()> = std::sync::OnceLock::new();

extern "C" fn alarm(_signal: i32) {
    // SAFETY: the calling thread's errno is a valid place; what was interrupted may be about to
    // read it.
    unsafe {
        let errno = *libc::__errno_location();
        if let Some(handler) = ON_ALARM.get() {
            handler();
        }
        *libc::__errno_location() = errno;
    }
}

/// What every [`ThreadTimer`] does when it fires, on the thread that made it, between any two
/// instructions: atomics and [`interrupt`] only. The first call decides.
pub fn on_alarm(handler: fn()) {
    let _ = ON_ALARM.set(handler);
}

impl ThreadTimer {
    pub fn new() -> Result<ThreadTimer> {
        // SAFETY: all-zero is a valid sigaction and sigevent; both are filled below as
        // sigaction(2), timer_create(2) say.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = alarm as *const () as usize;
            Errno::check(i64::from(libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut())))?;
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = libc::SIGALRM;
            event.sigev_notify_thread_id = id();
            let mut timer: libc::timer_t = std::ptr::null_mut();
            Errno::check(i64::from(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer)))?;
            Ok(ThreadTimer { id: timer })
        }
    }

    /// Fires once at `deadline` (CLOCK_MONOTONIC, ns); zero disarms.
    pub fn arm(&self, deadline: u64) {
        let spec = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: (deadline / 1_000_000_000) as i64,
                tv_nsec: (deadline % 1_000_000_000) as i64,
            },
        };
        // SAFETY: the timer exists as long as self; the spec is valid.
        unsafe { libc::timer_settime(self.id, libc::TIMER_ABSTIME, &raw const spec, std::ptr::null_mut()) };
    }
}

impl Drop for ThreadTimer {
    fn drop(&mut self) {
        // SAFETY: the timer was made by `new` and is deleted once.
        unsafe { libc::timer_delete(self.id) };
    }
}

/// Whether a host thread is one of this process of ours.
pub fn is_of(process: i32, thread: i32) -> bool {
    // SAFETY: plain numbers; the signal 0 is none.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, 0) == 0 }
}

/// Sends a signal to one host thread of any process of ours. A thread that is gone is no error.
pub fn interrupt(process: i32, thread: i32, signal: i32) {
    // SAFETY: plain numbers.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
}
