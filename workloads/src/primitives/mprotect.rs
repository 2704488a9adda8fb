use super::{Offered, Primitive};
use crate::memory::{Mapping, PAGE};
use crate::timing::each;
use anyhow::Result;
use nix::sys::mman::{ProtFlags, mprotect};

/// What jail does to each page-table entry of its kernel, twice for each call of a guest.
pub const MPROTECT: Primitive = Primitive {
    name: "mprotect",
    summary: "a page's protection changed",
    definition: "mprotect of one resident page, to read-only and back in turn, with a write when it may be written",
    batches,
};

fn batches() -> Result<Vec<(&'static str, Offered)>> {
    let page = Mapping::anonymous(PAGE)?;
    page.touch();
    let mut writable = true;
    let batch = each(move || {
        writable = !writable;
        let prot = if writable { ProtFlags::PROT_READ | ProtFlags::PROT_WRITE } else { ProtFlags::PROT_READ };
        // SAFETY: it is our page, and nobody holds a reference into it.
        unsafe { mprotect(page.start(), PAGE, prot) }?;
        if writable {
            page.write(0, 1);
        }
        Ok(())
    });
    Ok(vec![("mprotect", Ok(Box::new(batch)))])
}
