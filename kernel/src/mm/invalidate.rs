//! Mappings of pages that go away under them: a file that is cut, or a memory file that has a hole
//! punched.

use super::space::AddressSpace;
use super::vma::{Backing, Vma, VmaFlags};
use crate::lock::KCell;
use std::sync::Weak;
use umlab_model::{PAGE_SIZE, PageRange};

/// What becomes of a source's pages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// They are beyond the source's new end. Private copies of them are given up too.
    Cut,
    /// There is a hole.
    Punched,
}

/// The address spaces that map a source, by which it is known to them. One adds itself when it
/// makes a mapping.
#[derive(Default)]
pub struct Mappers(KCell<Vec<Weak<AddressSpace>>>);

impl Mappers {
    fn add(&self, mapper: Weak<AddressSpace>) {
        let mut list = self.0.borrow_mut();
        list.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&mapper));
        list.push(mapper);
    }

    /// Whether anybody may write to the source by a mapping.
    pub fn any_writes_to(&self) -> bool {
        self.0.borrow().iter().filter_map(Weak::upgrade).any(|mapper| mapper.writes_to(self))
    }

    /// The source's pages from `first` to before `end` are no longer what they were: makes all
    /// mappers look them up again at the next touch, and returns when no CPU's user code can reach
    /// the old ones. Nothing of the mappers may be borrowed, and the big lock may be dropped.
    pub fn invalidate(&self, first: u64, end: u64, gone: Gone) {
        if self.0.borrow().is_empty() {
            return;
        }
        let list: Vec<_> = self.0.borrow().iter().filter_map(Weak::upgrade).collect();
        for mapper in &list {
            mapper.invalidate(self, first, end, gone);
        }
        for mapper in &list {
            mapper.settle();
        }
    }
}

impl Backing {
    /// Where those who map it are listed, if its pages can go away.
    fn mappers(&self) -> Option<&Mappers> {
        match self {
            Backing::Host(file) => file.mappers.as_deref(),
            Backing::Pages(pages) => pages.mappers(),
            Backing::Anonymous | Backing::Model(..) => None,
        }
    }

    fn is(&self, source: &Mappers) -> bool {
        self.mappers().is_some_and(|mappers| std::ptr::eq(mappers, source))
    }
}

impl AddressSpace {
    /// Makes itself known to the source that an area maps.
    pub(super) fn register(&self, vma: &Vma) {
        if let Some(mappers) = vma.backing.mappers() {
            mappers.add(self.me.clone());
        }
    }

    /// Unmaps the pages of a source that it shows.
    fn invalidate(&self, source: &Mappers, first: u64, end: u64, gone: Gone) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        for vma in inner.vmas.iter().filter(|vma| vma.backing.is(source)) {
            // Pages of the source, then of the address space.
            let offset = vma.offset / PAGE_SIZE;
            let (from, to) = (first.max(offset), end.min(offset + vma.range.pages()));
            let page = |index: u64| vma.range.first_page() + (index - offset);
            if from < to
                && let Some(range) = PageRange::of_pages(page(from), page(to))
            {
                self.host.unmap(range);
                if gone == Gone::Cut && !vma.is_shared() {
                    inner.garbage.extend(inner.pages.remove(range.first_page(), range.end_page()));
                }
            }
        }
    }

    /// Whether user code may write to a source by way of this address space.
    fn writes_to(&self, source: &Mappers) -> bool {
        // What may be made writable counts: shared, and of a descriptor that is.
        let writes = |vma: &Vma| vma.is_shared() && !vma.flags.contains(VmaFlags::NOWRITE) && vma.backing.is(source);
        self.inner.borrow().vmas.iter().any(writes)
    }

    /// Returns when no CPU's user code can reach what was invalidated. May drop the big lock.
    fn settle(&self) {
        self.host.sync();
        self.collect();
    }
}
