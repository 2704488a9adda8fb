//! Who a task is: user and group ids, capabilities, process groups and sessions.

use super::{Call, Entry, entry};
use crate::creds::Creds;
use crate::mm::pressure::room_for;
use crate::task::setid::{self, KEEP};
use crate::task::{Process, find, find_process, group};
use crate::{Errno, Result};
use abi::number::{Low, extended};
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_getuid, "getuid", "", |call| Ok(u64::from(call.task.creds().uid))),
    entry(abi::SYS_geteuid, "geteuid", "", |call| Ok(u64::from(call.task.creds().euid))),
    entry(abi::SYS_getgid, "getgid", "", |call| Ok(u64::from(call.task.creds().gid))),
    entry(abi::SYS_getegid, "getegid", "", |call| Ok(u64::from(call.task.creds().egid))),
    entry(abi::SYS_setuid, "setuid", "d", |call| change(call, |old, [a, ..]| setid::set_uid(old, a))),
    entry(abi::SYS_setgid, "setgid", "d", |call| change(call, |old, [a, ..]| setid::set_gid(old, a))),
    entry(abi::SYS_setreuid, "setreuid", "dd", |call| change(call, |old, [a, b, _]| setid::set_re_uid(old, a, b))),
    entry(abi::SYS_setregid, "setregid", "dd", |call| change(call, |old, [a, b, _]| setid::set_re_gid(old, a, b))),
    entry(abi::SYS_setresuid, "setresuid", "ddd", |call| change(call, setid::set_res_uid)),
    entry(abi::SYS_setresgid, "setresgid", "ddd", |call| change(call, setid::set_res_gid)),
    entry(abi::SYS_getresuid, "getresuid", "PPP", |call| get_three(call, |c| [c.uid, c.euid, c.suid])),
    entry(abi::SYS_getresgid, "getresgid", "PPP", |call| get_three(call, |c| [c.gid, c.egid, c.sgid])),
    entry(abi::SYS_setfsuid, "setfsuid", "d", sys_setfsuid),
    entry(abi::SYS_setfsgid, "setfsgid", "d", sys_setfsgid),
    entry(abi::SYS_getgroups, "getgroups", "dP", sys_getgroups),
    entry(abi::SYS_setgroups, "setgroups", "dP", sys_setgroups),
    entry(abi::SYS_capget, "capget", "PP", sys_capget),
    entry(abi::SYS_capset, "capset", "PP", sys_capset),
    entry(abi::SYS_setpgid, "setpgid", "dd", sys_setpgid),
    entry(abi::SYS_getpgid, "getpgid", "d", sys_getpgid),
    entry(abi::SYS_getpgrp, "getpgrp", "", sys_getpgrp),
    entry(abi::SYS_setsid, "setsid", "", sys_setsid),
    entry(abi::SYS_getsid, "getsid", "d", sys_getsid),
];

fn change(call: &mut Call<'_>, rule: impl FnOnce(&Creds, [u32; 3]) -> Result<Creds>) -> Result<u64> {
    let ids = [0, 1, 2].map(|n| call.uint(n));
    let old = call.task.creds();
    let new = rule(&old, ids)?;
    if new != *old {
        setid::commit(call.task, new);
    }
    Ok(0)
}

fn get_three(call: &mut Call<'_>, ids: impl FnOnce(&Creds) -> [u32; 3]) -> Result<u64> {
    let space = call.task.space();
    for (at, id) in call.args.iter().zip(ids(&call.task.creds())) {
        space.write(*at, &id)?;
    }
    Ok(0)
}

fn sys_setfsuid(call: &mut Call<'_>) -> Result<u64> {
    let old = call.task.creds();
    if let Some(new) = setid::set_fs_uid(&old, call.uint(0)) {
        setid::commit(call.task, new);
    }
    Ok(u64::from(old.fsuid))
}

fn sys_setfsgid(call: &mut Call<'_>) -> Result<u64> {
    let old = call.task.creds();
    if let Some(new) = setid::set_fs_gid(&old, call.uint(0)) {
        setid::commit(call.task, new);
    }
    Ok(u64::from(old.fsgid))
}

/// NGROUPS_MAX.
const MAX_GROUPS: usize = 65536;

fn sys_getgroups(call: &mut Call<'_>) -> Result<u64> {
    let size = usize::try_from(call.int(0)).map_err(|_| Errno::EINVAL)?;
    let creds = call.task.creds();
    let count = creds.groups.len();
    if size > 0 {
        if count > size {
            return Err(Errno::EINVAL);
        }
        let bytes: Vec<u8> = creds.groups.iter().flat_map(|gid| gid.to_ne_bytes()).collect();
        call.task.space().write_bytes(call.args[1], &bytes)?;
    }
    Ok(count as u64)
}

