//! Scheduling: policies, CPU affinity, giving way.
//!
//! Policies are kept and answered by Linux's rules, and the core's scheduler obeys real-time
//! priorities and nice values.

use super::resource::may_nice;
use super::{Call, Entry, entry};
use crate::limits;
use crate::mm::user::{bytes_of, bytes_of_mut, zeroed};
use crate::task::Whom;
use crate::{Errno, Result, sched};
use abi::number::{Low, extended};
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_sched_yield, "sched_yield", "", sys_sched_yield),
    entry(abi::SYS_sched_setaffinity, "sched_setaffinity", "duP", sys_sched_setaffinity),
    entry(abi::SYS_sched_getaffinity, "sched_getaffinity", "duP", sys_sched_getaffinity),
    entry(abi::SYS_sched_setscheduler, "sched_setscheduler", "ddP", sys_sched_setscheduler),
    entry(abi::SYS_sched_getscheduler, "sched_getscheduler", "d", sys_sched_getscheduler),
    entry(abi::SYS_sched_setparam, "sched_setparam", "dP", sys_sched_setparam),
    entry(abi::SYS_sched_getparam, "sched_getparam", "dP", sys_sched_getparam),
    entry(abi::SYS_sched_setattr, "sched_setattr", "dPx", sys_sched_setattr),
    entry(abi::SYS_sched_getattr, "sched_getattr", "dPux", sys_sched_getattr),
    entry(abi::SYS_sched_get_priority_max, "sched_get_priority_max", "d", |call| priority_bound(call, 99)),
    entry(abi::SYS_sched_get_priority_min, "sched_get_priority_min", "d", |call| priority_bound(call, 1)),
    entry(abi::SYS_sched_rr_get_interval, "sched_rr_get_interval", "dP", sys_sched_rr_get_interval),
    entry(abi::SYS_getcpu, "getcpu", "PPP", sys_getcpu),
];

const RESET_ON_FORK: i32 = 0x4000_0000;

fn sys_sched_yield(_call: &mut Call<'_>) -> Result<u64> {
    sched::yield_now();
    Ok(0)
}

/// The thread that a pid argument means, 0 being the caller.
fn target(call: &Call<'_>, pid: i32) -> Result<Whom> {
    match pid {
        ..0 => Err(Errno::EINVAL),
        0 => Ok(Whom::Thread(call.task.clone())),
        _ => Whom::find(pid).ok_or(Errno::ESRCH),
    }
}

/// As [`target`] for the calls about CPUs, which find nobody with a negative number.
fn target_of_mask(call: &Call<'_>) -> Result<Whom> {
    target(call, call.int(0)).map_err(|_| Errno::ESRCH)
}

fn cpu_mask() -> u64 {
    match sched::cpu_count() {
        count @ 0..=63 => (1 << count) - 1,
        _ => u64::MAX,
    }
}

fn sys_sched_getaffinity(call: &mut Call<'_>) -> Result<u64> {
    let len = call.uint(1) as usize;
    if len * 8 < sched::cpu_count() || !len.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let mask = target_of_mask(call)?.attributes().affinity & cpu_mask();
    call.task.space().write(call.args[2], &mask)?;
    Ok(8)
}

fn sys_sched_setaffinity(call: &mut Call<'_>) -> Result<u64> {
    let len = (call.uint(1) as usize).min(8);
    let mut mask = 0u64;
    call.task.space().read_bytes(call.args[2], &mut bytes_of_mut(&mut mask)[..len])?;
    let whom = target_of_mask(call)?;
    let (from, to) = (call.task.creds(), whom.creds());
    if from.euid != to.euid && from.euid != to.uid && !from.capable(abi::CAP_SYS_NICE) {
        return Err(Errno::EPERM);
    }
    if mask & cpu_mask() == 0 {
        return Err(Errno::EINVAL);
    }
    whom.change(|attributes| attributes.affinity = mask & cpu_mask());
    match whom {
        Whom::Thread(task) if Arc::ptr_eq(&task, call.task) => sched::obey_affinity(),
        // It moves when it comes by; one that sleeps, when it wakes.
        Whom::Thread(task) => sched::interrupt(&*task),
        Whom::Ended(_) => {}
    }
    Ok(0)
}

/// What sched_setscheduler(2) and its kin set.
struct Wanted {
    policy: i32,
    priority: i32,
    nice: Option<i32>,
    reset_on_fork: bool,
}

