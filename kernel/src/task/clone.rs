//! Making tasks: what is behind fork(2), vfork(2), clone(2) and clone3(2).
//!
//! Everything that can fail is done before anything is visible to others; from `publish` on only
//! the model's context can still be refused, and that undoes it.

use super::process::Settings;
use super::{Parts, Process, Task, exit, pid, pidfd, ptrace, run};
use crate::Pid;
use crate::limits;
use crate::lock::KCell;
use crate::mm::AddressSpace;
use crate::mm::pressure::room_for;
use crate::sched::wait::{Sleep, WaitQueue, wait_until};
use crate::task::Call;
use crate::{Errno, Result};
use std::sync::Arc;

/// All kinds of new namespaces.
pub const NAMESPACES: u64 = abi::CLONE_NEWTIME
    | abi::CLONE_NEWNS
    | abi::CLONE_NEWUSER
    | abi::CLONE_NEWPID
    | abi::CLONE_NEWIPC
    | abi::CLONE_NEWCGROUP
    | abi::CLONE_NEWUTS
    | abi::CLONE_NEWNET;

/// What to make, in the terms of clone3(2).
#[derive(Clone, Copy, Default, Debug)]
pub struct CloneArgs {
    pub flags: u64,
    /// Where the pidfd goes (CLONE_PIDFD).
    pub pidfd: u64,
    /// Where the child's tid goes in the child's memory.
    pub child_tid: u64,
    /// Where it goes in the parent's.
    pub parent_tid: u64,
    /// Sent to the parent when the child ends; 0 for nothing.
    pub exit_signal: i32,
    /// The child's first stack pointer, 0 for the parent's.
    pub stack: u64,
    pub tls: u64,
    /// The number the child must get (clone3's set_tid).
    pub set_tid: Option<Pid>,
}

impl CloneArgs {
    fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }
}

/// About what a task takes of the core's memory.
const TASK_BYTES: usize = 8192;

/// How a parent waits for its vfork child to give the address space back.
#[derive(Default)]
pub struct VforkDone {
    done: KCell<bool>,
    queue: WaitQueue,
}

impl VforkDone {
    /// The child has executed another program, or ends.
    pub fn complete(&self) {
        self.done.set(true);
        self.queue.wake_all();
    }
}

/// Lets a vfork parent go on: called when the task has left the address space it shared, by execve
/// and by exit.
pub fn release_vfork_parent(task: &Task) {
    if let Some(vfork) = task.vfork.take() {
        vfork.complete();
    }
}

