//! File locks: record locks of processes (fcntl(2)) and of open files (F_OFD_*), and flock(2).
//!
//! Record locks of both kinds stand in each other's way; flock's are a world of their own. All are
//! advisory, and kept by the file's device and inode number, so that names and file systems in
//! between do not matter.

use super::FdTable;
use super::file::OpenFile;
use crate::Pid;
use crate::lock::KCell;
use crate::sched::wait::{Sleep, WaitQueue, wait_until};
use crate::{Errno, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Read,
    Write,
}

/// Who holds a lock. Objects are told apart by their addresses, and give their locks up before they
/// go away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// A process, that is, its descriptor table.
    Process(usize),
    OpenFile(usize),
}

impl Owner {
    pub fn process(table: &FdTable) -> Owner {
        Owner::Process(std::ptr::from_ref::<FdTable>(table) as usize)
    }

    pub fn open_file(file: &OpenFile) -> Owner {
        Owner::OpenFile(std::ptr::from_ref::<OpenFile>(file) as usize)
    }
}

/// A lock on bytes `start` to `end`, both included; `end` is [`END`] for "however long the file
/// gets".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    pub owner: Owner,
    /// Who asked, for F_GETLK; -1 for locks of open files.
    pub pid: Pid,
    pub kind: Kind,
    pub start: u64,
    pub end: u64,
}

/// The last byte there can be.
pub const END: u64 = i64::MAX as u64;

impl Record {
    fn overlaps(&self, other: &Record) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    fn conflicts(&self, other: &Record) -> bool {
        self.owner != other.owner && self.overlaps(other) && (self.kind == Kind::Write || other.kind == Kind::Write)
    }
}

/// A lock of flock(2), and who asked for it.
#[derive(Clone, Copy)]
struct Flock {
    owner: Owner,
    kind: Kind,
    pid: Pid,
}

#[derive(Default)]
struct FileLocks {
    /// By start; those of one owner do not overlap.
    records: KCell<Vec<Record>>,
    flocks: KCell<Vec<Flock>>,
    /// Woken when a lock is given up or weakened.
    queue: WaitQueue,
}

type Key = (u64, u64);

static FILES: KCell<BTreeMap<Key, Arc<FileLocks>>> = KCell::new(BTreeMap::new());
/// Files that have locks: closing a descriptor looks no further while there are none.
static LOCKED_FILES: AtomicUsize = AtomicUsize::new(0);
/// Which owner sleeps for which other's record lock: a circle would be a deadlock.
static WAITS: KCell<Vec<(Owner, Owner)>> = KCell::new(Vec::new());

fn key(file: &OpenFile) -> Result<Key> {
    let attr = file.inode.attr()?;
    Ok((attr.dev, attr.ino))
}

fn locks_of(key: Key) -> Arc<FileLocks> {
    let mut files = FILES.borrow_mut();
    let locks = files.entry(key).or_default().clone();
    LOCKED_FILES.store(files.len(), Relaxed);
    locks
}

/// Forgets a file without locks that nobody waits for.
fn forget(key: Key, locks: Arc<FileLocks>) {
    let unused = locks.records.borrow().is_empty() && locks.flocks.borrow().is_empty() && locks.queue.is_empty();
    drop(locks);
    if unused {
        let mut files = FILES.borrow_mut();
        files.remove(&key);
        LOCKED_FILES.store(files.len(), Relaxed);
    }
}

/// The first lock in the way of `wanted` (F_GETLK).
pub fn conflict(file: &OpenFile, wanted: &Record) -> Result<Option<Record>> {
    let key = key(file)?;
    let Some(locks) = FILES.borrow().get(&key).cloned() else { return Ok(None) };
    Ok(first_conflict(&locks, wanted))
}

fn first_conflict(locks: &FileLocks, wanted: &Record) -> Option<Record> {
    locks.records.borrow().iter().find(|held| held.conflicts(wanted)).copied()
}

