//! The rights of what is mapped: mprotect(2).

use super::frames::{Fill, Frames, frame_count};
use super::map::{EAGER, EAGER_POPULATE};
use super::space::{AddressSpace, Inner, run_range};
use super::vma::{Backing, Totals, Vma, VmaFlags, is_aligned, round_up};
use crate::{Errno, Result};
use abi::number::Low;
use umlab_model::{PageRange, Prot, When};

impl AddressSpace {
    /// mprotect(2).
    pub fn mprotect(&self, addr: u64, len: u64, prot: u64) -> Result<()> {
        let grows = prot & (abi::PROT_GROWSDOWN | abi::PROT_GROWSUP) as u64;
        if grows == (abi::PROT_GROWSDOWN | abi::PROT_GROWSUP) as u64 || !is_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        let len = round_up(len).ok_or(Errno::ENOMEM)?;
        let range = PageRange::with_len(addr, len).ok_or(Errno::ENOMEM)?;
        if prot & !(u64::from(Prot::all().bits()) | grows | 0x8) != 0 {
            return Err(Errno::EINVAL);
        }
        let prot = Prot::from_bits_truncate(prot.low_u32());
        self.protect_areas(range, prot, grows)
    }

    fn protect_areas(&self, range: PageRange, prot: Prot, grows: u64) -> Result<()> {
        let (mut addr, end) = (range.start(), range.end());
        let mut inner = self.inner.borrow_mut();
        if grows != 0 {
            let down = grows & abi::PROT_GROWSDOWN as u64 != 0;
            let vma = inner.vmas.at_or_after(addr).ok_or(Errno::ENOMEM)?;
            // An area that grows down may grow over a hole before it.
            if vma.start() >= if down { end } else { addr + 1 } {
                return Err(Errno::ENOMEM);
            }
            // On this processor no area grows upwards.
            if !down || !vma.flags.contains(VmaFlags::GROWSDOWN) {
                return Err(Errno::EINVAL);
            }
            addr = vma.start();
        }
        // As Linux: what comes before a hole is changed, then the hole is reported.
        let mut stop = addr;
        let mut more = Totals::default();
        while stop < end {
            match inner.vmas.find(stop) {
                Some(vma) if !vma.may_have(prot) => {
                    return self.protect_range(&mut inner, addr, stop, prot).and(Err(Errno::EACCES));
                }
                Some(vma) if vma.is_model_owned() && (vma.start() < addr || end < vma.end()) => {
                    return self.protect_range(&mut inner, addr, stop, prot).and(Err(Errno::EINVAL));
                }
                Some(vma) => {
                    let next = vma.end().min(end);
                    if !vma.is_data() && (Vma { prot, ..vma.clone() }).is_data() {
                        more.data += next - stop;
                        if let Err(error) = inner.may_grow(more) {
                            return self.protect_range(&mut inner, addr, stop, prot).and(Err(error));
                        }
                    }
                    stop = next;
                }
                None => return self.protect_range(&mut inner, addr, stop, prot).and(Err(Errno::ENOMEM)),
            }
        }
        self.protect_range(&mut inner, addr, end, prot)
    }

    fn protect_range(&self, inner: &mut Inner, start: u64, end: u64, prot: Prot) -> Result<()> {
        let Some(range) = PageRange::new(start, end) else { return Ok(()) };
        let changed = inner.vmas.change(range, |vma| vma.prot = prot).map_err(|_| Errno::ENOMEM)?;
        for (old, vma) in changed {
            if old.prot == prot {
                continue;
            }
            let (from, to) = (vma.range.first_page(), vma.range.end_page());
            if vma.is_model_owned() {
                self.host.protect(vma.range, prot);
                continue;
            }
            if old.prot.is_empty() {
                // The host has nothing there.
                self.map_again(inner, &vma);
                continue;
            }
            if prot.is_empty() {
                self.host.unmap(vma.range);
                continue;
            }
            if vma.is_shared() {
                self.host.protect(vma.range, prot);
                continue;
            }
            if vma.is_private_anonymous() {
                // Only where there are pages has the host anything mapped.
                let runs: Vec<(PageRange, bool)> = inner
                    .pages
                    .within_mut(from, to)
                    .map(|(first, run)| {
                        run.host_ro = prot.contains(Prot::WRITE) && run.frames.is_shared();
                        (run_range(first, run), run.host_ro)
                    })
                    .collect();
                for (range, read_only) in runs {
                    self.host.protect(range, if read_only { prot - Prot::WRITE } else { prot });
                }
                if !old.prot.contains(Prot::WRITE) && prot.contains(Prot::WRITE) {
                    self.fill_start(inner, &vma);
                }
                continue;
            }
            // A private file mapping: the file's own pages never become writable.
            self.host.protect(vma.range, prot - Prot::WRITE);
            if prot.contains(Prot::WRITE) {
                let runs: Vec<(PageRange, bool)> = inner
                    .pages
                    .within_mut(from, to)
                    .map(|(first, run)| {
                        run.host_ro = run.frames.is_shared();
                        (run_range(first, run), run.host_ro)
                    })
                    .collect();
                for (range, _) in runs.into_iter().filter(|(_, read_only)| !read_only) {
                    self.host.protect(range, prot);
                }
            }
        }
        Ok(())
    }

    /// Has mapped what the core has for an area that the host has nothing of.
    pub(super) fn map_again(&self, inner: &mut Inner, vma: &Vma) {
        match vma.backing {
            Backing::Anonymous => {
                self.map_private(inner, vma, vma.range, When::Now);
                if vma.prot.contains(Prot::WRITE) {
                    self.fill_start(inner, vma);
                }
            }
            Backing::Host(_) => {
                let _ = self.map_backing(vma, vma.range, When::Lazy);
                self.map_private(inner, vma, vma.range, When::Lazy);
            }
            // By faults.
            Backing::Pages(_) | Backing::Model(..) => {}
        }
    }

    /// Gives the start of a writable anonymous range memory, if it has none: it is about to be
    /// used.
    pub(super) fn fill_start(&self, inner: &mut Inner, vma: &Vma) {
        let (from, to) = (vma.range.first_page(), vma.range.end_page());
        if vma.flags.contains(VmaFlags::GROWSDOWN) || inner.pages.find(from).is_some() {
            return;
        }
        let to = inner.pages.next_after(from).unwrap_or(u64::MAX).min(to).min(from + EAGER);
        if let Ok(frames) = Frames::alloc(frame_count(to - from), Fill::Zero) {
            self.put_pages(inner, vma, from, frames, When::Now, EAGER_POPULATE);
        }
    }
}
