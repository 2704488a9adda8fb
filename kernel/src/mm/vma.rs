//! Virtual memory areas: ranges of an address space with the same rights and the same thing behind
//! them.

use super::frames::{Frames, frame_count};
use super::gaps::Gaps;
use super::object::{HostFile, MappedFile, PageSource};
use super::space::max_areas;
use super::{PAGE, window};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;
use umlab_model::{PAGE_SIZE, PageRange, Prot};

bitflags::bitflags! {
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct VmaFlags: u32 {
        /// MAP_SHARED.
        const SHARED = 1;
        /// Grows downwards at a fault below it.
        const GROWSDOWN = 2;
        /// Not counted, and filled only by faults.
        const NORESERVE = 4;
        /// MADV_DONTFORK.
        const DONTFORK = 8;
        /// MADV_WIPEONFORK.
        const WIPEONFORK = 16;
        /// mlock(2).
        const LOCKED = 32;
        /// MLOCK_ONFAULT.
        const LOCK_ON_FAULT = 1024;
        /// mprotect must not make it writable: a shared mapping of a file that was not opened for
        /// writing, or is sealed; the vDSO's data.
        const NOWRITE = 64;
        /// A private mapping that a loader made of a program's or a library's segment; see
        /// `Vma::copies_ahead`.
        const SEGMENT = 128;
        /// mprotect must not make it executable: a file on a mount that is noexec; the vDSO's data.
        const NOEXEC = 256;
        /// MADV_DONTDUMP.
        const DONTDUMP = 512;
    }
}

impl VmaFlags {
    /// Whether all pages are there as long as the area is, not only those that were touched.
    pub fn locked_at_once(self) -> bool {
        self.contains(VmaFlags::LOCKED) && !self.contains(VmaFlags::LOCK_ON_FAULT)
    }
}

