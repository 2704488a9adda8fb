//! The regions that every process begins with.

use anyhow::{Result, bail};
use umlab_fuzzer::program::Region;

const PAGE: usize = 4096;

/// Where a region is and how many pages it has; those around it are not mapped.
fn place(region: Region) -> (usize, usize) {
    match region {
        Region::Writable => (0x1000_0000, 16),
        Region::ReadOnly => (0x1010_0000, 4),
        Region::Forbidden => (0x1020_0000, 4),
        Region::Hole => (0x1030_0000, 4),
        Region::Shared => (0x1040_0000, 8),
        Region::File => (0x1050_0000, 8),
        Region::Copy => (0x1060_0000, 8),
        Region::Field => (0x1100_0000, 64),
        Region::Vdso | Region::Top => (0, 0),
    }
}

/// Where each region begins, those that the kernel chose too.
#[derive(Clone, Copy)]
pub struct Regions {
    vdso: u64,
    top: u64,
}

impl Regions {
    /// Makes them; `file` is what the two mappings of a file show.
    pub fn new(file: i32) -> Result<Regions> {
        let (private, shared) = (libc::MAP_PRIVATE, libc::MAP_SHARED);
        let anonymous = libc::MAP_ANONYMOUS;
        let both = libc::PROT_READ | libc::PROT_WRITE;
        for (region, protection, flags) in [
            (Region::Writable, both, private | anonymous),
            (Region::ReadOnly, libc::PROT_READ, private | anonymous),
            (Region::Forbidden, libc::PROT_NONE, private | anonymous),
            (Region::Shared, both, shared | anonymous),
            (Region::File, both, shared),
            (Region::Copy, both, private),
            (Region::Field, both, private | anonymous),
        ] {
            let (at, pages) = place(region);
            map_at(at, pages * PAGE, protection, flags, if flags & anonymous == 0 { file } else { -1 })?;
        }
        // SAFETY: getauxval reads what the kernel left.
        let vdso = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
        Ok(Regions { vdso, top: top() })
    }

    pub fn address(self, region: Region, offset: i64) -> u64 {
        let start = match region {
            Region::Vdso => self.vdso,
            Region::Top => self.top,
            fixed => place(fixed).0 as u64,
        };
        start.wrapping_add(offset as u64)
    }

    /// Of the memory in these regions, where it can be read.
    pub fn hash(self) -> u64 {
        let mut hash = crate::answers::Hash::new();
        for region in [Region::Writable, Region::Shared, Region::File, Region::Copy, Region::Field] {
            let (at, pages) = place(region);
            for word in (at..at + pages * PAGE).step_by(8) {
                hash.add(crate::sys::load(word as u64).unwrap_or_else(|signal| signal as u64));
            }
        }
        hash.value()
    }
}

/// Where the highest area ends, apart from the page that is the kernel's.
fn top() -> u64 {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let ends = maps.lines().filter_map(|line| u64::from_str_radix(line.split(['-', ' ']).nth(1)?, 16).ok());
    ends.filter(|&end| end < 1 << 47).max().unwrap_or(0x7fff_ffff_f000)
}

pub fn map_shared(len: usize) -> Result<usize> {
    map(0, len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)
}

pub fn map_at(at: usize, len: usize, protection: i32, flags: i32, file: i32) -> Result<usize> {
    map(at, len, protection, flags | libc::MAP_FIXED_NOREPLACE, file)
}

fn map(at: usize, len: usize, protection: i32, flags: i32, file: i32) -> Result<usize> {
    // SAFETY: a new mapping replaces none: its place is the kernel's choice or must be free.
    let address = unsafe { libc::mmap(at as *mut _, len, protection, flags, file, 0) };
    if address == libc::MAP_FAILED {
        bail!("no memory at {at:#x}: {}", std::io::Error::last_os_error());
    }
    Ok(address as usize)
}
