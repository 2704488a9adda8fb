//! Physmem: guest memory, in runs of page frames with reference counts.
//!
//! Physmem is one sparse host memory object, much longer than the memory a guest may use: a long
//! run can be given out at once, and the host brings in its pages as they are touched. What counts
//! against the guest's limit is what the host has really allocated. Short runs that were freed stay
//! resident and are zeroed by the core when they are used again, which costs a tenth of a fresh
//! page's fault; long ones are given back to the host.

use super::PAGE;
use super::audit::{self, quarantine::Quarantine};
use crate::lock::KCell;
use crate::{Errno, Result};
use abi::number::Low;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use umlab_host::arena;
use umlab_host::memory::{SharedMemory, Window};
use umlab_model::{PAGE_SIZE, physmem as shared};

/// Runs up to this many pages are kept when freed, and zeroed at their next use.
const RECYCLE_MAX: u32 = 256;
/// How many frame numbers there are for each frame the guest may use: room for runs that are never
/// filled.
const SPARSENESS: u64 = 8;
/// No more recycled pages than this are kept resident.
const RECYCLED_PAGES_MAX: u64 = 64 * 1024;

struct Physmem {
    memory: &'static SharedMemory,
    frames: u32,
    limit: u64,
}

static PHYSMEM: OnceLock<Physmem> = OnceLock::new();
static ALLOCATOR: KCell<Allocator> = KCell::new(Allocator::new());

/// How many frames, or which one: it fits, as physmem and every run in it have fewer than 2^32.
#[inline]
pub fn frame_count<N: Low + TryInto<u32>>(pages: N) -> u32 {
    debug_assert!(pages.try_into().is_ok(), "more pages than physmem has frames");
    pages.low_u32()
}

#[derive(Default)]
struct Runs {
    by_start: BTreeMap<u32, u32>,
    by_len: BTreeSet<(u32, u32)>,
    pages: u64,
}

impl Runs {
    const fn new() -> Runs {
        Runs { by_start: BTreeMap::new(), by_len: BTreeSet::new(), pages: 0 }
    }

    fn insert_plain(&mut self, start: u32, len: u32) {
        self.by_start.insert(start, len);
        self.by_len.insert((len, start));
        self.pages += u64::from(len);
    }

    fn remove(&mut self, start: u32) -> u32 {
        let len = self.by_start.remove(&start).expect("a run that is listed");
        self.by_len.remove(&(len, start));
        self.pages -= u64::from(len);
        len
    }

    /// Adds a run, joined with its neighbours.
    fn insert(&mut self, mut start: u32, mut len: u32) {
        if let Some((&before, &before_len)) = self.by_start.range(..start).next_back()
            && before + before_len == start
        {
            self.remove(before);
            start = before;
            len += before_len;
        }
        if self.by_start.contains_key(&(start + len)) {
            len += self.remove(start + len);
        }
        self.insert_plain(start, len);
    }

    /// Takes the first `len` pages of the smallest run that has them.
    fn take(&mut self, len: u32) -> Option<u32> {
        let &(run_len, start) = self.by_len.range((len, 0)..).next()?;
        self.remove(start);
        if run_len > len {
            self.insert_plain(start + len, run_len - len);
        }
        Some(start)
    }
}

/// How many references there are on each frame. Physmem has many more frame numbers than are used,
/// so memory for the counts is taken by blocks, as their frames are first given out.
struct References {
    blocks: Vec<Option<Box<[u32; References::BLOCK]>>>,
}

impl References {
    const BLOCK: usize = 8192;

    const fn new() -> References {
        References { blocks: Vec::new() }
    }

    #[inline]
    fn of(&mut self, frame: u32) -> &mut u32 {
        &mut self.stretch(frame, 1)[0]
    }

