//! System calls of timers: alarm, setitimer, timer_create and theirs.

use super::clock::{Clock, is_alarm_clock};
use super::{Call, Entry, entry};
use crate::mm::user::zeroed;
use crate::task::Task;
use crate::task::signal::{self, CpuClock, CpuTimer, Notify, PosixTimer, RealTimer, Setting, TimerClock, is_signal};
use crate::{Errno, Result, time};
use abi::number::{Low, extended};
use std::sync::Arc;
use umlab_abi::time::Itimerspec;
use umlab_abi::time::Itimerval;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_alarm, "alarm", "u", alarm),
    entry(abi::SYS_getitimer, "getitimer", "dP", getitimer),
    entry(abi::SYS_setitimer, "setitimer", "dPP", setitimer),
    entry(abi::SYS_timer_create, "timer_create", "dPP", timer_create),
    entry(abi::SYS_timer_settime, "timer_settime", "dxPP", timer_settime),
    entry(abi::SYS_timer_gettime, "timer_gettime", "dP", timer_gettime),
    entry(abi::SYS_timer_getoverrun, "timer_getoverrun", "d", timer_getoverrun),
    entry(abi::SYS_timer_delete, "timer_delete", "d", timer_delete),
];

fn real_timer(task: &Task) -> Arc<RealTimer> {
    let timer = task.process.signals.borrow().timers.real.clone();
    timer.unwrap_or_else(|| {
        let timer = RealTimer::new(&task.process);
        task.process.signals.borrow_mut().timers.real = Some(timer.clone());
        timer
    })
}

fn alarm(call: &mut Call<'_>) -> Result<u64> {
    let value = u64::from(call.uint(0)) * time::NS_PER_SEC;
    let old = real_timer(call.task).set(Setting { value, interval: 0 });
    // To the nearest second, but never nothing while there is something.
    let seconds = (old.value + time::NS_PER_SEC / 2) / time::NS_PER_SEC;
    Ok(if old.value > 0 { seconds.max(1) } else { 0 })
}

fn get_interval_timer(task: &Task, which: i32) -> Result<Setting> {
    let process = &task.process;
    let left = |timer: CpuTimer, now: u64| Setting {
        value: if timer.due == 0 { 0 } else { timer.due.saturating_sub(now).max(1000) },
        interval: timer.interval,
    };
    let usage = *process.usage.borrow();
    match which {
        abi::ITIMER_REAL => Ok(process.signals.borrow().timers.real.as_ref().map(|t| t.get()).unwrap_or_default()),
        abi::ITIMER_VIRTUAL => Ok(left(process.signals.borrow().cpu.virtual_timer, CpuClock::User.read(&usage))),
        abi::ITIMER_PROF => Ok(left(process.signals.borrow().cpu.prof_timer, CpuClock::Total.read(&usage))),
        _ => Err(Errno::EINVAL),
    }
}

fn write_setting(task: &Task, addr: u64, setting: Setting) -> Result<()> {
    let value = Itimerval { it_interval: time::timeval(setting.interval), it_value: time::timeval(setting.value) };
    task.space().write(addr, &value)
}

fn getitimer(call: &mut Call<'_>) -> Result<u64> {
    let setting = get_interval_timer(call.task, call.int(0))?;
    write_setting(call.task, call.args[1], setting)?;
    Ok(0)
}

fn setitimer(call: &mut Call<'_>) -> Result<u64> {
    let [_, new, old, ..] = call.args;
    let setting = match new {
        // Older than the standard: a null pointer disarms.
        0 => Setting::default(),
        addr => {
            let value = call.task.space().read::<Itimerval>(addr)?;
            Setting {
                value: time::duration_of_timeval(&value.it_value)?,
                interval: time::duration_of_timeval(&value.it_interval)?,
            }
        }
    };
    let process = &call.task.process;
    let before = get_interval_timer(call.task, call.int(0))?;
    if call.int(0) == abi::ITIMER_REAL {
        real_timer(call.task).set(setting);
    } else {
        let usage = *process.usage.borrow();
        let counts = if call.int(0) == abi::ITIMER_VIRTUAL { CpuClock::User } else { CpuClock::Total };
        let due = if setting.value == 0 { 0 } else { counts.read(&usage).saturating_add(setting.value) };
        let timer = CpuTimer { due, interval: setting.interval };
        {
            let mut signals = process.signals.borrow_mut();
            match counts {
                CpuClock::User => signals.cpu.virtual_timer = timer,
                CpuClock::Total => signals.cpu.prof_timer = timer,
            }
        }
        signal::rearm_cpu_timers(process);
    }
    if old != 0 {
        write_setting(call.task, old, before)?;
    }
    Ok(0)
}

