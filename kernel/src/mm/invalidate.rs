//! Mappings of pages that go away under them: a file that is cut, or a memory file that has a hole
//! punched.

use super::space::AddressSpace;
use super::vma::{Backing, Vma, VmaFlags};
use crate::vfs::file::{Gone, Mapper, Mappers};
use umlab_model::{PAGE_SIZE, PageRange};

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
}

impl Mapper for AddressSpace {
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

    fn writes_to(&self, source: &Mappers) -> bool {
        // What may be made writable counts: shared, and of a descriptor that is.
        let writes = |vma: &Vma| vma.is_shared() && !vma.flags.contains(VmaFlags::NOWRITE) && vma.backing.is(source);
        self.inner.borrow().vmas.iter().any(writes)
    }

    fn settle(&self) {
        self.host.sync();
        self.collect();
    }
}
