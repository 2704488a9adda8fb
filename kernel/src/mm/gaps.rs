//! The free ranges of an address space, by address, so that room for a mapping is found without a
//! look at every area.
//!
//! Neighbouring ranges lie together in blocks. A block knows its longest range, so a search passes
//! over blocks that have no room, and looks into one that has. An address space has some 65,000
//! areas at most, which is a few hundred blocks.

use umlab_model::PageRange;

/// A block with more ranges than this is cut in two.
const FULL: usize = 256;
/// A block with fewer ranges joins its neighbour, if both together are not full again.
const SPARSE: usize = FULL / 4;

/// Start, and one past the end.
type Gap = (u64, u64);

#[derive(Clone, Default)]
struct Block {
    longest: u64,
    /// At least one, by address.
    gaps: Vec<Gap>,
}

impl Block {
    fn of(gaps: Vec<Gap>) -> Block {
        let mut block = Block { longest: 0, gaps };
        block.measure();
        block
    }

    fn measure(&mut self) {
        self.longest = self.gaps.iter().map(|(start, end)| end - start).max().unwrap_or(0);
    }
}

/// Free ranges, none of which touch each other.
#[derive(Clone)]
pub struct Gaps(Vec<Block>);

impl Default for Gaps {
    /// All of the guest's part is free.
    fn default() -> Gaps {
        let all = PageRange::everything();
        Gaps(vec![Block::of(vec![(all.start(), all.end())])])
    }
}

impl Gaps {
    /// The block and the place in it of the last range that begins at or below `addr`.
    fn find(&self, addr: u64) -> Option<(usize, usize)> {
        let block = self.0.partition_point(|block| block.gaps[0].0 <= addr).checked_sub(1)?;
        let gap = self.0[block].gaps.partition_point(|gap| gap.0 <= addr).checked_sub(1)?;
        Some((block, gap))
    }

    /// Whether a range is free.
    fn has(&self, range: PageRange) -> bool {
        self.find(range.start()).is_some_and(|(block, gap)| range.end() <= self.0[block].gaps[gap].1)
    }

    /// Puts ranges in the place of `count` ranges of a block.
    fn splice(&mut self, block: usize, at: usize, count: usize, new: &[Gap]) {
        let (index, block) = (block, &mut self.0[block]);
        let old = at..at + count;
        let len = |(start, end): &Gap| end - start;
        let had_longest = block.gaps[old.clone()].iter().any(|gap| len(gap) == block.longest);
        if let (1, [gap]) = (count, new) {
            block.gaps[at] = *gap;
        } else {
            block.gaps.splice(old, new.iter().copied());
        }
        match new.iter().map(len).max() {
            Some(longest) if longest >= block.longest => block.longest = longest,
            _ if had_longest => block.measure(),
            _ => {}
        }
        if block.gaps.is_empty() {
            self.0.remove(index);
        } else if block.gaps.len() > FULL {
            let rest = Block::of(block.gaps.split_off(FULL / 2));
            block.measure();
            self.0.insert(index + 1, rest);
        } else if block.gaps.len() < SPARSE
            && let Some(next) = self.0.get(index + 1)
            && next.gaps.len() <= FULL - SPARSE
        {
            let next = self.0.remove(index + 1);
            let block = &mut self.0[index];
            block.gaps.extend(next.gaps);
            block.longest = block.longest.max(next.longest);
        }
    }

    /// A range is free no more.
    ///
    /// # Panics
    /// If it was not free.
    pub fn take(&mut self, range: PageRange) {
        assert!(self.has(range), "two areas overlap");
        let (block, at) = self.find(range.start()).expect("just found");
        let (start, end) = self.0[block].gaps[at];
        let rest = [(start, range.start()), (range.end(), end)];
        match rest.map(|(start, end)| start < end) {
            [true, true] => self.splice(block, at, 1, &rest),
            [true, false] => self.splice(block, at, 1, &rest[..1]),
            [false, true] => self.splice(block, at, 1, &rest[1..]),
            [false, false] => self.splice(block, at, 1, &[]),
        }
    }

    /// A range that was not free is.
    pub fn give(&mut self, range: PageRange) {
        let (mut start, mut end) = (range.start(), range.end());
        // The one above first: the place of the one below stays what it is.
        if let Some((block, at)) = self.find(end)
            && self.0[block].gaps[at].0 == end
        {
            end = self.0[block].gaps[at].1;
            self.splice(block, at, 1, &[]);
        }
        match self.find(start) {
            Some((block, at)) if self.0[block].gaps[at].1 == start => {
                start = self.0[block].gaps[at].0;
                self.splice(block, at, 1, &[(start, end)]);
            }
            Some((block, at)) => self.splice(block, at + 1, 0, &[(start, end)]),
            None if self.0.is_empty() => self.0.push(Block::of(vec![(start, end)])),
            None => self.splice(0, 0, 0, &[(start, end)]),
        }
    }

