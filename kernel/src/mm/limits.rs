//! Resource limits of memory: those of the process that acts, wherever an address space is about to grow.

use crate::task::limits;

/// The soft limit `which` of the process that acts. It need not be the only one of an address space (vfork(2)).
pub(super) fn limit(which: usize) -> u64 {
    crate::sched::acting().map_or(limits::INFINITY, |task| task.process.limit(which))
}
