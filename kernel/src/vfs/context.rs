//! Where a task stands in the tree of names.

use super::path::Path;
use crate::lock::KCell;
use std::sync::Arc;

/// Root, working directory and umask: what CLONE_FS shares.
pub struct FsContext {
    pub root: KCell<Path>,
    pub cwd: KCell<Path>,
    pub umask: KCell<u32>,
}

impl FsContext {
    pub fn new(root: Path, cwd: Path) -> Arc<FsContext> {
        Arc::new(FsContext { root: KCell::new(root), cwd: KCell::new(cwd), umask: KCell::new(0o022) })
    }

    /// A context of its own that stands at the same place.
    pub fn duplicate(&self) -> Arc<FsContext> {
        let (root, cwd) = (self.root.cloned(), self.cwd.cloned());
        Arc::new(FsContext { root: KCell::new(root), cwd: KCell::new(cwd), umask: KCell::new(self.umask.get()) })
    }
}
