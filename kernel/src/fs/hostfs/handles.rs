//! Which inodes have host descriptors open: as many as the host lets this process have, those used
//! last.

use super::HostInode;
use crate::lock::KCell;
use std::collections::VecDeque;
use std::sync::{OnceLock, Weak};
use umlab_host::file as host;

static KEPT: KCell<VecDeque<Weak<HostInode>>> = KCell::new(VecDeque::new());

/// How many inodes may have descriptors: the rest of the process's limit is for files that are open
/// or mapped, and for the core.
fn capacity() -> usize {
    static CAPACITY: OnceLock<usize> = OnceLock::new();
    *CAPACITY.get_or_init(|| (host::prepare_process() / 4).clamp(64, 32 * 1024) as usize)
}

/// `inode` opened its first descriptor: others may have to close theirs.
pub fn opened(inode: &Weak<HostInode>) {
    let capacity = capacity();
    let mut kept = KEPT.borrow_mut();
    kept.push_back(inode.clone());
    let mut patience = 64;
    while kept.len() > capacity && patience > 0 {
        patience -= 1;
        let Some(oldest) = kept.pop_front() else { break };
        let Some(inode) = oldest.upgrade() else { continue };
        if inode.was_used() {
            kept.push_back(oldest);
        } else {
            inode.close_handles();
        }
    }
}
