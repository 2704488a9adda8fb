//! Mappings of pages that go away under them: a memory file that is cut, or has a hole punched.

use super::frames::PAGE_SIZE;
use super::range::PageRange;
use super::space::AddressSpace;
use super::vma::{Backing, Vma, VmaFlags};
use crate::fs::file::Mapper;
use std::sync::Arc;

impl AddressSpace {
    /// Makes itself known to the source that an area maps.
    pub(super) fn register(&self, vma: &Vma) {
        if let Backing::Pages(pages) = &vma.backing
            && let Some(mappers) = pages.mappers()
        {
            mappers.add(self.me.clone());
        }
    }
}

impl Mapper for AddressSpace {
    fn invalidate(&self, source: *const (), first: u64, end: u64) {
        let inner = self.inner.borrow();
        for vma in inner.vmas.iter() {
            let Backing::Pages(pages) = &vma.backing else { continue };
            if Arc::as_ptr(pages).cast::<()>() != source {
                continue;
            }
            // Pages of the source, then of the address space.
            let offset = vma.offset / PAGE_SIZE;
            let (from, to) = (first.max(offset), end.min(offset + vma.range.pages()));
            let page = |index: u64| vma.range.first_page() + (index - offset);
            if from < to
                && let Some(range) = PageRange::of_pages(page(from), page(to))
            {
                self.host.unmap(range);
            }
        }
    }

    fn writes_to(&self, source: *const ()) -> bool {
        self.inner.borrow().vmas.iter().any(|vma| match &vma.backing {
            // What may be made writable counts: shared, and of a descriptor that is.
            Backing::Pages(pages) => {
                vma.is_shared() && !vma.flags.contains(VmaFlags::NOWRITE) && Arc::as_ptr(pages).cast::<()>() == source
            }
            _ => false,
        })
    }

    fn settle(&self) {
        self.host.sync();
    }
}
