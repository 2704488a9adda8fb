//! Orders: changes of a stub process, which the process makes itself: of its address space, and of
//! whether it may read the time stamp counter.
//!
//! An order is a host system call. One that changes the address space is made of a [`PageRange`],
//! so it names at least one page, and only such as are the guest's. The stub reads its orders from
//! pages that only the core can write, and that guests can read: they hold nothing while user code
//! runs.
//!
//! Whether a used stub process may serve another guest process is a matter of what it was ever told
//! to change. So that is noted here, where every order passes, and nowhere else.

use crate::cpu::count;
use crate::stub::{CODE, ORDERS, Stub, USER_CS, USER_DS};
use crate::vdso;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use umlab_host::memory::{PAGE, SharedMemory};
use umlab_host::ptrace::{Regs, Resume, Status, Tracee};
use umlab_host::{Errno, Result};
use umlab_model::{HostMap, HostView, PageRange, Prot};

/// So many pages hold a batch of orders.
pub const PAGES: usize = 4;
/// As many orders go into one batch at most.
pub const MAX: usize = PAGES * PAGE / size_of::<Order>() - 1;
/// Stands where the next order would be.
const END: u64 = u64::MAX;

/// A host system call for the stub to make: number and arguments.
#[derive(Clone, Copy, Debug)]
pub struct Order([u64; 7]);

impl Order {
    pub fn map(range: PageRange, prot: Prot, host: &HostMap) -> Order {
        let flags = (host.flags | libc::MAP_FIXED) as u64;
        let (prot, fd) = (u64::from(prot.bits()), host.fd as u64);
        Order([libc::SYS_mmap as u64, range.start(), range.len(), prot, flags, fd, host.offset])
    }

    pub fn unmap(range: PageRange) -> Order {
        Order([libc::SYS_munmap as u64, range.start(), range.len(), 0, 0, 0, 0])
    }

    pub fn protect(range: PageRange, prot: Prot) -> Order {
        Order([libc::SYS_mprotect as u64, range.start(), range.len(), u64::from(prot.bits()), 0, 0, 0])
    }

    /// Moves one of the core's mappings, which a stub process has at first, to a place of the
    /// guest's.
    pub fn adopt(start: u64, len: u64, place: u64) -> Order {
        let flags = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
        Order([libc::SYS_mremap as u64, start, len, len, flags, place, 0])
    }

    /// Lets the instructions that read the time stamp counter work, or fault.
    pub fn timestamps(on: bool) -> Order {
        let setting = if on { libc::PR_TSC_ENABLE } else { libc::PR_TSC_SIGSEGV };
        Order([libc::SYS_prctl as u64, libc::PR_SET_TSC as u64, setting as u64, 0, 0, 0, 0])
    }

    /// First address, and one past the last one, of what it changes.
    fn range(&self) -> (u64, u64) {
        if self.0[0] == libc::SYS_prctl as u64 {
            return (0, 0);
        }
        (self.0[1], self.0[1] + self.0[2])
    }

    /// Whether it leaves something mapped in a range.
    fn maps_some_of(&self, range: PageRange) -> bool {
        let (start, end) = self.range();
        self.0[0] == libc::SYS_mmap as u64 && start < range.end() && range.start() < end
    }

    fn unmaps_all_of(&self, range: PageRange) -> bool {
        let (start, end) = self.range();
        self.0[0] == libc::SYS_munmap as u64 && start <= range.start() && range.end() <= end
    }

    /// Whether it maps all of a range.
    pub fn maps_all_of(&self, range: PageRange) -> bool {
        let (start, end) = self.range();
        self.0[0] == libc::SYS_mmap as u64 && start <= range.start() && range.end() <= end
    }

    /// What it will change, for the audit.
    pub fn apply(&self, view: &mut HostView) {
        let Order([call, start, len, prot, flags, fd, offset]) = *self;
        let prot = Prot::from_bits_truncate(prot as u32);
        match call as i64 {
            libc::SYS_mmap => view.map(start, len, prot, flags as i32, fd as i32, offset),
            libc::SYS_munmap => view.unmap(start, len),
            libc::SYS_prctl => {}
            _ => view.protect(start, len, prot),
        }
    }

    /// The order to give in the place of one that the host refused, if that does as well.
    fn instead(&self, error: Errno) -> Option<Order> {
        // Parts of the range are not mapped. Faults bring the others back with the new rights.
        let skips = self.0[0] == libc::SYS_mprotect as u64 && error == Errno::ENOMEM;
        skips.then(|| Order([libc::SYS_munmap as u64, self.0[1], self.0[2], 0, 0, 0, 0]))
    }
}

/// The pages that a stub process takes its orders from.
pub struct OrderPages {
    memory: SharedMemory,
    /// An order carried out changed the vDSO, or may have.
    vdso_changed: AtomicBool,
    /// An order mapped something above the vDSO, or may have, and none has emptied that part since.
    used_above_vdso: AtomicBool,
}

impl OrderPages {
    /// Pages for a new process, with the orders by which it prepares itself.
    pub fn new(first: &[Order]) -> Result<OrderPages> {
        let memory = SharedMemory::new(c"umlab-orders", PAGES * PAGE)?;
        let pages = OrderPages { memory, vdso_changed: false.into(), used_above_vdso: false.into() };
        pages.write(first)?;
        Ok(pages)
    }

    /// The descriptor to map them by.
    pub fn fd(&self) -> i32 {
        self.memory.fd().as_raw_fd()
    }

    /// The orders that empty what its process has of the guest's part, but for the vDSO.
    pub fn clear_orders(&self) -> impl Iterator<Item = Order> + use<> {
        let [below, above] = Stub::guest_parts();
        let above = above.filter(|_| self.used_above_vdso.load(Relaxed));
        below.into_iter().chain(above).map(Order::unmap)
    }

