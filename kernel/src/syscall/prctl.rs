//! prctl(2), arch_prctl(2) and personality(2): a task's many small settings.

use super::{Call, Entry, entry};
use crate::creds::Creds;
use crate::sched::model;
use crate::task::signal::is_signal;
use crate::task::user_dispatch::UserDispatch;
use crate::{Errno, Result};
use abi::number::Low;
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_prctl, "prctl", "dxxxx", sys_prctl),
    entry(abi::SYS_arch_prctl, "arch_prctl", "xP", sys_arch_prctl),
    entry(abi::SYS_personality, "personality", "x", sys_personality),
];

/// The longest thread name, without its NUL.
const NAME_MAX: usize = 15;

fn sys_prctl(call: &mut Call<'_>) -> Result<u64> {
    let [_, a, b, c, d, _] = call.args;
    let task = call.task;
    let process = &task.process;
    let space = task.space();
    let no_more = |rest: &[u64]| if rest.iter().all(|&x| x == 0) { Ok(()) } else { Err(Errno::EINVAL) };
    match call.int(0) {
        abi::PR_SET_PDEATHSIG => {
            let signal = i32::try_from(a).map_err(|_| Errno::EINVAL)?;
            if signal != 0 && !is_signal(signal) {
                return Err(Errno::EINVAL);
            }
            task.attributes.borrow_mut().parent_death_signal = signal;
        }
        abi::PR_GET_PDEATHSIG => {
            let signal = task.attributes.borrow().parent_death_signal;
            space.write(a, &signal)?;
        }
        abi::PR_GET_DUMPABLE => return Ok(u64::from(process.settings.borrow().dumpable)),
        abi::PR_SET_DUMPABLE => {
            if a > 1 {
                return Err(Errno::EINVAL);
            }
            process.settings.borrow_mut().dumpable = a.low_u8();
        }
        abi::PR_GET_KEEPCAPS => return Ok(u64::from(task.creds().securebits & abi::SECBIT_KEEP_CAPS != 0)),
        abi::PR_SET_KEEPCAPS => {
            if a > 1 {
                return Err(Errno::EINVAL);
            }
            let old = task.creds();
            if old.securebits & abi::SECBIT_KEEP_CAPS_LOCKED != 0 {
                return Err(Errno::EPERM);
            }
            let securebits = old.securebits & !abi::SECBIT_KEEP_CAPS | if a == 1 { abi::SECBIT_KEEP_CAPS } else { 0 };
            set_creds(call, Creds { securebits, ..(*old).clone() });
        }
        abi::PR_GET_TIMING => return Ok(0),
        abi::PR_SET_TIMING => {
            if a != 0 {
                return Err(Errno::EINVAL);
            }
        }
        abi::PR_SET_NAME => {
            let mut name = match space.read_string(a, NAME_MAX, Errno::ERANGE) {
                Err(Errno::ERANGE) => space.read::<[u8; NAME_MAX]>(a)?.to_vec(),
                name => name?,
            };
            name.truncate(NAME_MAX);
            task.name.set(name);
        }
        abi::PR_GET_NAME => {
            let mut name = [0u8; NAME_MAX + 1];
            let own = task.name.borrow();
            let len = own.len().min(NAME_MAX);
            name[..len].copy_from_slice(&own[..len]);
            drop(own);
            space.write(a, &name)?;
        }
        // No filters yet: what cannot be enforced is not accepted.
        abi::PR_GET_SECCOMP => return Ok(0),
        abi::PR_CAPBSET_READ => {
            if a > u64::from(abi::CAP_LAST_CAP) {
                return Err(Errno::EINVAL);
            }
            return Ok(task.creds().bounding >> a & 1);
        }
        abi::PR_CAPBSET_DROP => {
            let old = task.creds();
            if !old.capable(abi::CAP_SETPCAP) {
                return Err(Errno::EPERM);
            }
            if a > u64::from(abi::CAP_LAST_CAP) {
                return Err(Errno::EINVAL);
            }
            let bounding = old.bounding & !(1 << a);
            set_creds(call, Creds { bounding, ..(*old).clone() });
        }
        abi::PR_GET_TSC => {
            let setting = if call.user.timestamps() { abi::PR_TSC_ENABLE } else { abi::PR_TSC_SIGSEGV };
            space.write(a, &setting)?;
        }
        abi::PR_SET_TSC => match a.low_i32() {
            abi::PR_TSC_ENABLE => call.user.set_timestamps(true),
            abi::PR_TSC_SIGSEGV => call.user.set_timestamps(false),
            _ => return Err(Errno::EINVAL),
        },
        abi::PR_GET_SECUREBITS => return Ok(u64::from(task.creds().securebits)),
        abi::PR_SET_SECUREBITS => return set_securebits(call, a),
        abi::PR_SET_TIMERSLACK => {
            let mut attributes = task.attributes.borrow_mut();
            attributes.timer_slack = if a == 0 { attributes.default_timer_slack } else { a };
        }
        abi::PR_GET_TIMERSLACK => return Ok(task.attributes.borrow().timer_slack),
        // Performance counters of the task's own: there are none to switch.
        abi::PR_TASK_PERF_EVENTS_DISABLE | abi::PR_TASK_PERF_EVENTS_ENABLE => {}
        abi::PR_MCE_KILL_GET => {
            no_more(&[a, b, c, d])?;
            return Ok(abi::PR_MCE_KILL_DEFAULT as u64);
        }
        abi::PR_SET_MM => {
            if !task.creds().capable(abi::CAP_SYS_RESOURCE) {
                return Err(Errno::EPERM);
            }
            return Err(Errno::EINVAL);
        }
        abi::PR_SET_CHILD_SUBREAPER => process.settings.borrow_mut().subreaper = a != 0,
        abi::PR_GET_CHILD_SUBREAPER => {
            let subreaper = i32::from(process.settings.borrow().subreaper);
            space.write(a, &subreaper)?;
        }
        abi::PR_SET_NO_NEW_PRIVS => {
            if a != 1 {
                return Err(Errno::EINVAL);
            }
            no_more(&[b, c, d])?;
            let old = task.creds();
            set_creds(call, Creds { no_new_privs: true, ..(*old).clone() });
        }
        abi::PR_GET_NO_NEW_PRIVS => {
            no_more(&[a, b, c, d])?;
            return Ok(u64::from(task.creds().no_new_privs));
        }
        abi::PR_GET_TID_ADDRESS => {
            let address = task.attributes.borrow().clear_child_tid;
            space.write(a, &address)?;
        }
        abi::PR_SET_THP_DISABLE => {
            no_more(&[b, c, d])?;
            process.settings.borrow_mut().thp_disabled = a != 0;
        }
        abi::PR_GET_THP_DISABLE => {
            no_more(&[a, b, c, d])?;
            return Ok(u64::from(process.settings.borrow().thp_disabled));
        }
        abi::PR_CAP_AMBIENT => return cap_ambient(call, [a, b, c, d]),
        abi::PR_SET_SYSCALL_USER_DISPATCH => task.user_dispatch.set(UserDispatch::from_arguments(a, b, c, d)?),
        // Names of anonymous memory are for people to look at in maps; ours shows none.
        abi::PR_SET_VMA if a == abi::PR_SET_VMA_ANON_NAME => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// Settings among the credentials, which change nobody's identity.
fn set_creds(call: &Call<'_>, new: Creds) {
    call.task.creds.set(Arc::new(new));
}

fn set_securebits(call: &Call<'_>, bits: u64) -> Result<u64> {
    let old = call.task.creds();
    const ALL: u32 = 0xff;
    const LOCKS: u32 = 0xaa;
    let known =
        abi::SECBIT_NOROOT | abi::SECBIT_NO_SETUID_FIXUP | abi::SECBIT_KEEP_CAPS | abi::SECBIT_NO_CAP_AMBIENT_RAISE;
    debug_assert_eq!(known | known << 1, ALL);
    let locked = (old.securebits & LOCKS) >> 1;
    let wanted = bits.low_u32();
    let refused = locked & (old.securebits ^ wanted) != 0
        || old.securebits & LOCKS & !wanted != 0
        || bits & !u64::from(ALL) != 0
        || !old.capable(abi::CAP_SETPCAP);
    if refused {
        return Err(Errno::EPERM);
    }
    set_creds(call, Creds { securebits: wanted, ..(*old).clone() });
    Ok(0)
}

fn cap_ambient(call: &Call<'_>, [operation, capability, c, d]: [u64; 4]) -> Result<u64> {
    let old = call.task.creds();
    if operation == abi::PR_CAP_AMBIENT_CLEAR_ALL as u64 {
        if capability != 0 || c != 0 || d != 0 {
            return Err(Errno::EINVAL);
        }
        set_creds(call, Creds { ambient: 0, ..(*old).clone() });
        return Ok(0);
    }
    if c != 0 || d != 0 || capability > u64::from(abi::CAP_LAST_CAP) {
        return Err(Errno::EINVAL);
    }
    let bit = 1u64 << capability;
    match i32::try_from(operation).unwrap_or(-1) {
        abi::PR_CAP_AMBIENT_IS_SET => Ok(u64::from(old.ambient & bit != 0)),
        abi::PR_CAP_AMBIENT_RAISE => {
            let allowed =
                old.permitted & old.inheritable & bit != 0 && old.securebits & abi::SECBIT_NO_CAP_AMBIENT_RAISE == 0;
            if !allowed {
                return Err(Errno::EPERM);
            }
            set_creds(call, Creds { ambient: old.ambient | bit, ..(*old).clone() });
            Ok(0)
        }
        abi::PR_CAP_AMBIENT_LOWER => {
            set_creds(call, Creds { ambient: old.ambient & !bit, ..(*old).clone() });
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

fn sys_arch_prctl(call: &mut Call<'_>) -> Result<u64> {
    let (code, address) = (call.int(0), call.args[1]);
    let settable = || if address < model().user_top() { Ok(()) } else { Err(Errno::EPERM) };
    match code {
        abi::ARCH_SET_FS => {
            settable()?;
            call.user.regs_mut().fs_base = address;
            Ok(0)
        }
        abi::ARCH_SET_GS => {
            settable()?;
            call.user.regs_mut().gs_base = address;
            Ok(0)
        }
        abi::ARCH_GET_FS => {
            let base = call.user.regs().fs_base;
            call.task.space().write(address, &base).map(|()| 0)
        }
        abi::ARCH_GET_GS => {
            let base = call.user.regs().gs_base;
            call.task.space().write(address, &base).map(|()| 0)
        }
        // The instruction works, and cannot be made to trap.
        abi::ARCH_GET_CPUID => Ok(1),
        abi::ARCH_SET_CPUID => Err(Errno::ENODEV),
        _ => Err(Errno::EINVAL),
    }
}

/// "Tell the personality only".
const PERSONALITY_QUERY: u32 = u32::MAX;

fn sys_personality(call: &mut Call<'_>) -> Result<u64> {
    let wanted = call.uint(0);
    let mut attributes = call.task.attributes.borrow_mut();
    let old = attributes.personality;
    if wanted != PERSONALITY_QUERY {
        attributes.personality = wanted;
    }
    Ok(u64::from(old))
}