    /// The start of the highest free range of `len` bytes within [low, high).
    pub fn highest(&self, low: u64, high: u64, len: u64) -> Option<u64> {
        let below = self.0.partition_point(|block| block.gaps[0].0 < high);
        for block in self.0[..below].iter().rev().filter(|block| block.longest >= len) {
            for &(start, end) in block.gaps.iter().rev() {
                if end <= low {
                    return None;
                }
                let (start, end) = (start.max(low), end.min(high));
                if end.checked_sub(start).is_some_and(|room| room >= len) {
                    return Some(end - len);
                }
            }
        }
        None
    }

    /// The start of the lowest free range of `len` bytes within [low, high).
    pub fn lowest(&self, low: u64, high: u64, len: u64) -> Option<u64> {
        let first = self.find(low).map_or(0, |(block, _)| block);
        for block in self.0[first..].iter().filter(|block| block.longest >= len) {
            for &(start, end) in &block.gaps {
                if start >= high {
                    return None;
                }
                let (start, end) = (start.max(low), end.min(high));
                if end.checked_sub(start).is_some_and(|room| room >= len) {
                    return Some(start);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::PAGE_SIZE;
    use abi::number::to_usize;

    /// The same by a look at every page.
    struct Pages(Vec<bool>);

    impl Pages {
        fn fits(&self, at: u64, len: u64) -> bool {
            (at..at + len).all(|page| self.0[to_usize(page)])
        }

        fn highest(&self, low: u64, high: u64, len: u64) -> Option<u64> {
            (low..=high.checked_sub(len)?).rev().find(|&at| self.fits(at, len))
        }

        fn lowest(&self, low: u64, high: u64, len: u64) -> Option<u64> {
            (low..=high.checked_sub(len)?).find(|&at| self.fits(at, len))
        }
    }

    /// Takes and gives at random, `dense` of eight pages taken about, and compares all answers with
    /// those of a linear search.
    fn compare(pages: u64, steps: u64, dense: u64, seed: u64) {
        let mut state = seed;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        let mut gaps = Gaps::default();
        let beyond = PageRange::new(pages * PAGE_SIZE, PageRange::everything().end()).unwrap();
        gaps.take(beyond);
        let mut model = Pages(vec![true; to_usize(pages)]);
        for _ in 0..steps {
            let (from, wanted) = (random(pages), 1 + random(4));
            let free = model.0[to_usize(from)];
            if free != (random(8) < dense) {
                continue;
            }
            let mut to = from;
            while to < pages && to < from + wanted && model.0[to_usize(to)] == free {
                model.0[to_usize(to)] = !free;
                to += 1;
            }
            let range = PageRange::of_pages(from, to).unwrap();
            if free {
                gaps.take(range);
            } else {
                gaps.give(range);
            }
            let (low, len) = (random(pages), 1 + random(12));
            let high = low + random(pages - low + 1);
            let [from, to, bytes] = [low, high, len].map(|page| page * PAGE_SIZE);
            let expected = [model.highest(low, high, len), model.lowest(low, high, len)];
            let found = [gaps.highest(from, to, bytes), gaps.lowest(from, to, bytes)];
            assert_eq!(found, expected.map(|page| page.map(|page| page * PAGE_SIZE)));
        }
        for block in &gaps.0 {
            assert!((1..=FULL).contains(&block.gaps.len()));
            assert_eq!(block.longest, Block::of(block.gaps.clone()).longest);
        }
        let all: Vec<Gap> = gaps.0.iter().flat_map(|block| block.gaps.clone()).collect();
        assert!(all.windows(2).all(|pair| pair[0].1 < pair[1].0), "ranges that touch are one");
    }

    #[test]
    fn searches_find_what_a_linear_search_finds() {
        for seed in 0..20 {
            compare(60, 2000, 4, seed);
        }
        for dense in 1..8 {
            compare(4000, 6000, dense, 99);
        }
    }

    #[test]
    fn every_other_page() {
        let mut gaps = Gaps::default();
        for page in (0..20_000).step_by(2) {
            gaps.take(PageRange::of_pages(page, page + 1).unwrap());
        }
        assert!(gaps.0.len() < 2 * 10_000 / (FULL / 2));
        assert_eq!(gaps.highest(0, 20_000 * PAGE_SIZE, 2 * PAGE_SIZE), None);
        assert_eq!(gaps.lowest(0, u64::MAX, 2 * PAGE_SIZE), Some(19_999 * PAGE_SIZE));
        for page in (0..10_000).rev().map(|page| 2 * page) {
            gaps.give(PageRange::of_pages(page, page + 1).unwrap());
        }
        assert_eq!(gaps.0.len(), 1);
        assert_eq!(gaps.0[0].gaps, [(0, PageRange::everything().end())]);
    }
}
