//! All that user code has in registers: patterns to load, and what is found instead of them.

use crate::tools::Chance;
use std::arch::x86_64::{__cpuid_count, _xgetbv};

pub const RAX: usize = 0;
pub const RCX: usize = 2;
pub const RDX: usize = 3;
pub const RSI: usize = 4;
pub const RDI: usize = 5;
pub const RSP: usize = 7;
pub const R11: usize = 11;
const GENERAL: [&str; 16] =
    ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

pub const TRAP_FLAG: u64 = 1 << 8;
pub const ALIGNMENT: u64 = 1 << 18;
const ALWAYS: u64 = 0x202;
/// Can be set and cleared, and does nothing.
pub const IDENTIFICATION: u64 = 1 << 21;
/// Carry, parity, adjust, zero, sign, direction, overflow, nested task.
const FREE: u64 = 0x4cd5;

/// A copy of the extended state, in the layout of XSAVE.
#[repr(C, align(64))]
#[derive(Clone)]
pub struct Area(pub [u8; 4096]);

#[repr(C, align(64))]
#[derive(Clone)]
pub struct Registers {
    pub general: [u64; 16],
    pub flags: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u64,
    pub es: u64,
    pub extended: Area,
}

/// The parts of the extended state that are looked at. PKRU and the tiles of AMX are not among
/// them: the first has a value for each use of memory, the second has to be asked for.
const PARTS: u64 = 0b1110_0111;

/// A run of bytes in an area, and what it is.
struct Part {
    name: &'static str,
    at: usize,
    /// How many registers, how much of each, and how far apart.
    count: usize,
    size: usize,
    stride: usize,
}

const fn part(name: &'static str, at: usize, count: usize, size: usize, stride: usize) -> Part {
    Part { name, at, count, size, stride }
}

/// The parts that this machine has, as bits.
pub fn parts() -> u64 {
    /// CPUID leaf 1, ECX: the kernel has switched XSAVE on.
    const OSXSAVE: u32 = 1 << 27;
    if __cpuid_count(1, 0).ecx & OSXSAVE == 0 {
        return 0;
    }
    // SAFETY: the machine has the instruction.
    PARTS & unsafe { xcr0() }
}

#[target_feature(enable = "xsave")]
fn xcr0() -> u64 {
    // SAFETY: the caller has the feature.
    unsafe { _xgetbv(0) }
}

fn layout(parts: u64) -> Vec<Part> {
    let mut all = vec![
        part("the x87 control word", 0, 1, 2, 0),
        part("the x87 status word", 2, 1, 2, 0),
        part("the x87 tag word", 4, 1, 1, 0),
        part("mxcsr", 24, 1, 4, 0),
        part("st", 32, 8, 10, 16),
        part("xmm", 160, 16, 16, 16),
    ];
    let at = |component: u32| __cpuid_count(0xd, component).ebx as usize;
    let more = [
        (2, "the upper half of ymm", 16, 16),
        (5, "k", 8, 8),
        (6, "the upper half of zmm", 16, 32),
        (7, "zmm16 +", 16, 64),
    ];
    for (component, name, count, size) in more {
        if parts & 1 << component != 0 {
            all.push(part(name, at(component), count, size, size));
        }
    }
    all
}

/// Not every processor keeps these when there is no exception to point at.
const POINTERS: Part = part("the x87 pointers", 6, 1, 18, 0);

impl Registers {
    /// Values that differ from register to register and from seed to seed.
    pub fn fill(&mut self, seed: u64, parts: u64) {
        let mut chance = Chance::new(seed);
        self.general.iter_mut().for_each(|register| *register = chance.next());
        self.flags = ALWAYS | chance.next() & FREE;
        // Addresses that user code may have.
        self.fs_base = chance.next() & 0x3fff_ffff_ffff;
        self.gs_base = chance.next() & 0x3fff_ffff_ffff;
        (self.ds, self.es) = if seed.is_multiple_of(2) { (0, 0x2b) } else { (0x2b, 0) };
        let area = &mut self.extended.0;
        area.fill(0);
        for part in layout(parts) {
            for number in 0..part.count {
                let at = part.at + number * part.stride;
                area[at..at + part.size].iter_mut().for_each(|byte| *byte = chance.next() as u8);
            }
        }
        // All exceptions are masked, so that none is raised by what is in the registers.
        let rounding = (chance.next() & 3) as u16;
        area[0..2].copy_from_slice(&(0x037f | rounding << 10).to_le_bytes());
        area[2..4].copy_from_slice(&(chance.next() as u16 & 0x7f3f).to_le_bytes());
        area[4] = 0xff;
        area[6..8].copy_from_slice(&(chance.next() as u16 & 0x7ff).to_le_bytes());
        area[8..16].copy_from_slice(&(chance.next() & 0x3fff_ffff_ffff).to_le_bytes());
        area[16..24].copy_from_slice(&(chance.next() & 0x3fff_ffff_ffff).to_le_bytes());
        area[24..28].copy_from_slice(&(0x1f80 | chance.next() as u32 & 0x603f).to_le_bytes());
        area[512..520].copy_from_slice(&parts.to_le_bytes());
    }

    /// The first thing that is not as in `expected`.
    pub fn difference(&self, expected: &Registers, parts: u64, pointers: bool) -> Option<String> {
        let general = GENERAL.iter().zip(self.general.iter().zip(&expected.general));
        let others = [
            ("the flags", self.flags, expected.flags),
            ("the base of fs", self.fs_base, expected.fs_base),
            ("the base of gs", self.gs_base, expected.gs_base),
            ("ds", self.ds, expected.ds),
            ("es", self.es, expected.es),
        ];
        let words = general.map(|(name, (found, wanted))| (*name, *found, *wanted)).chain(others);
        for (name, found, wanted) in words {
            if found != wanted {
                return Some(format!("{name} is {found:#x}, and was {wanted:#x}"));
            }
        }
        self.extended_difference(expected, parts, pointers)
    }

    pub fn extended_difference(&self, expected: &Registers, parts: u64, pointers: bool) -> Option<String> {
        let all = layout(parts).into_iter().chain(pointers.then_some(POINTERS));
        for part in all {
            for number in 0..part.count {
                let at = part.at + number * part.stride;
                let of = |registers: &Registers| registers.extended.0[at..at + part.size].to_vec();
                let (found, wanted) = (of(self), of(expected));
                if found != wanted {
                    let number = if part.count > 1 { number.to_string() } else { String::new() };
                    return Some(format!("{}{number} is {}, and was {}", part.name, hex(&found), hex(&wanted)));
                }
            }
        }
        None
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().rev().fold("0x".into(), |text, byte| format!("{text}{byte:02x}"))
}
