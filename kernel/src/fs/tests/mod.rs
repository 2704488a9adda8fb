//! Tests of the file layer as a whole, without a guest: a task that never runs makes the calls.

mod costs;
mod memory;
mod overlay;
mod walking;

use super::hostfs::{Access, HostFs};
use super::memfs::MemFs;
use crate::creds::Creds;
use crate::limits::Limits;
use crate::lock::{self, KCell};
use crate::mm::{IoBuf, frames};
use crate::task::process::Settings;
use crate::task::{Attributes, Parts, Process, ProcessGroup, Session, Task};
use crate::vfs::FsContext;
use crate::vfs::Path;
use crate::vfs::file::{DirEntry, OpenFile};
use crate::vfs::inode::{Attr, NewNode};
use crate::vfs::mount::{FileSystem, Mount, MountFlags};
use crate::vfs::namei;
use crate::vfs::open;
use crate::vfs::walk::{self, Walk};
use crate::{Errno, Result};
use std::path::PathBuf;
use std::sync::{Arc, Once};

const HERE: i32 = abi::AT_FDCWD;

/// Runs a test as core code: under the big lock, with memory for files.
pub(crate) fn in_kernel(test: impl FnOnce()) {
    let _held = hold();
    test();
}

/// The rest of a test is core code, as in [`in_kernel`].
pub(crate) fn hold() -> lock::Held {
    static MEMORY: Once = Once::new();
    let held = lock::hold();
    MEMORY.call_once(|| frames::init(256 << 20).expect("host memory"));
    held
}

/// A task in a tree of its own.
struct Guest {
    task: Arc<Task>,
    root: Path,
}

impl Guest {
    fn new(fs: Arc<dyn FileSystem>) -> Guest {
        let root = Mount::new(fs, b"test", MountFlags::empty()).root_path();
        Guest::at(root, Creds::user(0, 0, Vec::new()))
    }

    fn at(root: Path, creds: Creds) -> Guest {
        let creds = Arc::new(creds);
        let session = Session::new(77);
        let group = ProcessGroup::new(77, &session);
        let process = Process::new(77, &group, Limits::initial(100), Settings::default(), creds.clone());
        let fs = FsContext::new(root.clone(), root.clone());
        fs.umask.set(0);
        let parts = Parts {
            name: Vec::new(),
            space: None,
            files: Some(crate::vfs::FdTable::new()),
            fs,
            creds,
            attributes: Attributes::default(),
            signals: Default::default(),
            actions: Default::default(),
        };
        Guest { task: Task::new(77, &process, parts), root }
    }

    /// Another user in the same tree.
    fn user(&self, uid: u32) -> Guest {
        Guest::at(self.root.clone(), Creds::user(uid, uid, Vec::new()))
    }

    fn memory() -> Guest {
        Guest::new(MemFs::new(None, 0o777, 0, 0))
    }

    fn open(&self, path: &str, flags: i32) -> Result<Arc<OpenFile>> {
        open::open(&self.task, HERE, path.as_bytes(), flags, 0o644, Walk::empty())
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let file = self.open(path, abi::O_CREAT | abi::O_WRONLY | abi::O_TRUNC)?;
        write_at(&file, text.as_bytes(), 0)
    }

    fn read(&self, path: &str) -> Result<String> {
        Ok(String::from_utf8(read_all(&*self.open(path, abi::O_RDONLY)?)).expect("text"))
    }

    fn find(&self, path: &str) -> Result<Path> {
        walk::lookup(&self.task, HERE, path.as_bytes(), Walk::FOLLOW)
    }

    fn stat(&self, path: &str) -> Result<Attr> {
        walk::lookup(&self.task, HERE, path.as_bytes(), Walk::empty())?.inode().attr()
    }

    fn mkdir(&self, path: &str) -> Result<()> {
        namei::make(&self.task, HERE, path.as_bytes(), &NewNode::Directory, 0o755).map(drop)
    }

    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        namei::make(&self.task, HERE, path.as_bytes(), &NewNode::Symlink(target.as_bytes()), 0o777).map(drop)
    }

    fn link(&self, old: &str, new: &str) -> Result<()> {
        let old = walk::lookup(&self.task, HERE, old.as_bytes(), Walk::empty())?;
        namei::link(&self.task, &old, HERE, new.as_bytes())
    }

    fn unlink(&self, path: &str) -> Result<()> {
        namei::remove(&self.task, HERE, path.as_bytes(), false)
    }

    fn rmdir(&self, path: &str) -> Result<()> {
        namei::remove(&self.task, HERE, path.as_bytes(), true)
    }

    fn rename(&self, old: &str, new: &str) -> Result<()> {
        self.rename2(old, new, 0)
    }

    fn rename2(&self, old: &str, new: &str, flags: u32) -> Result<()> {
        namei::rename(&self.task, (HERE, old.as_bytes()), (HERE, new.as_bytes()), flags)
    }

    /// The names in a directory, sorted, "." and ".." left out.
    fn list(&self, path: &str) -> Result<String> {
        let file = self.open(path, abi::O_RDONLY | abi::O_DIRECTORY)?;
        let mut names = Vec::new();
        file.read_dir(&mut |entry: &DirEntry<'_>| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            true
        })?;
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(names.join(" "))
    }
}

fn write_at(file: &OpenFile, bytes: &[u8], offset: u64) -> Result<()> {
    assert_eq!(file.write_at(&mut IoBuf::kernel(bytes), offset)?, bytes.len());
    Ok(())
}

fn read_at(file: &OpenFile, len: usize, offset: u64) -> Vec<u8> {
    let mut bytes = vec![0xee; len];
    let n = file.read_at(&mut IoBuf::kernel_mut(&mut bytes), offset).expect("readable");
    bytes.truncate(n);
    bytes
}

fn read_all(file: &OpenFile) -> Vec<u8> {
    read_at(file, 1 << 20, 0)
}

/// A directory of the host that is gone after the test.
struct HostDir(PathBuf);

impl HostDir {
    fn new() -> HostDir {
        static NEXT: KCell<u32> = KCell::new(0);
        let number = {
            let mut next = NEXT.borrow_mut();
            *next += 1;
            *next
        };
        let path = std::env::temp_dir().join(format!("umlab-fs-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a host directory");
        HostDir(path)
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a host directory");
        std::fs::write(path, text).expect("a host file");
    }

    fn read_only(&self) -> Guest {
        Guest::new(HostFs::new(&self.0, Access::ReadOnly).expect("a host tree"))
    }

    fn writable(&self) -> Guest {
        Guest::new(HostFs::new(&self.0, Access::Write).expect("a host tree"))
    }

    fn overlay(&self) -> Guest {
        Guest::new(MemFs::over(HostFs::new(&self.0, Access::ReadOnly).expect("a host tree").root()))
    }
}

impl Drop for HostDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn error<T>(result: Result<T>) -> Option<Errno> {
    result.err()
}
