//! Rewritten code, executed in this process: what the entry finds, and what the program finds after
//! the call.

mod common;

use common::{carry_out, memory, read, write};
use std::arch::global_asm;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use umlab_rewrite::*;

const RAX: usize = 0;
const RCX: usize = 1;
const RSP: usize = 4;
const R11: usize = 11;
/// Behind the general registers.
const FLAGS: usize = 16;
type State = [u64; 17];

/// What is in these is of one test at a time.
static ONE: Mutex<()> = Mutex::new(());
#[unsafe(no_mangle)]
static mut REWRITE_GIVEN: State = [0; 17];
#[unsafe(no_mangle)]
static mut REWRITE_ENTERED: State = [0; 17];
#[unsafe(no_mangle)]
static mut REWRITE_LEFT: State = [0; 17];

global_asm!(
    // Registers to memory, and then the flags, with a stack of its own.
    ".macro umlab_store to",
    "mov [rip + \\to], rax",
    "mov [rip + \\to + 8], rcx",
    "mov [rip + \\to + 16], rdx",
    "mov [rip + \\to + 24], rbx",
    "mov [rip + \\to + 32], rsp",
    "mov [rip + \\to + 40], rbp",
    "mov [rip + \\to + 48], rsi",
    "mov [rip + \\to + 56], rdi",
    "mov [rip + \\to + 64], r8",
    "mov [rip + \\to + 72], r9",
    "mov [rip + \\to + 80], r10",
    "mov [rip + \\to + 88], r11",
    "mov [rip + \\to + 96], r12",
    "mov [rip + \\to + 104], r13",
    "mov [rip + \\to + 112], r14",
    "mov [rip + \\to + 120], r15",
    "lea rsp, [rip + umlab_rewrite_stack]",
    "pushfq",
    "pop [rip + \\to + 128]",
    "mov rsp, [rip + \\to + 32]",
    ".endm",
    ".local umlab_rewrite_stack_low",
    ".comm umlab_rewrite_stack_low, 256, 16",
    ".set umlab_rewrite_stack, umlab_rewrite_stack_low + 256",
    // fn(target): jumps there with the given registers.
    ".global umlab_rewrite_run, umlab_rewrite_back, umlab_rewrite_entry",
    "umlab_rewrite_run:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [rip + umlab_rewrite_target], rdi",
    "mov [rip + umlab_rewrite_rsp], rsp",
    "push [rip + REWRITE_GIVEN + 128]",
    "popfq",
    "mov rax, [rip + REWRITE_GIVEN]",
    "mov rcx, [rip + REWRITE_GIVEN + 8]",
    "mov rdx, [rip + REWRITE_GIVEN + 16]",
    "mov rbx, [rip + REWRITE_GIVEN + 24]",
    "mov rsp, [rip + REWRITE_GIVEN + 32]",
    "mov rbp, [rip + REWRITE_GIVEN + 40]",
    "mov rsi, [rip + REWRITE_GIVEN + 48]",
    "mov rdi, [rip + REWRITE_GIVEN + 56]",
    "mov r8, [rip + REWRITE_GIVEN + 64]",
    "mov r9, [rip + REWRITE_GIVEN + 72]",
    "mov r10, [rip + REWRITE_GIVEN + 80]",
    "mov r11, [rip + REWRITE_GIVEN + 88]",
    "mov r12, [rip + REWRITE_GIVEN + 96]",
    "mov r13, [rip + REWRITE_GIVEN + 104]",
    "mov r14, [rip + REWRITE_GIVEN + 112]",
    "mov r15, [rip + REWRITE_GIVEN + 120]",
    "jmp [rip + umlab_rewrite_target]",
    "umlab_rewrite_back:",
    "umlab_store REWRITE_LEFT",
    "mov rsp, [rip + umlab_rewrite_rsp]",
    "cld",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    // An entry as the convention has it: the flags go into r11, which is free, and all else stays.
    "umlab_rewrite_entry:",
    "umlab_store REWRITE_ENTERED",
    "mov r11, [rip + REWRITE_ENTERED + 128]",
    "mov rax, 4711",
    "jmp rcx",
    // fn(target): calls it with the trap flag set.
    ".global umlab_rewrite_step",
    "umlab_rewrite_step:",
    "push rbx",
    "pushfq",
    "or dword ptr [rsp], 0x100",
    "popfq",
    "call rdi",
    "pushfq",
    "and dword ptr [rsp], ~0x100",
    "popfq",
    "pop rbx",
    "ret",
    ".local umlab_rewrite_target, umlab_rewrite_rsp",
    ".comm umlab_rewrite_target, 8, 8",
    ".comm umlab_rewrite_rsp, 8, 8",
    ".purgem umlab_store",
);