/// Makes a thread or process as a copy of the calling one, and starts it. Returns its tid.
pub fn clone(call: &mut Call<'_>, args: CloneArgs) -> Result<Pid> {
    let parent = call.task.clone();
    check_flags(&parent, &args)?;
    // A signal sent to the group while it forks reaches all of it: it is handled before the fork,
    // not lost in between.
    if parent.signal_pending() {
        return Err(Errno::ERESTARTNOINTR);
    }
    check_count(&parent)?;
    let number = match args.set_tid {
        Some(tid) => pid::reserve_exact(tid)?,
        None => pid::reserve()?,
    };
    let tid = number.get();

    let space = parent.space();
    let shared = args.has(abi::CLONE_VM);
    // What the core keeps of a task, and of a copy of the areas and pages.
    room_for(TASK_BYTES + if shared { 0 } else { space.bookkeeping() })?;
    let child_space = if shared { space.clone() } else { space.fork()? };
    let parts = parts_for(&parent, &args, child_space.clone())?;
    let task = Task::new(tid, &child_process(&parent, &args, tid), parts);
    if args.has(abi::CLONE_SYSVSEM) {
        task.undo.set(Some(parent.undo_list()));
    }
    let mut user = call.user.duplicate();
    user.set_result(0);
    ptrace::events::child_does_not_step(&parent, &mut *user);
    if args.stack != 0 || args.has(abi::CLONE_SETTLS) {
        let regs = user.regs_mut();
        if args.stack != 0 {
            regs.rsp = args.stack;
        }
        if args.has(abi::CLONE_SETTLS) {
            if args.tls >= crate::sched::model().user_top() {
                return Err(Errno::EPERM);
            }
            regs.fs_base = args.tls;
        }
    }
    // A parent that was killed while it made the copy leaves no child behind: who kills all
    // processes of a group reaches all of it.
    if parent.fatal_signal_pending() {
        return Err(Errno::EINTR);
    }
    let mut pidfd = None;
    if args.has(abi::CLONE_PIDFD) {
        let fd = parent.files().install(pidfd::open(&task.process, 0), true)?;
        if let Err(e) = space.write(args.pidfd, &fd) {
            let _ = parent.files().close(fd);
            return Err(e);
        }
        pidfd = Some(fd);
    }
    let vfork = args.has(abi::CLONE_VFORK).then(Arc::<VforkDone>::default);
    task.vfork.set(vfork.clone());

    // Bad addresses are the caller's own affair here: the child is made all the same.
    if args.has(abi::CLONE_PARENT_SETTID) {
        let _ = space.write(args.parent_tid, &tid);
    }
    if args.has(abi::CLONE_CHILD_SETTID) {
        let _ = child_space.write(args.child_tid, &tid);
    }
    let event = ptrace::events::clone_event(&parent, &args);
    publish(&parent, &task, &args);
    if ptrace::events::child_is_traced(event, &args) {
        ptrace::adopt_child(&parent, &task);
    }
    drop(number);
    if let Err(e) = run::spawn(&task, user) {
        exit::undo_clone(&task);
        if let Some(fd) = pidfd {
            let _ = parent.files().close(fd);
        }
        return Err(e);
    }
    if let Some(event) = event {
        ptrace::events::cloned(&parent, call.user, event, tid);
    }
    if let Some(vfork) = vfork {
        // Only being killed ends this wait early.
        let _ = wait_until(&[&vfork.queue], None, Sleep::Killable, || vfork.done.get().then_some(()));
        ptrace::events::vfork_done(&parent, call.user, tid);
    }
    Ok(tid)
}

/// The rules of clone(2), in the order Linux applies them.
fn check_flags(parent: &Arc<Task>, args: &CloneArgs) -> Result<()> {
    let bad = args.has(abi::CLONE_FS) && args.has(abi::CLONE_NEWNS | abi::CLONE_NEWUSER)
        || args.has(abi::CLONE_THREAD) && !args.has(abi::CLONE_SIGHAND)
        || args.has(abi::CLONE_SIGHAND) && !args.has(abi::CLONE_VM)
        || args.has(abi::CLONE_PARENT)
            && parent.process.parent().is_none_or(|p| p.is_init() && parent.process.is_init())
        || args.has(abi::CLONE_THREAD) && args.has(abi::CLONE_NEWUSER | abi::CLONE_NEWPID)
        || args.has(abi::CLONE_PIDFD) && args.has(abi::CLONE_THREAD | abi::CLONE_DETACHED)
        || args.has(abi::CLONE_NEWIPC) && args.has(abi::CLONE_SYSVSEM);
    if bad {
        return Err(Errno::EINVAL);
    }
    refuse_namespaces(parent, args.flags)
}

/// There are no namespaces to be had: for those who might have them EINVAL, as of a kernel that was
/// built without them.
pub fn refuse_namespaces(task: &Task, flags: u64) -> Result<()> {
    let privileged = task.creds().capable(abi::CAP_SYS_ADMIN);
    match flags & NAMESPACES {
        0 => Ok(()),
        // One of users needs no privilege, and gives those that the others need.
        wanted if privileged || wanted & abi::CLONE_NEWUSER != 0 => Err(Errno::EINVAL),
        _ => Err(Errno::EPERM),
    }
}

