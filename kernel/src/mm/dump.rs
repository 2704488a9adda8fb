//! What core files show of an address space (core(5)): which areas, how much of each, and the bytes
//! that are there.

use super::PAGE;
use super::frames::{Frames, frame_count};
use super::object::MappedFile;
use super::space::{AddressSpace, host_window};
use super::vma::{Backing, Vma, VmaFlags, page_of};
use super::window::GuestWindow;
use abi::number::to_usize;
use std::sync::Arc;
use umlab_model::{PAGE_SIZE, PageRange, Prot};

bitflags::bitflags! {
    /// Which kinds of areas are dumped: /proc/PID/coredump_filter.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Filter: u32 {
        const PRIVATE = 1;
        /// Shared memory that no file system has a name for.
        const SHARED = 2;
        const FILE_PRIVATE = 4;
        const FILE_SHARED = 8;
        /// The first page of a file that is a program or a library, by which debuggers find out
        /// which one it was.
        const ELF_HEADERS = 16;
        /// Huge pages, private and shared, and memory that is also storage. There is neither.
        const OTHERS = 32 | 64 | 128 | 256;
    }
}

impl Default for Filter {
    fn default() -> Self {
        Filter::PRIVATE | Filter::SHARED | Filter::ELF_HEADERS | Filter::from_bits_truncate(32)
    }
}

/// An area as a core file lists it.
pub struct Segment {
    pub range: PageRange,
    pub prot: Prot,
    /// So many bytes from its start on are written to the core file.
    pub kept: u64,
    /// The file that is mapped, and where in it the area begins.
    pub file: Option<(Arc<dyn MappedFile>, u64)>,
}

/// Bytes of an area.
pub enum Contents {
    Bytes(GuestWindow),
    /// So many from here on were never there.
    Nothing(u64),
}

impl AddressSpace {
    /// The next areas from an address on, `max` at most.
    pub fn segments(&self, from: u64, max: usize, filter: Filter) -> Vec<Segment> {
        let Some(range) = PageRange::everything().above(from) else { return Vec::new() };
        let areas: Vec<(Vma, bool)> = {
            let inner = self.inner.borrow();
            let has_pages =
                |vma: &Vma| inner.pages.within(vma.range.first_page(), vma.range.end_page()).next().is_some();
            inner.vmas.overlapping(range).take(max).map(|vma| (vma.clone(), has_pages(vma))).collect()
        };
        let segment = |(vma, has_pages): (Vma, bool)| Segment {
            range: vma.range,
            prot: vma.prot,
            kept: self.kept(&vma, has_pages, filter),
            file: vma.file.map(|file| (file, vma.offset)),
        };
        areas.into_iter().map(segment).collect()
    }

    /// How many bytes of an area are dumped. `has_pages`: some of it is private to the address
    /// space.
    fn kept(&self, vma: &Vma, has_pages: bool, filter: Filter) -> u64 {
        let all_if = |kind: Filter| if filter.contains(kind) { vma.len() } else { 0 };
        if vma.flags.contains(VmaFlags::DONTDUMP) || vma.is_model_owned() {
            return 0;
        }
        if vma.is_shared() {
            let named = vma.file.as_ref().is_some_and(|file| file.has_name());
            return all_if(if named { Filter::FILE_SHARED } else { Filter::SHARED });
        }
        if has_pages && filter.contains(Filter::PRIVATE) {
            return vma.len();
        }
        let Some(file) = &vma.file else { return 0 };
        if filter.contains(Filter::FILE_PRIVATE) {
            return vma.len();
        }
        let first = filter.contains(Filter::ELF_HEADERS) && vma.offset == 0 && !vma.prot.is_empty();
        if first && (file.is_program() || self.read::<[u8; 4]>(vma.start()).is_ok_and(|magic| magic == *b"\x7fELF")) {
            PAGE_SIZE
        } else {
            0
        }
    }

    /// What is at the beginning of a range, whatever user code may do there; of `most` pages at
    /// most, where there is something. Nothing is made or brought in by looking.
    pub fn contents(&self, range: PageRange, most: u32) -> Contents {
        let inner = self.inner.borrow();
        let Some(vma) = inner.vmas.find(range.start()) else { return Contents::Nothing(range.len()) };
        let range = range.common(vma.range).expect("the area that was found there");
        let page = range.first_page();
        let most = frame_count(range.pages().min(u64::from(most)));
        if let Some((first, run)) = inner.pages.find(page) {
            let index = frame_count(page - first);
            return of_frames(&run.frames.share(index, most.min(run.frames.count() - index)));
        }
        let until = inner.pages.next_after(page).unwrap_or(u64::MAX).min(range.end_page());
        let room = (until - page) * PAGE_SIZE;
        match &vma.backing {
            Backing::Anonymous | Backing::Model(..) => Contents::Nothing(room),
            Backing::Host(file) => {
                let len = to_usize(room.min(u64::from(most) * PAGE_SIZE));
                match host_window(file, vma.offset_of(range.start()), len) {
                    Ok(window) => Contents::Bytes(window),
                    Err(_) => Contents::Nothing(room),
                }
            }
            Backing::Pages(pages) => {
                let index = page_of(vma.offset_of(range.start()));
                match pages.present(index, frame_count((until - page).min(u64::from(most)))) {
                    Some(frames) => of_frames(&frames),
                    None => {
                        let next = pages.next_present(index).map_or(u64::MAX, |next| next - index);
                        Contents::Nothing(next.min(until - page) * PAGE_SIZE)
                    }
                }
            }
        }
    }
}

/// Frames that were never filled read as zeros; a look at them would fill them.
fn of_frames(frames: &Frames) -> Contents {
    match frames.resident().first() {
        Some(&(0, count)) => Contents::Bytes(GuestWindow::of_frames(frames, 0, count as usize * PAGE)),
        Some(&(first, _)) => Contents::Nothing(u64::from(first) * PAGE_SIZE),
        None => Contents::Nothing(u64::from(frames.count()) * PAGE_SIZE),
    }
}
