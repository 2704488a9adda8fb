//! Changing what is mapped: mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), brk(2).

use super::frames::{Fill, Frames, PAGE_SIZE};
use super::space::{AddressSpace, Inner, MAX_AREAS, USER_BOTTOM};
use super::vma::{Backing, Run, Vma, VmaFlags, is_aligned, page_of, round_up};
use crate::fs::file::OpenFile;
use crate::model::{Prot, When};
use crate::sched::model;
use crate::{Errno, Result};
use std::sync::Arc;

/// Pages of a new private mapping that are given memory at once: the rest comes by faults, chunk by chunk.
const EAGER: u64 = 64;
/// How many of them are brought in at once, because they are surely touched.
const EAGER_POPULATE: u64 = 16;
/// Private writable file mappings up to this many pages are copied at once (the data segments of libraries).
const EAGER_COPY: u64 = 32;

/// When user code will touch a new mapping, as far as one can tell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Soon {
    /// All of it is asked for.
    Populate,
    /// A file that is mapped is read next.
    Next,
    /// A library (for ld.so says MAP_DENYWRITE, which means nothing else) first gets its segments.
    Later,
}

fn round_up_wrapping(len: u64) -> u64 {
    len.wrapping_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1)
}

/// The length of the pages that a range reaches into; none when that wraps.
pub fn touched_len(addr: u64, len: u64) -> u64 {
    round_up_wrapping(len.wrapping_add(addr & (PAGE_SIZE - 1)))
}

/// What mmap is asked for.
pub struct MapRequest {
    pub addr: u64,
    pub len: u64,
    pub prot: u32,
    pub flags: i32,
    pub file: Option<Arc<OpenFile>>,
    pub offset: u64,
}

impl AddressSpace {
    /// mmap(2). Returns the address.
    pub fn mmap(&self, request: &MapRequest) -> Result<u64> {
        let result = self.do_mmap(request);
        self.collect();
        result
    }

    fn do_mmap(&self, request: &MapRequest) -> Result<u64> {
        const KNOWN_PROT: u32 = Prot::all().bits() | libc::PROT_GROWSDOWN as u32 | libc::PROT_GROWSUP as u32;
        let flags = request.flags;
        let prot = Prot::from_bits_truncate(request.prot & KNOWN_PROT);
        let fixed = flags & (libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE) != 0;
        if request.len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = round_up(request.len).ok_or(Errno::ENOMEM)?;
        if !is_aligned(request.offset) {
            return Err(Errno::EINVAL);
        }
        request.offset.checked_add(len).ok_or(Errno::EOVERFLOW)?;
        let top = model().user_top();
        if len > top {
            return Err(Errno::ENOMEM);
        }
        let shared = match flags & libc::MAP_TYPE {
            libc::MAP_PRIVATE => false,
            libc::MAP_SHARED => true,
            libc::MAP_SHARED_VALIDATE => {
                const KNOWN: i32 = libc::MAP_TYPE
                    | libc::MAP_FIXED
                    | libc::MAP_FIXED_NOREPLACE
                    | libc::MAP_ANONYMOUS
                    | libc::MAP_NORESERVE
                    | libc::MAP_POPULATE
                    | libc::MAP_NONBLOCK
                    | libc::MAP_STACK
                    | libc::MAP_DENYWRITE
                    | libc::MAP_EXECUTABLE
                    | libc::MAP_GROWSDOWN
                    | libc::MAP_LOCKED;
                if flags & !KNOWN != 0 {
                    return Err(Errno::EOPNOTSUPP);
                }
                true
            }
            _ => return Err(Errno::EINVAL),
        };
        let (backing, file, vma_flags) = self.backing_of(request, prot, shared, len)?;
        let mut vma_flags = vma_flags;
        if flags & libc::MAP_GROWSDOWN != 0 {
            if shared {
                return Err(Errno::EINVAL);
            }
            vma_flags |= VmaFlags::GROWSDOWN;
        }
        if flags & libc::MAP_NORESERVE != 0 {
            vma_flags |= VmaFlags::NORESERVE;
        }
        if flags & libc::MAP_LOCKED != 0 {
            vma_flags |= VmaFlags::LOCKED;
        }
        // The obvious overcommit that Linux's heuristic refuses.
        if !shared
            && prot.contains(Prot::WRITE)
            && !vma_flags.contains(VmaFlags::NORESERVE)
            && len > super::frames::limit()
        {
            return Err(Errno::ENOMEM);
        }
        // What the core keeps of an area.
        super::pressure::room_for(256)?;
        let mut inner = self.inner.borrow_mut();
        if inner.vmas.len() >= MAX_AREAS {
            return Err(Errno::ENOMEM);
        }
        let start = if fixed {
            if !is_aligned(request.addr) {
                return Err(Errno::EINVAL);
            }
            let end = request.addr.checked_add(len).filter(|&end| end <= top).ok_or(Errno::ENOMEM)?;
            if request.addr < USER_BOTTOM {
                return Err(Errno::EPERM);
            }
            if flags & libc::MAP_FIXED_NOREPLACE != 0 && inner.vmas.overlapping(request.addr, end).next().is_some() {
                return Err(Errno::EEXIST);
            }
            request.addr
        } else {
            self.choose(&inner, request.addr, len)?
        };
        let vma = Vma { start, end: start + len, prot, flags: vma_flags, backing, offset: request.offset, file };
        self.take_out(&mut inner, start, start + len, false);
        let soon = if flags & libc::MAP_POPULATE != 0 && flags & libc::MAP_NONBLOCK == 0 {
            Soon::Populate
        } else if flags & libc::MAP_DENYWRITE != 0 {
            Soon::Later
        } else {
            Soon::Next
        };
        self.put_in(&mut inner, vma, soon)?;
        Ok(start)
    }

