//! SEM_UNDO: what a task did to semaphores is taken back when it ends.
//!
//! Tasks that were made with CLONE_SYSVSEM share one list, which counts when the last of them ends.
//! The set keeps the numbers, because it forgets them when it gets new values or is removed; a list
//! has only the sets that may keep some for it.

use super::SETS;
use crate::lock::KCell;
use crate::sched::preempt_point;
use crate::task::Task;
use crate::task::upcall::Undo;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// About what is kept for an operation that is to be undone.
pub const COST: usize = 64;

/// What is to be added to semaphores, by list and number.
pub type Adjustments = BTreeMap<u64, BTreeMap<u16, i16>>;

/// Sets that are gone are looked for when there are more than this, and twice as many as were left
/// the last time.
const MANY: usize = 64;

struct UndoList {
    id: u64,
    sets: KCell<Sets>,
}

#[derive(Default)]
struct Sets {
    ids: BTreeSet<i32>,
    /// How many were left when those that are gone were dropped.
    left: usize,
}

/// A new list.
pub fn new_list() -> Arc<dyn Undo> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Arc::new(UndoList { id: NEXT.fetch_add(1, Relaxed), sets: KCell::default() })
}

/// The number of a task's list, in which a set is noted.
pub(super) fn list_for(task: &Task, set: i32) -> u64 {
    let list: Arc<dyn Any + Send + Sync> = task.undo_list();
    let list: Arc<UndoList> = list.downcast().expect("lists are made here");
    let mut sets = list.sets.borrow_mut();
    if sets.ids.len() > MANY && sets.ids.len() > 2 * sets.left {
        let known = SETS.borrow();
        sets.ids.retain(|&id| known.get(id).is_ok());
        sets.left = sets.ids.len();
    }
    sets.ids.insert(set);
    list.id
}

impl Undo for UndoList {
    fn take_back(&self, task: &Task) {
        let ids = std::mem::take(&mut self.sets.borrow_mut().ids);
        for id in ids {
            let set = SETS.borrow().get(id);
            if let Ok(set) = set {
                set.take_back(self.id, task.pid());
            }
            preempt_point();
        }
    }
}

/// Drops what may be much, a little at a time.
pub(super) fn forget(mut adjustments: Adjustments) {
    const BATCH: usize = 1024;
    while let Some((_, mut list)) = adjustments.pop_first() {
        while !list.is_empty() {
            (0..BATCH).map_while(|_| list.pop_first()).for_each(drop);
            preempt_point();
        }
    }
}
