//! Resource limits of `uml` itself (getrlimit(2)).
//!
//! The guest's command begins with the limits that `uml` was started with, and the guest kernel
//! enforces them. `uml` needs more than a program does: address space and a file's size for a whole
//! memory, processes and descriptors for all of the guest. So it takes as much as it may have,
//! before its first allocation. A limit that stays too low is named when something fails for it.

use crate::{Errno, terminal};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
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

/// Those that stand in the way of a guest kernel.
const RAISED: [Resource; 7] = [
    Resource::Cpu,
    Resource::Fsize,
    Resource::Data,
    Resource::As,
    Resource::Nproc,
    Resource::Nofile,
    Resource::Sigpending,
];

/// All of them, by number.
const ALL: [Resource; COUNT] = [
    Resource::Cpu,
    Resource::Fsize,
    Resource::Data,
    Resource::Stack,
    Resource::Core,
    Resource::Rss,
    Resource::Nproc,
    Resource::Nofile,
    Resource::Memlock,
    Resource::As,
    Resource::Locks,
    Resource::Sigpending,
    Resource::Msgqueue,
    Resource::Nice,
    Resource::Rtprio,
    Resource::Rttime,
];
const _: () = {
    let mut number = 0;
    while number < COUNT {
        assert!(ALL[number] as usize == number);
        number += 1;
    }
};

static FOUND: OnceLock<[Limit; COUNT]> = OnceLock::new();

/// What the process was started with.
pub fn found() -> &'static [Limit; COUNT] {
    FOUND.get_or_init(|| ALL.map(get))
}

fn get(which: Resource) -> Limit {
    let limit = getrlimit(which);
    Limit { soft: limit.current.unwrap_or(INFINITY), hard: limit.maximum.unwrap_or(INFINITY) }
}

fn set(which: Resource, limit: Limit) -> bool {
    setrlimit(which, Rlimit { current: Some(limit.soft), maximum: Some(limit.hard) }).is_ok()
}

/// Takes as much as the host allows, of all that a guest kernel needs. Allocates nothing. What is
/// beyond a limit fails from now on, without a signal; only the end of its CPU time ends the
/// process, with a message.
pub fn raise() {
    let found = found();
    for which in RAISED {
        let hard = found[which as usize].hard;
        // Whoever may exceed limits is not held by the hard ones either.
        let most = if which == Resource::Nofile { hard.max(DESCRIPTORS) } else { INFINITY };
        if hard != most && set(which, Limit { soft: most, hard: most }) {
            continue;
        }
        // The host kills at the hard limit, without a word.
        let early = which == Resource::Cpu && hard != INFINITY;
        let soft = if early { hard.saturating_sub(1).max(1).min(hard) } else { hard };
        set(which, Limit { soft, hard });
    }
    if get(Resource::Nofile).soft < LEAST_DESCRIPTORS {
        give_up("a guest takes at least 256 descriptors", Errno::EMFILE);
    }
    let stack = found[Resource::Stack as usize];
    if stack.soft < STACK {
        set(Resource::Stack, Limit { soft: STACK.min(stack.hard), hard: stack.hard });
    }
    // SAFETY: the handler makes plain system calls.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::signal(libc::SIGXCPU, out_of_time as extern "C" fn(i32) as usize);
    }
}

/// Gives the process the limits it was started with, so that it can be started anew.
pub fn restore() {
    for which in RAISED.into_iter().chain([Resource::Stack]) {
        set(which, found()[which as usize]);
    }
}

extern "C" fn out_of_time(_: i32) {
    terminal::restore();
    write("uml: the host's limit on CPU time is reached (ulimit -t): the guest ends\n");
    end();
}

/// The status of `uml`'s own errors.
pub const STATUS_OWN: i32 = 125;

fn write(text: &str) {
    let _ = rustix::io::write(rustix::stdio::stderr(), text.as_bytes());
}

fn end() -> ! {
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(STATUS_OWN) }
}

/// Ends the process because of something it cannot do without. Allocates nothing. Of several
/// threads that cannot go on, the first gives its reason.
pub fn give_up(what: &str, e: Errno) -> ! {
    use std::io::Write;
    static GIVEN: AtomicBool = AtomicBool::new(false);
    if GIVEN.swap(true, Relaxed) {
        // The first one needs no longer than this to say it and to end the process.
        std::thread::sleep(Duration::from_secs(1));
        end();
    }
    let mut text = [0u8; 400];
    let mut rest = &mut text[..];
    let _ = writeln!(rest, "uml: {what}: {}", Reason(e));
    let left = rest.len();
    let len = text.len() - left;
    write(std::str::from_utf8(&text[..len]).unwrap_or(what));
    end();
}

/// Limits, what they count, and the errors of those who reach them. A thread's stack is address
/// space and data.
const SUSPECTS: &[(Resource, &str, &[Errno])] = &[
    (Resource::Fsize, "bytes in a file (ulimit -f)", &[Errno::EFBIG]),
    (Resource::As, "bytes of address space (ulimit -v)", &[Errno::ENOMEM, Errno::EAGAIN]),
    (Resource::Data, "bytes of data (ulimit -d)", &[Errno::ENOMEM, Errno::EAGAIN]),
    (Resource::Nofile, "descriptors (ulimit -n)", &[Errno::EMFILE]),
    (Resource::Nproc, "processes of one user (ulimit -u)", &[Errno::EAGAIN]),
    (Resource::Sigpending, "pending signals and timers (ulimit -i)", &[Errno::EAGAIN]),
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
            let tight = soft != INFINITY && (*which != Resource::Sigpending || soft < 64);
            if tight && errors.contains(&self.0) {
                write!(f, "{before} {soft} {what}")?;
                before = ",";
            }
        }
        Ok(())
    }
}
