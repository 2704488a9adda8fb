//! A system call as its handler is given it.

use super::Task;
use abi::number::{Low, to_usize};
use std::sync::Arc;
use umlab_model::UserThread;

/// One system call being handled.
pub struct Call<'a> {
    pub task: &'a Arc<Task>,
    pub user: &'a mut dyn UserThread,
    pub number: u64,
    pub args: [u64; 6],
}

impl Call<'_> {
    /// An argument as a C int.
    pub fn int(&self, n: usize) -> i32 {
        self.args[n].low_i32()
    }

    /// An argument as a C unsigned int.
    pub fn uint(&self, n: usize) -> u32 {
        self.args[n].low_u32()
    }

    /// An argument as a C long.
    pub fn long(&self, n: usize) -> i64 {
        self.args[n].cast_signed()
    }

    /// An argument as a size or a count.
    pub fn size(&self, n: usize) -> usize {
        to_usize(self.args[n])
    }
}
