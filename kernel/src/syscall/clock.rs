//! System calls of clocks and sleeps.

use super::{Call, Entry, entry};
use crate::Pid;
use crate::sched::wait::{Sleep, wait_until};
use crate::task::signal::CpuClock;
use crate::task::{self, Process, Task};
use crate::{Errno, Result, time};
use abi::number::Low;
use std::sync::Arc;
use umlab_abi::time::Timespec;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_gettimeofday, "gettimeofday", "PP", gettimeofday),
    entry(abi::SYS_settimeofday, "settimeofday", "PP", settimeofday),
    entry(abi::SYS_time, "time", "P", sys_time),
    entry(abi::SYS_clock_gettime, "clock_gettime", "dP", clock_gettime),
    entry(abi::SYS_clock_settime, "clock_settime", "dP", clock_settime),
    entry(abi::SYS_clock_getres, "clock_getres", "dP", clock_getres),
    entry(abi::SYS_nanosleep, "nanosleep", "PP", nanosleep),
    entry(abi::SYS_clock_nanosleep, "clock_nanosleep", "dxPP", clock_nanosleep),
    entry(abi::SYS_adjtimex, "adjtimex", "P", adjtimex),
    entry(abi::SYS_clock_adjtime, "clock_adjtime", "dP", clock_adjtime),
];

const TICK_NS: u64 = 4_000_000;

/// A clock by its number.
#[derive(Clone)]
pub(super) enum Clock {
    /// One that the host has too.
    Wall(i32),
    /// A process's CPU time, with the process; `tick` for the kinds that are only as fine as a
    /// tick.
    Process {
        process: Arc<Process>,
        counts: CpuClock,
        tick: bool,
    },
    Thread {
        task: Arc<Task>,
        counts: CpuClock,
        tick: bool,
    },
}

