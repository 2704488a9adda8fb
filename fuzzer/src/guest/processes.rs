//! Which process an argument means. Never the leader: it is our witness.

use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use umlab_fuzzer::program::Who;

/// The last child of this process.
pub static CHILD: AtomicI32 = AtomicI32::new(0);
/// Another process of the program, as far as there is one when this one begins.
pub static OTHER: AtomicI32 = AtomicI32::new(0);

/// A number that no process has.
const NOBODY: i64 = 4_000_000;

pub fn find(who: Who) -> i64 {
    let known = |cell: &AtomicI32| match cell.load(Relaxed) {
        0 => NOBODY,
        pid => pid.into(),
    };
    match who {
        Who::Own => crate::sys::ask(libc::SYS_getpid, [0; 6]),
        Who::Thread => crate::sys::ask(libc::SYS_gettid, [0; 6]),
        Who::Other => known(&OTHER),
        Who::Child => known(&CHILD),
        Who::Init => 1,
    }
}
