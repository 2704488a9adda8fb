//! Code that is random, or made of pieces that look like leads: nothing panics, and what is planned
//! holds when it is decoded again.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind};
use umlab_rewrite::*;

const ENTRY: u64 = 0x7fff_0000_1234;

/// Numbers from a seed (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.next() as u8).collect()
    }
}

/// Pieces of code, `n` is the number of the call.
fn piece(random: &mut Random, n: u64) -> Vec<u8> {
    let number = (n as u32).to_le_bytes();
    match random.below(12) {
        0..=2 => [&[0xb8][..], &number].concat(),
        3 => [&[0x48, 0xc7, 0xc0][..], &number].concat(),
        4 => vec![0x31, 0xc0],
        5 => vec![random.one_of(&[0x00, 0x41, 0x48, 0x66, 0x81, 0xc7, 0xf6, 0x0f, 0xe9, 0x74, 0x65])],
        6 => vec![0x0f, 0x05],
        7 => {
            random.one_of(&[&[0xc3][..], &[0x90], &[0x0f, 0x1f, 0x44, 0, 0], &[0xcc; 8], &[0x48, 0x89, 0xf8]]).to_vec()
        }
        8 => [&[0x48, 0x8d, 0x35][..], &(random.next() as u32 >> 8).to_le_bytes()].concat(),
        9 => vec![0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, 0x73, 0x01, 0xc3],
        10 => vec![0; random.below(4) as usize],
        _ => random.bytes(6),
    }
}

fn decode(bytes: &[u8], at: u64) -> Vec<Instruction> {
    Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).into_iter().collect()
}

/// Where a jump goes: directly, or the place where its target stands.
fn jump(bytes: &[u8], at: u64) -> u64 {
    let jump = decode(bytes, at)[0];
    match jump.code() {
        Code::Jmp_rel32_64 | Code::Jmp_rel8_64 => jump.near_branch64(),
        Code::Jmp_rm64 => jump.memory_displacement64(),
        other => panic!("{other:?}"),
    }
}

fn check(rewrite: &Rewrite, start: u64, code: &[u8], site: &Site) {
    let bytes = |range: std::ops::Range<u64>| &code[(range.start - start) as usize..(range.end - start) as usize];
    let (patch, detour) = (rewrite.patch(), rewrite.detour());
    // All of it as it would be written.
    let mut patched = code.to_vec();
    for change in patch.changes() {
        assert_eq!(bytes(change.range()), change.old);
        assert_eq!(change.old.len(), change.new.len());
        patched[(change.address - start) as usize..][..change.new.len()].copy_from_slice(&change.new);
    }
    let patched = |at: u64| &patched[(at - start) as usize..];
    assert!(patched(site.address).starts_with(&[0x0f, 0x05]));
    let run = decode(bytes(patch.code()), patch.code().start);
    let (call, run) = run.split_last().unwrap();
    assert_eq!((call.ip(), call.code()), (site.address, Code::Syscall));
    let lead = run[0];
    assert!(run.iter().all(|one| one.flow_control() == FlowControl::Next));
    assert_eq!(patch.code().start / 4096, (patch.code().end - 1) / 4096);
    if rewrite.proof() == Proof::Registers {
        let loaded = if lead.op1_kind() == OpKind::Register { 0 } else { lead.immediate(1) };
        assert_eq!(loaded, site.registers.number());
    }
    // What is changed is of the lead, or is never executed.
    let changes: Vec<_> = patch.changes().collect();
    let first = changes[0].range();
    assert!(lead.ip() <= first.start && first.end <= lead.next_ip());
    let mut target = jump(patched(first.start), first.start);
    // The same from the prefix on.
    assert_eq!(jump(patched(lead.ip()), lead.ip()), target);
    if let Some(second) = changes.get(1) {
        assert_eq!((rewrite.form(), target), (Form::Short, second.address));
        assert!(second.address >= patch.code().end);
        assert!(
            decode(&second.old, second.address)
                .iter()
                .all(|one| { one.is_invalid() || matches!(one.mnemonic(), Mnemonic::Nop | Mnemonic::Int3) })
        );
        target = jump(patched(second.address), second.address);
    }
    match detour.slot() {
        Some(slot) => assert_eq!((target, slot.target), (slot.address, detour.address())),
        None => assert_eq!(target, detour.address()),
    }
    // The detour does the same as the code.
    let moved = decode(detour.code(), detour.address());
    for (there, here) in moved.iter().zip(run) {
        assert_eq!(detour.original(there.ip()), Some(Original::Before(here.ip())));
        assert_eq!((there.code(), there.op0_kind(), there.len()), (here.code(), here.op0_kind(), here.len()));
        assert_eq!(there.memory_displacement64(), here.memory_displacement64());
    }
    let [ret, out] = [moved[run.len()], moved[run.len() + 1]];
    assert_eq!((ret.code(), ret.immediate(1)), (Code::Mov_r64_imm64, site.address + 2));
    assert_eq!((out.code(), out.memory_displacement64()), (Code::Jmp_rm64, out.next_ip()));
    assert_eq!(detour.original(out.ip()), Some(Original::Call(site.address)));
    assert!(detour.code().ends_with(&ENTRY.to_le_bytes()));
    // It is taken back whole.
    let mut copy = patched(start).to_vec();
    patch.restore(start, &mut copy);
    assert_eq!(copy, code);
    let mut set = Patches::new(1);
    set.insert(rewrite.clone()).unwrap();
    for ip in start..start + code.len() as u64 {
        let spot = set.locate(ip).map(|(_, spot)| spot);
        let within = changes.iter().any(|change| change.range().contains(&ip)) || ip == lead.ip();
        assert!(within || spot.is_none(), "{ip:#x}: {spot:?}");
    }
}

