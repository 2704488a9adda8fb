//! Making, ending and waiting for threads and processes.

use super::{Call, Entry, entry};
use crate::task::clone::{self, CloneArgs};
use crate::task::inspect::may_inspect;
use crate::task::signal::{SigInfo, is_signal, may_signal, send_to_process};
use crate::task::wait::{self, News, Options, Which};
use crate::task::{Process, exit, find, find_process, pidfd};
use crate::vfs::file::OpenFile;
use crate::{Errno, Result};
use abi::number::{Low, extended};
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_clone, "clone", "xPPPx", sys_clone),
    entry(abi::SYS_fork, "fork", "", sys_fork),
    entry(abi::SYS_vfork, "vfork", "", sys_vfork),
    entry(abi::SYS_clone3, "clone3", "Pu", sys_clone3),
    entry(abi::SYS_exit, "exit", "d", sys_exit),
    entry(abi::SYS_exit_group, "exit_group", "d", sys_exit_group),
    entry(abi::SYS_wait4, "wait4", "dPxP", sys_wait4),
    entry(abi::SYS_waitid, "waitid", "ddPxP", sys_waitid),
    entry(abi::SYS_gettid, "gettid", "", sys_gettid),
    entry(abi::SYS_getpid, "getpid", "", sys_getpid),
    entry(abi::SYS_getppid, "getppid", "", sys_getppid),
    entry(abi::SYS_set_tid_address, "set_tid_address", "P", sys_set_tid_address),
    entry(abi::SYS_unshare, "unshare", "x", sys_unshare),
    entry(abi::SYS_pidfd_open, "pidfd_open", "dx", sys_pidfd_open),
    entry(abi::SYS_pidfd_getfd, "pidfd_getfd", "fdx", sys_pidfd_getfd),
    entry(abi::SYS_pidfd_send_signal, "pidfd_send_signal", "fdPx", sys_pidfd_send_signal),
    entry(abi::SYS_setns, "setns", "fx", sys_setns),
];

/// The bits of clone's flags that hold the exit signal.
const EXIT_SIGNAL_MASK: u64 = 0xff;

fn sys_fork(call: &mut Call<'_>) -> Result<u64> {
    clone::clone(call, CloneArgs { exit_signal: abi::SIGCHLD, ..CloneArgs::default() }).map(extended)
}

fn sys_vfork(call: &mut Call<'_>) -> Result<u64> {
    let flags = abi::CLONE_VFORK | abi::CLONE_VM;
    clone::clone(call, CloneArgs { flags, exit_signal: abi::SIGCHLD, ..CloneArgs::default() }).map(extended)
}

fn sys_clone(call: &mut Call<'_>) -> Result<u64> {
    let [flags, stack, parent_tid, child_tid, tls, _] = call.args;
    let flags = flags & 0xffff_ffff;
    // The pidfd goes where the tid would.
    if flags & abi::CLONE_PIDFD != 0 && flags & abi::CLONE_PARENT_SETTID != 0 {
        return Err(Errno::EINVAL);
    }
    let args = CloneArgs {
        flags: flags & !EXIT_SIGNAL_MASK,
        pidfd: parent_tid,
        child_tid,
        parent_tid,
        exit_signal: (flags & EXIT_SIGNAL_MASK).low_i32(),
        stack,
        tls,
        set_tid: None,
    };
    clone::clone(call, args).map(extended)
}

/// Sizes of clone3's structure: as it began, with set_tid, with cgroup.
const CLONE_ARGS_MIN: usize = 64;
const CLONE_ARGS_MAX: usize = 88;

