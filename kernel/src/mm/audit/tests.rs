use super::*;
use crate::fs::tests::in_kernel;
use crate::mm::PAGE;
use crate::mm::frames::{Fill, Frames};
use crate::mm::object::PageSource;
use crate::mm::vma::{Run, VmaFlags};
use std::sync::Arc;

const AREA: u64 = 0x10_0000;
const SHARED_AREA: u64 = 0x20_0000;
const PAGES: u64 = 8;
const RW: Prot = Prot::READ.union(Prot::WRITE);

/// A source of one page, its second.
struct Source(Frames);

impl PageSource for Source {
    fn frames(&self, index: u64, max: u32, _write: bool) -> crate::Result<Option<Frames>> {
        Ok(self.present(index, max))
    }

    fn present(&self, index: u64, _max: u32) -> Option<Frames> {
        (index == 1).then(|| self.0.share(0, 1))
    }

    fn next_present(&self, index: u64) -> Option<u64> {
        (index < 1).then_some(1)
    }
}

fn area(start: u64, flags: VmaFlags, backing: Backing) -> Vma {
    let range = PageRange::with_len(start, PAGES * PAGE_SIZE).unwrap();
    Vma { range, prot: RW, flags, backing, offset: 0, file: None }
}

/// An address space with a private area of eight pages, of which there are the third and the
/// fourth, and a shared one, of which there is the second. Where these are in physmem.
fn space() -> (Inner, u64, u64) {
    let mut inner = Inner::default();
    inner.vmas.insert(area(AREA, VmaFlags::empty(), Backing::Anonymous));
    let frames = Frames::alloc(2, Fill::Zero).unwrap();
    let own = frames.offset();
    inner.pages.insert(page_of(AREA) + 2, Run { frames, host_ro: false });
    let source = Source(Frames::alloc(1, Fill::Zero).unwrap());
    let shared = source.0.offset();
    inner.vmas.insert(area(SHARED_AREA, VmaFlags::SHARED, Backing::Pages(Arc::new(source))));
    (inner, own, shared)
}

/// What the audit has to say of pages of the address space that show `offset` of physmem.
fn shows(inner: &Inner, start: u64, pages: u64, prot: Prot, offset: u64) -> Option<String> {
    let mut view = HostView::default();
    view.show(start, pages * PAGE_SIZE, prot, What::Physmem { offset });
    compare(inner, &view)
}

fn assert_found(found: Option<String>, text: &str) {
    assert!(found.as_ref().is_some_and(|found| found.contains(text)), "{found:?} for: {text}");
}

#[test]
fn what_the_core_lists_may_be_shown() {
    in_kernel(|| {
        let (inner, own, shared) = space();
        assert_eq!(compare(&inner, &HostView::default()), None, "nothing need be shown");
        assert_eq!(shows(&inner, AREA + 2 * PAGE_SIZE, 2, RW, own), None);
        assert_eq!(shows(&inner, AREA + 3 * PAGE_SIZE, 1, Prot::READ, own + PAGE_SIZE), None);
        assert_eq!(shows(&inner, SHARED_AREA + PAGE_SIZE, 1, RW, shared), None);
    });
}

#[test]
fn anything_else_is_found() {
    in_kernel(|| {
        let (mut inner, own, shared) = space();
        let page = AREA + 2 * PAGE_SIZE;
        assert_found(shows(&inner, AREA - PAGE_SIZE, 1, Prot::READ, own), "nothing is mapped at 0xff000");
        assert_found(shows(&inner, AREA + PAGES * PAGE_SIZE, 1, RW, own), "nothing is mapped at 0x108000");
        assert_found(shows(&inner, page, 3, Prot::READ, own), "no such thing is behind it at 0x104000");
        assert_found(shows(&inner, page, 2, RW, own + PAGE_SIZE), "private pages at 0x102000");
        assert_found(shows(&inner, AREA, 1, Prot::empty(), own), "no such thing is behind it at 0x100000");
        assert_found(shows(&inner, page, 1, RW | Prot::EXEC, own), "fewer rights");
        assert_found(shows(&inner, SHARED_AREA, 1, Prot::READ, shared), "has no page for 0x200000");
        assert_found(shows(&inner, SHARED_AREA + PAGE_SIZE, 1, Prot::READ, own), "behind it has");
        let mut view = HostView::default();
        view.show(page, PAGE_SIZE, Prot::READ, What::Named("[vdso]".into()));
        assert_found(compare(&inner, &view), "private pages");
        inner.pages.within_mut(page_of(page), page_of(page) + 1).for_each(|(_, run)| run.host_ro = true);
        assert_found(shows(&inner, page, 1, RW, own), "shared with another address space");
        assert_eq!(shows(&inner, page, 1, Prot::READ, own), None);
        assert_eq!(stray_pages(&inner), None);
        inner.vmas.remove(PageRange::with_len(page, PAGE_SIZE).unwrap());
        assert_found(stray_pages(&inner), "0x102000-0x103000");
    });
}

#[test]
fn a_free_frame_that_is_written_to_is_found() {
    in_kernel(|| {
        let frames = Frames::alloc(1, Fill::Zero).unwrap();
        assert!(quarantine::is_empty(frames.window(0, PAGE)));
        frames.window(100, 1).write(&[1]).unwrap();
        assert!(!quarantine::is_empty(frames.window(0, PAGE)));
    });
}
