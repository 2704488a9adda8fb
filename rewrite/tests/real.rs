//! The C library's code: each rewrite that is planned there fits what disassembling it says, and
//! nearly all sites can be rewritten.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use object::{Object, ObjectSection, SectionKind};
use std::collections::{BTreeMap, BTreeSet};
use umlab_rewrite::*;

const LIBRARIES: [&str; 4] = [
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib64/libc.so.6",
    "/lib64/ld-linux-x86-64.so.2",
    "/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2",
];

/// The number that is in rax at the end of a run of instructions, as far as it is a constant.
fn number(before: &[Instruction]) -> Option<u64> {
    for instruction in before.iter().rev() {
        if instruction.flow_control() != FlowControl::Next {
            return None;
        }
        if instruction.op_count() > 0
            && instruction.op0_kind() == OpKind::Register
            && instruction.op0_register().full_register() == Register::RAX
            && !matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push)
        {
            let zero =
                instruction.mnemonic() == Mnemonic::Xor && instruction.op0_register() == instruction.op1_register();
            let constant = matches!(instruction.code(), Code::Mov_r32_imm32 | Code::Mov_rm64_imm32);
            return if zero { Some(0) } else { constant.then(|| instruction.immediate(1)) };
        }
    }
    None
}

#[test]
fn of_the_c_library_nearly_all_sites_are_rewritten() {
    for library in LIBRARIES {
        let Ok(file) = std::fs::read(library) else { continue };
        let object = object::File::parse(&*file).unwrap();
        let (mut sites, mut constant, mut done) = (0, 0, 0);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for section in object.sections().filter(|section| section.kind() == SectionKind::Text) {
            let (start, bytes) = (section.address(), section.data().unwrap());
            let decoder = Decoder::with_ip(64, bytes, start, DecoderOptions::NONE);
            let code: Vec<Instruction> = decoder.into_iter().collect();
            let starts: BTreeSet<u64> = code.iter().map(Instruction::ip).collect();
            for (index, call) in code.iter().enumerate().filter(|(_, one)| one.code() == Code::Syscall) {
                sites += 1;
                let Some(number) = number(&code[..index]) else { continue };
                constant += 1;
                let mut registers =
                    Registers { general: [0x7fff_1234_5670; 16], flags: if number == 0 { 0x246 } else { 0x202 } };
                registers.general[0] = number;
                let site = Site {
                    address: call.ip(),
                    window: Window::first(start, bytes),
                    registers: &registers,
                    starts: &[],
                    text: Text::Private,
                    accessible: &|at| (0x7fff_1234_0000..0x7fff_1235_0000).contains(&at),
                };
                let room = Room::near(0x4000_0000..0x4001_0000);
                let what = match plan(&site, &room, 0x1234) {
                    Ok(rewrite) => {
                        done += 1;
                        for change in rewrite.patch().changes() {
                            let at = change.address;
                            assert!(starts.contains(&at) || starts.contains(&(at - 1)), "{library}: {at:#x}");
                        }
                        let code = rewrite.patch().code();
                        assert!(starts.contains(&code.start), "{library}: {code:x?}");
                        let form = rewrite.form();
                        if code.end - code.start == 7 { format!("{form:?}") } else { format!("{form:?}, other") }
                    }
                    Err(why) => {
                        println!("{:#x}: {why}", call.ip());
                        format!("{why:?}").split([' ', '{']).next().unwrap().to_owned()
                    }
                };
                *counts.entry(what).or_default() += 1;
            }
        }
        println!("{library}: {sites} sites, {constant} with a constant number, {done} rewritten: {counts:?}");
        assert!(constant < 20 || done * 10 >= constant * 8, "{library}: {done} of {constant}");
    }
}
