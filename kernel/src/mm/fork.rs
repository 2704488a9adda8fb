//! Copying an address space, for fork(2).
//!
//! A small process's pages are copied at once: it is cheaper than the faults that would copy most
//! of them one by one. A large one's are shared, whole runs write-protected in both, and copied by
//! runs when either writes.

use super::PAGE;
use super::frames::{Fill, Frames};
use super::space::{AddressSpace, run_range};
use super::vma::{Backing, Run, Vma, VmaFlags};
use crate::Result;
use std::sync::Arc;
use umlab_model::{Prot, When};

/// Up to this many private pages, all are copied at once.
const COPY_PAGES: u64 = 1024;

impl AddressSpace {
    /// A copy of the address space, its private memory copied on write. ENOMEM when there is no
    /// memory for it, EAGAIN when the host has no process for it.
    pub fn fork(self: &Arc<Self>) -> Result<Arc<AddressSpace>> {
        let child = AddressSpace::new()?;
        child.host.reserve()?;
        child.barriers.set(self.barriers.get());
        {
            let mut parent = self.inner.borrow_mut();
            let mut inner = child.inner.borrow_mut();
            let inherited = parent.vmas.inherited();
            // The copy has of the model's own what it inherits.
            for made in std::mem::replace(&mut inner.vmas, inherited).iter() {
                match inner.vmas.find(made.start()).filter(|vma| vma.is_model_owned()) {
                    None => child.host.unmap(made.range),
                    Some(vma) if vma.prot != made.prot => child.host.protect(vma.range, vma.prot),
                    Some(_) => {}
                }
            }
            parent.vmas.restricted();
            inner.brk_start = parent.brk_start;
            inner.brk = parent.brk;
            inner.mmap_top = parent.mmap_top;
            inner.layout = parent.layout.clone();
            let areas: Vec<Vma> = inner.vmas.iter().cloned().collect();
            let copy = parent.pages.count() <= COPY_PAGES;
            for vma in areas {
                child.register(&vma);
                let (from, to) = (vma.range.first_page(), vma.range.end_page());
                if matches!(vma.backing, Backing::Host(_)) && !vma.prot.is_empty() {
                    let _ = child.map_backing(&vma, vma.range, When::Lazy);
                }
                if vma.is_shared() || vma.flags.contains(VmaFlags::WIPEONFORK) {
                    continue;
                }
                if copy {
                    let runs: Vec<(u64, Frames)> = parent
                        .pages
                        .within(from, to)
                        .map(|(page, index, count, run)| (page, run.frames.share(index, count)))
                        .collect();
                    for (page, old) in runs {
                        // Only what the host has memory for; the rest is zero in both, or the
                        // file's if it was never copied.
                        let resident = if old.count() <= 4 { vec![(0, old.count())] } else { old.resident() };
                        for (index, count) in resident {
                            let new = Frames::alloc(count, Fill::Garbage)?;
                            let len = count as usize * PAGE;
                            new.window(0, len).copy_from(&old.window(index as usize * PAGE, len))?;
                            child.put_pages(&mut inner, &vma, page + u64::from(index), new, When::Lazy, 0);
                        }
                    }
                    continue;
                }
                let mut protect = Vec::new();
                for (page, run) in parent.pages.within_mut(from, to) {
                    let count = run.frames.count();
                    if vma.prot.contains(Prot::WRITE) && !run.host_ro {
                        run.host_ro = true;
                        protect.push(run_range(page, run));
                    }
                    inner.pages.insert(page, Run { frames: run.frames.share(0, count), host_ro: true });
                }
                for range in protect {
                    self.host.protect(range, vma.prot - Prot::WRITE);
                }
                child.map_private(&mut inner, &vma, vma.range, When::Lazy);
            }
        }
        // No thread of the parent may write to what is shared now, wherever it runs.
        self.host.sync();
        Ok(child)
    }
}
