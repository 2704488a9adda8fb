//! What is told and asked about what is mapped: madvise(2), msync(2), mincore(2).

use super::PAGE;
use super::map::round_up_wrapping;
use super::object::MappedFile;
use super::space::{AddressSpace, Inner};
use super::vma::{Backing, Vma, VmaFlags, is_aligned, page_of, round_up};
use crate::{Errno, Result};
use abi::number::to_usize;
use std::sync::Arc;
use umlab_model::{PAGE_SIZE, PageRange, Prot};

impl AddressSpace {
    /// madvise(2).
    pub fn madvise(&self, addr: u64, len: u64, advice: i32) -> Result<()> {
        match advice {
            abi::MADV_NORMAL..=abi::MADV_DONTNEED
            | abi::MADV_FREE
            | abi::MADV_REMOVE..=abi::MADV_DOFORK
            | abi::MADV_MERGEABLE..=abi::MADV_KEEPONFORK
            | abi::MADV_COLD..=abi::MADV_POPULATE_WRITE => {}
            _ => return Err(Errno::EINVAL),
        }
        if !is_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        let len = round_up(len).ok_or(Errno::EINVAL)?;
        addr.checked_add(len).ok_or(Errno::EINVAL)?;
        if len == 0 {
            return Ok(());
        }
        // Nothing is mapped beyond the guest's part.
        let range = PageRange::with_len(addr, len).ok_or(Errno::ENOMEM)?;
        if advice == abi::MADV_REMOVE {
            return self.punch(range);
        }
        let mut inner = self.inner.borrow_mut();
        let areas: Vec<Vma> = inner.vmas.within(range).collect();
        let whole = inner.vmas.covers(range);
        for vma in areas {
            if matches!(advice, abi::MADV_DONTFORK | abi::MADV_DONTDUMP) && inner.vmas.cuts_model(vma.range) {
                return Err(Errno::EINVAL);
            }
            match advice {
                abi::MADV_DONTNEED | abi::MADV_FREE => {
                    // Neither what is locked nor the vDSO's data can be given up.
                    let is_vdso_data = vma.is_model_owned() && vma.flags.contains(VmaFlags::NOEXEC);
                    if vma.flags.contains(VmaFlags::LOCKED) || is_vdso_data {
                        return Err(Errno::EINVAL);
                    }
                    if advice == abi::MADV_FREE {
                        if !vma.is_private_anonymous() {
                            return Err(Errno::EINVAL);
                        }
                        // Allowed to keep the contents as long as memory lasts.
                        continue;
                    }
                    self.forget(&mut inner, &vma);
                }
                abi::MADV_DONTFORK => reflag(&mut inner, &vma, VmaFlags::DONTFORK, true)?,
                abi::MADV_DOFORK => reflag(&mut inner, &vma, VmaFlags::DONTFORK, false)?,
                abi::MADV_DONTDUMP => reflag(&mut inner, &vma, VmaFlags::DONTDUMP, true)?,
                abi::MADV_DODUMP => reflag(&mut inner, &vma, VmaFlags::DONTDUMP, false)?,
                abi::MADV_WIPEONFORK => {
                    if !vma.is_private_anonymous() {
                        return Err(Errno::EINVAL);
                    }
                    reflag(&mut inner, &vma, VmaFlags::WIPEONFORK, true)?;
                }
                abi::MADV_KEEPONFORK => reflag(&mut inner, &vma, VmaFlags::WIPEONFORK, false)?,
                abi::MADV_POPULATE_READ | abi::MADV_POPULATE_WRITE => {
                    if advice == abi::MADV_POPULATE_WRITE && !vma.prot.contains(Prot::WRITE) || vma.prot.is_empty() {
                        return Err(Errno::EINVAL);
                    }
                    if vma.is_private_anonymous() {
                        self.fill_start(&mut inner, &vma);
                    }
                }
                _ => {}
            }
        }
        if whole { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// MADV_REMOVE: punches a hole into what is behind shared areas, for everybody who has it.
    fn punch(&self, range: PageRange) -> Result<()> {
        let (areas, whole): (Vec<Vma>, bool) = {
            let inner = self.inner.borrow();
            (inner.vmas.within(range).collect(), inner.vmas.covers(range))
        };
        // The source makes all who map it forget the pages, this address space too: nothing is
        // borrowed.
        for vma in areas {
            if vma.flags.contains(VmaFlags::LOCKED) || vma.file.is_none() && !vma.is_shared() {
                return Err(Errno::EINVAL);
            }
            if !vma.is_shared() || vma.flags.contains(VmaFlags::NOWRITE) {
                return Err(Errno::EACCES);
            }
            if let Some(file) = &vma.file
                && file.punch(vma.offset, vma.len())?
            {
                continue;
            }
            match &vma.backing {
                // Memory that was shared without a file of its own.
                Backing::Pages(pages) => pages.punch(vma.offset, vma.len())?,
                _ => return Err(Errno::EOPNOTSUPP),
            }
        }
        if whole { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// MADV_DONTNEED: private pages go; zeros or the file's contents show again.
    fn forget(&self, inner: &mut Inner, vma: &Vma) {
        let (from, to) = (vma.range.first_page(), vma.range.end_page());
        if vma.is_shared() || inner.pages.within(from, to).next().is_none() {
            return;
        }
        if vma.is_private_anonymous() && inner.pages.within(from, to).all(|(_, _, _, run)| !run.frames.is_shared()) {
            // The frames stay and the host's mappings with them; only their contents go.
            for (_, run) in inner.pages.within_mut(from, to) {
                run.frames.clear();
            }
            return;
        }
        let pages = inner.pages.remove(from, to);
        self.host.unmap(vma.range);
        inner.garbage.extend(pages);
    }

    /// msync(2): EINVAL, ENOMEM as it says; memory files and host files need nothing done, they are
    /// the same pages.
    pub fn msync(&self, addr: u64, len: u64, flags: i32) -> Result<()> {
        const KNOWN: i32 = abi::MS_ASYNC | abi::MS_SYNC | abi::MS_INVALIDATE;
        if flags & !KNOWN != 0 || flags & (abi::MS_ASYNC | abi::MS_SYNC) == abi::MS_ASYNC | abi::MS_SYNC {
            return Err(Errno::EINVAL);
        }
        if !is_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        let end = addr.checked_add(round_up_wrapping(len)).ok_or(Errno::ENOMEM)?;
        if addr == end {
            return Ok(());
        }
        let range = PageRange::new(addr, end).ok_or(Errno::ENOMEM)?;
        let files: Vec<Arc<dyn MappedFile>> = {
            let inner = self.inner.borrow();
            if flags & abi::MS_INVALIDATE != 0
                && inner.vmas.overlapping(range).any(|vma| vma.flags.contains(VmaFlags::LOCKED))
            {
                return Err(Errno::EBUSY);
            }
            if !inner.vmas.covers(range) {
                return Err(Errno::ENOMEM);
            }
            inner.vmas.overlapping(range).filter(|vma| vma.is_shared()).filter_map(|vma| vma.file.clone()).collect()
        };
        if flags & abi::MS_SYNC != 0 {
            for file in files {
                let _ = file.sync();
            }
        }
        Ok(())
    }

    /// Whether a page that may be read was touched at `addr`, as far as can be seen: memory comes
    /// in runs of pages, so a page of zeros is taken for an untouched one, and a file's page for
    /// one that was read.
    pub fn was_touched(&self, addr: u64) -> bool {
        let inner = self.inner.borrow();
        let Some(vma) = inner.vmas.find(addr).filter(|vma| !vma.prot.is_empty()) else { return false };
        match inner.pages.find(page_of(addr)) {
            Some((first, run)) => {
                let mut page = [0; PAGE];
                let at = to_usize((page_of(addr) - first) * PAGE_SIZE);
                run.frames.window(at, page.len()).read(&mut page).is_ok() && page.iter().any(|&byte| byte != 0)
            }
            None => !vma.is_private_anonymous(),
        }
    }

    /// /proc/PID/pagemap, for a number of pages that is not large: fewer at the end of what a guest
    /// can have, where nothing is left.
    pub fn page_map(&self, page: u64, count: u64) -> Vec<u64> {
        const PRESENT: u64 = 1 << 63;
        const OF_FILE: u64 = 1 << 61;
        const EXCLUSIVE: u64 = 1 << 56;
        let end = page.saturating_add(count).min(PageRange::everything().end_page());
        let Some(range) = PageRange::of_pages(page, end) else { return Vec::new() };
        let inner = self.inner.borrow();
        let mut words: Vec<u64> =
            inner.resident(page, end).into_iter().map(|there| if there == 1 { PRESENT } else { 0 }).collect();
        for vma in inner.vmas.within(range).filter(|vma| !vma.is_private_anonymous()) {
            for at in vma.range.first_page()..vma.range.end_page() {
                if inner.pages.find(at).is_none() {
                    words[to_usize(at - page)] |= OF_FILE;
                }
            }
        }
        for (first, index, count, run) in inner.pages.within(page, end) {
            for step in (0..count).filter(|&step| !run.frames.is_shared_at(index + step)) {
                let word = &mut words[to_usize(first - page) + step as usize];
                *word |= if *word & PRESENT != 0 { EXCLUSIVE } else { 0 };
            }
        }
        words
    }

    /// mincore(2), for a range that is not long: a byte for each page, 1 where memory is.
    pub fn mincore(&self, addr: u64, len: u64) -> Result<Vec<u8>> {
        if !is_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        let end = addr.checked_add(round_up(len).ok_or(Errno::ENOMEM)?).ok_or(Errno::ENOMEM)?;
        if addr == end {
            return Ok(Vec::new());
        }
        let range = PageRange::new(addr, end).ok_or(Errno::ENOMEM)?;
        let inner = self.inner.borrow();
        if !inner.vmas.covers(range) {
            return Err(Errno::ENOMEM);
        }
        Ok(inner.resident(page_of(addr), page_of(end)))
    }
}

impl Inner {
    /// For each page from page `base` to before `end`, 1 where memory is.
    fn resident(&self, base: u64, end: u64) -> Vec<u8> {
        let mut present = vec![0u8; to_usize(end - base)];
        for (first, index, count, run) in self.pages.within(base, end) {
            for (start, pages) in run.frames.share(index, count).resident() {
                let at = to_usize(first - base) + start as usize;
                let stop = (at + pages as usize).min(present.len());
                present[at.min(stop)..stop].fill(1);
            }
        }
        let Some(range) = PageRange::of_pages(base, end) else { return present };
        for vma in self.vmas.within(range).filter(|vma| !vma.is_private_anonymous()) {
            let (from, to) = (vma.range.first_page(), vma.range.end_page());
            present[to_usize(from - base)..to_usize(to - base)].fill(1);
        }
        present
    }
}

/// EAGAIN, as madvise(2) has it, when that would make too many areas.
fn reflag(inner: &mut Inner, vma: &Vma, flag: VmaFlags, on: bool) -> Result<()> {
    let change = |vma: &mut Vma| vma.flags.set(flag, on);
    inner.vmas.change(vma.range, change).map(drop).map_err(|_| Errno::EAGAIN)
}
