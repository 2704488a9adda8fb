//! What each guest CPU has: how it waits for stub processes.

use crate::pace::{Apart, Pace, Way};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use umlab_host::{Errno, Result, clock};
use umlab_stubs::reaper::{self, Watched};
use umlab_threads::Upkeep;

pub use umlab_threads::current;

umlab_model::counters! {
    notifications posts reports calls fault_reports exception_reports interrupt_reports settlings order_batches orders
    maps unmaps protects frame_reads frame_writes state_moves stubs_made runners_made late_reports
    late_answers went_apart went_together
}

pub struct Cpu {
    /// Written by the mapper that the CPU waits for.
    pub done: OwnedFd,
    /// The stub process that the CPU waits for, 0 for none.
    waits_for: AtomicI32,
    /// Which CPU has its host CPU for runners while it is idle: one more than the number, or 0.
    lent: AtomicUsize,
    /// How it waits for runners, where calls arrive as signals. Its own thread alone uses it.
    pace: Option<Mutex<Pace>>,
}

static CPUS: OnceLock<Vec<Cpu>> = OnceLock::new();

pub fn init(count: usize, apart: Option<Apart>) -> Result<()> {
    let cpu = |_| {
        let done = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
        let pace = apart.map(|apart| Mutex::new(Pace::new(apart)));
        Ok(Cpu { done, waits_for: AtomicI32::new(0), lent: AtomicUsize::new(0), pace })
    };
    let cpus = (0..count).map(cpu).collect::<Result<_>>()?;
    let _ = CPUS.set(cpus);
    Ok(())
}

pub fn this() -> &'static Cpu {
    &CPUS.get().expect("the model was made")[current()]
}

impl Cpu {
    /// Makes a host call that waits for something that a stub process does, again whenever a signal
    /// interrupts it. None if the process has ended.
    pub fn wait<T>(&self, process: &Watched, mut call: impl FnMut() -> Result<T>) -> Result<Option<T>> {
        // Named first, then asked: whoever finds the process ended afterwards interrupts us.
        self.waits_for.store(process.pid, SeqCst);
        let result = loop {
            if process.is_over() {
                break Ok(None);
            }
            match call() {
                Err(Errno::EINTR) => {}
                result => break result.map(Some),
            }
        };
        self.waits_for.store(0, SeqCst);
        result
    }

    fn pace(&self) -> Option<MutexGuard<'_, Pace>> {
        Some(self.pace.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets user code run by `go`, in the way that pays.
    pub fn run<T>(&self, runner: i32, go: impl FnOnce(Way) -> T) -> T {
        let Some(way) = self.pace().map(|mut pace| pace.way()) else { return go(Way::TOGETHER) };
        let entered = clock::monotonic();
        let result = go(way);
        if let Some(mut pace) = self.pace() {
            pace.note(runner, entered, clock::monotonic());
        }
        result
    }

    /// Waits until the mapper of a process has carried out its orders. Returns the number that it
    /// wrote.
    pub fn await_done(&self, process: &Watched) -> Result<u64> {
        let mut number = [0; 8];
        if self.wait(process, || Ok(rustix::io::read(&self.done, &mut number)?))?.is_some() {
            return Ok(u64::from_ne_bytes(number));
        }
        // It may have written before it ended. The next batch must not be taken for done by that.
        rustix::io::write(&self.done, &1u64.to_ne_bytes())?;
        rustix::io::read(&self.done, &mut number)?;
        Err(Errno::ESRCH)
    }
}

/// Has whichever CPUs wait for a stub process look up. False if none does.
pub fn wake(pid: i32) -> bool {
    let mut any = false;
    for (cpu, machine) in CPUS.get().into_iter().flatten().zip(umlab_threads::all()) {
        if cpu.waits_for.load(SeqCst) == pid {
            machine.interrupt_host_call();
            any = true;
        }
    }
    any
}

pub const UPKEEP: Upkeep = Upkeep { woke: take_back, end: reaper::end_all, ..Upkeep::NONE };

/// The running CPU was idle, and is not any more: who has used its host CPU meanwhile goes.
fn take_back() {
    if let Some(borrower) = this().lent.load(SeqCst).checked_sub(1) {
        umlab_threads::kick(borrower);
    }
}

/// Lends the host CPU of a guest CPU that is idle to the current one. None if there is none.
pub fn borrow() -> Option<Loan> {
    let lend = |&number: &usize| {
        let owner = &CPUS.get()?[number];
        let free = || umlab_threads::all()[number].is_idle();
        (free() && owner.lent.compare_exchange(0, current() + 1, SeqCst, SeqCst).is_ok()).then_some(Loan(number))
    };
    (0..umlab_threads::all().len()).filter(|&number| number != current()).find_map(|number| lend(&number))
}

/// The host CPU of a guest CPU that was idle.
pub struct Loan(usize);

impl Loan {
    /// The host CPU; none once its guest CPU has something to do.
    pub fn host_cpu(&self) -> Option<usize> {
        let owner = &umlab_threads::all()[self.0];
        owner.is_idle().then(|| owner.host_cpu())
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(cpus) = CPUS.get() {
            cpus[self.0].lent.store(0, SeqCst);
        }
    }
}
