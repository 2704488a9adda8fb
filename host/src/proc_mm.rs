//! `/proc/mm`, which a patched host has (`host-patch/`): address spaces as descriptors, and the
//! ptrace requests around them.
//!
//! The interface is described in the patch, in `Documentation/userspace-api/proc_mm.rst`. Nothing
//! of it exists on a stock host: [`AddressSpace::new`] then fails with ENOENT.

use crate::ptrace::{Resume, Tracee};
use crate::{Errno, Result, file};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// What is done to an address space; `struct proc_mm_op` of the host.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Op {
    op: u32,
    fd: i32,
    addr: u64,
    len: u64,
    prot: u32,
    flags: u32,
    offset: u64,
    result: i64,
}

const MAP: u32 = 1;
const UNMAP: u32 = 2;
const PROTECT: u32 = 3;
const COPY_SEGMENTS: u32 = 4;

/// `_IOW(0xBC, 0, struct proc_mm_batch)`
const BATCH: u64 = 0x4010_bc00;
const BATCH_MAX: usize = 4096;

const PTRACE_FAULTINFO: u32 = 52;
const PTRACE_SWITCH_MM: u32 = 55;
const PTRACE_MM_RUN: u32 = 56;

impl Op {
    const NOTHING: Op = Op { op: 0, fd: -1, addr: 0, len: 0, prot: 0, flags: 0, offset: 0, result: 0 };

    /// As mmap(2); `flags` are without MAP_FIXED, which is meant.
    pub fn map(addr: u64, len: u64, prot: u32, flags: i32, fd: i32, offset: u64) -> Op {
        Op { op: MAP, fd, addr, len, prot, flags: (flags | libc::MAP_FIXED) as u32, offset, ..Op::NOTHING }
    }

    pub fn unmap(addr: u64, len: u64) -> Op {
        Op { op: UNMAP, addr, len, ..Op::NOTHING }
    }

    pub fn protect(addr: u64, len: u64, prot: u32) -> Op {
        Op { op: PROTECT, addr, len, prot, ..Op::NOTHING }
    }

    /// The local descriptor table of `from`.
    pub fn copy_segments(from: &AddressSpace) -> Op {
        Op { op: COPY_SEGMENTS, fd: from.0.as_raw_fd(), ..Op::NOTHING }
    }

    /// What does as well after the host refused a change for want of memory. A change of rights may
    /// have met parts that are not mapped: the range is taken away. Or there are as many mappings
    /// as the host allows: all below `top` are taken away.
    pub fn unmap_instead(&self, error: Errno, top: u64) -> Option<Op> {
        let all = self.op == UNMAP && (self.addr, self.len) == (0, top);
        let (start, len) = if self.op == PROTECT { (self.addr, self.len) } else { (0, top) };
        (error == Errno::ENOMEM && !all && self.op != COPY_SEGMENTS).then(|| Op::unmap(start, len))
    }
}

/// An address space, empty when it is new.
pub struct AddressSpace(OwnedFd);

/// How far a series of operations came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// How many succeeded.
    pub done: usize,
    /// Why the next one did not.
    pub failed: Option<Errno>,
}

impl AddressSpace {
    pub fn new() -> Result<AddressSpace> {
        file::open(Path::new("/proc/mm"), libc::O_RDWR).map(AddressSpace)
    }

    /// The first interface: one write for each operation.
    pub fn write(&self, ops: &[Op]) -> Result<Progress> {
        for (done, op) in ops.iter().enumerate() {
            let size = size_of::<Op>();
            // SAFETY: reads one structure that lives through the call; descriptors in it are only
            // used, and what changes is another address space.
            let result = unsafe { libc::write(self.0.as_raw_fd(), std::ptr::from_ref::<Op>(op).cast(), size) };
            if let Err(error) = Errno::check(result as i64) {
                return Ok(Progress { done, failed: Some(error) });
            }
        }
        Ok(Progress { done: ops.len(), failed: None })
    }

    /// The second interface: all in one call.
    pub fn batch(&self, ops: &mut [Op]) -> Result<Progress> {
        #[repr(C)]
        struct Batch {
            ops: u64,
            nr: u32,
            flags: u32,
        }
        let mut all = 0;
        for chunk in ops.chunks_mut(BATCH_MAX) {
            let batch = Batch { ops: chunk.as_mut_ptr() as u64, nr: chunk.len() as u32, flags: 0 };
            // SAFETY: reads the structure and writes results into the operations it names; both
            // live through the call.
            let done =
                Errno::check(i64::from(unsafe { libc::ioctl(self.0.as_raw_fd(), BATCH as _, &raw const batch) }))?;
            let progress = progress(chunk, done as usize);
            all += progress.done;
            if progress.failed.is_some() {
                return Ok(Progress { done: all, ..progress });
            }
        }
        Ok(Progress { done: all, failed: None })
    }

    /// Moves a stopped tracee of the calling thread into it.
    pub fn switch_to(&self, tracee: Tracee) -> Result<()> {
        // SAFETY: two numbers; the tracee's memory is not ours.
        unsafe { tracee.raw_request(PTRACE_SWITCH_MM, 0, self.0.as_raw_fd() as usize) }?;
        Ok(())
    }

    /// All in one: operations, at most 4096 of which count, the switch, and the resumption. The
    /// tracee goes on only when no operation failed.
    pub fn run(&self, tracee: Tracee, ops: &mut [Op], how: Resume) -> Result<Progress> {
        #[repr(C)]
        struct Run {
            fd: i32,
            request: u32,
            signal: u32,
            nr: u32,
            ops: u64,
        }
        assert!(ops.len() <= BATCH_MAX);
        let run = Run {
            fd: self.0.as_raw_fd(),
            request: how.request(),
            signal: 0,
            nr: ops.len() as u32,
            ops: ops.as_mut_ptr() as u64,
        };
        // SAFETY: reads the structure and writes results into the operations it names; both live
        // through the call.
        let done = unsafe { tracee.raw_request(PTRACE_MM_RUN, size_of::<Run>(), &raw const run as usize) }?;
        Ok(progress(ops, done as usize))
    }
}

fn progress(ops: &[Op], done: usize) -> Progress {
    let failed = ops.get(done).map(|op| Errno::from_raw(op.result.unsigned_abs() as i32));
    Progress { done, failed }
}

/// What the CPU said of a tracee's last exception; `struct ptrace_faultinfo` of the host.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug)]
pub struct FaultInfo {
    pub addr: u64,
    pub error_code: u64,
    pub trap: u64,
}

impl FaultInfo {
    pub const PAGE_FAULT: u64 = 14;
    pub const WRITE: u64 = 2;
    pub const FETCH: u64 = 16;
}

pub fn fault_info(tracee: Tracee) -> Result<FaultInfo> {
    let mut info = FaultInfo::default();
    // SAFETY: writes one structure of the size it is told.
    unsafe { tracee.raw_request(PTRACE_FAULTINFO, size_of::<FaultInfo>(), &raw mut info as usize) }?;
    Ok(info)
}