fn sys_clone3(call: &mut Call<'_>) -> Result<u64> {
    let (addr, size) = (call.args[0], call.size(1));
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    if size < CLONE_ARGS_MIN {
        return Err(Errno::EINVAL);
    }
    let space = call.task.space();
    let mut words = [0u64; 11];
    let known = size.min(CLONE_ARGS_MAX);
    space.read_bytes(addr, &mut crate::mm::user::bytes_of_mut(&mut words)[..known])?;
    if size > CLONE_ARGS_MAX {
        let rest = space.read_array::<u8>(addr.wrapping_add(CLONE_ARGS_MAX as u64), size - CLONE_ARGS_MAX)?;
        if rest.iter().any(|&b| b != 0) {
            return Err(Errno::E2BIG);
        }
    }
    let [flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, _cgroup] =
        words;
    if set_tid_size > 32 || (set_tid == 0) != (set_tid_size == 0) {
        return Err(Errno::EINVAL);
    }
    if exit_signal > 64 {
        return Err(Errno::EINVAL);
    }
    if flags & abi::CLONE_INTO_CGROUP != 0 && size < CLONE_ARGS_MAX {
        return Err(Errno::EINVAL);
    }
    let set_tid = match set_tid_size {
        0 => None,
        _ => Some(space.read::<i32>(set_tid)?),
    };
    let known_flags = 0xffff_ffff | abi::CLONE_CLEAR_SIGHAND | abi::CLONE_INTO_CGROUP;
    let not_here = abi::CLONE_DETACHED | EXIT_SIGNAL_MASK & !abi::CLONE_NEWTIME;
    let both = |a: u64, b: u64| flags & a != 0 && flags & b != 0;
    if flags & !known_flags != 0
        || flags & not_here != 0
        || both(abi::CLONE_SIGHAND, abi::CLONE_CLEAR_SIGHAND)
        || flags & (abi::CLONE_THREAD | abi::CLONE_PARENT) != 0 && exit_signal != 0
        || (stack == 0) != (stack_size == 0)
    {
        return Err(Errno::EINVAL);
    }
    let top = stack.checked_add(stack_size).filter(|&top| top <= crate::sched::model().user_top());
    let stack = top.ok_or(Errno::EINVAL)?;
    if flags & abi::CLONE_INTO_CGROUP != 0 {
        // There are no control groups, so no descriptor is one.
        return Err(Errno::EBADF);
    }
    if let Some(tid) = set_tid {
        // One number a PID namespace, and there is only one.
        if set_tid_size > 1 || !(1..crate::task::pid::PID_MAX).contains(&tid) {
            return Err(Errno::EINVAL);
        }
        if !call.task.creds().capable(abi::CAP_CHECKPOINT_RESTORE) && !call.task.creds().capable(abi::CAP_SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
    }
    let exit_signal = exit_signal.low_i32();
    let args = CloneArgs { flags, pidfd, child_tid, parent_tid, exit_signal, stack, tls, set_tid };
    clone::clone(call, args).map(extended)
}

fn sys_exit(call: &mut Call<'_>) -> Result<u64> {
    exit::end_thread(call.task, exit::exited(call.int(0)));
    Ok(0)
}

fn sys_exit_group(call: &mut Call<'_>) -> Result<u64> {
    exit::exit_group(call.task, exit::exited(call.int(0)));
    Ok(0)
}

const WAIT_KINDS: i32 = abi::__WALL | abi::__WCLONE | abi::__WNOTHREAD;

fn sys_wait4(call: &mut Call<'_>) -> Result<u64> {
    let (pid, status, bits, rusage) = (call.int(0), call.args[1], call.int(2), call.args[3]);
    if bits & !(abi::WNOHANG | abi::WUNTRACED | abi::WCONTINUED | WAIT_KINDS) != 0 {
        return Err(Errno::EINVAL);
    }
    let which = match pid {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => Which::Any,
        0 => Which::Group(call.task.process.group().pgid),
        1.. => Which::Pid(pid),
        _ => Which::Group(-pid),
    };
    let Some(news) = wait::wait(call.task, &which, Options::from_bits(bits | abi::WEXITED))? else { return Ok(0) };
    let space = call.task.space();
    if status != 0 {
        space.write(status, &news.status)?;
    }
    if rusage != 0 {
        space.write(rusage, &news.usage.to_rusage())?;
    }
    Ok(extended(news.pid))
}

fn sys_waitid(call: &mut Call<'_>) -> Result<u64> {
    let (kind, id, info, bits, rusage) = (call.int(0), call.int(1), call.args[2], call.int(3), call.args[4]);
    let news = waitid(call, kind, id, bits);
    let space = call.task.space();
    if let Ok(Some(news)) = &news
        && rusage != 0
    {
        space.write(rusage, &news.usage.to_rusage())?;
    }
    if info != 0 {
        // Only these fields are written, with nothing to tell and after errors too.
        let (signal, code, pid, uid, value) = match &news {
            Ok(Some(news)) => (abi::SIGCHLD, news.code, news.pid, news.uid, news.value),
            _ => (0, 0, 0, 0, 0),
        };
        space.write(info, &[signal, 0, code])?;
        space.write(info.wrapping_add(16), &[pid, uid.cast_signed(), value])?;
    }
    news.map(|_| 0)
}

fn waitid(call: &mut Call<'_>, kind: i32, id: i32, bits: i32) -> Result<Option<News>> {
    let events = abi::WEXITED | abi::WSTOPPED | abi::WCONTINUED;
    if bits & !(abi::WNOHANG | abi::WNOWAIT | events | WAIT_KINDS) != 0 || bits & events == 0 {
        return Err(Errno::EINVAL);
    }
    let mut options = Options::from_bits(bits);
    let mut poll = false;
    let which = match kind {
        0 => Which::Any,
        1 if id > 0 => Which::Pid(id),
        2 if id > 0 => Which::Group(id),
        2 if id == 0 => Which::Group(call.task.process.group().pgid),
        3 if id >= 0 => {
            let file = call.task.files().get(id)?;
            poll = file.nonblocking();
            Which::Pid(pidfd::process_of(&file)?.pid)
        }
        _ => return Err(Errno::EINVAL),
    };
    let no_wait = options.no_wait;
    options.no_wait |= poll;
    let news = wait::wait(call.task, &which, options)?;
    if news.is_none() && poll && !no_wait {
        return Err(Errno::EAGAIN);
    }
    Ok(news)
}

fn sys_gettid(call: &mut Call<'_>) -> Result<u64> {
    Ok(extended(call.task.tid()))
}

fn sys_getpid(call: &mut Call<'_>) -> Result<u64> {
    Ok(extended(call.task.pid()))
}

fn sys_getppid(call: &mut Call<'_>) -> Result<u64> {
    Ok(extended(call.task.process.parent_pid()))
}

fn sys_set_tid_address(call: &mut Call<'_>) -> Result<u64> {
    call.task.attributes.borrow_mut().clear_child_tid = call.args[0];
    Ok(extended(call.task.tid()))
}

fn sys_unshare(call: &mut Call<'_>) -> Result<u64> {
    let flags = call.args[0];
    let known = clone::NAMESPACES
        | abi::CLONE_FS
        | abi::CLONE_FILES
        | abi::CLONE_SYSVSEM
        | abi::CLONE_THREAD
        | abi::CLONE_SIGHAND
        | abi::CLONE_VM;
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let mut flags = flags;
    if flags & abi::CLONE_NEWUSER != 0 {
        flags |= abi::CLONE_THREAD | abi::CLONE_FS;
    }
    if flags & (abi::CLONE_THREAD | abi::CLONE_SIGHAND | abi::CLONE_VM) != 0 && call.task.process.thread_count() > 1 {
        return Err(Errno::EINVAL);
    }
    clone::refuse_namespaces(call.task, flags)?;
    if flags & abi::CLONE_FS != 0 {
        let own = call.task.fs.cloned().duplicate();
        call.task.fs.set(own);
    }
    if flags & abi::CLONE_FILES != 0 {
        let own = call.task.files().duplicate()?;
        call.task.files.set(Some(own));
    }
    if flags & abi::CLONE_SYSVSEM != 0 {
        call.task.leave_undo_list();
    }
    Ok(0)
}

fn sys_setns(call: &mut Call<'_>) -> Result<u64> {
    // No descriptor is one of a namespace; a pidfd names some, but there are no others that could
    // be joined.
    let file = call.task.files().get(call.int(0))?;
    let kinds = u64::from(call.uint(1));
    match pidfd::process_of(&file) {
        Ok(_) if kinds & clone::NAMESPACES == 0 || kinds & !clone::NAMESPACES != 0 => Err(Errno::EINVAL),
        Ok(process) if find_process(process.pid).is_none() => Err(Errno::ESRCH),
        Ok(_) => clone::refuse_namespaces(call.task, kinds).map(|()| 0),
        Err(_) => Err(Errno::EINVAL),
    }
}

fn sys_pidfd_open(call: &mut Call<'_>) -> Result<u64> {
    let (pid, flags) = (call.int(0), call.int(1));
    if flags & !abi::O_NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::EINVAL);
    }
    let Some(process) = find_process(pid) else {
        // A thread that is not its process's first one.
        return Err(if find(pid).is_some() { Errno::EINVAL } else { Errno::ESRCH });
    };
    call.task.files().install(pidfd::open(&process, flags), true).map(extended)
}