    /// The counts from `frame` on: of `count` frames, or of fewer where their block ends.
    #[inline]
    fn stretch(&mut self, frame: u32, count: u32) -> &mut [u32] {
        let (block, index) = (frame as usize / References::BLOCK, frame as usize % References::BLOCK);
        if block >= self.blocks.len() {
            self.blocks.resize_with(block + 1, || None);
        }
        let counts = self.blocks[block].get_or_insert_with(|| Box::new([0; References::BLOCK]));
        &mut counts[index..(index + count as usize).min(References::BLOCK)]
    }

    /// All counts of a run, by stretches: the first frame of each, and its counts.
    #[inline]
    fn of_run(&mut self, first: u32, count: u32, mut look: impl FnMut(u32, &mut [u32])) {
        let (mut at, end) = (first, first + count);
        while at < end {
            let counts = self.stretch(at, end - at);
            look(at, counts);
            at += frame_count(counts.len());
        }
    }
}

/// How many of the first counts are as `is` wants them. Looks at many at once: runs are long, and
/// mostly alike throughout.
#[inline]
fn leading(counts: &[u32], is: impl Fn(u32) -> bool) -> usize {
    const AT_ONCE: usize = 64;
    let alike = counts.chunks(AT_ONCE).take_while(|chunk| chunk.iter().fold(true, |all, &count| all & is(count)));
    let whole: usize = alike.map(<[u32]>::len).sum();
    whole + counts[whole..].iter().take_while(|&&count| is(count)).count()
}

struct Allocator {
    /// Frames without host memory: they read as zero.
    fresh: Runs,
    /// Frames with host memory and old contents.
    recycled: Runs,
    /// Frames nobody uses, with host memory that is to be given back: that takes long for long
    /// runs, so it is done a little at a time.
    condemned: Vec<(u32, u32)>,
    condemned_pages: u64,
    references: References,
    /// Freed frames that an audit keeps from use.
    quarantine: Quarantine,
    /// Host memory behind physmem when it was last asked, in bytes, and how many pages were given
    /// out since.
    resident: u64,
    since: u64,
    /// How often more may have been in use than was known.
    doubts: u32,
    /// Bytes of the host's memory that are neither physmem nor the core's heap, as far as they are
    /// charged.
    charged: u64,
}

impl Allocator {
    const fn new() -> Allocator {
        Allocator {
            fresh: Runs::new(),
            recycled: Runs::new(),
            condemned: Vec::new(),
            condemned_pages: 0,
            references: References::new(),
            quarantine: Quarantine::new(),
            resident: 0,
            since: 0,
            doubts: 0,
            charged: 0,
        }
    }
}

impl Allocator {
    /// Bytes of host memory that the guest and the core use, as far as known, those kept for quick
    /// reuse not counted.
    fn in_use(&self) -> u64 {
        let unused = (self.recycled.pages + self.condemned_pages) * PAGE_SIZE;
        self.resident.saturating_sub(unused) + arena::in_use() as u64 + self.charged
    }

    /// Bytes that guest and core can come to hold without asking again: all frames that are not
    /// fresh, filled or not, since user code fills them without the core's doing, and the whole
    /// heap.
    fn reach(&self, physmem: &Physmem) -> u64 {
        (u64::from(physmem.frames) - self.fresh.pages - self.quarantine.frames()) * PAGE_SIZE
            + arena::held() as u64
            + self.charged
    }

    /// Sees to it that the reach may grow by `wanted` bytes and stays below the limit and what a
    /// need may have of [`SLACK`]: recycled frames are given back to the host for that, the longest
    /// runs first. ENOMEM when it cannot be.
    fn check_reach(&mut self, physmem: &Physmem, wanted: u64, need: Need) -> Result<()> {
        let most = physmem.limit + need.slack();
        if self.reach(physmem) + wanted > physmem.limit + SLACK / 4 * 3 {
            TIGHT.store(true, Relaxed);
        }
        while self.reach(physmem) + wanted > most {
            if self.give_back(physmem) {
                continue;
            }
            let &(len, start) = self.recycled.by_len.last().ok_or(Errno::ENOMEM)?;
            self.recycled.remove(start);
            physmem.memory.punch(start as usize * PAGE, len as usize * PAGE);
            self.fresh.insert(start, len);
        }
        Ok(())
    }

