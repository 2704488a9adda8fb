//! The contents of files that live in guest memory: runs of frames by page, holes between them.

use super::PAGE;
use super::frames::{Fill, Frames, frame_count};
use super::invalidate::{Gone, Mappers};
use super::object::PageSource;
use super::user::IoBuf;
use super::window::GuestWindow;
use crate::lock::KCell;
use crate::{Errno, Result};
use abi::number::to_usize;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use umlab_model::PAGE_SIZE;

/// Longest run given to a growing file at once.
const MAX_RUN: u64 = 256;
/// Largest file (2^63 - 1 bytes, in pages).
pub const MAX_SIZE: u64 = i64::MAX as u64;

/// Counts the pages of all files of a file system, against its limit.
pub struct Quota {
    pub limit: u64,
    pub used: KCell<u64>,
}

impl Quota {
    pub fn new(limit: u64) -> Arc<Quota> {
        Arc::new(Quota { limit, used: KCell::new(0) })
    }

    fn take(&self, pages: u64) -> Result<()> {
        let mut used = self.used.borrow_mut();
        if self.limit - *used < pages {
            return Err(Errno::ENOSPC);
        }
        *used += pages;
        Ok(())
    }

    fn give_back(&self, pages: u64) {
        *self.used.borrow_mut() -= pages;
    }
}

/// Nameless memory that several processes can map (MAP_SHARED | MAP_ANONYMOUS).
pub fn shared_memory(len: u64) -> Arc<dyn PageSource> {
    static QUOTA: OnceLock<Arc<Quota>> = OnceLock::new();
    let contents = Contents::new(QUOTA.get_or_init(|| Quota::new(u64::MAX)));
    contents.truncate(len);
    contents
}

/// A file's bytes. Shared with the address spaces that map it.
pub struct Contents {
    inner: KCell<Inner>,
    quota: Arc<Quota>,
    mappers: Mappers,
}

#[derive(Default)]
struct Inner {
    runs: BTreeMap<u64, Frames>,
    size: u64,
    /// Number of frames in `runs`.
    pages: u64,
    /// Frames beyond the end of the file up to this page were asked for (FALLOC_FL_KEEP_SIZE);
    /// others there were only taken ahead.
    allocated: u64,
}

impl Inner {
    fn find(&self, page: u64) -> Option<(u64, &Frames)> {
        let (&first, frames) = self.runs.range(..=page).next_back()?;
        (page < first + u64::from(frames.count())).then_some((first, frames))
    }

    fn next_after(&self, page: u64) -> Option<u64> {
        self.runs.range(page..).next().map(|(&first, _)| first)
    }

    /// Takes the runs of pages [from, to) out.
    fn remove(&mut self, from: u64, to: u64) -> Vec<Frames> {
        for at in [from, to] {
            if let Some((&first, frames)) = self.runs.range_mut(..at).next_back()
                && at < first + u64::from(frames.count())
            {
                let rest = frames.split_off(frame_count(at - first));
                self.runs.insert(at, rest);
            }
        }
        let keys: Vec<u64> = self.runs.range(from..to).map(|(&first, _)| first).collect();
        let removed: Vec<Frames> = keys.into_iter().filter_map(|key| self.runs.remove(&key)).collect();
        self.pages -= count(&removed);
        removed
    }

    /// The first page that holds nothing of the file: frames from there on were taken ahead.
    fn end(&self) -> u64 {
        self.size.div_ceil(PAGE_SIZE).max(self.allocated)
    }

    /// Frames of the file, without those taken ahead.
    fn pages(&self) -> u64 {
        let end = self.end();
        let runs = self.runs.iter().rev();
        let ahead = runs.map(|(&first, frames)| (first + u64::from(frames.count())).saturating_sub(end.max(first)));
        self.pages - ahead.take_while(|&pages| pages > 0).sum::<u64>()
    }
}

fn count(runs: &[Frames]) -> u64 {
    runs.iter().map(|frames| u64::from(frames.count())).sum()
}

impl Contents {
    pub fn new(quota: &Arc<Quota>) -> Arc<Contents> {
        Arc::new(Contents { inner: KCell::default(), quota: quota.clone(), mappers: Mappers::default() })
    }

    pub fn size(&self) -> u64 {
        self.inner.borrow().size
    }

    /// Pages that memory is used for.
    pub fn pages(&self) -> u64 {
        self.inner.borrow().pages()
    }

