//! The core's own way to guest memory.

use super::PAGE;
use super::frames::{Frames, frame_count};
use crate::lock::{self, Pin};
use abi::number::to_usize;
use std::sync::Arc;
use umlab_host::memory::{FileMapping, Window};
use umlab_model::PAGE_SIZE;

/// A page like others: words in it are aligned as its addresses are.
#[repr(align(4096))]
struct Zeros([u8; PAGE]);

static ZEROS: Zeros = Zeros([0; PAGE]);

/// The most pages that one window shows: more would be much to hold on to, and to copy at a time.
pub const MAX_PAGES: u64 = 256;
const MOST: usize = to_usize(MAX_PAGES * PAGE_SIZE);

/// How many pages `len` bytes reach into from `within` on in the first of them; no more than a
/// window shows.
pub(super) fn pages_of(within: usize, len: usize) -> u32 {
    (within.saturating_add(len) as u64).div_ceil(PAGE_SIZE).min(MAX_PAGES) as u32
}

/// Some bytes of an address space, as it had them when the window was made.
///
/// The window owns the memory that it shows, so that it is never somebody else's. But the address
/// space may change when the big lock drops, and the window would show what is no longer there: so
/// the lock does not drop while there is one.
pub struct GuestWindow {
    shown: Shown,
    offset: usize,
    len: usize,
    _pin: Pin,
}

enum Shown {
    Zeros,
    /// What never changes.
    Image(&'static [u8]),
    Frames(Frames),
    File(Arc<FileMapping>),
}

/// Guest memory while nothing can change its address space: found, and not yet held on to.
pub(super) enum Found<'a> {
    /// Bytes of a run of the address space's own: from where on in it, and at most how many.
    Frames(&'a Frames, usize, usize),
    Window(GuestWindow),
}

impl Found<'_> {
    pub fn get(&self) -> Window<'_> {
        match self {
            Found::Frames(frames, offset, len) => frames.window(*offset, (*len).min(MOST)),
            Found::Window(window) => window.get(),
        }
    }

    /// Holds on to it.
    pub fn keep(self) -> GuestWindow {
        match self {
            Found::Frames(frames, offset, len) => GuestWindow::of_frames(frames, offset, len),
            Found::Window(window) => window,
        }
    }
}

impl GuestWindow {
    #[inline]
    fn new(shown: Shown, offset: usize, len: usize) -> GuestWindow {
        GuestWindow { shown, offset, len, _pin: lock::pin() }
    }

    /// Zeros from `within` on in a page, to be read; at most `len`.
    pub(super) fn zeros(within: usize, len: usize) -> GuestWindow {
        GuestWindow::new(Shown::Zeros, within, len.min(ZEROS.0.len() - within))
    }

    /// Bytes of an image from `offset` on, to be read; at most to its end.
    pub(super) fn of_image(image: &'static [u8], offset: usize, len: usize) -> GuestWindow {
        GuestWindow::new(Shown::Image(image), offset, len.min(image.len().saturating_sub(offset)))
    }

    /// `len` bytes from `offset` on of a run of frames, at most to its end and no more than
    /// [`MAX_PAGES`].
    #[inline]
    pub(crate) fn of_frames(frames: &Frames, offset: usize, len: usize) -> GuestWindow {
        let (first, within) = (frame_count(offset / PAGE), offset % PAGE);
        let pages = pages_of(within, len).max(1).min(frames.count() - first);
        let shown = Shown::Frames(frames.share(first, pages));
        GuestWindow::new(shown, within, len.min(pages as usize * PAGE - within))
    }

    /// Bytes of a host file, at most to its end.
    pub(super) fn of_file(file: Arc<FileMapping>, offset: usize, len: usize) -> GuestWindow {
        let len = file.window(offset, len).len();
        GuestWindow::new(Shown::File(file), offset, len)
    }

    pub fn get(&self) -> Window<'_> {
        match &self.shown {
            Shown::Zeros => Window::of(&ZEROS.0).slice(self.offset, self.len),
            Shown::Image(image) => Window::of(image).slice(self.offset, self.len),
            Shown::Frames(frames) => frames.window(self.offset, self.len),
            Shown::File(file) => file.window(self.offset, self.len),
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
