//! Reading instructions from a window.

use crate::site::Window;
use iced_x86::{ConstantOffsets, Decoder, DecoderOptions, FlowControl, Instruction, Register};

/// How long an instruction can be.
pub(crate) const LONGEST: u64 = 15;
/// The bytes of `syscall`.
pub(crate) const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// What the decoding of a run of instructions goes through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    /// Instructions that always go on with the next one: what can be moved.
    Plain,
    /// Also conditional jumps and calls, behind which compilers put code.
    Code,
    /// All that can possibly go on with the next one.
    Anything,
}

impl Through {
    fn passes(self, instruction: &Instruction) -> bool {
        match instruction.flow_control() {
            FlowControl::Next => true,
            FlowControl::ConditionalBranch | FlowControl::Call | FlowControl::IndirectCall => self != Self::Plain,
            FlowControl::UnconditionalBranch
            | FlowControl::IndirectBranch
            | FlowControl::Return
            | FlowControl::Exception => false,
            FlowControl::Interrupt | FlowControl::XbeginXabortXend => self == Self::Anything,
        }
    }
}

/// The instruction at an address, if it is one and is in the window as a whole.
pub(crate) fn at(window: &Window, address: u64) -> Option<Instruction> {
    at_with_offsets(window, address).map(|(instruction, _)| instruction)
}

/// The same, and where in it its constants are.
pub(crate) fn at_with_offsets(window: &Window, address: u64) -> Option<(Instruction, ConstantOffsets)> {
    let bytes = window.from(address)?;
    let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
    let instruction = decoder.can_decode().then(|| decoder.decode())?;
    let offsets = decoder.get_constant_offsets(&instruction);
    (!instruction.is_invalid()).then_some((instruction, offsets))
}

/// Whether processors differ in the length of the instruction: a near jump or call with an operand
/// size prefix.
fn is_doubtful(window: &Window, instruction: &Instruction) -> bool {
    let near = instruction.is_jcc_near() || instruction.is_jmp_near() || instruction.is_call_near();
    let is_prefix = |byte: &u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x66 | 0xf2 | 0xf3);
    near && window.from(instruction.ip()).is_some_and(|bytes| {
        let mut prefixes = bytes.iter().take_while(|byte| is_prefix(byte));
        prefixes.any(|byte| *byte == 0x66)
    })
}

/// The instructions from one address to exactly another, if decoding leads there.
pub(crate) fn run(window: &Window, from: u64, to: u64, through: Through) -> Option<Vec<Instruction>> {
    let mut run = Vec::new();
    let mut next = from;
    while next < to {
        let instruction = at(window, next).filter(|instruction| through.passes(instruction))?;
        if through != Through::Anything && is_doubtful(window, &instruction) {
            return None;
        }
        next = instruction.next_ip();
        run.push(instruction);
    }
    (next == to).then_some(run)
}

/// The number of a general register of 64 bits in the order of encoding.
pub(crate) fn general(register: Register) -> Option<usize> {
    register.is_gpr64().then(|| register.number())
}

/// Where the padding ends that begins at `from`: instructions that do nothing, or breakpoints.
pub(crate) fn padding(window: &Window, from: u64) -> u64 {
    use iced_x86::Mnemonic::{Int3, Nop};
    let mut end = from;
    while let Some(instruction) = at(window, end).filter(|one| matches!(one.mnemonic(), Nop | Int3)) {
        end = instruction.next_ip();
    }
    end
}

/// Where the first instruction from `from` on ends that never goes on with the next one.
pub(crate) fn end_of_flow(window: &Window, from: u64) -> Option<u64> {
    let mut next = from;
    loop {
        let instruction = at(window, next).filter(|instruction| !is_doubtful(window, instruction))?;
        next = instruction.next_ip();
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::ConditionalBranch => {}
            FlowControl::Return | FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => return Some(next),
            _ => return None,
        }
    }
}
