//! Resource limits, usage, and priorities.

use super::{Call, Entry, entry};
use crate::limits::{self, Limit};
use crate::task::usage::ticks;
use crate::task::{Process, Task, Whom, find_group, pid};
use crate::{Errno, Result, time};
use abi::number::{Low, extended};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_getrlimit, "getrlimit", "dP", sys_getrlimit),
    entry(abi::SYS_setrlimit, "setrlimit", "dP", sys_setrlimit),
    entry(abi::SYS_prlimit64, "prlimit64", "ddPP", sys_prlimit64),
    entry(abi::SYS_getrusage, "getrusage", "dP", sys_getrusage),
    entry(abi::SYS_times, "times", "P", sys_times),
    entry(abi::SYS_getpriority, "getpriority", "dd", sys_getpriority),
    entry(abi::SYS_setpriority, "setpriority", "ddd", sys_setpriority),
    entry(abi::SYS_ioprio_get, "ioprio_get", "dd", sys_ioprio_get),
    entry(abi::SYS_ioprio_set, "ioprio_set", "ddx", sys_ioprio_set),
];

fn which_limit(number: u32) -> Result<usize> {
    let number = number as usize;
    if number < limits::COUNT { Ok(number) } else { Err(Errno::EINVAL) }
}

fn sys_getrlimit(call: &mut Call<'_>) -> Result<u64> {
    let limit = call.task.process.limits.borrow().get(which_limit(call.uint(0))?);
    call.task.space().write(call.args[1], &[limit.soft, limit.hard]).map(|()| 0)
}

fn sys_setrlimit(call: &mut Call<'_>) -> Result<u64> {
    let [soft, hard] = call.task.space().read(call.args[1])?;
    set_limit(call, &call.task.process.clone(), which_limit(call.uint(0))?, Limit { soft, hard }).map(|()| 0)
}

fn sys_prlimit64(call: &mut Call<'_>) -> Result<u64> {
    let (pid, new, old) = (call.int(0), call.args[2], call.args[3]);
    let space = call.task.space();
    let wanted = match new {
        0 => None,
        _ => Some(space.read::<[u64; 2]>(new)?),
    };
    let target = match pid {
        0 => Whom::Thread(call.task.clone()),
        _ => Whom::find(pid).ok_or(Errno::ESRCH)?,
    };
    if !may_limit(call.task, &target) {
        return Err(Errno::EPERM);
    }
    let which = which_limit(call.uint(1))?;
    let process = target.process();
    let before = process.limits.borrow().get(which);
    if let Some([soft, hard]) = wanted {
        set_limit(call, process, which, Limit { soft, hard })?;
    }
    if old != 0 {
        space.write(old, &[before.soft, before.hard])?;
    }
    Ok(0)
}

fn may_limit(caller: &Arc<Task>, target: &Whom) -> bool {
    if matches!(target, Whom::Thread(target) if Arc::ptr_eq(caller, target)) {
        return true;
    }
    let (from, to) = (caller.creds(), target.creds());
    let same = [to.uid, to.euid, to.suid].iter().all(|&id| id == from.uid)
        && [to.gid, to.egid, to.sgid].iter().all(|&id| id == from.gid);
    same || from.capable(abi::CAP_SYS_RESOURCE)
}

fn set_limit(call: &Call<'_>, process: &Process, which: usize, new: Limit) -> Result<()> {
    if new.soft > new.hard {
        return Err(Errno::EINVAL);
    }
    if which == limits::NOFILE && new.hard > limits::NR_OPEN.load(Relaxed).cast_unsigned() {
        return Err(Errno::EPERM);
    }
    if new.hard > process.limits.borrow().get(which).hard && !call.task.creds().capable(abi::CAP_SYS_RESOURCE) {
        return Err(Errno::EPERM);
    }
    process.limits.borrow_mut().set(which, new);
    if which == limits::CPU {
        crate::task::signal::cpu_limit_changed(&process.arc());
    }
    Ok(())
}

fn sys_getrusage(call: &mut Call<'_>) -> Result<u64> {
    let process = &call.task.process;
    let usage = match call.int(0) {
        abi::RUSAGE_SELF => process.usage_now(),
        abi::RUSAGE_CHILDREN => process.children_usage.get(),
        abi::RUSAGE_THREAD => {
            let mut usage = call.task.usage.get();
            usage.max_resident = process.usage_now().max_resident;
            usage
        }
        _ => return Err(Errno::EINVAL),
    };
    call.task.space().write(call.args[1], &usage.to_rusage()).map(|()| 0)
}

fn sys_times(call: &mut Call<'_>) -> Result<u64> {
    if call.args[0] != 0 {
        let (own, children) = (call.task.process.usage.get(), call.task.process.children_usage.get());
        let times = [own.user, own.system, children.user, children.system].map(ticks);
        call.task.space().write(call.args[0], &times)?;
    }
    Ok(extended(ticks(time::now())))
}