const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;
const SIGEV_THREAD_ID: i32 = 4;

/// What a sigevent asks for: value, signal, kind and thread id, as its first words hold them.
fn notification(task: &Arc<Task>, addr: u64, id: i32) -> Result<Notify> {
    if addr == 0 {
        return Ok(Notify::Process { signal: abi::SIGALRM, value: extended(id) });
    }
    let [value, signal_and_kind, thread] = task.space().read::<[u64; 3]>(addr)?;
    let (signal, kind) = (signal_and_kind.low_i32(), (signal_and_kind >> 32).low_i32());
    match kind {
        SIGEV_NONE => Ok(Notify::None),
        _ if !is_signal(signal) => Err(Errno::EINVAL),
        SIGEV_SIGNAL | SIGEV_THREAD => Ok(Notify::Process { signal, value }),
        SIGEV_THREAD_ID => {
            let thread = signal::thread_of(&task.process, thread.low_i32()).ok_or(Errno::EINVAL)?;
            Ok(Notify::Thread { signal, value, task: Arc::downgrade(&thread) })
        }
        _ => Err(Errno::EINVAL),
    }
}

fn timer_create(call: &mut Call<'_>) -> Result<u64> {
    let [_, event, id_to, ..] = call.args;
    if is_alarm_clock(call.int(0)) {
        return Err(Errno::EOPNOTSUPP);
    }
    let clock = Clock::find(call.task, call.int(0))?;
    if !clock.has_timers() {
        return Err(Errno::EOPNOTSUPP);
    }
    let clock = match clock {
        Clock::Wall(id) => TimerClock::Wall(id),
        Clock::Process { process, counts, .. } if Arc::ptr_eq(&process, &call.task.process) => {
            TimerClock::ProcessCpu(counts)
        }
        // Another process's CPU time cannot be timed.
        Clock::Process { .. } => return Err(Errno::EINVAL),
        Clock::Thread { task, counts, .. } => TimerClock::ThreadCpu(counts, Arc::downgrade(&task)),
    };
    let process = &call.task.process;
    // Each timer may have a signal queued, and counts like one.
    let count = process.signals.borrow().timers.len() as u64;
    if count >= process.limit(crate::limits::SIGPENDING) {
        return Err(Errno::EAGAIN);
    }
    let id = process.signals.borrow_mut().timers.new_id();
    let notify = notification(call.task, event, id)?;
    call.task.space().write(id_to, &id)?;
    let timer = PosixTimer::new(id, clock, notify, process);
    process.signals.borrow_mut().timers.insert(&timer);
    Ok(0)
}

fn find_timer(call: &Call<'_>) -> Result<Arc<PosixTimer>> {
    call.task.process.signals.borrow().timers.find(call.int(0)).ok_or(Errno::EINVAL)
}

fn write_timer(task: &Task, addr: u64, setting: Setting) -> Result<()> {
    let mut value: Itimerspec = zeroed();
    value.it_interval = time::timespec(setting.interval);
    value.it_value = time::timespec(setting.value);
    task.space().write(addr, &value)
}

fn timer_settime(call: &mut Call<'_>) -> Result<u64> {
    let [_, flags, new, old, ..] = call.args;
    if new == 0 {
        return Err(Errno::EINVAL);
    }
    let value = call.task.space().read::<Itimerspec>(new)?;
    let setting = Setting { value: time::duration(&value.it_value)?, interval: time::duration(&value.it_interval)? };
    let before = find_timer(call)?.set(setting, flags & abi::TIMER_ABSTIME as u64 != 0);
    if old != 0 {
        write_timer(call.task, old, before)?;
    }
    Ok(0)
}

fn timer_gettime(call: &mut Call<'_>) -> Result<u64> {
    let setting = find_timer(call)?.get();
    write_timer(call.task, call.args[1], setting)?;
    Ok(0)
}

fn timer_getoverrun(call: &mut Call<'_>) -> Result<u64> {
    Ok(extended(find_timer(call)?.overrun()))
}

fn timer_delete(call: &mut Call<'_>) -> Result<u64> {
    let timer = find_timer(call)?;
    timer.set(Setting::default(), false);
    call.task.process.signals.borrow_mut().timers.remove(timer.id);
    Ok(0)
}
