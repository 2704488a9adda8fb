//! The descriptors that `uml` was started with, read and written without ever blocking the core.
//!
//! O_NONBLOCK belongs to the open file description, which is shared with whoever started us, so it
//! is not set there. Pipes and terminals are opened a second time through /proc/self/fd, which
//! makes a description of our own; sockets have MSG_DONTWAIT; regular files do not block. What
//! cannot be opened again is polled before each call.

use crate::file::path_of;
use crate::memory::Window;
use crate::{Errno, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::stdio;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

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
        let given = match number {
            0 => stdio::stdin(),
            1 => stdio::stdout(),
            2 => stdio::stderr(),
            _ => return None,
        };
        let flags = rustix::fs::fcntl_getfl(given).ok()?;
        let fd = rustix::io::fcntl_dupfd_cloexec(given, 10).ok()?;
        let kind = rustix::fs::fstat(&fd).map_or(FileType::Unknown, |s| FileType::from_raw_mode(s.st_mode));
        // Pipes and terminals refuse.
        let seekable = matches!(kind, FileType::RegularFile | FileType::BlockDevice) && rustix::fs::tell(&fd).is_ok();
        let way = match kind {
            FileType::Socket => Way::Socket,
            FileType::Fifo => reopen(fd.as_fd(), flags).map_or(Way::Polled, Way::Reopened),
            FileType::CharacterDevice if crate::terminal::is_terminal(fd.as_fd()) => {
                reopen(fd.as_fd(), flags).map_or(Way::Polled, Way::Reopened)
            }
            FileType::RegularFile | FileType::BlockDevice | FileType::Directory => Way::Direct,
            _ => Way::Polled,
        };
        Some(Stream { fd, way, flags: flags.bits() as i32, seekable })
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

    pub fn stat(&self) -> Result<Stat> {
        Ok(rustix::fs::fstat(&self.fd)?)
    }

    /// What the host says it is: a path, or "pipe:[123]".
    pub fn name(&self) -> Vec<u8> {
        use std::os::unix::ffi::OsStringExt;
        std::fs::read_link(path_of(self.fd.as_fd()))
            .map_or_else(|_| b"stream".to_vec(), |path| path.into_os_string().into_vec())
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
        let mut entry = [PollFd::from_borrowed_fd(self.fd(), PollFlags::from_bits_retain(events as u16))];
        let _ = poll(&mut entry, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        entry[0].revents().bits() as i16
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
        rustix::fs::tell(&self.fd).unwrap_or(0)
    }

    /// lseek(2).
    pub fn seek(&self, offset: i64, whence: i32) -> Result<u64> {
        crate::file::seek(self.fd.as_fd(), offset, whence)
    }

    pub fn truncate(&self, size: u64) -> Result<()> {
        crate::file::truncate(self.fd.as_fd(), size)
    }

    pub fn sync(&self) -> Result<()> {
        crate::file::sync(self.fd.as_fd(), false)
    }

    /// Bytes that can be read now (FIONREAD).
    pub fn readable_bytes(&self) -> Result<i32> {
        Ok(rustix::io::ioctl_fionread(&self.fd)? as i32)
    }

    /// Another descriptor of the same description.
    pub fn duplicate(&self) -> Result<OwnedFd> {
        self.fd.try_clone().map_err(Errno::from)
    }
}

/// Closes descriptor 0 or 1 of this process, so that whoever is at the other end sees it closed;
/// /dev/null takes the number.
pub fn abandon(number: i32) {
    // The descriptor is replaced in one step, so that no other file gets its number.
    if let Ok(null) = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        let _ = if number == 0 { stdio::dup2_stdin(null) } else { stdio::dup2_stdout(null) };
    } else {
        // SAFETY: no OwnedFd has one of these numbers, and the guest, which used it, is done.
        unsafe { libc::close(number) };
    }
}

/// The same pipe or terminal in a description of our own, with O_NONBLOCK.
fn reopen(fd: BorrowedFd<'_>, flags: OFlags) -> Option<OwnedFd> {
    let flags = flags & OFlags::ACCMODE | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path_of(fd), flags, Mode::empty()).ok()
}

/// Whether two descriptors are of one open file description (and so share their position).
pub fn same_description(a: i32, b: i32) -> bool {
    const KCMP_FILE: i32 = 0;
    // SAFETY: compares two descriptors of this process; nothing is changed.
    unsafe {
        let pid = std::process::id();
        libc::syscall(libc::SYS_kcmp, pid, pid, KCMP_FILE, a, b) == 0
    }
}
