//! The system as a whole: its names, its resources, random bytes, and what only a machine's
//! administrator may do.

use super::{Call, Entry, entry};
use crate::mm::user::zeroed;
use crate::mm::{IoBuf, frames};
use crate::sched::preempt_point;
use crate::task::pid;
use crate::{Errno, Result, uts};
use abi::number::{to_usize, whole};
use umlab_abi::sysinfo::Sysinfo;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_uname, "uname", "P", sys_uname),
    entry(abi::SYS_sethostname, "sethostname", "su", |call| set_name(call, uts::set_hostname)),
    entry(abi::SYS_setdomainname, "setdomainname", "su", |call| set_name(call, uts::set_domainname)),
    entry(abi::SYS_sysinfo, "sysinfo", "P", sys_sysinfo),
    entry(abi::SYS_getrandom, "getrandom", "Pux", sys_getrandom),
    entry(abi::SYS_reboot, "reboot", "xxxP", refused),
    entry(abi::SYS_acct, "acct", "p", refused),
    entry(abi::SYS_swapon, "swapon", "px", refused),
    entry(abi::SYS_swapoff, "swapoff", "p", refused),
    entry(abi::SYS_vhangup, "vhangup", "", |call| crate::tty::job::vhangup(call.task)),
    entry(abi::SYS_iopl, "iopl", "d", refused),
    entry(abi::SYS_ioperm, "ioperm", "uud", refused),
    entry(abi::SYS_init_module, "init_module", "Pus", refused),
    entry(abi::SYS_finit_module, "finit_module", "fsx", refused),
    entry(abi::SYS_delete_module, "delete_module", "sx", refused),
    entry(abi::SYS_kexec_load, "kexec_load", "xuPx", refused),
    entry(abi::SYS_kexec_file_load, "kexec_file_load", "ffusx", refused),
    entry(abi::SYS_quotactl, "quotactl", "xpdP", refused),
];

/// What would reach through to the machine, or is no business of a guest's.
fn refused(_call: &mut Call<'_>) -> Result<u64> {
    Err(Errno::EPERM)
}

/// The length of each field of struct new_utsname.
const FIELD: usize = 65;

fn sys_uname(call: &mut Call<'_>) -> Result<u64> {
    let mut out = [0u8; 6 * FIELD];
    let (host, domain) = (uts::hostname(), uts::domainname());
    let fields: [&[u8]; 6] = [
        uts::SYSNAME.as_bytes(),
        &host,
        uts::RELEASE.as_bytes(),
        uts::VERSION.as_bytes(),
        uts::MACHINE.as_bytes(),
        &domain,
    ];
    for (place, field) in out.chunks_exact_mut(FIELD).zip(fields) {
        place[..field.len()].copy_from_slice(field);
    }
    call.task.space().write_bytes(call.args[0], &out).map(|()| 0)
}

fn set_name(call: &mut Call<'_>, set: fn(&[u8])) -> Result<u64> {
    if !call.task.creds().capable(abi::CAP_SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let len = usize::try_from(call.int(1)).ok().filter(|&len| len <= uts::NAME_MAX).ok_or(Errno::EINVAL)?;
    let mut name = vec![0; len];
    call.task.space().read_bytes(call.args[0], &mut name)?;
    // It ends where a C string would.
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    set(&name[..end]);
    Ok(0)
}

fn sys_sysinfo(call: &mut Call<'_>) -> Result<u64> {
    let mut info: Sysinfo = zeroed();
    // As CLOCK_BOOTTIME and /proc/uptime have it: the guest reads the host's clocks.
    info.uptime = (umlab_host::clock::boottime() / 1_000_000_000).cast_signed();
    info.loads = crate::sched::load_average().map(|load| whole(load * 65536.0));
    info.totalram = frames::limit();
    info.freeram = frames::limit().saturating_sub(frames::used());
    info.procs = u16::try_from(pid::task_count()).unwrap_or(u16::MAX);
    info.mem_unit = 1;
    call.task.space().write(call.args[0], &info).map(|()| 0)
}

fn sys_getrandom(call: &mut Call<'_>) -> Result<u64> {
    let (addr, len, flags) = (call.args[0], call.args[1], call.uint(2));
    let both = abi::GRND_RANDOM | abi::GRND_INSECURE;
    if flags & !(abi::GRND_NONBLOCK | both) != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let len = to_usize(len.min(i32::MAX as u64));
    let mut buf = IoBuf::user(&call.task.space(), addr, len);
    let mut chunk = [0u8; 4096];
    while !buf.is_empty() {
        let part = &mut chunk[..buf.remaining().min(4096)];
        umlab_host::random::fill(part);
        match buf.put(part) {
            Ok(n) if n == part.len() => {}
            Err(e) if buf.done() == 0 => return Err(e),
            _ => break,
        }
        preempt_point();
        if buf.done() >= 256 && call.task.signal_pending() {
            break;
        }
    }
    Ok(buf.done() as u64)
}
