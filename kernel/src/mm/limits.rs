//! How much memory a process may have: the limits that hold wherever an address space grows.
//!
//! They are those of the process that acts, which need not be the only one of the address space
//! (vfork(2)).

use super::space::Inner;
use super::vma::Totals;
use crate::limits::{self, Limit};
use crate::{Errno, Result};
use umlab_model::PAGE_SIZE;

fn limit(which: usize) -> Limit {
    let none = Limit { soft: limits::INFINITY, hard: limits::INFINITY };
    crate::sched::acting().map_or(none, |thread| thread.limit(which))
}

/// RLIMIT_STACK in whole pages: what is mapped begins and ends at them.
pub(super) fn stack_limit() -> u64 {
    limit(limits::STACK).soft & !(PAGE_SIZE - 1)
}

/// Whether the acting process may lock memory without a limit.
fn locks_freely() -> bool {
    crate::sched::acting().is_none_or(|thread| thread.creds().capable(abi::CAP_IPC_LOCK))
}

/// EPERM for who may lock no memory at all.
pub(super) fn may_lock() -> Result<()> {
    if limit(limits::MEMLOCK).soft > 0 || locks_freely() { Ok(()) } else { Err(Errno::EPERM) }
}

/// Whether so many bytes in total may be locked.
pub(super) fn may_have_locked(bytes: u64) -> bool {
    bytes <= limit(limits::MEMLOCK).soft & !(PAGE_SIZE - 1) || locks_freely()
}

impl Inner {
    /// RLIMIT_AS and RLIMIT_DATA. ENOMEM when areas with `more` cannot be added.
    pub(super) fn may_grow(&self, more: Totals) -> Result<()> {
        let now = self.vmas.totals();
        if more.mapped > 0 && now.mapped + more.mapped > limit(limits::AS).soft {
            return Err(Errno::ENOMEM);
        }
        let (data, allowed) = (now.data + more.data, limit(limits::DATA));
        // As Linux: a soft limit of zero means the hard one.
        let allowed = if allowed.soft == 0 { allowed.hard } else { allowed.soft };
        if more.data > 0 && data > allowed { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// RLIMIT_MEMLOCK. EAGAIN when areas with `more` cannot be added.
    pub(super) fn may_lock_more(&self, more: Totals) -> Result<()> {
        let fits = more.locked == 0 || may_have_locked(self.vmas.totals().locked + more.locked);
        if fits { Ok(()) } else { Err(Errno::EAGAIN) }
    }
}