    /// Gives a part of what is condemned back to the host. False when there is none.
    fn give_back(&mut self, physmem: &Physmem) -> bool {
        let Some((start, count)) = self.condemned.pop() else { return false };
        let part = count.min(GIVEN_BACK_AT_ONCE);
        if part < count {
            self.condemned.push((start + part, count - part));
        }
        self.condemned_pages -= u64::from(part);
        CONDEMNED.store(!self.condemned.is_empty(), Relaxed);
        physmem.memory.punch(start as usize * PAGE, part as usize * PAGE);
        self.fresh.insert(start, part);
        true
    }

    /// Takes a run of frames without host memory.
    fn take_fresh(&mut self, count: u32) -> Option<u32> {
        loop {
            if let Some(first) = self.fresh.take(count) {
                return Some(first);
            }
            let (first, count) = self.quarantine.take_beyond(0)?;
            self.fresh.insert(first, count);
        }
    }

    /// ENOMEM when so many bytes more would be too many.
    fn check(&mut self, wanted: u64, need: Need) -> Result<()> {
        // Parts of the core that are tested alone have no guest.
        let Some(physmem) = PHYSMEM.get() else { return Ok(()) };
        self.check_reach(physmem, wanted, need)?;
        let limit = physmem.limit + need.beyond(physmem.limit);
        if self.in_use() + wanted <= limit && !self.is_doubtful(physmem, wanted) {
            return Ok(());
        }
        // What was known may be old: user code fills what it was given unseen, and somebody may
        // have ended since.
        self.look(physmem);
        if self.in_use() + wanted <= limit { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// Whether more may be in use than is known, and so much that `wanted` bytes are too many. Then
    /// a page fault would find out, and somebody would be killed in the place of a call that is
    /// refused. Looking costs a host call; far from the limit that is done now and then only.
    fn is_doubtful(&mut self, physmem: &Physmem, wanted: u64) -> bool {
        if self.reach(physmem) + wanted <= physmem.limit {
            return false;
        }
        self.doubts += 1;
        self.doubts >= 32 || self.in_use() + wanted + physmem.limit / 8 > physmem.limit
    }

    /// Asks the host how much memory is behind physmem.
    fn look(&mut self, physmem: &Physmem) {
        self.resident = physmem.memory.resident();
        self.since = 0;
        self.doubts = 0;
    }
}

/// Pages of host memory that are given back at once: some tens of microseconds.
const GIVEN_BACK_AT_ONCE: u32 = 512;
/// There are condemned frames.
static CONDEMNED: AtomicBool = AtomicBool::new(false);

/// Gives a part of what nobody uses back to the host, if there is anything. Called often: before
/// system calls, and when a CPU has nothing to do. False when nothing is left.
#[inline]
pub fn give_back_some() -> bool {
    CONDEMNED.load(Relaxed) && ALLOCATOR.borrow_mut().give_back(physmem())
}

/// Little is left of what may be given out.
static TIGHT: AtomicBool = AtomicBool::new(false);

/// Whether little was left of what may be given out, since the last call of this.
#[inline]
pub fn was_tight() -> bool {
    TIGHT.load(Relaxed) && TIGHT.swap(false, Relaxed)
}

/// A program that opens a file or makes a pipe is not refused because others fill the memory, of
/// which one is about to be killed: so much can be one thing's, and such a part of the limit is
/// kept back for them all.
const SMALL: u64 = 1024;
/// So much more than the limit may be given out, of which the limit's part is filled.
pub const SLACK: u64 = 64 << 20;
const RESERVE_SHARE: u64 = 32;

/// What memory is needed for. When it comes to an end, one is refused before the other.
#[derive(Clone, Copy)]
enum Need {
    Call,
    /// A single page for a page fault: that cannot be refused, and a program should live to see
    /// that what it asked for was.
    Fault,
    SmallThing,
}

impl Need {
    fn of_call(bytes: u64) -> Need {
        if bytes <= SMALL { Need::SmallThing } else { Need::Call }
    }

    /// How much of what is kept back beyond the limit it may take.
    fn beyond(self, limit: u64) -> u64 {
        let all = limit / RESERVE_SHARE;
        match self {
            Need::Call => 0,
            Need::Fault => all / 2,
            Need::SmallThing => all,
        }
    }

    /// How much of the slack.
    fn slack(self) -> u64 {
        match self {
            Need::Call => SLACK / 8 * 7,
            Need::Fault => SLACK / 16 * 15,
            Need::SmallThing => SLACK,
        }
    }
}

/// Makes physmem, once: `limit` bytes may be in use.
pub fn init(limit: u64) -> Result<()> {
    let frames = (limit / PAGE_SIZE * SPARSENESS).clamp(1 << 20, 1 << 30) as u32;
    shared::make(frames as usize * PAGE)?;
    assert!(PHYSMEM.set(Physmem { memory: shared::memory(), frames, limit }).is_ok(), "physmem is made once");
    let mut allocator = ALLOCATOR.borrow_mut();
    allocator.fresh.insert(0, frames);
    Ok(())
}

fn physmem() -> &'static Physmem {
    PHYSMEM.get().expect("physmem was made at boot")
}

/// The memory object, for models that map it.
pub fn memory() -> &'static SharedMemory {
    physmem().memory
}

