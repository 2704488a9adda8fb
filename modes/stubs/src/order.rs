//! Orders: changes of a stub process, which the process makes itself: of its address space, and of
//! whether it may read the time stamp counter.
//!
//! An order is a host system call. One that changes a guest's mappings is made of a [`PageRange`],
//! so it names at least one page, and only such as are the guest's. The stub reads its orders from
//! pages that only the core can write, and that guests can read: they hold nothing while user code
//! runs.

use crate::{ORDERS, SLOTS, clear_orders};
use umlab_host::{Errno, Result};
use umlab_model::{HostMap, HostView, PageRange, Prot};

/// Stands where the next order would be.
pub const END: u64 = u64::MAX;

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

    /// Empties the place of the slots, for models that have none.
    pub fn no_slots() -> Order {
        Order([libc::SYS_munmap as u64, SLOTS, ORDERS - SLOTS, 0, 0, 0, 0])
    }

    /// Makes a thread that shares all with the one that carries it out.
    pub fn thread() -> Order {
        let flags = libc::CLONE_VM
            | libc::CLONE_FS
            | libc::CLONE_FILES
            | libc::CLONE_SIGHAND
            | libc::CLONE_THREAD
            | libc::CLONE_SYSVSEM;
        Order([libc::SYS_clone as u64, flags as u64, 0, 0, 0, 0, 0])
    }

    /// Makes a process like the one that carries it out, whose parent is the same. Its number is
    /// written at an address there.
    pub fn process(number: u64) -> Order {
        let flags = libc::CLONE_PARENT | libc::CLONE_FILES | libc::CLONE_PARENT_SETTID | libc::SIGCHLD;
        Order([libc::SYS_clone as u64, flags as u64, 0, number, 0, 0, 0])
    }

    /// The words that the stub reads.
    pub fn words(&self) -> [u64; 7] {
        self.0
    }

    /// First address, and one past the last one, of what it changes.
    pub fn range(&self) -> (u64, u64) {
        match self.0[0] as i64 {
            libc::SYS_prctl | libc::SYS_clone => (0, 0),
            _ => (self.0[1], self.0[1] + self.0[2]),
        }
    }

    /// Whether it leaves something mapped in a range.
    pub fn maps_some_of(&self, range: PageRange) -> bool {
        let (start, end) = self.range();
        self.0[0] == libc::SYS_mmap as u64 && start < range.end() && range.start() < end
    }

    pub fn unmaps_all_of(&self, range: PageRange) -> bool {
        let (start, end) = self.range();
        self.0[0] == libc::SYS_munmap as u64 && start <= range.start() && range.end() <= end
    }

    /// Whether it maps all of a range.
    pub(crate) fn maps_all_of(&self, range: PageRange) -> bool {
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
            libc::SYS_prctl | libc::SYS_clone => {}
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

/// How a batch of orders went.
pub struct Outcome {
    /// The index and the error of the order that failed, if one did.
    pub failed: Option<(usize, Errno)>,
    /// An interrupt came meanwhile.
    pub interrupted: bool,
}

/// Has all `orders` carried out, `most` at a time by `run_batch`, which stops at the first that
/// fails. Returns whether an interrupt came meanwhile.
///
/// # Errors
/// The process is gone, or cannot obey: it must not run user code any more.
pub fn carry_out(
    orders: &mut [Order],
    most: usize,
    mut run_batch: impl FnMut(&[Order]) -> Result<Outcome>,
) -> Result<bool> {
    let mut interrupted = false;
    let mut done = 0;
    // The order for which everything was taken away.
    let mut emptied_for = None;
    while done < orders.len() {
        let chunk = &orders[done..orders.len().min(done + most)];
        let outcome = run_batch(chunk)?;
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
        // There may be as many mappings as the host allows one process: then all are taken away,
        // and faults bring back what is used.
        if error == Errno::ENOMEM && emptied_for != Some(done) {
            emptied_for = Some(done);
            let outcome = run_batch(&clear_orders().collect::<Vec<_>>())?;
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
