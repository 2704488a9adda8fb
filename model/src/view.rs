//! What a host process shows: its mappings as the host lists them, and as they will be when what
//! was ordered is carried out.

use crate::{BackingFile, Prot};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use umlab_host::maps::{self, FileId};

/// What user code that runs in a host process next will find mapped there, as the model knows it.
#[derive(Clone, Default, Debug)]
pub struct HostView {
    /// The host process; 0 when there is none yet.
    pub pid: i32,
    /// In order, none overlapping.
    shown: Vec<Shown>,
}

/// A stretch of addresses that show one thing with the same rights.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    pub start: u64,
    pub end: u64,
    pub prot: Prot,
    pub what: What,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// Guest memory, from a byte offset into physmem on.
    Physmem {
        offset: u64,
    },
    File {
        id: FileId,
        offset: u64,
        shared: bool,
    },
    /// Anything else: the host's name for it, in brackets; empty for memory of its own.
    Named(String),
}

impl What {
    fn at(&self, distance: u64) -> What {
        match self {
            What::Physmem { offset } => What::Physmem { offset: offset + distance },
            What::File { id, offset, shared } => What::File { id: *id, offset: offset + distance, shared: *shared },
            What::Named(name) => What::Named(name.clone()),
        }
    }
}

impl Shown {
    /// Whether it is a whole mapping of an open file from its beginning, at just this place.
    pub fn is_all_of(&self, start: u64, end: u64, prot: Prot, fd: i32) -> bool {
        self.is_part_of(start, end, prot, fd, 0)
    }

    /// Whether it is a whole mapping of an open file from this offset on, at just this place.
    pub fn is_part_of(&self, start: u64, end: u64, prot: Prot, fd: i32, offset: usize) -> bool {
        let id = FileId::of(fd).unwrap_or_default();
        *self == Shown { start, end, prot, what: What::File { id, offset: offset as u64, shared: true } }
    }

    /// The part of it between two addresses, if there is one.
    pub fn part(&self, start: u64, end: u64) -> Option<Shown> {
        let (start, end) = (start.max(self.start), end.min(self.end));
        (start < end).then(|| Shown { start, end, prot: self.prot, what: self.what.at(start - self.start) })
    }
}

/// How the host lists mappings of physmem.
fn physmem() -> FileId {
    static ID: OnceLock<FileId> = OnceLock::new();
    *ID.get_or_init(|| FileId::of(crate::physmem::memory().fd().as_raw_fd()).expect("physmem's descriptor is open"))
}

impl HostView {
    /// As the host lists them now, below the address `top`; none for a process that has ended.
    pub fn of_process(pid: i32, top: u64) -> Option<HostView> {
        let physmem = physmem();
        let listed = maps::of_process(pid).ok().filter(|listed| !listed.is_empty())?;
        let shown = listed.into_iter().filter(|mapping| mapping.start < top).map(|mapping| {
            let offset = mapping.offset;
            let what = match mapping.file {
                id if id == physmem => What::Physmem { offset },
                FileId { inode: 0, .. } => What::Named(mapping.name),
                id => What::File { id, offset, shared: mapping.shared },
            };
            Shown { start: mapping.start, end: mapping.end, prot: Prot::from_bits_truncate(mapping.prot), what }
        });
        Some(HostView { pid, shown: shown.collect() })
    }

    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// Leaves out what is the model's own. What is left at addresses that are not the guest's is a
    /// find.
    pub fn leave_out(&mut self, is_own: impl Fn(&Shown) -> bool) {
        self.shown.retain(|shown| !is_own(shown));
    }

    /// What an mmap(2) with these arguments will change.
    pub fn map(&mut self, start: u64, len: u64, prot: Prot, flags: i32, fd: i32, offset: u64) {
        let what = match FileId::of(fd).unwrap_or_default() {
            id if id == physmem() => What::Physmem { offset },
            id => What::File { id, offset, shared: flags & libc::MAP_TYPE == libc::MAP_SHARED },
        };
        self.show(start, len, prot, what);
    }

    /// Takes one thing for another that it stands for.
    pub fn take_for(&mut self, other: impl Fn(&Shown) -> Option<What>) {
        for shown in &mut self.shown {
            if let Some(what) = other(shown) {
                shown.what = what;
            }
        }
    }

    /// What user code will find at a place from now on.
    pub fn show(&mut self, start: u64, len: u64, prot: Prot, what: What) {
        let within = self.within(start, start + len);
        self.shown.splice(within, [Shown { start, end: start + len, prot, what }]);
    }

    /// What a munmap(2) will change.
    pub fn unmap(&mut self, start: u64, len: u64) {
        let within = self.within(start, start + len);
        self.shown.drain(within);
    }

    /// What an mprotect(2) will change.
    pub fn protect(&mut self, start: u64, len: u64, prot: Prot) {
        let within = self.within(start, start + len);
        self.shown[within].iter_mut().for_each(|shown| shown.prot = prot);
    }

    /// The indices of what is shown between two addresses, cut there.
    fn within(&mut self, start: u64, end: u64) -> Range<usize> {
        let from = self.cut_at(start);
        from..self.cut_at(end).max(from)
    }

    /// Cuts what spans an address, if anything does. Returns the index of the first that does not
    /// begin below it.
    fn cut_at(&mut self, addr: u64) -> usize {
        let at = self.shown.partition_point(|shown| shown.start < addr);
        let above = at.checked_sub(1).and_then(|before| self.shown[before].part(addr, u64::MAX));
        if let Some(above) = above {
            self.shown[at - 1].end = addr;
            self.shown.insert(at, above);
        }
        at
    }
}

/// How the host lists mappings of a file.
pub fn id_of(file: &dyn BackingFile) -> FileId {
    FileId::of(file.fd().as_raw_fd()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> HostView {
        let shown = Shown { start: 0x10000, end: 0x20000, prot: Prot::READ, what: What::Physmem { offset: 0x5000 } };
        HostView { pid: 1, shown: vec![shown] }
    }

    #[test]
    fn orders_change_a_view() {
        let mut view = view();
        view.unmap(0x12000, 0x1000);
        view.protect(0x1f000, 0x4000, Prot::READ | Prot::WRITE);
        view.show(0x10000, 0x1000, Prot::EXEC, What::Named("[other]".into()));
        let parts: Vec<_> = view.shown.iter().map(|shown| (shown.start, shown.end, shown.prot.bits())).collect();
        assert_eq!(parts, [(0x10000, 0x11000, 4), (0x11000, 0x12000, 1), (0x13000, 0x1f000, 1), (0x1f000, 0x20000, 3)]);
        assert_eq!(view.shown[1].what, What::Physmem { offset: 0x6000 });
        assert_eq!(view.shown[3].what, What::Physmem { offset: 0x14000 });
    }
}
