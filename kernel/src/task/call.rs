//! A system call as its handler is given it.

use super::Task;
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
        self.args[n] as i32
    }
}
