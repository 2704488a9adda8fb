//! What a variant of the model does at the border between core and user mode, in the guest's own process: jail protects the core's
//! memory here.

use crate::area::Record;
use std::sync::OnceLock;

/// Called on the kernel stack of `Record`'s task without the big lock. From the end of `leave` to the beginning of `enter` nothing but
/// that task's area is written to.
pub struct Guard {
    pub leave: fn(&Record),
    pub enter: fn(&Record),
}

static GUARD: OnceLock<Guard> = OnceLock::new();

pub fn set(guard: Guard) {
    let _ = GUARD.set(guard);
}

pub fn leave(record: &Record) {
    if let Some(guard) = GUARD.get() {
        (guard.leave)(record);
    }
}

pub fn enter(record: &Record) {
    if let Some(guard) = GUARD.get() {
        (guard.enter)(record);
    }
}
