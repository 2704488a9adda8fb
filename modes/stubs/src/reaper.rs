//! The end of host processes that nobody traces.
//!
//! A stub process can end at any moment: somebody on the host kills it, or the host has no memory.
//! Whoever then waits for it, in a call that its end does not finish, would sleep for ever. So one
//! thread waits for processes that end, has the waiting one look up, and only then takes the
//! process's status: until that, nothing else can have its number.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};
use umlab_host::child::{self, Ended};
use umlab_host::{limits, thread};

/// Interrupts the host call in which somebody waits for this process. False if nobody does.
pub type Wake = fn(i32) -> bool;

/// How a process has ended: its exit status, or the signal; [`RUNNING`] before.
type End = AtomicI32;

const RUNNING: i32 = -1;

/// The processes that are watched over.
static PROCESSES: Mutex<BTreeMap<i32, Arc<End>>> = Mutex::new(BTreeMap::new());
/// One was added, or removed.
static CHANGED: Condvar = Condvar::new();

fn processes() -> MutexGuard<'static, BTreeMap<i32, Arc<End>>> {
    PROCESSES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child process that is watched over. Dropping it leaves the process as it is.
pub struct Watched {
    pub pid: i32,
    end: Arc<End>,
}

impl Watched {
    /// Watches over a child of this process, which nobody else waits for from now on.
    pub fn new(pid: i32, wake: Wake) -> Watched {
        static STARTED: Once = Once::new();
        let end = Arc::new(AtomicI32::new(RUNNING));
        processes().insert(pid, end.clone());
        CHANGED.notify_all();
        STARTED.call_once(|| start(wake));
        Watched { pid, end }
    }

    /// Whether it has ended. Whoever is about to sleep until it does something names it first, as
    /// [`Wake`] finds it, and then asks.
    pub fn is_over(&self) -> bool {
        self.status().is_some()
    }

    /// The exit status or signal with which it has ended.
    pub fn status(&self) -> Option<i32> {
        Some(self.end.load(SeqCst)).filter(|&status| status != RUNNING)
    }

    /// Ends it.
    pub fn kill(&self) {
        // While the list is locked its number is not given away.
        let _listed = processes();
        if !self.is_over() {
            child::kill(self.pid);
        }
    }
}

/// Ends all processes, and waits until nothing is left of them, but not for long.
pub fn end_all() {
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut processes = processes();
    processes.iter().filter(|(_, end)| end.load(SeqCst) == RUNNING).for_each(|(&pid, _)| child::kill(pid));
    while !processes.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        processes = CHANGED.wait_timeout(processes, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn start(wake: Wake) {
    let reaper = std::thread::Builder::new().name("reaper".into()).stack_size(256 << 10).spawn(move || {
        thread::keep_stacks_from_forks();
        loop {
            serve(wake);
        }
    });
    if let Err(error) = reaper {
        limits::give_up("cannot start a thread that waits for processes", error.into());
    }
}

/// Waits for one process that has ended, and for those who wait for it.
fn serve(wake: Wake) {
    let (pid, status) = match child::next_ended() {
        Ended::Child { pid, status } => (pid, status),
        Ended::NoChildren => {
            let listed = processes();
            if listed.is_empty() {
                drop(CHANGED.wait(listed));
            }
            return;
        }
    };
    let Some(end) = processes().get(&pid).cloned() else {
        // It was made just now; or it is somebody else's, who takes its status soon.
        return std::thread::sleep(Duration::from_millis(1));
    };
    end.store(status, SeqCst);
    while wake(pid) {
        // It may have been about to sleep: once more.
        std::thread::sleep(Duration::from_micros(200));
    }
    let mut listed = processes();
    child::reap(pid);
    listed.remove(&pid);
    CHANGED.notify_all();
}
