//! Calls about files that have an area of their own: memfd_create(2), hints about use, and file
//! handles.

use super::{Call, Entry, entry};
use crate::fs::memfs;
use crate::vfs::file::OpenFile;
use crate::vfs::inode::FileKind;
use crate::vfs::walk::{self, Walk};
use crate::{Errno, Result};
use abi::number::extended;
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_memfd_create, "memfd_create", "sx", memfd_create),
    entry(abi::SYS_fadvise64, "fadvise64", "fuud", fadvise),
    entry(abi::SYS_readahead, "readahead", "fuu", readahead),
    entry(abi::SYS_sync_file_range, "sync_file_range", "fuux", sync_file_range),
    entry(abi::SYS_name_to_handle_at, "name_to_handle_at", "fpPPx", name_to_handle),
    entry(abi::SYS_open_by_handle_at, "open_by_handle_at", "fPx", open_by_handle),
];

/// NAME_MAX without "memfd:".
const MEMFD_NAME_MAX: usize = 249;

fn memfd_create(call: &mut Call<'_>) -> Result<u64> {
    const KNOWN: u32 = abi::MFD_CLOEXEC | abi::MFD_ALLOW_SEALING | abi::MFD_NOEXEC_SEAL | abi::MFD_EXEC;
    let flags = call.uint(1);
    let huge = flags & abi::MFD_HUGETLB != 0;
    let (exec, noexec) = (flags & abi::MFD_EXEC != 0, flags & abi::MFD_NOEXEC_SEAL != 0);
    if !huge && flags & !KNOWN != 0 || exec && noexec {
        return Err(Errno::EINVAL);
    }
    let name = call.task.space().read_string(call.args[0], MEMFD_NAME_MAX + 1, Errno::EINVAL)?;
    if huge {
        // No huge pages are set aside.
        return Err(if flags & abi::MFD_ALLOW_SEALING != 0 { Errno::EINVAL } else { Errno::ENOMEM });
    }
    let sealable = noexec || flags & abi::MFD_ALLOW_SEALING != 0;
    let file = memfs::memfd(&name, &call.task.creds(), sealable, !noexec)?;
    call.task.files().install(file, flags & abi::MFD_CLOEXEC != 0).map(extended)
}

/// A file that has contents to be read ahead or written back.
fn contents(call: &Call<'_>) -> Result<Arc<OpenFile>> {
    call.task.files().get_io(call.int(0))
}

fn fadvise(call: &mut Call<'_>) -> Result<u64> {
    let file = contents(call)?;
    if file.inode.kind() == FileKind::Fifo {
        return Err(Errno::ESPIPE);
    }
    if call.long(2) < 0 || !(abi::POSIX_FADV_NORMAL..=abi::POSIX_FADV_NOREUSE).contains(&call.int(3)) {
        return Err(Errno::EINVAL);
    }
    // Everything is in memory, the host's or the guest's: there is nothing to do earlier or later.
    Ok(0)
}

fn readahead(call: &mut Call<'_>) -> Result<u64> {
    let file = contents(call)?;
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    match file.inode.kind() {
        FileKind::Regular | FileKind::BlockDevice if call.long(2) >= 0 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

fn sync_file_range(call: &mut Call<'_>) -> Result<u64> {
    const KNOWN: u32 = abi::SYNC_FILE_RANGE_WAIT_BEFORE | abi::SYNC_FILE_RANGE_WRITE | abi::SYNC_FILE_RANGE_WAIT_AFTER;
    let file = contents(call)?;
    let (offset, len) = (call.long(1), call.long(2));
    if call.uint(3) & !KNOWN != 0 || offset < 0 || len < 0 || offset.checked_add(len).is_none() {
        return Err(Errno::EINVAL);
    }
    match file.inode.kind() {
        FileKind::Regular => {
            file.fsync(true)?;
            Ok(0)
        }
        FileKind::BlockDevice | FileKind::Directory | FileKind::Symlink => Ok(0),
        _ => Err(Errno::ESPIPE),
    }
}

fn name_to_handle(call: &mut Call<'_>) -> Result<u64> {
    let flags = call.int(4);
    if flags & !(abi::AT_SYMLINK_FOLLOW | abi::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut how = Walk::empty();
    how.set(Walk::EMPTY, flags & abi::AT_EMPTY_PATH != 0);
    how.set(Walk::FOLLOW, flags & abi::AT_SYMLINK_FOLLOW != 0);
    let path = call.task.space().read_path(call.args[1])?;
    walk::lookup(call.task, call.int(0), &path, how)?;
    // No file system here can find a file by anything but its name.
    Err(Errno::EOPNOTSUPP)
}

fn open_by_handle(call: &mut Call<'_>) -> Result<u64> {
    if !call.task.creds().capable(abi::CAP_DAC_READ_SEARCH) {
        return Err(Errno::EPERM);
    }
    let [len, _kind]: [u32; 2] = call.task.space().read(call.args[1])?;
    Err(if len == 0 || len > 128 { Errno::EINVAL } else { Errno::ESTALE })
}
