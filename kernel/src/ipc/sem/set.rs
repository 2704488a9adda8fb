//! A set: its values, who waits for it, and what operations do.

use super::undo::Adjustments;
use super::{MAX_VALUE, Object, Perm, preempt_point, seconds};
use crate::Pid;
use crate::lock::KCell;
use crate::sched::wait::WaitQueue;
use crate::{Errno, Result};
use abi::number::Low;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many operations are looked at or taken back between two preemption points.
const BATCH: usize = 1024;

/// struct sembuf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Op {
    pub number: u16,
    /// What is added; 0 waits until the value is 0.
    pub change: i16,
    pub flags: i16,
}

impl Op {
    pub fn is_undone(&self) -> bool {
        i32::from(self.flags) & abi::SEM_UNDO != 0
    }

    fn may_wait(&self) -> bool {
        i32::from(self.flags) & abi::IPC_NOWAIT == 0
    }
}

#[derive(Clone, Copy, Default)]
pub struct Sem {
    pub value: u16,
    /// Who changed it last.
    pub pid: Pid,
}

/// What became of a list of operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempt {
    Done,
    /// This one has to wait; nothing was done.
    Blocked(usize),
    Failed(Errno),
}

/// Which waiters are counted: GETNCNT's wait for a value to rise, GETZCNT's for it to be 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Rise,
    Zero,
}

/// A sleeper's operations.
pub struct Waiter {
    ops: Vec<Op>,
    undo: Option<u64>,
    pid: Pid,
    pub queue: WaitQueue,
    progress: KCell<Progress>,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    outcome: Option<Result<()>>,
    /// The operation that has to wait, and the value it found: as long as that is there, nothing
    /// comes of trying again.
    blocked: usize,
    found: u16,
}

impl Waiter {
    pub fn new(ops: Vec<Op>, undo: Option<u64>, pid: Pid) -> Waiter {
        Waiter { ops, undo, pid, queue: WaitQueue::new(), progress: KCell::default() }
    }

    /// Some once it is over.
    pub fn outcome(&self) -> Option<Result<()>> {
        self.progress.borrow().outcome
    }

    fn alters(&self) -> bool {
        self.ops.iter().any(|op| op.change != 0)
    }

    fn blocked_on(&self) -> Op {
        self.ops[self.progress.borrow().blocked]
    }

    fn note_blocked(&self, at: usize, sems: &[Sem]) {
        let mut progress = self.progress.borrow_mut();
        progress.blocked = at;
        progress.found = sems[self.ops[at].number as usize].value;
    }

    fn finish(&self, outcome: Result<()>) {
        self.progress.borrow_mut().outcome = Some(outcome);
        self.queue.wake_all();
    }
}

pub struct SemSet {
    perm: KCell<Perm>,
    count: usize,
    inner: KCell<Inner>,
}

struct Inner {
    sems: Vec<Sem>,
    /// By arrival: those whose operations change nothing, which are looked at first, and the
    /// others.
    waiters: [BTreeMap<u64, Arc<Waiter>>; 2],
    next: u64,
    /// What is to be taken back when the tasks of a list have ended, by list.
    undo: Adjustments,
    operated: i64,
    changed: i64,
}

impl Object for SemSet {
    fn perm(&self) -> Perm {
        self.perm.get()
    }
}

