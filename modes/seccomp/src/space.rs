//! Guest address spaces: a stub process each, and the orders it still has to carry out.
//!
//! Threads of a space that run on several CPUs run in one stub process, by a runner each. So the
//! host takes a mapping away from all of them at once.

use crate::code;
use crate::cpu::count;
use crate::process::Process;
use crate::runner::Runner;
use crate::thread::State;
use std::any::Any;
use std::sync::Arc;
use umlab_host::{Errno, Result};
use umlab_model::lock::{self, KCell};
use umlab_model::{HostView, Mapping, ModelSpace, PageRange, Prot, When};
use umlab_stubs::{Batch, Order, vdso};

pub struct SeccompSpace {
    /// None until user code first runs, and when it was killed from outside.
    process: KCell<Option<Arc<Process>>>,
    batch: KCell<Batch>,
    /// Somebody has orders carried out at this moment.
    busy: KCell<bool>,
    /// A process is put aside for the space.
    reserved: KCell<bool>,
    /// What each process of the space has to change of its vDSO.
    vdso: KCell<vdso::Changes>,
}

/// Stub processes that no address space has used. None serves two: what a guest leaves in the
/// host's threads, a stack pointer, flags, a signal on its way, or a thread that nobody knows,
/// would meet the next one.
static POOL: KCell<Vec<Arc<Process>>> = KCell::new(Vec::new());
/// How many of them address spaces count on.
static RESERVED: KCell<usize> = KCell::new(0);

/// Takes a process that is in reserve for nobody, or makes one.
fn take() -> Result<Arc<Process>> {
    let spare = POOL.borrow().len() > *RESERVED.borrow();
    match if spare { POOL.borrow_mut().pop() } else { None } {
        Some(process) if process.watched.is_over() => take(),
        Some(process) => Ok(process),
        None => Process::new(),
    }
}

/// For the audit.
pub fn idle_views() -> Vec<HostView> {
    POOL.borrow().iter().filter_map(|process| process.view()).collect()
}

impl SeccompSpace {
    pub fn new() -> SeccompSpace {
        let (process, batch, vdso) = Default::default();
        SeccompSpace { process, batch, busy: KCell::new(false), reserved: KCell::new(false), vdso }
    }

    /// The space's process.
    fn process(&self) -> Result<Arc<Process>> {
        if let Some(process) = &*self.process.borrow() {
            return Ok(process.clone());
        }
        self.cancel_reservation();
        let process = take()?;
        self.batch.borrow_mut().prepend(self.vdso.borrow().orders());
        *self.process.borrow_mut() = Some(process.clone());
        Ok(process)
    }

    fn cancel_reservation(&self) {
        if self.reserved.replace(false) {
            *RESERVED.borrow_mut() -= 1;
        }
    }

    /// Sees to it that there is a process, and that no mapping that was taken away is met in user
    /// mode there. The big lock is dropped meanwhile.
    pub fn prepare(&self) -> Result<Arc<Process>> {
        let process = self.process()?;
        self.carry_out(&process)?;
        Ok(process)
    }

    /// Has all urgent orders carried out, also those that somebody else has taken up.
    fn carry_out(&self, process: &Process) -> Result<()> {
        loop {
            if *self.busy.borrow() {
                lock::without(std::thread::yield_now);
                continue;
            }
            if !self.batch.borrow().is_urgent() {
                return Ok(());
            }
            // Its files end under the lock.
            let mut batch = self.batch.take();
            self.busy.set(true);
            let result = lock::without(|| {
                umlab_stubs::carry_out(&mut batch.orders, code::MAX, |orders| process.run_batch(orders))
            });
            self.busy.set(false);
            result?;
        }
    }

