//! What is mapped: mmap(2), munmap(2), brk(2).

use super::fault::BadAccess;
use super::frames::{Fill, Frames, frame_count, scarce};
use super::limits::may_lock;
use super::object::{MapObject, MappedFile};
use super::page_cache::shared_memory;
use super::space::{AddressSpace, Inner, USER_BOTTOM, max_areas};
use super::vma::{Backing, Totals, Vma, VmaFlags, is_aligned, round_up};
use crate::sched::{killable_point, model};
use crate::{Errno, Result};
use std::sync::Arc;
use umlab_model::{PAGE_SIZE, PageRange, Prot, When};

/// Pages of a new private mapping that are given memory at once: the rest comes by faults, chunk by
/// chunk.
pub(super) const EAGER: u64 = 64;
/// How many of them are brought in at once, because they are surely touched.
pub(super) const EAGER_POPULATE: u64 = 16;
/// The data segments of programs and libraries are copied at once up to this many pages.
const EAGER_COPY: u64 = 32;

/// So many bytes are brought in before other tasks have their turn.
const STEP: u64 = 1 << 20;

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

pub(super) fn round_up_wrapping(len: u64) -> u64 {
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
    pub file: Option<Arc<dyn MappedFile>>,
    pub offset: u64,
}

/// New zeros: private ones, or an object that others can share: MAP_ANONYMOUS and /dev/zero.
fn zeros(request: &MapRequest, shared: bool, len: u64) -> Result<Backing> {
    if !shared {
        return Ok(Backing::Anonymous);
    }
    if len > super::frames::limit() && request.flags & abi::MAP_NORESERVE == 0 {
        return Err(Errno::ENOMEM);
    }
    Ok(Backing::Pages(shared_memory(len)))
}

impl Inner {
    /// The range of a mapping at a given place.
    fn fixed_range(&self, request: &MapRequest, len: u64) -> Result<PageRange> {
        if !is_aligned(request.addr) {
            return Err(Errno::EINVAL);
        }
        let range = PageRange::with_len(request.addr, len).ok_or(Errno::ENOMEM)?;
        if request.addr < USER_BOTTOM {
            return Err(Errno::EPERM);
        }
        if request.flags & abi::MAP_FIXED_NOREPLACE != 0 && !self.vmas.is_free(range) {
            return Err(Errno::EEXIST);
        }
        Ok(range)
    }
}

impl AddressSpace {
    /// mmap(2). Returns the address.
    pub fn mmap(&self, request: &MapRequest) -> Result<u64> {
        const KNOWN_PROT: u32 = Prot::all().bits() | abi::PROT_GROWSDOWN as u32 | abi::PROT_GROWSUP as u32;
        let flags = request.flags;
        let prot = Prot::from_bits_truncate(request.prot & KNOWN_PROT);
        let fixed = flags & (abi::MAP_FIXED | abi::MAP_FIXED_NOREPLACE) != 0;
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
        // Its place and the limit come before any look at the file, and again when nobody can come
        // in between.
        if fixed {
            self.inner.borrow().fixed_range(request, len)?;
        }
        if flags & abi::MAP_LOCKED != 0 {
            may_lock()?;
        }
        {
            let inner = self.inner.borrow();
            let locked = flags & abi::MAP_LOCKED != 0 || inner.new_areas.contains(VmaFlags::LOCKED);
            inner.may_lock_more(Totals { locked: if locked { len } else { 0 }, ..Totals::default() })?;
        }
        let shared = match flags & abi::MAP_TYPE {
            abi::MAP_PRIVATE => false,
            abi::MAP_SHARED => true,
            abi::MAP_SHARED_VALIDATE => {
                const KNOWN: i32 = abi::MAP_TYPE
                    | abi::MAP_FIXED
                    | abi::MAP_32BIT
                    | abi::MAP_ABOVE4G
                    | abi::MAP_ANONYMOUS
                    | abi::MAP_NORESERVE
                    | abi::MAP_POPULATE
                    | abi::MAP_NONBLOCK
                    | abi::MAP_STACK
                    | abi::MAP_DENYWRITE
                    | abi::MAP_EXECUTABLE
                    | abi::MAP_GROWSDOWN
                    | abi::MAP_LOCKED
                    | abi::MAP_HUGE_2MB
                    | abi::MAP_HUGE_1GB;
                if flags & !KNOWN != 0 && request.file.is_some() {
                    return Err(Errno::EOPNOTSUPP);
                }
                true
            }
            _ => return Err(Errno::EINVAL),
        };
        let (backing, file, vma_flags) = match self.backing_of(request, prot, shared, len) {
            Err(Errno::ENODEV) if request.file.as_ref().is_some_and(|file| file.refuses_late()) => {
                if flags & abi::MAP_GROWSDOWN != 0 {
                    return Err(Errno::EINVAL);
                }
                if flags & (abi::MAP_FIXED | abi::MAP_FIXED_NOREPLACE) == abi::MAP_FIXED {
                    self.munmap(request.addr, len)?;
                }
                return Err(Errno::ENODEV);
            }
            result => result?,
        };
        self.place(request, prot, backing, file, vma_flags)
    }