/// RLIMIT_NPROC: not for root, nor for those who may exceed limits.
fn check_count(parent: &Task) -> Result<()> {
    let creds = parent.creds();
    let limit = parent.process.limit(limits::NPROC);
    if limit != limits::INFINITY
        && pid::user_tasks(creds.uid) >= limit
        && creds.uid != 0
        && !creds.capable(abi::CAP_SYS_RESOURCE)
        && !creds.capable(abi::CAP_SYS_ADMIN)
    {
        return Err(Errno::EAGAIN);
    }
    Ok(())
}

fn child_process(parent: &Arc<Task>, args: &CloneArgs, tid: Pid) -> Arc<Process> {
    let from = &parent.process;
    if args.has(abi::CLONE_THREAD) {
        return from.clone();
    }
    let settings = Settings { subreaper: false, ..from.settings.get() };
    let process = Process::new(tid, &from.group(), from.limits.get(), settings, parent.creds());
    let by_parent = args.has(abi::CLONE_PARENT);
    let (family, thread) = if by_parent {
        (from.parent().expect("checked: only init has none"), from.parent_thread.get())
    } else {
        (from.clone(), parent.tid())
    };
    if from.limit(limits::CPU) != limits::INFINITY {
        crate::task::signal::cpu_limit_changed(&process);
    }
    process.parent.set(Some(family));
    process.parent_thread.set(thread);
    process.exit_signal.set(if by_parent { from.exit_signal.get() } else { args.exit_signal });
    process
}

fn parts_for(parent: &Task, args: &CloneArgs, space: Arc<AddressSpace>) -> Result<Parts> {
    let mut attributes = parent.attributes.cloned();
    attributes.clear_child_tid = if args.has(abi::CLONE_CHILD_CLEARTID) { args.child_tid } else { 0 };
    attributes.robust_list = 0;
    attributes.default_timer_slack = attributes.timer_slack;
    if !args.has(abi::CLONE_THREAD) {
        attributes.parent_death_signal = 0;
    }
    if attributes.reset_on_fork {
        attributes.reset_on_fork = false;
        if attributes.policy == abi::SCHED_FIFO || attributes.policy == abi::SCHED_RR {
            attributes.policy = abi::SCHED_OTHER;
            attributes.priority = 0;
        }
        attributes.nice = attributes.nice.max(0);
    }
    let files = parent.files();
    let fs = parent.fs.cloned();
    let actions = parent.actions.cloned();
    Ok(Parts {
        name: parent.name.cloned(),
        space: Some(space),
        files: Some(if args.has(abi::CLONE_FILES) { files } else { files.duplicate()? }),
        fs: if args.has(abi::CLONE_FS) { fs } else { fs.duplicate() },
        creds: parent.creds(),
        attributes,
        signals: parent.signals.borrow().for_clone(!args.has(abi::CLONE_VM) || args.has(abi::CLONE_VFORK)),
        actions: if args.has(abi::CLONE_SIGHAND) {
            actions
        } else {
            let mut own = actions.cloned();
            if args.has(abi::CLONE_CLEAR_SIGHAND) {
                own.clear_handlers();
            }
            Arc::new(KCell::new(own))
        },
    })
}

/// Makes the new task known: to the tables, its process, its family and its group.
fn publish(parent: &Arc<Task>, task: &Arc<Task>, args: &CloneArgs) {
    let process = &task.process;
    // A new thread starts near its creator; the scheduler moves what is not settled.
    task.sched.start_near(parent.sched.cpu());
    pid::insert_task(task);
    pid::count(task.creds.borrow().uid);
    process.threads.borrow_mut().insert(task.tid(), task.clone());
    if !args.has(abi::CLONE_THREAD) {
        pid::insert_process(process);
        process.group().enter(process);
        if let Some(family) = process.parent() {
            family.children.borrow_mut().insert(process.birth, process.clone());
        }
    }
}
