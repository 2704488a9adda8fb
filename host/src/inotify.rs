//! The host's inotify(7): events of host files that somebody in the guest watches.

use crate::Result;
use crate::file::path_of;
use rustix::fs::inotify;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

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
        Ok(Inotify(inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?))
    }

    /// Watches what a descriptor (perhaps an O_PATH one) refers to. A file that is watched already
    /// keeps its number.
    pub fn add(&self, file: BorrowedFd<'_>, mask: u32) -> Result<i32> {
        Ok(inotify::add_watch(&self.0, path_of(file), inotify::WatchFlags::from_bits_retain(mask))?)
    }

    pub fn remove(&self, watch: i32) {
        let _ = inotify::remove_watch(&self.0, watch);
    }

    /// What has happened, as much as is given at once; nothing when that is all.
    pub fn read(&self) -> Vec<Event> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.0, &mut buffer);
        let mut events = Vec::new();
        while let Ok(event) = reader.next() {
            let name = event.file_name().map_or(&[][..], CStr::to_bytes).to_vec();
            events.push(Event { watch: event.wd(), mask: event.events().bits(), cookie: event.cookie(), name });
            if reader.is_buffer_empty() {
                break;
            }
        }
        events
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
