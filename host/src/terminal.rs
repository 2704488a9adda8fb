//! The host terminal that `uml` was started on: raw while the guest uses it, and always given back
//! as it was.
//!
//! It is restored when the guest ends, at `exit`, at a panic and at fatal signals of this process.
//! Nobody can restore it when the process is killed with SIGKILL; `stty sane` or `reset` in the
//! shell does.

use crate::Result;
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{OptionalActions, SpecialCodeIndex, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::IsTerminal;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::*};
use std::sync::{Once, OnceLock};

pub type Settings = Termios;
pub type WindowSize = Winsize;

static SAVED: OnceLock<Settings> = OnceLock::new();
/// The terminal that is raw now, or -1.
static RAW: AtomicI32 = AtomicI32::new(-1);
/// The terminal is to be raw while this process is in the foreground.
static WANTED: AtomicBool = AtomicBool::new(false);

pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    fd.is_terminal()
}

/// The settings of a terminal; ENOTTY for other files.
pub fn settings(fd: BorrowedFd<'_>) -> Result<Settings> {
    Ok(tcgetattr(fd)?)
}

/// The special characters (c_cc), by number.
pub fn special_characters(settings: &Settings) -> [u8; 17] {
    use SpecialCodeIndex as Code;
    [
        Code::VINTR,
        Code::VQUIT,
        Code::VERASE,
        Code::VKILL,
        Code::VEOF,
        Code::VTIME,
        Code::VMIN,
        Code::VSWTC,
        Code::VSTART,
        Code::VSTOP,
        Code::VSUSP,
        Code::VEOL,
        Code::VREPRINT,
        Code::VDISCARD,
        Code::VWERASE,
        Code::VLNEXT,
        Code::VEOL2,
    ]
    .map(|code| settings.special_codes[code])
}

/// Rows, columns, and the size in pixels.
pub fn size(fd: BorrowedFd<'_>) -> Result<WindowSize> {
    Ok(tcgetwinsize(fd)?)
}

/// Makes the terminal raw: every key goes to the guest, and its output is shown as it is. Stops
/// this process (SIGTTOU) while it is in the background, as any program that changes its terminal.
pub fn make_raw(fd: BorrowedFd<'_>) -> Result<()> {
    let saved = match SAVED.get() {
        Some(saved) => saved,
        None => SAVED.get_or_init({
            let now = settings(fd)?;
            move || now
        }),
    };
    install_guards();
    WANTED.store(true, SeqCst);
    let mut raw = saved.clone();
    raw.make_raw();
    RAW.store(fd.as_raw_fd(), SeqCst);
    Ok(rustix::io::retry_on_intr(|| tcsetattr(fd, OptionalActions::Drain, &raw))?)
}

/// Whether this process may change the terminal. A process group of another PID namespace is 0 in
/// both calls, a number that rustix takes for an error.
fn in_foreground(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: plain system calls on a descriptor, safe in signal handlers.
    unsafe { libc::tcgetpgrp(fd.as_raw_fd()) == libc::getpgrp() }
}

/// Gives the terminal back as it was found. Callable at any time, from signal handlers too.
pub fn restore() {
    let fd = RAW.swap(-1, SeqCst);
    if fd >= 0
        && let Some(saved) = SAVED.get()
    {
        // SAFETY: the console keeps it open until the process ends, and no more than system calls
        // are made with it.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        // From the background it would stop us with SIGTTOU; then it is not ours to change either.
        if in_foreground(fd) {
            let _ = tcsetattr(fd, OptionalActions::Drain, saved);
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
    if let Some(uml) = Pid::from_raw(uml) {
        let _ = kill_process(uml, Signal::STOP);
    }
    if uml == own {
        continued(fd);
    }
}

/// For SIGCONT: the shell may have changed the terminal meanwhile.
pub fn continued(fd: BorrowedFd<'_>) {
    if WANTED.load(SeqCst) && in_foreground(fd) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn special_characters_are_in_order() {
        let Ok(terminal) = std::fs::File::options().read(true).write(true).open("/dev/ptmx") else { return };
        let initial = [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0];
        assert_eq!(special_characters(&settings(terminal.as_fd()).unwrap()), initial);
    }

    #[test]
    fn files_are_no_terminals() {
        let file = tempfile::tempfile().unwrap();
        assert!(!is_terminal(file.as_fd()));
        assert_eq!(settings(file.as_fd()).err(), Some(crate::Errno::ENOTTY));
        assert_eq!(size(file.as_fd()).err(), Some(crate::Errno::ENOTTY));
    }
}
