//! Events as files: eventfd(2), timerfd_create(2), signalfd(2).

use super::timeout::nanoseconds;
use super::{Call, Entry, entry};
use crate::event::eventfd::EventFd;
use crate::event::signalfd::SignalFd;
use crate::event::timerfd::{Clock, Setting, TimerFd};
use crate::task::signal::SigSet;
use crate::vfs::anon::AnonKind;
use crate::vfs::file::{FileOps, OpenFile};
use crate::{Errno, Result};
use abi::number::extended;
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_eventfd, "eventfd", "u", |call| eventfd(call, 0)),
    entry(abi::SYS_eventfd2, "eventfd2", "ux", |call| eventfd(call, call.int(1))),
    entry(abi::SYS_timerfd_create, "timerfd_create", "dx", timerfd_create),
    entry(abi::SYS_timerfd_settime, "timerfd_settime", "fxPP", timerfd_settime),
    entry(abi::SYS_timerfd_gettime, "timerfd_gettime", "fP", timerfd_gettime),
    entry(abi::SYS_signalfd, "signalfd", "fPu", |call| signalfd(call, 0)),
    entry(abi::SYS_signalfd4, "signalfd4", "fPux", |call| signalfd(call, call.int(3))),
];

/// O_CLOEXEC and O_NONBLOCK, by whatever name.
const COMMON_FLAGS: i32 = abi::O_CLOEXEC | abi::O_NONBLOCK;

fn install(call: &Call<'_>, name: &'static str, ops: Arc<dyn FileOps>, flags: i32) -> Result<u64> {
    let file = OpenFile::anonymous(AnonKind::Other(name), ops, abi::O_RDWR | flags & abi::O_NONBLOCK);
    call.task.files().install(file, flags & abi::O_CLOEXEC != 0).map(extended)
}

fn eventfd(call: &Call<'_>, flags: i32) -> Result<u64> {
    if flags & !(COMMON_FLAGS | abi::EFD_SEMAPHORE) != 0 {
        return Err(Errno::EINVAL);
    }
    let event = EventFd::new(u64::from(call.uint(0)), flags & abi::EFD_SEMAPHORE != 0);
    install(call, "[eventfd]", event, flags)
}

fn timerfd_create(call: &mut Call<'_>) -> Result<u64> {
    let flags = call.int(1);
    if flags & !COMMON_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let clock = match call.int(0) {
        abi::CLOCK_REALTIME => Clock::Realtime,
        abi::CLOCK_MONOTONIC => Clock::Monotonic,
        abi::CLOCK_BOOTTIME => Clock::Boottime,
        // Clocks that wake a sleeping machine: there is none to wake, but not everybody may.
        abi::CLOCK_REALTIME_ALARM | abi::CLOCK_BOOTTIME_ALARM if !call.task.creds().capable(abi::CAP_WAKE_ALARM) => {
            return Err(Errno::EPERM);
        }
        abi::CLOCK_REALTIME_ALARM => Clock::Realtime,
        abi::CLOCK_BOOTTIME_ALARM => Clock::Boottime,
        _ => return Err(Errno::EINVAL),
    };
    install(call, "[timerfd]", TimerFd::new(clock), flags)
}

/// A setting as an itimerspec: the period, then the value.
fn to_itimerspec(setting: Setting) -> [i64; 4] {
    let split = |ns: u64| [ns / 1_000_000_000, ns % 1_000_000_000].map(u64::cast_signed);
    let ([a, b], [c, d]) = (split(setting.interval), split(setting.value));
    [a, b, c, d]
}

fn timerfd_settime(call: &mut Call<'_>) -> Result<u64> {
    let (flags, new, old) = (call.int(1), call.args[2], call.args[3]);
    let space = call.task.space();
    let [interval_sec, interval_nsec, sec, nsec] = space.read::<[i64; 4]>(new)?;
    if flags & !(abi::TFD_TIMER_ABSTIME | abi::TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let setting = Setting { value: nanoseconds(sec, nsec)?, interval: nanoseconds(interval_sec, interval_nsec)? };
    let file = call.task.files().get_io(call.int(0))?;
    let timer = file.ops_as::<TimerFd>().ok_or(Errno::EINVAL)?;
    let before = timer.set(setting, flags & abi::TFD_TIMER_ABSTIME != 0);
    if old != 0 {
        space.write(old, &to_itimerspec(before))?;
    }
    Ok(0)
}

fn timerfd_gettime(call: &mut Call<'_>) -> Result<u64> {
    let file = call.task.files().get_io(call.int(0))?;
    let timer = file.ops_as::<TimerFd>().ok_or(Errno::EINVAL)?;
    call.task.space().write(call.args[1], &to_itimerspec(timer.get()))?;
    Ok(0)
}

fn signalfd(call: &Call<'_>, flags: i32) -> Result<u64> {
    let (fd, addr, size) = (call.int(0), call.args[1], call.args[2]);
    if size != 8 {
        return Err(Errno::EINVAL);
    }
    let mask = SigSet(call.task.space().read(addr)?);
    if flags & !COMMON_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if fd == -1 {
        return install(call, "[signalfd]", SignalFd::new(mask, &call.task.process), flags);
    }
    let file = call.task.files().get_io(fd)?;
    file.ops_as::<SignalFd>().ok_or(Errno::EINVAL)?.set_mask(mask);
    Ok(extended(fd))
}
