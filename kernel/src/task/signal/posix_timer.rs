//! Timers that send signals: POSIX ones (timer_create(2)), and setitimer(2)'s ITIMER_REAL.
//!
//! A periodic timer is armed again when its signal is taken, not when it expires: a process that
//! does not take the signal costs nothing, and the expirations it missed are counted then (the
//! overrun).

use super::cpu_timer::{self, CpuClock};
use super::info::SigInfo;
use super::send::{send_timer, send_to_process};
use crate::Pid;
use crate::lock::KCell;
use crate::sched::Timer;
use crate::sched::wait::{Wake, WakeReason};
use crate::task::usage::Usage;
use crate::task::{Process, Task};
use crate::time;
use std::sync::{Arc, Weak};

/// A timer's setting in nanoseconds: time to the next expiration (0: disarmed), and the period (0:
/// once).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Setting {
    pub value: u64,
    pub interval: u64,
}

/// The clock a timer counts by.
#[derive(Clone)]
pub enum TimerClock {
    /// Time passes as on CLOCK_MONOTONIC; the number says what an absolute time means.
    Wall(i32),
    ProcessCpu(CpuClock),
    ThreadCpu(CpuClock, Weak<Task>),
}

/// What an expiration does.
#[derive(Clone)]
pub enum Notify {
    None,
    Process { signal: i32, value: u64 },
    Thread { signal: i32, value: u64, task: Weak<Task> },
}

pub struct PosixTimer {
    pub id: i32,
    pub clock: TimerClock,
    notify: Notify,
    process: Weak<Process>,
    state: KCell<State>,
    me: Weak<PosixTimer>,
}

#[derive(Default)]
struct State {
    /// By the timer's clock; 0 while disarmed.
    due: u64,
    interval: u64,
    timer: Option<Timer>,
    /// Its signal is queued, and the timer waits for it to be taken.
    queued: bool,
    /// Rises when it is set anew: a signal queued before then is not its any more.
    generation: u64,
    /// Expirations before the one at `due` that nobody was told of: set in the past, a periodic
    /// timer begins with them.
    owed: u64,
    /// Expirations beside the one that was told, when its signal was last taken.
    overrun: i32,
}

/// A timer's claim on a queued signal.
pub struct TimerSignal {
    timer: Weak<PosixTimer>,
    generation: u64,
}

impl PosixTimer {
    pub fn new(id: i32, clock: TimerClock, notify: Notify, process: &Arc<Process>) -> Arc<PosixTimer> {
        Arc::new_cyclic(|me| PosixTimer {
            id,
            clock,
            notify,
            process: Arc::downgrade(process),
            state: KCell::default(),
            me: me.clone(),
        })
    }

    fn now(&self) -> u64 {
        match &self.clock {
            TimerClock::Wall(_) => time::now(),
            _ => self.process.upgrade().map_or(0, |process| self.cpu_now(&process.usage.borrow())),
        }
    }

    /// Its CPU clock, if it has one; `usage` is its process's.
    pub(super) fn cpu_now(&self, usage: &Usage) -> u64 {
        match &self.clock {
            TimerClock::Wall(_) => 0,
            TimerClock::ProcessCpu(clock) => clock.read(usage),
            TimerClock::ThreadCpu(clock, task) => task.upgrade().map_or(0, |task| clock.read(&task.usage.borrow())),
        }
    }

    pub(super) fn cpu_due(&self) -> u64 {
        self.state.borrow().due
    }

    /// Arms or disarms it; returns what was set before. An absolute `value` is on its clock.
    pub fn set(self: &Arc<Self>, setting: Setting, absolute: bool) -> Setting {
        let old = self.get();
        let (due, owed) = match setting.value {
            0 => (0, 0),
            value if !absolute => (self.now().saturating_add(value), 0),
            value => match self.clock {
                TimerClock::Wall(clock) => from_absolute(value, time::read_clock(clock), time::now(), setting.interval),
                _ => (value, 0),
            },
        };
        {
            let mut state = self.state.borrow_mut();
            state.generation += 1;
            state.queued = false;
            state.overrun = 0;
            state.owed = owed;
            state.interval = setting.interval;
        }
        self.arm(due);
        old
    }

