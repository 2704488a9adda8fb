//! Growing and moving what is mapped: mremap(2).

use super::map::Soon;
use super::space::{AddressSpace, USER_BOTTOM};
use super::vma::{Backing, Run, Vma, is_aligned, page_of, round_up};
use crate::sched::model;
use crate::{Errno, Result};

impl AddressSpace {
    /// mremap(2).
    pub fn mremap(&self, addr: u64, old_len: u64, new_len: u64, flags: i32, new_addr: u64) -> Result<u64> {
        let result = self.do_mremap(addr, old_len, new_len, flags, new_addr);
        self.collect();
        result
    }

    fn do_mremap(&self, addr: u64, old_len: u64, new_len: u64, flags: i32, new_addr: u64) -> Result<u64> {
        const KNOWN: i32 = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
        let may_move = flags & libc::MREMAP_MAYMOVE != 0;
        let fixed = flags & libc::MREMAP_FIXED != 0;
        let keep = flags & libc::MREMAP_DONTUNMAP != 0;
        let top = model().user_top();
        if flags & !KNOWN != 0 || !is_aligned(addr) || ((fixed || keep) && !may_move) {
            return Err(Errno::EINVAL);
        }
        let old_len = round_up(old_len).ok_or(Errno::EINVAL)?;
        let new_len = round_up(new_len).ok_or(Errno::EINVAL)?;
        if new_len == 0 || (keep && old_len != new_len) || new_len > top {
            return Err(Errno::EINVAL);
        }
        if fixed {
            let overlaps = addr < new_addr.saturating_add(new_len) && new_addr < addr.saturating_add(old_len);
            if !is_aligned(new_addr) || new_addr > top - new_len || overlaps {
                return Err(Errno::EINVAL);
            }
            if new_addr < USER_BOTTOM {
                return Err(Errno::EPERM);
            }
        }
        let mut inner = self.inner.borrow_mut();
        let vma = inner.vmas.find(addr).ok_or(Errno::EFAULT)?.clone();
        if old_len == 0 && !vma.is_shared() {
            return Err(Errno::EINVAL);
        }
        let old_end = addr.checked_add(old_len).ok_or(Errno::EINVAL)?;
        if old_end > vma.end {
            return Err(Errno::EFAULT);
        }
        if matches!(vma.backing, Backing::Model(_)) {
            return Err(Errno::EINVAL);
        }
        if !fixed && !keep && new_len <= old_len {
            self.take_out(&mut inner, addr + new_len, old_end, false);
            return Ok(addr);
        }
        let grows_in_place = !fixed
            && !keep
            && old_len > 0
            && old_end == vma.end
            && addr + new_len <= top
            && inner.vmas.overlapping(old_end, addr + new_len).next().is_none();
        if new_len > old_len && new_len - old_len > super::frames::limit() && !vma.is_shared() {
            return Err(Errno::ENOMEM);
        }
        if grows_in_place {
            let more = Vma { start: old_end, end: addr + new_len, offset: vma.offset_of(old_end), ..vma };
            self.put_in(&mut inner, more, Soon::Later)?;
            return Ok(addr);
        }
        if !may_move {
            return Err(Errno::ENOMEM);
        }
        let target = if fixed {
            self.take_out(&mut inner, new_addr, new_addr + new_len, false);
            new_addr
        } else {
            let target = inner.vmas.find_gap(USER_BOTTOM, inner.mmap_top, new_len);
            target.ok_or(Errno::ENOMEM)?
        };
        if fixed && new_len < old_len {
            self.take_out(&mut inner, addr + new_len, old_end, false);
        }
        let moved_len = old_len.min(new_len);
        let moved = inner.pages.remove(page_of(addr), page_of(addr + moved_len));
        if old_len > 0 {
            if !keep {
                inner.vmas.remove(addr, addr + moved_len);
            }
            if !vma.prot.is_empty() {
                self.host_unmap(page_of(addr), page_of(addr + moved_len));
            }
        }
        let offset = vma.offset_of(addr);
        let vma = Vma { start: target, end: target + new_len, offset, ..vma };
        inner.vmas.insert(vma.clone());
        let shift = |page: u64| page - page_of(addr) + page_of(target);
        for (page, run) in moved {
            inner.pages.insert(shift(page), Run { host_ro: run.host_ro, frames: run.frames });
        }
        self.map_again(&mut inner, &vma, page_of(target), page_of(target + new_len));
        Ok(target)
    }
}
