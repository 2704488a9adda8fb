//! Processes: thread groups, and the tree they form.

use super::core_dump::Dump;
use super::ptrace::Tracees;
use super::usage::Usage;
use super::{Attributes, ProcessGroup, Task, init};
use crate::Pid;
use crate::creds::Creds;
use crate::limits::Limits;
use crate::lock::KCell;
use crate::mm::dump::Filter;
use crate::sched::wait::WaitQueue;
use crate::task::signal::ProcessSignals;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// A thread group.
pub struct Process {
    pub pid: Pid,
    me: Weak<Process>,
    /// Rises with every process made; orders a parent's children.
    pub(super) birth: u64,
    /// When it was made (CLOCK_MONOTONIC, ns).
    pub start_time: u64,
    pub(super) parent: KCell<Option<Arc<Process>>>,
    /// The thread of the parent that made it.
    pub(super) parent_thread: KCell<Pid>,
    pub(super) children: KCell<BTreeMap<u64, Arc<Process>>>,
    pub(super) threads: KCell<BTreeMap<Pid, Arc<Task>>>,
    pub(super) group: KCell<Arc<ProcessGroup>>,
    /// What the parent is sent when the process ends; 0 for nothing.
    pub(super) exit_signal: KCell<i32>,
    pub(super) life: KCell<Life>,
    /// Woken when a child ended, stopped or went on.
    pub child_events: WaitQueue,
    /// Woken when the process ended (for pidfds), or one of its threads did (for execve).
    pub exit_events: WaitQueue,
    pub limits: KCell<Limits>,
    /// What its threads used, those that ended included.
    pub usage: KCell<Usage>,
    /// What the children used that it has waited for.
    pub children_usage: KCell<Usage>,
    /// Job control, as wait(2) tells it.
    pub job: KCell<Job>,
    pub signals: KCell<ProcessSignals>,
    /// Woken when a signal becomes pending for the process or one of its threads (signalfd).
    pub signal_queue: WaitQueue,
    pub settings: KCell<Settings>,
    /// The core file that is being written of it.
    pub(super) dump: KCell<Option<Arc<Dump>>>,
    /// What its threads trace.
    pub tracees: Tracees,
    /// The process that traces its first thread, also when that has ended.
    pub(super) traced_by: KCell<Option<Weak<Process>>>,
    /// How many of its threads are about to load another program.
    pub(super) executing: KCell<u32>,
    /// What is left to know of the first thread when it ended.
    pub(super) identity: KCell<Identity>,
}

/// Where a process stands in its life.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Life {
    /// The wait status that exit_group(2) or a fatal signal decided on.
    pub status: Option<i32>,
    /// No threads are left; the status waits to be fetched.
    pub zombie: bool,
    /// It was waited for, and is gone.
    pub reaped: bool,
    /// execve(2) was done since fork.
    pub did_exec: bool,
}

/// Who the process was, for as long as it is a zombie.
#[derive(Clone, Debug)]
pub struct Identity {
    pub creds: Arc<Creds>,
    pub name: Vec<u8>,
    pub attributes: Attributes,
}

impl Identity {
    pub(super) fn of(task: &Task) -> Identity {
        // An I/O priority goes with what the thread had open.
        let attributes = Attributes { io_priority: 0, robust_list: 0, ..task.attributes.cloned() };
        Identity { creds: task.creds(), name: task.name.cloned(), attributes }
    }
}

/// Job control state. The signal code sets it, wait(2) reads it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Job {
    /// The signal that stopped the process, while it is stopped.
    pub stopped: Option<i32>,
    /// The stop was not yet fetched by wait(2).
    pub stop_news: bool,
    /// It went on, and that was not yet fetched by wait(2).
    pub continue_news: bool,
}

/// What system calls set of a process and read back.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// PR_SET_DUMPABLE: 0, 1 or 2.
    pub dumpable: u8,
    /// /proc/PID/coredump_filter.
    pub dumped: Filter,
    /// PR_SET_CHILD_SUBREAPER.
    pub subreaper: bool,
    /// /proc/PID/oom_score_adj.
    pub oom_score_adj: i32,
    /// As the administrator set it last: nobody else sets it lower.
    pub oom_score_adj_min: i32,
    /// PR_SET_THP_DISABLE.
    pub thp_disabled: bool,
    /// It gave up its session's terminal (TIOCNOTTY) without being the session's leader.
    pub no_tty: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            dumpable: 1,
            dumped: Filter::default(),
            subreaper: false,
            oom_score_adj: 0,
            oom_score_adj_min: 0,
            thp_disabled: false,
            no_tty: false,
        }
    }
}

/// How many processes are stopped.
static STOPPED: KCell<usize> = KCell::new(0);

/// Whether any process is stopped.
pub(super) fn any_stopped() -> bool {
    STOPPED.get() > 0
}

static BIRTHS: KCell<u64> = KCell::new(0);

/// How many processes were made so far.
pub fn made() -> u64 {
    BIRTHS.get()
}

