//! Each form, and each hazard.

use crate::*;

/// Where the code of these tests begins.
const CODE: u64 = 0x7000_0000_1000;
const ENTRY: u64 = 0x1122_3344_5566_7788;
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// `cmp $-4095,%rax; jae +1; ret`, as in the C library.
const AFTERWARDS: [u8; 9] = [0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, 0x73, 0x01, 0xc3];

/// Code with one `syscall`, and all that is known of it.
#[derive(Clone)]
struct Case {
    code: Vec<u8>,
    site: u64,
    registers: Registers,
    starts: Vec<u64>,
    text: Text,
    /// Nothing can be accessed below.
    lowest: u64,
    room: Room,
}

impl Case {
    /// `before`, a `syscall` with number `number`, and `after`. Before all there is code that says
    /// nothing: breakpoints.
    fn new(number: u64, before: &[u8], after: &[u8]) -> Self {
        let mut code = vec![0xcc; 16];
        code.extend(before);
        let site = CODE + code.len() as u64;
        code.extend(SYSCALL);
        code.extend(after);
        let mut registers = Registers { flags: 0x246, general: [0x5555_0000_0000; 16] };
        registers.general[0] = number;
        Self {
            code,
            site,
            registers,
            starts: Vec::new(),
            text: Text::Private,
            lowest: 0x1_0000,
            room: Room::near(CODE + 0x10_0008..CODE + 0x10_1000),
        }
    }

    fn plan(&self) -> Result<Rewrite, Why> {
        let window = Window::new(CODE, &self.code);
        let Self { site: address, ref registers, ref starts, text, lowest, .. } = *self;
        let accessible = &move |at| at >= lowest;
        plan(&Site { address, window, registers, starts, text, accessible }, &self.room, ENTRY)
    }

    fn with(self, change: impl FnOnce(&mut Self)) -> Self {
        let mut case = self;
        change(&mut case);
        case
    }

    /// The code after the patch.
    fn patched(&self, rewrite: &Rewrite) -> Vec<u8> {
        let mut code = self.code.clone();
        for change in rewrite.patch().changes() {
            let at = (change.address - CODE) as usize;
            assert_eq!(&code[at..at + change.old.len()], change.old);
            code[at..at + change.new.len()].copy_from_slice(&change.new);
        }
        code
    }
}

