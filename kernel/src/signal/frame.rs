//! Handler frames: what a handler finds on its stack, and how rt_sigreturn(2) goes back.

use super::action::SigAction;
use super::info::SigInfo;
use crate::model::UserThread;
use crate::task::Task;
use crate::{Errno, Result};
use std::sync::Arc;

/// Makes the thread run a handler. EFAULT when its stack cannot take the frame.
pub(super) fn enter_handler(
    _task: &Arc<Task>,
    _user: &mut dyn UserThread,
    _info: &SigInfo,
    _action: &SigAction,
) -> Result<()> {
    Err(Errno::EFAULT)
}
