//! timerfd (timerfd_create(2)): a timer that can be waited for.
//!
//! What has expired is worked out from the clock when it is asked for; the core's own timer only
//! wakes who waits. A periodic timer that nobody reads therefore costs one wake-up, not one for
//! each period.

use crate::lock::KCell;
use crate::mm::IoBuf;
use crate::sched::Timer;
use crate::sched::wait::{WaitQueue, Wake, WakeReason, wait_on};
use crate::time;
use crate::vfs::file::{Events, FileOps, OpenFile};
use crate::{Errno, Result};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

/// A timer's setting, in nanoseconds: the time to the next expiration (0: disarmed), and the period
/// (0: once).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Setting {
    pub value: u64,
    pub interval: u64,
}

/// The clock a timerfd counts by. All that differs is what an absolute time means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    Realtime,
    Monotonic,
    Boottime,
}

impl Clock {
    fn now(self) -> u64 {
        match self {
            Clock::Realtime => time::realtime(),
            Clock::Monotonic => time::now(),
            Clock::Boottime => umlab_host::clock::boottime(),
        }
    }
}

pub struct TimerFd {
    clock: Clock,
    /// TFD_TIMER_ABSTIME when it was set last.
    flags: KCell<i32>,
    state: Arc<State>,
}

struct State {
    schedule: KCell<Schedule>,
    timer: KCell<Option<Timer>>,
    queue: WaitQueue,
}

/// When it expires, by CLOCK_MONOTONIC.
#[derive(Clone, Copy, Default)]
struct Schedule {
    /// The first expiration that no read has reported.
    next: Option<u64>,
    interval: u64,
    /// Expirations before `next` that no read has reported: set in the past, a timer begins with
    /// them.
    owed: u64,
}

impl Schedule {
    /// Expirations not reported yet.
    fn expired(&self, now: u64) -> u64 {
        self.owed + self.since_next(now)
    }

    fn since_next(&self, now: u64) -> u64 {
        match self.next {
            Some(next) if now >= next => match self.interval {
                0 => 1,
                interval => (now - next) / interval + 1,
            },
            _ => 0,
        }
    }

    /// Counts the expirations as reported.
    fn take(&mut self, now: u64) -> u64 {
        let passed = self.since_next(now);
        if passed > 0 {
            self.next = match self.interval {
                0 => None,
                interval => self.next.map(|next| next.saturating_add(interval.saturating_mul(passed))),
            };
        }
        passed + std::mem::take(&mut self.owed)
    }

    /// The time left, and the period.
    fn left(&self, now: u64) -> Setting {
        let value = match self.next {
            None => 0,
            Some(next) if next > now => next - now,
            Some(_) if self.interval == 0 => 0,
            Some(next) => self.interval - (now - next) % self.interval,
        };
        Setting { value, interval: self.interval }
    }
}

impl TimerFd {
    pub fn new(clock: Clock) -> Arc<TimerFd> {
        let state = State { schedule: KCell::default(), timer: KCell::new(None), queue: WaitQueue::new() };
        Arc::new(TimerFd { clock, flags: KCell::new(0), state: Arc::new(state) })
    }

    /// Arms or disarms it; returns what was set before.
    pub fn set(&self, setting: Setting, absolute: bool) -> Setting {
        let now = time::now();
        self.flags.set(if absolute { abi::TFD_TIMER_ABSTIME } else { 0 });
        let mut new = Schedule { interval: setting.interval, ..Schedule::default() };
        if setting.value != 0 {
            let since = if absolute { self.clock.now().checked_sub(setting.value) } else { None };
            new.next = Some(match (since, new.interval) {
                (Some(_), 0) => now,
                (Some(since), interval) => {
                    new.owed = since / interval + 1;
                    now.saturating_add(interval - since % interval)
                }
                (None, _) if absolute => now.saturating_add(setting.value.saturating_sub(self.clock.now())),
                (None, _) => now.saturating_add(setting.value),
            });
        }
        let old = self.state.schedule.replace(new);
        self.state.arm(new.next);
        if new.owed > 0 {
            self.state.queue.wake(Events::IN.bits());
        }
        old.left(now)
    }

    pub fn get(&self) -> Setting {
        self.state.schedule.borrow().left(time::now())
    }
}

impl State {
    fn arm(self: &Arc<Self>, next: Option<u64>) {
        let target: Arc<dyn Wake> = self.clone();
        let timer = next.map(|next| Timer::new(next, &target));
        self.timer.set(timer);
    }

    fn take(self: &Arc<Self>) -> Option<u64> {
        let (expired, next) = {
            let mut schedule = self.schedule.borrow_mut();
            (schedule.take(time::now()), schedule.next)
        };
        if expired == 0 {
            return None;
        }
        if next.is_some() {
            self.arm(next);
        }
        Some(expired)
    }
}

impl Wake for State {
    fn wake(&self, _reason: WakeReason) {
        self.queue.wake(Events::IN.bits());
    }
}

impl FileOps for TimerFd {
    fn read(&self, file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        if buf.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let expired = match self.state.take() {
            Some(expired) => expired,
            None if file.nonblocking() => return Err(Errno::EAGAIN),
            None => wait_on(&self.state.queue, || self.state.take())?,
        };
        match buf.put(&expired.to_ne_bytes())? {
            8 => Ok(8),
            _ => Err(Errno::EFAULT),
        }
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let expired = self.state.schedule.borrow().expired(time::now());
        if expired > 0 { Events::IN } else { Events::empty() }
    }

    fn describe(&self, _file: &OpenFile) -> String {
        let ticks = self.state.schedule.borrow().expired(time::now());
        let Setting { value, interval } = self.get();
        let clock = match self.clock {
            Clock::Realtime => abi::CLOCK_REALTIME,
            Clock::Monotonic => abi::CLOCK_MONOTONIC,
            Clock::Boottime => abi::CLOCK_BOOTTIME,
        };
        let pair = |ns: u64| format!("({}, {})", ns / time::NS_PER_SEC, ns % time::NS_PER_SEC);
        format!(
            "clockid: {clock}\nticks: {ticks}\nsettime flags: 0{:o}\nit_value: {}\nit_interval: {}\n",
            self.flags.get(),
            pair(value),
            pair(interval)
        )
    }

    fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        Some(SmallVec::from_slice(&[&self.state.queue]))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once() {
        let mut schedule = Schedule { next: Some(100), interval: 0, owed: 0 };
        assert_eq!(schedule.left(40), Setting { value: 60, interval: 0 });
        assert_eq!(schedule.take(99), 0);
        assert_eq!(schedule.take(500), 1);
        assert_eq!(schedule.take(1000), 0);
        assert_eq!(schedule.left(1000), Setting::default());
    }

    #[test]
    fn periodic() {
        let mut schedule = Schedule { next: Some(100), interval: 10, owed: 2 };
        assert_eq!(schedule.expired(100), 3);
        assert_eq!(schedule.take(125), 5);
        assert_eq!(schedule.next, Some(130));
        assert_eq!(schedule.left(125), Setting { value: 5, interval: 10 });
        assert_eq!(schedule.left(135), Setting { value: 5, interval: 10 });
    }

    #[test]
    fn extremes() {
        let mut schedule = Schedule { next: Some(u64::MAX - 1), interval: u64::MAX, owed: 0 };
        assert_eq!(schedule.take(u64::MAX), 1);
        assert_eq!(schedule.next, Some(u64::MAX));
    }
}