/// Takes a record lock, in place of what its owner had in the range.
///
/// # Errors
/// EAGAIN when another's is in the way and `wait` is not set; EDEADLK when waiting would never end;
/// ERESTARTSYS when a signal came first; ENOLCK without memory.
pub fn lock(file: &OpenFile, wanted: Record, wait: bool) -> Result<()> {
    crate::mm::pressure::room_for(256).map_err(|_| Errno::ENOLCK)?;
    let key = key(file)?;
    let locks = locks_of(key);
    let result = loop {
        let Some(held) = first_conflict(&locks, &wanted) else {
            break Ok(());
        };
        if !wait {
            break Err(Errno::EAGAIN);
        }
        if matches!(wanted.owner, Owner::Process(_)) && closes_circle(wanted.owner, held.owner) {
            break Err(Errno::EDEADLK);
        }
        WAITS.borrow_mut().push((wanted.owner, held.owner));
        // Until this one is gone; then there may be another.
        let gone = || (first_conflict(&locks, &wanted).map(|now| now.owner) != Some(held.owner)).then_some(());
        let slept = wait_until(&[&locks.queue], None, Sleep::Interruptible, gone);
        let mut waits = WAITS.borrow_mut();
        if let Some(at) = waits.iter().position(|w| *w == (wanted.owner, held.owner)) {
            waits.swap_remove(at);
        }
        if let Err(e) = slept {
            break Err(e);
        }
    };
    if result.is_ok() {
        replace(&mut locks.records.borrow_mut(), wanted.owner, (wanted.start, wanted.end), Some(wanted));
        // A write lock that became a read lock lets others in.
        locks.queue.wake_all();
    }
    forget(key, locks);
    result
}

/// Gives up what the owner has in a range.
pub fn unlock(file: &OpenFile, owner: Owner, start: u64, end: u64) -> Result<()> {
    unlock_key(key(file)?, owner, start, end);
    Ok(())
}

fn unlock_key(key: Key, owner: Owner, start: u64, end: u64) {
    let Some(locks) = FILES.borrow().get(&key).cloned() else { return };
    replace(&mut locks.records.borrow_mut(), owner, (start, end), None);
    locks.queue.wake_all();
    forget(key, locks);
}

/// Whether `owner` waiting for `holder` would close a circle of owners that wait for each other.
fn closes_circle(owner: Owner, holder: Owner) -> bool {
    let waits = WAITS.borrow();
    let (mut seen, mut next) = (Vec::new(), vec![holder]);
    while let Some(at) = next.pop() {
        if at == owner {
            return true;
        }
        if !seen.contains(&at) {
            seen.push(at);
            next.extend(waits.iter().filter(|(waiter, _)| *waiter == at).map(|(_, holder)| *holder));
        }
    }
    false
}

/// Replaces what an owner has in a range by one lock or nothing, and joins neighbours of a kind.
fn replace(records: &mut Vec<Record>, owner: Owner, (start, end): (u64, u64), with: Option<Record>) {
    let mut own = Vec::new();
    records.retain(|record| {
        if record.owner == owner {
            own.push(*record);
        }
        record.owner != owner
    });
    let mut parts: Vec<Record> = with.into_iter().collect();
    for record in own {
        if record.end < start || record.start > end {
            parts.push(record);
            continue;
        }
        if record.start < start {
            parts.push(Record { end: start - 1, ..record });
        }
        if record.end > end {
            parts.push(Record { start: end + 1, ..record });
        }
    }
    parts.sort_by_key(|record| record.start);
    for part in parts {
        match records.last_mut() {
            Some(last)
                if last.owner == owner && last.kind == part.kind && last.end.checked_add(1) == Some(part.start) =>
            {
                last.end = part.end;
            }
            _ => records.push(part),
        }
    }
    records.sort_by_key(|record| record.start);
}

/// flock(2); `kind` None unlocks. Changing the kind is giving up and taking anew.
///
/// # Errors
/// As `lock`.
pub fn flock(file: &OpenFile, kind: Option<Kind>, wait: bool, pid: Pid) -> Result<()> {
    let (key, owner) = (key(file)?, Owner::open_file(file));
    let locks = locks_of(key);
    let held = locks.flocks.borrow().iter().find(|held| held.owner == owner).map(|held| held.kind);
    let result = match kind {
        kind if kind == held => Ok(()),
        None => {
            drop_flock(&locks, owner);
            Ok(())
        }
        Some(kind) => {
            drop_flock(&locks, owner);
            let free = || {
                let flocks = locks.flocks.borrow();
                let blocked = flocks.iter().any(|held| kind == Kind::Write || held.kind == Kind::Write);
                (!blocked).then_some(())
            };
            let result = match wait {
                true => wait_until(&[&locks.queue], None, Sleep::Interruptible, free),
                false => free().ok_or(Errno::EAGAIN),
            };
            if result.is_ok() {
                locks.flocks.borrow_mut().push(Flock { owner, kind, pid });
            }
            result
        }
    };
    forget(key, locks);
    result
}