impl SemSet {
    pub fn new(perm: Perm, count: usize) -> SemSet {
        let inner = Inner {
            sems: vec![Sem::default(); count],
            waiters: Default::default(),
            next: 0,
            undo: Adjustments::new(),
            operated: 0,
            changed: seconds(),
        };
        SemSet { perm: KCell::new(perm), count, inner: KCell::new(inner) }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// When it was last operated on, and changed.
    pub fn times(&self) -> (i64, i64) {
        let inner = self.inner.borrow();
        (inner.operated, inner.changed)
    }

    /// The index that a number from outside means.
    pub fn number(&self, number: i32) -> Result<usize> {
        usize::try_from(number).ok().filter(|&number| number < self.count).ok_or(Errno::EINVAL)
    }

    pub fn sem(&self, number: usize) -> Sem {
        self.inner.borrow().sems[number]
    }

    pub fn values(&self) -> Vec<u16> {
        self.inner.borrow().sems.iter().map(|sem| sem.value).collect()
    }

    /// GETNCNT and GETZCNT.
    pub fn count_waiters(&self, number: usize, counted: Counted) -> usize {
        let inner = self.inner.borrow();
        let waits = |waiter: &&Arc<Waiter>| {
            let op = waiter.blocked_on();
            op.number as usize == number && (op.change == 0) == (counted == Counted::Zero)
        };
        inner.waiters.iter().flat_map(BTreeMap::values).filter(waits).count()
    }

    /// Does all operations or none.
    pub fn attempt(&self, ops: &[Op], undo: Option<u64>, pid: Pid) -> Attempt {
        self.inner.borrow_mut().attempt(ops, undo, pid)
    }

    /// A waiter, and the operation that has to wait.
    pub fn add_waiter(&self, waiter: Waiter, at: usize) -> (u64, Arc<Waiter>) {
        let mut inner = self.inner.borrow_mut();
        let serial = inner.next;
        inner.next += 1;
        waiter.note_blocked(at, &inner.sems);
        let waiter = Arc::new(waiter);
        inner.waiters[usize::from(waiter.alters())].insert(serial, waiter.clone());
        (serial, waiter)
    }

    pub fn remove_waiter(&self, serial: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.waiters.iter_mut().for_each(|waiters| drop(waiters.remove(&serial)));
    }

    /// Lets those go on whose operations can be done now: first all that only wait for zeros, then
    /// the first of the others, which changes what can be done; again, until there is none. There
    /// are preemption points.
    pub fn release(&self) {
        loop {
            self.release_some(0);
            if !self.release_some(1) {
                return;
            }
            preempt_point();
        }
    }

    /// Whether the values have changed.
    fn release_some(&self, kind: usize) -> bool {
        let mut from = 0;
        loop {
            let mut budget = BATCH;
            {
                let inner = &mut *self.inner.borrow_mut();
                while budget > 0 {
                    let Some((&serial, waiter)) = inner.waiters[kind].range(from..).next() else { return false };
                    from = serial + 1;
                    let (progress, op) = (waiter.progress.get(), waiter.blocked_on());
                    if inner.sems[op.number as usize].value == progress.found {
                        budget -= 1;
                        continue;
                    }
                    budget = budget.saturating_sub(waiter.ops.len());
                    let waiter = waiter.clone();
                    let attempt = inner.attempt(&waiter.ops, waiter.undo, waiter.pid);
                    if let Attempt::Blocked(at) = attempt {
                        waiter.note_blocked(at, &inner.sems);
                        continue;
                    }
                    inner.waiters[kind].remove(&serial);
                    match attempt {
                        Attempt::Failed(e) => waiter.finish(Err(e)),
                        _ => waiter.finish(Ok(())),
                    }
                    if kind == 1 && attempt == Attempt::Done {
                        return true;
                    }
                }
            }
            preempt_point();
        }
    }

    /// A new value: nobody will take back what was done to the old one.
    pub fn set_value(&self, number: usize, value: u16, pid: Pid) {
        let mut inner = self.inner.borrow_mut();
        for adjustments in inner.undo.values_mut() {
            adjustments.remove(&number.low_u16());
        }
        inner.sems[number] = Sem { value, pid };
        inner.changed = seconds();
    }

    /// As `set_value`, for all. Returns what is forgotten, of which there may be much.
    pub fn set_all(&self, values: &[u16], pid: Pid) -> Adjustments {
        let mut inner = self.inner.borrow_mut();
        for (sem, &value) in inner.sems.iter_mut().zip(values) {
            *sem = Sem { value, pid };
        }
        inner.changed = seconds();
        std::mem::take(&mut inner.undo)
    }

    /// IPC_SET.
    pub fn change(&self, uid: u32, gid: u32, mode: u32) -> Result<()> {
        self.perm.borrow_mut().set(uid, gid, mode)?;
        self.inner.borrow_mut().changed = seconds();
        Ok(())
    }

    /// It is removed: all who wait are told. Returns what is forgotten.
    pub fn end(&self) -> Adjustments {
        let mut inner = self.inner.borrow_mut();
        for waiter in std::mem::take(&mut inner.waiters).iter().flat_map(BTreeMap::values) {
            waiter.finish(Err(Errno::EIDRM));
        }
        std::mem::take(&mut inner.undo)
    }

    /// The last task of an undo list has ended: takes back what they did, as far as values can go.
    pub fn take_back(&self, list: u64, pid: Pid) {
        let adjustments = self.inner.borrow_mut().undo.remove(&list);
        let Some(mut adjustments) = adjustments else { return };
        while !adjustments.is_empty() {
            {
                let inner = &mut *self.inner.borrow_mut();
                for (number, adjustment) in (0..BATCH).map_while(|_| adjustments.pop_first()) {
                    let sem = &mut inner.sems[number as usize];
                    sem.value = (i32::from(sem.value) + i32::from(adjustment)).clamp(0, MAX_VALUE).low_u16();
                    sem.pid = pid;
                }
                inner.operated = seconds();
            }
            preempt_point();
        }
        self.release();
    }
}

impl Inner {
    fn attempt(&mut self, ops: &[Op], undo: Option<u64>, pid: Pid) -> Attempt {
        let stopped = ops.iter().enumerate().find_map(|(at, op)| Some((at, self.step(op, undo)?)));
        let Some((at, why)) = stopped else {
            for op in ops {
                self.sems[op.number as usize].pid = pid;
            }
            self.operated = seconds();
            return Attempt::Done;
        };
        // The latest first, so that every value on the way is one that there was.
        for op in ops[..at].iter().rev() {
            let sem = &mut self.sems[op.number as usize];
            sem.value = (i32::from(sem.value) - i32::from(op.change)).low_u16();
            if let Some(list) = undo.filter(|_| op.is_undone()) {
                self.adjust(list, op.number, op.change.into());
            }
        }
        match why {
            Stopped::Waits if ops[at].may_wait() => Attempt::Blocked(at),
            Stopped::Waits => Attempt::Failed(Errno::EAGAIN),
            Stopped::OutOfRange => Attempt::Failed(Errno::ERANGE),
        }
    }

