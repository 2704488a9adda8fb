use crate::Why;
use crate::code::{self, SYSCALL};
use crate::site::Window;
use iced_x86::{Instruction, Register};
use std::ops::Range;

/// A detour is never longer.
pub const MAX_DETOUR: u64 = crate::BEFORE as u64 + 32;
/// Detours begin at multiples of this.
pub(crate) const ALIGN: u64 = 16;

/// Machine code that is executed instead of the lead and what follows it up to the `syscall`.
///
/// ```text
/// the lead, and the instructions up to the syscall
/// movabs $behind_the_syscall, %rcx
/// jmp    *0(%rip)
/// .quad  entry
/// ```
///
/// The moved instructions are the original bytes; displacements that count from the instruction's
/// own address are adapted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detour {
    address: u64,
    code: Vec<u8>,
    /// Where each instruction begins, as an offset, and for what it stands.
    map: Vec<(u64, Original)>,
    slot: Option<Slot>,
}

/// An entry of the table through which a detour is reached ([`Form::Table`](crate::Form)): eight
/// bytes that hold the detour's address, the lowest byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Where it is.
    pub address: u64,
    /// What it holds: the detour's address.
    pub target: u64,
}

/// What an instruction pointer of ours stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// All registers are what they would be at this address of the program, before its instruction.
    /// The thread can go on there.
    Before(u64),
    /// As before the `syscall` at this address, but for rcx, which is already what the call leaves
    /// in it. The thread can go on there: the `syscall` traps.
    Call(u64),
}

impl Original {
    /// The program's instruction pointer.
    pub fn ip(self) -> u64 {
        match self {
            Self::Before(ip) | Self::Call(ip) => ip,
        }
    }
}

impl Detour {
    /// The detour at `address` for the run of instructions that ends at the `syscall` at `site`.
    pub(crate) fn new(
        window: &Window,
        run: &[Instruction],
        site: u64,
        address: u64,
        entry: u64,
        slot: Option<u64>,
    ) -> Result<Self, Why> {
        let mut code = Vec::with_capacity(MAX_DETOUR as usize);
        let mut map = Vec::with_capacity(run.len() + 2);
        for instruction in run {
            let from = instruction.ip();
            map.push((code.len() as u64, Original::Before(from)));
            code.extend(moved(window, from, address + code.len() as u64)?);
        }
        map.push((code.len() as u64, Original::Before(site)));
        code.extend([0x48, 0xb9]);
        code.extend((site + SYSCALL.len() as u64).to_le_bytes());
        map.push((code.len() as u64, Original::Call(site)));
        code.extend([0xff, 0x25, 0, 0, 0, 0]);
        code.extend(entry.to_le_bytes());
        debug_assert!(code.len() as u64 <= MAX_DETOUR);
        Ok(Self { address, code, map, slot: slot.map(|slot| Slot { address: slot, target: address }) })
    }

    /// Where it begins, a multiple of 16.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its code, which is right at [`Detour::address`] only.
    pub fn code(&self) -> &[u8] {
        &self.code
    }

    /// The addresses that it takes up.
    pub fn range(&self) -> Range<u64> {
        self.address..self.address + self.code.len() as u64
    }

    /// The entry of the table that leads to it, if the patch goes through one.
    pub fn slot(&self) -> Option<Slot> {
        self.slot
    }

    /// What an instruction pointer stands for, if it is at an instruction of this detour. No thread
    /// comes to other addresses of it but by a jump of its own.
    pub fn original(&self, ip: u64) -> Option<Original> {
        let offset = ip.checked_sub(self.address)?;
        self.map.iter().find(|(at, _)| *at == offset).map(|(_, original)| *original)
    }
}

/// The bytes of the instruction at `from`, to do the same at `to`.
fn moved(window: &Window, from: u64, to: u64) -> Result<Vec<u8>, Why> {
    let immovable = Why::Immovable { at: from };
    let (instruction, offsets) = code::at_with_offsets(window, from).ok_or(immovable)?;
    let mut bytes = window.get(from..instruction.next_ip()).ok_or(immovable)?.to_vec();
    match instruction.memory_base() {
        Register::RIP => {
            let next = to + bytes.len() as u64;
            let distance = instruction.memory_displacement64().wrapping_sub(next) as i64;
            let distance = i32::try_from(distance).map_err(|_| Why::OutOfReach)?;
            let place = offsets.displacement_offset();
            let place = bytes.get_mut(place..place + 4).ok_or(immovable)?;
            place.copy_from_slice(&distance.to_le_bytes());
        }
        // Counts from the lower half of its own address.
        Register::EIP => return Err(immovable),
        _ => {}
    }
    Ok(bytes)
}
