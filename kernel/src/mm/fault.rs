//! Faults of user code: what is brought in, and what is refused.

use super::frames::{Fill, Frames, frame_count};
use super::limits::stack_limit;
use super::space::{AddressSpace, Inner, USER_BOTTOM, run_range};
use super::vma::{Backing, Totals, Vma, VmaFlags, page_of};
use abi::number::to_usize;
use umlab_model::{Access, Fault, PAGE_SIZE, PageRange, Prot, When};

/// The most pages that a fault on private memory brings in: where nothing is near, and where memory
/// goes on.
const FIRST_CHUNK: u64 = 16;
pub(super) const CHUNK: u64 = 64;
/// Pages copied at a fault on copy-on-write memory.
const COPY_RUN: u64 = 16;

fn one_page(page: u64) -> PageRange {
    PageRange::of_pages(page, page + 1).expect("a page of an area")
}

/// How many pages a fault at `page` brings in of the hole around it, in aligned chunks, so that
/// neighbours meet. Memory that is touched for the first time comes a little at a time; where it
/// goes on from what is there already, by long strides.
fn stride(inner: &Inner, hole: PageRange, page: u64, first: u64) -> u64 {
    let goes_on = hole.first_page() == page && inner.pages.find(page.wrapping_sub(1)).is_some();
    if goes_on { CHUNK } else { first }
}

/// What a fault that cannot be resolved means to the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadAccess {
    /// SIGSEGV, SEGV_MAPERR: nothing is mapped there.
    Unmapped,
    /// SIGSEGV, SEGV_ACCERR: the area does not allow the access.
    Refused,
    /// SIGBUS, BUS_ADRERR: past the end of the file.
    PastEnd,
    /// No memory left for it.
    OutOfMemory,
}

/// Where a thread was last refused an access that the area might allow, and how the areas were
/// then.
#[derive(Default)]
pub struct LastRefusal(Option<(u64, u64)>);

impl AddressSpace {
    /// Resolves a fault of user code at `addr`. `last` is the thread's own, between its faults.
    pub fn fault(&self, fault: &Fault, last: &mut LastRefusal) -> std::result::Result<(), BadAccess> {
        let addr = fault.addr;
        let mut inner = self.inner.borrow_mut();
        if inner.vmas.find(addr).is_none() {
            self.grow_down(&mut inner, addr)?;
        }
        let vma = inner.vmas.find(addr).ok_or(BadAccess::Unmapped)?.clone();
        let allowed = match fault.access {
            Some(Access::Write) => vma.prot.contains(Prot::WRITE),
            Some(Access::Exec) => vma.prot.contains(Prot::EXEC),
            Some(Access::Read) | None => !vma.prot.is_empty(),
        };
        if !allowed {
            return Err(BadAccess::Refused);
        }
        let page = page_of(addr);
        let writable = vma.prot.contains(Prot::WRITE);
        // The area allows the access, so whatever the host has there is missing or older than the
        // area: another thread may have changed it since the fault. Only a write to what is mapped
        // without the right to write means more, a copy.
        let copies = !vma.is_shared()
            && writable
            && match inner.pages.find(page) {
                Some((_, run)) => run.host_ro,
                None => true,
            };
        if fault.present && !copies {
            // The host refuses what it has mapped. If that is as the area says, mapping it again
            // changes nothing and the access is refused again, for good.
            let refusal = Some((addr, inner.vmas.changes()));
            if std::mem::replace(&mut last.0, refusal) == refusal {
                return Err(BadAccess::Refused);
            }
        }
        if vma.is_shared() {
            return self.map_backing(&vma, one_page(page), When::Refill).map(drop);
        }
        match inner.pages.find(page) {
            Some((first, run)) => {
                if fault.present && writable && run.host_ro {
                    return self.make_private(&mut inner, &vma, page);
                }
                // The host's mapping is missing: made again, as far as it goes.
                let range =
                    run_range(first, run).common(vma.range).expect("the run holds the page, and so does the area");
                self.map_private(&mut inner, &vma, range, When::Refill);
                Ok(())
            }
            None if matches!(vma.backing, Backing::Anonymous) => self.make_private(&mut inner, &vma, page),
            None => {
                // File contents. A refused access to them in a writable area is the first write.
                if fault.present && writable {
                    return self.make_private(&mut inner, &vma, page);
                }
                let hole = self.hole_around(&inner, &vma, page);
                // What is behind the area may end before the page, which then has no contents.
                let reached = self.map_backing(&vma, hole, When::Refill)?;
                if reached > page { Ok(()) } else { Err(BadAccess::PastEnd) }
            }
        }
    }

    /// The pages around `page` in `vma` that have no private frames.
    fn hole_around(&self, inner: &Inner, vma: &Vma, page: u64) -> PageRange {
        let from = inner.pages.end_before(page).unwrap_or(0).max(vma.range.first_page());
        let to = inner.pages.next_after(page).unwrap_or(u64::MAX).min(vma.range.end_page());
        PageRange::of_pages(from, to).expect("the page itself is in the hole")
    }

