//! Where a task stands in the tree of names, and who it is there.

use super::file::OpenFile;
use super::path::Path;
use crate::Result;
use crate::creds::Creds;
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

/// Who asks for a file: what path walks and checks of permission need of a task.
pub trait Caller {
    fn creds(&self) -> Arc<Creds>;
    /// Where absolute paths begin.
    fn root(&self) -> Path;
    /// Where relative paths begin.
    fn cwd(&self) -> Path;
    /// The mode bits that new files do not get.
    fn umask(&self) -> u32;
    /// What a descriptor stands for.
    ///
    /// # Errors
    /// EBADF for nothing.
    fn file(&self, fd: i32) -> Result<Arc<OpenFile>>;
}

impl<T: Caller + ?Sized> Caller for Arc<T> {
    fn creds(&self) -> Arc<Creds> {
        (**self).creds()
    }

    fn root(&self) -> Path {
        (**self).root()
    }

    fn cwd(&self) -> Path {
        (**self).cwd()
    }

    fn umask(&self) -> u32 {
        (**self).umask()
    }

    fn file(&self, fd: i32) -> Result<Arc<OpenFile>> {
        (**self).file(fd)
    }
}