    fn backing_of(
        &self,
        request: &MapRequest,
        prot: Prot,
        shared: bool,
        len: u64,
    ) -> Result<(Backing, Option<Arc<OpenFile>>, VmaFlags)> {
        let mut flags = if shared { VmaFlags::SHARED } else { VmaFlags::empty() };
        let Some(file) = &request.file else {
            if request.flags & libc::MAP_TYPE == libc::MAP_SHARED_VALIDATE {
                return Err(Errno::EINVAL);
            }
            if shared {
                if len > super::frames::limit() && request.flags & libc::MAP_NORESERVE == 0 {
                    return Err(Errno::ENOMEM);
                }
                return Ok((Backing::Pages(crate::fs::contents::shared_memory(len)), None, flags));
            }
            return Ok((Backing::Anonymous, None, flags));
        };
        if !file.readable() {
            return Err(Errno::EACCES);
        }
        if shared && !file.writable() {
            if prot.contains(Prot::WRITE) {
                return Err(Errno::EACCES);
            }
            flags |= VmaFlags::NOWRITE;
        }
        let object = file.ops.map(file, prot, shared)?;
        Ok((Backing::of(object), Some(file.clone()), flags))
    }

    fn choose(&self, inner: &Inner, hint: u64, len: u64) -> Result<u64> {
        let top = model().user_top();
        let hint = hint & !(PAGE_SIZE - 1);
        if hint >= USER_BOTTOM
            && let Some(end) = hint.checked_add(len)
            && end <= top
            && inner.vmas.overlapping(hint, end).next().is_none()
        {
            return Ok(hint);
        }
        let found = inner.vmas.find_gap(USER_BOTTOM, inner.mmap_top, len);
        found.or_else(|| inner.vmas.find_gap_above(USER_BOTTOM, top, len)).ok_or(Errno::ENOMEM)
    }

