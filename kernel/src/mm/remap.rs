//! Growing and moving what is mapped: mremap(2). Showing another part of it: remap_file_pages(2).

use super::map::{MapRequest, Soon};
use super::space::{AddressSpace, Inner, USER_BOTTOM, max_areas};
use super::vma::{Totals, Vma, VmaFlags, is_aligned, round_up};
use crate::sched::model;
use crate::{Errno, Result};
use umlab_model::{PAGE_SIZE, PageRange};

impl AddressSpace {
    /// mremap(2).
    pub fn mremap(&self, addr: u64, old_len: u64, new_len: u64, flags: i32, new_addr: u64) -> Result<u64> {
        const KNOWN: i32 = abi::MREMAP_MAYMOVE | abi::MREMAP_FIXED | abi::MREMAP_DONTUNMAP;
        let may_move = flags & abi::MREMAP_MAYMOVE != 0;
        let fixed = flags & abi::MREMAP_FIXED != 0;
        let keep = flags & abi::MREMAP_DONTUNMAP != 0;
        let top = model().user_top();
        if flags & !KNOWN != 0 || !is_aligned(addr) || ((fixed || keep) && !may_move) {
            return Err(Errno::EINVAL);
        }
        let old_len = round_up(old_len).ok_or(Errno::EINVAL)?;
        let new_len = round_up(new_len).ok_or(Errno::EINVAL)?;
        if new_len == 0 || (keep && old_len != new_len) || new_len > top {
            return Err(Errno::EINVAL);
        }
        // Without MREMAP_FIXED, MREMAP_DONTUNMAP takes the address as a hint, which has to make
        // sense all the same.
        if fixed || keep {
            let overlaps = addr < new_addr.saturating_add(new_len) && new_addr < addr.saturating_add(old_len);
            if !is_aligned(new_addr) || new_addr > top - new_len || overlaps {
                return Err(Errno::EINVAL);
            }
        }
        if fixed && new_addr < USER_BOTTOM {
            return Err(Errno::EPERM);
        }
        let mut inner = self.inner.borrow_mut();
        let first = inner.vmas.find(addr).ok_or(Errno::EFAULT)?.clone();
        if old_len == 0 && !first.is_shared() {
            return Err(Errno::EINVAL);
        }
        let old_end = addr.checked_add(old_len).ok_or(Errno::EINVAL)?;
        let old = PageRange::new(addr, old_end);
        if first.is_model_owned() || old.is_some_and(|old| inner.vmas.overlapping(old).any(Vma::is_model_owned)) {
            return Err(Errno::EINVAL);
        }
        if !fixed && !keep && new_len <= old_len {
            if PageRange::new(addr + new_len, old_end).is_some_and(|less| !inner.vmas.may_remove(less)) {
                return Err(Errno::ENOMEM);
            }
            if let Some(less) = PageRange::new(addr + new_len, old_end) {
                self.take_out(&mut inner, less)?;
            }
            return Ok(addr);
        }
        // Several areas at once can only be moved as they are, to a place that the caller has
        // chosen.
        if addr + old_len.min(new_len) > first.end() && (new_len != old_len || !fixed) {
            return Err(Errno::EFAULT);
        }
        // With the old place kept, all of it is new.
        let added = if keep { new_len } else { new_len.saturating_sub(old_len) };
        if let Some(range) = PageRange::with_len(0, added) {
            let more = Totals::of(&Vma { range, ..first.clone() });
            if !keep {
                inner.may_lock_more(more)?;
            }
            inner.may_grow(more)?;
        }
        if new_len > old_len && new_len - old_len > super::frames::limit() && !first.is_shared() {
            return Err(Errno::ENOMEM);
        }
        if !fixed
            && !keep
            && old_len > 0
            && old_end == first.end()
            && let Some(range) = PageRange::new(old_end, addr.saturating_add(new_len))
            && inner.vmas.is_free(range)
        {
            let more = Vma { range, offset: first.offset_of(old_end), ..first };
            self.put_in(&mut inner, more, Soon::Later)?;
            return Ok(addr);
        }
        // Cutting the area at both ends, and the new one.
        if !may_move || inner.vmas.len() + 3 >= max_areas() {
            return Err(Errno::ENOMEM);
        }
        let target = if fixed {
            PageRange::with_len(new_addr, new_len).ok_or(Errno::EINVAL)?
        } else {
            self.choose(&inner, if keep { new_addr } else { 0 }, new_len)?
        };
        // Nothing moves when a shared mapping is made a second time (`old_len` 0).
        let Some(from) = PageRange::with_len(addr, old_len.min(new_len)) else {
            if fixed {
                self.take_out(&mut inner, target)?;
                // It may have been the mapping itself.
                inner.vmas.find(addr).ok_or(Errno::EFAULT)?;
            }
            let again = Vma { range: target, offset: first.offset_of(addr), ..first };
            inner.vmas.insert(again.clone());
            self.map_again(&mut inner, &again);
            return Ok(target.start());
        };
        let parts: Vec<Vma> = inner.vmas.within(from).collect();
        let grown = new_len.saturating_sub(old_len);
        for part in parts {
            let start = part.start() - addr + target.start();
            let to = PageRange::with_len(start, part.len() + grown).expect("within the target");
            // Where nothing comes from, what is at the target stays.
            if fixed {
                self.take_out(&mut inner, to)?;
            }
            self.move_area(&mut inner, &part, to, keep);
        }
        // Last: where the target cannot be had, the source stays whole.
        if fixed && let Some(less) = PageRange::new(addr.saturating_add(new_len), old_end) {
            self.take_out(&mut inner, less)?;
        }
        Ok(target.start())
    }

