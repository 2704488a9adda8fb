//! Signal frames: a handler's frame, changed by its handler or made from nothing, goes to
//! rt_sigreturn(2).
//!
//! The input: the CPU; how the frame comes to be (`Byte 1`); then changes, each an offset, a length
//! and bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use umlab_abi::{SA_ONSTACK, SA_RESTORER, SA_SIGINFO};
use umlab_abi::{USER_CS, USER_DS};
use umlab_fuzz_targets::guest::{self, task};
use umlab_fuzz_targets::input::Input;
use umlab_fuzz_targets::thread::{CPUS, FuzzedThread, MXCSR, word32, word64};
use umlab_kernel::task::signal::{self, AfterSignals, AltStack, SigAction, SigInfo, SigSet};
use umlab_model::Regs;

/// Where the stack is, and the alternate one.
const STACK: u64 = 0x10_0000_0000;
const STACK_LEN: u64 = 0x8000;
const ALT: u64 = 0x20_0000_0000;
const ALT_LEN: u64 = 0x8000;

// What makes a frame (byte 1).
const FORGED: u8 = 1;
const ON_ALT_STACK: u8 = 2;
const WITH_INFO: u8 = 4;
/// Some bytes more below the stack's end: the frame is cut off there.
const AT_EDGE: u8 = 8;
const AVX_IN_USE: u8 = 16;
const REAL_TIME: u8 = 32;

// The frame's words (<asm/ucontext.h>), from the stack pointer that rt_sigreturn(2) finds.
const UC_FLAGS: usize = 0;
const UC_STACK: usize = 2;
const GENERAL: usize = 5;
const EFLAGS: usize = GENERAL + 17;
const SELECTORS: usize = GENERAL + 18;
const FPSTATE: usize = GENERAL + 23;
const MASK: usize = GENERAL + 32;
const WORDS: usize = MASK + 1;
const STRICT_SS: u64 = 4;

/// Flags that user code sets as it likes: CF PF AF ZF SF TF DF OF RF AC.
const USER_FLAGS: u64 = 0x50dd5;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let cpu = input.byte() as usize % CPUS.len();
    let how = input.byte();
    let mut user = FuzzedThread::new(cpu);
    prepare(&mut user, how, &mut input);
    let before = (user.regs, user.extended.clone());
    let mask = task().signals.borrow().mask;
    if how & FORGED == 0 {
        enter_handler(&mut user, how);
        // The handler returns: its return address goes.
        user.regs.rsp = user.regs.rsp.wrapping_add(8);
    }
    let changed = change(user.regs.rsp, &mut input);
    sigreturn(&mut user, &before.0);
    if how & FORGED == 0 && !changed {
        assert!(!was_refused(), "the kernel's own frame is refused");
        assert_same(&user.regs, &before.0);
        assert_eq!(user.extended[..464], before.1[..464], "x87 and SSE registers");
        assert_eq!(user.extended[576..], before.1[576..], "components beyond SSE");
        assert_eq!(task().signals.borrow().mask, mask);
    }
    guest::settle();
});

/// Fresh stacks, and a thread in the middle of something.
fn prepare(user: &mut FuzzedThread, how: u8, input: &mut Input) {
    guest::map_zeros(STACK, STACK_LEN);
    guest::map_zeros(ALT, ALT_LEN);
    {
        let mut signals = task().signals.borrow_mut();
        signals.pending.flush(SigSet::FULL);
        // Of a thread on one CPU; the next input may have another.
        signals.images = Default::default();
        signals.mask = SigSet(input.number(1) << 8).without(SigSet::of(&[signal_of(how)])).as_mask();
        let alt = AltStack { sp: ALT, size: ALT_LEN, flags: 0 };
        signals.alt_stack = if how & ON_ALT_STACK != 0 { alt } else { AltStack::NONE };
    }
    let below = if how & AT_EDGE != 0 { input.number(2) % 4096 } else { 4096 };
    user.regs.rsp = STACK + STACK_LEN - below;
    (user.regs.rip, user.regs.rax, user.regs.r15) = (0x40_1000, 0x1111, 0x1515);
    (user.regs.fs_base, user.regs.gs_base) = (0x7000_0000, 0x7100_0000);
    if how & AVX_IN_USE != 0 {
        let present = user.components & 7;
        user.extended[512..520].copy_from_slice(&present.to_le_bytes());
        user.extended[160..416].fill(0xa5);
    }
}

/// The signal that the handler is for.
fn signal_of(how: u8) -> i32 {
    if how & REAL_TIME != 0 { 40 } else { libc::SIGUSR1 }
}

