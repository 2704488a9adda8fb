use super::{Batch, Offered, Primitive};
use crate::memory::PAGE;
use crate::timing::each;
use anyhow::{Context, Result, ensure};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use std::ffi::c_void;
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

/// How a core gives its guest a page: it maps it from the guest's memory over what was there.
pub const MMAP: Primitive = Primitive {
    name: "mmap",
    summary: "a page mapped over another",
    definition: "mmap(MAP_SHARED | MAP_FIXED) of one page of a memfd over the last one; the same with a read of it",
    batches,
};

pub(super) const PAGES: usize = 64;

fn batches() -> Result<Vec<(&'static str, Offered)>> {
    Ok(vec![("mmap", Ok(over(false)?)), ("mmap and touch", Ok(over(true)?))])
}

/// A guest's memory: each page is full of its number, from 1.
pub(super) fn guest_memory() -> Result<File> {
    let memory = memfd_create(c"primitive", MFdFlags::MFD_CLOEXEC).context("memfd_create")?;
    let memory = File::from(memory);
    for page in 0..PAGES {
        memory.write_all_at(&[page as u8 + 1; PAGE], (page * PAGE) as u64)?;
    }
    Ok(memory)
}

fn over(touch: bool) -> Result<Batch> {
    let memory = guest_memory()?;
    let place = map(&memory, 0, None)?;
    let mut at = 0;
    Ok(Box::new(each(move || {
        at = (at + 1) % PAGES;
        map(&memory, at, Some(place))?;
        // SAFETY: it was just mapped for reading, and the file has that page.
        let byte = touch.then(|| unsafe { place.as_ptr().cast::<u8>().read_volatile() });
        ensure!(byte.is_none_or(|byte| byte == at as u8 + 1), "another page is mapped there");
        Ok(())
    })))
}

fn map(memory: &File, page: usize, place: Option<NonNull<c_void>>) -> Result<NonNull<c_void>> {
    let fixed = if place.is_some() { MapFlags::MAP_FIXED } else { MapFlags::empty() };
    let address = place.and_then(|place| NonZeroUsize::new(place.as_ptr() as usize));
    let length = NonZeroUsize::new(PAGE).context("a page")?;
    // SAFETY: it replaces nothing but the page that an earlier call of this function has mapped,
    // which nobody refers to.
    unsafe { mmap(address, length, ProtFlags::PROT_READ, MapFlags::MAP_SHARED | fixed, memory, (page * PAGE) as i64) }
        .context("mmap")
}
