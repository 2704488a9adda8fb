//! The descriptors that `uml` was started with, read and written without ever blocking the core.
//!
//! O_NONBLOCK belongs to the open file description, which is shared with whoever started us, so it
//! is not set there. Pipes and terminals are opened a second time through /proc/self/fd, which
//! makes a description of our own; sockets have MSG_DONTWAIT; regular files do not block. What
//! cannot be opened again is polled before each call.

use crate::memory::Window;
use crate::{Errno, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The most that is written to a polled pipe at once: what POLLOUT promises room for.
const PIPE_BUF: usize = 4096;

enum Way {
    /// Calls never block: regular files, and devices that cannot be polled.
    Direct,
    /// A description of our own with O_NONBLOCK.
    Reopened(OwnedFd),
    Socket,
    Polled,
}

/// One of the descriptors this process was started with.
pub struct Stream {
    fd: OwnedFd,
    way: Way,
    flags: i32,
    seekable: bool,
}

impl Stream {
    /// The stream behind descriptor 0, 1 or 2; None when it is closed.
    pub fn standard(number: i32) -> Option<Stream> {
        // SAFETY: asks for flags only.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFL) };
        if flags < 0 {
            return None;
        }
        // SAFETY: makes a new descriptor, which only the Stream owns.
        let fd = unsafe {
            let fd = libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 10);
            if fd < 0 {
                return None;
            }
            OwnedFd::from_raw_fd(fd)
        };
        let mode = stat(fd.as_fd()).map_or(0, |s| s.st_mode) & libc::S_IFMT;
        // SAFETY: asks for the position; pipes and terminals refuse.
        let seekable = matches!(mode, libc::S_IFREG | libc::S_IFBLK)
            && unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_CUR) } >= 0;
        let way = match mode {
            libc::S_IFSOCK => Way::Socket,
            libc::S_IFIFO => reopen(fd.as_fd(), flags).map_or(Way::Polled, Way::Reopened),
            libc::S_IFCHR if crate::terminal::is_terminal(fd.as_fd()) => {
                reopen(fd.as_fd(), flags).map_or(Way::Polled, Way::Reopened)
            }
            libc::S_IFREG | libc::S_IFBLK | libc::S_IFDIR => Way::Direct,
            _ => Way::Polled,
        };
        Some(Stream { fd, way, flags, seekable })
    }

    /// O_* flags it was opened with.
    pub fn flags(&self) -> i32 {
        self.flags
    }

    /// Whether it has a position that matters.
    pub fn seekable(&self) -> bool {
        self.seekable
    }

    pub fn is_terminal(&self) -> bool {
        crate::terminal::is_terminal(self.fd.as_fd())
    }

    pub fn stat(&self) -> Result<libc::stat> {
        stat(self.fd.as_fd())
    }

    /// What the host says it is: a path, or "pipe:[123]".
    pub fn name(&self) -> Vec<u8> {
        use std::os::unix::ffi::OsStringExt;
        let link = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        std::fs::read_link(link).map_or_else(|_| b"stream".to_vec(), |path| path.into_os_string().into_vec())
    }

    /// The descriptor to poll, watch or map.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::Reopened(own) => own.as_fd(),
            _ => self.fd.as_fd(),
        }
    }

    /// Which of `events` (POLL*) hold now, and POLLERR and POLLHUP.
    pub fn poll(&self, events: i16) -> i16 {
        let mut entry = libc::pollfd { fd: self.fd().as_raw_fd(), events, revents: 0 };
        // SAFETY: one valid entry.
        unsafe { libc::poll(&raw mut entry, 1, 0) };
        entry.revents
    }

    /// Reads at the description's position. EAGAIN instead of blocking.
    pub fn read(&self, to: Window<'_>) -> Result<usize> {
        match &self.way {
            Way::Direct => to.read_from(self.fd.as_fd(), None),
            Way::Reopened(own) => to.read_from(own.as_fd(), None),
            Way::Socket => to.receive_from(self.fd.as_fd()),
            Way::Polled => {
                if self.poll(libc::POLLIN) == 0 {
                    return Err(Errno::EAGAIN);
                }
                to.read_from(self.fd.as_fd(), None)
            }
        }
    }

    /// Writes at the description's position, a part perhaps. EAGAIN instead of blocking, EPIPE
    /// without a signal.
    pub fn write(&self, from: Window<'_>) -> Result<usize> {
        match &self.way {
            Way::Direct => from.write_to(self.fd.as_fd(), None),
            Way::Reopened(own) => from.write_to(own.as_fd(), None),
            Way::Socket => from.send_to(self.fd.as_fd()),
            Way::Polled => {
                if self.poll(libc::POLLOUT) == 0 {
                    return Err(Errno::EAGAIN);
                }
                from.slice(0, PIPE_BUF).write_to(self.fd.as_fd(), None)
            }
        }
    }

    /// The position, of a seekable stream.
    pub fn position(&self) -> u64 {
        // SAFETY: asks only.
        unsafe { libc::lseek(self.fd.as_raw_fd(), 0, libc::SEEK_CUR) }.max(0) as u64
    }

    /// lseek(2).
    pub fn seek(&self, offset: i64, whence: i32) -> Result<u64> {
        // SAFETY: plain numbers.
        Ok(Errno::check(unsafe { libc::lseek(self.fd.as_raw_fd(), offset, whence) })? as u64)
    }

    pub fn truncate(&self, size: u64) -> Result<()> {
        let size = i64::try_from(size).map_err(|_| Errno::EFBIG)?;
        // SAFETY: a descriptor and a number.
        Errno::check(i64::from(unsafe { libc::ftruncate(self.fd.as_raw_fd(), size) }))?;
        Ok(())
    }

    pub fn sync(&self) -> Result<()> {
        // SAFETY: a descriptor.
        Errno::check(i64::from(unsafe { libc::fsync(self.fd.as_raw_fd()) }))?;
        Ok(())
    }

    /// Bytes that can be read now (FIONREAD).
    pub fn readable_bytes(&self) -> Result<i32> {
        let mut count = 0i32;
        // SAFETY: the call writes one int.
        Errno::check(i64::from(unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::FIONREAD, &mut count) }))?;
        Ok(count)
    }

    /// Another descriptor of the same description.
    pub fn duplicate(&self) -> Result<OwnedFd> {
        self.fd.try_clone().map_err(Errno::from)
    }
}