fn sys_setgroups(call: &mut Call<'_>) -> Result<u64> {
    let (size, addr) = (call.uint(0) as usize, call.args[1]);
    let old = call.task.creds();
    if !old.capable(abi::CAP_SETGID) {
        return Err(Errno::EPERM);
    }
    if size > MAX_GROUPS {
        return Err(Errno::EINVAL);
    }
    room_for(size * size_of::<u32>())?;
    let mut groups: Vec<u32> = call.task.space().read_array(addr, size)?;
    if groups.contains(&KEEP) {
        return Err(Errno::EINVAL);
    }
    groups.sort_unstable();
    setid::commit(call.task, Creds { groups, ..(*old).clone() });
    Ok(0)
}

const CAPABILITY_VERSION_1: u32 = 0x1998_0330;
const CAPABILITY_VERSION_2: u32 = 0x2007_1026;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// The header of capget and capset: how many 32-bit words a set has, and the PID asked for. EINVAL,
/// and the version that would be understood, for an unknown version.
fn read_cap_header(call: &Call<'_>) -> Result<(usize, i32)> {
    let space = call.task.space();
    let [version, pid]: [u32; 2] = space.read(call.args[0])?;
    match version {
        CAPABILITY_VERSION_1 => Ok((1, pid.cast_signed())),
        CAPABILITY_VERSION_2 | CAPABILITY_VERSION_3 => Ok((2, pid.cast_signed())),
        _ => {
            space.write(call.args[0], &CAPABILITY_VERSION_3)?;
            Err(Errno::EINVAL)
        }
    }
}

fn sys_capget(call: &mut Call<'_>) -> Result<u64> {
    let (words, pid) = match read_cap_header(call) {
        // Without a place for data, it was only the version that was asked for.
        Err(Errno::EINVAL) if call.args[1] == 0 => return Ok(0),
        header => header?,
    };
    if pid < 0 {
        return Err(Errno::EINVAL);
    }
    let creds = match pid {
        0 => call.task.creds(),
        _ => match find(pid) {
            Some(task) => task.creds(),
            None => find_process(pid).ok_or(Errno::ESRCH)?.creds(),
        },
    };
    if call.args[1] == 0 {
        return Ok(0);
    }
    for word in 0..words {
        let part = |set: u64| (set >> (32 * word)).low_u32();
        let sets = [part(creds.effective), part(creds.permitted), part(creds.inheritable)];
        call.task.space().write(call.args[1].wrapping_add(12 * word as u64), &sets)?;
    }
    Ok(0)
}

fn sys_capset(call: &mut Call<'_>) -> Result<u64> {
    let (words, pid) = read_cap_header(call)?;
    if pid != 0 && pid != call.task.tid() {
        return Err(Errno::EPERM);
    }
    let mut sets = [0u64; 3];
    for word in 0..words {
        let parts: [u32; 3] = call.task.space().read(call.args[1].wrapping_add(12 * word as u64))?;
        for (set, part) in sets.iter_mut().zip(parts) {
            *set |= u64::from(part) << (32 * word);
        }
    }
    let [effective, permitted, inheritable] = sets;
    let new = setid::set_caps(&call.task.creds(), effective, permitted, inheritable)?;
    setid::commit(call.task, new);
    Ok(0)
}

/// The process of a PID argument, 0 being the caller's own.
fn process_of(call: &Call<'_>, pid: i32) -> Result<Arc<Process>> {
    match pid {
        0 => Ok(call.task.process.clone()),
        // Any thread stands for its process.
        _ => find_process(pid).or_else(|| find(pid).map(|task| task.process.clone())).ok_or(Errno::ESRCH),
    }
}

fn sys_setpgid(call: &mut Call<'_>) -> Result<u64> {
    group::set_group(&call.task.process, call.int(0), call.int(1)).map(|()| 0)
}

fn sys_getpgid(call: &mut Call<'_>) -> Result<u64> {
    Ok(extended(process_of(call, call.int(0))?.group().pgid))
}

fn sys_getpgrp(call: &mut Call<'_>) -> Result<u64> {
    Ok(extended(call.task.process.group().pgid))
}

fn sys_setsid(call: &mut Call<'_>) -> Result<u64> {
    group::new_session(&call.task.process).map(extended)
}

fn sys_getsid(call: &mut Call<'_>) -> Result<u64> {
    Ok(extended(process_of(call, call.int(0))?.session().sid))
}