/// Bytes the guest may use.
pub fn limit() -> u64 {
    physmem().limit
}

/// Bytes of host memory in use by the guest and the core now, those kept for quick reuse not
/// counted.
pub fn used() -> u64 {
    let mut allocator = ALLOCATOR.borrow_mut();
    allocator.look(physmem());
    allocator.in_use()
}

/// ENOMEM when the guest has used up its memory but for less than `bytes`. Nothing is set aside.
pub fn check_room(bytes: u64) -> Result<()> {
    ALLOCATOR.borrow_mut().check(bytes, Need::of_call(bytes))
}

/// Bytes that guest and core can come to hold without asking again.
pub fn reach() -> u64 {
    ALLOCATOR.borrow().reach(physmem())
}

/// Whether nothing should be given out that is perhaps never used.
pub fn scarce() -> bool {
    reach() > limit() / 4 * 3
}

/// Memory of the host that is neither physmem nor the core's heap, counted against the guest's
/// limit until it is dropped.
pub struct Charge(u64);

impl Charge {
    /// ENOMEM when the guest has used up its memory.
    pub fn new(bytes: u64) -> Result<Charge> {
        let mut allocator = ALLOCATOR.borrow_mut();
        allocator.check(bytes, Need::of_call(bytes))?;
        allocator.charged += bytes;
        Ok(Charge(bytes))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        ALLOCATOR.borrow_mut().charged -= self.0;
    }
}

/// What new frames hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fill {
    Zero,
    /// The caller overwrites all of it at once.
    Garbage,
}

/// A run of consecutive frames, holding one reference on each.
pub struct Frames {
    first: u32,
    count: u32,
}

impl Frames {
    /// `count` new frames, ENOMEM when the guest has used up its memory.
    pub fn alloc(count: u32, fill: Fill) -> Result<Frames> {
        Frames::alloc_as(count, fill, Need::Call)
    }

    /// One new frame for a page fault, ENOMEM when not even a part of what is kept back is left.
    pub fn alloc_for_fault(fill: Fill) -> Result<Frames> {
        Frames::alloc_as(1, fill, Need::Fault)
    }

