//! What execve(2) needs of files.

use super::file::OpenFile;
use crate::task::Task;
use crate::{Errno, Result};
use std::sync::Arc;

/// Opens a program by path, from the task's working directory.
pub fn open(_task: &Arc<Task>, _path: &[u8]) -> Result<Arc<OpenFile>> {
    Err(Errno::ENOENT)
}

/// Closes what is to be closed at exec; a shared table becomes the task's own first.
pub fn on_exec(task: &Arc<Task>) {
    if let Some(files) = task.files.cloned() {
        let own = if Arc::strong_count(&files) > 2 { files.duplicate() } else { files };
        own.exec();
        task.files.set(Some(own));
    }
}

/// As [`open`], for execveat(2): AT_EMPTY_PATH and AT_SYMLINK_NOFOLLOW in `flags`.
pub fn open_at(_task: &Arc<Task>, _dirfd: i32, _path: &[u8], _flags: i32) -> Result<Arc<OpenFile>> {
    Err(Errno::ENOENT)
}
