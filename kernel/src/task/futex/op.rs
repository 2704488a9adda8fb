//! The operations on two futexes at once.

use super::{AddressSpace, FIRST, MATCH_ANY, TABLE, Use, key_of, load, take_next, update, wake_key};
use crate::{Errno, Result};
use std::sync::Arc;

/// FUTEX_REQUEUE and FUTEX_CMP_REQUEUE: wakes up to `wake` waiters of the first futex and moves up
/// to `moved` others to the second. With `expected`, the first word must be that, else EAGAIN.
/// Returns how many were woken or moved.
pub fn requeue(
    space: &Arc<AddressSpace>,
    (from, to): (u64, u64),
    private: bool,
    (wake, moved): (i32, i32),
    expected: Option<u32>,
) -> Result<u64> {
    let (Ok(wake), Ok(moved)) = (u64::try_from(wake), u64::try_from(moved)) else { return Err(Errno::EINVAL) };
    let from_key = key_of(space, from, private, Use::Look)?;
    let to_key = key_of(space, to, private, Use::Look)?;
    if let Some(expected) = expected
        && load(space, from)? != expected
    {
        return Err(Errno::EAGAIN);
    }
    let mut count = 0;
    let mut next = FIRST;
    while count < wake
        && let Some(waiter) = take_next(from_key, &mut next, MATCH_ANY)?
    {
        waiter.wake();
        count += 1;
    }
    let limit = count + moved;
    while count < limit {
        let Some(waiter) = take_next(from_key, &mut next, MATCH_ANY)? else { break };
        waiter.state.borrow_mut().key = to_key;
        let mut table = TABLE.borrow_mut();
        table.queues.entry(to_key).or_default().insert(waiter.place, waiter);
        count += 1;
    }
    Ok(count)
}

/// The third argument of FUTEX_WAKE_OP, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WakeOp {
    op: u32,
    operand: i32,
    compare: u32,
    compare_to: i32,
}

impl WakeOp {
    pub fn decode(encoded: u32) -> WakeOp {
        let signed = |twelve: u32| (twelve << 20).cast_signed() >> 20;
        let mut operand = signed(encoded >> 12 & 0xfff);
        if encoded & 0x8000_0000 != 0 {
            operand = 1i32.wrapping_shl(operand.cast_unsigned() & 31);
        }
        WakeOp { op: encoded >> 28 & 7, operand, compare: encoded >> 24 & 15, compare_to: signed(encoded & 0xfff) }
    }

    fn apply(&self, old: u32) -> Option<u32> {
        let operand = self.operand.cast_unsigned();
        Some(match self.op {
            0 => operand,
            1 => old.wrapping_add(operand),
            2 => old | operand,
            3 => old & !operand,
            4 => old ^ operand,
            _ => return None,
        })
    }

    fn compares(&self, old: u32) -> Option<bool> {
        let (old, to) = (old.cast_signed(), self.compare_to);
        Some(match self.compare {
            0 => old == to,
            1 => old != to,
            2 => old < to,
            3 => old <= to,
            4 => old > to,
            5 => old >= to,
            _ => return None,
        })
    }
}

/// FUTEX_WAKE_OP: changes the second word, wakes waiters of the first, and if the second's old
/// value compares, of the second too.
pub fn wake_op(
    space: &Arc<AddressSpace>,
    (first, second): (u64, u64),
    private: bool,
    (wake_first, wake_second): (i32, i32),
    op: WakeOp,
) -> Result<u64> {
    let first_key = key_of(space, first, private, Use::Look)?;
    let second_key = key_of(space, second, private, Use::Change)?;
    if op.apply(0).is_none() {
        return Err(Errno::ENOSYS);
    }
    let old = update(space, second, |old| op.apply(old))?;
    let both = op.compares(old).ok_or(Errno::ENOSYS)?;
    let mut woken = wake_key(first_key, wake_first, MATCH_ANY)?;
    if both {
        woken += wake_key(second_key, wake_second, MATCH_ANY)?;
    }
    Ok(woken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_op_is_taken_apart() {
        // FUTEX_OP(FUTEX_OP_ADD, -1, FUTEX_OP_CMP_GT, 1)
        let op = WakeOp::decode(1 << 28 | 4 << 24 | 0xfff << 12 | 1);
        assert_eq!(op.apply(7), Some(6));
        assert_eq!(op.compares(2), Some(true));
        assert_eq!(op.compares(1), Some(false));
        // FUTEX_OP_OPARG_SHIFT with FUTEX_OP_OR
        let op = WakeOp::decode(1 << 31 | 2 << 28 | 4 << 12);
        assert_eq!(op.apply(1), Some(17));
        assert_eq!(WakeOp::decode(7 << 28).apply(0), None);
    }
}
