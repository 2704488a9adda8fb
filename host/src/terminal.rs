//! The host terminal that `uml` was started on: raw while the guest uses it, and always given back
//! as it was.
//!
//! It is restored when the guest ends, at `exit`, at a panic and at fatal signals of this process.
//! Nobody can restore it when the process is killed with SIGKILL; `stty sane` or `reset` in the
//! shell does.

use crate::{Errno, Result};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::*};
use std::sync::{Once, OnceLock};

/// A terminal's settings, as the C library has them.
pub type Settings = libc::termios;
pub type WindowSize = libc::winsize;

static SAVED: OnceLock<Settings> = OnceLock::new();
/// The terminal that is raw now, or -1.
static RAW: AtomicI32 = AtomicI32::new(-1);
/// The terminal is to be raw while this process is in the foreground.
static WANTED: AtomicBool = AtomicBool::new(false);

pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: a descriptor.
    unsafe { libc::isatty(fd.as_raw_fd()) == 1 }
}

/// The settings of a terminal; ENOTTY for other files.
pub fn settings(fd: BorrowedFd<'_>) -> Result<Settings> {
    get(fd.as_raw_fd())
}

fn get(fd: RawFd) -> Result<Settings> {
    // SAFETY: all-zero is a valid termios; the call fills it.
    unsafe {
        let mut termios: Settings = std::mem::zeroed();
        Errno::check(i64::from(libc::tcgetattr(fd, &raw mut termios)))?;
        Ok(termios)
    }
}

/// Rows, columns, and the size in pixels.
pub fn size(fd: BorrowedFd<'_>) -> Result<WindowSize> {
    // SAFETY: all-zero is a valid winsize; the call fills it.
    unsafe {
        let mut size: WindowSize = std::mem::zeroed();
        Errno::check(i64::from(libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &mut size)))?;
        Ok(size)
    }
}

/// Makes the terminal raw: every key goes to the guest, and its output is shown as it is. Stops
/// this process (SIGTTOU) while it is in the background, as any program that changes its terminal.
pub fn make_raw(fd: BorrowedFd<'_>) -> Result<()> {
    let saved = match SAVED.get() {
        Some(saved) => *saved,
        None => *SAVED.get_or_init({
            let now = get(fd.as_raw_fd())?;
            move || now
        }),
    };
    install_guards();
    WANTED.store(true, SeqCst);
    let mut raw = saved;
    // SAFETY: a valid termios.
    unsafe { libc::cfmakeraw(&raw mut raw) };
    RAW.store(fd.as_raw_fd(), SeqCst);
    set(fd.as_raw_fd(), &raw)
}

fn set(fd: RawFd, termios: &Settings) -> Result<()> {
    loop {
        // SAFETY: a descriptor and a valid termios.
        match Errno::check(i64::from(unsafe { libc::tcsetattr(fd, libc::TCSADRAIN, termios) })) {
            Err(Errno::EINTR) => {}
            other => return other.map(|_| ()),
        }
    }
}

/// Gives the terminal back as it was found. Callable at any time, from signal handlers too.
pub fn restore() {
    let fd = RAW.swap(-1, SeqCst);
    if fd >= 0
        && let Some(saved) = SAVED.get()
    {
        // From the background it would stop us with SIGTTOU; then it is not ours to change either.
        // SAFETY: plain system calls on a descriptor, safe in signal handlers.
        unsafe {
            if libc::tcgetpgrp(fd) == libc::getpgrp() {
                libc::tcsetattr(fd, libc::TCSADRAIN, saved);
            }
        }
    }
}

/// For SIGTSTP: gives the terminal back, stops this process, and makes the terminal raw again when
/// it goes on.
pub fn stop_self(fd: BorrowedFd<'_>) {
    restore();
    // The core may run in another process than the one that people see (`uml`'s); its being
    // continued makes the terminal raw again.
    let own = std::process::id() as i32;
    let uml = crate::process::main_id();
    // SAFETY: stops the process until SIGCONT.
    unsafe { libc::kill(uml, libc::SIGSTOP) };
    if uml == own {
        continued(fd);
    }
}

/// For SIGCONT: the shell may have changed the terminal meanwhile.
pub fn continued(fd: BorrowedFd<'_>) {
    // SAFETY: plain system calls.
    let foreground = unsafe { libc::tcgetpgrp(fd.as_raw_fd()) == libc::getpgrp() };
    if WANTED.load(SeqCst) && foreground {
        let _ = make_raw(fd);
    }
}

const FATAL: [i32; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGSYS, libc::SIGTRAP];

/// Sees to it that the terminal is restored however this process ends.
fn install_guards() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            previous(info);
        }));
        extern "C" fn at_exit() {
            restore();
        }
        // SAFETY: the function has the type atexit(3) asks for and only makes system calls.
        unsafe { libc::atexit(at_exit) };
        for signal in FATAL {
            // SAFETY: all-zero is a valid sigaction; a handler that someone else installed is left
            // alone.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                libc::sigaction(signal, std::ptr::null(), &raw mut action);
                if action.sa_sigaction == libc::SIG_DFL {
                    action.sa_sigaction = fatal as *const () as usize;
                    action.sa_flags = libc::SA_RESETHAND | libc::SA_NODEFER | libc::SA_ONSTACK;
                    libc::sigaction(signal, &raw const action, std::ptr::null_mut());
                }
            }
        }
    });
}

/// The action is the default one again when this runs, so raising the signal once more ends the
/// process with it.
extern "C" fn fatal(signal: i32) {
    restore();
    // SAFETY: async-signal-safe.
    unsafe { libc::raise(signal) };
}
