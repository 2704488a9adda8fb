//! System calls on the address space.

use super::{Call, Entry, entry};
use crate::limits;
use crate::mm::map::MapRequest;
use crate::mm::object::MappedFile;
use crate::sched::killable_point;
use crate::{Errno, Result};
use std::sync::Arc;

#[rustfmt::skip]
pub const CALLS: &[Entry] = &[
    entry(abi::SYS_mmap, "mmap", "xuxxfx", mmap),
    entry(abi::SYS_munmap, "munmap", "xu", munmap),
    entry(abi::SYS_mprotect, "mprotect", "xux", mprotect),
    entry(abi::SYS_pkey_mprotect, "pkey_mprotect", "xuxd", pkey_mprotect),
    entry(abi::SYS_pkey_alloc, "pkey_alloc", "xx", pkey_alloc),
    entry(abi::SYS_pkey_free, "pkey_free", "d", |_| Err(Errno::EINVAL)),
    entry(abi::SYS_mremap, "mremap", "xuuxx", mremap),
    entry(abi::SYS_remap_file_pages, "remap_file_pages", "xuxux", remap_file_pages),
    entry(abi::SYS_madvise, "madvise", "xud", madvise),
    entry(abi::SYS_brk, "brk", "x", brk),
    entry(abi::SYS_msync, "msync", "xux", msync),
    entry(abi::SYS_mincore, "mincore", "xuP", mincore),
    entry(abi::SYS_mlock, "mlock", "xu", mlock),
    entry(abi::SYS_mlock2, "mlock2", "xux", mlock2),
    entry(abi::SYS_munlock, "munlock", "xu", munlock),
    entry(abi::SYS_mlockall, "mlockall", "x", mlockall),
    entry(abi::SYS_munlockall, "munlockall", "", munlockall),
];

fn mmap(call: &mut Call<'_>) -> Result<u64> {
    let [addr, len, _, _, _, offset] = call.args;
    let (prot, mut flags) = (call.uint(2), call.int(3));
    // What stands above an int is no flag, as little as its highest bit is one.
    if call.args[3] >> 32 != 0 {
        flags |= i32::MIN;
    }
    if !offset.is_multiple_of(4096) {
        return Err(Errno::EINVAL);
    }
    let file: Option<Arc<dyn MappedFile>> =
        if flags & abi::MAP_ANONYMOUS == 0 { Some(call.task.files().get_io(call.int(4))?) } else { None };
    if file.is_some() && flags & abi::MAP_HUGETLB != 0 {
        return Err(Errno::EINVAL);
    }
    // The offset of anonymous memory means nothing else.
    let offset = if file.is_some() { offset } else { 0 };
    call.task.space().mmap(&MapRequest { addr, len, prot, flags, file, offset })
}

fn munmap(call: &mut Call<'_>) -> Result<u64> {
    call.task.space().munmap(call.args[0], call.args[1]).map(|()| 0)
}

fn mprotect(call: &mut Call<'_>) -> Result<u64> {
    call.task.space().mprotect(call.args[0], call.args[1], call.args[2]).map(|()| 0)
}

fn mremap(call: &mut Call<'_>) -> Result<u64> {
    let [addr, old_len, new_len, flags, new_addr, _] = call.args;
    let flags = i32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    call.task.space().mremap(addr, old_len, new_len, flags, new_addr)
}

fn remap_file_pages(call: &mut Call<'_>) -> Result<u64> {
    let [addr, len, prot, first, ..] = call.args;
    // The rights are those of the mapping.
    if prot != 0 {
        return Err(Errno::EINVAL);
    }
    call.task.space().remap_file_pages(addr, len, first, call.int(4)).map(|()| 0)
}

fn madvise(call: &mut Call<'_>) -> Result<u64> {
    call.task.space().madvise(call.args[0], call.args[1], call.int(2)).map(|()| 0)
}

fn brk(call: &mut Call<'_>) -> Result<u64> {
    Ok(call.task.space().set_brk(call.args[0], call.task.process.limit(limits::DATA)))
}

fn msync(call: &mut Call<'_>) -> Result<u64> {
    call.task.space().msync(call.args[0], call.args[1], call.int(2)).map(|()| 0)
}

fn mincore(call: &mut Call<'_>) -> Result<u64> {
    /// So many bytes of the address space are looked at in one go.
    const STEP: u64 = 16 << 20;
    let space = call.task.space();
    let [addr, len, out, ..] = call.args;
    let end = addr.checked_add(len).ok_or(Errno::ENOMEM)?;
    let mut at = addr;
    loop {
        let pages = space.mincore(at, STEP.min(end - at))?;
        space.write_bytes(out.wrapping_add((at - addr) / 4096), &pages)?;
        if end - at <= STEP {
            return Ok(0);
        }
        at += STEP;
        killable_point()?;
    }
}

/// pkey_alloc(2): there are no keys to give.
fn pkey_alloc(call: &mut Call<'_>) -> Result<u64> {
    const RIGHTS: u64 = 3;
    let [flags, rights, ..] = call.args;
    if flags != 0 || rights & !RIGHTS != 0 { Err(Errno::EINVAL) } else { Err(Errno::ENOSPC) }
}

/// pkey_mprotect(2): without protection keys in the CPU's reach, only the default key exists.
fn pkey_mprotect(call: &mut Call<'_>) -> Result<u64> {
    if call.int(3) == -1 { mprotect(call) } else { Err(Errno::EINVAL) }
}

fn mlock(call: &mut Call<'_>) -> Result<u64> {
    call.task.space().mlock(call.args[0], call.args[1], false).map(|()| 0)
}

fn mlock2(call: &mut Call<'_>) -> Result<u64> {
    const MLOCK_ONFAULT: i32 = 1;
    let flags = call.int(2);
    if flags & !MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL);
    }
    call.task.space().mlock(call.args[0], call.args[1], flags != 0).map(|()| 0)
}

fn munlock(call: &mut Call<'_>) -> Result<u64> {
    call.task.space().munlock(call.args[0], call.args[1]).map(|()| 0)
}

fn mlockall(call: &mut Call<'_>) -> Result<u64> {
    const KNOWN: i32 = abi::MCL_CURRENT | abi::MCL_FUTURE | abi::MCL_ONFAULT;
    let flags = call.int(0);
    if flags == 0 || flags & !KNOWN != 0 || flags == abi::MCL_ONFAULT {
        return Err(Errno::EINVAL);
    }
    call.task.space().mlockall(flags).map(|()| 0)
}

fn munlockall(call: &mut Call<'_>) -> Result<u64> {
    call.task.space().munlockall().map(|()| 0)
}
