//! A process that can harm nothing of the machine it runs on: for programs that are run on the
//! host, to compare. In the guest the same is done, so that both begin alike.
//!
//! The grammar of such programs has no call that reaches other processes or settings of the
//! machine. This is the second wall: another user, limits, and as far as we may namespaces of its
//! own, with nothing to write to but its own folder.

use anyhow::{Result, anyhow};
use std::ffi::CString;
use std::io::Error;

const NOBODY: u32 = 65534;

/// Goes on in a process of its own that is alone; the caller becomes the one that waits for it.
pub fn enter(directory: &str) -> Result<()> {
    let error = |action: &str| anyhow!("cannot {action}: {}", Error::last_os_error());
    let directory = CString::new(directory)?;
    // SAFETY: plain calls with constants and local structures.
    unsafe {
        // What was inherited by mistake is nobody's business here, and descriptors are numbered
        // alike without it.
        libc::close_range(3, u32::MAX, 0);
        let root = libc::getuid() == 0;
        let spaces =
            libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET | libc::CLONE_NEWUTS | libc::CLONE_NEWPID;
        if root && libc::unshare(spaces) == 0 {
            let none = std::ptr::null();
            libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast());
            let options = c"size=64m,mode=1777";
            if libc::mount(c"fuzz".as_ptr(), directory.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast()) != 0 {
                return Err(error("mount a file system"));
            }
        }
        for (resource, most) in [
            (libc::RLIMIT_NPROC, 512),
            (libc::RLIMIT_AS, 1 << 30),
            (libc::RLIMIT_FSIZE, 32 << 20),
            (libc::RLIMIT_CPU, 20),
            (libc::RLIMIT_CORE, 0),
            (libc::RLIMIT_NOFILE, 256),
            (libc::RLIMIT_MEMLOCK, 1 << 16),
            (libc::RLIMIT_STACK, 8 << 20),
        ] {
            let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
            if libc::setrlimit(resource, &raw const limit) != 0 {
                return Err(error("set a limit"));
            }
        }
        if root {
            let dropped = libc::setgroups(0, std::ptr::null()) == 0
                && libc::setresgid(NOBODY, NOBODY, NOBODY) == 0
                && libc::setresuid(NOBODY, NOBODY, NOBODY) == 0;
            if !dropped {
                return Err(error("become another user"));
            }
        }
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        match libc::fork() {
            -1 => Err(error("make a process")),
            0 => {
                libc::setsid();
                // With the one that waits, this one ends too.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
                Ok(())
            }
            child => {
                let mut status = 0;
                libc::waitpid(child, &raw mut status, 0);
                libc::_exit(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 126 });
            }
        }
    }
}
