//! What the host tells the core: descriptors that became ready, and signals to this process.
//!
//! The host's I/O thread is no guest CPU and must not run core code, so it only notes what happened
//! and makes a CPU come into the core; that CPU wakes who waits. A kick finds the CPU's next way
//! out of user mode or out of sleep, where [`deliver`] is called.

use crate::Result;
use crate::lock::{self, KCell};
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::sync::{Arc, OnceLock, Weak};
use umlab_host::events::{self as host, Event};

/// Who waits for a host descriptor.
pub trait HostReady: Send + Sync {
    /// The descriptor has these events (EPOLL*), and is not watched any more.
    fn ready(&self, events: u32);
}

static NOTED: AtomicBool = AtomicBool::new(false);
static PENDING: KCell<Vec<Event>> = KCell::new(Vec::new());
static WATCHERS: KCell<Watchers> = KCell::new(Watchers { next: 0, by_token: BTreeMap::new() });

struct Watchers {
    next: u64,
    by_token: BTreeMap<u64, Weak<dyn HostReady>>,
}

/// Signals to `uml` that are the guest's to act on.
const PASSED_ON: [i32; 6] = [abi::SIGINT, abi::SIGTERM, abi::SIGHUP, abi::SIGQUIT, abi::SIGUSR1, abi::SIGUSR2];
/// Signals that concern the host terminal.
const TERMINAL: [i32; 3] = [abi::SIGWINCH, abi::SIGCONT, abi::SIGTSTP];

/// What the layers above do about news. Called on a guest CPU, in the big lock.
pub struct Handlers {
    /// A signal to `uml` that is the guest's to act on.
    pub signal: fn(i32),
    /// A signal that concerns the host terminal.
    pub terminal: fn(i32),
    /// Contexts were lost.
    pub lost: fn(),
    /// Whenever a CPU comes out of sleep, or its user mode was interrupted.
    pub always: fn(),
}

static HANDLERS: OnceLock<Handlers> = OnceLock::new();

/// A context was lost, and nobody has looked yet which.
static LOST: AtomicBool = AtomicBool::new(false);

/// Says that a task's context is lost (see [`umlab_model::Context::is_lost`]). Callable from any
/// host thread, without the big lock; a CPU has to be kicked then.
pub fn context_lost() {
    LOST.store(true, SeqCst);
}

/// Starts listening to the host. Called by boot once, before the CPUs' threads are made, so that
/// they inherit the signal mask.
pub fn start(handlers: Handlers) -> Result<()> {
    assert!(HANDLERS.set(handlers).is_ok(), "boot starts once");
    let signals: Vec<i32> = PASSED_ON.iter().chain(&TERMINAL).copied().collect();
    host::start(&signals, |event| {
        lock::with(|| {
            PENDING.borrow_mut().push(event);
            NOTED.store(true, Relaxed);
            super::kick_for_event();
        });
    })
}

/// A registration to watch one host descriptor; dropping it ends that.
pub struct Watch {
    token: u64,
}

impl Watch {
    pub fn new(target: &Arc<dyn HostReady>) -> Watch {
        let mut watchers = WATCHERS.borrow_mut();
        watchers.next += 1;
        let token = watchers.next;
        watchers.by_token.insert(token, Arc::downgrade(target));
        Watch { token }
    }

    /// Asks to be told once when `fd` has one of `events` (EPOLL*). Asking again replaces what was
    /// asked before. EPERM for descriptors that cannot be waited for, which are always ready.
    pub fn arm(&self, fd: BorrowedFd<'_>, events: u32) -> Result<()> {
        host::watch(fd, events, self.token)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCHERS.borrow_mut().by_token.remove(&self.token);
    }
}

/// Passes on what the host told. Called on every guest CPU when it comes out of sleep or its user
/// mode was interrupted.
pub fn deliver() {
    let Some(handlers) = HANDLERS.get() else { return };
    if LOST.swap(false, SeqCst) {
        (handlers.lost)();
    }
    (handlers.always)();
    if !NOTED.swap(false, Relaxed) {
        return;
    }
    for event in PENDING.take() {
        match event {
            Event::Ready { token, events } => {
                let target = WATCHERS.borrow().by_token.get(&token).and_then(Weak::upgrade);
                if let Some(target) = target {
                    target.ready(events);
                }
            }
            Event::Signal(number) if TERMINAL.contains(&number) => (handlers.terminal)(number),
            Event::Signal(number) => (handlers.signal)(number),
        }
    }
}
