//! Locked memory: mlock(2) and its relatives.
//!
//! The core never swaps guest memory out. So locking means that pages are brought in, and that it
//! is counted and limited.

use super::limits::{may_have_locked, may_lock};
use super::map::touched_len;
use super::space::{AddressSpace, Inner};
use super::vma::{Vma, VmaFlags};
use crate::{Errno, Result};
use umlab_model::{PAGE_SIZE, PageRange};

/// The flags of an area that is locked, the one that has its pages brought in only as they are
/// touched among them.
const LOCKS: VmaFlags = VmaFlags::LOCKED.union(VmaFlags::LOCK_ON_FAULT);

fn locks(on_fault: bool) -> VmaFlags {
    if on_fault { LOCKS } else { VmaFlags::LOCKED }
}

impl AddressSpace {
    /// mlock(2) and mlock2(2). Areas before a hole are locked, then the hole is reported.
    pub fn mlock(&self, addr: u64, len: u64, on_fault: bool) -> Result<()> {
        may_lock()?;
        let Some((range, end)) = range_of(addr, len)? else { return Ok(()) };
        let mut guard = self.inner.borrow_mut();
        let inner = &mut *guard;
        let already: u64 = inner.vmas.within(range).filter(is_locked).map(|vma| vma.len()).sum();
        if !may_have_locked(inner.vmas.totals().locked - already + (end - range.start())) {
            return Err(Errno::ENOMEM);
        }
        set_locks(inner, range, end, locks(on_fault))?;
        drop(guard);
        // What has no contents or allows no access is no memory.
        if on_fault { Ok(()) } else { self.bring_in(range).map_err(|_| Errno::ENOMEM) }
    }

    /// munlock(2).
    pub fn munlock(&self, addr: u64, len: u64) -> Result<()> {
        match range_of(addr, len)? {
            Some((range, end)) => set_locks(&mut self.inner.borrow_mut(), range, end, VmaFlags::empty()),
            None => Ok(()),
        }
    }

    /// mlockall(2), its flags checked.
    pub fn mlockall(&self, flags: i32) -> Result<()> {
        may_lock()?;
        let mut guard = self.inner.borrow_mut();
        let inner = &mut *guard;
        let current = flags & abi::MCL_CURRENT != 0;
        if current && !may_have_locked(inner.vmas.totals().mapped) {
            return Err(Errno::ENOMEM);
        }
        let locks = locks(flags & abi::MCL_ONFAULT != 0);
        inner.new_areas = if flags & abi::MCL_FUTURE != 0 { locks } else { VmaFlags::empty() };
        if !current {
            return Ok(());
        }
        lock_areas(inner, PageRange::everything(), locks)?;
        if locks == VmaFlags::LOCKED {
            let areas: Vec<PageRange> = inner.vmas.iter().map(|vma| vma.range).collect();
            drop(guard);
            // What cannot be brought in is no error here.
            for area in areas {
                let _ = self.bring_in(area);
            }
        }
        Ok(())
    }

    /// munlockall(2).
    pub fn munlockall(&self) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        inner.new_areas = VmaFlags::empty();
        lock_areas(&mut inner, PageRange::everything(), VmaFlags::empty())
    }
}

fn is_locked(vma: &Vma) -> bool {
    vma.flags.contains(VmaFlags::LOCKED)
}

fn lock_areas(inner: &mut Inner, range: PageRange, locks: VmaFlags) -> Result<()> {
    let change = |vma: &mut Vma| {
        // The model's own are always there.
        if !vma.is_model_owned() {
            vma.flags = (vma.flags - LOCKS) | locks;
        }
    };
    inner.vmas.change(range, change).map(drop).map_err(|_| Errno::ENOMEM)
}

/// Locks or unlocks up to the first hole, which is reported; what lies between the range and `end`
/// is one.
fn set_locks(inner: &mut Inner, range: PageRange, end: u64, locks: VmaFlags) -> Result<()> {
    let covered = inner.vmas.covered_to(range);
    if let Some(range) = range.below(covered) {
        lock_areas(inner, range, locks)?;
    }
    if covered == end { Ok(()) } else { Err(Errno::ENOMEM) }
}

/// The pages that a range of bytes reaches into, as far as they are the guest's, and where they
/// end; none of no bytes.
fn range_of(addr: u64, len: u64) -> Result<Option<(PageRange, u64)>> {
    let start = addr & !(PAGE_SIZE - 1);
    let end = start.checked_add(touched_len(addr, len)).ok_or(Errno::EINVAL)?;
    if start == end {
        return Ok(None);
    }
    let range = PageRange::new(start, end.min(PageRange::everything().end())).ok_or(Errno::ENOMEM)?;
    Ok(Some((range, end)))
}
