//! Waiting for children: what is behind wait4(2) and waitid(2).

use super::process::Job;
use super::usage::Usage;
use super::{Process, Task, exit, ptrace};
use crate::Pid;
use crate::sched::wait::wait_on;
use crate::{Errno, Result};
use std::sync::Arc;

/// Which children are meant.
#[derive(Clone, Debug)]
pub enum Which {
    Any,
    Pid(Pid),
    Group(Pid),
}

/// What to wait for, and how.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    pub exited: bool,
    pub stopped: bool,
    pub continued: bool,
    /// WNOHANG.
    pub no_wait: bool,
    /// WNOWAIT: leave the news to be fetched again.
    pub keep: bool,
    /// __WALL, __WCLONE, __WNOTHREAD.
    pub all: bool,
    pub clones: bool,
    pub own_thread_only: bool,
}

impl Options {
    /// From the option bits the two calls share.
    pub fn from_bits(bits: i32) -> Options {
        let has = |bit: i32| bits & bit != 0;
        Options {
            exited: has(abi::WEXITED),
            stopped: has(abi::WSTOPPED),
            continued: has(abi::WCONTINUED),
            no_wait: has(abi::WNOHANG),
            keep: has(abi::WNOWAIT),
            all: has(abi::__WALL),
            clones: has(abi::__WCLONE),
            own_thread_only: has(abi::__WNOTHREAD),
        }
    }
}

/// What happened to a child.
#[derive(Clone, Copy, Debug)]
pub struct News {
    pub pid: Pid,
    pub uid: u32,
    /// As wait4(2) gives it.
    pub status: i32,
    /// CLD_*, and the exit code or signal, as waitid(2) gives them.
    pub code: i32,
    pub value: i32,
    /// What the child and the children it waited for used.
    pub usage: Usage,
}

/// Waits for a child. None with WNOHANG when there is nothing to tell.
///
/// # Errors
/// ECHILD when no child could ever match; ERESTARTSYS for signals.
pub fn wait(task: &Arc<Task>, which: &Which, options: Options) -> Result<Option<News>> {
    let parent = &task.process;
    // Some(Ok(None)) cannot happen: the closure either finds news, or an error, or has to go on
    // waiting.
    let look = || match find_news(task, which, options) {
        Ok(Some(news)) => Some(Ok(news)),
        Ok(None) => None,
        Err(e) => Some(Err(e)),
    };
    if options.no_wait {
        return look().transpose();
    }
    wait_on(&parent.child_events, look)?.map(Some)
}

fn find_news(task: &Arc<Task>, which: &Which, options: Options) -> Result<Option<News>> {
    let parent = &task.process;
    let mut any = false;
    let found = {
        let children = parent.children.borrow();
        let own =
            |child: &&Arc<Process>| matches(task, child, which, options) && !ptrace::wait::is_own_tracee(parent, child);
        children.values().filter(own).find_map(|child| {
            any = true;
            let news = news_of(child, options)?;
            Some((child.clone(), news))
        })
    };
    if let Some((child, news)) = found {
        if !options.keep {
            fetched(parent, &child, news.code);
        }
        return Ok(Some(news));
    }
    if let Some(found) = ptrace::wait::find(task, which, options, &mut any) {
        if !options.keep {
            ptrace::wait::fetched(parent, &found);
        }
        return Ok(Some(found.news));
    }
    if any { Ok(None) } else { Err(Errno::ECHILD) }
}

fn matches(task: &Task, child: &Process, which: &Which, options: Options) -> bool {
    let meant = match which {
        Which::Any => true,
        Which::Pid(pid) => child.pid == *pid,
        Which::Group(pgid) => child.group.borrow().pgid == *pgid,
    };
    let kind = options.all || (child.exit_signal.get() != abi::SIGCHLD) == options.clones;
    let thread = !options.own_thread_only || child.parent_thread.get() == task.tid();
    meant && kind && thread
}

fn news_of(child: &Process, options: Options) -> Option<News> {
    let job = child.job.get();
    let (status, code, value) = if child.ended() {
        if !options.exited || ptrace::wait::end_is_anothers(child) {
            return None;
        }
        let status = child.exit_status().unwrap_or(0);
        let (code, value) = exit::code_of(status);
        (status, code, value)
    } else {
        match job {
            Job { stopped: Some(signal), stop_news: true, .. } if options.stopped => {
                (signal << 8 | 0x7f, abi::CLD_STOPPED, signal)
            }
            Job { continue_news: true, .. } if options.continued => (0xffff, abi::CLD_CONTINUED, abi::SIGCONT),
            _ => return None,
        }
    };
    let mut usage = child.usage.get();
    usage.add(&child.children_usage.borrow());
    Some(News { pid: child.pid, uid: child.creds().uid, status, code, value, usage })
}

/// The news was told, and is not told again.
fn fetched(parent: &Process, child: &Arc<Process>, code: i32) {
    let job = child.job.get();
    match code {
        abi::CLD_STOPPED => child.set_job(Job { stop_news: false, ..job }),
        abi::CLD_CONTINUED => child.set_job(Job { continue_news: false, ..job }),
        _ => {
            exit::add_usage(parent, child);
            exit::reap(child);
        }
    }
}
