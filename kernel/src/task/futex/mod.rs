//! Futexes (futex(2)): sleeping on a word of guest memory.
//!
//! The word is guest memory that user code on other CPUs changes at any time; the queues are core
//! data. A waiter looks at the word and queues itself under the big lock, and whoever changes the
//! word wakes through a system call afterwards, so no wake-up is lost.

mod op;
mod pi;
mod robust;
mod waitv;

pub use op::{WakeOp, requeue, wake_op};
pub use pi::{lock_pi, unlock_pi};
pub use robust::release_held;
pub use waitv::{WaitvEntry, waitv};

use super::Task;
use crate::lock::KCell;
use crate::mm::AddressSpace;
use crate::mm::space::FutexKey;
use crate::sched::wait::{Sleep, wait_until};
use crate::{Errno, Result, sched};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The bits of a word that say who owns it, for robust and PI futexes.
pub const TID_MASK: u32 = 0x3fff_ffff;
pub const OWNER_DIED: u32 = 0x4000_0000;
pub const WAITERS: u32 = 0x8000_0000;
/// Waits for, or wakes, whatever bit.
pub const MATCH_ANY: u32 = u32::MAX;

/// One sleeper on one futex.
struct Waiter {
    /// Orders the waiters of a futex.
    place: Place,
    task: Arc<Task>,
    /// Which wake-ups it takes (FUTEX_WAIT_BITSET).
    bitset: u32,
    /// Where its word is, for PI futexes, which are written on its behalf.
    addr: u64,
    pi: bool,
    state: KCell<WaiterState>,
}

#[derive(Clone, Copy)]
struct WaiterState {
    key: FutexKey,
    woken: bool,
}

/// Who is served first: the highest real-time priority, when the wait began, then who came first.
type Place = (Reverse<i32>, u64);

struct Table {
    queues: BTreeMap<FutexKey, BTreeMap<Place, Arc<Waiter>>>,
    next_seq: u64,
}

/// Before all places.
const FIRST: Place = (Reverse(i32::MAX), 0);

static TABLE: KCell<Table> = KCell::new(Table { queues: BTreeMap::new(), next_seq: 0 });

impl Waiter {
    /// Queues the task.
    fn queue(task: &Arc<Task>, key: FutexKey, addr: u64, bitset: u32, pi: bool) -> Arc<Waiter> {
        let mut table = TABLE.borrow_mut();
        let seq = table.next_seq;
        table.next_seq += 1;
        let state = KCell::new(WaiterState { key, woken: false });
        let place = (Reverse(task.attributes.borrow().priority), seq);
        let waiter = Arc::new(Waiter { place, task: task.clone(), bitset, addr, pi, state });
        table.queues.entry(key).or_default().insert(place, waiter.clone());
        waiter
    }

    fn is_woken(&self) -> bool {
        self.state.borrow().woken
    }

    /// Takes it off its queue, if it is still on one.
    fn leave(&self) {
        let state = self.state.get();
        if !state.woken {
            remove(&mut TABLE.borrow_mut(), state.key, self.place);
        }
    }

    /// Wakes it; it is already off its queue.
    fn wake(&self) {
        self.state.borrow_mut().woken = true;
        sched::wake(&self.task);
    }
}

fn remove(table: &mut Table, key: FutexKey, place: Place) -> Option<Arc<Waiter>> {
    let queue = table.queues.get_mut(&key)?;
    let waiter = queue.remove(&place);
    if queue.is_empty() {
        table.queues.remove(&key);
    }
    waiter
}

/// The first waiter on `key` after `from` that takes one of `bits`, taken off the queue.
fn take_next(key: FutexKey, from: &mut Place, bits: u32) -> Result<Option<Arc<Waiter>>> {
    let mut table = TABLE.borrow_mut();
    let Some(queue) = table.queues.get(&key) else { return Ok(None) };
    let Some(waiter) = queue.range(*from..).map(|(_, w)| w).find(|w| w.pi || w.bitset & bits != 0).cloned() else {
        return Ok(None);
    };
    if waiter.pi {
        return Err(Errno::EINVAL);
    }
    *from = (waiter.place.0, waiter.place.1 + 1);
    remove(&mut table, key, waiter.place);
    Ok(Some(waiter))
}

