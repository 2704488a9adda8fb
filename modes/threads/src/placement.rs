//! Where a guest CPU runs on the host: its thread and the processes that it runs user code in,
//! pinned to one host CPU, which may become another one while the guest runs. The thread moves
//! itself and each of its processes when user mode is next entered there.

use crate::{count, cpu};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::*};
use umlab_host::placement::Guest;
use umlab_host::thread;
use umlab_model::lock::KCell;

/// The place of one guest CPU.
pub(crate) struct Place {
    /// The host CPU it is to be on.
    host_cpu: AtomicUsize,
    /// Its host thread, 0 before that runs.
    thread: AtomicI32,
    pinned: KCell<Pinned>,
}

/// What is on the host CPU already.
struct Pinned {
    host_cpu: usize,
    /// Processes that came along, none of which has to be named before the first move: they are
    /// made there. The number of one that ended can only be that of a younger one.
    along: Option<BTreeSet<i32>>,
    /// The one that ran last.
    last: i32,
}

impl Place {
    pub fn new(host_cpu: usize) -> Place {
        Place {
            host_cpu: AtomicUsize::new(host_cpu),
            thread: AtomicI32::new(0),
            pinned: KCell::new(Pinned { host_cpu, along: None, last: 0 }),
        }
    }

    /// Called by the guest CPU's thread when it starts. Pinning is for speed only, here and below;
    /// a host that forbids it still runs guests.
    pub fn begin(&self) {
        self.thread.store(thread::id(), SeqCst);
        let _ = thread::pin(self.host_cpu.load(SeqCst));
    }

    pub fn host_cpu(&self) -> usize {
        self.host_cpu.load(Relaxed)
    }

    /// The guest CPU's own thread, 0 before it runs.
    pub fn thread(&self) -> i32 {
        self.thread.load(SeqCst)
    }

    /// User mode is about to be entered, on the guest CPU's own thread: in this process, which
    /// comes along if it is named.
    pub fn follow(&self, process: Option<i32>) {
        let host_cpu = self.host_cpu();
        let mut pinned = self.pinned.borrow_mut();
        if pinned.host_cpu != host_cpu {
            let _ = thread::pin(host_cpu);
            *pinned = Pinned { host_cpu, along: Some(BTreeSet::new()), last: 0 };
        }
        let Some(process) = process.filter(|&process| process != pinned.last) else { return };
        pinned.last = process;
        if pinned.along.as_mut().is_some_and(|along| along.insert(process)) {
            let _ = thread::allow(process, [host_cpu]);
        }
    }
}

/// How guest CPUs are watched and moved.
pub(crate) const GUEST: Guest = Guest {
    threads: |number| {
        let cpu = &cpu::all()[number];
        [cpu.place.thread(), cpu.user().map_or(0, |user| user.thread)]
    },
    moved: |number, host_cpu| {
        count(|c| &c.cpu_moves, 1);
        cpu::all()[number].place.host_cpu.store(host_cpu, SeqCst);
        cpu::kick(number);
    },
};
