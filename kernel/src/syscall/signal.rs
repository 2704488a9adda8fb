//! System calls of signals.

use super::{Call, Entry, entry};
use crate::Pid;
use crate::sched::wait::{Sleep, wait_until};
use crate::task::signal::{self, AltStack, SigAction, SigInfo, SigSet, is_signal};
use crate::task::{self, Process, Task};
use crate::{Errno, Result, time};
use abi::number::{Low, extended, to_usize};
use std::sync::Arc;
use umlab_abi::time::Timespec;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_rt_sigaction, "rt_sigaction", "dPPu", rt_sigaction),
    entry(abi::SYS_rt_sigprocmask, "rt_sigprocmask", "dPPu", rt_sigprocmask),
    entry(abi::SYS_rt_sigpending, "rt_sigpending", "Pu", rt_sigpending),
    entry(abi::SYS_rt_sigtimedwait, "rt_sigtimedwait", "PPPu", rt_sigtimedwait),
    entry(abi::SYS_rt_sigqueueinfo, "rt_sigqueueinfo", "ddP", rt_sigqueueinfo),
    entry(abi::SYS_rt_tgsigqueueinfo, "rt_tgsigqueueinfo", "dddP", rt_tgsigqueueinfo),
    entry(abi::SYS_rt_sigsuspend, "rt_sigsuspend", "Pu", rt_sigsuspend),
    entry(abi::SYS_rt_sigreturn, "rt_sigreturn", "", rt_sigreturn),
    entry(abi::SYS_sigaltstack, "sigaltstack", "PP", sigaltstack),
    entry(abi::SYS_kill, "kill", "dd", kill),
    entry(abi::SYS_tkill, "tkill", "dd", tkill),
    entry(abi::SYS_tgkill, "tgkill", "ddd", tgkill),
    entry(abi::SYS_pause, "pause", "", pause),
    entry(abi::SYS_restart_syscall, "restart_syscall", "", restart_syscall),
];

/// Size of a kernel's sigset_t.
const SET_SIZE: u64 = 8;
/// MINSIGSTKSZ.
const MIN_STACK: u64 = 2048;

fn rt_sigaction(call: &mut Call<'_>) -> Result<u64> {
    let [_, new, old, size, ..] = call.args;
    let signal = call.int(0);
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let space = call.task.space();
    let new = if new == 0 { None } else { Some(SigAction::from_words(space.read(new)?)) };
    if !is_signal(signal) || new.is_some() && SigSet::UNSTOPPABLE.contains(signal) {
        return Err(Errno::EINVAL);
    }
    let before = signal::set_action(call.task, signal, new);
    if old != 0 {
        space.write(old, &before.words())?;
    }
    Ok(0)
}

