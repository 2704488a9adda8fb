//! Semaphores (semget(2), semop(2), semctl(2)).
//!
//! A set of semaphores changes by lists of operations, each of which is done as a whole or not at
//! all. Who has to wait leaves its list with the set, and whoever makes it possible does the
//! operations in the sleeper's place: so the order of arrival decides, not who runs first.

mod set;
pub mod undo;

use super::{Ids, Object, Perm, READ, WRITE, seconds};
use crate::creds::Creds;
use crate::lock::KCell;
use crate::mm::pressure::room_for;
use crate::sched::preempt_point;
use crate::sched::wait::{Sleep, wait_until};
use crate::task::Task;
use crate::{Errno, Result};
use abi::number::{Low, to_usize};
use set::{Attempt, Sem, Waiter};
pub use set::{Counted, Op, SemSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// The highest value of a semaphore.
pub const MAX_VALUE: i32 = 32767;
/// /proc/sys/kernel/sem, in its order: semaphores in a set, semaphores, operations in a call, sets.
/// They can be lowered.
pub const MOST: [i64; 4] = [32_000, 1_024_000_000, 500, 32_000];
pub static LIMITS: [AtomicI64; 4] =
    [AtomicI64::new(MOST[0]), AtomicI64::new(MOST[1]), AtomicI64::new(MOST[2]), AtomicI64::new(MOST[3])];

/// The limit at this place of `LIMITS`.
pub fn limit(which: usize) -> usize {
    to_usize(LIMITS[which].load(Relaxed).cast_unsigned())
}

static SETS: KCell<Ids<SemSet>> = KCell::new(Ids::empty());
/// Semaphores of all sets.
static SEMAPHORES: KCell<usize> = KCell::new(0);

/// semget(2).
pub fn get(task: &Task, key: i32, count: i32, flags: i32) -> Result<i32> {
    let count = usize::try_from(count).ok().filter(|&count| count <= limit(0)).ok_or(Errno::EINVAL)?;
    let creds = task.creds();
    let fits = |set: &SemSet| if count > set.len() { Err(Errno::EINVAL) } else { Ok(()) };
    let known = SETS.borrow().known(key, flags, &creds, fits)?;
    if let Some(id) = known {
        return Ok(id);
    }
    if count == 0 {
        return Err(Errno::EINVAL);
    }
    let used = SEMAPHORES.get() + count;
    if used > limit(1) {
        return Err(Errno::ENOSPC);
    }
    room_for(size_of::<SemSet>() + count * size_of::<Sem>())?;
    let set = Arc::new(SemSet::new(Perm::new(key, flags.cast_unsigned(), &creds), count));
    let id = SETS.borrow_mut().insert(set, limit(3))?;
    SEMAPHORES.set(used);
    Ok(id)
}

/// The most operations that a call may have.
pub fn most_operations() -> usize {
    limit(2)
}

/// semtimedop(2). `deadline` is on CLOCK_MONOTONIC.
pub fn operate(task: &Task, id: i32, ops: Vec<Op>, deadline: Option<u64>) -> Result<()> {
    let set = SETS.borrow().get(id)?;
    if ops.iter().any(|op| op.number as usize >= set.len()) {
        return Err(Errno::EFBIG);
    }
    let alters = ops.iter().any(|op| op.change != 0);
    set.perm().check(if alters { WRITE } else { READ }, &task.creds())?;
    room_for(size_of::<Waiter>() + ops.len() * undo::COST)?;
    let undo = match ops.iter().any(Op::is_undone) {
        true => Some(undo::list_for(task, id)),
        false => None,
    };
    let attempt = set.attempt(&ops, undo, task.pid());
    let at = match attempt {
        Attempt::Done => {
            if alters {
                set.release();
            }
            return Ok(());
        }
        Attempt::Failed(e) => return Err(e),
        Attempt::Blocked(at) => at,
    };
    let (serial, waiter) = set.add_waiter(Waiter::new(ops, undo, task.pid()), at);
    match wait_until(&[&waiter.queue], deadline, Sleep::Interruptible, || waiter.outcome()) {
        Ok(outcome) => outcome,
        Err(e) => {
            set.remove_waiter(serial);
            // What was waited for is never waited for again without the caller's asking.
            Err(if e == Errno::ETIMEDOUT { Errno::EAGAIN } else { Errno::EINTR })
        }
    }
}

/// The set with this number, for those who may do what `wanted` says.
pub fn find(id: i32, wanted: u32, creds: &Creds) -> Result<Arc<SemSet>> {
    SETS.borrow().permitted(id, wanted, creds)
}

/// The number and the set at an index.
pub fn at(index: u32) -> Result<(i32, Arc<SemSet>)> {
    SETS.borrow().at(index).ok_or(Errno::EINVAL)
}

/// SETVAL.
pub fn set_value(task: &Task, id: i32, number: i32, value: i32) -> Result<()> {
    if !(0..=MAX_VALUE).contains(&value) {
        return Err(Errno::ERANGE);
    }
    let set = SETS.borrow().get(id)?;
    let number = set.number(number)?;
    set.perm().check(WRITE, &task.creds())?;
    set.set_value(number, value.low_u16(), task.pid());
    set.release();
    Ok(())
}

/// SETALL: a value for each semaphore, of which `values` gets as many as the set has.
pub fn set_all(task: &Task, set: &SemSet, values: &[u16]) -> Result<()> {
    if values.iter().any(|&value| i32::from(value) > MAX_VALUE) {
        return Err(Errno::ERANGE);
    }
    let adjustments = set.set_all(values, task.pid());
    undo::forget(adjustments);
    set.release();
    Ok(())
}

/// IPC_SET.
pub fn change(id: i32, uid: u32, gid: u32, mode: u32, creds: &Creds) -> Result<()> {
    let set = SETS.borrow().owned(id, creds)?;
    set.change(uid, gid, mode)
}

/// IPC_RMID: all who wait are told.
pub fn remove(id: i32, creds: &Creds) -> Result<()> {
    let set = SETS.borrow().owned(id, creds)?;
    SETS.borrow_mut().remove(id);
    *SEMAPHORES.borrow_mut() -= set.len();
    undo::forget(set.end());
    Ok(())
}

/// All sets.
pub fn all() -> Vec<(i32, Arc<SemSet>)> {
    SETS.borrow().all()
}

/// How many sets and semaphores there are, and the highest index in use.
pub fn usage() -> (usize, usize, u32) {
    let sets = SETS.borrow();
    (sets.len(), SEMAPHORES.get(), sets.highest())
}
