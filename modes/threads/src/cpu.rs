//! Guest CPUs: a host thread each, its sleep, and how it is interrupted.

use crate::context::ThreadContext;
use crate::count;
use crate::placement::Place;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Arc, OnceLock};
use umlab_host::claims::Claim;
use umlab_host::kicks::Kicks;
use umlab_host::ptrace::Tracee;
use umlab_host::thread::{self, ThreadTimer};
use umlab_host::{clock, limits};
use umlab_model::{Context, lock};

/// A host thread that runs user code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserTask {
    pub process: i32,
    pub thread: i32,
    /// The model itself pins it to a host CPU. Else it is brought to where the guest CPU is.
    pub placed: bool,
}

impl UserTask {
    /// None: user code that no host thread of its own runs.
    pub const NONE: UserTask = UserTask { process: 0, thread: 0, placed: true };

    fn pack(self) -> u64 {
        u64::from(self.process.cast_unsigned()) << 32 | u64::from(self.thread.cast_unsigned())
    }

    fn unpack(packed: u64) -> Option<UserTask> {
        let halves = [packed >> 32, packed & 0xffff_ffff].map(|half| half as i32);
        (packed != 0).then_some(UserTask { process: halves[0], thread: halves[1], placed: true })
    }
}

/// A process that was forked to be traced has one thread.
impl From<Tracee> for UserTask {
    fn from(tracee: Tracee) -> UserTask {
        UserTask { process: tracee.0, thread: tracee.0, placed: false }
    }
}

pub struct Cpu {
    /// The host thread that runs user code now, packed; 0 for none.
    user: AtomicU64,
    kicks: Kicks,
    timer: OnceLock<ThreadTimer>,
    pub(crate) place: Place,
}

static CPUS: OnceLock<Vec<Cpu>> = OnceLock::new();

/// As many as there are claims to host CPUs.
pub(crate) fn init(claims: &[Claim]) {
    let cpu = |claim: &Claim| Cpu {
        user: AtomicU64::new(0),
        kicks: Kicks::default(),
        timer: OnceLock::new(),
        place: Place::new(claim.cpu),
    };
    let _ = CPUS.set(claims.iter().map(cpu).collect());
}

/// All CPUs, by number.
pub fn all() -> &'static [Cpu] {
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
    /// Runs `user`, in which user code runs in `task`, on this CPU's thread and without the big
    /// lock. SIGALRM, sent to the task, interrupts it: once, until the kick is answered. None if an
    /// interrupt is due already: then `user` is not run.
    #[inline]
    pub fn run_user<T>(&self, task: impl Into<UserTask>, user: impl FnOnce() -> T) -> Option<T> {
        let task = task.into();
        self.place.follow((!task.placed).then_some(task.thread));
        self.user.store(task.pack(), SeqCst);
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
    /// stops user code. False if there is none. Who gives the first kick since the last was
    /// answered interrupts, for all that come after it.
    fn interrupt(&self) -> bool {
        let first = self.kicks.give();
        let user = self.user();
        if let Some(UserTask { process, thread, .. }) = user
            && first
        {
            thread::interrupt(process, thread, libc::SIGALRM);
        }
        user.is_some()
    }

    /// The host thread that runs user code now.
    pub(crate) fn user(&self) -> Option<UserTask> {
        UserTask::unpack(self.user.load(SeqCst))
    }

    /// Whether the CPU has nothing to do, and sleeps.
    pub fn is_idle(&self) -> bool {
        self.kicks.is_asleep()
    }

    /// The host CPU that this one is on, or is about to be.
    pub fn host_cpu(&self) -> usize {
        self.place.host_cpu()
    }

    /// Ends with EINTR a host call in which the CPU's thread sleeps. One that comes before the
    /// sleep is lost.
    pub fn interrupt_host_call(&self) {
        thread::interrupt(std::process::id().cast_signed(), self.place.thread(), libc::SIGALRM);
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
