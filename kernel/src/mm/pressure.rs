//! Room for what the core keeps for a guest.
//!
//! Memory of guest processes and what the core keeps for them (pipes' contents, messages, open
//! files, cached names) count alike against the guest's limit. A call that needs more gets ENOMEM
//! ([`room_for`]). What happens when user code finds none is a matter of tasks (`task/oom.rs`).

use super::frames;
use crate::Result;
use std::sync::OnceLock;

static SHRINK: OnceLock<fn()> = OnceLock::new();

/// Sets what gives up caches that layers above keep. Boot calls it before the first task runs.
pub fn set_shrink(shrink: fn()) {
    // All guests of one process have the same.
    let _ = SHRINK.set(shrink);
}

/// Asked before the core sets `bytes` of its own memory aside for a guest. It may give up caches;
/// no core data is borrowed meanwhile.
///
/// # Errors
/// ENOMEM when the guest's memory is used up.
pub fn room_for(bytes: usize) -> Result<()> {
    match frames::check_room(bytes as u64) {
        Ok(()) => Ok(()),
        Err(_) => {
            // There is none in a unit test without a guest.
            if let Some(shrink) = SHRINK.get() {
                shrink();
            }
            frames::check_room(bytes as u64)
        }
    }
}
