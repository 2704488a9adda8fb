//! Robust futexes: locks that a dying thread still holds are marked, and one of their waiters is
//! woken.
//!
//! The list of locks held is in the dying thread's memory, and may be nonsense, or endless.

use super::{OWNER_DIED, TID_MASK, WAITERS, load, pi, update, wake_address};
use crate::mm::AddressSpace;
use crate::task::Task;
use crate::{Errno, Result};
use std::sync::Arc;

/// No more list entries than this are believed.
const MAX_ENTRIES: usize = 2048;

/// Lets go of all the task holds: PI futexes with waiters, and the robust list at `head` (0 for
/// none).
pub fn release_held(task: &Arc<Task>, space: &Arc<AddressSpace>, head: u64) {
    pi::owner_died(task.tid());
    if head != 0 {
        // Where the list cannot be read, it ends.
        let _ = walk(task, space, head);
    }
}

fn walk(task: &Arc<Task>, space: &Arc<AddressSpace>, head: u64) -> Result<()> {
    let [first, offset, pending]: [u64; 3] = space.read(head)?;
    let mut entry = first;
    for _ in 0..MAX_ENTRIES {
        // The lowest bit says that it is a PI futex.
        let (address, is_pi) = (entry & !1, entry & 1 != 0);
        if address == head {
            break;
        }
        // The next one first: the futex's new owner may free this one.
        let next: Result<u64> = space.read(address);
        if address != pending & !1 {
            mark_dead(task, space, address.wrapping_add(offset), is_pi, false)?;
        }
        entry = next?;
    }
    if pending & !1 != 0 {
        mark_dead(task, space, (pending & !1).wrapping_add(offset), pending & 1 != 0, true)?;
    }
    Ok(())
}

fn mark_dead(task: &Arc<Task>, space: &Arc<AddressSpace>, addr: u64, is_pi: bool, pending: bool) -> Result<()> {
    if !addr.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let tid = task.tid().cast_unsigned();
    let word = load(space, addr)?;
    // It died while it unlocked: the word is free already, but the wake-up is still owed.
    if pending && !is_pi && word == 0 {
        wake_address(space, addr, 1)?;
        return Ok(());
    }
    if word & TID_MASK != tid {
        return Ok(());
    }
    let old = update(space, addr, |word| (word & TID_MASK == tid).then_some(word & WAITERS | OWNER_DIED))?;
    if old & TID_MASK == tid && old & WAITERS != 0 && !is_pi {
        wake_address(space, addr, 1)?;
    }
    Ok(())
}
