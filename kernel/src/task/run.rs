//! The trap loop.

use super::Task;
use crate::model::UserThread;
use crate::{Errno, Result};
use std::sync::Arc;

/// Makes the kernel context of a task, whose main runs the trap loop, and starts it.
pub fn spawn(_task: &Arc<Task>, _user: Box<dyn UserThread>) -> Result<()> {
    Err(Errno::EAGAIN)
}
