//! Guest CPUs: a host thread each, its sleep, and how it is interrupted.

use crate::context::ThreadContext;
use crate::count;
use crate::placement::Place;
use std::cell::Cell;
use std::sync::atomic::{AtomicI32, Ordering::*};
use std::sync::{Arc, OnceLock};
use umlab_host::claims::Claim;
use umlab_host::kicks::Kicks;
use umlab_host::thread::{self, ThreadTimer};
use umlab_host::{clock, limits};
use umlab_model::{Context, lock};

pub struct Cpu {
    /// The host process that runs user code now, 0 for none.
    pub(crate) user: AtomicI32,
    kicks: Kicks,
    timer: OnceLock<ThreadTimer>,
    pub(crate) place: Place,
}

static CPUS: OnceLock<Vec<Cpu>> = OnceLock::new();

/// As many as there are claims to host CPUs.
pub(crate) fn init(claims: &[Claim]) {
    let cpu = |claim: &Claim| Cpu {
        user: AtomicI32::new(0),
        kicks: Kicks::default(),
        timer: OnceLock::new(),
        place: Place::new(claim.cpu),
    };
    let _ = CPUS.set(claims.iter().map(cpu).collect());
}

pub(crate) fn all() -> &'static [Cpu] {
    CPUS.get().expect("the machine was made")
}

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// The CPU that the calling host thread is. Not inlined: a context may go on in another thread
/// after a switch, and the compiler must not keep the address of one thread's variable across it.
#[inline(never)]
pub fn current() -> usize {
    CURRENT.with(Cell::get)
}

pub fn this() -> &'static Cpu {
    &all()[current()]
}

impl Cpu {
    /// Runs `user`, in which user code runs in `process` of the host, on this CPU's thread and
    /// without the big lock. SIGALRM, sent to the process, interrupts it. None if an interrupt is
    /// due already: then `user` is not run.
    #[inline]
    pub fn run_user<T>(&self, process: i32, user: impl FnOnce() -> T) -> Option<T> {
        self.place.follow(process);
        self.user.store(process, SeqCst);
        // From here on a kick reaches user code itself.
        let result = if self.kicks.take() { None } else { Some(lock::without(user)) };
        self.user.store(0, SeqCst);
        result
    }

    /// User code was interrupted: the kicks until now are answered.
    pub fn answer_kicks(&self) {
        self.kicks.take();
    }

    /// A kick that comes before user mode is entered is found by `run_user`; one that comes later
    /// stops user code. False if there is none.
    fn interrupt(&self) -> bool {
        self.kicks.give();
        let user = self.user.load(SeqCst);
        if user != 0 {
            thread::interrupt(user, user, libc::SIGALRM);
        }
        user != 0
    }
}

/// The alarm of the CPU whose host thread this is: a kick from itself.
fn alarm() {
    if let Some(cpu) = CPUS.get().and_then(|cpus| cpus.get(current())) {
        cpu.interrupt();
    }
}

/// The body of a CPU's host thread.
pub(crate) fn run(number: usize, main: &(dyn Fn(usize, Arc<dyn Context>) + Sync), end: fn()) {
    CURRENT.with(|current| current.set(number));
    this().place.begin();
    thread::on_alarm(alarm);
    match ThreadTimer::new() {
        Ok(timer) => {
            let _ = this().timer.set(timer);
        }
        Err(e) => limits::give_up("the host gives no timer", e),
    }
    lock::with(|| {
        main(number, ThreadContext::of_thread());
        end();
    });
}

/// Brings a CPU back into the kernel: out of user mode, or out of its sleep.
pub fn kick(cpu: usize) {
    let cpu = &all()[cpu];
    count(|c| &c.kicks, 1);
    if !cpu.interrupt() {
        cpu.kicks.wake();
    }
}

pub(crate) fn idle(deadline: Option<u64>) {
    let cpu = this();
    let timeout = deadline.map(|d| d.saturating_sub(clock::monotonic()));
    if cpu.kicks.take() || timeout == Some(0) {
        return;
    }
    if lock::without(|| cpu.kicks.wait(all().len() > 1, timeout)) {
        count(|c| &c.idle_sleeps, 1);
    }
    cpu.kicks.take();
}

pub(crate) fn set_alarm(deadline: Option<u64>) {
    if let Some(timer) = this().timer.get() {
        timer.arm(deadline.unwrap_or(0));
    }
}
