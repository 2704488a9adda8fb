//! The I/O thread: tells the core when a host descriptor is ready or a host signal came.
//!
//! Core code must never block in the host, so whoever would wait for a descriptor arms it here
//! instead, once each time, and goes to sleep as a guest task does. Signals to be told about are
//! blocked in every thread and read from a signalfd.

use crate::{Errno, Result};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The descriptor armed with `token` has these events (EPOLL*). It is disarmed now.
    Ready { token: u64, events: u32 },
    /// A host signal was sent to this process.
    Signal(i32),
}

struct Epoll(OwnedFd);

static EPOLL: OnceLock<Epoll> = OnceLock::new();
const SIGNAL_TOKEN: u64 = u64::MAX;

/// Starts the thread, once. Call it before any other thread is made: `signals` get blocked in this
/// thread and all that it makes.
pub fn start(signals: &[i32], callback: impl Fn(Event) + Send + 'static) -> Result<()> {
    // SAFETY: no arguments but a documented flag; the descriptor is new and owned by nothing else.
    let epoll = unsafe {
        let fd = Errno::check(i64::from(libc::epoll_create1(libc::EPOLL_CLOEXEC)))?;
        OwnedFd::from_raw_fd(fd as i32)
    };
    let signal_fd = signal_fd(signals)?;
    control(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, signal_fd.as_raw_fd(), libc::EPOLLIN as u32, SIGNAL_TOKEN)?;
    let fd = epoll.as_raw_fd();
    if EPOLL.set(Epoll(epoll)).is_err() {
        return Err(Errno::EBUSY);
    }
    std::thread::Builder::new()
        .name("io".into())
        .stack_size(256 << 10)
        .spawn(move || {
            crate::thread::keep_stacks_from_forks();
            serve(fd, &signal_fd, &callback);
        })
        .map_err(Errno::from)?;
    Ok(())
}

fn signal_fd(signals: &[i32]) -> Result<OwnedFd> {
    // SAFETY: the set is initialised before use and outlives the calls; signalfd returns a new
    // descriptor.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut action);
            // Who started us wants it to have no effect (nohup, a shell's background job).
            if action.sa_sigaction != libc::SIG_IGN {
                libc::sigaddset(&raw mut set, signal);
            }
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        let fd = Errno::check(i64::from(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Arms a descriptor: its next readiness for `events` (EPOLL*) is told once. EPERM for files that
/// are always ready.
pub fn watch(fd: BorrowedFd<'_>, events: u32, token: u64) -> Result<()> {
    let Some(epoll) = EPOLL.get() else { return Err(Errno::ENXIO) };
    let (epoll, fd, events) = (epoll.0.as_raw_fd(), fd.as_raw_fd(), events | libc::EPOLLONESHOT as u32);
    match control(epoll, libc::EPOLL_CTL_MOD, fd, events, token) {
        Err(Errno::ENOENT) => control(epoll, libc::EPOLL_CTL_ADD, fd, events, token),
        other => other,
    }
}

/// Forgets a descriptor, which must be done before it is closed while another description of it
/// stays open.
pub fn unwatch(fd: BorrowedFd<'_>) {
    if let Some(epoll) = EPOLL.get() {
        let _ = control(epoll.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), 0, 0);
    }
}

fn control(epoll: i32, operation: i32, fd: i32, events: u32, token: u64) -> Result<()> {
    let mut event = libc::epoll_event { events, u64: token };
    // SAFETY: both are descriptors, the event is valid for the call.
    Errno::check(i64::from(unsafe { libc::epoll_ctl(epoll, operation, fd, &raw mut event) }))?;
    Ok(())
}

fn serve(epoll: i32, signal_fd: &OwnedFd, callback: &dyn Fn(Event)) {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 16];
    loop {
        // SAFETY: the buffer has room for as many events as are asked for.
        let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), events.len() as i32, -1) };
        for event in events.iter().take(count.max(0) as usize) {
            let (token, bits) = (event.u64, event.events);
            if token == SIGNAL_TOKEN {
                while let Some(signal) = next_signal(signal_fd) {
                    callback(Event::Signal(signal));
                }
            } else {
                callback(Event::Ready { token, events: bits });
            }
        }
    }
}

fn next_signal(fd: &OwnedFd) -> Option<i32> {
    // SAFETY: all-zero is a valid signalfd_siginfo; the read fills at most its size.
    unsafe {
        let mut info: libc::signalfd_siginfo = std::mem::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        let n = libc::read(fd.as_raw_fd(), (&raw mut info).cast(), size);
        (n == size as isize).then_some(info.ssi_signo as i32)
    }
}