    /// Keeps in mind what orders change for who has the process next: before they are carried out,
    /// and when all of them were.
    fn note(&self, orders: &[Order], done: bool) {
        // Nearly all orders are about what lies below.
        if vdso::place().is_none_or(|vdso| orders.iter().all(|order| order.range().1 <= vdso.data)) {
            return;
        }
        if orders.iter().any(|order| vdso::overlaps(order.range())) {
            self.vdso_changed.store(true, Relaxed);
        }
        let Some(above) = vdso::above() else { return };
        for order in orders {
            if order.maps_some_of(above) {
                self.used_above_vdso.store(true, Relaxed);
            } else if done && order.unmaps_all_of(above) {
                self.used_above_vdso.store(false, Relaxed);
            }
        }
    }

    /// Whether the vDSO is as it was made.
    pub fn vdso_is_whole(&self) -> bool {
        !self.vdso_changed.load(Relaxed)
    }

    fn write(&self, orders: &[Order]) -> Result<()> {
        assert!(orders.len() <= MAX);
        let size = size_of::<Order>();
        for (i, order) in orders.iter().enumerate() {
            self.memory.window(i * size, size).write(order.0.map(u64::to_ne_bytes).as_flattened())?;
        }
        self.memory.window(size_of_val(orders), 8).write(&END.to_ne_bytes())?;
        Ok(())
    }

    /// Takes away what guests must not read: where others have their memory, and what it is to the
    /// host.
    pub fn wipe(&self, orders: usize) {
        self.memory.window(0, orders * size_of::<Order>() + size_of_val(&END)).zero();
    }
}

/// A stub process as somebody who carries out orders, when the big lock is not held.
pub struct StubHandle {
    pub tracee: Tracee,
    pub pages: Arc<OrderPages>,
}

/// How a batch of orders went.
struct Outcome {
    /// The index and the error of the order that failed, if one did.
    failed: Option<(usize, Errno)>,
    interrupted: bool,
}

impl StubHandle {
    /// Has the process carry out all `orders`. The thread state in it is overwritten: the caller
    /// has read its registers and writes them again. Returns whether an interrupt came meanwhile.
    pub fn carry_out(&self, orders: &mut [Order]) -> Result<bool> {
        let mut interrupted = false;
        let mut done = 0;
        // The order for which everything was taken away.
        let mut emptied_for = None;
        while done < orders.len() {
            let chunk = &orders[done..orders.len().min(done + MAX)];
            let outcome = self.run_batch(chunk)?;
            interrupted |= outcome.interrupted;
            let Some((index, error)) = outcome.failed else {
                done += chunk.len();
                continue;
            };
            done += index;
            let order = &mut orders[done];
            if let Some(instead) = order.instead(error) {
                *order = instead;
                continue;
            }
            // There may be as many mappings as the host allows one process: then all are taken
            // away, and faults bring back what is used.
            if error == Errno::ENOMEM && emptied_for != Some(done) {
                emptied_for = Some(done);
                let outcome = self.run_batch(&Stub::clear_orders().collect::<Vec<_>>())?;
                interrupted |= outcome.interrupted;
                if outcome.failed.is_none() {
                    continue;
                }
            }
            umlab_model::log_few!(Error, "the host refused to change a guest's mappings ({order:x?}): {error}");
            return Err(error);
        }
        Ok(interrupted)
    }

    /// Has the process carry out at most `MAX` orders, up to the first that fails.
    fn run_batch(&self, orders: &[Order]) -> Result<Outcome> {
        count(|c| &c.order_stops, 1);
        count(|c| &c.orders, orders.len() as u64);
        self.pages.note(orders, false);
        self.pages.write(orders)?;
        let interrupted = self.run();
        self.pages.wipe(orders.len());
        let interrupted = interrupted?;
        let stopped = self.tracee.rbx()?;
        let done = (stopped.wrapping_sub(ORDERS) / size_of::<Order>() as u64) as usize;
        let failed =
            if done < orders.len() { Some((done, Errno::from_raw(self.tracee.regs()?.rax as i32))) } else { None };
        if failed.is_none() {
            self.pages.note(orders, true);
        }
        Ok(Outcome { failed, interrupted })
    }

    /// Lets the stub's code run until its breakpoint. Returns whether an interrupt came.
    fn run(&self) -> Result<bool> {
        // SAFETY: all-zero is a valid register set.
        let mut regs: Regs = unsafe { std::mem::zeroed() };
        regs.rip = CODE;
        regs.rbx = ORDERS;
        regs.cs = USER_CS;
        regs.ss = USER_DS;
        regs.eflags = 0x202;
        // No system call to restart.
        regs.orig_rax = u64::MAX;
        self.tracee.set_regs(&regs)?;
        let mut interrupted = false;
        self.tracee.resume(Resume::Cont)?;
        loop {
            match self.tracee.wait() {
                Ok(Status::Signal(libc::SIGTRAP)) => return Ok(interrupted),
                Ok(Status::Signal(libc::SIGALRM)) => {
                    interrupted = true;
                    self.tracee.resume(Resume::Cont)?;
                }
                Ok(Status::Signal(signal @ (libc::SIGSEGV | libc::SIGILL | libc::SIGBUS | libc::SIGSYS))) => {
                    umlab_model::log_few!(Error, "a stub process got signal {signal} while it carried out orders");
                    return Err(Errno::EFAULT);
                }
                Ok(Status::Signal(_) | Status::Syscall) => self.tracee.resume(Resume::Cont)?,
                Ok(Status::Exited(_) | Status::Killed(_)) => return Err(Errno::ESRCH),
                Err(Errno::EINTR) => interrupted = true,
                Err(e) => return Err(e),
            }
        }
    }
}