    /// Maps what is behind a request at the place it asks for.
    pub(super) fn place(
        &self,
        request: &MapRequest,
        prot: Prot,
        backing: Backing,
        file: Option<Arc<dyn MappedFile>>,
        mut vma_flags: VmaFlags,
    ) -> Result<u64> {
        let (flags, shared) = (request.flags, vma_flags.contains(VmaFlags::SHARED));
        let fixed = flags & (abi::MAP_FIXED | abi::MAP_FIXED_NOREPLACE) != 0;
        let len = round_up(request.len).ok_or(Errno::ENOMEM)?;
        if flags & abi::MAP_GROWSDOWN != 0 {
            if shared || file.is_some() {
                return Err(Errno::EINVAL);
            }
            vma_flags |= VmaFlags::GROWSDOWN;
        }
        if flags & abi::MAP_NORESERVE != 0 {
            vma_flags |= VmaFlags::NORESERVE;
        }
        if flags & abi::MAP_LOCKED != 0 {
            vma_flags |= VmaFlags::LOCKED;
        }
        if !shared && file.is_some() && flags & (abi::MAP_DENYWRITE | abi::MAP_EXECUTABLE) != 0 {
            vma_flags |= VmaFlags::SEGMENT;
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
        if inner.vmas.len() > max_areas() {
            return Err(Errno::ENOMEM);
        }
        let range = if fixed {
            inner.fixed_range(request, len)?
        } else if flags & abi::MAP_32BIT != 0 {
            // Below 2 GiB, as mmap(2) has it; above the first one, where programs lie that are
            // linked low.
            let start = inner.vmas.find_gap(1 << 30, 1 << 31, len);
            start.and_then(|start| PageRange::with_len(start, len)).ok_or(Errno::ENOMEM)?
        } else {
            self.choose(&inner, request.addr, len)?
        };
        vma_flags |= inner.new_areas;
        let vma = Vma { range, prot, flags: vma_flags, backing, offset: request.offset, file };
        let mut more = Totals::of(&vma);
        inner.may_lock_more(more)?;
        if fixed {
            let replaced = inner.vmas.mapped_within(range);
            more.mapped -= replaced;
            more.data = more.data.saturating_sub(replaced);
        }
        inner.may_grow(more)?;
        if fixed {
            if !inner.vmas.may_remove(range) {
                return Err(Errno::ENOMEM);
            }
            self.take_out(&mut inner, range)?;
        }
        let populate = flags & abi::MAP_POPULATE != 0 && flags & abi::MAP_NONBLOCK == 0;
        let soon = if populate || vma_flags.locked_at_once() {
            Soon::Populate
        } else if flags & abi::MAP_DENYWRITE != 0 {
            Soon::Later
        } else {
            Soon::Next
        };
        self.put_in(&mut inner, vma, soon)?;
        drop(inner);
        if soon == Soon::Populate {
            // What cannot be brought in is no error.
            let _ = self.bring_in(range);
        }
        Ok(range.start())
    }

    fn backing_of(
        &self,
        request: &MapRequest,
        prot: Prot,
        shared: bool,
        len: u64,
    ) -> Result<(Backing, Option<Arc<dyn MappedFile>>, VmaFlags)> {
        let flags = if shared { VmaFlags::SHARED } else { VmaFlags::empty() };
        let Some(file) = &request.file else {
            if request.flags & abi::MAP_TYPE == abi::MAP_SHARED_VALIDATE {
                return Err(Errno::EINVAL);
            }
            return Ok((zeros(request, shared, len)?, None, flags));
        };
        let (object, never) = file.map(prot, shared)?;
        let past_end = request.offset.checked_add(len).is_none_or(|end| end > i64::MAX as u64);
        if past_end && !matches!(object, MapObject::Zeros) {
            return Err(Errno::EOVERFLOW);
        }
        let backing = match object {
            MapObject::Host(file) => Backing::Host(file),
            MapObject::Pages(pages) => Backing::Pages(pages),
            MapObject::Zeros => zeros(request, shared, len)?,
        };
        Ok((backing, Some(file.clone()), flags | never))
    }

    /// A free range: at the hint if that can be, else where mmap places one.
    pub(super) fn choose(&self, inner: &Inner, hint: u64, len: u64) -> Result<PageRange> {
        let hint = hint & !(PAGE_SIZE - 1);
        if hint >= USER_BOTTOM
            && let Some(range) = PageRange::with_len(hint, len)
            && inner.vmas.is_free(range)
        {
            return Ok(range);
        }
        let found = inner.vmas.find_gap(USER_BOTTOM, inner.mmap_top, len);
        let found = found.or_else(|| inner.vmas.find_gap_above(USER_BOTTOM, model().user_top(), len));
        found.and_then(|start| PageRange::with_len(start, len)).ok_or(Errno::ENOMEM)
    }

    /// Adds a new area where nothing is, and has mapped what is surely or cheaply used. All of it
    /// ([`Soon::Populate`]) is for the caller to bring in, who has to give back what is borrowed
    /// first.
    pub(super) fn put_in(&self, inner: &mut Inner, vma: Vma, soon: Soon) -> Result<()> {
        let (from, to) = (vma.range.first_page(), vma.range.end_page());
        inner.vmas.insert(vma.clone());
        self.register(&vma);
        if vma.prot.is_empty() || soon == Soon::Populate {
            return Ok(());
        }
        match &vma.backing {
            Backing::Anonymous => {
                if !vma.prot.contains(Prot::WRITE) {
                    return Ok(());
                }
                if !vma.flags.intersects(VmaFlags::NORESERVE | VmaFlags::GROWSDOWN) && !scarce() {
                    // No memory is no error here, as it is not on Linux: the touch decides.
                    let count = (to - from).min(EAGER);
                    if let Ok(frames) = Frames::alloc(count as u32, Fill::Zero) {
                        self.put_pages(inner, &vma, from, frames, When::Now, EAGER_POPULATE);
                    }
                }
            }
            Backing::Host(_) | Backing::Pages(_) => {
                let copy = vma.prot.contains(Prot::WRITE) && to - from <= EAGER_COPY && vma.copies_ahead();
                // What lies past the file's end stays missing, and faults.
                let copy_of = |frames| self.copy_of_backing(&vma, (from, to), frames).ok();
                let frames = copy.then(|| Frames::alloc(frame_count(to - from), Fill::Garbage).ok()).flatten();
                if let Some(frames) = frames.and_then(copy_of) {
                    // A library's data, most often, whose end ld.so clears at once.
                    self.put_pages(inner, &vma, from, frames, When::Now, EAGER_POPULATE);
                } else if matches!(vma.backing, Backing::Host(_)) {
                    let when = if soon == Soon::Later { When::Lazy } else { When::Now };
                    self.map_backing(&vma, vma.range, when).map_err(|_| Errno::ENOMEM)?;
                }
            }
            Backing::Model(..) => {}
        }
        Ok(())
    }

    /// Brings in all that is mapped in a range, private pages to be written where that is allowed.
    /// Other tasks have their turn in between, and may change what is mapped; SIGKILL ends it.
    ///
    /// # Errors
    /// For the first area that has no contents, or allows no access.
    pub(super) fn bring_in(&self, range: PageRange) -> std::result::Result<(), BadAccess> {
        let mut rest = Some(range);
        while let Some(range) = rest {
            let end = range.start().saturating_add(STEP);
            let (step, above) = (range.below(end).unwrap_or(range), range.above(end));
            {
                let inner = &mut *self.inner.borrow_mut();
                let areas: Vec<Vma> = inner.vmas.within(step).collect();
                areas.iter().try_for_each(|vma| self.populate(inner, vma, true))?;
            }
            self.collect();
            if killable_point().is_err() {
                return Ok(());
            }
            rest = above;
        }
        Ok(())
    }

    /// Brings in all pages of an area: with `write`, private ones to be written where that is
    /// allowed.
    fn populate(&self, inner: &mut Inner, vma: &Vma, write: bool) -> std::result::Result<(), BadAccess> {
        if vma.prot.is_empty() {
            return Err(BadAccess::Refused);
        }
        let write = write && vma.prot.contains(Prot::WRITE);
        match vma.backing {
            Backing::Model(..) => return Ok(()),
            Backing::Anonymous if !write => return Ok(()),
            _ => {}
        }
        let (mut page, end) = (vma.range.first_page(), vma.range.end_page());
        if vma.is_shared() || !write {
            let reached = self.map_backing(vma, vma.range, When::Now)?;
            self.map_private(inner, vma, vma.range, When::Now);
            return if reached < end { Err(BadAccess::PastEnd) } else { Ok(()) };
        }
        while page < end {
            match inner.pages.find(page) {
                Some((first, run)) => page = first + u64::from(run.frames.count()),
                None => self.make_private(inner, vma, page)?,
            }
        }
        Ok(())
    }

    /// Takes out everything in a range: areas, private pages and the host's mappings. What is taken
    /// out is kept until `collect`.
    ///
    /// # Errors
    /// EINVAL if an area of the model's own would be cut. Nothing is taken out then.
    pub(super) fn take_out(&self, inner: &mut Inner, range: PageRange) -> Result<()> {
        if inner.vmas.cuts_model(range) {
            return Err(Errno::EINVAL);
        }
        let removed = inner.vmas.remove(range);
        if removed.is_empty() {
            return Ok(());
        }
        let pages = inner.pages.remove(range.first_page(), range.end_page());
        if removed.iter().any(|vma| !vma.prot.is_empty() || vma.is_model_owned()) {
            self.host.unmap(range);
        }
        inner.garbage.extend(pages);
        inner.retired.extend(removed);
        Ok(())
    }

    /// munmap(2).
    pub fn munmap(&self, addr: u64, len: u64) -> Result<()> {
        let top = model().user_top();
        if !is_aligned(addr) || addr > top || len > top - addr || len == 0 {
            return Err(Errno::EINVAL);
        }
        let range = round_up(len).and_then(|len| PageRange::with_len(addr, len)).ok_or(Errno::EINVAL)?;
        let mut inner = self.inner.borrow_mut();
        if !inner.vmas.may_remove(range) {
            return Err(Errno::ENOMEM);
        }
        self.take_out(&mut inner, range)
    }

    /// Takes out everything, at exec and exit.
    pub fn clear(&self) {
        super::audit::before_end(self);
        let removed = {
            let mut inner = self.inner.borrow_mut();
            let pages = inner.pages.remove(0, u64::MAX);
            inner.garbage.extend(pages);
            inner.vmas.clear()
        };
        let executable = self.inner.borrow_mut().layout.executable.take();
        drop((removed, executable));
    }

    /// brk(2): the new end, or the old one when it cannot be.
    pub fn set_brk(&self, wanted: u64, data_limit: u64) -> u64 {
        let mut inner = self.inner.borrow_mut();
        let (start, old) = (inner.brk_start, inner.brk);
        let loaded = inner.layout.data.1.saturating_sub(inner.layout.data.0);
        if wanted < start || (wanted - start).saturating_add(loaded) > data_limit {
            return old;
        }
        let (Some(old_end), Some(new_end)) = (round_up(old), round_up(wanted)) else { return old };
        let locked = inner.new_areas.locked_at_once();
        if let Some(less) = PageRange::new(new_end, old_end) {
            if self.take_out(&mut inner, less).is_err() {
                return old;
            }
        } else if new_end > old_end {
            let Some(range) = PageRange::new(old_end, new_end) else { return old };
            if !inner.vmas.is_free(range) || range.len() > super::frames::limit() || inner.vmas.len() > max_areas() {
                return old;
            }
            let vma = Vma {
                range,
                prot: Prot::READ | Prot::WRITE,
                flags: inner.new_areas,
                backing: Backing::Anonymous,
                offset: 0,
                file: None,
            };
            let more = Totals::of(&vma);
            if inner.may_grow(more).is_err() || inner.may_lock_more(more).is_err() {
                return old;
            }
            let soon = if locked { Soon::Populate } else { Soon::Later };
            if self.put_in(&mut inner, vma, soon).is_err() {
                return old;
            }
        }
        inner.brk = wanted;
        drop(inner);
        if let Some(more) = PageRange::new(old_end, new_end).filter(|_| locked) {
            let _ = self.bring_in(more);
        }
        wanted
    }

    /// Sets where the heap begins, at exec.
    pub fn set_brk_start(&self, at: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.brk_start = at;
        inner.brk = at;
    }
}
