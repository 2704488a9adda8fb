//! The built-in init, PID 1: the parent of the guest's command and of all orphans.
//!
//! It is a process without user code: what it would do, reaping the children that end, is done when
//! they end. When the command itself ends, so does the guest, with the command's status. It has a
//! task, so that /proc and kill(2) find one, but that is never run.

use super::process::Settings;
use super::{Attributes, Parts, Process, ProcessGroup, Session, Task, pid};
use crate::Pid;
use crate::creds::Creds;
use crate::limits::{Inherited, Limits};
use crate::lock::KCell;
use crate::mm::AddressSpace;
use crate::task::signal::TaskSignals;
use crate::vfs::FdTable;
use crate::vfs::FsContext;
use crate::{Errno, Result};
use std::sync::Arc;

/// Its PID.
pub const PID: Pid = 1;

struct Init {
    process: Option<Arc<Process>>,
    command: Pid,
    status: Option<i32>,
}

static INIT: KCell<Init> = KCell::new(Init { process: None, command: 0, status: None });

/// The wait status of the guest's command, once it ended.
pub fn status() -> Option<i32> {
    INIT.borrow().status
}

/// The process of the guest's command, once it was made.
pub fn command() -> Option<Arc<Process>> {
    pid::find_process(INIT.borrow().command)
}

/// When the guest was booted (CLOCK_MONOTONIC, ns).
pub fn boot_time() -> u64 {
    INIT.borrow().process.as_ref().map_or(0, |process| process.start_time)
}

/// The process of PID 1.
pub fn process() -> Arc<Process> {
    INIT.borrow().process.clone().expect("init is the first process made")
}

/// Makes PID 1, before any other task. `fs` is what /proc/1 shows as its place in the tree.
pub fn boot(fs: Arc<FsContext>, creds: Arc<Creds>) -> Result<()> {
    pid::set_max_tasks((crate::mm::frames::limit() / (128 << 10)) as usize);
    let number = pid::reserve()?;
    assert_eq!(number.get(), PID, "init is the first process made");
    let session = Session::new(PID);
    let group = ProcessGroup::new(PID, &session);
    let limits = Limits::initial(pid::max_tasks() as u64);
    let process = Process::new(PID, &group, limits, Settings::default(), creds.clone());
    let parts = Parts {
        name: b"init".to_vec(),
        space: None,
        files: None,
        fs,
        creds,
        attributes: Attributes::default(),
        signals: TaskSignals::default(),
        actions: Default::default(),
    };
    let task = Task::new(PID, &process, parts);
    enter_tables(&task);
    INIT.borrow_mut().process = Some(process);
    Ok(())
}

/// Makes the process of the guest's command, a child of init and the leader of a session and group
/// of its own. The caller loads the program, and starts the task with [`super::run::spawn`].
pub fn new_command(
    space: Arc<AddressSpace>,
    files: Arc<FdTable>,
    fs: Arc<FsContext>,
    creds: Arc<Creds>,
    inherited: &Inherited,
) -> Result<Arc<Task>> {
    if INIT.borrow().command != 0 {
        return Err(Errno::EBUSY);
    }
    let init = process();
    let number = pid::reserve()?;
    let tid = number.get();
    let session = Session::new(tid);
    let group = ProcessGroup::new(tid, &session);
    let process = Process::new(tid, &group, inherited.limits, Settings::default(), creds.clone());
    crate::task::signal::cpu_limit_changed(&process);
    process.parent.set(Some(init.clone()));
    process.parent_thread.set(PID);
    let parts = Parts {
        name: Vec::new(),
        space: Some(space),
        files: Some(files),
        fs,
        creds,
        attributes: Attributes { nice: inherited.nice, ..Attributes::default() },
        signals: TaskSignals::default(),
        actions: Default::default(),
    };
    let task = Task::new(tid, &process, parts);
    enter_tables(&task);
    init.children.borrow_mut().insert(process.birth, process.clone());
    INIT.borrow_mut().command = tid;
    Ok(task)
}

fn enter_tables(task: &Arc<Task>) {
    let process = &task.process;
    pid::insert_task(task);
    pid::count(task.creds.borrow().uid);
    pid::insert_process(process);
    process.threads.borrow_mut().insert(task.tid(), task.clone());
    process.group().enter(process);
}

/// A child of init ended. True when it was the command: the guest ends, and the child stays as it
/// is.
pub(super) fn child_ended(child: &Process, status: i32) -> bool {
    let ours = {
        let mut init = INIT.borrow_mut();
        let ours = init.command == child.pid && init.status.is_none();
        if ours {
            init.status = Some(status);
        }
        ours
    };
    if ours {
        crate::sched::stop();
    }
    ours
}
