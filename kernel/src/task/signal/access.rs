//! What a faulting instruction was about: the host tells where an access failed, but seldom whether
//! it was a read or a write, and of other exceptions not the error code. A signal frame has to say
//! (Intel SDM volume 3, "Page-Fault Exception": bit 1).

use iced_x86::{
    CpuidFeature, Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register,
};
use umlab_model::Regs;

/// The length of the longest instruction.
pub const MAX_INSTRUCTION: usize = 15;

/// Whether the instruction that begins `code` writes what it accesses at `addr`. None when it is no
/// instruction that is known, or accesses nothing there.
pub fn writes_at(code: &[u8], regs: &Regs, addr: u64) -> Option<bool> {
    let instruction = decode(code, regs);
    if instruction.is_invalid() {
        return None;
    }
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(&instruction);
    let mut found = None;
    for memory in info.used_memory() {
        // Instructions like xsave do not tell their operand's size: it is taken as a page.
        let size = match memory.memory_size().size() as u64 {
            0 => 4096,
            size => size,
        };
        let Some(start) = memory.virtual_address(0, |register, _, _| value_of(register, regs)) else { continue };
        // An operand that does not lie in the address space whole faults at whatever address the
        // processor likes.
        if addr.wrapping_sub(start) < size {
            let writes = matches!(
                memory.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            );
            found = Some(found.unwrap_or(false) || writes);
        }
    }
    found
}

/// The error code of a general protection exception at this instruction, as far as the instruction
/// has it: a selector, or a gate's number (Intel SDM volume 3, "Error Code").
pub fn protection_error(code: &[u8], regs: &Regs) -> u64 {
    const OF_A_GATE: u64 = 2;
    let instruction = decode(code, regs);
    match instruction.mnemonic() {
        Mnemonic::Int => u64::from(instruction.immediate8()) << 3 | OF_A_GATE,
        Mnemonic::Mov if instruction.op0_register().is_segment_register() => {
            value_of(instruction.op1_register(), regs).unwrap_or(0) & 0xfffc
        }
        _ => 0,
    }
}

/// Whether the instruction is one of the x87's, whose errors are another exception than those of
/// SSE.
pub fn is_x87(code: &[u8], regs: &Regs) -> bool {
    let instruction = decode(code, regs);
    instruction.mnemonic() == Mnemonic::Wait
        || instruction
            .cpuid_features()
            .iter()
            .any(|f| matches!(f, CpuidFeature::FPU | CpuidFeature::FPU287 | CpuidFeature::FPU387))
}

fn decode(code: &[u8], regs: &Regs) -> Instruction {
    let bitness = if regs.cs == abi::USER32_CS { 32 } else { 64 };
    Decoder::with_ip(bitness, code, regs.rip, DecoderOptions::NONE).decode()
}

/// A register as part of an address. Segments other than fs and gs have no base in 64-bit code, nor
/// in ours with 32 bits.
fn value_of(register: Register, regs: &Regs) -> Option<u64> {
    let full = match register.full_register() {
        Register::RAX => regs.rax,
        Register::RBX => regs.rbx,
        Register::RCX => regs.rcx,
        Register::RDX => regs.rdx,
        Register::RSI => regs.rsi,
        Register::RDI => regs.rdi,
        Register::RBP => regs.rbp,
        Register::RSP => regs.rsp,
        Register::R8 => regs.r8,
        Register::R9 => regs.r9,
        Register::R10 => regs.r10,
        Register::R11 => regs.r11,
        Register::R12 => regs.r12,
        Register::R13 => regs.r13,
        Register::R14 => regs.r14,
        Register::R15 => regs.r15,
        Register::FS => regs.fs_base,
        Register::GS => regs.gs_base,
        Register::CS | Register::DS | Register::ES | Register::SS => 0,
        _ => return None,
    };
    Some(if register.size() == 4 && !register.is_segment_register() { full & 0xffff_ffff } else { full })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regs() -> Regs {
        let mut regs: Regs = crate::mm::user::zeroed();
        (regs.cs, regs.rip, regs.rsp, regs.rdi, regs.rsi, regs.fs_base) =
            (0x33, 0x1000, 0x8000, 0x5000, 0x6000, 0x7000);
        regs
    }

    #[test]
    fn moves_write_their_destination() {
        // mov [rdi], al; mov al, [rdi + 4]; movsb; mov fs:[8], eax
        assert_eq!(writes_at(&[0x88, 0x07], &regs(), 0x5000), Some(true));
        assert_eq!(writes_at(&[0x8a, 0x47, 4], &regs(), 0x5004), Some(false));
        assert_eq!(writes_at(&[0xa4], &regs(), 0x5000), Some(true));
        assert_eq!(writes_at(&[0xa4], &regs(), 0x6000), Some(false));
        assert_eq!(writes_at(&[0x64, 0x89, 0x04, 0x25, 8, 0, 0, 0], &regs(), 0x7008), Some(true));
    }

    #[test]
    fn reading_and_writing_is_writing() {
        // lock xadd [rdi], rax; inc byte ptr [rdi]; push rax; call [rdi]
        assert_eq!(writes_at(&[0xf0, 0x48, 0x0f, 0xc1, 0x07], &regs(), 0x5000), Some(true));
        assert_eq!(writes_at(&[0xfe, 0x07], &regs(), 0x5000), Some(true));
        assert_eq!(writes_at(&[0x50], &regs(), 0x7ff8), Some(true));
        assert_eq!(writes_at(&[0xff, 0x17], &regs(), 0x5000), Some(false));
        assert_eq!(writes_at(&[0xff, 0x17], &regs(), 0x7ff8), Some(true));
    }

    #[test]
    fn an_operand_across_two_pages_is_found_in_the_second() {
        // movups [rdi], xmm0
        let regs = Regs { rdi: 0x5ff8, ..regs() };
        assert_eq!(writes_at(&[0x0f, 0x11, 0x07], &regs, 0x6000), Some(true));
    }

    #[test]
    fn exceptions_have_what_the_instruction_names() {
        // int 0x20; mov fs, edi; hlt
        assert_eq!(protection_error(&[0xcd, 0x20], &regs()), 0x102);
        assert_eq!(protection_error(&[0x8e, 0xe7], &Regs { rdi: 0x71237, ..regs() }), 0x1234);
        assert_eq!(protection_error(&[0xf4], &regs()), 0);
        // fwait; fdivp; divsd xmm0, xmm1
        assert_eq!(
            [&[0x9b][..], &[0xde, 0xf9], &[0xf2, 0x0f, 0x5e, 0xc1]].map(|c| is_x87(c, &regs())),
            [true, true, false]
        );
    }

    #[test]
    fn what_is_no_access_there_is_unknown() {
        assert_eq!(writes_at(&[0x88, 0x07], &regs(), 0x9000), None);
        assert_eq!(writes_at(&[0x06], &regs(), 0x5000), None);
        assert_eq!(writes_at(&[], &regs(), 0x5000), None);
        assert_eq!(writes_at(&[0xf3], &regs(), 0x5000), None);
    }
}
