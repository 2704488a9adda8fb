//! Giving up frames that were given out and never filled.
//!
//! Frames are given out by runs, because one mapping of many pages costs what one of a single page
//! does, and the host brings their memory in as user code touches them, without the core's doing.
//! So all that is given out counts, filled or not. When that is too much, the frames that hold
//! nothing yet are taken back: a touch brings new ones.

use super::frames::Frames;
use super::space::AddressSpace;
use super::vma::Run;
use crate::sched::preempt_point;
use umlab_model::PageRange;

/// So many runs or areas are dropped in one go.
const BATCH: usize = 128;

/// So many runs are trimmed in one go: each takes some calls of the host.
const TRIMMED: usize = 16;

/// So many pages are dropped in one go.
const STEP: u64 = 1024;

impl AddressSpace {
    /// Drops everything, for the last user of the space, in whose stub processes no user code will
    /// run again.
    pub fn empty(&self) {
        super::audit::before_end(self);
        // The areas first: an address space without any is one that has ended, whatever the host
        // still shows of its pages.
        let areas = std::mem::take(&mut self.inner.borrow_mut().vmas);
        for (number, area) in (1..).zip(areas) {
            drop(area);
            if number % BATCH == 0 {
                preempt_point();
            }
        }
        loop {
            let mut dropped = Vec::new();
            {
                let mut inner = self.inner.borrow_mut();
                let mut room = STEP;
                while room > 0 && dropped.len() < BATCH {
                    let Some((page, _, count, _)) = inner.pages.within(0, u64::MAX).next() else { break };
                    let part = u64::from(count).min(room);
                    dropped.extend(inner.pages.remove(page, page + part));
                    room -= part;
                }
            }
            if dropped.is_empty() {
                return;
            }
            drop(dropped);
            preempt_point();
        }
    }

    /// Gives up private frames that hold nothing; returns how many. Nothing may be borrowed.
    pub fn trim(&self) -> u64 {
        let (mut from, mut freed) = (0, 0);
        while let Some(next) = self.trim_batch(from, &mut freed) {
            from = next;
            preempt_point();
        }
        freed
    }

    /// As `trim`, for the next runs from page `from` on; returns where to go on.
    fn trim_batch(&self, from: u64, freed: &mut u64) -> Option<u64> {
        let (found, next, mapped) = {
            let inner = self.inner.borrow();
            let mut next = None;
            let mut found = Vec::new();
            for (page, _, count, run) in inner.pages.within(from, u64::MAX).take(TRIMMED) {
                next = Some(page + u64::from(count));
                if count > 1 && !run.frames.is_shared() && resident_count(&run.frames) < run.frames.count() {
                    found.push((page, run.frames.offset(), run.frames.count()));
                }
            }
            for &(page, _, count) in &found {
                self.host.unmap(PageRange::of_pages(page, page + u64::from(count)).expect("a run has pages"));
            }
            (found, next?, inner.mapped)
        };
        if found.is_empty() {
            return Some(next);
        }
        // From here on no user code reaches the runs, unless another thread of the space has them
        // mapped again meanwhile.
        self.host.sync();
        let mut inner = self.inner.borrow_mut();
        if inner.mapped != mapped {
            return Some(next);
        }
        for (page, offset, count) in found {
            let same = |(first, run): (u64, &Run)| {
                first == page && run.frames.offset() == offset && run.frames.count() == count && !run.frames.is_shared()
            };
            if !inner.pages.find(page).is_some_and(same) {
                continue;
            }
            for (first, run) in inner.pages.remove(page, page + u64::from(count)) {
                let host_ro = run.host_ro;
                for (index, part, filled) in pieces(run.frames) {
                    if filled {
                        inner.pages.insert(first + u64::from(index), Run { frames: part, host_ro });
                    } else {
                        *freed += u64::from(part.count());
                        part.never_filled();
                    }
                }
            }
        }
        Some(next)
    }
}

fn resident_count(frames: &Frames) -> u32 {
    frames.resident().iter().map(|(_, count)| count).sum()
}

/// Cuts a run into parts that hold something and parts that do not: where each begins, the frames,
/// and which it is.
fn pieces(mut frames: Frames) -> Vec<(u32, Frames, bool)> {
    let total = frames.count();
    let mut out = Vec::new();
    let mut at = 0;
    let filled = frames.resident();
    let borders = filled.iter().flat_map(|&(index, count)| [index, index + count]).chain([total]);
    let mut is_filled = false;
    for border in borders {
        if border > at {
            let rest = (border < total).then(|| frames.split_off(border - at));
            out.push((at, frames, is_filled));
            at = border;
            match rest {
                Some(rest) => frames = rest,
                None => return out,
            }
        }
        is_filled = !is_filled;
    }
    out
}