unsafe extern "C" {
    fn umlab_rewrite_run(target: u64);
    fn umlab_rewrite_back();
    fn umlab_rewrite_entry();
    fn umlab_rewrite_step(target: u64) -> u64;
}

fn address(function: unsafe extern "C" fn()) -> u64 {
    function as usize as u64
}

/// Plans a site in memory, as if a thread with this number had come from above.
fn plan_in(code: u64, site: u64, number: u64, room: &Room) -> Rewrite {
    let bytes = read(code, 0x400);
    let mut registers = Registers { general: [0x5555_0000_0000; 16], flags: 0x246 };
    registers.general[RAX] = number;
    let window = Window::first(code, &bytes);
    let accessible = &|_| false;
    let site = Site { address: site, window, registers: &registers, starts: &[], text: Text::Private, accessible };
    plan(&site, room, address(umlab_rewrite_entry)).unwrap()
}

/// Executes rewritten code that begins with `before` and ends in a jump to `umlab_rewrite_back`.
/// `changed` is what it does to registers.
fn check(code: u64, before: &[u8], number: u64, room: &Room, expected: Form, changed: &[(usize, u64)]) {
    let start = code + 0x100;
    let mut bytes = before.to_vec();
    bytes.extend([0x0f, 0x05, 0xff, 0x25, 0, 0, 0, 0]);
    bytes.extend(address(umlab_rewrite_back).to_le_bytes());
    write(start, &bytes);
    let rewrite = plan_in(code, start + before.len() as u64, number, room);
    assert_eq!(rewrite.form(), expected, "{before:x?}");
    carry_out(&rewrite.apply());
    execute(start, start + before.len() as u64 + 2, number, changed);
    carry_out(&rewrite.patch().undo());
    assert_eq!(read(start, bytes.len()), bytes);
}

/// Runs code with registers that are all different, and looks what the entry and the program find.
fn execute(start: u64, behind: u64, number: u64, changed: &[(usize, u64)]) {
    let red_zone: Vec<AtomicU64> = (0..32).map(|at| AtomicU64::new(0xabcd_0000 + at)).collect();
    // With a stack, and without one.
    for stack in [red_zone[16].as_ptr() as u64, 0x10] {
        let mut given: State = std::array::from_fn(|at| 0x0123_4567_89ab_cd00 + at as u64);
        given[RSP] = stack;
        given[FLAGS] = ALL_FLAGS;
        // SAFETY: only one test uses these at a time. The code keeps the callee-saved registers,
        // and comes back.
        let (mut entered, mut left) = unsafe {
            REWRITE_GIVEN = given;
            umlab_rewrite_run(start);
            (REWRITE_ENTERED, REWRITE_LEFT)
        };
        let mut expected = given;
        expected[RAX] = number;
        if changed.iter().any(|(at, _)| *at == FLAGS) {
            // xor leaves the adjust flag as processors like.
            entered[FLAGS] &= !ADJUST;
            left[FLAGS] &= !ADJUST;
            left[R11] &= !ADJUST;
        }
        changed.iter().for_each(|(at, value)| expected[*at] = *value);
        expected[RCX] = behind;
        assert_eq!(entered, expected, "on entry");
        expected[RAX] = 4711;
        expected[R11] = expected[FLAGS];
        assert_eq!(left, expected, "after the call");
        assert!((0..).zip(&red_zone).all(|(at, word)| word.load(SeqCst) == 0xabcd_0000 + at));
    }
}

/// Carry, parity, adjust, zero, sign, direction and overflow; the interrupt flag is always set.
const ALL_FLAGS: u64 = 0xed7;
/// What a `sub` of equal numbers makes of them.
const ZERO_FLAGS: u64 = ALL_FLAGS & !(0x881 | ADJUST) | 0x44;
const ADJUST: u64 = 0x10;

const MOV: [u8; 5] = [0xb8, 39, 0, 0, 0];
const LONG: [u8; 7] = [0x48, 0xc7, 0xc0, 39, 0, 0, 0];

#[test]
fn registers_flags_and_the_red_zone_are_kept() {
    let _one = ONE.lock();
    let code = memory(None);
    let near = Room::near(code + 0x8000..code + 0x9000);
    check(code, &MOV, 39, &near, Form::Near, &[]);
    check(code, &LONG, 39, &near, Form::Near, &[]);
    // mov $1,%esi; lea 7(%rip),%rdi; sub %esi,%esi
    let apart = [&MOV[..], &[0xbe, 1, 0, 0, 0], &[0x48, 0x8d, 0x3d, 7, 0, 0, 0], &[0x29, 0xf6]].concat();
    let lea = code + 0x100 + 17 + 7;
    check(code, &apart, 39, &near, Form::Near, &[(6, 0), (7, lea), (FLAGS, ZERO_FLAGS)]);
}

