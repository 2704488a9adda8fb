//! The big kernel lock, and cells that belong to it.
//!
//! Core code runs under one lock and is never preempted, so core data needs no locks of its own.
//! [`KCell`] says so in types: it is a `RefCell` whose contents are shared between contexts and
//! host threads because all of them hold the big lock while they look. A borrow must not be held
//! where the lock can drop, nor where the task sleeps: another task would find the cell borrowed.
//! The same holds for windows onto guest memory, of which an address was computed ([`Pin`]). Both
//! are counted, and [`assert_no_borrows`] looks at the count wherever the lock drops and at every
//! switch.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use umlab_host::clock;
use umlab_host::lock::SharedLock;

static BIG_LOCK: SharedLock = SharedLock::new();
/// Borrows and pins that live. Only the holder of the lock changes it.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// That the big kernel lock is held, by the host thread that made it or by whoever that thread
/// switches to. Dropping it drops the lock.
pub struct Held(PhantomData<*const ()>);

/// Takes the big kernel lock.
#[must_use]
pub fn hold() -> Held {
    enter();
    Held(PhantomData)
}

impl Drop for Held {
    fn drop(&mut self) {
        leave();
    }
}

/// Runs `f` under the big lock, from a host thread that does not hold it.
pub fn with<T>(f: impl FnOnce() -> T) -> T {
    let _held = hold();
    f()
}

/// Runs `f` without the big lock, which is held: user code, or a sleep of the CPU.
///
/// # Panics
/// If core data is borrowed or a window onto guest memory is held.
#[inline]
#[track_caller]
pub fn without<T>(f: impl FnOnce() -> T) -> T {
    leave();
    let value = f();
    enter();
    value
}

#[inline]
fn enter() {
    BIG_LOCK.lock();
    if MEASURED.load(Relaxed) {
        SINCE.store(clock::monotonic(), Relaxed);
    }
}

#[inline]
#[track_caller]
fn leave() {
    assert_no_borrows();
    if MEASURED.load(Relaxed) {
        note_hold();
    }
    BIG_LOCK.unlock();
}

/// As [`without`], but whoever waits for the lock has it in between.
#[track_caller]
pub fn let_others_in() {
    assert_no_borrows();
    if MEASURED.load(Relaxed) {
        note_hold();
    }
    BIG_LOCK.hand_over();
    if MEASURED.load(Relaxed) {
        SINCE.store(clock::monotonic(), Relaxed);
    }
}

/// Finds borrows and windows that would outlive the lock, or the running task's turn.
#[inline]
#[track_caller]
pub fn assert_no_borrows() {
    let live = LIVE.load(Relaxed);
    if live != 0 {
        still_borrowed(live);
    }
}

#[cold]
#[track_caller]
fn still_borrowed(live: usize) -> ! {
    // So that whoever cleans up after the panic finds a consistent count.
    LIVE.store(0, Relaxed);
    panic!("the big kernel lock drops, or a task sleeps, with {live} borrows of core data{}", sites::list(live));
}

/// Whether holds are measured, since when the lock is held, and the longest hold so far, in ns.
static MEASURED: AtomicBool = AtomicBool::new(false);
static SINCE: AtomicU64 = AtomicU64::new(u64::MAX);
static LONGEST: AtomicU64 = AtomicU64::new(0);

/// Begins to measure how long the lock is held at a time: two looks at the clock for each time.
pub fn measure() {
    MEASURED.store(true, Relaxed);
}

/// The longest time the lock was held at a time since `measure`, in ns.
pub fn longest_hold() -> u64 {
    LONGEST.load(Relaxed)
}

#[cold]
fn note_hold() {
    // Whoever took the lock before anything was measured left no time.
    LONGEST.fetch_max(clock::monotonic().saturating_sub(SINCE.load(Relaxed)), Relaxed);
}

/// Keeps the big lock from dropping while it lives: an address was computed of something that
/// others may change then.
pub struct Pin(());

