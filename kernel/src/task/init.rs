//! The built-in init, PID 1: the parent of the guest's command and of all orphans.
//!
//! It is a process without user code: what it would do, reaping the children that end, is done when they end. When the command itself
//! ends, so does the guest, with the command's status.

use super::Pid;
use crate::lock::KCell;

/// Its PID.
pub const PID: Pid = 1;

static STATUS: KCell<Option<i32>> = KCell::new(None);

/// The wait status of the guest's command, once it ended.
pub fn status() -> Option<i32> {
    STATUS.get()
}