fn is_realtime(policy: i32) -> bool {
    policy == abi::SCHED_FIFO || policy == abi::SCHED_RR
}

fn set_scheduler(call: &Call<'_>, whom: &Whom, wanted: &Wanted) -> Result<()> {
    let Wanted { policy, priority, .. } = *wanted;
    let known = matches!(policy, abi::SCHED_OTHER | abi::SCHED_BATCH | abi::SCHED_IDLE) || is_realtime(policy);
    if !known && policy != abi::SCHED_DEADLINE || !(0..=99).contains(&priority) {
        return Err(Errno::EINVAL);
    }
    if policy == abi::SCHED_DEADLINE || is_realtime(policy) != (priority != 0) {
        return Err(Errno::EINVAL);
    }
    let now = whom.attributes();
    let (from, to) = (call.task.creds(), whom.creds());
    if !from.capable(abi::CAP_SYS_NICE) {
        let allowed_priority = whom.process().limit(limits::RTPRIO);
        let too_much = is_realtime(policy)
            && (policy != now.policy && allowed_priority == 0
                || priority > now.priority && extended(priority) > allowed_priority);
        let less_nice = wanted.nice.is_some_and(|nice| nice < now.nice && !may_nice(call, whom.process(), nice));
        let out_of_idle =
            now.policy == abi::SCHED_IDLE && policy != abi::SCHED_IDLE && !may_nice(call, whom.process(), now.nice);
        let not_own = from.euid != to.euid && from.euid != to.uid;
        if too_much || less_nice || out_of_idle || not_own || now.reset_on_fork && !wanted.reset_on_fork {
            return Err(Errno::EPERM);
        }
    }
    whom.change(|attributes| {
        attributes.policy = policy;
        attributes.priority = priority;
        attributes.reset_on_fork = wanted.reset_on_fork;
        attributes.nice = wanted.nice.unwrap_or(attributes.nice);
    });
    if let Whom::Thread(task) = whom {
        sched::priority_changed(&**task);
    }
    Ok(())
}

fn sys_sched_setscheduler(call: &mut Call<'_>) -> Result<u64> {
    let policy = call.int(1);
    if policy < 0 || call.args[2] == 0 || call.int(0) < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = call.task.space().read::<i32>(call.args[2])?;
    let whom = target(call, call.int(0))?;
    let reset_on_fork = policy & RESET_ON_FORK != 0;
    set_scheduler(call, &whom, &Wanted { policy: policy & !RESET_ON_FORK, priority, nice: None, reset_on_fork })?;
    Ok(0)
}

fn sys_sched_getscheduler(call: &mut Call<'_>) -> Result<u64> {
    let attributes = target(call, call.int(0))?.attributes();
    Ok(extended(attributes.policy | if attributes.reset_on_fork { RESET_ON_FORK } else { 0 }))
}

fn sys_sched_setparam(call: &mut Call<'_>) -> Result<u64> {
    if call.args[1] == 0 || call.int(0) < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = call.task.space().read::<i32>(call.args[1])?;
    let whom = target(call, call.int(0))?;
    let now = whom.attributes();
    let wanted = Wanted { policy: now.policy, priority, nice: None, reset_on_fork: now.reset_on_fork };
    set_scheduler(call, &whom, &wanted)?;
    Ok(0)
}

fn sys_sched_getparam(call: &mut Call<'_>) -> Result<u64> {
    if call.args[1] == 0 {
        return Err(Errno::EINVAL);
    }
    let whom = target(call, call.int(0))?;
    let priority = whom.attributes().priority;
    call.task.space().write(call.args[1], &priority).map(|()| 0)
}

/// struct sched_attr: size and policy, flags, nice and priority, then runtime, deadline, period,
/// and utilization.
type SchedAttr = [u64; 7];
const ATTR_MIN: usize = 48;
const ATTR_MAX: usize = size_of::<SchedAttr>();
const FLAG_RESET_ON_FORK: u64 = 1;
const FLAG_KEEP_POLICY: u64 = 8;
const FLAG_KEEP_PARAMS: u64 = 16;
/// Flags with a meaning only for deadlines or utilization hints, neither of which there is.
const FLAGS_OTHER: u64 = 2 | 4;
const FLAGS_UTIL: u64 = 32 | 64;

