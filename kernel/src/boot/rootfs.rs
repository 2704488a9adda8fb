//! The guest's tree as it is at boot: the root, what is mounted in it, and where the command
//! starts.

use super::{Config, Failure, STATUS_OWN};
use crate::creds::Creds;
use crate::fs::hostfs::{Access, HostFs};
use crate::fs::memfs::MemFs;
use crate::fs::{devfs, procfs, sysfs};
use crate::task::Task;
use crate::tty;
use crate::vfs::FsContext;
use crate::vfs::Path;
use crate::vfs::file::OpenFile;
use crate::vfs::inode::NewNode;
use crate::vfs::mount::{self, FileSystem, Mount, MountFlags};
use crate::vfs::walk::{Walk, walk_from};
use crate::{Errno, Result};
use std::sync::Arc;

fn failed(what: String, e: Errno) -> Failure {
    Failure { message: format!("{what}: {e}"), status: STATUS_OWN }
}

/// Makes the tree that `config` describes. Its errors are for the person who started the guest.
pub fn build(config: &Config) -> std::result::Result<Arc<FsContext>, Failure> {
    let root =
        make_root(config).map_err(|e| failed(format!("cannot use '{}' as the root", config.root.display()), e))?;
    let kernel = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let plain: [(&str, Arc<dyn FileSystem>, MountFlags); 5] = [
        ("/proc", procfs::file_system(), kernel),
        ("/sys", sysfs::file_system(), kernel | MountFlags::RDONLY),
        ("/dev", make_dev(config).map_err(|e| failed("cannot make /dev".into(), e))?, MountFlags::NOSUID),
        ("/dev/pts", tty::devpts::file_system(), MountFlags::NOSUID | MountFlags::NOEXEC),
        ("/dev/shm", memory(config, None), MountFlags::NOSUID | MountFlags::NODEV),
    ];
    for (place, fs, flags) in plain {
        let source = fs.kind();
        mount_at(&root, place.as_bytes(), fs, source.as_bytes(), flags)
            .map_err(|e| failed(format!("cannot mount {place}"), e))?;
    }
    for tmpfs in &config.tmpfs {
        mount_at(&root, &tmpfs.guest, memory(config, tmpfs.size), b"tmpfs", MountFlags::empty())
            .map_err(|e| failed(format!("cannot mount {}", String::from_utf8_lossy(&tmpfs.guest)), e))?;
    }
    for bind in &config.binds {
        let flags = if bind.access == Access::ReadOnly { MountFlags::RDONLY } else { MountFlags::empty() };
        HostFs::new(&bind.host, bind.access)
            .and_then(|fs| mount_at(&root, &bind.guest, fs, bind.host.as_os_str().as_encoded_bytes(), flags))
            .map_err(|e| {
                let guest = String::from_utf8_lossy(&bind.guest);
                failed(format!("cannot show '{}' at {guest}", bind.host.display()), e)
            })?;
    }
    Ok(FsContext::new(root.clone(), root))
}

fn make_root(config: &Config) -> Result<Path> {
    let lower = HostFs::new(&config.root, Access::ReadOnly)?;
    let overlay = MemFs::over(lower.root());
    let root = Mount::new(overlay, b"overlay", MountFlags::empty());
    mount::set_root(&root);
    Ok(mount::root())
}

fn make_dev(config: &Config) -> Result<Arc<dyn FileSystem>> {
    let dev = MemFs::of_kind("devtmpfs", Some(1 << 20), 0o755, 0, 0);
    devfs::populate(&dev.root(), config.uid)?;
    Ok(dev)
}

fn memory(config: &Config, size: Option<u64>) -> Arc<dyn FileSystem> {
    MemFs::new(Some(size.unwrap_or(config.memory / 2)), 0o1777, 0, 0)
}

/// Mounts `fs` at `place`, which is made if it is missing.
fn mount_at(root: &Path, place: &[u8], fs: Arc<dyn FileSystem>, source: &[u8], flags: MountFlags) -> Result<()> {
    let mount = Mount::new(fs, source, flags);
    let place = find_or_make(root, place, mount.root.is_dir())?;
    mount::attach(&mount, &place)
}

/// The place of this name, with all directories above it made where they are missing.
fn find_or_make(root: &Path, name: &[u8], directory: bool) -> Result<Path> {
    let creds = Creds::user(0, 0, Vec::new());
    let mut at = root.clone();
    let mut parts = name.split(|&b| b == b'/').filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        let found = walk_from(&creds, root, &at, part, Walk::FOLLOW | Walk::CREATE)?;
        at = match found.target {
            Some(target) => target,
            None => {
                let node = if directory || parts.peek().is_some() { NewNode::Directory } else { NewNode::Regular };
                let mode = if matches!(node, NewNode::Directory) { 0o755 } else { 0o644 };
                let inode = found.dir.inode().create(&found.name, &node, mode, &creds)?;
                Path { dentry: found.dir.dentry.add(&found.name, inode), mount: found.dir.mount }
            }
        };
    }
    Ok(at)
}

/// Sets the command's working directory; ENOTDIR, ENOENT, EACCES as chdir(2).
pub fn change_directory(task: &Arc<Task>, path: &[u8]) -> Result<()> {
    let place = crate::vfs::walk::lookup(task, abi::AT_FDCWD, path, Walk::FOLLOW | Walk::DIRECTORY)?;
    task.fs.borrow().cwd.set(place);
    Ok(())
}

/// /dev/console, for reading and writing.
pub fn open_console(task: &Arc<Task>) -> Result<Arc<OpenFile>> {
    crate::vfs::open::open(task, abi::AT_FDCWD, b"/dev/console", abi::O_RDWR, 0, Walk::empty())
}