fn rt_sigprocmask(call: &mut Call<'_>) -> Result<u64> {
    let [_, new, old, size, ..] = call.args;
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let space = call.task.space();
    let before = call.task.signals.borrow().mask;
    if new != 0 {
        let set = SigSet(space.read(new)?).as_mask();
        let mask = match call.int(0) {
            abi::SIG_BLOCK => before.union(set),
            abi::SIG_UNBLOCK => before.without(set),
            abi::SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        signal::set_mask(call.task, mask);
    }
    if old != 0 {
        space.write(old, &before.0)?;
    }
    Ok(0)
}

fn rt_sigpending(call: &mut Call<'_>) -> Result<u64> {
    let [set, size, ..] = call.args;
    if size > SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let pending = {
        let signals = call.task.signals.borrow();
        let all = signals.pending.set().union(call.task.process.signals.borrow().pending.set());
        all.intersection(signals.mask)
    };
    call.task.space().write_bytes(set, &pending.0.to_le_bytes()[..to_usize(size)])?;
    Ok(0)
}

fn rt_sigtimedwait(call: &mut Call<'_>) -> Result<u64> {
    let [set, info_to, timeout, size, ..] = call.args;
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let space = call.task.space();
    let set = SigSet(space.read(set)?).as_mask();
    let deadline = match timeout {
        0 => None,
        addr => Some(time::now().saturating_add(time::duration(&space.read::<Timespec>(addr)?)?)),
    };
    let task = call.task;
    task.signals.borrow_mut().awaited = set;
    let result = wait_until(&[], deadline, Sleep::Interruptible, || signal::dequeue(task, set));
    task.signals.borrow_mut().awaited = SigSet::EMPTY;
    let info = match result {
        Ok(info) => info,
        Err(Errno::ETIMEDOUT) => return Err(Errno::EAGAIN),
        Err(_) => return Err(Errno::EINTR),
    };
    if info_to != 0 {
        space.write_bytes(info_to, info.bytes())?;
    }
    Ok(extended(info.signal()))
}

/// A siginfo that a process made itself. Only to itself may it claim to come from the kernel or
/// from tgkill(2).
fn read_info(call: &Call<'_>, target: Pid, own: Pid, signal: i32, addr: u64) -> Result<SigInfo> {
    let mut bytes = [0u8; SigInfo::SIZE];
    call.task.space().read_bytes(addr, &mut bytes)?;
    let mut info = SigInfo::from_bytes(&bytes);
    info.set_signal(signal);
    if (info.code() >= 0 || info.code() == abi::SI_TKILL) && target != own {
        return Err(Errno::EPERM);
    }
    Ok(info)
}

fn rt_sigqueueinfo(call: &mut Call<'_>) -> Result<u64> {
    let (pid, signal) = (call.int(0), call.int(1));
    let info = read_info(call, pid, call.task.pid(), signal, call.args[2])?;
    kill_process(call.task, pid, signal, info)
}

fn rt_tgsigqueueinfo(call: &mut Call<'_>) -> Result<u64> {
    let (tgid, tid, signal) = (call.int(0), call.int(1), call.int(2));
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    let info = read_info(call, tid, call.task.tid(), signal, call.args[3])?;
    kill_thread(call.task, Some(tgid), tid, signal, info)
}

fn rt_sigsuspend(call: &mut Call<'_>) -> Result<u64> {
    let [mask, size, ..] = call.args;
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let mask = SigSet(call.task.space().read(mask)?).as_mask();
    signal::with_temporary_mask(call.task, Some(mask), wait_for_signal)
}

fn pause(_call: &mut Call<'_>) -> Result<u64> {
    wait_for_signal()
}

fn wait_for_signal() -> Result<u64> {
    let _ = wait_until(&[], None, Sleep::Interruptible, || None::<()>);
    Err(Errno::ERESTARTNOHAND)
}

fn rt_sigreturn(call: &mut Call<'_>) -> Result<u64> {
    signal::sigreturn(call.task, call.user);
    Ok(call.user.regs().rax)
}

fn restart_syscall(call: &mut Call<'_>) -> Result<u64> {
    let restart = call.task.signals.borrow_mut().restart.take();
    match restart {
        Some(restart) => restart(call),
        None => Err(Errno::EINTR),
    }
}

fn sigaltstack(call: &mut Call<'_>) -> Result<u64> {
    let [new, old, ..] = call.args;
    let space = call.task.space();
    let new = if new == 0 { None } else { Some(space.read::<[u64; 3]>(new)?) };
    let rsp = call.user.regs().rsp;
    let before = call.task.signals.borrow().alt_stack;
    if let Some([sp, flags, size]) = new {
        signal::set_alt_stack(call.task, AltStack { sp, size, flags: flags.low_i32() }, rsp, MIN_STACK)?;
    }
    if old != 0 {
        let flags = before.state(rsp) | before.flags & abi::SS_AUTODISARM;
        space.write(old, &[before.sp, flags.cast_unsigned().into(), before.size])?;
    }
    Ok(0)
}

fn kill(call: &mut Call<'_>) -> Result<u64> {
    let (pid, signal) = (call.int(0), call.int(1));
    let info = SigInfo::kill(signal, call.task.pid(), call.task.creds().uid);
    match pid {
        1.. => kill_process(call.task, pid, signal, info),
        -1 => kill_all(call.task, signal, info),
        i32::MIN => Err(Errno::ESRCH),
        0 => kill_group(call.task, call.task.process.group().pgid, signal, info),
        _ => kill_group(call.task, -pid, signal, info),
    }
}

fn tkill(call: &mut Call<'_>) -> Result<u64> {
    let (tid, signal) = (call.int(0), call.int(1));
    if tid <= 0 {
        return Err(Errno::EINVAL);
    }
    let info = SigInfo::tgkill(signal, call.task.pid(), call.task.creds().uid);
    kill_thread(call.task, None, tid, signal, info)
}

fn tgkill(call: &mut Call<'_>) -> Result<u64> {
    let (tgid, tid, signal) = (call.int(0), call.int(1), call.int(2));
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    let info = SigInfo::tgkill(signal, call.task.pid(), call.task.creds().uid);
    kill_thread(call.task, Some(tgid), tid, signal, info)
}

/// Signal 0 only asks whether one may send.
fn check_and_send(sender: &Arc<Task>, process: &Arc<Process>, signal: i32, info: SigInfo) -> Result<()> {
    if signal != 0 && !is_signal(signal) {
        return Err(Errno::EINVAL);
    }
    match process.main_thread() {
        Some(target) if !signal::may_signal(sender, &target, signal) => return Err(Errno::EPERM),
        None if !process.is_init() && !signal::may_signal_ended(sender, process, signal) => return Err(Errno::EPERM),
        // The built-in init is root's, and no signal ends it.
        None if process.is_init() && !sender.creds().capable(abi::CAP_KILL) => return Err(Errno::EPERM),
        _ => {}
    }
    if signal != 0 { signal::send_to_process(process, info) } else { Ok(()) }
}

fn kill_process(sender: &Arc<Task>, pid: Pid, signal: i32, info: SigInfo) -> Result<u64> {
    // The id of any thread names its process here.
    let process = task::find_process(pid).or_else(|| task::find(pid).map(|t| t.process.clone())).ok_or(Errno::ESRCH)?;
    check_and_send(sender, &process, signal, info)?;
    Ok(0)
}

fn kill_thread(sender: &Arc<Task>, tgid: Option<Pid>, tid: Pid, signal: i32, info: SigInfo) -> Result<u64> {
    let Some(target) = task::find(tid) else {
        // A process that has ended is there until it is waited for.
        let zombie = task::find_process(tid).filter(|_| tgid.is_none_or(|tgid| tgid == tid)).ok_or(Errno::ESRCH)?;
        check_and_send(sender, &zombie, signal, info)?;
        return Ok(0);
    };
    if tgid.is_some_and(|tgid| tgid != target.pid()) {
        return Err(Errno::ESRCH);
    }
    if signal != 0 && !is_signal(signal) {
        return Err(Errno::EINVAL);
    }
    if !signal::may_signal(sender, &target, signal) {
        return Err(Errno::EPERM);
    }
    if signal != 0 {
        signal::send_to_task(&target, info)?;
    }
    Ok(0)
}

fn kill_group(sender: &Arc<Task>, pgid: Pid, signal: i32, info: SigInfo) -> Result<u64> {
    let group = task::find_group(pgid).ok_or(Errno::ESRCH)?;
    let mut result = Err(Errno::ESRCH);
    for process in group.members() {
        match check_and_send(sender, &process, signal, info) {
            Ok(()) => result = Ok(0),
            Err(error) if result.is_err() => result = Err(error),
            Err(_) => {}
        }
    }
    result
}

/// All processes but init and the caller's. That some may not be signalled is no error.
fn kill_all(sender: &Arc<Task>, signal: i32, info: SigInfo) -> Result<u64> {
    let mut result = Err(Errno::ESRCH);
    for process in task::pid::processes() {
        if process.is_init() || Arc::ptr_eq(&process, &sender.process) {
            continue;
        }
        match check_and_send(sender, &process, signal, info) {
            Ok(()) | Err(Errno::EPERM) => result = Ok(0),
            Err(error) => result = Err(error),
        }
    }
    result
}
