//! futex(2) and its kin.

use super::timeout::nanoseconds;
use super::{Call, Entry, entry};
use crate::task::Whom;
use crate::task::futex::{self, MATCH_ANY, WaitvEntry, WakeOp};
use crate::{Errno, Result, time};
use abi::number::Low;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_futex, "futex", "PxuPPx", sys_futex),
    entry(449, "futex_waitv", "PuxPd", sys_futex_waitv),
    entry(abi::SYS_set_robust_list, "set_robust_list", "Pu", sys_set_robust_list),
    entry(abi::SYS_get_robust_list, "get_robust_list", "dPP", sys_get_robust_list),
];

fn sys_futex(call: &mut Call<'_>) -> Result<u64> {
    let [addr, _, _, fourth, second, _] = call.args;
    let (op, value, third) = (call.int(1), call.uint(2), call.uint(5));
    let private = op & abi::FUTEX_PRIVATE_FLAG != 0;
    let realtime = op & abi::FUTEX_CLOCK_REALTIME != 0;
    let command = op & !(abi::FUTEX_PRIVATE_FLAG | abi::FUTEX_CLOCK_REALTIME);
    let takes_clock = [abi::FUTEX_WAIT_BITSET, abi::FUTEX_WAIT_REQUEUE_PI, abi::FUTEX_LOCK_PI2];
    let task = call.task;
    // The time comes before all else, as on Linux.
    let takes_timeout = matches!(
        command,
        abi::FUTEX_WAIT
            | abi::FUTEX_LOCK_PI
            | abi::FUTEX_LOCK_PI2
            | abi::FUTEX_WAIT_BITSET
            | abi::FUTEX_WAIT_REQUEUE_PI
    );
    let deadline = match takes_timeout && fourth != 0 {
        true => {
            let ns = read_time(call, fourth)?;
            Some(match command {
                abi::FUTEX_WAIT => time::now().saturating_add(ns),
                abi::FUTEX_LOCK_PI => from_realtime(ns),
                _ if realtime => from_realtime(ns),
                _ => ns,
            })
        }
        false => None,
    };
    if realtime && !takes_clock.contains(&command) {
        return Err(Errno::ENOSYS);
    }
    let pair = (addr, second);
    let counts = (value.cast_signed(), fourth.low_i32());
    match command {
        abi::FUTEX_WAIT => wait(call, addr, private, value, MATCH_ANY, deadline),
        abi::FUTEX_WAIT_BITSET => wait(call, addr, private, value, third, deadline),
        abi::FUTEX_WAKE => futex::wake(&task.space(), addr, private, value.cast_signed(), MATCH_ANY),
        abi::FUTEX_WAKE_BITSET => futex::wake(&task.space(), addr, private, value.cast_signed(), third),
        abi::FUTEX_REQUEUE => futex::requeue(&task.space(), pair, private, counts, None),
        abi::FUTEX_CMP_REQUEUE => futex::requeue(&task.space(), pair, private, counts, Some(third)),
        abi::FUTEX_WAKE_OP => futex::wake_op(&task.space(), pair, private, counts, WakeOp::decode(third)),
        abi::FUTEX_LOCK_PI | abi::FUTEX_LOCK_PI2 => futex::lock_pi(task, addr, private, deadline, false).map(|()| 0),
        abi::FUTEX_TRYLOCK_PI => futex::lock_pi(task, addr, private, None, true).map(|()| 0),
        abi::FUTEX_UNLOCK_PI => futex::unlock_pi(task, addr, private).map(|()| 0),
        _ => Err(Errno::ENOSYS),
    }
}

/// A wait that, when a signal without a handler interrupts it, goes on until the same moment.
fn wait(call: &mut Call<'_>, addr: u64, private: bool, value: u32, bits: u32, deadline: Option<u64>) -> Result<u64> {
    match futex::wait(call.task, addr, private, value, bits, deadline) {
        Err(Errno::ERESTARTSYS) if deadline.is_some() => {
            let again = move |call: &mut Call<'_>| wait(call, addr, private, value, bits, deadline);
            Err(call.task.signals.borrow_mut().restart_with(Box::new(again)))
        }
        result => result.map(|()| 0),
    }
}

/// A timespec in nanoseconds; EINVAL for one that is none.
fn read_time(call: &Call<'_>, addr: u64) -> Result<u64> {
    let [sec, nsec]: [i64; 2] = call.task.space().read(addr)?;
    nanoseconds(sec, nsec)
}

/// A moment of CLOCK_REALTIME on the clock of deadlines.
fn from_realtime(ns: u64) -> u64 {
    time::now().saturating_add(ns.saturating_sub(time::realtime()))
}

/// The most futexes that futex_waitv(2) takes.
const WAITV_MAX: u32 = 128;
/// struct futex_waitv's flags.
const FUTEX_32: u32 = 2;

fn sys_futex_waitv(call: &mut Call<'_>) -> Result<u64> {
    let (addr, count, flags, timeout, clock) = (call.args[0], call.uint(1), call.uint(2), call.args[3], call.int(4));
    if flags != 0 || count == 0 || count > WAITV_MAX || addr == 0 {
        return Err(Errno::EINVAL);
    }
    let mut deadline = None;
    if timeout != 0 {
        deadline = Some(match clock {
            abi::CLOCK_REALTIME => from_realtime(read_time(call, timeout)?),
            abi::CLOCK_MONOTONIC => read_time(call, timeout)?,
            _ => return Err(Errno::EINVAL),
        });
    }
    let mut entries = Vec::with_capacity(count as usize);
    for [expected, addr, flags] in call.task.space().read_array::<[u64; 3]>(addr, count as usize)? {
        let reserved = flags >> 32;
        let flags = flags.low_u32();
        let private = flags & abi::FUTEX_PRIVATE_FLAG as u32 != 0;
        if reserved != 0 || flags & !(FUTEX_32 | abi::FUTEX_PRIVATE_FLAG as u32) != 0 || flags & FUTEX_32 == 0 {
            return Err(Errno::EINVAL);
        }
        let expected = u32::try_from(expected).map_err(|_| Errno::EINVAL)?;
        entries.push(WaitvEntry { addr, expected, private });
    }
    Ok(futex::waitv(call.task, &entries, deadline)? as u64)
}

/// sizeof(struct robust_list_head)
const ROBUST_HEAD: u64 = 24;

fn sys_set_robust_list(call: &mut Call<'_>) -> Result<u64> {
    if call.args[1] != ROBUST_HEAD {
        return Err(Errno::EINVAL);
    }
    call.task.attributes.borrow_mut().robust_list = call.args[0];
    Ok(0)
}

fn sys_get_robust_list(call: &mut Call<'_>) -> Result<u64> {
    let whom = match call.int(0) {
        0 => Whom::Thread(call.task.clone()),
        tid => Whom::find(tid).ok_or(Errno::ESRCH)?,
    };
    if !whom.may_be_inspected(call.task) {
        return Err(Errno::EPERM);
    }
    let head = whom.attributes().robust_list;
    let space = call.task.space();
    space.write(call.args[2], &ROBUST_HEAD)?;
    space.write(call.args[1], &head)?;
    Ok(0)
}
