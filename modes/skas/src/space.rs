//! Guest address spaces: a stub process for each CPU that runs the space's threads, and the orders
//! each still has to carry out.

use crate::cpu::{self, count};
use crate::orders::StubHandle;
use crate::stub::{Loaded, Stub};
use crate::thread::{Entry, UserSpace};
use std::any::Any;
use umlab_host::ptrace::Tracee;
use umlab_host::{Errno, Result};
use umlab_model::lock::{self, KCell};
use umlab_model::{Access, HostView, Mapping, ModelSpace, PageRange, Prot, Trap, When};
use umlab_stubs::{Batch, Order, PUT_OFF, clear_orders, vdso};

/// A CPU's stub process for this space.
pub struct Local {
    pub stub: Stub,
    pub batch: Batch,
    /// It runs user code at this moment.
    pub in_user: bool,
    /// It carries out orders at this moment.
    in_batch: bool,
}

pub struct SkasSpace {
    /// By CPU.
    pub locals: KCell<Vec<Option<Local>>>,
    /// Orders given before there was any stub process; the first one gets them.
    initial: KCell<Batch>,
    /// The CPU that has put a stub process aside for the space.
    reserved: KCell<Option<usize>>,
    /// What every stub process of the space has to change of its vDSO.
    vdso: KCell<vdso::Changes>,
}

impl SkasSpace {
    pub fn new() -> SkasSpace {
        let locals = cpu::all().iter().map(|_| None).collect();
        let (initial, reserved, vdso) = Default::default();
        SkasSpace { locals: KCell::new(locals), initial, reserved, vdso }
    }

    /// A CPU that has a stub process for the space.
    fn anywhere(&self) -> Option<usize> {
        self.locals.borrow().iter().position(Option::is_some).or(*self.reserved.borrow())
    }

    /// Gives the space a stub process on the current CPU.
    fn take_stub(&self) -> Result<()> {
        let cpu = cpu::current();
        if *self.reserved.borrow() == Some(cpu) {
            self.cancel_reservation();
        }
        let (stub, clear) = Stub::take()?;
        self.cancel_reservation();
        let mut batch = self.initial.take();
        batch.prepend(clear.chain(self.vdso.borrow().orders()));
        self.locals.borrow_mut()[cpu] = Some(Local { stub, batch, in_user: false, in_batch: false });
        Ok(())
    }

    /// The orders that the current CPU's stub process must carry out before user code runs, with or
    /// without the time stamp counter.
    fn next_batch(&self, timestamps: bool) -> Result<Option<(StubHandle, Batch)>> {
        let cpu = cpu::current();
        let mut locals = self.locals.borrow_mut();
        let Some(local) = &mut locals[cpu] else { return Ok(None) };
        if local.stub.timestamps != timestamps {
            local.batch.push(Order::timestamps(timestamps), true);
            // If the order fails, the process is discarded.
            local.stub.timestamps = timestamps;
        }
        if !local.batch.is_urgent() {
            return Ok(None);
        }
        local.in_batch = true;
        let batch = std::mem::take(&mut local.batch);
        if let Some(state) = &local.stub.loaded {
            state.borrow_mut().save_regs(local.stub.tracee)?;
        }
        Ok(Some((local.stub.handle(), batch)))
    }

    /// Lets go of the stub process that was put aside: the space has one, or needs none.
    fn cancel_reservation(&self) {
        if let Some(cpu) = self.reserved.take() {
            Stub::unreserve(cpu);
        }
    }

    /// Gives an order to the stub processes of CPUs other than the current one.
    fn push_elsewhere(&self, order: Order) {
        let cpu = cpu::current();
        for (number, local) in self.locals.borrow_mut().iter_mut().enumerate() {
            if let Some(local) = local
                && number != cpu
            {
                local.batch.push(order, true);
                // None of the space's threads may run there for long. All is taken away then, and
                // what is used comes back by faults.
                if local.batch.orders.len() >= PUT_OFF && !local.in_user {
                    local.batch = Batch::urgent(clear_orders().chain(self.vdso.borrow().orders()).collect());
                }
            }
        }
    }

    fn push_restriction(&self, range: PageRange, order: Order) {
        self.with_batch_here(|batch| batch.push_restriction(range, order));
    }

    fn with_batch_here(&self, with: impl FnOnce(&mut Batch)) {
        let mut locals = self.locals.borrow_mut();
        let mut initial = self.initial.borrow_mut();
        let runs_somewhere = locals.iter().any(Option::is_some);
        let batch = match &mut locals[cpu::current()] {
            Some(local) => &mut local.batch,
            // Running on another CPU already: a fault will bring the mapping here.
            None if runs_somewhere => return,
            None => &mut initial,
        };
        with(batch);
    }
}

/// Has a batch carried out, without the big lock: it takes as long as the host needs to change
/// mappings, and concerns the current CPU alone. Returns whether an interrupt came.
fn carry_out(handle: &StubHandle, batch: Batch) -> Result<bool> {
    // Its files end under the lock.
    let mut batch = batch;
    lock::without(|| handle.carry_out(&mut batch.orders))
}

