//! What is known of the instructions before a `syscall`.

use crate::code::{self, LONGEST, Through};
use crate::{BEFORE, Registers, Site, Why};
use iced_x86::{
    FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register, RflagsBits, UsedMemory,
};

/// How it is known that the lead is an instruction, and that nobody executes part of it as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Decoding from a known start meets it, through instructions that may go on with the next one.
    Decoded {
        /// The known start.
        from: u64,
    },
    /// It leaves what the registers hold, and no other reading of its bytes does.
    Registers,
}

/// An instruction that may become a jump, and what follows it up to the `syscall`.
pub(crate) struct Lead {
    /// The lead first.
    pub run: Vec<Instruction>,
    pub proof: Proof,
    /// So many bytes of it, a prefix, stay as they are. A jump with this prefix is the same jump,
    /// so that it does not matter whether the prefix belongs to the instruction.
    pub kept: u64,
}

impl Lead {
    pub fn start(&self) -> u64 {
        self.run[0].ip()
    }

    pub fn end(&self) -> u64 {
        self.run[0].next_ip()
    }
}

/// What could be leads, the best first, and the reasons why others cannot.
pub(crate) fn leads(site: &Site) -> Vec<Result<Lead, Why>> {
    match decoded(site) {
        Ok(Some((from, run))) => decoded_leads(site, from, &run),
        Ok(None) => (2..=BEFORE as u64).filter_map(|back| by_registers(site, back)).collect(),
        Err(why) => vec![Err(why)],
    }
}

/// All instructions from the earliest known start that leads to the `syscall`.
fn decoded(site: &Site) -> Result<Option<(u64, Vec<Instruction>)>, Why> {
    let starts = site.starts.iter().filter(|start| **start < site.address);
    let runs = starts.filter_map(|&start| {
        let run = code::run(&site.window, start, site.address, Through::Code)?;
        Some((start, run))
    });
    let Some((from, run)) = runs.min_by_key(|(start, _)| *start) else { return Ok(None) };
    // Each start behind that one has to be met. One from which decoding does not lead here, too:
    // somebody does execute these bytes.
    let met = |start: u64| run.iter().any(|instruction| instruction.ip() == start);
    match site.starts.iter().find(|start| (from..site.address).contains(start) && !met(**start)) {
        Some(&at) => Err(Why::Ambiguous { at }),
        None => Ok(Some((from, run))),
    }
}

/// Instructions with room for a long jump, the last one first, then those with room for a short
/// one.
fn decoded_leads(site: &Site, from: u64, run: &[Instruction]) -> Vec<Result<Lead, Why>> {
    let plain =
        |one: &&Instruction| one.flow_control() == FlowControl::Next && site.address - one.ip() <= BEFORE as u64;
    let plain = run.iter().rev().take_while(plain).count();
    let run = &run[run.len() - plain..];
    let lead = |at: usize| {
        let lead = Lead { run: run[at..].to_vec(), proof: Proof::Decoded { from }, kept: 0 };
        let inside = site.starts.iter().find(|start| (lead.start() + 1..lead.end()).contains(start));
        inside.map_or(Ok(lead), |&at| Err(Why::Ambiguous { at }))
    };
    let long = (0..run.len()).rev().filter(|&at| run[at].len() >= 5);
    let short = (0..run.len()).rev().filter(|&at| (2..5).contains(&run[at].len()));
    long.chain(short).map(lead).collect()
}

/// The instruction `back` bytes before the `syscall`, if it looks like one that loads a number.
fn by_registers(site: &Site, back: u64) -> Option<Result<Lead, Why>> {
    let start = site.address.checked_sub(back)?;
    let bytes = site.window.from(start)?;
    let (loaded, length, kept) = match *bytes {
        [0xb8, a, b, c, d, ..] => (u64::from(u32::from_le_bytes([a, b, c, d])), 5, 0),
        [0x48, 0xc7, 0xc0, a, b, c, d, ..] => (i64::from(i32::from_le_bytes([a, b, c, d])) as u64, 7, 1),
        // It sets flags, which say more than a zero does.
        [0x31 | 0x33, 0xc0, ..] if back == 2 => (0, 2, 0),
        _ => return None,
    };
    let run = code::run(&site.window, start, site.address, Through::Plain)?;
    let mut factory = InstructionInfoFactory::new();
    if run[0].len() != length || run[1..].iter().any(|one| written(&mut factory, one) & 1 != 0) {
        return None;
    }
    let had = site.registers.number();
    Some(if loaded != had {
        Err(Why::OtherNumber { loaded, had })
    } else if length == 2 && site.registers.flags & STATUS != ZERO {
        Err(Why::OtherFlags)
    } else if !site.window.reaches_behind(start) {
        Err(Why::Clipped)
    } else if let Some(at) = other_reading(site, &run[0], kept) {
        Err(Why::Ambiguous { at })
    } else {
        Ok(Lead { run, proof: Proof::Registers, kept })
    })
}

/// All status flags, as iced numbers them.
const OSZAPC: u32 = RflagsBits::OF | RflagsBits::SF | RflagsBits::ZF | RflagsBits::AF | RflagsBits::PF | RflagsBits::CF;
/// The carry, parity, zero, sign and overflow flags, and what they are when a result is zero.
const STATUS: u64 = 0x1 | 0x4 | 0x40 | 0x80 | 0x800;
const ZERO: u64 = 0x4 | 0x40;