    /// Adds a new area where nothing is, and has mapped what is surely or cheaply used.
    pub(super) fn put_in(&self, inner: &mut Inner, vma: Vma, soon: Soon) -> Result<()> {
        let (from, to) = (page_of(vma.start), page_of(vma.end));
        inner.vmas.insert(vma.clone());
        self.register(&vma);
        if vma.prot.is_empty() {
            return Ok(());
        }
        let oom = |_| Errno::ENOMEM;
        match &vma.backing {
            Backing::Anonymous => {
                if !vma.prot.contains(Prot::WRITE) {
                    return Ok(());
                }
                if soon == Soon::Populate {
                    let mut page = from;
                    while page < to {
                        let count = (to - page).min(256);
                        let frames = Frames::alloc(count as u32, Fill::Zero)?;
                        self.put_pages(inner, &vma, page, frames, When::Now, count);
                        page += count;
                    }
                } else if !vma.flags.intersects(VmaFlags::NORESERVE | VmaFlags::GROWSDOWN) {
                    // No memory is no error here, as it is not on Linux: the touch decides.
                    let count = (to - from).min(EAGER);
                    if let Ok(frames) = Frames::alloc(count as u32, Fill::Zero) {
                        self.put_pages(inner, &vma, from, frames, When::Now, EAGER_POPULATE);
                    }
                }
            }
            Backing::Host(_) | Backing::Pages(_) => {
                let copy = !vma.is_shared() && vma.prot.contains(Prot::WRITE) && to - from <= EAGER_COPY;
                // What lies past the file's end stays missing, and faults.
                if copy && let Ok(frames) = self.copy_of_backing(&vma, from, to) {
                    // A library's data, most often, whose end ld.so clears at once.
                    self.put_pages(inner, &vma, from, frames, When::Now, EAGER_POPULATE);
                } else if matches!(vma.backing, Backing::Host(_)) {
                    let when = if soon == Soon::Later { When::OnTouch } else { When::Now };
                    self.map_backing(&vma, from, to, when).map_err(oom)?;
                } else if soon == Soon::Populate {
                    let _ = self.map_backing(&vma, from, to, When::Now);
                }
            }
            Backing::Model(_) => {}
        }
        Ok(())
    }

    /// Takes out everything in a range: areas, private pages, and, unless `keep_host` says that the caller replaces them, the host's mappings.
    fn take_out(&self, inner: &mut Inner, start: u64, end: u64, keep_host: bool) -> Vec<Vma> {
        let removed = inner.vmas.remove(start, end);
        if removed.is_empty() {
            return removed;
        }
        let pages = inner.pages.remove(page_of(start), page_of(end));
        if !keep_host && removed.iter().any(|vma| !vma.prot.is_empty()) {
            self.host_unmap(page_of(start), page_of(end));
        }
        inner.garbage.extend(pages);
        inner.retire(&removed);
        removed
    }

    /// munmap(2).
    pub fn munmap(&self, addr: u64, len: u64) -> Result<()> {
        let top = model().user_top();
        if !is_aligned(addr) || addr > top || len > top - addr || len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = round_up(len).ok_or(Errno::EINVAL)?;
        let removed = self.take_out(&mut self.inner.borrow_mut(), addr, addr + len, false);
        self.collect();
        // Files are closed after the borrow: that may sleep.
        drop(removed);
        Ok(())
    }

    /// Takes out everything, at exec and exit.
    pub fn clear(&self) {
        let removed = {
            let mut inner = self.inner.borrow_mut();
            let pages = inner.pages.remove(0, u64::MAX);
            inner.garbage.extend(pages);
            inner.vmas.remove(0, u64::MAX)
        };
        let executable = self.inner.borrow_mut().layout.executable.take();
        drop((removed, executable));
    }

    /// mprotect(2).
    pub fn mprotect(&self, addr: u64, len: u64, prot: u32) -> Result<()> {
        let grows = prot & (libc::PROT_GROWSDOWN | libc::PROT_GROWSUP) as u32;
        if grows == (libc::PROT_GROWSDOWN | libc::PROT_GROWSUP) as u32 || !is_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        if prot & !(Prot::all().bits() | grows | 0x8) != 0 {
            return Err(Errno::EINVAL);
        }
        let prot = Prot::from_bits_truncate(prot);
        if len == 0 {
            return Ok(());
        }
        let len = round_up(len).ok_or(Errno::ENOMEM)?;
        let end = addr.checked_add(len).ok_or(Errno::ENOMEM)?;
        let result = self.do_mprotect(addr, end, prot, grows & libc::PROT_GROWSDOWN as u32 != 0);
        self.collect();
        result
    }