    fn alloc_as(count: u32, fill: Fill, need: Need) -> Result<Frames> {
        assert!(count > 0);
        let mut allocator = ALLOCATOR.borrow_mut();
        let recycled = if count <= RECYCLE_MAX { allocator.recycled.take(count) } else { None };
        let first = match recycled {
            Some(first) => {
                if fill == Fill::Zero {
                    window_of(first, count).zero();
                }
                first
            }
            None => {
                allocator.since += u64::from(count.min(RECYCLE_MAX));
                if allocator.since > 1024 {
                    allocator.look(physmem());
                }
                allocator.check_reach(physmem(), u64::from(count) * PAGE_SIZE, need)?;
                allocator.check(u64::from(count.min(RECYCLE_MAX)) * PAGE_SIZE, need)?;
                allocator.take_fresh(count).ok_or(Errno::ENOMEM)?
            }
        };
        allocator.references.of_run(first, count, |_, counts| counts.fill(1));
        drop(allocator);
        let frames = Frames { first, count };
        if audit::is_on() {
            audit::quarantine::leave(&frames, fill);
        }
        Ok(frames)
    }

    /// Number of frames.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Where the run lies in physmem, in bytes.
    pub fn offset(&self) -> u64 {
        u64::from(self.first) * PAGE_SIZE
    }

    /// The bytes from `offset`, which is within the run, at most to its end.
    pub fn window(&self, offset: usize, len: usize) -> Window<'_> {
        window_of(self.first, self.count).slice(offset, len)
    }

    /// Whether anything else holds a reference on one of the frames.
    pub fn is_shared(&self) -> bool {
        self.unshared(0, self.count) < self.count
    }

    /// Whether something else holds a reference on frame `index` of the run.
    pub fn is_shared_at(&self, index: u32) -> bool {
        assert!(index < self.count);
        *ALLOCATOR.borrow_mut().references.of(self.first + index) > 1
    }

    /// How many of the `count` frames from `index` on nothing else holds a reference on, up to the
    /// first one that is shared.
    pub fn unshared(&self, index: u32, count: u32) -> u32 {
        assert!(index <= self.count && count <= self.count - index);
        let (mut at, end) = (self.first + index, self.first + index + count);
        let mut allocator = ALLOCATOR.borrow_mut();
        if count == 1 {
            return u32::from(*allocator.references.of(at) <= 1);
        }
        while at < end {
            let counts = allocator.references.stretch(at, end - at);
            let own = leading(counts, |references| references <= 1);
            at += frame_count(own);
            if own < counts.len() {
                break;
            }
        }
        at - self.first - index
    }

    /// Another reference on `count` frames from `index` on.
    pub fn share(&self, index: u32, count: u32) -> Frames {
        assert!(count > 0 && index <= self.count && count <= self.count - index);
        let first = self.first + index;
        if count == 1 {
            *ALLOCATOR.borrow_mut().references.of(first) += 1;
            return Frames { first, count };
        }
        // References are bounded far below by the numbers of tasks and of windows.
        let add =
            |_, counts: &mut [u32]| counts.iter_mut().for_each(|references| *references = references.wrapping_add(1));
        ALLOCATOR.borrow_mut().references.of_run(first, count, add);
        Frames { first, count }
    }

    /// Cuts the run in two; this one keeps the first `at` frames.
    pub fn split_off(&mut self, at: u32) -> Frames {
        assert!(at > 0 && at < self.count);
        let rest = Frames { first: self.first + at, count: self.count - at };
        self.count = at;
        rest
    }

    /// Appends a run that follows this one directly; gives it back when it does not.
    pub fn join(&mut self, next: Frames) -> std::result::Result<(), Frames> {
        if next.first != self.first + self.count {
            return Err(next);
        }
        self.count += next.count;
        std::mem::forget(next);
        Ok(())
    }

    /// Makes all frames zero again; long runs give their memory back to the host.
    pub fn clear(&self) {
        if self.count <= 16 {
            window_of(self.first, self.count).zero();
        } else {
            physmem().memory.punch(self.first as usize * PAGE, self.count as usize * PAGE);
        }
    }

    /// Drops frames that nobody shares and that were never filled.
    pub fn never_filled(self) {
        let mut allocator = ALLOCATOR.borrow_mut();
        allocator.references.of_run(self.first, self.count, |_, counts| {
            assert!(leading(counts, |references| references == 1) == counts.len(), "shared frames are not given up");
            counts.fill(0);
        });
        allocator.fresh.insert(self.first, self.count);
        std::mem::forget(self);
    }

    /// The runs of frames, as (index, count), that the host has memory for; the others are zero.
    pub fn resident(&self) -> Vec<(u32, u32)> {
        let (start, end) = (self.first as usize * PAGE, (self.first + self.count) as usize * PAGE);
        let ranges = physmem().memory.data(start, end);
        ranges.map(|(from, to)| (frame_count((from - start) / PAGE), frame_count((to - from) / PAGE))).collect()
    }
}