impl Process {
    /// A process without threads, in no table, group list or family yet.
    pub fn new(
        pid: Pid,
        group: &Arc<ProcessGroup>,
        limits: Limits,
        settings: Settings,
        creds: Arc<Creds>,
    ) -> Arc<Process> {
        let birth = BIRTHS.get() + 1;
        BIRTHS.set(birth);
        Arc::new_cyclic(|me| Process {
            pid,
            me: me.clone(),
            birth,
            start_time: crate::time::now(),
            parent: KCell::new(None),
            parent_thread: KCell::new(0),
            children: KCell::default(),
            threads: KCell::default(),
            group: KCell::new(group.clone()),
            exit_signal: KCell::new(abi::SIGCHLD),
            life: KCell::default(),
            child_events: WaitQueue::new(),
            exit_events: WaitQueue::new(),
            limits: KCell::new(limits),
            usage: KCell::default(),
            children_usage: KCell::default(),
            job: KCell::default(),
            signals: KCell::default(),
            signal_queue: WaitQueue::new(),
            settings: KCell::new(settings),
            dump: KCell::new(None),
            tracees: KCell::default(),
            traced_by: KCell::new(None),
            executing: KCell::new(0),
            identity: KCell::new(Identity { creds, name: Vec::new(), attributes: Attributes::default() }),
        })
    }

    pub fn arc(&self) -> Arc<Process> {
        self.me.upgrade().expect("a process that is being used has an owner")
    }

    /// The built-in PID 1.
    pub fn is_init(&self) -> bool {
        self.pid == init::PID
    }

    /// The parent; None only for init, and for what was waited for.
    pub fn parent(&self) -> Option<Arc<Process>> {
        self.parent.cloned()
    }

    /// What getppid(2) returns.
    pub fn parent_pid(&self) -> Pid {
        self.parent.borrow().as_ref().map_or(0, |p| p.pid)
    }

    pub fn children(&self) -> Vec<Arc<Process>> {
        self.children.borrow().values().cloned().collect()
    }

    pub fn group(&self) -> Arc<ProcessGroup> {
        self.group.cloned()
    }

    /// Its threads that have not ended, by rising tid.
    pub fn threads(&self) -> Vec<Arc<Task>> {
        self.threads.borrow().values().cloned().collect()
    }

    pub fn thread_count(&self) -> usize {
        self.threads.borrow().len()
    }

    /// The thread that stands for the process: the first one, or another when that has ended. None
    /// for a zombie.
    pub fn main_thread(&self) -> Option<Arc<Task>> {
        let threads = self.threads.borrow();
        threads.get(&self.pid).or_else(|| threads.values().next()).cloned()
    }

    /// Whether its first thread has ended; others may go on.
    pub fn first_thread_ended(&self) -> bool {
        !self.threads.borrow().contains_key(&self.pid)
    }

    /// Whether no thread of it is left: it is a zombie, or gone.
    pub fn ended(&self) -> bool {
        self.life.borrow().zombie
    }

    /// The wait status that it will end with, once that is decided.
    pub fn exit_status(&self) -> Option<i32> {
        self.life.borrow().status
    }

    /// Whether a core file is being written of it.
    pub fn is_dumping(&self) -> bool {
        self.dump.borrow().is_some()
    }

    /// Sets its job control state.
    pub fn set_job(&self, job: Job) {
        let was = self.job.replace(job);
        let count = STOPPED.get() + usize::from(job.stopped.is_some()) - usize::from(was.stopped.is_some());
        STOPPED.set(count);
    }

    /// Its credentials: those of its main thread.
    pub fn creds(&self) -> Arc<Creds> {
        match self.main_thread() {
            Some(thread) => thread.creds(),
            None => self.identity.borrow().creds.clone(),
        }
    }

    /// Its nice value, a zombie's too.
    pub fn nice(&self) -> i32 {
        match self.main_thread() {
            Some(thread) => thread.attributes.borrow().nice,
            None => self.identity.borrow().attributes.nice,
        }
    }

    /// Its name, a zombie's too.
    pub fn name(&self) -> Vec<u8> {
        match self.main_thread() {
            Some(thread) => thread.name.cloned(),
            None => self.identity.borrow().name.clone(),
        }
    }

    /// What its threads used so far.
    pub fn usage_now(&self) -> Usage {
        if let Some(space) = self.main_thread().and_then(|thread| thread.space.cloned()) {
            self.note_resident(&space);
        }
        self.usage.get()
    }

    /// What its parent is sent when it ends; 0 for nothing.
    pub fn exit_signal(&self) -> i32 {
        self.exit_signal.get()
    }

    /// Takes an address space's present size into the maximum.
    pub(super) fn note_resident(&self, space: &crate::mm::AddressSpace) {
        let resident = space.resident_pages() * (crate::mm::PAGE_SIZE / 1024);
        let mut usage = self.usage.borrow_mut();
        usage.max_resident = usage.max_resident.max(resident);
    }

    /// The thread of the parent that made it.
    pub fn parent_thread(&self) -> Pid {
        self.parent_thread.get()
    }

    /// Its session.
    pub fn session(&self) -> Arc<super::Session> {
        self.group.borrow().session.clone()
    }

    /// Records an execve(2): its parent may not move it to another group any more.
    pub fn set_did_exec(&self) {
        self.life.borrow_mut().did_exec = true;
        self.exit_signal.set(abi::SIGCHLD);
    }

    /// One of its soft limits (see [`crate::limits`]).
    pub fn limit(&self, which: usize) -> u64 {
        self.limits.borrow().soft(which)
    }
}