/// Wakes up to `count` waiters (but at least one, as Linux does) that take one of `bits`. Returns
/// how many.
fn wake_key(key: FutexKey, count: i32, bits: u32) -> Result<u64> {
    let mut woken = 0i64;
    let mut from = FIRST;
    while let Some(waiter) = take_next(key, &mut from, bits)? {
        waiter.wake();
        woken += 1;
        if woken >= i64::from(count) {
            break;
        }
    }
    Ok(woken.cast_unsigned())
}

/// FUTEX_WAKE and FUTEX_WAKE_BITSET.
pub fn wake(space: &Arc<AddressSpace>, addr: u64, private: bool, count: i32, bits: u32) -> Result<u64> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    wake_key(key_of(space, addr, private, Use::Look)?, count, bits)
}

/// Wakes waiters that the kernel itself promised to wake, whether they wait for a private or a
/// shared futex.
pub fn wake_address(space: &Arc<AddressSpace>, addr: u64, count: i32) -> Result<u64> {
    let shared = key_of(space, addr, false, Use::Look)?;
    let private = key_of(space, addr, true, Use::Look)?;
    let mut woken = wake_key(shared, count, MATCH_ANY)?;
    if private != shared {
        woken += wake_key(private, count, MATCH_ANY)?;
    }
    Ok(woken)
}

/// FUTEX_WAIT and FUTEX_WAIT_BITSET: sleeps while the word is `expected`, until woken.
///
/// # Errors
/// EAGAIN when the word is something else; ETIMEDOUT after `deadline` (CLOCK_MONOTONIC, ns);
/// ERESTARTSYS for signals.
pub fn wait(task: &Arc<Task>, addr: u64, private: bool, expected: u32, bits: u32, deadline: Option<u64>) -> Result<()> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let space = task.space();
    let key = key_of(&space, addr, private, Use::Look)?;
    if load(&space, addr)? != expected {
        return Err(Errno::EAGAIN);
    }
    let waiter = Waiter::queue(task, key, addr, bits, false);
    let result = wait_until(&[], deadline, Sleep::Interruptible, || waiter.is_woken().then_some(()));
    waiter.leave();
    // A wake-up that came together with a signal or the timeout counts: its sender has counted it.
    if waiter.is_woken() { Ok(()) } else { result }
}

/// Whether a call changes the word, or only looks at it at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    Look,
    Change,
}

/// The futex at `addr`. For one that others may look for the page is brought in as for writing, so
/// that all find the same; only where that is forbidden, and the call would not, a page that can be
/// read will do.
fn key_of(space: &Arc<AddressSpace>, addr: u64, private: bool, purpose: Use) -> Result<FutexKey> {
    if !addr.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    if addr >= sched::model().user_top() {
        return Err(Errno::EFAULT);
    }
    if !private {
        match space.window(addr, 4, true) {
            Err(Errno::EFAULT) if purpose == Use::Look => drop(space.window(addr, 4, false)?),
            window => drop(window?),
        }
    }
    space.futex_key(addr, private)
}

/// The word, without asking for the right to write it.
fn load(space: &AddressSpace, addr: u64) -> Result<u32> {
    space.window(addr, 4, false)?.get().load_u32().ok_or(Errno::EFAULT)
}

/// Replaces the word as long as `change` gives a new value for the old one. Returns the last old
/// value.
fn update(space: &AddressSpace, addr: u64, mut change: impl FnMut(u32) -> Option<u32>) -> Result<u32> {
    let window = space.window(addr, 4, true)?;
    let window = window.get();
    let mut old = window.load_u32().ok_or(Errno::EFAULT)?;
    while let Some(new) = change(old) {
        let was = window.compare_exchange_u32(old, new).ok_or(Errno::EFAULT)?;
        if was == old {
            break;
        }
        old = was;
    }
    Ok(old)
}
