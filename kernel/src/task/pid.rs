//! The PID table: one number space for threads, processes, groups and sessions.
//!
//! A number is free for use again when nothing of the four kinds has it. Numbers rise and wrap, as
//! on Linux, so that one is not reused soon. The table is an array, because a lookup is on the path
//! of every kill, wait and futex owner check.

use super::{Process, ProcessGroup, Session, Task};
use crate::Pid;
use crate::lock::KCell;
use crate::{Errno, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// One more than the highest PID that there can be.
pub const PID_MAX: Pid = 32768;
/// Where numbering goes on after a wrap: low numbers are left to early processes.
const WRAP_TO: Pid = 300;

/// No more tasks than this, however much memory there is: some models need several host processes
/// for each.
const MOST_TASKS: usize = PID_MAX as usize / 4;

#[derive(Default)]
struct Slot {
    reserved: bool,
    task: Option<Arc<Task>>,
    process: Option<Arc<Process>>,
    group: Weak<ProcessGroup>,
    session: Weak<Session>,
    in_group: bool,
    in_session: bool,
}

impl Slot {
    fn is_free(&self) -> bool {
        !self.reserved && self.task.is_none() && self.process.is_none() && !self.in_group && !self.in_session
    }
}

struct Table {
    slots: Vec<Slot>,
    last: Pid,
    /// Threads, zombies included.
    tasks: usize,
    /// The same for each user.
    by_user: BTreeMap<u32, u64>,
    max_tasks: usize,
    pid_max: Pid,
}

static TABLE: KCell<Table> = KCell::new(Table {
    slots: Vec::new(),
    last: 0,
    tasks: 0,
    by_user: BTreeMap::new(),
    max_tasks: 4096,
    pid_max: PID_MAX,
});

/// How many threads there may be at once (/proc/sys/kernel/threads-max).
pub fn max_tasks() -> usize {
    TABLE.borrow().max_tasks
}

pub fn set_max_tasks(count: usize) {
    TABLE.borrow_mut().max_tasks = count.clamp(64, MOST_TASKS);
}

/// Changes it; EINVAL beyond what there is room for, and below Linux's least.
pub fn change_max_tasks(count: i64) -> Result<()> {
    let count = usize::try_from(count).ok().filter(|count| (20..=MOST_TASKS).contains(count)).ok_or(Errno::EINVAL)?;
    TABLE.borrow_mut().max_tasks = count;
    Ok(())
}

/// One more than the highest number to be given out (/proc/sys/kernel/pid_max).
pub fn pid_max() -> Pid {
    TABLE.borrow().pid_max
}

pub fn set_pid_max(number: i64) -> Result<()> {
    let number = Pid::try_from(number).ok().filter(|number| (WRAP_TO + 1..=PID_MAX).contains(number));
    TABLE.borrow_mut().pid_max = number.ok_or(Errno::EINVAL)?;
    Ok(())
}

/// Numbers go on behind this one (/proc/sys/kernel/ns_last_pid).
pub fn set_last_pid(number: i64) -> Result<()> {
    let mut table = TABLE.borrow_mut();
    let number = Pid::try_from(number).ok().filter(|number| (0..table.pid_max).contains(number));
    table.last = number.ok_or(Errno::EINVAL)?;
    Ok(())
}

/// Threads now, zombies included.
pub fn task_count() -> usize {
    TABLE.borrow().tasks
}

/// The last number given out (/proc/loadavg).
pub fn last_pid() -> Pid {
    TABLE.borrow().last
}

/// A number reserved for a task being made; given back when dropped.
pub struct Reserved(Pid);

impl Reserved {
    pub fn get(&self) -> Pid {
        self.0
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        with_slot(self.0, |slot| slot.reserved = false);
    }
}

/// A new number, EAGAIN when there are too many tasks.
pub fn reserve() -> Result<Reserved> {
    let mut table = TABLE.borrow_mut();
    if table.tasks >= table.max_tasks {
        return Err(Errno::EAGAIN);
    }
    let mut candidate = table.last;
    for _ in 0..table.pid_max {
        candidate = if candidate + 1 >= table.pid_max { WRAP_TO } else { candidate + 1 };
        let index = candidate.cast_unsigned() as usize;
        if index >= table.slots.len() {
            table.slots.resize_with((index + 1).next_power_of_two(), Slot::default);
        }
        if table.slots[index].is_free() {
            table.slots[index].reserved = true;
            table.last = candidate;
            return Ok(Reserved(candidate));
        }
    }
    Err(Errno::EAGAIN)
}

/// Keeps the number of a task that has just left the table.
pub(super) fn keep(number: Pid) -> Reserved {
    with_slot(number, |slot| slot.reserved = true);
    Reserved(number)
}

/// A particular number: EEXIST when it is taken, EINVAL when it cannot be one.
pub fn reserve_exact(number: Pid) -> Result<Reserved> {
    if !(1..PID_MAX).contains(&number) {
        return Err(Errno::EINVAL);
    }
    let mut table = TABLE.borrow_mut();
    if table.tasks >= table.max_tasks {
        return Err(Errno::EAGAIN);
    }
    let index = number.cast_unsigned() as usize;
    if index >= table.slots.len() {
        table.slots.resize_with((index + 1).next_power_of_two(), Slot::default);
    }
    if !table.slots[index].is_free() {
        return Err(Errno::EEXIST);
    }
    table.slots[index].reserved = true;
    Ok(Reserved(number))
}

fn with_slot<T>(number: Pid, f: impl FnOnce(&mut Slot) -> T) -> Option<T> {
    let mut table = TABLE.borrow_mut();
    usize::try_from(number).ok().and_then(|index| table.slots.get_mut(index)).map(f)
}

/// The thread with this id.
pub fn find(tid: Pid) -> Option<Arc<Task>> {
    with_slot(tid, |slot| slot.task.clone()).flatten()
}

/// The process with this PID, which may be a zombie.
pub fn find_process(pid: Pid) -> Option<Arc<Process>> {
    with_slot(pid, |slot| slot.process.clone()).flatten()
}

/// The process group with this id.
pub fn find_group(pgid: Pid) -> Option<Arc<ProcessGroup>> {
    with_slot(pgid, |slot| slot.group.upgrade()).flatten()
}

/// The session with this id.
pub fn find_session(sid: Pid) -> Option<Arc<Session>> {
    with_slot(sid, |slot| slot.session.upgrade()).flatten()
}

/// All processes, zombies included, by rising PID.
pub fn processes() -> Vec<Arc<Process>> {
    TABLE.borrow().slots.iter().filter_map(|slot| slot.process.clone()).collect()
}

/// A user's threads, zombies included: what RLIMIT_NPROC limits.
pub fn user_tasks(uid: u32) -> u64 {
    TABLE.borrow().by_user.get(&uid).copied().unwrap_or(0)
}

/// Counts a new task, of the user with this real uid.
pub(super) fn count(uid: u32) {
    let mut table = TABLE.borrow_mut();
    table.tasks += 1;
    *table.by_user.entry(uid).or_insert(0) += 1;
}

/// A task is no longer that user's: it ended (a process's first one only when it was waited for) or
/// changed its real uid.
pub(super) fn uncount(uid: u32) {
    let mut table = TABLE.borrow_mut();
    table.tasks = table.tasks.saturating_sub(1);
    if let Some(count) = table.by_user.get_mut(&uid) {
        *count -= 1;
        if *count == 0 {
            table.by_user.remove(&uid);
        }
    }
}

pub(super) fn insert_task(task: &Arc<Task>) {
    with_slot(task.tid(), |slot| slot.task = Some(task.clone()));
}

pub(super) fn remove_task(tid: Pid) {
    // What the slot held is dropped outside the borrow: it may be the last reference.
    let old = with_slot(tid, |slot| slot.task.take());
    drop(old);
}

pub(super) fn insert_process(process: &Arc<Process>) {
    with_slot(process.pid, |slot| slot.process = Some(process.clone()));
}

pub(super) fn remove_process(pid: Pid) {
    let old = with_slot(pid, |slot| slot.process.take()).flatten();
    drop(old);
}

pub(super) fn set_group(pgid: Pid, group: &Arc<ProcessGroup>) {
    with_slot(pgid, |slot| {
        slot.group = Arc::downgrade(group);
        slot.in_group = true;
    });
}

pub(super) fn clear_group(pgid: Pid) {
    with_slot(pgid, |slot| slot.in_group = false);
}

pub(super) fn set_session(sid: Pid, session: &Arc<Session>) {
    with_slot(sid, |slot| {
        slot.session = Arc::downgrade(session);
        slot.in_session = true;
    });
}

pub(super) fn clear_session(sid: Pid) {
    with_slot(sid, |slot| slot.in_session = false);
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: the table is one for all.
    #[test]
    fn numbers_rise_and_wrap() {
        let _held = crate::fs::tests::hold();
        TABLE.borrow_mut().last = PID_MAX - 3;
        let a = reserve().unwrap();
        let b = reserve().unwrap();
        assert_eq!((a.get(), b.get()), (PID_MAX - 2, PID_MAX - 1));
        let c = reserve().unwrap();
        assert_eq!(c.get(), WRAP_TO);
        assert_eq!(reserve_exact(WRAP_TO).err(), Some(Errno::EEXIST));
        assert_eq!(reserve_exact(PID_MAX).err(), Some(Errno::EINVAL));
        drop(c);
        assert_eq!(reserve_exact(WRAP_TO).map(|r| r.get()), Ok(WRAP_TO));
        drop((a, b));
        assert_eq!(find(PID_MAX - 1).map(|t| t.tid()), None);
        count(1000);
        count(1000);
        uncount(1000);
        assert_eq!((user_tasks(1000), user_tasks(0)), (1, 0));
    }
}
