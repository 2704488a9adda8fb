//! The host's inotify(7): events of host files that somebody in the guest watches.

use crate::{Errno, Result};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

pub struct Inotify(OwnedFd);

pub struct Event {
    /// -1 when events were lost.
    pub watch: i32,
    /// IN_*.
    pub mask: u32,
    pub cookie: u32,
    pub name: Vec<u8>,
}

impl Inotify {
    /// # Errors
    /// EMFILE when the host's user has too many, ENOSYS on a host without.
    pub fn new() -> Result<Inotify> {
        // SAFETY: no arguments but flags; the descriptor is new and owned by nothing else.
        unsafe {
            let fd = Errno::check(i64::from(libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC)))?;
            Ok(Inotify(OwnedFd::from_raw_fd(fd as i32)))
        }
    }

    /// Watches what a descriptor (perhaps an O_PATH one) refers to. A file that is watched already
    /// keeps its number.
    pub fn add(&self, file: BorrowedFd<'_>, mask: u32) -> Result<i32> {
        let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(|_| Errno::EINVAL)?;
        // SAFETY: a valid descriptor, a C string and a number.
        let watch = unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), path.as_ptr(), mask) };
        Ok(Errno::check(i64::from(watch))? as i32)
    }

    pub fn remove(&self, watch: i32) {
        // SAFETY: a valid descriptor and a number.
        unsafe { libc::inotify_rm_watch(self.0.as_raw_fd(), watch) };
    }

    /// What has happened, as much as is given at once; nothing when that is all.
    pub fn read(&self) -> Vec<Event> {
        const HEADER: usize = 16;
        let mut buffer = [0u8; 4096];
        // SAFETY: the buffer is valid for its length.
        let n = unsafe { libc::read(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        let mut rest = &buffer[..n.max(0) as usize];
        let mut events = Vec::new();
        while rest.len() >= HEADER {
            let word = |at: usize| u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
            let len = (word(12) as usize).min(rest.len() - HEADER);
            let name = &rest[HEADER..HEADER + len];
            let name = &name[..name.iter().position(|&b| b == 0).unwrap_or(len)];
            events.push(Event { watch: word(0) as i32, mask: word(4), cookie: word(8), name: name.to_vec() });
            rest = &rest[HEADER + len..];
        }
        events
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