/// What is behind an area.
#[derive(Clone)]
pub enum Backing {
    /// Zeros.
    Anonymous,
    Host(Arc<HostFile>),
    Pages(Arc<dyn PageSource>),
    /// The model's own, as the vDSO, made with these rights; never read or mapped by the core. It
    /// can neither be cut nor written to.
    Model(&'static str, Prot),
}

impl Backing {
    /// Whether both show the same object.
    pub fn same(&self, other: &Backing) -> bool {
        match (self, other) {
            (Backing::Anonymous, Backing::Anonymous) => true,
            (Backing::Host(a), Backing::Host(b)) => Arc::ptr_eq(a, b),
            (Backing::Pages(a), Backing::Pages(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

#[derive(Clone)]
pub struct Vma {
    pub range: PageRange,
    pub prot: Prot,
    pub flags: VmaFlags,
    pub backing: Backing,
    /// Byte offset into what is behind it, at its start.
    pub offset: u64,
    /// The file it was mapped from, for /proc and for keeping it open.
    pub file: Option<Arc<dyn MappedFile>>,
}

impl Vma {
    pub fn start(&self) -> u64 {
        self.range.start()
    }

    /// One past its last address.
    pub fn end(&self) -> u64 {
        self.range.end()
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.range.len()
    }

    pub fn is_shared(&self) -> bool {
        self.flags.contains(VmaFlags::SHARED)
    }

    /// Whether private copies of pages may be made before they are written. That saves faults, but
    /// hides what others write to the file later. So it is done for segments only, which are mostly
    /// written as soon as they are there, and while nobody has the file open for writing.
    pub fn copies_ahead(&self) -> bool {
        self.flags.contains(VmaFlags::SEGMENT) && !self.file.as_ref().is_some_and(|file| file.is_written())
    }

    /// Whether it counts for RLIMIT_DATA.
    pub fn is_data(&self) -> bool {
        !self.is_shared() && self.prot.contains(Prot::WRITE) && !self.flags.contains(VmaFlags::GROWSDOWN)
    }

    /// Private memory without a file: what is not there yet is zero.
    pub fn is_private_anonymous(&self) -> bool {
        !self.is_shared() && matches!(self.backing, Backing::Anonymous)
    }

    /// The offset into what is behind it of an address in it.
    pub fn offset_of(&self, addr: u64) -> u64 {
        self.offset + (addr - self.start())
    }

    /// The part of it within a range, if it has one.
    pub fn cut(&self, range: PageRange) -> Option<Vma> {
        self.range.common(range)?;
        let mut part = self.clone();
        part.shrink(range);
        Some(part)
    }

    /// Becomes the part of it within a range, which overlaps it.
    fn shrink(&mut self, range: PageRange) {
        let range = self.range.common(range).expect("a range that overlaps the area");
        (self.offset, self.range) = (self.offset_of(range.start()), range);
    }

    /// Whether it is the model's own.
    pub fn is_model_owned(&self) -> bool {
        matches!(self.backing, Backing::Model(..))
    }

    /// Whether mprotect(2) may give it these rights.
    pub fn may_have(&self, prot: Prot) -> bool {
        match self.backing {
            Backing::Model(_, made) => made.contains(prot),
            _ => {
                !(self.flags.contains(VmaFlags::NOWRITE) && prot.contains(Prot::WRITE)
                    || self.flags.contains(VmaFlags::NOEXEC) && prot.contains(Prot::EXEC))
            }
        }
    }

    /// Whether `next`, which begins where this ends, is a continuation of it.
    pub fn continues_in(&self, next: &Vma) -> bool {
        let files = match (&self.file, &next.file) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        self.end() == next.start()
            && self.prot == next.prot
            && self.flags == next.flags
            && files
            && self.backing.same(&next.backing)
            && (matches!(self.backing, Backing::Anonymous) || self.offset + self.len() == next.offset)
    }
}

/// Bytes of an address space's areas.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    pub mapped: u64,
    /// Of mlock(2) and its like.
    pub locked: u64,
    /// Private and writable, but for stacks: what RLIMIT_DATA is about.
    pub data: u64,
}

impl Totals {
    /// What one area adds.
    pub fn of(vma: &Vma) -> Totals {
        let when = |yes: bool| if yes { vma.len() } else { 0 };
        Totals { mapped: vma.len(), locked: when(vma.flags.contains(VmaFlags::LOCKED)), data: when(vma.is_data()) }
    }

    fn add(&mut self, more: Totals) {
        self.mapped += more.mapped;
        self.locked += more.locked;
        self.data += more.data;
    }

    fn remove(&mut self, less: Totals) {
        self.mapped -= less.mapped;
        self.locked -= less.locked;
        self.data -= less.data;
    }
}

/// Areas that were taken out: one, most often.
pub type Removed = SmallVec<[Vma; 1]>;

/// More areas than an address space may have.
#[derive(Debug)]
pub struct TooMany;

/// An address space's areas, by start address, none overlapping.
#[derive(Default)]
pub struct Vmas {
    areas: BTreeMap<u64, Vma>,
    gaps: Gaps,
    totals: Totals,
    changes: u64,
}

impl Vmas {
    /// The host's mappings of the areas become stricter than the areas are (fork).
    pub fn restricted(&mut self) {
        self.changes += 1;
    }

    /// Rises whenever an area comes, goes or changes.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    pub fn find(&self, addr: u64) -> Option<&Vma> {
        self.areas.range(..=addr).next_back().map(|(_, vma)| vma).filter(|vma| vma.range.contains(addr))
    }

    /// The first area that ends after `addr`.
    pub fn at_or_after(&self, addr: u64) -> Option<&Vma> {
        self.find(addr).or_else(|| self.areas.range(addr..).next().map(|(_, vma)| vma))
    }

    /// The last area that begins before `addr`.
    pub fn before(&self, addr: u64) -> Option<&Vma> {
        self.areas.range(..addr).next_back().map(|(_, vma)| vma)
    }

    /// The areas that overlap a range, in order.
    pub fn overlapping(&self, range: PageRange) -> impl Iterator<Item = &Vma> {
        let first = self.find(range.start()).map_or(range.start(), Vma::start);
        self.areas.range(first..range.end()).map(|(_, vma)| vma)
    }

    /// The parts of the areas that lie in a range, in order.
    pub fn within(&self, range: PageRange) -> impl Iterator<Item = Vma> {
        self.overlapping(range).filter_map(move |vma| vma.cut(range))
    }

    /// Bytes of a range that are mapped.
    pub fn mapped_within(&self, range: PageRange) -> u64 {
        self.overlapping(range).filter_map(|vma| vma.range.common(range)).map(|part| part.len()).sum()
    }

    /// Whether nothing is mapped in a range.
    pub fn is_free(&self, range: PageRange) -> bool {
        self.overlapping(range).next().is_none()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Vma> {
        self.areas.values()
    }

    pub fn len(&self) -> usize {
        self.areas.len()
    }

    /// Where the first hole in a range begins; its end, if there is none.
    pub fn covered_to(&self, range: PageRange) -> u64 {
        let mut at = range.start();
        for vma in self.overlapping(range) {
            if vma.start() > at {
                break;
            }
            at = vma.end();
        }
        at.min(range.end())
    }

    /// Whether the whole range is mapped.
    pub fn covers(&self, range: PageRange) -> bool {
        self.covered_to(range) == range.end()
    }

    /// The sums over all areas.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// What a child has of the areas (fork(2)): no locks, and not those that are the parent's
    /// alone.
    pub fn inherited(&self) -> Vmas {
        let (mut gaps, mut totals) = (self.gaps.clone(), Totals::default());
        let mut inherited = |vma: &Vma| {
            if vma.flags.contains(VmaFlags::DONTFORK) {
                gaps.give(vma.range);
                return None;
            }
            let mut vma = vma.clone();
            vma.flags -= VmaFlags::LOCKED | VmaFlags::LOCK_ON_FAULT;
            totals.add(Totals::of(&vma));
            Some((vma.start(), vma))
        };
        let areas = self.areas.values().filter_map(&mut inherited).collect();
        Vmas { areas, gaps, totals, changes: 0 }
    }

    fn put(&mut self, vma: Vma) {
        self.totals.add(Totals::of(&vma));
        self.areas.insert(vma.start(), vma);
    }

    fn pull(&mut self, start: u64) -> Vma {
        let vma = self.areas.remove(&start).expect("an area that is listed");
        self.totals.remove(Totals::of(&vma));
        vma
    }

    /// Whether an area of the model's own would be cut at an end of the range. That cannot be: the
    /// host refuses it too.
    pub fn cuts_model(&self, range: PageRange) -> bool {
        let cut = |vma: &Vma| vma.is_model_owned() && !range.covers(vma.range);
        [range.start(), range.end() - 1].into_iter().filter_map(|addr| self.find(addr)).any(cut)
    }

    /// Adds an area where none is, joined with its neighbours where it continues them.
    ///
    /// # Panics
    /// If another area overlaps it: frames that are mapped there would count as free.
    pub fn insert(&mut self, vma: Vma) {
        self.gaps.take(vma.range);
        self.join_in(vma);
    }

    fn join_in(&mut self, mut vma: Vma) {
        self.changes += 1;
        if let Some(after) = self.areas.get(&vma.end())
            && vma.continues_in(after)
        {
            let after = self.pull(after.start());
            vma.range = joined(vma.range, after.range);
        }
        if let Some((_, before)) = self.areas.range_mut(..vma.start()).next_back()
            && before.continues_in(&vma)
        {
            before.range = joined(before.range, vma.range);
            self.totals.add(Totals::of(&vma));
            return;
        }
        self.put(vma);
    }

    /// Takes everything within a range out, cutting areas at its ends.
    pub fn remove(&mut self, range: PageRange) -> Removed {
        let removed = self.cut_out(range);
        removed.iter().for_each(|vma| self.gaps.give(vma.range));
        removed
    }

    /// Takes out what lies in a range. An area of the model's own is taken whole or not at all: the
    /// host cannot cut it either.
    fn cut_out(&mut self, range: PageRange) -> Removed {
        self.changes += 1;
        let whole = |vma: &&Vma| !vma.is_model_owned() || range.covers(vma.range);
        let keys: SmallVec<[u64; 4]> = self.overlapping(range).filter(whole).map(Vma::start).collect();
        let mut removed = Removed::with_capacity(keys.len());
        for key in keys {
            let vma = self.areas.get_mut(&key).expect("just listed");
            let above = vma.range.above(range.end()).and_then(|above| vma.cut(above));
            let mut part = match vma.range.below(range.start()) {
                // Stays where it is.
                Some(below) => {
                    let part = vma.clone();
                    self.totals.remove(Totals::of(vma));
                    vma.range = below;
                    self.totals.add(Totals::of(vma));
                    part
                }
                None => self.pull(key),
            };
            above.into_iter().for_each(|above| self.put(above));
            part.shrink(range);
            removed.push(part);
        }
        removed
    }

    /// Takes everything out.
    pub fn clear(&mut self) -> impl Sized + use<> {
        let changes = self.changes + 1;
        std::mem::replace(self, Vmas { changes, ..Vmas::default() })
    }

    /// Changes all areas within a range, cutting them at its ends and joining what then continues
    /// each other. Returns what each was and is.
    ///
    /// # Errors
    /// There would be too many areas. Nothing is changed then.
    pub fn change(&mut self, range: PageRange, change: impl Fn(&mut Vma)) -> Result<Vec<(Vma, Vma)>, TooMany> {
        let before = self.len();
        let pairs: Vec<(Vma, Vma)> = self
            .cut_out(range)
            .into_iter()
            .map(|old| {
                let mut new = old.clone();
                change(&mut new);
                (old, new)
            })
            .collect();
        pairs.iter().for_each(|(_, new)| self.join_in(new.clone()));
        if self.len() > before.max(max_areas()) {
            self.cut_out(range);
            pairs.into_iter().for_each(|(old, _)| self.join_in(old));
            return Err(TooMany);
        }
        Ok(pairs)
    }

    /// Whether a range can be taken out: not if that cuts one area in two, and there are as many as
    /// there may be.
    pub fn may_remove(&self, range: PageRange) -> bool {
        let cut = self.find(range.start()).is_some_and(|vma| vma.start() < range.start() && range.end() < vma.end());
        !cut || self.len() < max_areas()
    }

    /// The highest free range of `len` bytes within [low, high).
    pub fn find_gap(&self, low: u64, high: u64, len: u64) -> Option<u64> {
        self.gaps.highest(low, high, len)
    }

    /// The lowest free range of `len` bytes at or above `low`, below `high`.
    pub fn find_gap_above(&self, low: u64, high: u64, len: u64) -> Option<u64> {
        self.gaps.lowest(low, high, len)
    }
}

/// Two ranges of which the second begins where the first ends.
fn joined(first: PageRange, second: PageRange) -> PageRange {
    PageRange::new(first.start(), second.end()).expect("neighbours make a range")
}

/// A run of private frames at a place in an address space.
pub struct Run {
    pub frames: Frames,
    /// The host has it mapped without write permission, although the area is writable: it is, or
    /// was, shared with another address space.
    pub host_ro: bool,
}

impl IntoIterator for Vmas {
    type Item = Vma;
    type IntoIter = std::collections::btree_map::IntoValues<u64, Vma>;

    fn into_iter(self) -> Self::IntoIter {
        self.areas.into_values()
    }
}

/// The private pages of an address space, in runs by page number, none overlapping.
#[derive(Default)]
pub struct Pages {
    runs: BTreeMap<u64, Run>,
    count: u64,
}

impl Pages {
    /// The run that holds a page: the number of its first page, and the run.
    pub fn find(&self, page: u64) -> Option<(u64, &Run)> {
        let (&first, run) = self.runs.range(..=page).next_back()?;
        (page < first + u64::from(run.frames.count())).then_some((first, run))
    }

    /// The run at an address from whose pages on nobody else has them, for as many of `len` bytes
    /// as that is so: the run's frames, where in them, and how many bytes. None when the first page
    /// is not there, or shared.
    pub fn unshared(&self, addr: u64, len: usize) -> Option<(&Frames, usize, usize)> {
        let page = page_of(addr);
        let (first, run) = self.find(page)?;
        let index = frame_count(page - first);
        let within = (addr % PAGE_SIZE) as usize;
        let pages = window::pages_of(within, len).min(run.frames.count() - index);
        let own = run.frames.unshared(index, pages);
        let len = len.min((own as usize * PAGE).saturating_sub(within));
        (own > 0).then_some((&run.frames, index as usize * PAGE + within, len))
    }

    /// The number of the first page at or after `page` that is there.
    pub fn next_after(&self, page: u64) -> Option<u64> {
        self.runs.range(page..).next().map(|(&first, _)| first)
    }

    /// One past the last page of the last run that lies before `page`.
    pub fn end_before(&self, page: u64) -> Option<u64> {
        self.runs.range(..page).next_back().map(|(&first, run)| first + u64::from(run.frames.count()))
    }

    /// Adds a run where none is.
    ///
    /// # Panics
    /// If another run has one of the pages: its frames, which the host may have mapped, would be
    /// given away.
    pub fn insert(&mut self, page: u64, run: Run) {
        assert!(self.is_free(page, page + u64::from(run.frames.count())), "two runs of frames overlap");
        self.count += u64::from(run.frames.count());
        // Runs that follow each other in physmem too are joined, so that they are mapped by one
        // order next time.
        if let Some((&first, before)) = self.runs.range_mut(..page).next_back()
            && first + u64::from(before.frames.count()) == page
            && before.host_ro == run.host_ro
        {
            match before.frames.join(run.frames) {
                Ok(()) => return,
                Err(frames) => {
                    self.runs.insert(page, Run { frames, host_ro: run.host_ro });
                    return;
                }
            }
        }
        self.runs.insert(page, run);
    }

    /// Whether there is no page in [from, to).
    fn is_free(&self, from: u64, to: u64) -> bool {
        self.end_before(to).is_none_or(|end| end <= from)
    }

    /// Cuts the run that spans the boundary before `page`, if one does.
    fn cut_at(&mut self, page: u64) {
        if let Some((&first, run)) = self.runs.range_mut(..page).next_back()
            && page < first + u64::from(run.frames.count())
        {
            let rest = Run { frames: run.frames.split_off(frame_count(page - first)), host_ro: run.host_ro };
            self.runs.insert(page, rest);
        }
    }

    /// Takes all runs within [from, to) out.
    pub fn remove(&mut self, from: u64, to: u64) -> Vec<(u64, Run)> {
        if self.is_free(from, to) {
            return Vec::new();
        }
        self.cut_at(from);
        self.cut_at(to);
        let keys: Vec<u64> = self.runs.range(from..to).map(|(&first, _)| first).collect();
        let removed: Vec<_> = keys.into_iter().map(|key| (key, self.runs.remove(&key).expect("just listed"))).collect();
        self.count -= removed.iter().map(|(_, run)| u64::from(run.frames.count())).sum::<u64>();
        removed
    }

    /// The runs that overlap [from, to), cut to it: first page, index into the run, number of
    /// pages, the run.
    pub fn within(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u32, u32, &Run)> {
        let first = self.find(from).map_or(from, |(first, _)| first);
        self.runs.range(first..to.max(first)).map(move |(&first, run)| {
            let start = first.max(from);
            let end = (first + u64::from(run.frames.count())).min(to);
            (start, frame_count(start - first), frame_count(end - start), run)
        })
    }

    /// As `within`, to change the `host_ro` marks; runs are cut at the ends of the range first.
    pub fn within_mut(&mut self, from: u64, to: u64) -> impl Iterator<Item = (u64, &mut Run)> {
        self.cut_at(from);
        self.cut_at(to);
        self.runs.range_mut(from..to).map(|(&first, run)| (first, run))
    }

    /// Number of pages.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Number of runs.
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    pub fn clear(&mut self) {
        self.runs.clear();
        self.count = 0;
    }
}

pub fn page_of(addr: u64) -> u64 {
    addr / PAGE_SIZE
}

pub fn round_up(len: u64) -> Option<u64> {
    len.checked_add(PAGE_SIZE - 1).map(|l| l & !(PAGE_SIZE - 1))
}

pub fn is_aligned(addr: u64) -> bool {
    addr.is_multiple_of(PAGE_SIZE)
}