    /// A runner of the process for another thread, whose registers are in its frame: one that holds
    /// no thread, else one whose thread is at rest there and can make room, else a new one. The big
    /// lock may be dropped meanwhile.
    pub fn make_room(&self, process: &Arc<Process>, timestamps: bool) -> Result<Arc<Runner>> {
        let runner = loop {
            let idle: Vec<Arc<Runner>> = {
                let runners = process.runners.borrow();
                let fits = |runner: &&Arc<Runner>| runner.timestamps == timestamps && !runner.now.borrow().in_user;
                runners.iter().filter(fits).cloned().collect()
            };
            let free = idle.iter().find(|runner| runner.is_free());
            if let Some(runner) = free.or_else(|| idle.iter().find(|runner| runner.is_settled())) {
                break runner.clone();
            }
            if !process.has_room(timestamps) {
                break idle.first().ok_or(Errno::EAGAIN)?.clone();
            }
            if !self.busy.get() {
                break self.add_runner(process, timestamps)?;
            }
            lock::without(std::thread::yield_now);
        };
        runner.settle(process)?;
        let holder = runner.now.borrow().loaded.upgrade();
        if let Some(holder) = holder {
            State::unload(&holder)?;
        }
        Ok(runner)
    }

    /// Makes a runner while no other thread of the process is in user mode: it could write where
    /// the new one reports for the first time.
    fn add_runner(&self, process: &Arc<Process>, timestamps: bool) -> Result<Arc<Runner>> {
        // Nobody enters user mode meanwhile.
        self.busy.set(true);
        let mut kicked = None;
        while let Some(cpu) = process.cpu_in_user_mode() {
            if kicked.replace(cpu) != Some(cpu) {
                umlab_threads::kick(cpu);
            }
            lock::without(std::thread::yield_now);
        }
        let slot = process.runners.borrow().len();
        let made = lock::without(|| process.make_runner(slot, timestamps));
        self.busy.set(false);
        let runner = made?;
        process.runners.borrow_mut().push(runner.clone());
        // What was given to do meanwhile.
        self.carry_out(process)?;
        Ok(runner)
    }

    /// Whether this is still the space's process.
    fn has(&self, process: &Arc<Process>) -> bool {
        self.process.borrow().as_ref().is_some_and(|own| Arc::ptr_eq(own, process))
    }

    /// Ends the process, which the host has broken or killed, if it is the space's.
    pub fn discard(&self, process: Option<&Arc<Process>>) {
        if process.is_none_or(|process| self.has(process))
            && let Some(process) = self.process.take()
        {
            process.watched.kill();
            process.runners.borrow().iter().for_each(|runner| State::forget_in(runner));
        }
    }
}

impl Drop for SeccompSpace {
    fn drop(&mut self) {
        self.cancel_reservation();
        self.discard(None);
    }
}

impl ModelSpace for SeccompSpace {
    fn reserve(&self) -> Result<()> {
        if POOL.borrow().len() <= *RESERVED.borrow() {
            let process = Process::new()?;
            POOL.borrow_mut().push(process);
        }
        *RESERVED.borrow_mut() += 1;
        self.reserved.set(true);
        Ok(())
    }

    fn map(&self, mapping: Mapping, when: When) {
        count(|c| &c.maps, 1);
        self.vdso.borrow_mut().unmapped(mapping.range);
        self.batch.borrow_mut().push_mapping(&mapping, when == When::Lazy);
    }

    fn unmap(&self, range: PageRange) {
        count(|c| &c.unmaps, 1);
        self.vdso.borrow_mut().unmapped(range);
        self.batch.borrow_mut().push_restriction(range, Order::unmap(range));
    }

    fn protect(&self, range: PageRange, prot: Prot) {
        count(|c| &c.protects, 1);
        self.vdso.borrow_mut().protected(range, prot);
        let (vdso, others) = vdso::split(range);
        for range in others.into_iter().chain([vdso]).flatten() {
            self.batch.borrow_mut().push_restriction(range, Order::protect(range, prot));
        }
    }

    fn sync(&self) {
        let process = self.process.borrow().clone();
        if let Some(process) = process
            && self.carry_out(&process).is_err()
        {
            self.discard(Some(&process));
        }
    }

    fn audit(&self) -> Vec<HostView> {
        if *self.busy.borrow() {
            return Vec::new();
        }
        let view = match &*self.process.borrow() {
            Some(process) => process.view(),
            None => Some(HostView::default()),
        };
        let mut views: Vec<HostView> = view.into_iter().collect();
        for view in &mut views {
            self.batch.borrow().orders.iter().for_each(|order| order.apply(view));
        }
        views
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
