//! Faults that the core believes to have resolved, and that come again for ever.

use crate::Verdict;
use crate::tools::*;
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const AT: usize = 0x3000_0000;

/// Ends the process with a verdict if `body` takes two seconds.
fn in_time(body: impl FnOnce() -> Verdict) -> Verdict {
    let status = in_child(|| {
        // SAFETY: the default action of SIGALRM ends the child.
        unsafe { libc::alarm(2) };
        body()
    });
    match status {
        libc::SIGALRM => Err("a fault is resolved again and again".to_string()),
        status => verdict_of(status),
    }
}

/// Beyond the end of what is behind an area, and on memory that may only be written after a fork.
pub fn faults() -> Verdict {
    in_time(|| {
        // SAFETY: the descriptor is ours.
        let file = unsafe { File::from(OwnedFd::from_raw_fd(libc::memfd_create(c"short".as_ptr(), 0))) };
        file.set_len(PAGE as u64).expect("a file in memory");
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        // SAFETY: nothing of this program lies at the address.
        let got =
            unsafe { libc::syscall(libc::SYS_mmap, AT, 40 * PAGE, libc::PROT_READ, flags, file.as_raw_fd(), 0usize) };
        must("mmap", got);
        match (load(AT), load(AT + 2 * PAGE)) {
            (Some(0), None) => Ok(()),
            other => Err(format!("loads before and beyond a file's end gave {other:?}")),
        }
    })?;
    in_time(|| {
        const BALLAST: usize = 8 << 20;
        assert!(map_at(AT, BALLAST, libc::PROT_READ | libc::PROT_WRITE));
        (AT..AT + BALLAST).step_by(PAGE).for_each(|at| assert!(store(at, 1)));
        let write_only = AT + BALLAST + PAGE;
        assert!(map_at(write_only, PAGE, libc::PROT_WRITE));
        store(write_only, 7);
        verdict_of(in_child(|| match load(write_only) {
            Some(7) => Ok(()),
            other => Err(format!("write-only memory is {other:?} after a fork")),
        }))?;
        if load(write_only) == Some(7) { Ok(()) } else { Err("write-only memory changed at a fork".to_string()) }
    })
}
