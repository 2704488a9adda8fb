//! Epoll files that watch epoll files: how deep, and by how many ways a file wakes them.
//!
//! A wake-up climbs from a file to the epoll files that watch it, and from these to those that
//! watch them, in one go, so both the height and the number of ways are bounded, as on Linux. Both
//! are judged when an epoll file comes to watch another, or comes to watch something while it is
//! watched itself: there may be any number of files to look at, so this has preemption points, and
//! one task does it at a time.

use super::item::epoll_above;
use super::{Epoll, EpollFile};
use crate::lock::KCell;
use crate::sched::killable_point;
use crate::sched::wait::{Sleep, WaitQueue, wait_until};
use crate::vfs::file::OpenFile;
use crate::{Errno, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// How many steps a chain of epoll files may have, from the one that nobody watches to the one that
/// watches no other.
const MAX_NESTING: usize = 4;
/// In how many ways a file may wake epoll files that nobody watches, by the number of epoll files
/// in between: any number directly.
const MAX_WAYS: [usize; MAX_NESTING + 1] = [usize::MAX, 500, 100, 50, 10];
/// So many items are looked at between two preemption points.
const BATCH: usize = 256;

static BUSY: KCell<bool> = KCell::new(false);
static FREE: WaitQueue = WaitQueue::new();

/// The right to let epoll files watch each other. While it is held, no nesting but its holder's is
/// made.
pub(super) struct Turn(());

impl Turn {
    pub fn take() -> Result<Turn> {
        wait_until(&[&FREE], None, Sleep::Killable, || (!BUSY.get()).then_some(())).map_err(|_| Errno::EINTR)?;
        BUSY.set(true);
        Ok(Turn(()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        BUSY.set(false);
        FREE.wake_one(0);
    }
}

fn epoll_of(file: &OpenFile) -> Option<&Arc<Epoll>> {
    file.ops_as::<EpollFile>().map(EpollFile::epoll)
}

fn address(epoll: &Epoll) -> usize {
    std::ptr::from_ref(epoll) as usize
}

/// ELOOP if epoll files would watch each other in a circle or in too long a chain when `watcher`
/// watches `watched`.
pub(super) fn check_depth(_turn: &Turn, watcher: &Epoll, watched: &Epoll) -> Result<()> {
    let below = height(watched, &children, address(watcher), 0, &mut HashMap::new())?;
    let above = height(watcher, &parents, address(watched), 0, &mut HashMap::new())?;
    if below + 1 + above > MAX_NESTING { Err(Errno::ELOOP) } else { Ok(()) }
}

/// The longest chain from `from` on, in the direction of `next`; ELOOP if it is too long or reaches
/// `end`. The recursion is as deep as MAX_NESTING at most; `known` keeps the heights found, since
/// there are many more ways than epoll files.
fn height(
    from: &Epoll,
    next: &dyn Fn(&Epoll) -> Vec<Arc<Epoll>>,
    end: usize,
    depth: usize,
    known: &mut HashMap<usize, usize>,
) -> Result<usize> {
    if address(from) == end || depth > MAX_NESTING {
        return Err(Errno::ELOOP);
    }
    if let Some(&height) = known.get(&address(from)) {
        return Ok(height);
    }
    let mut longest = 0;
    for epoll in next(from) {
        longest = longest.max(1 + height(&epoll, next, end, depth + 1, known)?);
    }
    killable_point()?;
    known.insert(address(from), longest);
    Ok(longest)
}

fn children(epoll: &Epoll) -> Vec<Arc<Epoll>> {
    let nested = epoll.nested.borrow();
    nested.values().filter_map(|item| epoll_of(&*item.file()?).cloned()).collect()
}

fn parents(epoll: &Epoll) -> Vec<Arc<Epoll>> {
    let Some(file) = epoll.file.borrow().upgrade() else { return Vec::new() };
    let all = file.watchers.batch(0, usize::MAX).unwrap_or_default();
    all.into_iter().filter_map(epoll_above).collect()
}

/// EINVAL if one of the files that `file` stands for, itself or those that it watches, wakes epoll
/// files in too many ways.
pub(super) fn check_ways(_turn: &Turn, file: &OpenFile) -> Result<()> {
    match epoll_of(file) {
        Some(epoll) => check_ways_below(epoll),
        None => count_ways(file, 0, &mut [0; MAX_NESTING + 1]),
    }
}

fn check_ways_below(top: &Arc<Epoll>) -> Result<()> {
    let mut seen = HashMap::new();
    let mut pending = vec![top.clone()];
    while let Some(epoll) = pending.pop() {
        if seen.insert(address(&epoll), ()).is_some() {
            continue;
        }
        pending.extend(children(&epoll));
        let mut from = None;
        loop {
            let batch = epoll.items_after(from, BATCH);
            let Some((last, _)) = batch.last() else { break };
            from = Some(*last);
            for file in batch.iter().filter_map(|(_, item)| item.file()) {
                if epoll_of(&file).is_none() {
                    count_ways(&file, 0, &mut [0; MAX_NESTING + 1])?;
                }
            }
            killable_point()?;
        }
    }
    Ok(())
}

/// Counts the ways from `file` up, which has `depth` epoll files between it and where the counting
/// began.
fn count_ways(file: &OpenFile, depth: usize, ways: &mut [usize; MAX_NESTING + 1]) -> Result<()> {
    let mut from = 0;
    while let Some(batch) = file.watchers.batch(from, BATCH) {
        from += BATCH;
        for epoll in batch.into_iter().filter_map(epoll_above) {
            let above = epoll.file.borrow().upgrade();
            match above.filter(|above| !above.watchers.is_empty()) {
                Some(above) if depth < MAX_NESTING => count_ways(&above, depth + 1, ways)?,
                _ => {
                    ways[depth] += 1;
                    if ways[depth] > MAX_WAYS[depth] {
                        return Err(Errno::EINVAL);
                    }
                }
            }
        }
        killable_point()?;
    }
    Ok(())
}