/// `mov $number,%eax`.
fn mov(number: u32) -> Vec<u8> {
    let mut code = vec![0xb8];
    code.extend(number.to_le_bytes());
    code
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn a_load_of_the_number_becomes_a_jump_and_the_call_stays() {
    let case = Case::new(39, &mov(39), &AFTERWARDS);
    let rewrite = case.plan().unwrap();
    assert_eq!((rewrite.form(), rewrite.proof()), (Form::Near, Proof::Registers));
    let detour = CODE + 0x10_0010;
    let distance = (detour - case.site) as u32;
    let expected = joined(&[&[0xcc; 16], &[0xe9], &distance.to_le_bytes(), &SYSCALL, &AFTERWARDS]);
    assert_eq!(case.patched(&rewrite), expected);
    assert_eq!(rewrite.detour().address(), detour);
    let code = joined(&[
        &mov(39),
        &[0x48, 0xb9],
        &(case.site + 2).to_le_bytes(),
        &[0xff, 0x25, 0, 0, 0, 0],
        &ENTRY.to_le_bytes(),
    ]);
    assert_eq!(rewrite.detour().code(), code);
}

#[test]
fn a_load_of_64_bits_keeps_its_prefix() {
    let case = Case::new(15, &[0x48, 0xc7, 0xc0, 15, 0, 0, 0], &[]);
    let rewrite = case.plan().unwrap();
    let changes: Vec<_> = rewrite.patch().changes().collect();
    assert_eq!((changes[0].address, changes[0].new[0], changes[0].new.len()), (case.site - 6, 0xe9, 5));
    // SIGILL comes at either address.
    for ip in [case.site - 7, case.site - 6] {
        assert_eq!(rewrite.locate(ip), Some(Spot::First));
    }
    assert!(rewrite.detour().code().starts_with(&[0x48, 0xc7, 0xc0, 15]));
    // A negative number is extended.
    let minus = Case::new(u64::MAX, &[0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff], &[]);
    assert!(minus.plan().is_ok());
    let minus = minus.with(|case| case.registers.general[0] = 0xffff_ffff);
    assert!(minus.plan().is_err());
}

/// `mov $1,%esi`, and after it rsi is 1.
const ONE: [u8; 5] = [0xbe, 1, 0, 0, 0];

/// A call with instructions between the load of its number and itself, the first of them [`ONE`].
fn apart(between: &[u8]) -> Case {
    let before = joined(&[&mov(202), &ONE, between]);
    Case::new(202, &before, &AFTERWARDS).with(|case| case.registers.general[6] = 1)
}

#[test]
fn instructions_between_the_load_and_the_call_are_moved() {
    // lea 0x100(%rip),%rdi.
    let case = apart(&[0x48, 0x8d, 0x3d, 0x00, 0x01, 0, 0]);
    let rewrite = case.plan().unwrap();
    let first = case.site - 17;
    let detour = rewrite.detour().address();
    assert_eq!(rewrite.patch().code(), first..case.site + 2);
    assert_eq!(&rewrite.detour().code()[..10], joined(&[&mov(202), &ONE]));
    // The same address as seen from the detour.
    let distance = i32::from_le_bytes(rewrite.detour().code()[13..17].try_into().unwrap());
    assert_eq!((detour + 17).wrapping_add_signed(distance.into()), case.site + 0x100);
    let originals = [(0, first), (5, first + 5), (10, first + 10), (17, case.site)];
    for (offset, original) in originals {
        assert_eq!(rewrite.detour().original(detour + offset), Some(Original::Before(original)));
    }
    assert_eq!(rewrite.detour().original(detour + 27), Some(Original::Call(case.site)));
    assert_eq!(rewrite.detour().original(detour + 1), None);
    assert_eq!(rewrite.detour().original(detour + 33), None);
    // Whoever jumps to what was moved executes the old bytes.
    assert_eq!(rewrite.locate(first + 5), None);
}

#[test]
fn what_cannot_be_moved_is_not() {
    // A displacement that does not reach its place from the detour.
    let far = apart(&[0x48, 0x8d, 0x3d, 0, 0, 0, 0x80]);
    assert_eq!(far.plan(), Err(Why::OutOfReach));
    // lea 0(%eip),%esi.
    let half = apart(&[0x67, 0x8d, 0x3d, 0, 0, 0, 0]);
    assert_eq!(half.plan(), Err(Why::Immovable { at: half.site - 7 }));
    // Instructions that go elsewhere: je, call, int3, syscall.
    for between in [&[0x74, 0x00][..], &[0xe8, 0, 0, 0, 0], &[0xcc], &SYSCALL] {
        assert_eq!(apart(between).plan(), Err(Why::NoRoom));
    }
    // The number is loaded and changed.
    assert_eq!(apart(&[0x83, 0xc8, 0x00]).plan(), Err(Why::NoRoom));
}

/// `xor %eax,%eax; syscall; cmp; ja; ret` and padding, as in read() of the C library.
fn read() -> Case {
    let padding = [0x0f, 0x1f, 0x44, 0, 0];
    // The padding ends at a multiple of 8.
    let before = [0xcc, 0xcc, 0xcc, 0xcc, 0x74, 0x14, 0x31, 0xc0];
    Case::new(0, &before, &joined(&[&AFTERWARDS, &padding, &[0x48, 0x83, 0xec, 0x28]]))
        .with(|case| assert_eq!((case.site + 2 + 9 + 5) % 8, 0))
}

#[test]
fn a_short_instruction_jumps_to_padding() {
    let case = read();
    let rewrite = case.plan().unwrap();
    assert_eq!((rewrite.form(), rewrite.proof()), (Form::Short, Proof::Registers));
    let patched = case.patched(&rewrite);
    let site = (case.site - CODE) as usize;
    assert_eq!(patched[site - 2..site + 2], [0xeb, 11, 0x0f, 0x05]);
    let second = case.site + 2 + 9;
    let distance = i32::from_le_bytes(patched[site + 12..site + 16].try_into().unwrap());
    assert_eq!((second + 5).wrapping_add_signed(distance.into()), rewrite.detour().address());
    assert_eq!(rewrite.locate(second), Some(Spot::Ours(Original::Before(case.site - 2))));
    assert_eq!(rewrite.locate(case.site - 1), Some(Spot::Inside));
    assert!(matches!(rewrite.patch().release(), Some(Step::Place { address, .. }) if address == second));
}

#[test]
fn padding_has_to_be_certain() {
    let refused = |case: Case| assert_eq!(case.plan(), Err(Why::NoPadding));
    let after = (read().site - CODE) as usize + 2;
    // Too little, code that goes on, a call behind which anything may stand, padding that is known
    // to be executed, and padding that ends anywhere.
    refused(read().with(|case| case.code[after + 10] = 0x90).with(|case| case.code[after + 9] = 0x50));
    refused(read().with(|case| case.code[after + 8] = 0x90));
    refused(read().with(|case| case.code[after..after + 5].copy_from_slice(&[0xe8, 0, 0, 0, 0])));
    refused(read().with(|case| case.starts = vec![case.site + 11]));
    refused(read().with(|case| case.code.insert(after + 9, 0x90)));
    // Out of reach of a short jump.
    refused(read().with(|case| drop(case.code.splice(after..after, [0x90; 128]))));
    // The padding has room for a jump through the table only if it has seven bytes.
    let far = Room::with_table(0x1000..0x2000, TABLE);
    assert_eq!(read().with(|case| case.room = far.clone()).plan(), Err(Why::OutOfReach));
    let longer = read().with(|case| drop(case.code.splice(after + 9..after + 14, [0xcc; 13])));
    let rewrite = longer.with(|case| case.room = far).plan().unwrap();
    assert_eq!((rewrite.form(), rewrite.patch().changes().nth(1).unwrap().new.len()), (Form::Short, 7));
}

#[test]
fn a_zero_has_to_come_from_the_instruction() {
    let flags = read().with(|case| case.registers.flags = 0x202);
    assert_eq!(flags.plan(), Err(Why::OtherFlags));
    let number = read().with(|case| case.registers.general[0] = 1);
    assert_eq!(number.plan(), Err(Why::OtherNumber { loaded: 0, had: 1 }));
    // xor %r8d,%r8d ends in the same bytes: r8 tells them apart.
    let tail = |r8| {
        read().with(|case| {
            let at = (case.site - CODE) as usize - 3;
            case.code[at] = 0x45;
            case.registers.general[8] = r8;
        })
    };
    assert_eq!(tail(0).plan(), Err(Why::Ambiguous { at: tail(0).site - 3 }));
    assert!(tail(1).plan().is_ok());
}

#[test]
fn the_table_leaves_the_call_where_it_is() {
    let table = |case: Case, slots| case.with(|case| case.room = Room::with_table(0x1000..0x2000, slots));
    let case = table(Case::new(39, &mov(39), &AFTERWARDS), TABLE.start + 3..TABLE.end);
    let rewrite = case.plan().unwrap();
    assert_eq!(rewrite.form(), Form::Table);
    assert_eq!(rewrite.detour().slot(), Some(Slot { address: 0x050f_0008, target: 0x1000 }));
    let patched = case.patched(&rewrite);
    assert_eq!(patched[16..25], [0xff, 0x24, 0x25, 0x08, 0x00, 0x0f, 0x05, 0x48, 0x3d]);
    assert_eq!(rewrite.patch().changes().next().unwrap().new.len(), 5);
    // Elsewhere its address would not fit.
    for slots in [0x0600_0000..0x0700_0000, 0x1_050f_0000..0x1_0510_0000, TABLE.end - 7..TABLE.end] {
        assert_eq!(table(Case::new(39, &mov(39), &AFTERWARDS), slots).plan(), Err(Why::OutOfReach));
    }
    // A lead of seven bytes can use any slot in the first 2 GiB, one of six those that end well.
    let known = |before: &[u8]| Case::new(39, before, &[]).with(|case| case.starts = vec![CODE + 16]);
    let lea = [0x48, 0x8d, 0x35, 0, 1, 0, 0];
    let rewrite = table(known(&lea), 0x7fff_fff0..0x9000_0000).plan();
    assert_eq!(rewrite, Err(Why::OutOfReach), "lea cannot be moved so far");
    let seven = [0x48, 0xc7, 0x44, 0x24, 0xf8, 0, 0, 0, 0]; // movq $0,-8(%rsp)
    let rewrite = table(known(&seven), 0x7fff_fff0..0x9000_0000).plan().unwrap();
    assert_eq!(rewrite.patch().changes().next().unwrap().new, [0xff, 0x24, 0x25, 0xf0, 0xff, 0xff, 0x7f]);
    let six = [0x81, 0xc7, 1, 0, 0, 0]; // add $1,%edi
    let rewrite = table(known(&six), 0x0e00_0000..0x1000_0000).plan().unwrap();
    assert_eq!(rewrite.detour().slot().unwrap().address, 0x0f00_0000);
}

#[test]
fn bytes_that_only_look_like_a_load_are_refused() {
    let refused = |number, before: &[u8], registers: &[(usize, u64)]| {
        let case = Case::new(number, before, &AFTERWARDS);
        let case = case.with(|case| registers.iter().for_each(|(at, value)| case.registers.general[*at] = *value));
        let case = case.with(|case| case.registers.flags = if before.ends_with(&[2]) { 0x283 } else { 0x246 });
        assert!(matches!(case.plan(), Err(Why::Ambiguous { .. })), "{before:x?}: {:?}", case.plan());
    };
    // mov $5,%r8d, when both registers hold 5.
    refused(5, &joined(&[&[0x41], &mov(5)]), &[(8, 5)]);
    // movabs $0x00000027b8000000,%rsi, when it holds that.
    refused(39, &joined(&[&[0x48, 0xbe, 0, 0, 0], &mov(39)]), &[(6, 0x27_b800_0000)]);
    // movabs of rcx, which the call has overwritten.
    refused(39, &joined(&[&[0x48, 0xb9, 0, 0, 0], &mov(39)]), &[]);
    // cmpl $39,-0x48000000(%rbx), when rbx points to memory.
    refused(39, &joined(&[&[0x81, 0xbb, 0, 0, 0], &mov(39)]), &[]);
    // testb $0,39*256+0xb8(%rcx), when the flags are those of a zero; rcx is overwritten.
    refused(39, &joined(&[&[0xf6, 0x81], &mov(39)]), &[]);
    // cmp %edi,39(%rax), when rax points to memory: a number that no program uses.
    refused(0x27_0000, &joined(&[&[0x39], &mov(0x27_0000)]), &[]);
    // The same two, when what comes before the call has changed the flags, or the register.
    refused(39, &joined(&[&[0xf6, 0x81], &mov(39), &ONE, &[0x83, 0xfe, 0x02]]), &[(6, 1)]);
    refused(5, &joined(&[&[0x41], &mov(5), &ONE, &[0x49, 0x89, 0xd0]]), &[(6, 1)]);
    // A prefix, which may also be the end of what stands before.
    refused(39, &joined(&[&[0x65], &mov(39)]), &[]);
    // An instruction inside of the number: enter $0,$0.
    refused(200, &mov(200), &[]);
}

#[test]
fn registers_refute_other_readings() {
    let number = 39;
    let accepted = |before: &[u8], change: &dyn Fn(&mut Case)| {
        let case = Case::new(number, before, &AFTERWARDS).with(change);
        let rewrite = case.plan().unwrap_or_else(|why| panic!("{before:x?}: {why}"));
        assert_eq!(rewrite.patch().code().start, case.site - 5);
    };
    // Padding that ends in a zero: add %bh,39(%rax) would access page 0, if that is none.
    let padding = joined(&[&[0x0f, 0x1f, 0x40, 0x00], &mov(39)]);
    accepted(&padding, &|_| ());
    let case = Case::new(39, &padding, &AFTERWARDS).with(|case| case.lowest = 0);
    assert!(matches!(case.plan(), Err(Why::Ambiguous { .. })));
    // The same, known to be padding.
    accepted(&padding, &|case| (case.lowest, case.starts) = (0, vec![CODE + 16]));
    // mov $39,%r8d, when r8 holds another value.
    accepted(&joined(&[&[0x41], &mov(39)]), &|_| ());
    // testb $0,0x27b8(%rcx) would have left other flags.
    accepted(&joined(&[&[0xf6, 0x81], &mov(39)]), &|case| case.registers.flags = 0x202);
    // cli is not for user code: endbr64 ends with its byte, and others do.
    accepted(&joined(&[&[0xf3, 0x0f, 0x1e, 0xfa], &mov(39)]), &|_| ());
}

#[test]
fn jumps_to_the_call_keep_it() {
    // Another number than the one loaded: somebody jumped.
    let case = Case::new(40, &mov(39), &AFTERWARDS);
    assert_eq!(case.plan(), Err(Why::OtherNumber { loaded: 39, had: 40 }));
    // After the patch the call is no part of it.
    let case = Case::new(39, &mov(39), &AFTERWARDS);
    let rewrite = case.plan().unwrap();
    assert_eq!(rewrite.locate(case.site), None);
    assert_eq!(rewrite.locate(case.site + 2), None);
    assert_eq!(rewrite.locate(case.site - 5), Some(Spot::First));
    for inside in 1..5 {
        assert_eq!(rewrite.locate(case.site - inside), Some(Spot::Inside));
    }
    // glibc's syscall(): the number is computed.
    let computed = [0x48, 0x89, 0xf8, 0x4c, 0x8b, 0x4c, 0x24, 0x08];
    assert_eq!(Case::new(39, &computed, &AFTERWARDS).plan(), Err(Why::NoRoom));
}

#[test]
fn a_known_start_allows_any_instruction_with_room() {
    // mov %rdi,%rax; mov 8(%rsp),%r9; syscall
    let computed = [0x48, 0x89, 0xf8, 0x4c, 0x8b, 0x4c, 0x24, 0x08];
    let known = |starts: &[u64]| Case::new(39, &computed, &AFTERWARDS).with(|case| case.starts = starts.to_vec());
    let rewrite = known(&[CODE + 16]).plan().unwrap();
    assert_eq!(rewrite.proof(), Proof::Decoded { from: CODE + 16 });
    assert_eq!(rewrite.patch().code().start, CODE + 19);
    // Starts that contradict each other, or the instruction.
    assert_eq!(known(&[CODE + 16, CODE + 18]).plan(), Err(Why::Ambiguous { at: CODE + 18 }));
    assert_eq!(known(&[CODE + 16, CODE + 21]).plan(), Err(Why::Ambiguous { at: CODE + 21 }));
    // A start from which decoding does not lead to the call: breakpoints are before it.
    assert_eq!(known(&[CODE + 1]).plan(), Err(Why::NoRoom));
    // Decoding goes on behind conditional jumps and calls, but these are not moved.
    let call = joined(&[&[0xe8, 0, 0, 0, 0], &[0x74, 0], &mov(39)]);
    let rewrite = Case::new(39, &call, &[]).with(|case| case.starts = vec![CODE + 16]).plan().unwrap();
    assert_eq!(rewrite.patch().code().start, CODE + 16 + 7);
    let branch = joined(&[&mov(39), &[0x74, 0]]);
    assert_eq!(Case::new(39, &branch, &[]).with(|case| case.starts = vec![CODE + 16]).plan(), Err(Why::NoRoom));
    // A known start within the bytes of a load says that it is none.
    let inside = Case::new(39, &mov(39), &[]).with(|case| case.starts = vec![CODE + 18]);
    assert_eq!(inside.plan(), Err(Why::Ambiguous { at: CODE + 18 }));
}

#[test]
fn clipped_windows_are_refused() {
    let case = Case::new(39, &mov(39), &AFTERWARDS);
    let plan = |window: Window| {
        let Case { site: address, ref registers, text, lowest, .. } = case;
        plan(&Site { address, window, registers, starts: &[], text, accessible: &|at| at >= lowest }, &case.room, ENTRY)
    };
    for skipped in 0..case.code.len() {
        let (start, code) = (CODE + skipped as u64, &case.code[skipped..]);
        let rest = plan(Window::new(start, code));
        match skipped {
            0..=2 => assert!(rest.is_ok()),
            3..=16 => assert_eq!(rest, Err(Why::Clipped)),
            17..=21 => assert_eq!(rest, Err(Why::NoRoom)),
            _ => assert_eq!(rest, Err(Why::NoSyscall)),
        }
        // The beginning of all code.
        assert_eq!(plan(Window::first(start, code)).is_ok(), skipped <= 16);
        // Nothing behind the call is needed.
        let length = case.code.len() - skipped;
        assert_eq!(plan(Window::new(CODE, &case.code[..length])).is_ok(), length >= 23);
    }
}

#[test]
fn other_peoples_code_is_refused() {
    let text = |text| Case::new(39, &mov(39), &AFTERWARDS).with(|case| case.text = text).plan();
    assert_eq!(text(Text::Shared), Err(Why::Shared));
    assert_eq!(text(Text::Writable), Err(Why::Writable));
    let none = Case::new(39, &mov(39), &[]).with(|case| case.site += 1);
    assert_eq!(none.plan(), Err(Why::NoSyscall));
}

#[test]
fn a_patch_stays_in_one_page() {
    for fill in 4096 - 16 - 8..4096 - 16 + 2usize {
        let case = Case::new(39, &joined(&[&vec![0xcc; fill], &mov(39)]), &AFTERWARDS);
        let crosses = (4096 - 16 - 6..4096 - 16).contains(&fill);
        assert_eq!(case.plan().err(), crosses.then_some(Why::CrossesPage), "{fill}");
    }
}

#[test]
fn detours_are_taken_where_there_is_room() {
    let case = Case::new(39, &mov(39), &AFTERWARDS);
    let near = |range| case.clone().with(|case| case.room = Room::near(range)).plan();
    assert_eq!(near(CODE + 0x1000..CODE + 0x101c), Err(Why::OutOfReach));
    assert!(near(CODE + 0x1000..CODE + 0x101d).is_ok());
    let reach = 1 << 31;
    assert!(near(case.site + reach - 0x10..case.site + 2 * reach).is_ok_and(|one| one.form() == Form::Near));
    assert_eq!(near(case.site + reach..case.site + 2 * reach), Err(Why::OutOfReach));
    assert!(near(case.site - reach + 0x10..case.site).is_ok());
    assert_eq!(near(case.site - reach - 0x40..case.site), Err(Why::OutOfReach));
    assert_eq!(near(u64::MAX - 20..u64::MAX), Err(Why::OutOfReach));
    let mut room = case.room.clone();
    let first = case.plan().unwrap();
    room.take(&first);
    let second = case.clone().with(|case| case.room = room).plan().unwrap();
    assert_eq!(second.detour().address(), first.detour().address() + 32);
}

#[test]
fn the_order_of_writing() {
    let rewrite = Case::new(39, &mov(39), &AFTERWARDS).plan().unwrap();
    let jump = rewrite.patch().changes().next().unwrap().clone();
    let address = jump.address;
    let through = |bytes: &[u8]| {
        [
            Step::WriteByte { address, byte: TRAP },
            Step::Serialize,
            Step::Write { address: address + 1, bytes: bytes[1..].to_vec() },
            Step::Serialize,
            Step::WriteByte { address, byte: bytes[0] },
        ]
    };
    let place = Step::Place { address: rewrite.detour().address(), bytes: rewrite.detour().code().to_vec() };
    assert_eq!(rewrite.apply(), [&[place, Step::Serialize][..], &through(&jump.new)].concat());
    assert_eq!(rewrite.patch().undo(), [&through(&jump.old)[..], &[Step::Serialize]].concat());
}

/// Sites of `mov $n,%eax; syscall`, a page apart, each with a detour of its own.
fn at(index: u64) -> (Rewrite, u64) {
    let case = Case::new(39, &mov(39), &AFTERWARDS);
    let window = Window::new(CODE + index * 4096, &case.code);
    let address = case.site + index * 4096;
    let Case { ref registers, text, lowest, .. } = case;
    let room = Room::near(CODE + 0x10_0000 + index * 64..CODE + 0x10_1000);
    let site = Site { address, window, registers, starts: &[], text, accessible: &|at| at >= lowest };
    (plan(&site, &room, ENTRY).unwrap(), address)
}

#[test]
fn the_set_finds_addresses() {
    let mut patches = Patches::new(3);
    let sites: Vec<u64> = (0..3)
        .map(|index| {
            let (rewrite, site) = at(index);
            patches.insert(rewrite).unwrap();
            site
        })
        .collect();
    assert_eq!(patches.insert(at(0).0), Err(Why::Done));
    assert_eq!(patches.insert(at(3).0), Err(Why::Full));
    for &site in &sites {
        let rewrite = patches.get(site).unwrap().clone();
        assert_eq!(patches.locate(site - 5), Some((&rewrite, Spot::First)));
        assert_eq!(patches.locate(site - 3), Some((&rewrite, Spot::Inside)));
        assert_eq!(patches.locate(site), None);
        let detour = rewrite.detour().address();
        assert_eq!(patches.locate(detour + 5), Some((&rewrite, Spot::Ours(Original::Before(site)))));
        assert_eq!(patches.locate(detour - 1), None);
    }
    assert_eq!(patches.locate(u64::MAX), None);
    // A copy of memory that holds the end of one patch and the beginning of another.
    let (from, to) = (sites[0] - 2, sites[1] - 3);
    let mut copy = vec![0xaa; (to - from) as usize];
    patches.restore(from, &mut copy);
    assert_eq!((&copy[..3], &copy[copy.len() - 3..]), (&[0, 0, 0xaa][..], &[0xaa, 0xb8, 39][..]));
    patches.restore(0, &mut []);
    // Mappings go away.
    assert_eq!(patches.within(sites[0] + 1..sites[0] + 2), [patches.get(sites[0]).unwrap()]);
    assert_eq!(patches.within(0..u64::MAX).len(), 3);
    assert!(patches.within(sites[0] + 2..sites[1] - 5).is_empty());
    assert_eq!(patches.remove(sites[0] + 2..sites[1] - 4).len(), 1);
    assert_eq!(patches.len(), 2);
    assert!(patches.within(sites[0] + 2..sites[2] - 5).is_empty());
    // A thread that met the trap before that, and has its signal only now.
    let (lead, old) = (sites[1] - 5, [0xb8, 39, 0, 0, 0, 0x0f]);
    assert_eq!(patches.locate(lead), None);
    assert!(patches.is_stale(lead, &old));
    assert!(!patches.is_stale(lead, &[0x0f, 0x0b]));
    assert!(!patches.is_stale(lead - 1, &old) && !patches.is_stale(lead + 1, &old[1..]));
    // So does memory with detours.
    assert_eq!(patches.remove(CODE + 0x10_0000..CODE + 0x10_0001).len(), 1);
    assert_eq!(patches.iter().map(|one| one.patch().site()).collect::<Vec<_>>(), [sites[2]]);
    // What forks goes its own way.
    let child = patches.clone();
    patches.clear();
    assert_eq!((patches.len(), child.len()), (0, 1));
}

#[test]
fn the_set_refuses_overlaps_and_remembers() {
    let mut patches = Patches::new(2);
    let case = Case::new(39, &mov(39), &AFTERWARDS);
    let number = case.clone().with(|case| case.registers.general[0] = 1);
    let site = |case: &Case, patches: &mut Patches| {
        let window = Window::new(CODE, &case.code);
        let Case { site: address, ref registers, ref starts, text, lowest, .. } = *case;
        let accessible = &move |at| at >= lowest;
        patches.consider(&Site { address, window, registers, starts, text, accessible }, &case.room, ENTRY)
    };
    let other = Err(Why::OtherNumber { loaded: 39, had: 1 });
    assert_eq!(site(&number, &mut patches), other);
    assert_eq!(site(&case, &mut patches), other, "the site is known to be jumped to");
    // Refusals are bounded, and mappings take them along.
    patches.refuse(1, Why::NoRoom);
    patches.refuse(1, Why::JumpedInto);
    patches.refuse(2, Why::OutOfReach);
    assert_eq!((patches.refusal(1), patches.refusal(2)), (Some(Why::JumpedInto), None));
    patches.refuse(3, Why::NoRoom);
    assert_eq!((patches.refusal(case.site), patches.refusal(3)), (None, Some(Why::NoRoom)));
    patches.remove(0..2);
    patches.refuse(4, Why::NoRoom);
    assert_eq!([1, 3, 4].map(|site| patches.refusal(site).is_some()), [false, true, true]);
    // The same detour twice.
    let rewrite = site(&case, &mut patches).unwrap();
    patches.insert(rewrite).unwrap();
    assert_eq!(site(&case, &mut patches), Err(Why::Done));
    let (mut moved, _) = at(1);
    let elsewhere = moved.clone();
    assert!(patches.insert(elsewhere).is_ok());
    moved = at(0).0;
    assert_eq!(Patches::new(0).insert(moved), Err(Why::Full));
}

#[test]
fn no_two_rewrites_share_a_detour() {
    let mut patches = Patches::new(10);
    let case = Case::new(39, &mov(39), &AFTERWARDS);
    patches.insert(case.plan().unwrap()).unwrap();
    let twice = Case::new(39, &joined(&[&[0xcc; 32], &mov(39)]), &AFTERWARDS);
    assert_eq!(patches.insert(twice.plan().unwrap()), Err(Why::Overlaps));
}