    pub fn read(&self, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        static ZEROS: [u8; PAGE] = [0; PAGE];
        let mut done = 0;
        loop {
            let at = offset.saturating_add(done as u64);
            let size = self.size();
            if at >= size || buf.is_empty() {
                return Ok(done);
            }
            let left = buf.remaining().min(to_usize(size - at));
            let within = (at % PAGE_SIZE) as usize;
            // No borrow is held while guest memory is reached: it may be a mapping of this very
            // file.
            let source = {
                let inner = self.inner.borrow();
                inner.find(at / PAGE_SIZE).map(|(first, frames)| {
                    GuestWindow::of_frames(frames, to_usize((at / PAGE_SIZE - first) * PAGE_SIZE) + within, left)
                })
            };
            let result = match source {
                Some(window) => buf.with_window(window.len(), true, |to| to.copy_from(&window.get())),
                None => buf.put(&ZEROS[..left.min(PAGE - within)]),
            };
            match result {
                Ok(n) => done += n,
                Err(_) if done > 0 => return Ok(done),
                Err(e) => return Err(e),
            }
        }
    }

    /// Writes at `offset`; grows the file. ENOSPC when nothing could be written for lack of room.
    pub fn write(&self, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        let mut done = 0;
        while !buf.is_empty() {
            let at = offset + done as u64;
            if at >= MAX_SIZE {
                return if done > 0 { Ok(done) } else { Err(Errno::EFBIG) };
            }
            let window = match self.room(at, buf.remaining()) {
                Ok(window) => window,
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            };
            match buf.with_window(window.len(), false, |from| window.get().copy_from(&from)) {
                Ok(n) => {
                    done += n;
                    let mut inner = self.inner.borrow_mut();
                    inner.size = inner.size.max(offset + done as u64);
                }
                Err(_) if done > 0 => break,
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// A window to write to at `offset`, memory for it made where there is none.
    fn room(&self, offset: u64, len: usize) -> Result<GuestWindow> {
        let page = offset / PAGE_SIZE;
        let within = (offset % PAGE_SIZE) as usize;
        let mut inner = self.inner.borrow_mut();
        if page > inner.end() {
            self.give_up_ahead(&mut inner);
        }
        if inner.find(page).is_none() {
            let wanted = ((within + len) as u64).div_ceil(PAGE_SIZE);
            self.fill(&mut inner, page, wanted)?;
        }
        let (first, frames) = inner.find(page).ok_or(Errno::ENOSPC)?;
        Ok(GuestWindow::of_frames(frames, to_usize((page - first) * PAGE_SIZE) + within, len))
    }

    /// Puts a run of zero frames at a hole: at least one page, for `wanted` or more as the file
    /// grows.
    fn fill(&self, inner: &mut Inner, page: u64, wanted: u64) -> Result<()> {
        let room = inner.next_after(page).map_or(u64::MAX, |next| next - page);
        // A file that grows at its end is given as much again as it has, so that it stays in few
        // runs.
        let at_end = room == u64::MAX && page * PAGE_SIZE >= inner.size && page > 0;
        let ahead = if at_end { inner.pages.min(MAX_RUN / 4) } else { 0 };
        let mut count = wanted.max(ahead).min(room).clamp(1, MAX_RUN);
        if self.quota.take(count).is_err() {
            count = wanted.min(room).clamp(1, MAX_RUN);
            if self.quota.take(count).is_err() {
                count = 1;
                self.quota.take(1)?;
            }
        }
        match Frames::alloc(frame_count(count), Fill::Zero) {
            Ok(frames) => {
                inner.pages += count;
                let before = inner.runs.range_mut(..page).next_back();
                if let Some((&first, before)) = before
                    && first + u64::from(before.count()) == page
                {
                    if let Err(frames) = before.join(frames) {
                        inner.runs.insert(page, frames);
                    }
                } else {
                    inner.runs.insert(page, frames);
                }
                Ok(())
            }
            Err(_) => {
                self.quota.give_back(count);
                Err(Errno::ENOSPC)
            }
        }
    }

    /// Sets the size. What lies beyond the end is given up, and reads as zero if the file grows
    /// again.
    pub fn truncate(&self, size: u64) {
        let keep = size.div_ceil(PAGE_SIZE);
        let (removed, cut) = {
            let mut inner = self.inner.borrow_mut();
            let mut removed = Vec::new();
            let cut = size < inner.size;
            if cut {
                removed = inner.remove(keep, u64::MAX);
                inner.allocated = inner.allocated.min(keep);
                self.zero_in_page(&inner, size, keep * PAGE_SIZE);
            } else {
                self.give_up_ahead(&mut inner);
            }
            inner.size = size;
            (removed, cut)
        };
        // Where the file had a hole there may be private copies.
        if cut {
            self.mappers.invalidate(keep, u64::MAX / PAGE_SIZE, Gone::Cut);
        }
        self.quota.give_back(count(&removed));
    }

    /// Whether an address space maps it so that it could be written.
    pub fn is_mapped_writable(&self) -> bool {
        self.mappers.any_writes_to()
    }

    /// Gives up what was taken ahead: the file's end jumps over it, and there is a hole. Nobody can
    /// have mapped it.
    fn give_up_ahead(&self, inner: &mut Inner) {
        let end = inner.end();
        let removed = inner.remove(end, u64::MAX);
        self.quota.give_back(count(&removed));
    }

    /// Zeroes [from, to), which lies within one page.
    fn zero_in_page(&self, inner: &Inner, from: u64, to: u64) {
        if from < to
            && let Some((first, frames)) = inner.find(from / PAGE_SIZE)
        {
            let at = to_usize((from / PAGE_SIZE - first) * PAGE_SIZE + from % PAGE_SIZE);
            frames.window(at, to_usize(to - from)).zero();
        }
    }

    /// fallocate(FALLOC_FL_PUNCH_HOLE): the range reads as zero; whole pages are given up.
    pub fn punch(&self, offset: u64, len: u64) {
        let end = offset.saturating_add(len);
        let (from, to) = (offset.div_ceil(PAGE_SIZE), end / PAGE_SIZE);
        let removed = {
            let mut inner = self.inner.borrow_mut();
            let removed = if from < to { inner.remove(from, to) } else { Vec::new() };
            self.zero_in_page(&inner, offset, end.min(from * PAGE_SIZE));
            if to >= from {
                self.zero_in_page(&inner, to * PAGE_SIZE, end);
            }
            removed
        };
        // Mappers may have the frames: they are let go when nobody can reach them any more.
        if !removed.is_empty() {
            self.mappers.invalidate(from, to, Gone::Punched);
            self.quota.give_back(count(&removed));
        }
    }

    /// fallocate(0): memory for the whole range; the size grows unless `keep_size`.
    pub fn allocate(&self, offset: u64, len: u64, keep_size: bool) -> Result<()> {
        let end = offset.checked_add(len).filter(|&end| end <= MAX_SIZE).ok_or(Errno::EFBIG)?;
        let mut inner = self.inner.borrow_mut();
        if end.div_ceil(PAGE_SIZE) - offset / PAGE_SIZE > self.quota.limit {
            return Err(Errno::ENOSPC);
        }
        let mut page = offset / PAGE_SIZE;
        while page * PAGE_SIZE < end {
            match inner.find(page) {
                Some((first, frames)) => page = first + u64::from(frames.count()),
                None => self.fill(&mut inner, page, end.div_ceil(PAGE_SIZE) - page)?,
            }
        }
        if keep_size {
            inner.allocated = inner.allocated.max(end.div_ceil(PAGE_SIZE));
        } else {
            inner.size = inner.size.max(end);
        }
        Ok(())
    }

    /// SEEK_DATA and SEEK_HOLE.
    pub fn seek(&self, offset: u64, whence: i32) -> Result<u64> {
        let inner = self.inner.borrow();
        if offset >= inner.size {
            return Err(Errno::ENXIO);
        }
        let mut page = offset / PAGE_SIZE;
        if whence == abi::SEEK_DATA {
            if inner.find(page).is_some() {
                return Ok(offset);
            }
            let next = inner.next_after(page).ok_or(Errno::ENXIO)? * PAGE_SIZE;
            return if next < inner.size { Ok(next) } else { Err(Errno::ENXIO) };
        }
        while let Some((first, frames)) = inner.find(page) {
            page = first + u64::from(frames.count());
        }
        Ok((page * PAGE_SIZE).max(offset).min(inner.size))
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        let pages = self.inner.borrow().pages;
        self.quota.give_back(pages);
    }
}

impl PageSource for Contents {
    fn frames(&self, index: u64, max: u32, write: bool) -> Result<Option<Frames>> {
        let mut inner = self.inner.borrow_mut();
        if index >= inner.size.div_ceil(PAGE_SIZE) {
            return Ok(None);
        }
        let max = frame_count((inner.size.div_ceil(PAGE_SIZE) - index).min(u64::from(max)));
        if inner.find(index).is_none() {
            let around = if write { 16 } else { 1 };
            self.fill(&mut inner, index, u64::from(max).min(around))?;
        }
        let (first, frames) = inner.find(index).ok_or(Errno::ENOMEM)?;
        let skip = frame_count(index - first);
        Ok(Some(frames.share(skip, (frames.count() - skip).min(max))))
    }

    fn present(&self, index: u64, max: u32) -> Option<Frames> {
        let inner = self.inner.borrow();
        let (first, frames) = inner.find(index)?;
        let skip = frame_count(index - first);
        Some(frames.share(skip, (frames.count() - skip).min(max)))
    }

    fn punch(&self, offset: u64, len: u64) -> Result<()> {
        Contents::punch(self, offset, len);
        Ok(())
    }

    fn next_present(&self, index: u64) -> Option<u64> {
        self.inner.borrow().next_after(index)
    }

    fn mappers(&self) -> Option<&Mappers> {
        Some(&self.mappers)
    }
}