fn window_of(first: u32, count: u32) -> Window<'static> {
    physmem().memory.window(first as usize * PAGE, count as usize * PAGE)
}

impl Drop for Frames {
    fn drop(&mut self) {
        let mut allocator = ALLOCATOR.borrow_mut();
        if self.count == 1 {
            let references = allocator.references.of(self.first);
            // As of most windows.
            if *references > 1 {
                *references -= 1;
                return;
            }
        }
        let (mut at, end) = (self.first, self.first + self.count);
        // Frames whose last reference this was, up to `at`.
        let mut last = 0;
        while at < end {
            let counts = allocator.references.stretch(at, end - at);
            let freed = leading(counts, |references| references == 1);
            counts[..freed].fill(0);
            let held = leading(&counts[freed..], |references| references > 1);
            counts[freed..freed + held].iter_mut().for_each(|references| *references -= 1);
            assert!(freed + held > 0, "a reference on a frame that is free");
            (last, at) = (last + frame_count(freed), at + frame_count(freed));
            // A run of them goes on in the next block.
            if last > 0 && (held > 0 || at == end) {
                release(&mut allocator, at - last, last);
                last = 0;
            }
            at += frame_count(held);
        }
    }
}

fn release(allocator: &mut Allocator, first: u32, count: u32) {
    if audit::is_on() {
        physmem().memory.punch(first as usize * PAGE, count as usize * PAGE);
        allocator.quarantine.put(first, count);
        while let Some((first, count)) = allocator.quarantine.take_beyond(physmem().memory.len() as u64 / PAGE_SIZE / 4)
        {
            allocator.fresh.insert(first, count);
        }
    } else if count <= RECYCLE_MAX && allocator.recycled.pages < RECYCLED_PAGES_MAX {
        allocator.recycled.insert(first, count);
    } else {
        allocator.condemned.push((first, count));
        allocator.condemned_pages += u64::from(count);
        CONDEMNED.store(true, Relaxed);
    }
}

/// For the audit: a frame that is free and not empty, which user code or the core has written to.
/// What was only read is empty, and gives its memory back: a host process may bring in pages that
/// it was told to show, and that are taken away by what it is told next.
pub fn find_touched() -> Option<String> {
    let mut allocator = ALLOCATOR.borrow_mut();
    let memory = physmem().memory;
    // In the end the host takes back what is free and empty: runs of pages, for each call costs
    // more than a page.
    let give_back = |from: u32, to: u32| {
        if from < to {
            memory.punch(from as usize * PAGE, (to - from) as usize * PAGE);
        }
    };
    for (from, to) in memory.data(0, memory.len()) {
        let (from, to) = (frame_count(from / PAGE), frame_count(to / PAGE));
        let mut free_from = from;
        for frame in from..to {
            if *allocator.references.of(frame) > 0 {
                give_back(free_from, frame);
                free_from = frame + 1;
            } else if !audit::quarantine::is_empty(window_of(frame, 1)) {
                return Some(audit::quarantine::written_to(frame));
            }
        }
        give_back(free_from, to);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_and_split() {
        let mut runs = Runs::new();
        runs.insert(0, 100);
        assert_eq!(runs.take(10), Some(0));
        assert_eq!(runs.take(20), Some(10));
        runs.insert(0, 10);
        assert_eq!(runs.take(10), Some(0), "the smallest run that fits");
        runs.insert(0, 10);
        runs.insert(10, 20);
        assert_eq!(runs.by_start.len(), 1);
        assert_eq!(runs.pages, 100);
        assert_eq!(runs.take(101), None);
    }
}