/// Keeps the big lock from dropping until the pin is dropped.
#[inline]
#[track_caller]
pub fn pin() -> Pin {
    let live = LIVE.load(Relaxed);
    sites::note(live);
    LIVE.store(live + 1, Relaxed);
    Pin(())
}

impl Drop for Pin {
    #[inline]
    fn drop(&mut self) {
        LIVE.store(LIVE.load(Relaxed).wrapping_sub(1), Relaxed);
    }
}

/// Where the last borrows were made: for the message, in debug builds.
#[cfg(debug_assertions)]
mod sites {
    use std::panic::Location;
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

    const KEPT: usize = 16;
    static SITES: [AtomicPtr<Location<'static>>; KEPT] = [const { AtomicPtr::new(ptr::null_mut()) }; KEPT];

    #[inline]
    #[track_caller]
    pub fn note(index: usize) {
        SITES[index % KEPT].store(ptr::from_ref(Location::caller()).cast_mut(), Relaxed);
    }

    pub fn list(live: usize) -> String {
        let noted = SITES[..live.min(KEPT)].iter().map(|site| site.load(Relaxed)).filter(|site| !site.is_null());
        // SAFETY: only references to locations, which live for ever, are stored there.
        noted.map(|site| format!("\n  {}", unsafe { &*site })).collect()
    }
}

#[cfg(not(debug_assertions))]
mod sites {
    #[inline(always)]
    pub fn note(_: usize) {}

    pub fn list(_: usize) -> &'static str {
        " (a debug build lists them)"
    }
}

/// Finds core data touched without the lock.
#[inline(always)]
#[track_caller]
fn assert_held() {
    assert!(BIG_LOCK.is_locked(), "core data touched without the big kernel lock");
}

/// Data that the big kernel lock protects.
pub struct KCell<T: ?Sized>(RefCell<T>);

// SAFETY: contents are only reached by `borrow` and `borrow_mut`, and only core code that holds the
// big kernel lock calls them (asserted), so no two host threads touch the cell at once; `T: Send`
// because the holder of the lock changes between host threads.
unsafe impl<T: ?Sized + Send> Sync for KCell<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Send for KCell<T> {}

impl<T> KCell<T> {
    pub const fn new(value: T) -> KCell<T> {
        KCell(RefCell::new(value))
    }

    // What begins and ends a borrow by itself need not be counted: nothing can drop the lock in
    // between.

    #[inline]
    #[track_caller]
    pub fn replace(&self, value: T) -> T {
        assert_held();
        self.0.replace(value)
    }

    #[inline]
    #[track_caller]
    pub fn set(&self, value: T) {
        // The old value goes when nothing is borrowed any more: its end may run code that looks
        // here.
        drop(self.replace(value));
    }

    #[inline]
    #[track_caller]
    pub fn get(&self) -> T
    where
        T: Copy,
    {
        assert_held();
        *self.0.borrow()
    }

    #[inline]
    #[track_caller]
    pub fn take(&self) -> T
    where
        T: Default,
    {
        assert_held();
        self.0.take()
    }

    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: Clone> KCell<T> {
    #[inline]
    #[track_caller]
    pub fn cloned(&self) -> T {
        assert_held();
        self.0.borrow().clone()
    }
}

impl<T: ?Sized> KCell<T> {
    #[inline]
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        assert_held();
        Ref { value: self.0.borrow(), _pin: pin() }
    }

    #[inline]
    #[track_caller]
    pub fn borrow_mut(&self) -> RefMut<'_, T> {
        assert_held();
        RefMut { value: self.0.borrow_mut(), _pin: pin() }
    }
}

/// A look at what is in a [`KCell`].
pub struct Ref<'a, T: ?Sized> {
    value: std::cell::Ref<'a, T>,
    _pin: Pin,
}

impl<T: ?Sized> Deref for Ref<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

/// A look at what is in a [`KCell`], to change it.
pub struct RefMut<'a, T: ?Sized> {
    value: std::cell::RefMut<'a, T>,
    _pin: Pin,
}

impl<T: ?Sized> Deref for RefMut<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for RefMut<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
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
