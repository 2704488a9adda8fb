//! execve(2) and execveat(2).

use super::{Call, Entry, entry};
use crate::task::exec::{self, Image};
use crate::task::ptrace;
use crate::vfs::file::OpenFile;
use crate::{Errno, Result};
use std::sync::Arc;

#[rustfmt::skip]
pub const CALLS: &[Entry] = &[
    entry(abi::SYS_execve, "execve", "pPP", execve),
    entry(abi::SYS_execveat, "execveat", "fpPPx", execveat),
];

fn execve(call: &mut Call<'_>) -> Result<u64> {
    let path = call.task.space().read_path(call.args[0])?;
    let file = crate::vfs::exec::open(call.task, &path)?;
    run(call, file, path, call.args[1], call.args[2])
}

fn execveat(call: &mut Call<'_>) -> Result<u64> {
    let [_, path, arguments, environment, _, _] = call.args;
    let path = call.task.space().read_path(path)?;
    let (dirfd, flags) = (call.int(0), call.int(4));
    if flags & !(abi::AT_EMPTY_PATH | abi::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = crate::vfs::exec::open_at(call.task, dirfd, &path, flags)?;
    let name = if dirfd == abi::AT_FDCWD || path.starts_with(b"/") {
        path
    } else if path.is_empty() {
        format!("/dev/fd/{dirfd}").into_bytes()
    } else {
        [format!("/dev/fd/{dirfd}/").as_bytes(), &path].concat()
    };
    run(call, file, name, arguments, environment)
}

fn run(call: &mut Call<'_>, file: Arc<OpenFile>, path: Vec<u8>, arguments: u64, environment: u64) -> Result<u64> {
    let space = call.task.space();
    let mut budget = exec::argument_budget(call.task);
    let arguments = exec::read_strings(&space, arguments, &mut budget)?;
    let environment = exec::read_strings(&space, environment, &mut budget)?;
    drop(space);
    let old = call.task.tid();
    let guard = ptrace::exec_guard(&call.task.process);
    let prepared = exec::prepare(call.task, Image { file, path, arguments, environment })?;
    exec::commit(call.task, call.user, prepared)?;
    drop(guard);
    if call.task.trace.is_traced() {
        ptrace::events::executed(call.task, call.user, old);
        // The first registers of a program are all zero.
        call.user.set_result(0);
    }
    Ok(0)
}