#[test]
fn what_is_planned_holds_when_it_is_decoded_again() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut done, mut refused) = ([0; 6], 0);
    for round in 0..150_000u64 {
        let n = if random.below(4) == 0 { 0 } else { random.below(460) };
        let pieces = random.below(10);
        let mut code = random.bytes(20);
        if round % 4 == 0 {
            code.extend(random.bytes(100));
        } else {
            (0..pieces).for_each(|_| code.extend(piece(&mut random, n)));
        }
        let short = n == 0 && random.below(2) == 0;
        code.extend(if short { &[0x31, 0xc0][..] } else { &[] });
        let offset = code.len();
        code.extend([0x0f, 0x05]);
        if short {
            code.extend([0xc3]);
            let padding = random.below(16);
            (0..padding).for_each(|_| code.push(random.one_of(&[0x90, 0xcc])));
        }
        (0..random.below(8)).for_each(|_| code.extend(piece(&mut random, n)));
        let start = match random.below(20) {
            0 => random.next() << 8 | random.next() & 0xff,
            1 => u64::MAX - random.below(200),
            2 => random.below(200),
            _ => 0x7000_0000_0000 + random.below(0x1_0000),
        };
        let address = start.wrapping_add(offset as u64);
        let general = std::array::from_fn(|_| random.one_of(&[0, 1, n, 0x7000_0000_0000, 39]));
        let mut registers = Registers { general, flags: random.one_of(&[0x246, 0x202]) };
        registers.general[0] = n;
        let known = if random.below(2) == 0 { 0 } else { random.below(3) };
        let starts: Vec<u64> = (0..known).map(|_| start.wrapping_add(random.below(offset as u64 + 20))).collect();
        let window = if random.below(2) == 0 { Window::new(start, &code) } else { Window::first(start, &code) };
        let accessible: &dyn Fn(u64) -> bool = if random.below(3) == 0 { &|_| true } else { &|at| at >= 0x1_0000 };
        let text = Text::Private;
        let site = Site { address, window, registers: &registers, starts: &starts, text, accessible };
        let detours = match random.below(4) {
            0 => random.next() << 8..u64::MAX,
            1 => 0x10_0000..0x20_0000,
            _ => start.wrapping_add(0x1_0000)..start.wrapping_add(0x2_0000),
        };
        let slots = random.one_of(&[(0, 0), (TABLE.start, TABLE.end), (0x6000_0000, 0x6100_0000), (0, u64::MAX)]);
        let room = Room::with_table(detours, slots.0..slots.1);
        match plan(&site, &room, ENTRY) {
            Ok(rewrite) => {
                check(&rewrite, start, &code, &site);
                let decoded = usize::from(rewrite.proof() != Proof::Registers);
                done[rewrite.form() as usize * 2 + decoded] += 1;
            }
            Err(_) => refused += 1,
        }
    }
    println!("{done:?} planned (near, table, short; by registers and decoded), {refused} refused");
    assert!(done.iter().all(|count| *count > 30), "{done:?}");
}

/// A thread executed one instruction that ends in the bytes of `mov $n,%eax`, and then the call.
/// What it left in registers, if anything is known of it, is there.
#[test]
fn what_was_executed_is_not_overwritten() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut tried = 0;
    for _ in 0..400_000 {
        let n = random.below(460) as u32;
        let mut code = vec![0xcc; 16];
        let prefix = random.one_of(&[&[][..], &[0x48], &[0x41], &[0x49], &[0x66], &[0x0f]]);
        let mut bytes = [prefix, &random.bytes(6)].concat();
        let kind = random.below(3);
        bytes.extend(if kind == 0 { &[0x48, 0xc7, 0xc0][..] } else { &[0xb8] });
        bytes.extend(n.to_le_bytes());
        let start = 0x7000_0000_0000;
        let executed = decode(&bytes, start + 16)[0];
        let signature = bytes.len() - if kind == 0 { 7 } else { 5 };
        let goes_on = matches!(executed.flow_control(), FlowControl::Next | FlowControl::ConditionalBranch);
        if signature == 0
            || executed.is_invalid()
            || executed.len() != bytes.len()
            || !goes_on
            || executed.is_privileged()
        {
            continue;
        }
        let mut registers = Registers { general: std::array::from_fn(|_| random.next()), flags: 0x202 };
        let register = executed.op0_register();
        let constant = executed.op0_kind() == OpKind::Register && executed.op_count() == 2;
        let moved = (executed.mnemonic() == Mnemonic::Mov && constant).then(|| executed.try_immediate(1).ok());
        if let Some(value) = moved.flatten() {
            let all = &mut registers.general[register.full_register().number()];
            match register.size() {
                8 => *all = value,
                4 => *all = value & 0xffff_ffff,
                2 => *all = *all & !0xffff | value & 0xffff,
                _ => {}
            }
        }
        if matches!(executed.mnemonic(), Mnemonic::Test | Mnemonic::And | Mnemonic::Xor | Mnemonic::Sub) {
            registers.flags = 0x246;
        }
        registers.general[0] = n.into();
        code.extend(&bytes);
        let address = start + code.len() as u64;
        code.extend([0x0f, 0x05, 0xc3]);
        let window = Window::new(start, &code);
        let accessible = &|_| true;
        let site = Site { address, window, registers: &registers, starts: &[], text: Text::Private, accessible };
        tried += 1;
        let planned = plan(&site, &Room::near(start + 0x1_0000..start + 0x2_0000), ENTRY);
        assert!(planned.is_err(), "{bytes:x?}: {executed:?}: {planned:x?}");
    }
    println!("{tried} tried");
    assert!(tried > 1000);
}