    /// Extends an area that grows downwards to hold `addr`.
    pub(super) fn grow_down(&self, inner: &mut Inner, addr: u64) -> std::result::Result<(), BadAccess> {
        // As Linux: not into the gap kept below (256 pages) of the next area, and not beyond
        // RLIMIT_STACK.
        const GUARD: u64 = 256 * PAGE_SIZE;
        let vma = inner.vmas.at_or_after(addr).ok_or(BadAccess::Unmapped)?.clone();
        if !vma.flags.contains(VmaFlags::GROWSDOWN) || addr < USER_BOTTOM {
            return Err(BadAccess::Unmapped);
        }
        let start = addr & !(PAGE_SIZE - 1);
        let limit = stack_limit();
        if vma.end() - start > limit {
            return Err(BadAccess::Unmapped);
        }
        if let Some(below) = inner.vmas.before(start)
            && below.end() + GUARD > start
            && !below.flags.contains(VmaFlags::GROWSDOWN)
            && !below.prot.is_empty()
        {
            return Err(BadAccess::Unmapped);
        }
        // Some more than asked for, so that growth by pages is not a fault a page.
        let floor = inner.vmas.before(start).map_or(USER_BOTTOM, |below| below.end() + GUARD);
        let ahead = start.saturating_sub(16 * PAGE_SIZE).max(floor.min(start)).max(vma.end().saturating_sub(limit));
        for start in [ahead.min(start), start] {
            let range = PageRange::new(start, vma.start()).ok_or(BadAccess::Unmapped)?;
            let more = Vma { range, offset: 0, ..vma.clone() };
            let totals = Totals::of(&more);
            if inner.may_grow(totals).and_then(|()| inner.may_lock_more(totals)).is_ok() {
                inner.vmas.insert(more);
                return Ok(());
            }
        }
        Err(BadAccess::Unmapped)
    }

    /// Gives the address space frames of its own at `page` of a private area, with what is there
    /// now, and maps them writable as far as the area allows.
    pub(super) fn make_private(&self, inner: &mut Inner, vma: &Vma, page: u64) -> std::result::Result<(), BadAccess> {
        let oom = |_| BadAccess::OutOfMemory;
        let (low, high) = (vma.range.first_page(), vma.range.end_page());
        if let Some((first, run)) = inner.pages.find(page) {
            let count = u64::from(run.frames.count());
            let index = frame_count(page - first);
            if !run.frames.is_shared_at(index) {
                // Whoever shared it is gone: it only has to be mapped writable again, with all
                // around it for which that holds too.
                let mut from = index;
                let mut to = index + 1;
                while from > 0 && !run.frames.is_shared_at(from - 1) {
                    from -= 1;
                }
                while to < run.frames.count() && !run.frames.is_shared_at(to) {
                    to += 1;
                }
                let from = (first + u64::from(from)).max(low);
                let to = (first + u64::from(to)).min(high);
                for (_, run) in inner.pages.within_mut(from, to) {
                    run.host_ro = false;
                }
                self.host.protect(PageRange::of_pages(from, to).expect("the page itself is in it"), vma.prot);
                return Ok(());
            }
            let from = page.saturating_sub(page % COPY_RUN).max(first).max(low);
            let to = (page - page % COPY_RUN + COPY_RUN).min(first + count).min(high);
            let (from, to, new) = frames_for(page, from, to, Fill::Garbage)?;
            let len = to_usize((to - from) * PAGE_SIZE);
            let old = run.frames.window(to_usize((from - first) * PAGE_SIZE), len);
            new.window(0, len).copy_from(&old).map_err(oom)?;
            let replaced = inner.pages.remove(from, to);
            self.put_pages(inner, vma, from, new, When::Now, COPY_RUN);
            inner.garbage.extend(replaced);
            return Ok(());
        }
        if matches!(vma.backing, Backing::Anonymous) {
            let hole = self.hole_around(inner, vma, page);
            // Growth downwards takes what lies below.
            let size = stride(inner, hole, page, FIRST_CHUNK);
            let chunk = page - page % size;
            let (from, to) = (hole.first_page().max(chunk), hole.end_page().min(chunk + size));
            let (from, _, frames) = frames_for(page, from, to, Fill::Zero)?;
            // Nothing was ever mapped here.
            self.put_pages(inner, vma, from, frames, When::Refill, CHUNK);
            return Ok(());
        }
        let hole = self.hole_around(inner, vma, page);
        let size = if vma.copies_ahead() { stride(inner, hole, page, COPY_RUN) } else { 1 };
        let chunk = page - page % size;
        let (from, to) = (hole.first_page().max(chunk), hole.end_page().min(chunk + size));
        let (from, to, frames) = frames_for(page, from, to, Fill::Garbage)?;
        let frames = self.copy_of_backing(vma, (from, to), frames)?;
        if page >= from + u64::from(frames.count()) {
            return Err(BadAccess::PastEnd);
        }
        self.put_pages(inner, vma, from, frames, When::Now, CHUNK);
        Ok(())
    }
}

/// New frames for the pages [from, to), and which of them they are for: when memory is nearly used
/// up, only for `page`, at which the fault is.
fn frames_for(page: u64, from: u64, to: u64, fill: Fill) -> std::result::Result<(u64, u64, Frames), BadAccess> {
    match Frames::alloc(frame_count(to - from), fill) {
        Ok(frames) => Ok((from, to, frames)),
        Err(_) => match Frames::alloc_for_fault(fill) {
            Ok(frames) => Ok((page, page + 1, frames)),
            Err(_) => Err(BadAccess::OutOfMemory),
        },
    }
}