fn sys_pidfd_getfd(call: &mut Call<'_>) -> Result<u64> {
    if call.uint(2) != 0 {
        return Err(Errno::EINVAL);
    }
    let files = call.task.files();
    let process = pidfd::process_of(&*files.get(call.int(0))?)?;
    let target = process.main_thread().ok_or(Errno::ESRCH)?;
    if !may_inspect(call.task, &target) {
        return Err(Errno::EPERM);
    }
    let theirs = target.files.cloned().ok_or(Errno::ESRCH)?;
    let file = theirs.get(call.int(1))?;
    files.install(file, true).map(extended)
}

/// The process that a signal is to be sent to: a pidfd's, or, as in the call's first form, the one
/// whose directory in /proc the file is.
fn addressee(file: &OpenFile) -> Result<Arc<Process>> {
    match crate::fs::procfs::process_of(file) {
        Some(process) if file.flags.get() & abi::O_PATH == 0 => process,
        _ => pidfd::process_of(file),
    }
}

fn sys_pidfd_send_signal(call: &mut Call<'_>) -> Result<u64> {
    let (fd, number, info, flags) = (call.int(0), call.int(1), call.args[2], call.uint(3));
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let process = addressee(&*call.task.files().get(fd)?)?;
    let info = if info != 0 {
        let bytes: [u8; SigInfo::SIZE] = call.task.space().read(info)?;
        let info = SigInfo::from_bytes(&bytes);
        if info.signal() != number {
            return Err(Errno::EINVAL);
        }
        // Nobody but the kernel, or the process itself, may claim that the kernel sent it.
        if process.pid != call.task.pid() && (info.code() >= 0 || info.code() == abi::SI_TKILL) {
            return Err(Errno::EPERM);
        }
        info
    } else {
        SigInfo::kill(number, call.task.pid(), call.task.creds().uid)
    };
    if find_process(process.pid).is_none_or(|found| !Arc::ptr_eq(&found, &process)) {
        return Err(Errno::ESRCH);
    }
    if number != 0 && !is_signal(number) {
        return Err(Errno::EINVAL);
    }
    // A zombie takes any signal, and does nothing about it.
    let Some(target) = process.main_thread() else { return Ok(0) };
    if !may_signal(call.task, &target, number) {
        return Err(Errno::EPERM);
    }
    if number != 0 {
        send_to_process(&process, info)?;
    }
    Ok(0)
}