fn enter_handler(user: &mut FuzzedThread, how: u8) {
    let signal = signal_of(how);
    let with_info = if how & WITH_INFO != 0 { SA_SIGINFO } else { 0 };
    let action = SigAction {
        handler: 0x40_2000,
        flags: SA_RESTORER | SA_ONSTACK | with_info,
        restorer: 0x40_3000,
        mask: SigSet::EMPTY,
    };
    signal::set_action(task(), signal, Some(action));
    signal::send_to_task(task(), SigInfo::kill(signal, 1, 0)).expect("a signal of root's");
    assert_eq!(signal::on_user_return(task(), user, None), AfterSignals::Continue);
    assert_eq!(user.regs.rip, 0x40_2000, "no handler was entered");
}

/// Writes the input's changes at their offsets from the frame's beginning, as far as there is
/// memory. Whether there were any.
fn change(frame: u64, input: &mut Input) -> bool {
    let changed = !input.is_empty();
    while !input.is_empty() {
        let (offset, len) = (input.number(2), input.byte() as usize);
        let _ = task().space().write_bytes(frame.wrapping_add(offset), input.bytes(len));
    }
    changed
}

/// Makes the call, and judges what the thread has after it.
fn sigreturn(user: &mut FuzzedThread, before: &Regs) {
    let mut words = [0u64; WORDS];
    let frame = user.regs.rsp;
    let readable = words.iter_mut().enumerate().all(|(at, word)| {
        let read = task().space().read(frame.wrapping_add(8 * at as u64));
        read.map(|value| *word = value).is_ok()
    });
    let extended = user.extended.clone();
    let stack = task().signals.borrow().alt_stack;
    let flags = user.regs.eflags;
    let _ = guest::call(user, libc::SYS_rt_sigreturn, [0; 6]);

    let regs = &user.regs;
    assert_eq!((regs.cs, regs.ss, regs.orig_rax), (USER_CS, USER_DS, u64::MAX), "selectors");
    assert_eq!((regs.fs_base, regs.gs_base), (before.fs_base, before.gs_base), "bases are no part of a frame");
    assert_eq!((regs.ds, regs.es, regs.fs, regs.gs), (before.ds, before.es, before.fs, before.gs), "segments");
    assert_eq!((regs.eflags ^ flags) & !USER_FLAGS, 0, "a flag of the kernel's has changed: {:#x}", regs.eflags);
    let signals = task().signals.borrow();
    assert!(signals.mask.intersection(SigSet::UNSTOPPABLE).is_empty(), "SIGKILL or SIGSTOP is blocked");
    let alt = signals.alt_stack;
    assert!(alt == stack || alt.size == 0 || alt.size >= 2048, "{alt:?}");
    drop(signals);
    if was_refused() {
        assert_eq!(user.extended, extended, "a refused frame changes the extended state");
        return;
    }
    assert!(readable, "a frame is taken that is not there");
    let [cs, ss] = [words[SELECTORS] & 0xffff | 3, words[SELECTORS] >> 48 | 3];
    assert!(cs == USER_CS && (ss == USER_DS || words[UC_FLAGS] & STRICT_SS == 0), "foreign selectors are taken");
    assert_eq!(general(regs)[..], words[GENERAL..GENERAL + 17], "registers are not the frame's");
    assert_eq!(regs.eflags & USER_FLAGS, words[EFLAGS] & USER_FLAGS);
    assert_eq!(task().signals.borrow().mask.0, words[MASK] & !SigSet::UNSTOPPABLE.0);
    let alt = task().signals.borrow().alt_stack;
    let [sp, flags, size] = [words[UC_STACK], words[UC_STACK + 1] as i32 as u64, words[UC_STACK + 2]];
    let asked = [alt.sp, alt.flags as u64, alt.size] == [sp, flags, size];
    assert!(alt == stack || alt.size == 0 || asked, "{alt:?} is neither the old stack nor the frame's");
    match words[FPSTATE] {
        0 => assert_eq!((word64(&user.extended, 512) & !3, word32(&user.extended, MXCSR)), (0, 0x1f80)),
        at => assert!(at.is_multiple_of(64), "extended state is taken from where XRSTOR faults"),
    }
}

/// Whether a signal for a frame that makes no sense waits; it is not let kill the guest.
fn was_refused() -> bool {
    task().signals.borrow().pending.set().contains(libc::SIGSEGV)
}

fn general(r: &Regs) -> [u64; 17] {
    [
        r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax, r.rcx, r.rsp,
        r.rip,
    ]
}

fn assert_same(after: &Regs, before: &Regs) {
    assert_eq!(general(after), general(before), "registers are not what they were");
    assert_eq!(after.eflags, before.eflags);
}
