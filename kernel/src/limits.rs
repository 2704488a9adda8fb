//! Resource limits (getrlimit(2)). A process has one set, which its threads share and its children
//! copy.
//!
//! Who enforces which: descriptors NOFILE; files FSIZE; core files CORE; clone NPROC; memory AS,
//! DATA, STACK, MEMLOCK; signals SIGPENDING; usage CPU; priorities NICE and RTPRIO; message queues
//! MSGQUEUE. RSS, LOCKS and RTTIME are kept and shown.

use std::sync::atomic::AtomicI64;
pub use umlab_host::limits::COUNT;

/// The most descriptors a process may be allowed now (fs.nr_open).
pub static NR_OPEN: AtomicI64 = AtomicI64::new(MAX_DESCRIPTORS.cast_signed());
pub const INFINITY: u64 = u64::MAX;

pub const CPU: usize = 0;
pub const FSIZE: usize = 1;
pub const DATA: usize = 2;
pub const STACK: usize = 3;
pub const CORE: usize = 4;
pub const RSS: usize = 5;
pub const NPROC: usize = 6;
pub const NOFILE: usize = 7;
pub const MEMLOCK: usize = 8;
pub const AS: usize = 9;
pub const LOCKS: usize = 10;
pub const SIGPENDING: usize = 11;
pub const MSGQUEUE: usize = 12;
pub const NICE: usize = 13;
pub const RTPRIO: usize = 14;
pub const RTTIME: usize = 15;

/// The most descriptors that a process can ever be allowed.
pub const MAX_DESCRIPTORS: u64 = 1 << 20;

pub use umlab_host::limits::Limit;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits([Limit; COUNT]);

impl Limits {
    /// What the first process starts with: Linux's own defaults.
    pub fn initial(max_tasks: u64) -> Limits {
        let mut limits = [Limit { soft: INFINITY, hard: INFINITY }; COUNT];
        let mut set = |which: usize, soft, hard| limits[which] = Limit { soft, hard };
        set(STACK, 8 << 20, INFINITY);
        set(CORE, 0, INFINITY);
        set(NPROC, max_tasks / 2, max_tasks / 2);
        set(NOFILE, 1024, MAX_DESCRIPTORS);
        set(MEMLOCK, 8 << 20, 8 << 20);
        set(SIGPENDING, max_tasks / 2, max_tasks / 2);
        set(MSGQUEUE, 819_200, 819_200);
        set(NICE, 0, 0);
        set(RTPRIO, 0, 0);
        Limits(limits)
    }

    /// What a process of the host's has.
    pub fn inherited(found: &[Limit; COUNT]) -> Limits {
        let mut limits = *found;
        let descriptors = &mut limits[NOFILE];
        descriptors.hard = descriptors.hard.min(MAX_DESCRIPTORS);
        descriptors.soft = descriptors.soft.min(descriptors.hard);
        Limits(limits)
    }

    /// One of the limits, by the numbers above.
    pub fn get(&self, which: usize) -> Limit {
        self.0[which]
    }

    pub fn soft(&self, which: usize) -> u64 {
        self.0[which].soft
    }

    pub fn set(&mut self, which: usize, limit: Limit) {
        self.0[which] = limit;
    }
}

/// What a process has of the one that started it, beside descriptors and credentials. The command
/// has it as if `uml` were not between.
#[derive(Clone, Copy, Debug)]
pub struct Inherited {
    pub umask: u32,
    pub limits: Limits,
    pub nice: i32,
}

impl Inherited {
    /// What `uml` itself was started with.
    pub fn own() -> Inherited {
        Inherited {
            umask: umlab_host::process::umask(),
            limits: Limits::inherited(umlab_host::limits::found()),
            nice: umlab_host::process::nice(),
        }
    }
}
