//! Guest CPUs: tokens that guest tasks hand on to each other. A thread of `uml`'s own has a CPU
//! while it has nothing to do.

use crate::area::{self, Record};
use crate::entry::KICK_SIGNAL;
use crate::interception;
use std::cell::Cell;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::*};
use umlab_host::claims::Claim;
use umlab_host::kicks::Kicks;
use umlab_host::{Errno, Result, clock, thread};
use umlab_model::lock;

umlab_model::counters! {
    signals_delivered calls_direct handovers idle_sleeps kicks shootdowns cpu_moves
    host_tasks_made host_processes_made host_processes_replaced
    host_processes_reused spaces_emptied
    host_mmaps host_munmaps host_mprotects
}

pub struct Cpu {
    /// The host task that is in user mode there, 0 for none.
    pub user: AtomicI32,
    pub kicks: Kicks,
    timer: OwnedFd,
    /// The host CPU it is on. What belongs to it moves there when it next has something to do.
    pub host_cpu: AtomicUsize,
    /// The thread that waits for its alarm, 0 before that runs.
    pub alarm: AtomicI32,
}

static CPUS: OnceLock<Vec<Cpu>> = OnceLock::new();

/// As many as there are claims to host CPUs.
pub fn init(claims: &[Claim]) -> Result<()> {
    let cpu = |claim: &Claim| -> Result<Cpu> {
        // SAFETY: documented flags; the descriptor is new.
        let timer = unsafe {
            let fd = Errno::check(i64::from(libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC)))?;
            OwnedFd::from_raw_fd(fd as i32)
        };
        Ok(Cpu {
            user: AtomicI32::new(0),
            kicks: Kicks::default(),
            timer,
            host_cpu: AtomicUsize::new(claim.cpu),
            alarm: AtomicI32::new(0),
        })
    };
    let _ = CPUS.set(claims.iter().map(cpu).collect::<Result<_>>()?);
    Ok(())
}

pub fn all() -> &'static [Cpu] {
    CPUS.get().expect("the model was made")
}

thread_local! {
    /// The record of a thread of `uml`'s process.
    static OWN: Cell<Option<&'static Record>> = const { Cell::new(None) };
}

/// Gives the calling thread, which idles for a CPU, a record.
pub fn adopt(record: &'static Record) {
    OWN.with(|own| own.set(Some(record)));
}

/// The record of what runs: the thread pointer of a guest task's core code lies in its area.
pub fn record() -> &'static Record {
    let thread_pointer: usize;
    // SAFETY: by the ABI, the first word there is its own address.
    unsafe { std::arch::asm!("mov {}, fs:0", out(reg) thread_pointer) };
    match area::record_at(thread_pointer) {
        Some(record) => record,
        None => OWN.with(Cell::get).expect("core code runs on guest CPUs only"),
    }
}

pub fn current() -> usize {
    record().cpu.load(Relaxed)
}

pub fn this() -> &'static Cpu {
    &all()[current()]
}

pub fn kick(cpu: usize) {
    let cpu = &all()[cpu];
    count(|c| &c.kicks, 1);
    cpu.kicks.give();
    let user = cpu.user.load(SeqCst);
    if user != 0 {
        // In the core it is blocked: one that comes too early or too late stops user code as soon
        // as there is any.
        thread::interrupt(user, user, KICK_SIGNAL);
    } else {
        cpu.kicks.wake();
    }
}

pub fn idle(deadline: Option<u64>) {
    let cpu = this();
    let timeout = deadline.map(|d| d.saturating_sub(clock::monotonic()));
    if cpu.kicks.take() || timeout == Some(0) {
        return;
    }
    let number = current();
    interception().busy(number, false);
    if lock::without(|| cpu.kicks.wait(all().len() > 1, timeout)) {
        count(|c| &c.idle_sleeps, 1);
    }
    interception().busy(number, true);
    cpu.kicks.take();
}

/// A timer descriptor can be set from any process of ours.
pub fn set_alarm(deadline: Option<u64>) {
    let deadline = deadline.unwrap_or(0);
    let spec = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec {
            tv_sec: (deadline / 1_000_000_000) as i64,
            tv_nsec: (deadline % 1_000_000_000) as i64,
        },
    };
    let fd = this().timer.as_raw_fd();
    // SAFETY: a timer descriptor and a valid time.
    unsafe { libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &raw const spec, std::ptr::null_mut()) };
}

/// The body of a thread that waits for a CPU's alarm.
pub fn serve_alarms(number: usize) {
    let cpu = &all()[number];
    cpu.alarm.store(thread::id(), SeqCst);
    thread::keep_stacks_from_forks();
    let _ = thread::pin(cpu.host_cpu.load(SeqCst));
    let mut expirations = 0u64;
    loop {
        // SAFETY: a timer descriptor gives eight bytes.
        let n = unsafe { libc::read(cpu.timer.as_raw_fd(), (&raw mut expirations).cast(), 8) };
        if n == 8 {
            kick(number);
        } else if n < 0 && Errno::last() != Errno::EINTR {
            return;
        }
    }
}
