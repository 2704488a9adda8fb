//! Tasks and processes.
//!
//! A [`Task`] is a thread: what the scheduler runs, with a kernel stack of its own. A [`Process`]
//! is a thread group: what has a PID, a parent, and ends with an exit status. PID 1 is built in
//! ([`init`]).

pub mod call;
pub mod clone;
pub mod core_dump;
mod current;
mod elf;
pub mod exec;
pub mod exit;
pub mod futex;
pub mod group;
pub mod init;
pub mod inspect;
pub mod oom;
pub mod pid;
pub mod pidfd;
pub mod process;
pub mod ptrace;
pub mod run;
pub mod setid;
pub mod signal;
mod times;
pub mod upcall;
pub mod usage;
pub mod user_dispatch;
pub mod wait;
pub mod whom;

pub use call::Call;
pub use current::{acting, current};
pub use group::{ProcessGroup, Session};
pub use pid::{find, find_group, find_process, find_session};
pub use process::Process;
pub use whom::Whom;

use crate::Pid;
use crate::creds::Creds;
use crate::lock::KCell;
use crate::mm::AddressSpace;
use crate::mm::fault::LastRefusal;
use crate::sched::Entity;
use crate::task::signal::{SigActions, TaskSignals};
use crate::vfs::context::Caller;
use crate::vfs::file::OpenFile;
use crate::vfs::{FdTable, FsContext, Path};
use crate::{Errno, Result};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Weak};
use upcall::Undo;
use usage::Usage;
use user_dispatch::UserDispatch;

/// A thread.
pub struct Task {
    tid: AtomicI32,
    me: Weak<Task>,
    pub process: Arc<Process>,
    /// The name in /proc/PID/comm, at most 15 bytes.
    pub name: KCell<Vec<u8>>,
    /// None once the task has begun to exit.
    pub space: KCell<Option<Arc<AddressSpace>>>,
    pub files: KCell<Option<Arc<FdTable>>>,
    pub fs: KCell<Arc<FsContext>>,
    pub creds: KCell<Arc<Creds>>,
    pub sched: Entity,
    /// Some once the thread must end, with its wait status: it will not return to user mode, and
    /// its sleeps end.
    ending: KCell<Option<i32>>,
    /// What this thread alone used.
    pub usage: KCell<Usage>,
    /// When it was made (CLOCK_MONOTONIC, ns).
    pub start_time: u64,
    pub attributes: KCell<Attributes>,
    pub signals: KCell<TaskSignals>,
    /// What its process does about signals; CLONE_SIGHAND shares it.
    pub actions: KCell<Arc<KCell<SigActions>>>,
    /// What semaphores it changed and will take back, if it has a list yet.
    undo: KCell<Option<Arc<dyn Undo>>>,
    /// The vfork parent that sleeps until the task leaves the address space.
    vfork: KCell<Option<Arc<clone::VforkDone>>>,
    times: times::Times,
    /// Who traces it.
    pub trace: ptrace::Trace,
    pub user_dispatch: KCell<Option<UserDispatch>>,
    /// Of its page faults.
    pub last_refusal: KCell<LastRefusal>,
}

/// What system calls set of a thread and read back: each thread has its own.
#[derive(Clone, Debug)]
pub struct Attributes {
    /// Where to write 0 and wake a futex when the thread ends (set_tid_address(2)); 0 for nowhere.
    pub clear_child_tid: u64,
    /// Head of the list of robust futexes, 0 for none.
    pub robust_list: u64,
    /// The signal it gets when the parent's thread that made it ends (PR_SET_PDEATHSIG), 0 for
    /// none.
    pub parent_death_signal: i32,
    /// personality(2).
    pub personality: u32,
    /// -20 (first served) to 19.
    pub nice: i32,
    /// SCHED_*, without SCHED_RESET_ON_FORK.
    pub policy: i32,
    /// Real-time priority, 0 for the others.
    pub priority: i32,
    pub reset_on_fork: bool,
    /// The guest CPUs it may run on, as a bit mask.
    pub affinity: u64,
    pub io_priority: u16,
    /// PR_SET_TIMERSLACK, ns.
    pub timer_slack: u64,
    /// What PR_SET_TIMERSLACK goes back to: what the creator had.
    pub default_timer_slack: u64,
}

