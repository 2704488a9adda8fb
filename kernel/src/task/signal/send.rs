//! Sending: which signals are dropped at once, where they queue, and who is woken.

use super::action::{Default as Action, SA_KNOWN, SigAction, default_action};
use super::info::SigInfo;
use super::posix_timer::TimerSignal;
use super::set::{SIGRTMIN, SigSet, is_signal};
use super::state::Queued;
use super::stop;
use crate::Pid;
use crate::creds::Creds;
use crate::limits;
use crate::lock::KCell;
use crate::task::exit::{exit_group, exit_process, killed_by};
use crate::task::ptrace::events;
use crate::task::{Process, Task};
use crate::{Errno, Result, sched};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many signals each user has queued.
static CHARGES: KCell<BTreeMap<u32, u64>> = KCell::new(BTreeMap::new());

/// A queued signal's count against its receiver's RLIMIT_SIGPENDING, as long as it exists.
pub struct Charge {
    uid: u32,
}

impl Charge {
    /// None when the limit is reached.
    pub fn new(uid: u32, limit: u64) -> Option<Charge> {
        let mut charges = CHARGES.borrow_mut();
        let count = charges.entry(uid).or_insert(0);
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Charge { uid })
    }

    /// What a user has queued now.
    pub fn count(uid: u32) -> u64 {
        CHARGES.borrow().get(&uid).copied().unwrap_or(0)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(count) = CHARGES.borrow_mut().get_mut(&self.uid) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Sends a signal to a process: any of its threads may take it. A process that has ended, or is
/// about to, takes none.
///
/// # Errors
/// EAGAIN when it should be queued with a value and the receiver's RLIMIT_SIGPENDING is reached.
pub fn send_to_process(process: &Arc<Process>, info: SigInfo) -> Result<()> {
    let Some(main) = process.main_thread() else { return Ok(()) };
    send(process, &main, info, false)
}

/// Sends a signal to one thread.
///
/// # Errors
/// As `send_to_process`.
pub fn send_to_task(task: &Arc<Task>, info: SigInfo) -> Result<()> {
    send(&task.process, task, info, true)
}

/// Sends a POSIX timer's signal, to a thread or the process. It is queued whatever the limits.
/// False when it is ignored.
pub(super) fn send_timer(
    process: &Arc<Process>,
    thread: Option<&Arc<Task>>,
    info: SigInfo,
    timer: TimerSignal,
) -> bool {
    let signal = info.signal();
    let Some(task) = thread.cloned().or_else(|| process.main_thread()) else { return true };
    if !prepare(process, signal) {
        return true;
    }
    if is_ignored(&task, signal) {
        return false;
    }
    if signal == abi::SIGKILL {
        exit_group(&task, killed_by(abi::SIGKILL, false));
        return true;
    }
    let queued = Queued { info, charge: None, timer: Some(timer) };
    match thread {
        Some(task) => task.signals.borrow_mut().pending.push(queued),
        None => process.signals.borrow_mut().pending.push(queued),
    }
    process.signal_queue.wake_all();
    complete(process, &task, signal, thread.is_some());
    true
}

/// Sends a signal to every process of a group, from the kernel (a terminal's Ctrl-C, SIGHUP of an
/// orphaned group). ESRCH when the group is empty.
pub fn send_to_group(group: Pid, info: SigInfo) -> Result<()> {
    let group = crate::task::find_group(group).ok_or(Errno::ESRCH)?;
    for process in group.members() {
        // The kernel's own signals need no queue entry, so there is no error to report.
        let _ = send_to_process(&process, info);
    }
    Ok(())
}

/// Looks at a signal's action, and sets it. A signal that is ignored from now on is not pending any
/// more.
pub fn set_action(task: &Task, signal: i32, new: Option<SigAction>) -> SigAction {
    let (before, ignored) = {
        let actions = task.actions.borrow();
        let mut actions = actions.borrow_mut();
        let before = actions.get(signal);
        if let Some(new) = new {
            actions.set(signal, SigAction { flags: new.flags & SA_KNOWN, mask: new.mask.as_mask(), ..new });
        }
        (before, new.is_some() && actions.ignores(signal))
    };
    if ignored {
        flush(&task.process, SigSet::of(&[signal]));
    }
    before
}

/// Whether `sender` may send this signal to `target` (kill(2)).
pub fn may_signal(sender: &Arc<Task>, target: &Arc<Task>, signal: i32) -> bool {
    if Arc::ptr_eq(&sender.process, &target.process) {
        return true;
    }
    permits(sender, &target.process, &target.creds(), signal)
}

/// The same of a process that has ended, which takes none.
pub fn may_signal_ended(sender: &Arc<Task>, target: &Arc<Process>, signal: i32) -> bool {
    permits(sender, target, &target.creds(), signal)
}

fn permits(sender: &Task, target: &Process, to: &Creds, signal: i32) -> bool {
    let from = sender.creds();
    from.euid == to.suid
        || from.euid == to.uid
        || from.uid == to.suid
        || from.uid == to.uid
        || from.capable(abi::CAP_KILL)
        || signal == abi::SIGCONT && sender.process.group().session.sid == target.group().session.sid
}

fn send(process: &Arc<Process>, task: &Arc<Task>, info: SigInfo, private: bool) -> Result<()> {
    let signal = info.signal();
    debug_assert!(is_signal(signal));
    if !prepare(process, signal) || is_ignored(task, signal) {
        return Ok(());
    }
    // SIGKILL needs no telling, and must never fail.
    if signal == abi::SIGKILL {
        exit_group(task, killed_by(abi::SIGKILL, false));
        return Ok(());
    }
    enqueue(process, task, info, private)?;
    process.signal_queue.wake_all();
    complete(process, task, signal, private);
    Ok(())
}

/// What a signal does by being sent, whatever becomes of it: SIGCONT continues a stopped process,
/// and signals that stop and that continue cancel each other. False when the process is ending and
/// takes no more signals.
fn prepare(process: &Arc<Process>, signal: i32) -> bool {
    if let Some(status) = process.exit_status() {
        if signal == abi::SIGKILL {
            // How it ends is decided, but perhaps a core file is still being written.
            exit_process(process, status);
        }
        return false;
    }
    if signal == abi::SIGCONT {
        flush(process, SigSet::STOP);
        stop::resume(process);
        events::on_continue(process);
    } else if SigSet::STOP.contains(signal) {
        flush(process, SigSet::of(&[abi::SIGCONT]));
    }
    true
}

/// Forgets pending signals of the process and all its threads.
pub(super) fn flush(process: &Process, signals: SigSet) {
    process.signals.borrow_mut().pending.flush(signals);
    for thread in process.threads() {
        thread.signals.borrow_mut().pending.flush(signals);
    }
}

/// Whether the signal can be dropped where it is made. One that is blocked cannot: its action may
/// change before it is unblocked.
fn is_ignored(task: &Task, signal: i32) -> bool {
    // A tracer is told of all but one.
    if task.trace.is_traced() && signal != abi::SIGKILL {
        return false;
    }
    {
        let signals = task.signals.borrow();
        if signals.mask.contains(signal) || signals.awaited.contains(signal) {
            return false;
        }
    }
    let actions = task.actions.borrow();
    let actions = actions.borrow();
    actions.ignores(signal)
}

fn enqueue(process: &Process, task: &Arc<Task>, info: SigInfo, private: bool) -> Result<()> {
    let signal = info.signal();
    let has = |set: SigSet| signal < SIGRTMIN && set.contains(signal);
    let charge = {
        let pending =
            if private { task.signals.borrow().pending.set() } else { process.signals.borrow().pending.set() };
        if has(pending) {
            return Ok(());
        }
        Charge::new(task.creds().uid, process.limit(limits::SIGPENDING))
    };
    // Standard signals from the kernel and from kill(2) always get through, if need be without
    // their information.
    let keep = charge.is_some() || signal < SIGRTMIN && !(info.code() < 0 && info.code() != abi::SI_TKILL);
    if !keep && signal >= SIGRTMIN && info.code() != abi::SI_USER {
        return Err(Errno::EAGAIN);
    }
    let mut own;
    let mut shared;
    let pending = if private {
        own = task.signals.borrow_mut();
        &mut own.pending
    } else {
        shared = process.signals.borrow_mut();
        &mut shared.pending
    };
    if keep {
        pending.push(Queued { info, charge, timer: None });
    } else {
        pending.mark(signal);
    }
    Ok(())
}

/// Finds a thread to take the signal and wakes it; a signal that is sure to end the process does so
/// now.
fn complete(process: &Arc<Process>, task: &Arc<Task>, signal: i32, private: bool) {
    let chosen = if wants(task, signal) {
        task.clone()
    } else if private {
        return;
    } else {
        match process.threads().into_iter().find(|thread| wants(thread, signal)) {
            Some(thread) => thread,
            None => return,
        }
    };
    let fatal = {
        let handler = chosen.actions.borrow().borrow().get(signal).handler;
        handler == abi::SIG_DFL
            && default_action(signal) == Action::Terminate
            && !chosen.signals.borrow().awaited.contains(signal)
            && !chosen.trace.is_traced()
    };
    if fatal {
        exit_group(&chosen, killed_by(signal, false));
    } else {
        wake(&chosen);
    }
}

/// Whether a thread would take this signal if it were woken.
fn wants(task: &Task, signal: i32) -> bool {
    let signals = task.signals.borrow();
    !signals.exiting
        && (!signals.mask.contains(signal) || signals.awaited.contains(signal))
        && !signals.stopped
        && !task.trace.is_stopped()
}

/// Makes a thread look at its signals.
pub(crate) fn wake(task: &Arc<Task>) {
    sched::wake(task);
    sched::interrupt(&**task);
}

/// Wakes other threads for those of `signals` that are pending for the process and that its waiter
/// will not take any more, because it now blocks them or ends.
pub fn retarget(task: &Arc<Task>, signals: SigSet) {
    let process = &task.process;
    let mut left = process.signals.borrow().pending.set().intersection(signals);
    if left.is_empty() || process.thread_count() < 2 {
        return;
    }
    for thread in process.threads() {
        if Arc::ptr_eq(&thread, task) {
            continue;
        }
        let takes = SigSet(left.iter().filter(|&s| wants(&thread, s)).fold(0, |set, s| set | 1 << (s - 1)));
        if !takes.is_empty() {
            left = left.without(takes);
            wake(&thread);
        }
        if left.is_empty() {
            return;
        }
    }
}

/// A write to a pipe or socket without a reader: SIGPIPE for the current task.
pub(crate) fn send_sigpipe() {
    let task = crate::task::current();
    let info = SigInfo::kill(abi::SIGPIPE, task.pid(), task.creds().uid);
    // A standard signal always gets through.
    let _ = send_to_task(&task, info);
}
