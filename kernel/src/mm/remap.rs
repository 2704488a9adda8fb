//! Growing and moving what is mapped: mremap(2).

use super::map::Soon;
use super::range::PageRange;
use super::space::{AddressSpace, USER_BOTTOM};
use super::vma::{Backing, Vma, is_aligned, page_of, round_up};
use crate::sched::model;
use crate::{Errno, Result};

impl AddressSpace {
    /// mremap(2).
    pub fn mremap(&self, addr: u64, old_len: u64, new_len: u64, flags: i32, new_addr: u64) -> Result<u64> {
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
        if old_end > vma.end() {
            return Err(Errno::EFAULT);
        }
        if matches!(vma.backing, Backing::Model(_)) {
            return Err(Errno::EINVAL);
        }
        if !fixed && !keep && new_len <= old_len {
            if let Some(less) = PageRange::new(addr + new_len, old_end) {
                self.take_out(&mut inner, less);
            }
            return Ok(addr);
        }
        if new_len > old_len && new_len - old_len > super::frames::limit() && !vma.is_shared() {
            return Err(Errno::ENOMEM);
        }
        if !fixed
            && !keep
            && old_len > 0
            && old_end == vma.end()
            && let Some(range) = PageRange::new(old_end, addr.saturating_add(new_len))
            && inner.vmas.is_free(range)
        {
            let more = Vma { range, offset: vma.offset_of(old_end), ..vma };
            self.put_in(&mut inner, more, Soon::Later)?;
            return Ok(addr);
        }
        if !may_move {
            return Err(Errno::ENOMEM);
        }
        let target = if fixed {
            PageRange::with_len(new_addr, new_len).ok_or(Errno::EINVAL)?
        } else {
            let start = inner.vmas.find_gap(USER_BOTTOM, inner.mmap_top, new_len);
            start.and_then(|start| PageRange::with_len(start, new_len)).ok_or(Errno::ENOMEM)?
        };
        if fixed {
            self.take_out(&mut inner, target);
            if let Some(less) = PageRange::new(addr.saturating_add(new_len), old_end) {
                self.take_out(&mut inner, less);
            }
        }
        let mut moved = Vec::new();
        // Nothing moves when a shared mapping is made a second time (`old_len` 0).
        if let Some(from) = PageRange::with_len(addr, old_len.min(new_len)) {
            moved = inner.pages.remove(from.first_page(), from.end_page());
            if !keep {
                inner.vmas.remove(from);
            }
            if !vma.prot.is_empty() {
                self.host.unmap(from);
            }
        }
        let vma = Vma { range: target, offset: vma.offset_of(addr), ..vma };
        inner.vmas.insert(vma.clone());
        for (page, run) in moved {
            inner.pages.insert(page - page_of(addr) + target.first_page(), run);
        }
        self.map_again(&mut inner, &vma);
        Ok(target.start())
    }
}
