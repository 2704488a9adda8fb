//! The big kernel lock, and cells that belong to it.
//!
//! Core code runs under one lock and is never preempted, so core data needs no locks of its own. [`KCell`] says so in
//! types: it is a `RefCell` whose contents are shared between contexts and host threads because all of them hold the
//! big lock while they look. A borrow must not be held while the task sleeps: another task would find the cell
//! borrowed. `assert_no_borrows`, called at every switch in debug builds, finds such places in tests.

use std::cell::{Ref, RefCell, RefMut};
use umlab_host::lock::SharedLock;

static BIG_LOCK: SharedLock = SharedLock::new();

/// Takes the big kernel lock. Models call this when a guest trapped.
pub fn enter() {
    BIG_LOCK.lock();
}

/// Drops the big kernel lock. Models call this just before guest user code runs or the CPU sleeps.
pub fn leave() {
    BIG_LOCK.unlock();
}

/// Runs `f` under the big lock, from a host thread that does not hold it.
pub fn with<T>(f: impl FnOnce() -> T) -> T {
    enter();
    let value = f();
    leave();
    value
}

/// Finds core data touched without the lock, in debug builds.
#[cfg(not(test))]
#[inline(always)]
#[track_caller]
fn assert_held() {
    debug_assert!(BIG_LOCK.is_locked(), "core data touched without the big kernel lock");
}

/// Unit tests have no guest and never enter the core, but run side by side: each has the core to itself from its
/// first touch of core data until its thread ends.
#[cfg(test)]
fn assert_held() {
    use std::sync::{Mutex, MutexGuard, PoisonError};
    static TURN: Mutex<()> = Mutex::new(());
    thread_local! {
        static MINE: MutexGuard<'static, ()> = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    }
    MINE.with(|_| ());
}

/// Data that the big kernel lock protects.
pub struct KCell<T: ?Sized>(RefCell<T>);

// SAFETY: contents are only reached by `borrow` and `borrow_mut`, and only core code that holds the big kernel lock
// calls them (asserted in debug builds, and in unit tests replaced by one turn for each), so no two host threads touch the cell at once; `T: Send` because the holder
// of the lock changes between host threads.
unsafe impl<T: ?Sized + Send> Sync for KCell<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Send for KCell<T> {}

impl<T> KCell<T> {
    pub const fn new(value: T) -> KCell<T> {
        KCell(RefCell::new(value))
    }

    pub fn replace(&self, value: T) -> T {
        std::mem::replace(&mut self.borrow_mut(), value)
    }

    pub fn set(&self, value: T) {
        *self.borrow_mut() = value;
    }

    pub fn get(&self) -> T
    where
        T: Copy,
    {
        *self.borrow()
    }

    pub fn take(&self) -> T
    where
        T: Default,
    {
        std::mem::take(&mut self.borrow_mut())
    }

    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: Clone> KCell<T> {
    pub fn cloned(&self) -> T {
        self.borrow().clone()
    }
}

impl<T: ?Sized> KCell<T> {
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        assert_held();
        self.0.borrow()
    }

    #[track_caller]
    pub fn borrow_mut(&self) -> RefMut<'_, T> {
        assert_held();
        self.0.borrow_mut()
    }
}

impl<T: Default> Default for KCell<T> {
    fn default() -> Self {
        KCell::new(T::default())
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for KCell<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
