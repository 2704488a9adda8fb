//! What /proc/PID/maps and its relatives show.

use super::object::MappedFile;
use super::space::AddressSpace;
use super::vma::{Backing, VmaFlags};
use std::sync::Arc;
use umlab_model::{PAGE_SIZE, Prot};

/// One area.
pub struct MapsLine {
    pub start: u64,
    pub end: u64,
    pub prot: Prot,
    pub shared: bool,
    pub offset: u64,
    /// The file behind it; its path, device and inode are shown.
    pub file: Option<Arc<dyn MappedFile>>,
    /// What is shown instead of a path, as "[heap]".
    pub name: Option<&'static str>,
    pub locked: bool,
    /// Bytes of private memory in it.
    pub resident: u64,
}

impl AddressSpace {
    /// All areas, by address.
    pub fn maps(&self) -> Vec<MapsLine> {
        let inner = self.inner.borrow();
        let name = |vma: &super::vma::Vma| match vma.backing {
            Backing::Model(name, _) => Some(name),
            Backing::Anonymous if vma.start() < inner.brk && vma.end() > inner.brk_start => Some("[heap]"),
            Backing::Anonymous if vma.range.contains(inner.layout.stack_start) => Some("[stack]"),
            _ => None,
        };
        inner
            .vmas
            .iter()
            .map(|vma| MapsLine {
                start: vma.start(),
                end: vma.end(),
                prot: vma.prot,
                shared: vma.is_shared(),
                locked: vma.flags.contains(VmaFlags::LOCKED),
                offset: if vma.file.is_some() || matches!(vma.backing, Backing::Pages(_)) { vma.offset } else { 0 },
                file: vma.file.clone(),
                name: name(vma),
                resident: inner
                    .pages
                    .within(vma.range.first_page(), vma.range.end_page())
                    .map(|(_, _, count, _)| u64::from(count) * PAGE_SIZE)
                    .sum(),
            })
            .collect()
    }
}
