//! Taking away all of what was mapped of one file at one place: shmdt(2).

use super::object::MappedFile;
use super::space::AddressSpace;
use super::vma::is_aligned;
use crate::{Errno, Result};
use std::sync::Arc;
use umlab_model::{PAGE_SIZE, PageRange};

impl AddressSpace {
    /// Unmaps what is left of a mapping that was made at `addr` of the whole of a file for which
    /// `size_of` has a size. Returns the file.
    ///
    /// # Errors
    /// EINVAL if there is none.
    pub fn detach(
        &self,
        addr: u64,
        size_of: impl Fn(&Arc<dyn MappedFile>) -> Option<u64>,
    ) -> Result<Arc<dyn MappedFile>> {
        if !is_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        let found = self.take_out_attached(addr, size_of);
        self.collect();
        found
    }

    fn take_out_attached(
        &self,
        addr: u64,
        size_of: impl Fn(&Arc<dyn MappedFile>) -> Option<u64>,
    ) -> Result<Arc<dyn MappedFile>> {
        let mut inner = self.inner.borrow_mut();
        // The first part that is left tells how long the whole was.
        let whole = PageRange::new(addr, PageRange::everything().end()).ok_or(Errno::EINVAL)?;
        let first = inner.vmas.overlapping(whole).find_map(|vma| {
            let file = vma.file.as_ref().filter(|_| vma.start().wrapping_sub(vma.offset) == addr)?;
            Some((file.clone(), size_of(file)?))
        });
        let (file, size) = first.ok_or(Errno::EINVAL)?;
        let end = addr.saturating_add(size.next_multiple_of(PAGE_SIZE)).min(whole.end());
        let range = PageRange::new(addr, end).ok_or(Errno::EINVAL)?;
        let parts: Vec<PageRange> = (inner.vmas.overlapping(range))
            .filter(|vma| vma.file.as_ref().is_some_and(|other| Arc::ptr_eq(other, &file)))
            .filter(|vma| vma.start().wrapping_sub(vma.offset) == addr)
            .filter_map(|vma| PageRange::new(vma.start(), vma.end()))
            .collect();
        for part in parts {
            self.take_out(&mut inner, part)?;
        }
        Ok(file)
    }
}
