//! What tasks ask of layers above them. Boot tells them how.

use super::{Call, Task};
use crate::Result;
use std::any::Any;
use std::sync::{Arc, OnceLock};

pub struct Upcalls {
    /// Finds the handler of a system call, and runs it.
    pub dispatch: fn(&mut Call<'_>) -> Result<u64>,
    /// A new list of what semop(2) with SEM_UNDO did.
    pub undo_list: fn() -> Arc<dyn Undo>,
}

/// What is taken back when the last task that has it ends (SEM_UNDO).
pub trait Undo: Any + Send + Sync {
    /// Takes it back, in the name of `task`.
    fn take_back(&self, task: &Task);
}

static UPCALLS: OnceLock<Upcalls> = OnceLock::new();

/// Sets them. Boot calls it before the first task runs.
pub fn set(upcalls: Upcalls) {
    // All guests of one process have the same.
    let _ = UPCALLS.set(upcalls);
}

/// Those that boot has set.
///
/// # Panics
/// If it has not.
pub(super) fn get() -> &'static Upcalls {
    UPCALLS.get().expect("boot connects the layers")
}

impl Task {
    /// Its list of what is to be taken back, which it may come to share.
    pub fn undo_list(&self) -> Arc<dyn Undo> {
        self.undo.borrow_mut().get_or_insert_with(get().undo_list).clone()
    }

    /// It ends, or is to have a list of its own.
    pub fn leave_undo_list(&self) {
        if let Some(list) = self.undo.take().filter(|list| Arc::strong_count(list) == 1) {
            list.take_back(self);
        }
    }
}