#[test]
fn a_detour_can_be_far_away() {
    let _one = ONE.lock();
    let (code, detours, _table) = (memory(Some(0x1234_5678_0000)), memory(None), memory(Some(TABLE.start)));
    let far = Room::with_table(detours..detours + 0x1000, TABLE.start + 16..TABLE.end);
    check(code, &MOV, 39, &far, Form::Table, &[]);
}

/// `nop; xor %eax,%eax; syscall; jmp back`, with padding behind.
#[test]
fn a_short_jump_arrives() {
    let _one = ONE.lock();
    let code = memory(None);
    let start = code + 0x100;
    let mut bytes = vec![0x90, 0x31, 0xc0, 0x0f, 0x05];
    // The code behind the call jumps over the padding.
    bytes.extend([0xeb, 9]);
    bytes.extend([0x90; 9]);
    bytes.extend([0xff, 0x25, 0, 0, 0, 0]);
    bytes.extend(address(umlab_rewrite_back).to_le_bytes());
    write(start, &bytes);
    let rewrite = plan_in(code, start + 3, 0, &Room::near(code + 0x8000..code + 0x9000));
    assert_eq!(rewrite.form(), Form::Short);
    carry_out(&rewrite.apply());
    execute(start, start + 5, 0, &[(FLAGS, ZERO_FLAGS)]);
    carry_out(&rewrite.patch().undo());
    carry_out(&rewrite.patch().release().into_iter().collect::<Vec<_>>());
    assert_eq!(read(start, bytes.len()), bytes);
}

/// What a tracer would see of the steps through code: instruction pointers, from `FROM` on.
static STEPS: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
static STEP_COUNT: AtomicUsize = AtomicUsize::new(0);
static FROM: AtomicU64 = AtomicU64::new(0);
static STEPPED: Mutex<Option<Rewrite>> = Mutex::new(None);

/// A model's part after a step: an instruction pointer of ours becomes the program's. When that is
/// where the step began, nothing of the program was executed yet: on to the next step.
extern "C" fn stepped(_: i32, _: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: the host made it for this handler.
    let ip = unsafe { &mut (*context).uc_mcontext.gregs[libc::REG_RIP as usize] };
    let count = STEP_COUNT.load(SeqCst);
    let last = count.checked_sub(1).map(|last| STEPS[last].load(SeqCst));
    let rewrite = STEPPED.try_lock();
    if let Some(Spot::Ours(original)) = rewrite.ok().as_ref().and_then(|one| one.as_ref()?.locate(*ip as u64)) {
        if last == Some(original.ip()) {
            return;
        }
        *ip = original.ip() as i64;
    }
    let (now, from) = (*ip as u64, FROM.load(SeqCst));
    if (from..from + 0x100).contains(&now) && count < STEPS.len() {
        STEPS[count].store(now, SeqCst);
        STEP_COUNT.store(count + 1, SeqCst);
    }
}

fn steps_through(start: u64) -> (u64, Vec<u64>) {
    FROM.store(start, SeqCst);
    STEP_COUNT.store(0, SeqCst);
    // SAFETY: the code is a function without arguments that returns a number.
    let result = unsafe { umlab_rewrite_step(start) };
    let count = STEP_COUNT.load(SeqCst);
    (result, STEPS[..count].iter().map(|step| step.load(SeqCst)).collect())
}

#[test]
fn single_stepping_shows_the_program() {
    let _one = ONE.lock();
    // SAFETY: the handler is one for SA_SIGINFO, and touches atomics and a lock that it only tries.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = stepped as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGTRAP, &raw const action, std::ptr::null_mut()), 0);
    }
    let code = memory(None);
    let start = code + 0x100;
    // nop; mov $39,%eax; mov $1,%esi; syscall; nop; ret: getpid.
    let bytes = [&[0x90][..], &MOV, &[0xbe, 1, 0, 0, 0], &[0x0f, 0x05, 0x90, 0xc3]].concat();
    write(start, &bytes);
    let (plain, original) = steps_through(start);
    assert_eq!(original.iter().map(|step| step - start).take(4).collect::<Vec<_>>(), [0, 1, 6, 11]);
    let room = Room::near(code + 0x8000..code + 0x9000);
    let rewrite = plan_in(code, start + 11, 39, &room);
    carry_out(&rewrite.apply());
    *STEPPED.lock().unwrap() = Some(rewrite);
    // The call itself is executed where it was.
    assert_eq!(steps_through(start), (plain, original));
}
