//! The executable files that stand for closures.

use umlab_abi::elf::{Header, Segment};
use zerocopy::{FromZeros, IntoBytes};

const BASE: u64 = 0x40_0000;
const PAGE: u64 = 0x1000;

/// The entry point of the program of this number. All are in the one page that a file has.
pub fn entry(number: usize) -> u64 {
    let entry = BASE + 0x100 + number as u64;
    assert!(entry < BASE + PAGE, "too many programs");
    entry
}

/// A static program (elf(5)) of one page of code, which is never looked at.
pub fn file(entry: u64) -> Vec<u8> {
    let mut header = Header::new_zeroed();
    header.ident[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    // ET_EXEC for x86-64.
    (header.kind, header.machine, header.version) = (2, 62, 1);
    (header.entry, header.phoff) = (entry, size_of::<Header>() as u64);
    (header.ehsize, header.phentsize, header.phnum) = (size_of::<Header>() as u16, size_of::<Segment>() as u16, 1);
    let mut code = Segment::new_zeroed();
    // PT_LOAD, readable and executable.
    (code.kind, code.flags) = (1, 5);
    (code.vaddr, code.paddr, code.filesz, code.memsz, code.align) = (BASE, BASE, PAGE, PAGE, PAGE);
    let mut file = [header.as_bytes(), code.as_bytes()].concat();
    file.resize(PAGE as usize, 0);
    file
}
