//! Ranges of whole pages inside the guest's part of an address space.
//!
//! Addresses and lengths from a guest are checked once, where a [`PageRange`] is made of them. All
//! that lists, cuts or maps areas takes ranges, so an empty, unaligned, wrapping or foreign one
//! cannot come that far.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of a page, x86-64's smallest.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
pub const PAGE_SHIFT: u32 = 12;

/// One past the last address that x86-64 Linux gives to user code.
pub const TASK_SIZE: u64 = (1 << 47) - PAGE_SIZE;

/// The end of the guest's part: where the model has it.
static USER_TOP: AtomicU64 = AtomicU64::new(TASK_SIZE);

/// Sets the end of the guest's part. Boot calls it before there is any address space.
pub fn set_user_top(top: u64) {
    assert!(top <= TASK_SIZE && top.is_multiple_of(PAGE_SIZE));
    USER_TOP.store(top, Relaxed);
}

/// A range of at least one page. It begins and ends at page boundaries, and lies within the guest's
/// part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageRange {
    start: u64,
    end: u64,
}

impl PageRange {
    /// The range between two addresses. None if it is empty, not of whole pages, or reaches out of
    /// the guest's part.
    #[inline]
    pub fn new(start: u64, end: u64) -> Option<PageRange> {
        let aligned = start.is_multiple_of(PAGE_SIZE) && end.is_multiple_of(PAGE_SIZE);
        (aligned && start < end && end <= USER_TOP.load(Relaxed)).then_some(PageRange { start, end })
    }

    /// The range of `len` bytes from `start`; none as for [`PageRange::new`], or if it wraps.
    #[inline]
    pub fn with_len(start: u64, len: u64) -> Option<PageRange> {
        PageRange::new(start, start.checked_add(len)?)
    }

    /// The range of the pages numbered [from, to); none as for [`PageRange::new`].
    #[inline]
    pub fn of_pages(from: u64, to: u64) -> Option<PageRange> {
        PageRange::new(from.checked_mul(PAGE_SIZE)?, to.checked_mul(PAGE_SIZE)?)
    }

    /// The whole of the guest's part.
    #[inline]
    pub fn everything() -> PageRange {
        PageRange { start: 0, end: USER_TOP.load(Relaxed) }
    }

    #[inline]
    pub fn start(self) -> u64 {
        self.start
    }

    /// One past the last address.
    #[inline]
    pub fn end(self) -> u64 {
        self.end
    }

    /// Bytes.
    #[inline]
    pub fn len(self) -> u64 {
        self.end - self.start
    }

    /// The number of its first page.
    #[inline]
    pub fn first_page(self) -> u64 {
        self.start >> PAGE_SHIFT
    }

    /// The number of the first page after it.
    #[inline]
    pub fn end_page(self) -> u64 {
        self.end >> PAGE_SHIFT
    }

    /// Number of pages.
    #[inline]
    pub fn pages(self) -> u64 {
        self.len() >> PAGE_SHIFT
    }

    #[inline]
    pub fn contains(self, addr: u64) -> bool {
        self.start <= addr && addr < self.end
    }

    /// Whether all of `other` lies in it.
    #[inline]
    pub fn covers(self, other: PageRange) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The part that two ranges have in common.
    #[inline]
    pub fn common(self, other: PageRange) -> Option<PageRange> {
        PageRange::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// The part of it below an address.
    #[inline]
    pub fn below(self, addr: u64) -> Option<PageRange> {
        PageRange::new(self.start, self.end.min(addr))
    }

    /// The part of it from an address on.
    #[inline]
    pub fn above(self, addr: u64) -> Option<PageRange> {
        PageRange::new(self.start.max(addr), self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_range_cannot_be_made() {
        let page = PAGE_SIZE;
        assert_eq!(PageRange::new(page, page), None, "empty");
        assert_eq!(PageRange::new(2 * page, page), None, "backwards");
        assert_eq!(PageRange::new(page, 2 * page + 1), None, "not of whole pages");
        assert_eq!(PageRange::with_len(page, u64::MAX - page + 1), None, "wraps");
        assert_eq!(PageRange::new(page, TASK_SIZE + page), None, "beyond the guest's part");
        assert_eq!(PageRange::of_pages(1, u64::MAX), None);
        let range = PageRange::of_pages(4, 8).unwrap();
        assert_eq!((range.below(4 * page), range.above(8 * page)), (None, None));
        assert_eq!(range.below(6 * page), PageRange::of_pages(4, 6));
        assert_eq!(range.above(6 * page), PageRange::of_pages(6, 8));
        assert_eq!(range.common(PageRange::of_pages(8, 9).unwrap()), None);
        assert_eq!(range.common(PageRange::of_pages(7, 9).unwrap()), PageRange::of_pages(7, 8));
    }
}