/// Whom a (which, who) pair of getpriority(2) means.
fn those(call: &Call<'_>, which: i32, who: i32) -> Result<Vec<Whom>> {
    let all = |processes: Vec<Arc<Process>>| processes.iter().flat_map(Whom::all_of).collect();
    Ok(match which {
        abi::PRIO_PROCESS if who == 0 => vec![Whom::Thread(call.task.clone())],
        abi::PRIO_PROCESS => Whom::find(who).into_iter().collect(),
        abi::PRIO_PGRP if who == 0 => all(call.task.process.group().members()),
        abi::PRIO_PGRP => find_group(who).map(|group| all(group.members())).unwrap_or_default(),
        abi::PRIO_USER => {
            let uid = if who == 0 { call.task.creds().uid } else { who.cast_unsigned() };
            let mut those: Vec<Whom> = all(pid::processes());
            those.retain(|whom| whom.creds().uid == uid);
            those
        }
        _ => return Err(Errno::EINVAL),
    })
}

fn sys_getpriority(call: &mut Call<'_>) -> Result<u64> {
    let those = those(call, call.int(0), call.int(1))?;
    // From 40 for the first served to 1, so that no result looks like an error.
    let best = those.iter().map(|whom| 20 - whom.attributes().nice).max();
    best.map(extended).ok_or(Errno::ESRCH)
}

fn sys_setpriority(call: &mut Call<'_>) -> Result<u64> {
    let nice = call.int(2).clamp(-20, 19);
    let mut result = Err(Errno::ESRCH);
    for whom in those(call, call.int(0), call.int(1))? {
        let outcome = set_nice(call, &whom, nice);
        // One that could be changed is enough, unless another was refused.
        result = match (result, outcome) {
            (Err(Errno::ESRCH), outcome) => outcome,
            (Ok(()), outcome) => outcome,
            (result, _) => result,
        };
    }
    result.map(|()| 0)
}

fn set_nice(call: &Call<'_>, whom: &Whom, nice: i32) -> Result<()> {
    let (from, to) = (call.task.creds(), whom.creds());
    if to.uid != from.euid && to.euid != from.euid && !from.capable(abi::CAP_SYS_NICE) {
        return Err(Errno::EPERM);
    }
    if nice < whom.attributes().nice && !may_nice(call, whom.process(), nice) {
        return Err(Errno::EACCES);
    }
    whom.change(|attributes| attributes.nice = nice);
    Ok(())
}

/// Whether the caller may give a thread of the process a nice value this low.
pub(super) fn may_nice(call: &Call<'_>, process: &Process, nice: i32) -> bool {
    extended(20 - nice) <= process.limit(limits::NICE) || call.task.creds().capable(abi::CAP_SYS_NICE)
}

fn ioprio_those(call: &Call<'_>, which: i32, who: i32) -> Result<Vec<Whom>> {
    // The kinds are numbered from 1 here.
    if !(1..=3).contains(&which) {
        return Err(Errno::EINVAL);
    }
    let those = those(call, which - 1, who)?;
    if those.is_empty() { Err(Errno::ESRCH) } else { Ok(those) }
}

fn sys_ioprio_get(call: &mut Call<'_>) -> Result<u64> {
    let those = ioprio_those(call, call.int(0), call.int(1))?;
    Ok(u64::from(those.iter().map(|whom| whom.attributes().io_priority).min().unwrap_or(0)))
}

fn sys_ioprio_set(call: &mut Call<'_>) -> Result<u64> {
    let value = call.args[2].low_u16();
    let (class, data) = (value >> 13, value & 0x1fff);
    let creds = call.task.creds();
    match class {
        abi::IOPRIO_CLASS_RT if !creds.capable(abi::CAP_SYS_ADMIN) && !creds.capable(abi::CAP_SYS_NICE) => {
            return Err(Errno::EPERM);
        }
        // The data hold a level below 8 and hints, all of which may be given.
        abi::IOPRIO_CLASS_RT | abi::IOPRIO_CLASS_BE | abi::IOPRIO_CLASS_IDLE => {}
        abi::IOPRIO_CLASS_NONE if data == 0 => {}
        _ => return Err(Errno::EINVAL),
    }
    for whom in ioprio_those(call, call.int(0), call.int(1))? {
        let to = whom.creds();
        if to.uid != creds.euid && to.uid != creds.uid && !creds.capable(abi::CAP_SYS_NICE) {
            return Err(Errno::EPERM);
        }
        if let Whom::Thread(task) = whom {
            task.attributes.borrow_mut().io_priority = value;
        }
    }
    Ok(0)
}
