//! The I/O thread: tells the core when a host descriptor is ready or a host signal came.
//!
//! Core code must never block in the host, so whoever would wait for a descriptor arms it here
//! instead, once each time, and goes to sleep as a guest task does. Signals to be told about are
//! blocked in every thread and read from a signalfd.

use crate::{Errno, Result};
use rustix::event::epoll::{self, EventData, EventFlags};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The descriptor armed with `token` has these events (EPOLL*). It is disarmed now.
    Ready { token: u64, events: u32 },
    /// A host signal was sent to this process.
    Signal(i32),
}

static EPOLL: OnceLock<OwnedFd> = OnceLock::new();
const SIGNAL_TOKEN: u64 = u64::MAX;

/// Starts the thread, once. Call it before any other thread is made: `signals` get blocked in this
/// thread and all that it makes.
pub fn start(signals: &[i32], callback: impl Fn(Event) + Send + 'static) -> Result<()> {
    let new = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let signal_fd = signal_fd(signals)?;
    epoll::add(&new, &signal_fd, EventData::new_u64(SIGNAL_TOKEN), EventFlags::IN)?;
    EPOLL.set(new).map_err(|_| Errno::EBUSY)?;
    let epoll = EPOLL.get().ok_or(Errno::ENXIO)?;
    std::thread::Builder::new()
        .name("io".into())
        .stack_size(256 << 10)
        .spawn(move || {
            crate::thread::keep_stacks_from_forks();
            serve(epoll, &signal_fd, &callback);
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
    let (token, events) = (EventData::new_u64(token), EventFlags::from_bits_retain(events) | EventFlags::ONESHOT);
    match epoll::modify(epoll, fd, token, events) {
        Err(rustix::io::Errno::NOENT) => Ok(epoll::add(epoll, fd, token, events)?),
        other => Ok(other?),
    }
}

/// Forgets a descriptor, which must be done before it is closed while another description of it
/// stays open.
pub fn unwatch(fd: BorrowedFd<'_>) {
    if let Some(epoll) = EPOLL.get() {
        let _ = epoll::delete(epoll, fd);
    }
}

fn serve(epoll: &OwnedFd, signal_fd: &OwnedFd, callback: &dyn Fn(Event)) {
    let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; 16];
    loop {
        let count = epoll::wait(epoll, &mut events, None).unwrap_or(0);
        for &epoll::Event { flags, data } in &events[..count] {
            let token = data.u64();
            if token == SIGNAL_TOKEN {
                while let Some(signal) = next_signal(signal_fd) {
                    callback(Event::Signal(signal));
                }
            } else {
                callback(Event::Ready { token, events: flags.bits() });
            }
        }
    }
}

fn next_signal(fd: &OwnedFd) -> Option<i32> {
    // A signalfd_siginfo, which begins with the number.
    let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
    let n = rustix::io::read(fd, &mut info).ok()?;
    info.first_chunk().filter(|_| n == info.len()).map(|number| i32::from_ne_bytes(*number))
}