    /// Does one operation, if it can be done.
    fn step(&mut self, op: &Op, undo: Option<u64>) -> Option<Stopped> {
        let sem = &mut self.sems[op.number as usize];
        let value = i32::from(sem.value) + i32::from(op.change);
        if op.change == 0 && value != 0 || value < 0 {
            return Some(Stopped::Waits);
        }
        if value > MAX_VALUE {
            return Some(Stopped::OutOfRange);
        }
        if let Some(list) = undo.filter(|_| op.is_undone())
            && !self.adjust(list, op.number, -i32::from(op.change))
        {
            return Some(Stopped::OutOfRange);
        }
        self.sems[op.number as usize].value = value.low_u16();
        None
    }

    /// Changes what a list is to take back; false if it cannot be as much.
    fn adjust(&mut self, list: u64, number: u16, by: i32) -> bool {
        let adjustments = self.undo.entry(list).or_default();
        let adjustment = i32::from(adjustments.get(&number).copied().unwrap_or(0)) + by;
        let Ok(kept) = i16::try_from(adjustment) else { return false };
        if kept == 0 {
            adjustments.remove(&number);
        } else {
            adjustments.insert(number, kept);
        }
        true
    }
}

/// Why an operation is not done.
enum Stopped {
    Waits,
    OutOfRange,
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::{IPC_NOWAIT as NOWAIT, SEM_UNDO as UNDO};

    fn op(number: u16, change: i16, flags: i32) -> Op {
        Op { number, change, flags: flags.low_i16() }
    }

    fn set(values: &[u16]) -> SemSet {
        let perm = Perm { key: 0, uid: 0, gid: 0, creator_uid: 0, creator_gid: 0, mode: 0o600 };
        let set = SemSet::new(perm, values.len());
        set.set_all(values, 1);
        set
    }

    #[test]
    fn all_operations_are_done_or_none() {
        let _held = crate::fs::tests::hold();
        let set = set(&[3, 0]);
        let ops = [op(0, -2, UNDO), op(0, 1, 0), op(1, -1, 0)];
        assert_eq!(set.attempt(&ops, Some(9), 7), Attempt::Blocked(2));
        assert_eq!(set.values(), [3, 0]);
        set.take_back(9, 8);
        assert_eq!(set.values(), [3, 0], "what was not done is not taken back");
        assert_eq!(set.attempt(&ops[..2], Some(9), 7), Attempt::Done);
        assert_eq!((set.values(), set.sem(0).pid), (vec![2, 0], 7));
        set.take_back(9, 8);
        assert_eq!((set.values(), set.sem(0).pid), (vec![4, 0], 8));
        let ops = [op(0, -1, 0), op(1, -1, NOWAIT)];
        assert_eq!(set.attempt(&ops, None, 7), Attempt::Failed(Errno::EAGAIN));
        assert_eq!(set.attempt(&[op(1, 1, 0), op(0, i16::MAX, 0)], None, 7), Attempt::Failed(Errno::ERANGE));
        assert_eq!(set.values(), [4, 0]);
    }

    #[test]
    fn waiters_go_on_in_their_order() {
        let _held = crate::fs::tests::hold();
        let set = set(&[0, 1]);
        let wait = |ops: &[Op]| {
            let Attempt::Blocked(at) = set.attempt(ops, None, 2) else { panic!("it does not wait") };
            set.add_waiter(Waiter::new(ops.to_vec(), None, 2), at).1
        };
        let first = wait(&[op(0, -2, 0)]);
        let second = wait(&[op(0, -1, 0)]);
        let zero = wait(&[op(1, 0, 0)]);
        assert_eq!(set.count_waiters(0, Counted::Rise), 2);
        assert_eq!(set.count_waiters(1, Counted::Zero), 1);
        assert_eq!(set.attempt(&[op(0, 1, 0)], None, 1), Attempt::Done);
        set.release();
        // One that can be done is not held up by an earlier one that cannot.
        assert_eq!((first.outcome(), second.outcome()), (None, Some(Ok(()))));
        assert_eq!(set.attempt(&[op(0, 3, 0), op(1, -1, 0)], None, 1), Attempt::Done);
        set.release();
        assert_eq!((first.outcome(), zero.outcome()), (Some(Ok(())), Some(Ok(()))));
        assert_eq!(set.values(), [1, 0]);
        let last = wait(&[op(1, -1, 0)]);
        set.end();
        assert_eq!(last.outcome(), Some(Err(Errno::EIDRM)));
    }

    #[test]
    fn adjustments_have_a_range() {
        let _held = crate::fs::tests::hold();
        let set = set(&[0]);
        for _ in 0..2 {
            assert_eq!(set.attempt(&[op(0, 0x4000, UNDO), op(0, -0x4000, 0)], Some(1), 1), Attempt::Done);
        }
        assert_eq!(set.attempt(&[op(0, 1, UNDO)], Some(1), 1), Attempt::Failed(Errno::ERANGE));
        assert_eq!(set.values(), [0]);
    }
}
