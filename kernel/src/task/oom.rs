//! What happens when the guest's memory is used up.
//!
//! A page fault cannot be refused: it may have a page of what is kept back beyond the limit, so
//! that who filled the memory by calls lives to see their error. Then caches are given up, and then
//! the process that holds most is killed ([`relieve`]), as proc(5) says of /proc/PID/oom_score,
//! whoever happened to ask.

use super::signal::{self, SigInfo};
use super::{Process, Task, exit, pid};
use crate::Pid;
use crate::lock::KCell;
use crate::mm::frames;
use crate::sched::wait::{Sleep, wait_until};
use crate::vfs::dentry;
use crate::{Errno, time};
use std::sync::Arc;

/// How long the last process that was killed may take to give its memory back, before another one
/// is.
const PATIENCE_NS: u64 = 2_000_000_000;
/// How long no address space is trimmed after all were.
const TRIM_PAUSE_NS: u64 = 100_000_000;
/// How often a fault that waits for memory looks again.
const PAUSE_NS: u64 = 2_000_000;

/// Who was killed last, and when.
static VICTIM: KCell<Option<(Pid, u64)>> = KCell::new(None);

/// Gives up what nobody needs: names in caches, and frames that were given out and never filled.
/// True when that made room. Nothing may be borrowed, and the big lock may be dropped.
fn reclaim() -> bool {
    let before = (frames::used(), frames::reach());
    dentry::shrink();
    trim_at_times();
    let less = |before: u64, now: u64| now + umlab_model::PAGE_SIZE <= before;
    less(before.0, frames::used()) || less(before.1, frames::reach())
}

/// Trims address spaces until a good part of the memory is free again; not too often, since it
/// takes time and there may be nothing to be had.
fn trim_at_times() {
    static LAST: KCell<u64> = KCell::new(0);
    if time::now().saturating_sub(LAST.get()) < TRIM_PAUSE_NS {
        return;
    }
    LAST.set(time::now());
    let enough = frames::limit() / 16 / umlab_model::PAGE_SIZE;
    let mut freed = 0;
    for process in pid::processes() {
        let space = process.threads().iter().find_map(|thread| thread.space.cloned());
        freed += space.map_or(0, |space| space.trim());
        if freed >= enough {
            break;
        }
    }
    LAST.set(time::now());
}

/// Before a system call: gives memory back that nobody uses, a little at a time, and makes room
/// when there is little, because where the core reaches guest memory it is too late.
#[inline]
pub fn keep_ahead() {
    frames::give_back_some();
    if frames::was_tight() {
        trim_at_times();
    }
}

/// After a fault of `task` for which there was no memory: makes room, or sees to it that there soon
/// is. The fault is then to be tried again, unless the task itself is to end.
pub fn relieve(task: &Arc<Task>) {
    if reclaim() {
        return;
    }
    let now = time::now();
    let waiting = match *VICTIM.borrow() {
        Some((pid, since)) => pid::find_process(pid).is_some_and(|p| !p.ended()) && now - since < PATIENCE_NS,
        None => false,
    };
    if !waiting {
        let Some(victim) = largest() else {
            umlab_model::log!(Error, "out of memory, and there is no process that may be killed");
            exit::exit_group(task, exit::killed_by(abi::SIGKILL, false));
            return;
        };
        let name = String::from_utf8_lossy(&victim.name()).into_owned();
        umlab_model::log!(Warn, "out of memory: process {} ({name}) is killed", victim.pid);
        *VICTIM.borrow_mut() = Some((victim.pid, now));
        if Arc::ptr_eq(&victim, &task.process) {
            exit::exit_group(task, exit::killed_by(abi::SIGKILL, false));
            return;
        }
        let _ = signal::send_to_process(&victim, SigInfo::kernel(abi::SIGKILL));
    }
    // Only SIGKILL ends the pause; other signals are looked at when the fault is over.
    let _ = wait_until(&[], Some(now + PAUSE_NS), Sleep::Killable, || None::<()>);
}

/// After a call that failed for want of memory: waits until threads that are to end have given
/// theirs back, so that the call can be tried again. False when memory is not what was missing,
/// when none is about to end, or when none gets any further. Nothing may be borrowed.
pub fn await_dying() -> bool {
    let has_room = || frames::check_room(frames::limit() / 64).is_ok();
    if has_room() {
        return false;
    }
    let (mut before, mut since) = (exit::dying(), time::now());
    while before > 0 && time::now() - since < PATIENCE_NS {
        let pause = wait_until(&[], Some(time::now() + PAUSE_NS), Sleep::Killable, || None::<()>);
        if pause != Err(Errno::ETIMEDOUT) {
            return false;
        }
        if has_room() {
            return true;
        }
        let now = exit::dying();
        if now != before {
            (before, since) = (now, time::now());
        }
    }
    false
}

/// A process's share of the guest's memory in thousandths, changed by its /proc/PID/oom_score_adj.
/// None for one that is never killed.
pub fn badness(process: &Process) -> Option<i64> {
    const NEVER: i32 = -1000;
    let adjustment = process.settings.borrow().oom_score_adj;
    if process.is_init() || process.ended() || adjustment == NEVER {
        return None;
    }
    let space = process.threads().iter().find_map(|thread| thread.space.cloned())?;
    let total = (frames::limit() / umlab_model::PAGE_SIZE).max(1);
    Some((space.resident_pages() * 1000 / total).cast_signed() + i64::from(adjustment))
}

/// The process that is to be killed first; of equal ones the youngest.
fn largest() -> Option<Arc<Process>> {
    let scored = pid::processes().into_iter().filter_map(|process| Some((badness(&process)?, process.pid, process)));
    scored.max_by_key(|&(badness, pid, _)| (badness, pid)).map(|(_, _, process)| process)
}