fn drop_flock(locks: &FileLocks, owner: Owner) {
    let before = locks.flocks.borrow().len();
    locks.flocks.borrow_mut().retain(|held| held.owner != owner);
    if locks.flocks.borrow().len() != before {
        locks.queue.wake_all();
    }
}

/// A lock that is held, for /proc/locks.
pub struct Held {
    /// Device and inode number of the file.
    pub file: (u64, u64),
    pub family: Family,
    pub kind: Kind,
    pub pid: Pid,
    pub start: u64,
    pub end: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    Process,
    OpenFile,
    Flock,
}

/// The files that have locks.
pub fn locked_files() -> Vec<(u64, u64)> {
    FILES.borrow().keys().copied().collect()
}

/// The locks on one of them.
pub fn held(file: (u64, u64)) -> Vec<Held> {
    let Some(locks) = FILES.borrow().get(&file).cloned() else { return Vec::new() };
    let of_record = |record: &Record| {
        let family = match record.owner {
            Owner::Process(_) => Family::Process,
            Owner::OpenFile(_) => Family::OpenFile,
        };
        Held { file, family, kind: record.kind, pid: record.pid, start: record.start, end: record.end }
    };
    let of_flock =
        |held: &Flock| Held { file, family: Family::Flock, kind: held.kind, pid: held.pid, start: 0, end: END };
    let (records, flocks) = (locks.records.borrow(), locks.flocks.borrow());
    records.iter().map(of_record).chain(flocks.iter().map(of_flock)).collect()
}

/// A descriptor of the file was closed in this table: its process loses all its record locks on the
/// file.
pub fn descriptor_closed(table: &FdTable, file: &OpenFile) {
    if LOCKED_FILES.load(Relaxed) > 0
        && let Ok(key) = key(file)
    {
        unlock_key(key, Owner::process(table), 0, END);
    }
}

/// The open file is gone, and its locks with it.
pub fn file_closed(file: &OpenFile) {
    if LOCKED_FILES.load(Relaxed) == 0 {
        return;
    }
    let Ok(key) = key(file) else { return };
    let owner = Owner::open_file(file);
    let locks = FILES.borrow().get(&key).cloned();
    if let Some(locks) = locks {
        drop_flock(&locks, owner);
        drop(locks);
        unlock_key(key, owner, 0, END);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(owner: usize, kind: Kind, start: u64, end: u64) -> Record {
        Record { owner: Owner::Process(owner), pid: 1, kind, start, end }
    }

    fn take(records: &mut Vec<Record>, wanted: Record) {
        replace(records, wanted.owner, (wanted.start, wanted.end), Some(wanted));
    }

    #[test]
    fn ranges_split_and_join() {
        let mut records = Vec::new();
        take(&mut records, record(1, Kind::Write, 0, 99));
        replace(&mut records, Owner::Process(1), (40, 59), None);
        assert_eq!(records, [record(1, Kind::Write, 0, 39), record(1, Kind::Write, 60, 99)]);
        take(&mut records, record(1, Kind::Write, 40, 59));
        assert_eq!(records, [record(1, Kind::Write, 0, 99)]);
        take(&mut records, record(1, Kind::Read, 10, 19));
        assert_eq!(records.len(), 3);
        take(&mut records, record(2, Kind::Read, 10, END));
        replace(&mut records, Owner::Process(1), (0, END), None);
        assert_eq!(records, [record(2, Kind::Read, 10, END)]);
    }

    #[test]
    fn conflicts() {
        let held = record(1, Kind::Read, 10, 19);
        for (wanted, expected) in [
            (record(2, Kind::Read, 0, END), false),
            (record(2, Kind::Write, 0, 9), false),
            (record(2, Kind::Write, 19, 19), true),
            (record(1, Kind::Write, 0, END), false),
        ] {
            assert_eq!(held.conflicts(&wanted), expected, "{wanted:?}");
        }
    }

    #[test]
    fn circles() {
        let _held = crate::fs::tests::hold();
        WAITS.set(vec![(Owner::Process(1), Owner::Process(2)), (Owner::Process(2), Owner::Process(3))]);
        assert!(closes_circle(Owner::Process(3), Owner::Process(1)));
        assert!(!closes_circle(Owner::Process(1), Owner::Process(3)));
        WAITS.set(Vec::new());
    }
}
