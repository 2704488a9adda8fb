//! Where a process stands: chdir(2), chroot(2), getcwd(2), umask(2).

use super::{Call, Entry, entry};
use crate::vfs::Path;
use crate::vfs::permission::{self, EXEC};
use crate::vfs::walk::{self, Walk};
use crate::{Errno, Result};

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_chdir, "chdir", "p", |call| {
        let path = directory(call)?;
        call.task.fs.borrow().cwd.set(path);
        Ok(0)
    }),
    entry(abi::SYS_fchdir, "fchdir", "f", fchdir),
    entry(abi::SYS_chroot, "chroot", "p", |call| {
        let path = directory(call)?;
        if !call.task.creds().capable(abi::CAP_SYS_CHROOT) {
            return Err(Errno::EPERM);
        }
        call.task.fs.borrow().root.set(path);
        Ok(0)
    }),
    entry(abi::SYS_getcwd, "getcwd", "Pu", getcwd),
    entry(abi::SYS_umask, "umask", "o", |call| {
        let fs = call.task.fs.cloned();
        Ok(u64::from(fs.umask.replace(call.uint(0) & 0o777)))
    }),
];

/// The directory that the first argument names, which the task may search.
fn directory(call: &Call<'_>) -> Result<Path> {
    let path = call.task.space().read_path(call.args[0])?;
    let found = walk::lookup(call.task, abi::AT_FDCWD, &path, Walk::FOLLOW | Walk::DIRECTORY)?;
    permission::check(&call.task.creds(), &**found.inode(), EXEC)?;
    Ok(found)
}

fn fchdir(call: &mut Call<'_>) -> Result<u64> {
    let file = call.task.files().get(call.int(0))?;
    let path = file.path.clone().filter(Path::is_dir).ok_or(Errno::ENOTDIR)?;
    permission::check(&call.task.creds(), &**path.inode(), EXEC)?;
    call.task.fs.borrow().cwd.set(path);
    Ok(0)
}

fn getcwd(call: &mut Call<'_>) -> Result<u64> {
    let (cwd, root) = {
        let fs = call.task.fs.borrow();
        (fs.cwd.cloned(), fs.root.cloned())
    };
    if cwd.dentry.is_deleted() {
        return Err(Errno::ENOENT);
    }
    let (mut name, reachable) = cwd.name_below(&root);
    if !reachable {
        name.splice(..0, b"(unreachable)".iter().copied());
    }
    name.push(0);
    if name.len() > abi::PATH_MAX as usize {
        return Err(Errno::ENAMETOOLONG);
    }
    if name.len() as u64 > call.args[1] {
        return Err(Errno::ERANGE);
    }
    call.task.space().write_bytes(call.args[0], &name)?;
    Ok(name.len() as u64)
}