/// An instruction that shares bytes with the lead, and from which a thread could have come to the
/// `syscall`, with these registers.
fn other_reading(site: &Site, lead: &Instruction, kept: u64) -> Option<u64> {
    let changed = lead.ip() + kept;
    let earliest = lead.ip().saturating_sub(LONGEST - 1);
    let known = site.starts.iter().copied().filter(|start| (changed + 1..lead.next_ip()).contains(start));
    let read = (earliest..lead.next_ip()).filter(|&at| {
        at != lead.ip() && at != changed && {
            // One that ends before the lead says nothing, what follows it is looked at as well.
            code::at(&site.window, at).is_some_and(|one| one.next_ip() > lead.ip())
                && code::run(&site.window, at, site.address, Through::Anything).is_some_and(|run| {
                    !run.iter().any(|one| one.ip() == changed || one.ip() == lead.ip()) && !refuted(site, &run)
                })
        }
    });
    known.chain(read).next()
}

/// Whether a thread with these registers cannot have executed all of `run` just before the
/// `syscall`.
fn refuted(site: &Site, run: &[Instruction]) -> bool {
    let mut factory = InstructionInfoFactory::new();
    // The registers that still hold what they held behind the instruction: a bit for each. The
    // `syscall` itself overwrites rcx and r11.
    let mut known: u16 = !(1 << 1 | 1 << 11);
    let mut flags_known = true;
    for instruction in run.iter().rev() {
        match instruction.flow_control() {
            FlowControl::Next => {}
            FlowControl::ConditionalBranch => continue,
            // It comes back, if at all, with any registers.
            _ => return false,
        }
        if instruction.is_privileged() || contradicts(instruction, site.registers, known) {
            return true;
        }
        if flags_known && leaves_zero(instruction) && site.registers.flags & STATUS != ZERO {
            return true;
        }
        flags_known &= instruction.rflags_modified() & OSZAPC == 0;
        known &= !written(&mut factory, instruction);
        let memory = factory.info(instruction).used_memory();
        if memory.iter().any(|memory| address(memory, site.registers, known).is_some_and(|at| !(site.accessible)(at))) {
            return true;
        }
    }
    false
}

/// Whether the instruction leaves a constant in a register that holds something else.
fn contradicts(instruction: &Instruction, registers: &Registers, known: u16) -> bool {
    if instruction.op_count() != 2 || instruction.op0_kind() != OpKind::Register {
        return false;
    }
    let register = instruction.op0_register();
    let Some(number) = code::general(register.full_register()).filter(|number| known & (1 << number) != 0) else {
        return false;
    };
    let mask = match register.size() {
        // An instruction on 32 bits clears the upper half.
        4 | 8 => u64::MAX,
        2 => 0xffff,
        _ => return false,
    };
    let cleared = |value: u64| if register.size() == 4 { value & 0xffff_ffff } else { value };
    let same = instruction.op1_kind() == OpKind::Register && instruction.op1_register() == register;
    let left = match instruction.mnemonic() {
        Mnemonic::Mov if instruction.op1_kind() != OpKind::Register && instruction.op1_kind() != OpKind::Memory => {
            instruction.try_immediate(1).ok()
        }
        Mnemonic::Xor | Mnemonic::Sub if same => Some(0),
        _ => None,
    };
    left.is_some_and(|left| (cleared(left) ^ registers.general[number]) & mask != 0)
}

/// Whether the instruction leaves the flags of a zero, whatever it works on.
fn leaves_zero(instruction: &Instruction) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Test | Mnemonic::And => matches!(instruction.try_immediate(1), Ok(0)),
        Mnemonic::Xor | Mnemonic::Sub => {
            instruction.op1_kind() == OpKind::Register
                && instruction.op0_kind() == OpKind::Register
                && instruction.op0_register() == instruction.op1_register()
        }
        _ => false,
    }
}

/// The general registers that the instruction may write to, a bit for each.
fn written(factory: &mut InstructionInfoFactory, instruction: &Instruction) -> u16 {
    let used = factory.info(instruction).used_registers();
    let writes = used.iter().filter(|used| {
        !matches!(used.access(), OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
    });
    writes.filter_map(|used| code::general(used.register().full_register())).fold(0, |all, number| all | 1 << number)
}

/// The address that is certainly accessed, if it follows from known registers.
fn address(memory: &UsedMemory, registers: &Registers, known: u16) -> Option<u64> {
    let certain = matches!(memory.access(), OpAccess::Read | OpAccess::Write | OpAccess::ReadWrite);
    let flat = !matches!(memory.segment(), Register::FS | Register::GS);
    let value = |register: Register| match register {
        Register::None => Some(0),
        _ => {
            code::general(register).filter(|number| known & (1 << number) != 0).map(|number| registers.general[number])
        }
    };
    let base = value(memory.base())?;
    let index = value(memory.index())?.wrapping_mul(u64::from(memory.scale()));
    (certain && flat).then(|| base.wrapping_add(index).wrapping_add(memory.displacement()))
}
