//! Text file busy: a file is not written while it is executed, nor executed while it is written.

use super::inode::InodeRef;
use crate::lock::KCell;
use crate::{Errno, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// By inode: how many have it open for writing, or, negative, how many execute it.
static CLAIMS: KCell<Option<HashMap<usize, i32>>> = KCell::new(None);

/// A use of a file that excludes the other kind. Ends with the value; the owner of the inode's
/// reference keeps it.
pub struct Claim {
    inode: usize,
    step: i32,
}

impl Claim {
    fn new(inode: &InodeRef, step: i32) -> Result<Claim> {
        let inode = Arc::as_ptr(inode).cast::<()>() as usize;
        let mut claims = CLAIMS.borrow_mut();
        let count = claims.get_or_insert_default().entry(inode).or_default();
        if *count * step < 0 {
            return Err(Errno::ETXTBSY);
        }
        *count += step;
        Ok(Claim { inode, step })
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
    let inode = Arc::as_ptr(inode).cast::<()>() as usize;
    CLAIMS.borrow().as_ref().and_then(|claims| claims.get(&inode)).is_some_and(|&count| count > 0)
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = CLAIMS.borrow_mut();
        let Some(claims) = claims.as_mut() else { return };
        if let Some(count) = claims.get_mut(&self.inode) {
            *count -= self.step;
            if *count == 0 {
                claims.remove(&self.inode);
            }
        }
    }
}