impl Clock {
    /// EINVAL for what is no clock, or none that still exists.
    pub(super) fn find(caller: &Arc<Task>, id: i32) -> Result<Clock> {
        match id {
            abi::CLOCK_PROCESS_CPUTIME_ID => {
                Ok(Clock::Process { process: caller.process.clone(), counts: CpuClock::Total, tick: false })
            }
            abi::CLOCK_THREAD_CPUTIME_ID => {
                Ok(Clock::Thread { task: caller.clone(), counts: CpuClock::Total, tick: false })
            }
            abi::CLOCK_REALTIME
            | abi::CLOCK_MONOTONIC
            | abi::CLOCK_MONOTONIC_RAW
            | abi::CLOCK_REALTIME_COARSE
            | abi::CLOCK_MONOTONIC_COARSE
            | abi::CLOCK_BOOTTIME
            | abi::CLOCK_TAI => Ok(Clock::Wall(id)),
            ..0 => Clock::find_cpu(caller, id),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Negative numbers hold a PID or tid (its complement, three bits up), and below it what is
    /// counted (clock_getcpuclockid(3)).
    fn find_cpu(caller: &Arc<Task>, id: i32) -> Result<Clock> {
        let pid: Pid = !(id >> 3);
        let (counts, tick) = match id & 3 {
            0 => (CpuClock::Total, true),
            1 => (CpuClock::User, true),
            2 => (CpuClock::Total, false),
            // The clock of a device behind a descriptor; none has one.
            _ => return Err(Errno::EINVAL),
        };
        if id & 4 == 0 {
            let process = if pid == 0 { Some(caller.process.clone()) } else { task::find_process(pid) };
            return Ok(Clock::Process { process: process.ok_or(Errno::EINVAL)?, counts, tick });
        }
        let task = if pid == 0 { Some(caller.clone()) } else { task::find(pid) };
        // Only threads of one's own process can be asked.
        let task = task.filter(|task| Arc::ptr_eq(&task.process, &caller.process)).ok_or(Errno::EINVAL)?;
        Ok(Clock::Thread { task, counts, tick })
    }

    fn read(&self) -> u64 {
        match self {
            Clock::Wall(id) => time::read_clock(*id),
            Clock::Process { process, counts, .. } => counts.read(&process.usage.borrow()),
            Clock::Thread { task, counts, .. } => counts.read(&task.usage.borrow()),
        }
    }

    fn resolution(&self) -> u64 {
        match self {
            Clock::Wall(abi::CLOCK_REALTIME_COARSE | abi::CLOCK_MONOTONIC_COARSE) => TICK_NS,
            Clock::Process { tick: true, .. } | Clock::Thread { tick: true, .. } => TICK_NS,
            _ => 1,
        }
    }

    /// Whether sleeps and timers can be on it.
    pub(super) fn has_timers(&self) -> bool {
        !matches!(
            self,
            Clock::Wall(abi::CLOCK_MONOTONIC_RAW | abi::CLOCK_REALTIME_COARSE | abi::CLOCK_MONOTONIC_COARSE)
        )
    }
}

/// The clocks that wake a machine from sleep: numbers that exist, on a machine that has no such
/// clock.
pub(super) fn is_alarm_clock(id: i32) -> bool {
    id == abi::CLOCK_REALTIME_ALARM || id == abi::CLOCK_BOOTTIME_ALARM
}

fn gettimeofday(call: &mut Call<'_>) -> Result<u64> {
    let [tv, zone, ..] = call.args;
    let space = call.task.space();
    if tv != 0 {
        space.write(tv, &time::timeval(time::realtime()))?;
    }
    if zone != 0 {
        space.write(zone, &[0i32; 2])?;
    }
    Ok(0)
}

fn settimeofday(call: &mut Call<'_>) -> Result<u64> {
    let [tv, zone, ..] = call.args;
    let space = call.task.space();
    if tv != 0 {
        time::duration_of_timeval(&space.read(tv)?)?;
    }
    if zone != 0 {
        space.read::<[i32; 2]>(zone)?;
    }
    // The clock is the host's.
    Err(Errno::EPERM)
}

fn sys_time(call: &mut Call<'_>) -> Result<u64> {
    let seconds = time::realtime() / time::NS_PER_SEC;
    if call.args[0] != 0 {
        call.task.space().write(call.args[0], &seconds)?;
    }
    Ok(seconds)
}

fn clock_gettime(call: &mut Call<'_>) -> Result<u64> {
    let now = Clock::find(call.task, call.int(0))?.read();
    call.task.space().write(call.args[1], &time::timespec(now))?;
    Ok(0)
}

fn clock_settime(call: &mut Call<'_>) -> Result<u64> {
    let (id, addr) = (call.int(0), call.args[1]);
    let clock = match Clock::find(call.task, id)? {
        Clock::Process { .. } | Clock::Thread { .. } if id < 0 => None,
        Clock::Wall(abi::CLOCK_REALTIME) => Some(()),
        _ => return Err(Errno::EINVAL),
    };
    let t = call.task.space().read::<Timespec>(addr)?;
    if clock.is_some() {
        time::duration(&t)?;
    }
    Err(Errno::EPERM)
}

fn clock_getres(call: &mut Call<'_>) -> Result<u64> {
    let resolution = Clock::find(call.task, call.int(0))?.resolution();
    if call.args[1] != 0 {
        call.task.space().write(call.args[1], &time::timespec(resolution))?;
    }
    Ok(0)
}

fn nanosleep(call: &mut Call<'_>) -> Result<u64> {
    let [request, remainder, ..] = call.args;
    let length = time::duration(&call.task.space().read(request)?)?;
    sleep_until(call.task, time::now().saturating_add(length), remainder)
}

fn clock_nanosleep(call: &mut Call<'_>) -> Result<u64> {
    let [_, flags, request, remainder, ..] = call.args;
    let id = call.int(0);
    if is_alarm_clock(id) {
        return Err(Errno::EOPNOTSUPP);
    }
    let clock = Clock::find(call.task, id)?;
    match clock {
        Clock::Thread { .. } if id == abi::CLOCK_THREAD_CPUTIME_ID => return Err(Errno::EOPNOTSUPP),
        _ if !clock.has_timers() => return Err(Errno::EOPNOTSUPP),
        _ => {}
    }
    let length = time::duration(&call.task.space().read(request)?)?;
    let absolute = flags & abi::TIMER_ABSTIME as u64 != 0;
    match clock {
        Clock::Wall(id) if absolute => {
            let left = length.saturating_sub(time::read_clock(id));
            match sleep(time::now().saturating_add(left)) {
                // It can simply be called again.
                Err(_) => Err(Errno::ERESTARTNOHAND),
                Ok(()) => Ok(0),
            }
        }
        Clock::Wall(_) => sleep_until(call.task, time::now().saturating_add(length), remainder),
        // A thread cannot sleep for time that it uses itself.
        Clock::Thread { task, .. } if Arc::ptr_eq(&task, call.task) => Err(Errno::EINVAL),
        clock => {
            let target = if absolute { length } else { clock.read().saturating_add(length) };
            cpu_sleep(call.task, &clock, target, if absolute { 0 } else { remainder })
        }
    }
}

fn sleep(deadline: u64) -> Result<()> {
    match wait_until(&[], Some(deadline), Sleep::Interruptible, || None::<()>) {
        Err(Errno::ETIMEDOUT) => Ok(()),
        Err(error) => Err(error),
        Ok(()) => Ok(()),
    }
}

/// Sleeps until a point of CLOCK_MONOTONIC. Interrupted, it tells what is left, and goes on with
/// restart_syscall(2).
fn sleep_until(task: &Arc<Task>, deadline: u64, remainder: u64) -> Result<u64> {
    if sleep(deadline).is_ok() {
        return Ok(0);
    }
    let left = deadline.saturating_sub(time::now());
    if left == 0 {
        return Ok(0);
    }
    if remainder != 0 {
        task.space().write(remainder, &time::timespec(left))?;
    }
    let again = move |call: &mut Call<'_>| sleep_until(call.task, deadline, remainder);
    Err(task.signals.borrow_mut().restart_with(Box::new(again)))
}

/// Sleeps until others have used CPU time, looking every tick.
fn cpu_sleep(task: &Arc<Task>, clock: &Clock, target: u64, remainder: u64) -> Result<u64> {
    loop {
        let left = target.saturating_sub(clock.read());
        if left == 0 {
            return Ok(0);
        }
        if sleep(time::now().saturating_add(left.max(TICK_NS))).is_ok() {
            continue;
        }
        if remainder != 0 {
            task.space().write(remainder, &time::timespec(left))?;
        }
        let clock = clock.clone();
        let again = move |call: &mut Call<'_>| cpu_sleep(call.task, &clock, target, remainder);
        return Err(task.signals.borrow_mut().restart_with(Box::new(again)));
    }
}

/// What a clock that nobody disciplines answers: TIME_ERROR, unsynchronised.
const TIME_ERROR: u64 = 5;
const STA_UNSYNC: i32 = 0x40;

fn adjtimex(call: &mut Call<'_>) -> Result<u64> {
    adjust(call.task, call.args[0])
}

fn clock_adjtime(call: &mut Call<'_>) -> Result<u64> {
    match call.int(0) {
        abi::CLOCK_REALTIME => adjust(call.task, call.args[1]),
        id => match Clock::find(call.task, id) {
            Ok(_) => Err(Errno::EOPNOTSUPP),
            Err(e) => Err(e),
        },
    }
}

/// Modes of a struct timex: an adjustment as adjtime(3) makes it, and whether it is only read; a
/// step of the clock.
const ADJ_ADJTIME: u32 = 0x8000;
const ADJ_SINGLESHOT: u32 = 1;
const ADJ_READONLY: u32 = 0x2000;
const ADJ_SETOFFSET: u32 = 0x100;

/// The clock is the host's: it can be looked at, not set.
fn adjust(task: &Arc<Task>, addr: u64) -> Result<u64> {
    // struct timex: modes, offset, freq, maxerror, esterror, status, constant, precision,
    // tolerance, time, tick, ...
    let space = task.space();
    let mut timex = space.read::<[u64; 26]>(addr)?;
    let modes = timex[0].low_u32();
    let has = |mode| modes & mode != 0;
    if has(ADJ_ADJTIME) && !has(ADJ_SINGLESHOT) {
        return Err(Errno::EINVAL);
    }
    let reads = modes == 0 || has(ADJ_ADJTIME) && has(ADJ_READONLY);
    if !reads || has(ADJ_SETOFFSET) {
        return Err(Errno::EPERM);
    }
    let now = time::realtime();
    timex = [0; 26];
    timex[3] = 16_000_000;
    timex[4] = 16_000_000;
    timex[5] = STA_UNSYNC as u64;
    timex[6] = 2;
    timex[7] = 1;
    timex[8] = 32_768_000;
    timex[9] = now / time::NS_PER_SEC;
    timex[10] = now % time::NS_PER_SEC / 1000;
    timex[11] = 10_000;
    space.write(addr, &timex)?;
    Ok(TIME_ERROR)
}