fn sys_sched_setattr(call: &mut Call<'_>) -> Result<u64> {
    let (addr, flags) = (call.args[1], call.uint(2));
    if addr == 0 || call.int(0) < 0 || flags != 0 {
        return Err(Errno::EINVAL);
    }
    let space = call.task.space();
    let size = match space.read::<u32>(addr)? as usize {
        0 => ATTR_MIN,
        size => size,
    };
    if !(ATTR_MIN..=4096).contains(&size) {
        space.write(addr, &ATTR_MAX.low_u32())?;
        return Err(Errno::E2BIG);
    }
    let mut attr: SchedAttr = zeroed();
    space.read_bytes(addr, &mut bytes_of_mut(&mut attr)[..size.min(ATTR_MAX)])?;
    if size > ATTR_MAX {
        let rest: Vec<u8> = space.read_array(addr.wrapping_add(ATTR_MAX as u64), size - ATTR_MAX)?;
        if rest.iter().any(|&b| b != 0) {
            space.write(addr, &ATTR_MAX.low_u32())?;
            return Err(Errno::E2BIG);
        }
    }
    let whom = target(call, call.int(0))?;
    let now = whom.attributes();
    let (mut policy, flags) = ((attr[0] >> 32).low_i32(), attr[1]);
    if policy < 0 || flags & FLAGS_UTIL != 0 && size < ATTR_MAX {
        return Err(Errno::EINVAL);
    }
    if flags & !(FLAG_RESET_ON_FORK | FLAG_KEEP_POLICY | FLAG_KEEP_PARAMS | FLAGS_OTHER | FLAGS_UTIL) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & FLAGS_UTIL != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let (mut nice, mut priority) = (attr[2].low_i32().clamp(-20, 19), (attr[2] >> 32).low_i32());
    if flags & FLAG_KEEP_POLICY != 0 {
        policy = now.policy;
    }
    if flags & FLAG_KEEP_PARAMS != 0 {
        (nice, priority) = (now.nice, now.priority);
    }
    let reset_on_fork = flags & FLAG_RESET_ON_FORK != 0;
    let nice = (!is_realtime(policy)).then_some(nice);
    set_scheduler(call, &whom, &Wanted { policy, priority, nice, reset_on_fork })?;
    Ok(0)
}

fn sys_sched_getattr(call: &mut Call<'_>) -> Result<u64> {
    let (addr, size, flags) = (call.args[1], call.uint(2) as usize, call.uint(3));
    if addr == 0 || call.int(0) < 0 || !(ATTR_MIN..=4096).contains(&size) || flags != 0 {
        return Err(Errno::EINVAL);
    }
    let whom = target(call, call.int(0))?;
    let now = whom.attributes();
    let size = size.min(ATTR_MAX);
    let mut attr: SchedAttr = zeroed();
    attr[0] = size as u64 | extended(now.policy) << 32;
    attr[1] = if now.reset_on_fork { FLAG_RESET_ON_FORK } else { 0 };
    attr[2] = match is_realtime(now.policy) {
        true => extended(now.priority) << 32,
        false => now.nice.cast_unsigned().into(),
    };
    call.task.space().write_bytes(addr, &bytes_of(&attr)[..size])?;
    Ok(0)
}

fn priority_bound(call: &mut Call<'_>, realtime: u64) -> Result<u64> {
    match call.int(0) {
        policy if is_realtime(policy) => Ok(realtime),
        abi::SCHED_OTHER | abi::SCHED_BATCH | abi::SCHED_IDLE | abi::SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

fn sys_sched_rr_get_interval(call: &mut Call<'_>) -> Result<u64> {
    let whom = target(call, call.int(0))?;
    let policy = whom.attributes().policy;
    let nanoseconds: i64 = match policy {
        abi::SCHED_RR => 100_000_000,
        abi::SCHED_FIFO => 0,
        _ => sched::SLICE_NS.cast_signed(),
    };
    call.task.space().write(call.args[1], &[0i64, nanoseconds]).map(|()| 0)
}

fn sys_getcpu(call: &mut Call<'_>) -> Result<u64> {
    let space = call.task.space();
    if call.args[0] != 0 {
        space.write(call.args[0], &sched::machine().current_cpu().low_u32())?;
    }
    if call.args[1] != 0 {
        space.write(call.args[1], &0u32)?;
    }
    Ok(0)
}
