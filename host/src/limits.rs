//! Resource limits of `uml` itself (getrlimit(2)).
//!
//! The guest's command begins with the limits that `uml` was started with, and the guest kernel
//! enforces them. `uml` needs more than a program does: address space and a file's size for a whole
//! memory, processes and descriptors for all of the guest. So it takes as much as it may have,
//! before its first allocation. A limit that stays too low is named when something fails for it.

use crate::{Errno, terminal};
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// How many there are.
pub const COUNT: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    pub soft: u64,
    pub hard: u64,
}

const INFINITY: u64 = libc::RLIM_INFINITY;
/// A main thread's stack that is no trouble.
const STACK: u64 = 8 << 20;

/// What the host lets nobody exceed, where it is as it always was.
const DESCRIPTORS: u64 = 1 << 20;

/// So many leave something to the guest.
const LEAST_DESCRIPTORS: u64 = 256;

/// Those that stand in the way of a guest kernel, by number.
const RAISED: [u32; 7] = [
    libc::RLIMIT_CPU,
    libc::RLIMIT_FSIZE,
    libc::RLIMIT_DATA,
    libc::RLIMIT_AS,
    libc::RLIMIT_NPROC,
    libc::RLIMIT_NOFILE,
    libc::RLIMIT_SIGPENDING,
];

static FOUND: OnceLock<[Limit; COUNT]> = OnceLock::new();

/// What the process was started with.
pub fn found() -> &'static [Limit; COUNT] {
    FOUND.get_or_init(|| std::array::from_fn(|which| get(which as u32)))
}

fn get(which: u32) -> Limit {
    let mut limit = libc::rlimit { rlim_cur: INFINITY, rlim_max: INFINITY };
    // SAFETY: a valid place for the result.
    unsafe { libc::getrlimit(which, &raw mut limit) };
    Limit { soft: limit.rlim_cur, hard: limit.rlim_max }
}

fn set(which: u32, limit: Limit) -> bool {
    let limit = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
    // SAFETY: a valid limit.
    unsafe { libc::setrlimit(which, &raw const limit) == 0 }
}

/// Takes as much as the host allows, of all that a guest kernel needs. Allocates nothing. What is
/// beyond a limit fails from now on, without a signal; only the end of its CPU time ends the
/// process, with a message.
pub fn raise() {
    let found = found();
    for which in RAISED {
        let hard = found[which as usize].hard;
        // Whoever may exceed limits is not held by the hard ones either.
        let most = if which == libc::RLIMIT_NOFILE { hard.max(DESCRIPTORS) } else { INFINITY };
        if hard != most && set(which, Limit { soft: most, hard: most }) {
            continue;
        }
        // The host kills at the hard limit, without a word.
        let early = which == libc::RLIMIT_CPU && hard != INFINITY;
        let soft = if early { hard.saturating_sub(1).max(1).min(hard) } else { hard };
        set(which, Limit { soft, hard });
    }
    if get(libc::RLIMIT_NOFILE).soft < LEAST_DESCRIPTORS {
        give_up("a guest takes at least 256 descriptors", Errno::EMFILE);
    }
    let stack = found[libc::RLIMIT_STACK as usize];
    if stack.soft < STACK {
        set(libc::RLIMIT_STACK, Limit { soft: STACK.min(stack.hard), hard: stack.hard });
    }
    // SAFETY: the handler makes plain system calls.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::signal(libc::SIGXCPU, out_of_time as extern "C" fn(i32) as usize);
    }
}

/// Gives the process the limits it was started with, so that it can be started anew.
pub fn restore() {
    for which in RAISED.into_iter().chain([libc::RLIMIT_STACK]) {
        set(which, found()[which as usize]);
    }
}

extern "C" fn out_of_time(_: i32) {
    terminal::restore();
    write("uml: the host's limit on CPU time is reached (ulimit -t): the guest ends\n");
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(STATUS_OWN) };
}

/// The status of `uml`'s own errors.
pub const STATUS_OWN: i32 = 125;

fn write(text: &str) {
    // SAFETY: bytes of a string.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

/// Ends the process because of something it cannot do without. Allocates nothing. Of several
/// threads that cannot go on, the first gives its reason.
pub fn give_up(what: &str, e: Errno) -> ! {
    use std::io::Write;
    static GIVEN: AtomicBool = AtomicBool::new(false);
    if GIVEN.swap(true, Relaxed) {
        // The first one needs no longer than this to say it and to end the process.
        std::thread::sleep(Duration::from_secs(1));
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(STATUS_OWN) }
    }
    let mut text = [0u8; 400];
    let mut rest = &mut text[..];
    let _ = writeln!(rest, "uml: {what}: {}", Reason(e));
    let left = rest.len();
    let len = text.len() - left;
    write(std::str::from_utf8(&text[..len]).unwrap_or(what));
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(STATUS_OWN) }
}

/// Limits, what they count, and the errors of those who reach them. A thread's stack is address
/// space and data.
const SUSPECTS: &[(u32, &str, &[Errno])] = &[
    (libc::RLIMIT_FSIZE, "bytes in a file (ulimit -f)", &[Errno::EFBIG]),
    (libc::RLIMIT_AS, "bytes of address space (ulimit -v)", &[Errno::ENOMEM, Errno::EAGAIN]),
    (libc::RLIMIT_DATA, "bytes of data (ulimit -d)", &[Errno::ENOMEM, Errno::EAGAIN]),
    (libc::RLIMIT_NOFILE, "descriptors (ulimit -n)", &[Errno::EMFILE]),
    (libc::RLIMIT_NPROC, "processes of one user (ulimit -u)", &[Errno::EAGAIN]),
    (libc::RLIMIT_SIGPENDING, "pending signals and timers (ulimit -i)", &[Errno::EAGAIN]),
];

/// An error of the host's, with the limits it may come from.
pub struct Reason(pub Errno);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut before = "; the host allows";
        for (which, what, errors) in SUSPECTS {
            let soft = get(*which).soft;
            // Those that everybody has are high, and not what is meant.
            let tight = soft != INFINITY && (*which != libc::RLIMIT_SIGPENDING || soft < 64);
            if tight && errors.contains(&self.0) {
                write!(f, "{before} {soft} {what}")?;
                before = ",";
            }
        }
        Ok(())
    }
}