    fn arm(self: &Arc<Self>, due: u64) {
        let process = self.process.upgrade();
        let target: Arc<dyn Wake> = self.clone();
        let wall = matches!(self.clock, TimerClock::Wall(_));
        let timer = (due != 0 && wall).then(|| Timer::new(due, &target));
        let old = {
            let mut state = self.state.borrow_mut();
            state.due = due;
            std::mem::replace(&mut state.timer, timer)
        };
        drop(old);
        if let (false, Some(process)) = (wall, process) {
            {
                let mut signals = process.signals.borrow_mut();
                if due != 0 { signals.cpu.add(self) } else { signals.cpu.remove(self) }
            }
            cpu_timer::rearm(&process);
        }
    }

    /// The time left, and the period.
    pub fn get(&self) -> Setting {
        let now = self.now();
        let state = self.state.borrow();
        let silent = matches!(self.notify, Notify::None);
        let value = match state.due {
            0 => 0,
            due if due > now => due - now,
            due if state.interval != 0 && (state.queued || silent) => state.interval - (now - due) % state.interval,
            // Over, for one that nobody is told of; else about to be told.
            _ if silent || state.queued => 0,
            _ => 1,
        };
        Setting { value, interval: state.interval }
    }

    pub fn overrun(&self) -> i32 {
        self.state.borrow().overrun
    }

    /// It is due: sends its signal.
    pub(super) fn expired(&self) {
        let (signal, value, target) = match &self.notify {
            Notify::None => return,
            Notify::Process { signal, value } => (*signal, *value, None),
            Notify::Thread { signal, value, task } => (*signal, *value, Some(task)),
        };
        let Some(process) = self.process.upgrade() else { return };
        let claim = {
            let mut state = self.state.borrow_mut();
            if state.due == 0 || std::mem::replace(&mut state.queued, true) {
                return;
            }
            TimerSignal { timer: self.me.clone(), generation: state.generation }
        };
        let info = SigInfo::timer(signal, self.id, value);
        let sent = match target {
            None => send_timer(&process, None, info, claim),
            Some(task) => match task.upgrade() {
                Some(task) => send_timer(&process, Some(&task), info, claim),
                None => return,
            },
        };
        if !sent {
            // The signal is ignored: go on with the next period, no oftener than is bearable.
            self.state.borrow_mut().queued = false;
            self.next_period(IGNORED_PERIOD_NS);
        }
    }

    /// Arms it for the next period; returns how many were missed. Not sooner than `at_least` from
    /// now.
    fn next_period(&self, at_least: u64) -> u64 {
        let now = self.now();
        let (due, interval) = {
            let state = self.state.borrow();
            (state.due, state.interval)
        };
        let Some(me) = self.me.upgrade() else { return 0 };
        if interval == 0 || due == 0 {
            me.arm(0);
            return 0;
        }
        let from = now.saturating_add(at_least);
        let missed = from.saturating_sub(due) / interval;
        me.arm(due.saturating_add((missed + 1).saturating_mul(interval)));
        missed
    }
}

/// When a timer is due on CLOCK_MONOTONIC that is due at `value` on a clock that now shows
/// `by_clock`, and how many expirations of its period are over by then. The clocks go equally fast.
fn from_absolute(value: u64, by_clock: u64, now: u64, interval: u64) -> (u64, u64) {
    let past = by_clock.saturating_sub(value);
    let since_last = past.checked_rem(interval).unwrap_or(0);
    let due = now.saturating_add(value.saturating_sub(by_clock)).saturating_sub(since_last).max(1);
    (due, past.checked_div(interval).unwrap_or(0))
}

/// The shortest period of a timer whose signal is ignored.
const IGNORED_PERIOD_NS: u64 = 1_000_000;

impl Wake for PosixTimer {
    fn wake(&self, _reason: WakeReason) {
        self.expired();
    }
}

impl TimerSignal {
    /// The signal is taken: arms the timer again, and says in `info` what was missed. False when
    /// the timer was set anew or deleted meanwhile, and the signal means nothing any more.
    pub fn taken(self, info: &mut SigInfo) -> bool {
        let Some(timer) = self.timer.upgrade() else { return false };
        let owed = {
            let mut state = timer.state.borrow_mut();
            if state.generation != self.generation {
                return false;
            }
            state.queued = false;
            std::mem::take(&mut state.owed)
        };
        let overrun = i32::try_from(timer.next_period(0).saturating_add(owed)).unwrap_or(i32::MAX);
        timer.state.borrow_mut().overrun = overrun;
        info.set_overrun(overrun);
        true
    }
}

