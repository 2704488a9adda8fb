//! Address spaces as bookkeeping: which page shows what.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use umlab_host::Result;
use umlab_model::{Mapping, ModelSpace, PAGE_SIZE, PageRange, Prot, Source, When, physmem};

/// As on a bare CPU.
pub const USER_TOP: u64 = 0x7fff_ffff_f000;

/// What the kernel has mapped, by page number. Programs look here for each access.
#[derive(Default)]
pub struct Pages(BTreeMap<u64, Page>);

struct Page {
    prot: Prot,
    source: Source,
    /// Of the page, in pages from where `source` begins.
    index: u64,
}

/// Why an access failed: whether something is mapped there.
pub struct Missed {
    pub present: bool,
}

impl Pages {
    fn find(&self, addr: u64, right: Prot) -> std::result::Result<&Page, Missed> {
        match self.0.get(&(addr / PAGE_SIZE)) {
            // As the CPU: what may be written can be read.
            Some(page) if page.prot.contains(right) || right == Prot::READ && page.prot.contains(Prot::WRITE) => {
                Ok(page)
            }
            Some(_) => Err(Missed { present: true }),
            None => Err(Missed { present: false }),
        }
    }

    /// Fills `out`, which lies within a page.
    pub fn read(&self, addr: u64, out: &mut [u8]) -> std::result::Result<(), Missed> {
        let page = self.find(addr, Prot::READ)?;
        let at = page.index * PAGE_SIZE + addr % PAGE_SIZE;
        match &page.source {
            Source::Physmem { offset } => {
                let window = physmem::memory().window((offset + at) as usize, out.len());
                window.read(out).expect("physmem can be read");
            }
            Source::File { file, offset, .. } => {
                let file = File::from(file.fd().try_clone_to_owned().expect("a descriptor can be copied"));
                out.fill(0);
                file.read_at(out, offset + at).expect("a file can be read");
            }
        }
        Ok(())
    }

    /// Writes `bytes`, which lie within a page.
    pub fn write(&self, addr: u64, bytes: &[u8]) -> std::result::Result<(), Missed> {
        let page = self.find(addr, Prot::WRITE)?;
        let at = page.index * PAGE_SIZE + addr % PAGE_SIZE;
        match &page.source {
            Source::Physmem { offset } => {
                let window = physmem::memory().window((offset + at) as usize, bytes.len());
                window.write(bytes).expect("physmem can be written");
            }
            Source::File { file, offset, shared } => {
                assert!(shared, "private mappings of files are never writable");
                let file = File::from(file.fd().try_clone_to_owned().expect("a descriptor can be copied"));
                file.write_all_at(bytes, offset + at).expect("a file can be written");
            }
        }
        Ok(())
    }
}

/// An address space. Orders are carried out at once.
#[derive(Default)]
pub struct Space(Arc<Mutex<Pages>>);

impl Space {
    pub fn pages(&self) -> Arc<Mutex<Pages>> {
        self.0.clone()
    }

    fn locked(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn numbers(range: PageRange) -> std::ops::Range<u64> {
    range.first_page()..range.end_page()
}

impl ModelSpace for Space {
    fn reserve(&self) -> Result<()> {
        Ok(())
    }

    fn map(&self, mapping: Mapping, _when: When) {
        let mut pages = self.locked();
        for (index, number) in (0..).zip(numbers(mapping.range)) {
            pages.0.insert(number, Page { prot: mapping.prot, source: mapping.source.clone(), index });
        }
    }

    fn unmap(&self, range: PageRange) {
        let pages = &mut self.locked().0;
        let numbers: Vec<u64> = pages.range(numbers(range)).map(|(number, _)| *number).collect();
        for number in numbers {
            pages.remove(&number);
        }
    }

    fn protect(&self, range: PageRange, prot: Prot) {
        for (_, page) in self.locked().0.range_mut(numbers(range)) {
            page.prot = prot;
        }
    }

    fn sync(&self) {}

    fn as_any(&self) -> &dyn Any {
        self
    }
}
