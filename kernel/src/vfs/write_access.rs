//! Text file busy: a file is not written while it is executed, nor executed while it is written.

use super::inode::InodeRef;
use crate::{Errno, Result};
use std::sync::atomic::Ordering::Relaxed;

/// A use of a file that excludes the other kind. Ends with the value.
pub struct Claim {
    inode: InodeRef,
    step: i32,
}

impl Claim {
    fn new(inode: &InodeRef, step: i32) -> Result<Claim> {
        let uses = &inode.state().uses;
        let count = uses.load(Relaxed);
        if count * step < 0 {
            return Err(Errno::ETXTBSY);
        }
        uses.store(count + step, Relaxed);
        Ok(Claim { inode: inode.clone(), step })
    }

    /// To write to the file; ETXTBSY while it is executed.
    pub fn write(inode: &InodeRef) -> Result<Claim> {
        Claim::new(inode, 1)
    }

    /// To execute the file; ETXTBSY while somebody has it open for writing.
    pub fn execute(inode: &InodeRef) -> Result<Claim> {
        Claim::new(inode, -1)
    }
}

/// Whether somebody has the file open for writing.
pub fn is_written(inode: &InodeRef) -> bool {
    inode.state().uses.load(Relaxed) > 0
}

impl Drop for Claim {
    fn drop(&mut self) {
        let uses = &self.inode.state().uses;
        uses.store(uses.load(Relaxed) - self.step, Relaxed);
    }
}
