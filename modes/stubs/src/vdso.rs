//! The host's vDSO in guests: its parts, where every stub process gets them, and what a guest
//! process has changed of them.
//!
//! The host makes a vDSO for each process of its own, and nothing can map another one. So a stub
//! process keeps the one it inherits from the core, moved to where every guest expects it; and what
//! a guest takes away of it is gone from that stub process for good.

use crate::{Order, USER_TOP};
use std::sync::OnceLock;
use umlab_model::{PageRange, Prot, Vdso};

/// Room for the vDSO and its data pages, at the top of what is the guest's.
const AREA: u64 = USER_TOP - 0x20_000;

/// The vDSO's parts, which the host changes as a whole each.
struct Parts {
    /// Where the core has them: start, length. Data pages first.
    core: Vec<(u64, u64)>,
    /// How far guests' are from there.
    shift: u64,
    guest: Vdso,
}

static PARTS: OnceLock<Option<Parts>> = OnceLock::new();

fn parts() -> Option<&'static Parts> {
    PARTS.get_or_init(find).as_ref()
}

/// Where guests have it; none if this host gives none that could be moved.
pub fn place() -> Option<Vdso> {
    parts().map(|parts| parts.guest)
}

/// The host's vDSO in this process.
fn find() -> Option<Parts> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut core = Vec::new();
    let mut image = None;
    for line in maps.lines() {
        let is_data = line.ends_with("[vvar]") || line.ends_with("[vvar_vclock]");
        let is_image = line.ends_with("[vdso]");
        if !is_data && !is_image {
            continue;
        }
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        core.push((start, end - start));
        if is_image {
            image = Some((start, end));
        }
    }
    let ((image, end), &(data, _)) = (image?, core.first()?);
    // The image finds its data relative to itself, so all parts move by the same distance.
    if end - data > USER_TOP - AREA || image < data {
        return None;
    }
    let guest = Vdso { data: AREA, image: AREA + (image - data), end: AREA + (end - data) };
    Some(Parts { core, shift: AREA.wrapping_sub(data), guest })
}

/// The orders that move it in a new stub process from where the core has it.
pub fn move_orders() -> impl Iterator<Item = Order> {
    let moved = parts().filter(|parts| parts.shift != 0);
    moved.into_iter().flat_map(|parts| {
        parts.core.iter().map(|&(start, len)| Order::adopt(start, len, start.wrapping_add(parts.shift)))
    })
}

/// Whether any of it lies between two addresses.
pub fn overlaps((start, end): (u64, u64)) -> bool {
    place().is_some_and(|vdso| start < vdso.end && vdso.data < end)
}

/// A range's part in it, and the parts below and above.
pub fn split(range: PageRange) -> (Option<PageRange>, [Option<PageRange>; 2]) {
    match place() {
        Some(vdso) => {
            let within = range.above(vdso.data).and_then(|range| range.below(vdso.end));
            (within, [range.below(vdso.data), range.above(vdso.end)])
        }
        None => (None, [Some(range), None]),
    }
}

/// The guest's part above it, where few programs have anything.
pub fn above() -> Option<PageRange> {
    place().and_then(|vdso| PageRange::new(vdso.end, USER_TOP))
}

/// What a guest process has changed of its vDSO, so that it can be changed in another stub process
/// of the same address space.
#[derive(Default)]
pub struct Changes(Vec<(PageRange, Change)>);

#[derive(Clone, Copy)]
enum Change {
    Gone,
    Protected(Prot),
}

impl Changes {
    /// A range was unmapped or mapped over.
    pub fn unmapped(&mut self, range: PageRange) {
        self.note(range, Change::Gone);
    }

    pub fn protected(&mut self, range: PageRange, prot: Prot) {
        self.note(range, Change::Protected(prot));
    }

    fn note(&mut self, range: PageRange, change: Change) {
        for part in parts().into_iter().flat_map(Parts::guest_ranges).filter(|part| part.common(range).is_some()) {
            match self.0.iter_mut().find(|(known, _)| *known == part) {
                // What is gone does not come back.
                Some((_, Change::Gone)) => {}
                Some((_, known)) => *known = change,
                None => self.0.push((part, change)),
            }
        }
    }

    /// The orders that make the changes.
    pub fn orders(&self) -> impl Iterator<Item = Order> {
        self.0.iter().map(|&(part, change)| match change {
            Change::Gone => Order::unmap(part),
            Change::Protected(prot) => Order::protect(part, prot),
        })
    }
}

impl Parts {
    fn guest_ranges(&self) -> impl Iterator<Item = PageRange> {
        self.core.iter().filter_map(|&(start, len)| PageRange::with_len(start.wrapping_add(self.shift), len))
    }
}