/// Closes descriptor 0 or 1 of this process, so that whoever is at the other end sees it closed;
/// /dev/null takes the number.
pub fn abandon(number: i32) {
    // SAFETY: the path is a C string; dup3 replaces the descriptor in one step, so that no other
    // file gets its number.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if null >= 0 {
            libc::dup2(null, number);
            libc::close(null);
        } else {
            libc::close(number);
        }
    }
}

fn stat(fd: BorrowedFd<'_>) -> Result<libc::stat> {
    // SAFETY: all-zero is a valid stat; the call fills it.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        Errno::check(i64::from(libc::fstat(fd.as_raw_fd(), &raw mut stat)))?;
        Ok(stat)
    }
}

/// The same pipe or terminal in a description of our own, with O_NONBLOCK.
fn reopen(fd: BorrowedFd<'_>, flags: i32) -> Option<OwnedFd> {
    let path = std::ffi::CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    let flags = flags & libc::O_ACCMODE | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: a C string and flags; the descriptor is new.
    unsafe {
        let fd = libc::open(path.as_ptr(), flags);
        (fd >= 0).then(|| OwnedFd::from_raw_fd(fd))
    }
}

/// Whether two descriptors are of one open file description (and so share their position).
pub fn same_description(a: i32, b: i32) -> bool {
    const KCMP_FILE: i32 = 0;
    // SAFETY: compares two descriptors of this process; nothing is changed.
    unsafe {
        let pid = libc::getpid();
        libc::syscall(libc::SYS_kcmp, pid, pid, KCMP_FILE, a, b) == 0
    }
}
