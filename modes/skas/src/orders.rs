//! How a stub process is given orders: by pages that only the core can write, which its code reads
//! when it is resumed there.

use crate::cpu::count;
use crate::history::History;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use umlab_host::memory::{PAGE, SharedMemory};
use umlab_host::ptrace::{Regs, Resume, Status, Tracee};
use umlab_host::{Errno, Result};
use umlab_stubs::{CODE, END, ORDER_PAGES, ORDERS, Order, Outcome};

/// As many orders go into one batch at most.
const MAX: usize = ORDER_PAGES * PAGE / size_of::<Order>() - 1;

/// The pages that a stub process takes its orders from.
pub struct OrderPages {
    memory: SharedMemory,
    pub history: History,
}

impl OrderPages {
    /// Pages for a new process, with the orders by which it prepares itself.
    pub fn new(first: &[Order]) -> Result<OrderPages> {
        let memory = SharedMemory::new(c"umlab-orders", ORDER_PAGES * PAGE)?;
        let pages = OrderPages { memory, history: History::default() };
        pages.write(first)?;
        Ok(pages)
    }

    /// The descriptor to map them by.
    pub fn fd(&self) -> i32 {
        self.memory.fd().as_raw_fd()
    }

    fn write(&self, orders: &[Order]) -> Result<()> {
        assert!(orders.len() <= MAX);
        let size = size_of::<Order>();
        for (i, order) in orders.iter().enumerate() {
            self.memory.window(i * size, size).write(order.words().map(u64::to_ne_bytes).as_flattened())?;
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

impl StubHandle {
    /// Has the process carry out all `orders`. The thread state in it is overwritten: the caller
    /// has read its registers and writes them again. Returns whether an interrupt came meanwhile.
    pub fn carry_out(&self, orders: &mut [Order]) -> Result<bool> {
        umlab_stubs::carry_out(orders, MAX, |chunk| self.run_batch(chunk))
    }

    /// Has the process carry out at most `MAX` orders, up to the first that fails.
    fn run_batch(&self, orders: &[Order]) -> Result<Outcome> {
        count(|c| &c.order_stops, 1);
        count(|c| &c.orders, orders.len() as u64);
        self.pages.history.note(orders, false);
        self.pages.write(orders)?;
        let interrupted = self.run();
        self.pages.wipe(orders.len());
        let interrupted = interrupted?;
        let stopped = self.tracee.rbx()?;
        let done = (stopped.wrapping_sub(ORDERS) / size_of::<Order>() as u64) as usize;
        let failed =
            if done < orders.len() { Some((done, Errno::from_raw(self.tracee.regs()?.rax as i32))) } else { None };
        if failed.is_none() {
            self.pages.history.note(orders, true);
        }
        Ok(Outcome { failed, interrupted })
    }

    /// Lets the stub's code run until its breakpoint. Returns whether an interrupt came.
    fn run(&self) -> Result<bool> {
        let regs = Regs { rip: CODE, rbx: ORDERS, ..Regs::fresh() };
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
