//! What wait(2) tells a tracer, and how it learns that there is something to ask for.

use super::attach::untrace_ended;
use super::stop::Kind;
use super::{Traced, Who};
use crate::Pid;
use crate::creds::Creds;
use crate::task::process::Job;
use crate::task::signal::{SigInfo, send_to_process};
use crate::task::usage::{Usage, ticks};
use crate::task::wait::{News, Options, Which};
use crate::task::{Process, Task, exit, pid};
use std::sync::{Arc, Weak};

/// What is left of a thread, not its process's first, that ended as a tracee: it counts as a task
/// until its tracer has asked or is gone.
pub struct Remains {
    number: pid::Reserved,
    status: i32,
    creds: Arc<Creds>,
    process: Arc<Process>,
}

impl Remains {
    pub(super) fn of(task: &Arc<Task>, status: i32) -> Remains {
        // What decided the end of the whole process is told of each thread.
        let status = task.process.exit_status().unwrap_or(status);
        Remains { number: pid::keep(task.tid()), status, creds: task.creds(), process: task.process.clone() }
    }

    pub(super) fn info(&self) -> SigInfo {
        let (code, value) = exit::code_of(self.status);
        SigInfo::child(abi::SIGCHLD, code, self.number.get(), self.creds.uid, value, 0, 0)
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        pid::uncount(self.creds.uid);
    }
}

/// Sends a tracer SIGCHLD and wakes those of its process that wait. `stop` says that it is about no
/// end.
pub(super) fn tell(tracer: &Arc<Task>, info: SigInfo, stop: bool) {
    let action = tracer.actions.borrow().borrow().get(abi::SIGCHLD);
    if action.handler != abi::SIG_IGN && !(stop && action.has(abi::SA_NOCLDSTOP)) {
        // A standard signal of the kernel's always gets through.
        let _ = send_to_process(&tracer.process, info);
    }
    tracer.process.child_events.wake_all();
}

pub(super) fn tell_of_stop(tracer: &Arc<Task>, task: &Arc<Task>, kind: Kind, code: i32) {
    let reason = if kind == Kind::Group { abi::CLD_STOPPED } else { abi::CLD_TRAPPED };
    let (user, system) = {
        let usage = task.process.usage.borrow();
        (ticks(usage.user), ticks(usage.system))
    };
    let info = SigInfo::child(abi::SIGCHLD, reason, task.tid(), task.creds().uid, code & 0x7f, user, system);
    tell(tracer, info, true);
}

/// A process has ended whose first thread has a tracer: that is told, and the parent only when the
/// tracer has asked. False without one.
pub fn tell_of_end(process: &Arc<Process>, signal: i32) -> bool {
    let Some(tracer) = process.traced_by.borrow().as_ref().and_then(Weak::upgrade) else { return false };
    let thread = tracer.tracees.borrow().get(&process.pid).and_then(|traced| traced.tracer.upgrade());
    let Some(thread) = thread else { return false };
    let own_child = process.parent().is_some_and(|parent| Arc::ptr_eq(&parent, &tracer));
    let signal = if own_child { signal } else { abi::SIGCHLD };
    if crate::task::signal::is_signal(signal) {
        let _ = send_to_process(&tracer, exit::ended_info(process, signal));
    }
    thread.process.child_events.wake_all();
    true
}

/// Whether a child's news are its parent's to ask for as a tracer: its first thread is a tracee of
/// the same process.
pub fn is_own_tracee(parent: &Process, child: &Process) -> bool {
    child.traced_by.borrow().as_ref().is_some_and(|tracer| std::ptr::eq(tracer.as_ptr(), parent))
}

/// Whether a child's end is not its parent's to ask for yet, as a tracer comes first.
pub fn end_is_anothers(child: &Process) -> bool {
    child.traced_by.borrow().as_ref().is_some_and(|tracer| tracer.strong_count() > 0)
}

/// News of a tracee, to be fetched.
pub struct Found {
    pub news: News,
    tid: Pid,
}

/// Looks for news of the tracees of `task`'s process. `any` becomes true when there is one that is
/// meant.
pub fn find(task: &Task, which: &Which, options: Options, any: &mut bool) -> Option<Found> {
    let tracees = task.process.tracees.borrow();
    tracees.iter().filter(|(tid, traced)| matches(task, **tid, traced, which, options)).find_map(|(&tid, traced)| {
        *any = true;
        Some(Found { news: news_of(tid, &traced.who, options)?, tid })
    })
}

fn matches(task: &Task, tid: Pid, traced: &Traced, which: &Which, options: Options) -> bool {
    let meant = match which {
        Which::Any => true,
        Which::Pid(pid) => tid == *pid,
        Which::Group(pgid) => traced.who.process().group().pgid == *pgid,
    };
    meant && (!options.own_thread_only || std::ptr::eq(traced.tracer.as_ptr(), task))
}

impl Who {
    fn process(&self) -> &Arc<Process> {
        match self {
            Who::Thread(task) => &task.process,
            Who::Ended(process) => process,
            Who::Remains(remains) => &remains.process,
        }
    }
}

fn news_of(tid: Pid, who: &Who, options: Options) -> Option<News> {
    let process = who.process();
    let (status, code, value, uid) = match who {
        Who::Thread(task) => {
            let stop = task.trace.stop.borrow();
            let told = stop.as_ref().filter(|stop| stop.news && stop.let_go.is_none() && !stop.listening);
            let uid = task.creds().uid;
            match told {
                Some(stop) => (stop.code << 8 | 0x7f, abi::CLD_TRAPPED, stop.code, uid),
                None if options.continued && process.job.borrow().continue_news => {
                    (0xffff, abi::CLD_CONTINUED, abi::SIGCONT, uid)
                }
                None => return None,
            }
        }
        Who::Ended(process) if process.ended() && options.exited => {
            let status = process.exit_status().unwrap_or(0);
            let (code, value) = exit::code_of(status);
            (status, code, value, process.creds().uid)
        }
        Who::Remains(remains) if options.exited => {
            let (code, value) = exit::code_of(remains.status);
            (remains.status, code, value, remains.creds.uid)
        }
        _ => return None,
    };
    let mut usage: Usage = process.usage.get();
    usage.add(&process.children_usage.borrow());
    Some(News { pid: tid, uid, status, code, value, usage })
}

/// The news was told, and is not told again.
pub fn fetched(parent: &Arc<Process>, found: &Found) {
    let Some(who) = parent.tracees.borrow().get(&found.tid).map(|traced| traced.who.clone()) else { return };
    match who {
        Who::Thread(task) if found.news.code == abi::CLD_CONTINUED => {
            let job = task.process.job.get();
            task.process.set_job(Job { continue_news: false, ..job });
        }
        Who::Thread(task) => {
            if let Some(stop) = &mut *task.trace.stop.borrow_mut() {
                stop.news = false;
            }
        }
        Who::Ended(process) => {
            forget(parent, found.tid);
            untrace_ended(parent, &process);
            if process.parent().is_some_and(|theirs| Arc::ptr_eq(&theirs, parent)) {
                exit::add_usage(parent, &process);
                exit::reap(&process);
            }
        }
        Who::Remains(_) => forget(parent, found.tid),
    }
}

fn forget(parent: &Process, tid: Pid) {
    let entry = parent.tracees.borrow_mut().remove(&tid);
    drop(entry);
}