/// ITIMER_REAL of a process.
pub struct RealTimer {
    process: Weak<Process>,
    state: KCell<RealState>,
}

#[derive(Default)]
struct RealState {
    due: u64,
    interval: u64,
    timer: Option<Timer>,
}

impl RealTimer {
    pub fn new(process: &Arc<Process>) -> Arc<RealTimer> {
        Arc::new(RealTimer { process: Arc::downgrade(process), state: KCell::default() })
    }

    pub fn set(self: &Arc<Self>, setting: Setting) -> Setting {
        let old = self.get();
        let due = if setting.value == 0 { 0 } else { time::now().saturating_add(setting.value) };
        self.state.borrow_mut().interval = setting.interval;
        self.arm(due);
        old
    }

    fn arm(self: &Arc<Self>, due: u64) {
        let target: Arc<dyn Wake> = self.clone();
        let timer = (due != 0).then(|| Timer::new(due, &target));
        let old = {
            let mut state = self.state.borrow_mut();
            state.due = due;
            std::mem::replace(&mut state.timer, timer)
        };
        drop(old);
    }

    pub fn get(&self) -> Setting {
        let state = self.state.borrow();
        let value = match state.timer {
            // A running timer has time left, be it ever so little.
            Some(_) => state.due.saturating_sub(time::now()).max(1000),
            None => 0,
        };
        Setting { value, interval: state.interval }
    }

    /// SIGALRM was taken: arms the next period.
    pub(super) fn signal_taken(self: &Arc<Self>) {
        let (due, interval, running) = {
            let state = self.state.borrow();
            (state.due, state.interval, state.timer.is_some())
        };
        if running || interval == 0 || due == 0 {
            return;
        }
        let missed = time::now().saturating_sub(due) / interval;
        self.arm(due.saturating_add((missed + 1).saturating_mul(interval)));
    }
}

impl Wake for RealTimer {
    fn wake(&self, _reason: WakeReason) {
        let timer = self.state.borrow_mut().timer.take();
        drop(timer);
        if let Some(process) = self.process.upgrade() {
            // A standard signal of the kernel's always gets through.
            let _ = send_to_process(&process, SigInfo::kernel(abi::SIGALRM));
        }
    }
}

/// The timers of a process, and the id for the next one.
#[derive(Default)]
pub struct Timers {
    pub real: Option<Arc<RealTimer>>,
    posix: std::collections::BTreeMap<i32, Arc<PosixTimer>>,
    next_id: i32,
}

impl Timers {
    /// A new id, in no use.
    pub fn new_id(&mut self) -> i32 {
        loop {
            let id = self.next_id;
            self.next_id = self.next_id.checked_add(1).unwrap_or(0);
            if !self.posix.contains_key(&id) {
                return id;
            }
        }
    }

    pub fn insert(&mut self, timer: &Arc<PosixTimer>) {
        self.posix.insert(timer.id, timer.clone());
    }

    pub fn find(&self, id: i32) -> Option<Arc<PosixTimer>> {
        self.posix.get(&id).cloned()
    }

    pub fn remove(&mut self, id: i32) -> Option<Arc<PosixTimer>> {
        self.posix.remove(&id)
    }

    pub fn len(&self) -> usize {
        self.posix.len()
    }

    pub fn is_empty(&self) -> bool {
        self.posix.is_empty()
    }

    /// All of timer_create(2)'s, out of the list.
    pub fn take_all(&mut self) -> Vec<Arc<PosixTimer>> {
        std::mem::take(&mut self.posix).into_values().collect()
    }
}

/// Whether a thread may be told of a timer of this process (SIGEV_THREAD_ID).
pub fn thread_of(process: &Arc<Process>, tid: Pid) -> Option<Arc<Task>> {
    crate::task::find(tid).filter(|task| Arc::ptr_eq(&task.process, process))
}

#[cfg(test)]
mod tests {
    use super::from_absolute;

    #[test]
    fn a_time_in_the_past_owes_its_expirations() {
        assert_eq!(from_absolute(700, 500, 50, 10), (250, 0));
        assert_eq!(from_absolute(200, 535, 50, 10), (45, 33), "the last one was 5 ago");
        assert_eq!(from_absolute(200, 535, 50, 0), (50, 0), "one expiration only");
        assert_eq!(from_absolute(1, u64::MAX, 3, 10), (1, (u64::MAX - 1) / 10), "a clock that was longer on");
    }
}
