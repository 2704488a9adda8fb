//! What the file layer has tasks do. It lies below them, so boot tells it how.

use super::async_io::Owner;
use super::context::Caller;
use std::sync::{Arc, OnceLock};

pub struct Upcalls {
    /// The current thread, as whoever asks for a file.
    pub caller: fn() -> Arc<dyn Caller>,
    /// The current thread wrote beyond its RLIMIT_FSIZE: SIGXFSZ.
    pub size_exceeded: fn(),
    /// A file with O_ASYNC became ready with these poll events: its owner gets a signal, SIGIO if
    /// the number is 0.
    pub ready: fn(owner: &Owner, signal: i32, events: u32),
}

static UPCALLS: OnceLock<Upcalls> = OnceLock::new();

/// Sets them. Boot calls it before the first task runs.
pub fn set(upcalls: Upcalls) {
    // All guests of one process have the same.
    let _ = UPCALLS.set(upcalls);
}

/// Those that boot has set; none in a unit test without a guest.
pub(super) fn get() -> Option<&'static Upcalls> {
    UPCALLS.get()
}

/// The current thread, as whoever asks for a file.
///
/// # Panics
/// Without a guest.
pub(super) fn caller() -> Arc<dyn Caller> {
    (get().expect("boot connects the layers").caller)()
}
