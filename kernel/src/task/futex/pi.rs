//! Priority-inheritance futexes: locks whose word holds the owner's tid, and which the kernel hands
//! from owner to waiter.
//!
//! The core has no priorities worth inheriting; what remains, and what programs rely on, is the
//! hand-over by rank, and that a lock whose owner died goes to the next waiter marked so.

use super::{OWNER_DIED, TABLE, TID_MASK, Use, WAITERS, Waiter, key_of, remove, update};
use crate::Pid;
use crate::lock::KCell;
use crate::mm::space::FutexKey;
use crate::sched::wait::{Sleep, wait_until};
use crate::task::{Task, find};
use crate::{Errno, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The owners of the PI futexes that have waiters.
static OWNERS: KCell<BTreeMap<FutexKey, Pid>> = KCell::new(BTreeMap::new());

/// FUTEX_LOCK_PI, FUTEX_LOCK_PI2, and with `try_only` FUTEX_TRYLOCK_PI.
pub fn lock_pi(task: &Arc<Task>, addr: u64, private: bool, deadline: Option<u64>, try_only: bool) -> Result<()> {
    let space = task.space();
    let key = key_of(&space, addr, private, Use::Change)?;
    let tid = task.tid().cast_unsigned();
    let mut contended = false;
    let queued = TABLE.borrow().queues.get(&key).is_some_and(|queue| queue.values().any(|w| w.pi));
    let old = update(&space, addr, |word| {
        contended = false;
        match word & TID_MASK {
            0 => Some(tid | word & OWNER_DIED | if queued { WAITERS } else { 0 }),
            owner if owner == tid => None,
            _ => {
                contended = true;
                // With the bit set, the owner's unlock comes to us.
                (!try_only).then_some(word | WAITERS)
            }
        }
    })?;
    if old & TID_MASK == tid {
        return Err(Errno::EDEADLK);
    }
    if !contended {
        if queued {
            OWNERS.borrow_mut().insert(key, task.tid());
        }
        return Ok(());
    }
    if try_only {
        return Err(Errno::EAGAIN);
    }
    let owner = (old & TID_MASK).cast_signed();
    if find(owner).is_none() {
        return Err(Errno::ESRCH);
    }
    OWNERS.borrow_mut().insert(key, owner);
    let waiter = Waiter::queue(task, key, addr, 0, true);
    let result = wait_until(&[], deadline, Sleep::Interruptible, || waiter.is_woken().then_some(()));
    waiter.leave();
    if waiter.is_woken() {
        return Ok(());
    }
    if first(key).is_none() {
        OWNERS.borrow_mut().remove(&key);
    }
    result.map_err(|e| if e == Errno::ERESTARTSYS { Errno::ERESTARTNOINTR } else { e })
}

/// FUTEX_UNLOCK_PI.
pub fn unlock_pi(task: &Arc<Task>, addr: u64, private: bool) -> Result<()> {
    let space = task.space();
    let tid = task.tid().cast_unsigned();
    if space.read::<u32>(addr)? & TID_MASK != tid {
        return Err(Errno::EPERM);
    }
    let key = key_of(&space, addr, private, Use::Change)?;
    if hand_over(key, 0) {
        return Ok(());
    }
    let old = update(&space, addr, |word| (word & TID_MASK == tid).then_some(0))?;
    if old & TID_MASK == tid { Ok(()) } else { Err(Errno::EPERM) }
}

/// A task ends: the PI futexes it owns go to their waiters.
pub(super) fn owner_died(tid: Pid) {
    let keys: Vec<FutexKey> = {
        let owners = OWNERS.borrow();
        if owners.is_empty() {
            return;
        }
        owners.iter().filter(|(_, owner)| **owner == tid).map(|(key, _)| *key).collect()
    };
    for key in keys {
        hand_over(key, OWNER_DIED);
    }
}

/// The waiter to serve first.
fn first(key: FutexKey) -> Option<Arc<Waiter>> {
    TABLE.borrow().queues.get(&key)?.values().find(|w| w.pi).cloned()
}

/// Gives the futex to its first waiter. False when there is none (that is left alive to take it).
fn hand_over(key: FutexKey, mark: u32) -> bool {
    while let Some(waiter) = first(key) {
        remove(&mut TABLE.borrow_mut(), key, waiter.place);
        let more = if first(key).is_some() { WAITERS } else { 0 };
        let word = waiter.task.tid().cast_unsigned() | more | mark;
        let written =
            waiter.task.space.cloned().is_some_and(|space| update(&space, waiter.addr, |_| Some(word)).is_ok());
        waiter.wake();
        if written {
            let mut owners = OWNERS.borrow_mut();
            if more != 0 {
                owners.insert(key, waiter.task.tid());
            } else {
                owners.remove(&key);
            }
            return true;
        }
    }
    OWNERS.borrow_mut().remove(&key);
    false
}