impl Default for Attributes {
    fn default() -> Self {
        Attributes {
            clear_child_tid: 0,
            robust_list: 0,
            parent_death_signal: 0,
            personality: 0,
            nice: 0,
            policy: abi::SCHED_OTHER,
            priority: 0,
            reset_on_fork: false,
            affinity: u64::MAX,
            io_priority: 0,
            timer_slack: 50_000,
            default_timer_slack: 50_000,
        }
    }
}

/// What a new task shares with others or starts with.
pub struct Parts {
    pub name: Vec<u8>,
    pub space: Option<Arc<AddressSpace>>,
    pub files: Option<Arc<FdTable>>,
    pub fs: Arc<FsContext>,
    pub creds: Arc<Creds>,
    pub attributes: Attributes,
    pub signals: TaskSignals,
    pub actions: Arc<KCell<SigActions>>,
}

impl Caller for Task {
    fn creds(&self) -> Arc<Creds> {
        self.creds.cloned()
    }

    fn root(&self) -> Path {
        self.fs.borrow().root.cloned()
    }

    fn cwd(&self) -> Path {
        self.fs.borrow().cwd.cloned()
    }

    fn umask(&self) -> u32 {
        self.fs.borrow().umask.get()
    }

    fn file(&self, fd: i32) -> Result<Arc<OpenFile>> {
        self.files.borrow().as_ref().ok_or(Errno::EBADF)?.get(fd)
    }
}

impl Task {
    /// A task of `process`, in no table yet and without a context.
    pub fn new(tid: Pid, process: &Arc<Process>, parts: Parts) -> Arc<Task> {
        Arc::new_cyclic(|me| Task {
            tid: AtomicI32::new(tid),
            me: me.clone(),
            process: process.clone(),
            name: KCell::new(parts.name),
            space: KCell::new(parts.space),
            files: KCell::new(parts.files),
            fs: KCell::new(parts.fs),
            creds: KCell::new(parts.creds),
            sched: Entity::default(),
            ending: KCell::new(None),
            usage: KCell::default(),
            start_time: crate::time::now(),
            attributes: KCell::new(parts.attributes),
            signals: KCell::new(parts.signals),
            actions: KCell::new(parts.actions),
            undo: KCell::new(None),
            vfork: KCell::new(None),
            times: times::Times::new(),
            trace: Default::default(),
            user_dispatch: KCell::default(),
            last_refusal: KCell::default(),
        })
    }

    /// The thread id. It changes only when another thread than the first one calls execve(2).
    pub fn tid(&self) -> Pid {
        self.tid.load(Ordering::Relaxed)
    }

    fn set_tid(&self, tid: Pid) {
        self.tid.store(tid, Ordering::Relaxed);
    }

    /// The process's PID, which getpid(2) returns.
    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    /// The counted reference behind `self`.
    pub fn arc(&self) -> Arc<Task> {
        self.me.upgrade().expect("a task that is being used has an owner")
    }

    /// Whether a vfork parent waits for it to leave the address space.
    pub fn is_vfork_child(&self) -> bool {
        self.vfork.borrow().is_some()
    }

    /// A page fault that the core resolved (ru_minflt). Those that the host resolves are not known.
    pub fn count_fault(&self) {
        self.usage.borrow_mut().minor_faults += 1;
        self.process.usage.borrow_mut().minor_faults += 1;
    }

    /// Its address space; only for a task that has not begun to exit, as the current one in a
    /// system call.
    pub fn space(&self) -> Arc<AddressSpace> {
        self.space.cloned().expect("a task in a system call has its address space")
    }

    /// Its descriptor table; as `space`.
    pub fn files(&self) -> Arc<FdTable> {
        self.files.cloned().expect("a task in a system call has its descriptors")
    }

    pub fn creds(&self) -> Arc<Creds> {
        self.creds.cloned()
    }

    /// Whether the thread must end; the trap loop then calls [`exit::finish`].
    pub fn ending(&self) -> Option<i32> {
        self.ending.get()
    }

    /// Whether an unblocked signal waits to be acted on.
    pub fn signal_pending(&self) -> bool {
        self.ending().is_some() || {
            let signals = self.signals.borrow();
            let pending = signals.pending.set().union(self.process.signals.borrow().pending.set());
            signals.stop_pending
                || signals.trap_pending
                || !pending.without(signals.mask.without(signals.awaited)).is_empty()
        }
    }

    /// Whether it is about to be killed.
    pub fn fatal_signal_pending(&self) -> bool {
        self.ending().is_some()
    }
}