    /// remap_file_pages(2): from `addr` on, shows the pages from `first` on of what a shared
    /// mapping there shows. As on Linux since 4.0, the range becomes an area of its own.
    ///
    /// # Errors
    /// EINVAL for an empty or wrapping range, or one that is not mapped alike; as mmap(2) for the
    /// rest.
    pub fn remap_file_pages(&self, addr: u64, len: u64, first: u64, flags: i32) -> Result<()> {
        let (addr, len) = (addr & !(PAGE_SIZE - 1), len & !(PAGE_SIZE - 1));
        if addr.checked_add(len).is_none_or(|end| end <= addr) || first.checked_add(len / PAGE_SIZE).is_none() {
            return Err(Errno::EINVAL);
        }
        let range = PageRange::with_len(addr, len).ok_or(Errno::EINVAL)?;
        let Vma { prot, flags: vma_flags, backing, file, .. } = {
            let inner = self.inner.borrow();
            let area = inner.vmas.find(addr).ok_or(Errno::EINVAL)?;
            let is_writable_sharing = area.is_shared() && !area.flags.contains(VmaFlags::NOWRITE);
            let alike =
                |other: &Vma| other.backing.same(&area.backing) && (other.flags, other.prot) == (area.flags, area.prot);
            if !is_writable_sharing || !inner.vmas.covers(range) || !inner.vmas.overlapping(range).all(alike) {
                return Err(Errno::EINVAL);
            }
            area.clone()
        };
        let offset = first.checked_mul(PAGE_SIZE).ok_or(Errno::EOVERFLOW)?;
        offset.checked_add(len).ok_or(Errno::EOVERFLOW)?;
        let locked = if vma_flags.contains(VmaFlags::LOCKED) { abi::MAP_LOCKED } else { 0 };
        let flags = flags & abi::MAP_NONBLOCK | abi::MAP_SHARED | abi::MAP_FIXED | abi::MAP_POPULATE | locked;
        let request = MapRequest { addr, len, prot: prot.bits(), flags, file: file.clone(), offset };
        self.place(&request, prot, backing, file, vma_flags).map(|_| ())
    }

    /// Moves an area, or a part of one, to a range where nothing is and which may be longer. With
    /// `keep` the area stays where it was, without its pages.
    fn move_area(&self, inner: &mut Inner, part: &Vma, to: PageRange, keep: bool) {
        let from = part.range;
        let moved = inner.pages.remove(from.first_page(), from.end_page());
        if !keep {
            inner.vmas.remove(from);
        } else if part.flags.contains(VmaFlags::LOCKED) {
            // The lock goes along.
            let _ = inner.vmas.change(from, |vma| vma.flags -= VmaFlags::LOCKED | VmaFlags::LOCK_ON_FAULT);
        }
        if !part.prot.is_empty() {
            self.host.unmap(from);
        }
        let vma = Vma { range: to, ..part.clone() };
        inner.vmas.insert(vma.clone());
        for (page, run) in moved {
            inner.pages.insert(page - from.first_page() + to.first_page(), run);
        }
        self.map_again(inner, &vma);
    }
}
