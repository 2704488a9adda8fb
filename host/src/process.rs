//! Which process is `uml`'s own: in some models the core runs in other processes as well.

use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

static MAIN: AtomicI32 = AtomicI32::new(0);

/// Says that the calling process is `uml`'s. Called once, before there are others.
pub fn set_main() {
    MAIN.store(std::process::id() as i32, Relaxed);
}

/// The number of `uml`'s process.
pub fn main_id() -> i32 {
    match MAIN.load(Relaxed) {
        0 => std::process::id() as i32,
        id => id,
    }
}