    fn do_mprotect(&self, mut addr: u64, end: u64, prot: Prot, down: bool) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        if down {
            let vma = inner.vmas.find(addr).ok_or(Errno::ENOMEM)?;
            if !vma.flags.contains(VmaFlags::GROWSDOWN) {
                return Err(Errno::EINVAL);
            }
            addr = vma.start;
        }
        // As Linux: what comes before a hole is changed, then the hole is reported.
        let mut stop = addr;
        while stop < end {
            match inner.vmas.find(stop) {
                Some(vma) if vma.flags.contains(VmaFlags::NOWRITE) && prot.contains(Prot::WRITE) => {
                    return self.protect_range(&mut inner, addr, stop, prot).and(Err(Errno::EACCES));
                }
                Some(vma) => stop = vma.end,
                None => return self.protect_range(&mut inner, addr, stop, prot).and(Err(Errno::ENOMEM)),
            }
        }
        self.protect_range(&mut inner, addr, end, prot)
    }

    fn protect_range(&self, inner: &mut Inner, start: u64, end: u64, prot: Prot) -> Result<()> {
        if start >= end {
            return Ok(());
        }
        for old in inner.vmas.remove(start, end) {
            let vma = Vma { prot, ..old.clone() };
            inner.vmas.insert(vma.clone());
            if old.prot == prot {
                continue;
            }
            let (from, to) = (page_of(vma.start), page_of(vma.end));
            if old.prot.is_empty() {
                // The host has nothing there.
                self.map_again(inner, &vma, from, to);
                continue;
            }
            let model_owned = matches!(vma.backing, Backing::Model(_));
            if vma.is_shared() || model_owned {
                self.host_protect(from, to, prot);
                continue;
            }
            if vma.is_private_anonymous() {
                // Only where there are pages has the host anything mapped.
                let runs: Vec<(u64, u64, bool)> = inner
                    .pages
                    .within_mut(from, to)
                    .map(|(first, run)| {
                        run.host_ro = prot.contains(Prot::WRITE) && run.frames.is_shared();
                        (first, first + run.frames.count() as u64, run.host_ro)
                    })
                    .collect();
                for (from, to, read_only) in runs {
                    self.host_protect(from, to, if read_only { prot - Prot::WRITE } else { prot });
                }
                if !old.prot.contains(Prot::WRITE) && prot.contains(Prot::WRITE) {
                    self.fill_start(inner, &vma, from, to);
                }
                continue;
            }
            // A private file mapping: the file's own pages never become writable.
            self.host_protect(from, to, prot - Prot::WRITE);
            if prot.contains(Prot::WRITE) {
                let runs: Vec<(u64, u64, bool)> = inner
                    .pages
                    .within_mut(from, to)
                    .map(|(first, run)| {
                        run.host_ro = run.frames.is_shared();
                        (first, first + run.frames.count() as u64, run.host_ro)
                    })
                    .collect();
                for (from, to, _) in runs.into_iter().filter(|run| !run.2) {
                    self.host_protect(from, to, prot);
                }
            }
        }
        Ok(())
    }

    /// Has mapped what the core has for the pages [from, to) of an area that the host has nothing of.
    pub(super) fn map_again(&self, inner: &mut Inner, vma: &Vma, from: u64, to: u64) {
        match vma.backing {
            Backing::Anonymous => {
                self.map_private(inner, vma, from, to, When::Now);
                if vma.prot.contains(Prot::WRITE) {
                    self.fill_start(inner, vma, from, to);
                }
            }
            Backing::Host(_) => {
                let _ = self.map_backing(vma, from, to, When::OnTouch);
                self.map_private(inner, vma, from, to, When::OnTouch);
            }
            // By faults.
            Backing::Pages(_) | Backing::Model(_) => {}
        }
    }

    /// Gives the start of a writable anonymous range memory, if it has none: it is about to be used.
    fn fill_start(&self, inner: &mut Inner, vma: &Vma, from: u64, to: u64) {
        if vma.flags.contains(VmaFlags::GROWSDOWN) || inner.pages.find(from).is_some() {
            return;
        }
        let to = inner.pages.next_after(from).unwrap_or(u64::MAX).min(to).min(from + EAGER);
        if let Ok(frames) = Frames::alloc((to - from) as u32, Fill::Zero) {
            self.put_pages(inner, vma, from, frames, When::Now, EAGER_POPULATE);
        }
    }

    /// brk(2): the new end, or the old one when it cannot be.
    pub fn set_brk(&self, wanted: u64, data_limit: u64) -> u64 {
        let mut inner = self.inner.borrow_mut();
        let (start, old) = (inner.brk_start, inner.brk);
        if wanted < start || wanted - start > data_limit {
            return old;
        }
        let (Some(old_end), Some(new_end)) = (round_up(old), round_up(wanted)) else { return old };
        if new_end > model().user_top() {
            return old;
        }
        if new_end < old_end {
            self.take_out(&mut inner, new_end, old_end, false);
        } else if new_end > old_end {
            if inner.vmas.overlapping(old_end, new_end).next().is_some()
                || new_end - old_end > super::frames::limit()
                || inner.vmas.len() >= MAX_AREAS
            {
                return old;
            }
            let vma = Vma {
                start: old_end,
                end: new_end,
                prot: Prot::READ | Prot::WRITE,
                flags: VmaFlags::empty(),
                backing: Backing::Anonymous,
                offset: 0,
                file: None,
            };
            if self.put_in(&mut inner, vma, Soon::Later).is_err() {
                return old;
            }
        }
        inner.brk = wanted;
        drop(inner);
        self.collect();
        wanted
    }

    /// Sets where the heap begins, at exec.
    pub fn set_brk_start(&self, at: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.brk_start = at;
        inner.brk = at;
    }

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

    /// madvise(2).
    pub fn madvise(&self, addr: u64, len: u64, advice: i32) -> Result<()> {
        let result = self.do_madvise(addr, len, advice);
        self.collect();
        result
    }

    fn do_madvise(&self, addr: u64, len: u64, advice: i32) -> Result<()> {
        const MADV_COLD: i32 = 20;
        const MADV_POPULATE_READ: i32 = 22;
        const MADV_POPULATE_WRITE: i32 = 23;
        match advice {
            libc::MADV_NORMAL..=libc::MADV_DONTNEED
            | libc::MADV_FREE
            | libc::MADV_REMOVE..=libc::MADV_DOFORK
            | libc::MADV_MERGEABLE..=libc::MADV_KEEPONFORK
            | MADV_COLD..=MADV_POPULATE_WRITE => {}
            _ => return Err(Errno::EINVAL),
        }
        if !is_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        let len = round_up(len).ok_or(Errno::EINVAL)?;
        let end = addr.checked_add(len).ok_or(Errno::EINVAL)?;
        if len == 0 {
            return Ok(());
        }
        let mut inner = self.inner.borrow_mut();
        let areas: Vec<Vma> = inner.vmas.overlapping(addr, end).map(|vma| vma.cut(addr, end)).collect();
        let whole = inner.vmas.covers(addr, end);
        for vma in areas {
            let (from, to) = (page_of(vma.start), page_of(vma.end));
            match advice {
                libc::MADV_DONTNEED | libc::MADV_FREE => {
                    if vma.flags.contains(VmaFlags::LOCKED) {
                        return Err(Errno::EINVAL);
                    }
                    if advice == libc::MADV_FREE {
                        if !vma.is_private_anonymous() {
                            return Err(Errno::EINVAL);
                        }
                        // Allowed to keep the contents as long as memory lasts.
                        continue;
                    }
                    self.forget(&mut inner, &vma, from, to);
                }
                libc::MADV_REMOVE => return Err(Errno::EINVAL),
                libc::MADV_DONTFORK => self.reflag(&mut inner, &vma, VmaFlags::DONTFORK, true),
                libc::MADV_DOFORK => self.reflag(&mut inner, &vma, VmaFlags::DONTFORK, false),
                libc::MADV_WIPEONFORK => {
                    if !vma.is_private_anonymous() {
                        return Err(Errno::EINVAL);
                    }
                    self.reflag(&mut inner, &vma, VmaFlags::WIPEONFORK, true);
                }
                libc::MADV_KEEPONFORK => self.reflag(&mut inner, &vma, VmaFlags::WIPEONFORK, false),
                MADV_POPULATE_READ | MADV_POPULATE_WRITE => {
                    if advice == MADV_POPULATE_WRITE && !vma.prot.contains(Prot::WRITE) || vma.prot.is_empty() {
                        return Err(Errno::EINVAL);
                    }
                    if vma.is_private_anonymous() {
                        self.fill_start(&mut inner, &vma, from, to);
                    }
                }
                _ => {}
            }
        }
        if whole { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// MADV_DONTNEED: private pages go; zeros or the file's contents show again.
    fn forget(&self, inner: &mut Inner, vma: &Vma, from: u64, to: u64) {
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
        self.host_unmap(from, to);
        inner.garbage.extend(pages);
    }

    fn reflag(&self, inner: &mut Inner, vma: &Vma, flag: VmaFlags, on: bool) {
        for mut vma in inner.vmas.remove(vma.start, vma.end) {
            vma.flags.set(flag, on);
            inner.vmas.insert(vma);
        }
    }

    /// mlock(2) and munlock(2): ENOMEM when not all of the range is mapped. Guest memory is never swapped by the core.
    pub fn mlock(&self, addr: u64, len: u64, on: bool) -> Result<()> {
        let start = addr & !(PAGE_SIZE - 1);
        let end = start.checked_add(touched_len(addr, len)).ok_or(Errno::EINVAL)?;
        let mut inner = self.inner.borrow_mut();
        if !inner.vmas.covers(start, end) {
            return Err(Errno::ENOMEM);
        }
        let areas: Vec<Vma> = inner.vmas.overlapping(start, end).map(|vma| vma.cut(start, end)).collect();
        for vma in areas {
            self.reflag(&mut inner, &vma, VmaFlags::LOCKED, on);
        }
        Ok(())
    }

    /// Bytes that are locked.
    pub fn locked_bytes(&self) -> u64 {
        self.inner.borrow().vmas.iter().filter(|vma| vma.flags.contains(VmaFlags::LOCKED)).map(Vma::len).sum()
    }

    /// msync(2): EINVAL, ENOMEM as it says; memory files and host files need nothing done, they are the same pages.
    pub fn msync(&self, addr: u64, len: u64, flags: i32) -> Result<()> {
        const KNOWN: i32 = libc::MS_ASYNC | libc::MS_SYNC | libc::MS_INVALIDATE;
        if flags & !KNOWN != 0 || flags & (libc::MS_ASYNC | libc::MS_SYNC) == libc::MS_ASYNC | libc::MS_SYNC {
            return Err(Errno::EINVAL);
        }
        if !is_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        let end = addr.checked_add(round_up_wrapping(len)).ok_or(Errno::ENOMEM)?;
        let files: Vec<Arc<OpenFile>> = {
            let inner = self.inner.borrow();
            if flags & libc::MS_INVALIDATE != 0
                && inner.vmas.overlapping(addr, end).any(|vma| vma.flags.contains(VmaFlags::LOCKED))
            {
                return Err(Errno::EBUSY);
            }
            if !inner.vmas.covers(addr, end) {
                return Err(Errno::ENOMEM);
            }
            inner.vmas.overlapping(addr, end).filter(|vma| vma.is_shared()).filter_map(|vma| vma.file.clone()).collect()
        };
        if flags & libc::MS_SYNC != 0 {
            for file in files {
                let _ = file.ops.fsync(&file, true);
            }
        }
        Ok(())
    }

    /// mincore(2): a byte for each page, 1 where memory is.
    pub fn mincore(&self, addr: u64, len: u64) -> Result<Vec<u8>> {
        if !is_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        let end = addr.checked_add(round_up(len).ok_or(Errno::ENOMEM)?).ok_or(Errno::ENOMEM)?;
        let inner = self.inner.borrow();
        if !inner.vmas.covers(addr, end) {
            return Err(Errno::ENOMEM);
        }
        let mut present = vec![0u8; page_of(end - addr) as usize];
        let base = page_of(addr);
        for (first, index, count, run) in inner.pages.within(base, page_of(end)) {
            for (start, pages) in run.frames.share(index, count).resident() {
                let at = (first - base) as usize + start as usize;
                let stop = (at + pages as usize).min(present.len());
                present[at.min(stop)..stop].fill(1);
            }
        }
        for vma in inner.vmas.overlapping(addr, end).filter(|vma| !vma.is_private_anonymous()) {
            let vma = vma.cut(addr, end);
            present[(page_of(vma.start) - base) as usize..(page_of(vma.end) - base) as usize].fill(1);
        }
        Ok(present)
    }
}
