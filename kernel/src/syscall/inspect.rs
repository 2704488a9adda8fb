//! Looking into other processes: kcmp(2), process_vm_readv(2), process_vm_writev(2) and
//! process_madvise(2).

use super::{Call, Entry, entry};
use crate::mm::user::user_segments;
use crate::mm::{AddressSpace, IoBuf};
use crate::sched::killable_point;
use crate::task::inspect::may_inspect;
use crate::task::{Whom, find, pidfd};
use crate::{Errno, Result};
use abi::number::to_usize;
use std::cmp::Ordering;
use std::sync::Arc;

pub const CALLS: &[Entry] = &[
    entry(abi::SYS_kcmp, "kcmp", "dddxx", sys_kcmp),
    entry(abi::SYS_process_vm_readv, "process_vm_readv", "dPuPux", |call| transfer(call, false)),
    entry(abi::SYS_process_vm_writev, "process_vm_writev", "dPuPux", |call| transfer(call, true)),
    entry(abi::SYS_process_madvise, "process_madvise", "fPudx", process_madvise),
];

fn sys_kcmp(call: &mut Call<'_>) -> Result<u64> {
    let (a, b, kind) = (call.int(0), call.int(1), call.int(2));
    let (a, b) = (Whom::find(a).ok_or(Errno::ESRCH)?, Whom::find(b).ok_or(Errno::ESRCH)?);
    if !a.may_be_inspected(call.task) || !b.may_be_inspected(call.task) {
        return Err(Errno::EPERM);
    }
    let file = |whom: &Whom, fd: i32| -> Result<usize> {
        let Whom::Thread(task) = whom else { return Err(Errno::EBADF) };
        let files = task.files.cloned().ok_or(Errno::EBADF)?;
        let file = files.get(fd)?;
        Ok(Arc::as_ptr(&file) as usize)
    };
    // The objects' order must be one and the same for all questions; what it is does not matter.
    let address = |whom: &Whom| -> usize {
        // What has ended has nothing any more.
        let Whom::Thread(task) = whom else { return 0 };
        match kind {
            1 => task.space.borrow().as_ref().map_or(0, |space| Arc::as_ptr(space) as usize),
            2 => task.files.borrow().as_ref().map_or(0, |files| Arc::as_ptr(files) as usize),
            3 => Arc::as_ptr(&task.fs.borrow()) as usize,
            4 => Arc::as_ptr(&task.actions.borrow()) as usize,
            // I/O contexts and System V undo lists are nobody's: all have the same none.
            _ => 0,
        }
    };
    let order = match kind {
        0 => file(&a, call.int(3))?.cmp(&file(&b, call.int(4))?),
        1..=6 => address(&a).cmp(&address(&b)),
        // What an epoll instance watches.
        7 => {
            call.task.space().read::<[u32; 3]>(call.args[4])?;
            return Err(Errno::EOPNOTSUPP);
        }
        _ => return Err(Errno::EINVAL),
    };
    Ok(match order {
        Ordering::Equal => 0,
        Ordering::Less => 1,
        Ordering::Greater => 2,
    })
}

/// IOV_MAX.
const MAX_SEGMENTS: u64 = 1024;

fn transfer(call: &mut Call<'_>, write: bool) -> Result<u64> {
    let [_, local, local_count, remote, remote_count, flags] = call.args;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let own = call.task.space();
    let mut buf = IoBuf::user_vector(&own, local, local_count)?;
    if buf.is_empty() {
        return Ok(0);
    }
    if remote_count > MAX_SEGMENTS {
        return Err(Errno::EINVAL);
    }
    let segments: Vec<[u64; 2]> = own.read_array(remote, to_usize(remote_count))?;
    if segments.iter().any(|[_, len]| *len > i64::MAX as u64) {
        return Err(Errno::EINVAL);
    }
    let target = find(call.int(0)).ok_or(Errno::ESRCH)?;
    if !may_inspect(call.task, &target) {
        return Err(Errno::EPERM);
    }
    let theirs = target.space.cloned().ok_or(Errno::ESRCH)?;
    for [addr, len] in segments {
        let result = transfer_segment(&theirs, addr, len, &mut buf, write);
        theirs.collect();
        if let Err(e) = result {
            return if buf.done() > 0 { Ok(buf.done() as u64) } else { Err(e) };
        }
        if buf.is_empty() {
            break;
        }
    }
    Ok(buf.done() as u64)
}

fn transfer_segment(theirs: &AddressSpace, addr: u64, len: u64, buf: &mut IoBuf<'_>, write: bool) -> Result<()> {
    let mut chunk = [0u8; 4096];
    let mut done = 0;
    while done < len && !buf.is_empty() {
        let at = addr.wrapping_add(done);
        // Up to the end of the page, so that what lies before a hole is transferred.
        let want = to_usize((len - done).min(4096 - at % 4096).min(buf.remaining() as u64));
        let part = &mut chunk[..want];
        let n = if write {
            // Their page first: bytes taken could not be given back.
            theirs.window(at, want, true)?;
            let n = buf.take(part)?;
            theirs.write_bytes(at, &part[..n])?;
            n
        } else {
            theirs.read_bytes(at, part)?;
            buf.put(part)?
        };
        if n == 0 {
            return Err(Errno::EFAULT);
        }
        done += n as u64;
        killable_point()?;
    }
    Ok(())
}

/// Advice about the memory of any process that may be inspected; about another's memory only the
/// kind that loses no contents.
fn process_madvise(call: &mut Call<'_>) -> Result<u64> {
    let (vector, count, advice) = (call.args[1], call.args[2], call.int(3));
    if call.uint(4) != 0 {
        return Err(Errno::EINVAL);
    }
    let own = call.task.space();
    let segments = user_segments(&own, vector, count)?;
    let process = pidfd::process_of(&*call.task.files().get(call.int(0))?)?;
    let target = process.main_thread().ok_or(Errno::ESRCH)?;
    let theirs = target.space.cloned().ok_or(Errno::ESRCH)?;
    if !may_inspect(call.task, &target) {
        return Err(Errno::EACCES);
    }
    if !Arc::ptr_eq(&own, &theirs) {
        if !matches!(advice, abi::MADV_WILLNEED | abi::MADV_COLD | abi::MADV_PAGEOUT | abi::MADV_COLLAPSE) {
            return Err(Errno::EINVAL);
        }
        if !call.task.creds().capable(abi::CAP_SYS_NICE) {
            return Err(Errno::EPERM);
        }
    }
    let mut done = 0;
    for (addr, len) in segments {
        let result = theirs.madvise(addr, len as u64, advice);
        theirs.collect();
        match result {
            Ok(()) => done += len as u64,
            Err(_) if done > 0 => break,
            Err(e) => return Err(e),
        }
        killable_point()?;
    }
    Ok(done)
}