impl Drop for SkasSpace {
    fn drop(&mut self) {
        self.cancel_reservation();
        for local in self.locals.take().into_iter().flatten() {
            local.stub.put_back();
        }
    }
}

impl ModelSpace for SkasSpace {
    fn reserve(&self) -> Result<()> {
        let cpu = Stub::reserve()?;
        *self.reserved.borrow_mut() = Some(cpu);
        Ok(())
    }

    fn map(&self, mapping: Mapping, when: When) {
        count(|c| &c.maps, 1);
        self.vdso.borrow_mut().unmapped(mapping.range);
        if when != When::Refill {
            self.push_elsewhere(Order::unmap(mapping.range));
        }
        self.with_batch_here(|batch| batch.push_mapping(&mapping, when == When::Lazy));
    }

    fn unmap(&self, range: PageRange) {
        count(|c| &c.unmaps, 1);
        self.vdso.borrow_mut().unmapped(range);
        let order = Order::unmap(range);
        self.push_elsewhere(order);
        self.push_restriction(range, order);
    }

    fn protect(&self, range: PageRange, prot: Prot) {
        count(|c| &c.protects, 1);
        self.vdso.borrow_mut().protected(range, prot);
        let (vdso, others) = vdso::split(range);
        for range in others.into_iter().flatten() {
            // Elsewhere, the parts that are mapped are brought back by faults, with the new rights.
            self.push_elsewhere(Order::unmap(range));
            self.push_restriction(range, Order::protect(range, prot));
        }
        if let Some(range) = vdso {
            // No fault brings the vDSO back.
            let order = Order::protect(range, prot);
            self.push_elsewhere(order);
            self.push_restriction(range, order);
        }
    }

    fn sync(&self) {
        let cpu = cpu::current();
        let mut kicked = false;
        loop {
            let waiting_for: Option<usize> = self
                .locals
                .borrow()
                .iter()
                .enumerate()
                .find(|(number, local)| {
                    *number != cpu && local.as_ref().is_some_and(|l| l.in_user && l.batch.is_urgent())
                })
                .map(|(number, _)| number);
            let Some(other) = waiting_for else { return };
            if !kicked {
                count(|c| &c.shootdowns, 1);
                cpu::kick(other);
                kicked = true;
            }
            lock::without(std::thread::yield_now);
            if cpu::current() != cpu {
                return;
            }
        }
    }

    fn audit(&self) -> Vec<HostView> {
        let locals = self.locals.borrow();
        let mut views: Vec<HostView> = locals
            .iter()
            .flatten()
            .filter(|local| !local.in_batch)
            .filter_map(|local| {
                let mut view = local.stub.view()?;
                local.batch.orders.iter().for_each(|order| order.apply(&mut view));
                Some(view)
            })
            .collect();
        // What the first process will be told to show.
        let mut first = HostView::default();
        self.initial.borrow().orders.iter().for_each(|order| order.apply(&mut first));
        views.push(first);
        views
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl UserSpace for SkasSpace {
    /// Sees to it that the current CPU has a stub process that has carried out its urgent orders,
    /// and that no other CPU runs user code with mappings that were taken away. The big lock is
    /// dropped meanwhile. Returns a trap in the place of user mode's, if there is one.
    fn prepare(&self, timestamps: bool) -> Result<Option<Trap>> {
        self.sync();
        let mut interrupted = false;
        if self.locals.borrow()[cpu::current()].is_none() {
            match self.take_stub() {
                // There is one elsewhere already, or one is put aside.
                Err(Errno::EAGAIN | Errno::ENOMEM) if let Some(cpu) = self.anywhere() => {
                    return Ok(Some(Trap::Migrate { cpu }));
                }
                result => result?,
            }
        }
        // More may be ordered by threads on other CPUs while these are carried out.
        while let Some((handle, batch)) = self.next_batch(timestamps)? {
            let result = carry_out(&handle, batch);
            if let Some(local) = &mut self.locals.borrow_mut()[cpu::current()] {
                local.in_batch = false;
            }
            interrupted |= result?;
        }
        Ok(interrupted.then_some(Trap::Interrupt))
    }

    fn with_process(&self, with: &mut dyn FnMut(Tracee, &mut Loaded) -> Result<()>) -> Result<()> {
        let mut locals = self.locals.borrow_mut();
        let local = locals[cpu::current()].as_mut().ok_or(Errno::ESRCH)?;
        with(local.stub.tracee, &mut local.stub.loaded)
    }

    fn enter(&self) -> Result<Entry> {
        if let Some(local) = &mut self.locals.borrow_mut()[cpu::current()] {
            local.in_user = true;
        }
        Ok(Entry::Resume)
    }

    fn put_off(&self, _: Entry) {}

    fn left(&self) {
        if let Some(local) = &mut self.locals.borrow_mut()[cpu::current()] {
            local.in_user = false;
        }
    }

    fn access(&self, _: Tracee) -> Option<Access> {
        None
    }

    /// Ends the current CPU's stub process, which the host has broken or killed.
    fn discard(&self) {
        let cpu = cpu::current();
        let local = self.locals.borrow_mut()[cpu].take();
        if let Some(mut local) = local {
            local.stub.forget_thread();
            local.stub.end();
        }
    }
}
