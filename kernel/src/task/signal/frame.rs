//! Handler frames: what a handler finds on its stack, and how rt_sigreturn(2) goes back.
//!
//! The layout is ABI (ucontext and siginfo as <asm/ucontext.h> and <asm/sigcontext.h> give them):
//! debuggers, unwinders, garbage collectors and language runtimes read it and write it. A frame
//! that comes back is the guest's word and is judged like any.

use super::action::SigAction;
use super::deliver::set_mask;
use super::info::SigInfo;
use super::set::SigSet;
use super::state::AltStack;
use super::trap;
use crate::mm::AddressSpace;
use crate::task::Task;
use crate::{Errno, Result};
use abi::number::{Low, extended};
use std::sync::Arc;
use umlab_model::{Regs, UserThread};

/// Bytes below the stack pointer that code may use without moving it (x86-64 psABI).
const RED_ZONE: u64 = 128;

const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;

const FLAG_TRAP: u64 = 1 << 8;
const FLAG_DIRECTION: u64 = 1 << 10;
const FLAG_RESUME: u64 = 1 << 16;
/// The flags that a frame may set: arithmetic ones, direction, trap, resume, alignment check.
pub(crate) const FLAGS_RESTORED: u64 = 0xcd5 | FLAG_TRAP | FLAG_RESUME | 1 << 18;

// Words of the frame, from the stack pointer at the handler's entry.
const RETURN_ADDRESS: usize = 0;
const UCONTEXT: usize = 1;
const UC_FLAGS: usize = UCONTEXT;
const UC_STACK: usize = UCONTEXT + 2;
const MCONTEXT: usize = UCONTEXT + 5;
const MC_FLAGS: usize = MCONTEXT + 17;
const MC_SELECTORS: usize = MCONTEXT + 18;
const MC_ERROR: usize = MCONTEXT + 19;
const MC_TRAPNO: usize = MCONTEXT + 20;
const MC_OLD_MASK: usize = MCONTEXT + 21;
const MC_CR2: usize = MCONTEXT + 22;
const MC_FPSTATE: usize = MCONTEXT + 23;
const UC_MASK: usize = MCONTEXT + 32;
const SIGINFO: usize = UC_MASK + 1;
const FRAME_WORDS: usize = SIGINFO + SigInfo::SIZE / 8;
const FRAME_SIZE: u64 = FRAME_WORDS as u64 * 8;

/// Makes the thread run a handler, and blocks what the action says. EFAULT when its stack cannot
/// take the frame.
pub(super) fn enter_handler(
    task: &Arc<Task>,
    user: &mut dyn UserThread,
    info: &SigInfo,
    action: &SigAction,
) -> Result<()> {
    if !action.has(abi::SA_RESTORER) {
        return Err(Errno::EFAULT);
    }
    let space = task.space();
    let (alt_stack, old_mask, fault, mut images) = {
        let mut signals = task.signals.borrow_mut();
        let images = std::mem::take(&mut signals.images);
        (signals.alt_stack, signals.saved_mask.unwrap_or(signals.mask), signals.fault, images)
    };
    let state = images.for_frame(user);
    let regs = user.regs_mut();
    let (frame, fpstate) = place(regs.rsp, &alt_stack, action.has(abi::SA_ONSTACK), state.len() as u64)?;

    let mut words = [0u64; FRAME_WORDS];
    words[RETURN_ADDRESS] = action.restorer;
    words[UC_FLAGS] = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    words[UC_STACK..UC_STACK + 3].copy_from_slice(&[
        alt_stack.sp,
        u64::from(alt_stack.flags.cast_unsigned()),
        alt_stack.size,
    ]);
    words[MCONTEXT..MCONTEXT + 17].copy_from_slice(&general(regs).map(|reg| *reg));
    words[MC_FLAGS] = regs.eflags;
    words[MC_SELECTORS] = regs.cs & 0xffff | (regs.ss & 0xffff) << 48;
    words[MC_ERROR] = fault.error;
    words[MC_TRAPNO] = fault.trapno;
    words[MC_OLD_MASK] = old_mask.0;
    words[MC_CR2] = fault.cr2;
    words[MC_FPSTATE] = fpstate;
    words[UC_MASK] = old_mask.0;
    let mut len = SIGINFO;
    if action.has(abi::SA_SIGINFO) {
        len = FRAME_WORDS;
        for (word, bytes) in words[SIGINFO..].iter_mut().zip(info.bytes().chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("chunks of eight bytes"));
        }
    }
    let written = space.write_bytes(fpstate, state);
    task.signals.borrow_mut().images = images;
    written?;
    write_words(&space, frame, &words[..len])?;

    regs.rdi = extended(info.signal());
    regs.rsi = frame + SIGINFO as u64 * 8;
    regs.rdx = frame + UCONTEXT as u64 * 8;
    regs.rax = 0;
    regs.rsp = frame;
    regs.rip = action.handler;
    regs.cs = abi::USER_CS;
    regs.ss = abi::USER_DS;
    regs.eflags &= !(FLAG_DIRECTION | FLAG_RESUME | FLAG_TRAP);
    regs.orig_rax = u64::MAX;
    user.reset_extended_state();

    let mask = {
        let mut signals = task.signals.borrow_mut();
        signals.saved_mask = None;
        if alt_stack.flags & abi::SS_AUTODISARM != 0 {
            signals.alt_stack = AltStack::NONE;
        }
        let mut mask = signals.mask.union(action.mask);
        if !action.has(abi::SA_NODEFER) {
            mask.insert(info.signal());
        }
        mask
    };
    set_mask(task, mask);
    Ok(())
}

/// Where the frame and the extended state go. EFAULT when they do not fit on the alternate stack.
fn place(sp: u64, alt_stack: &AltStack, use_alt_stack: bool, state_len: u64) -> Result<(u64, u64)> {
    let nested = alt_stack.holds(sp);
    let mut at = sp.wrapping_sub(RED_ZONE);
    let entering = use_alt_stack && alt_stack.state(at) == 0;
    if entering {
        at = alt_stack.sp.wrapping_add(alt_stack.size);
    }
    let fpstate = at.wrapping_sub(state_len) & !63;
    // As after a call instruction: 8 bytes off alignment to 16.
    let frame = (fpstate.wrapping_sub(FRAME_SIZE) & !15).wrapping_sub(8);
    if (nested || entering) && !alt_stack.contains(frame) {
        return Err(Errno::EFAULT);
    }
    Ok((frame, fpstate))
}

/// The general registers in a frame's order.
fn general(regs: &mut Regs) -> [&mut u64; 17] {
    [
        &mut regs.r8,
        &mut regs.r9,
        &mut regs.r10,
        &mut regs.r11,
        &mut regs.r12,
        &mut regs.r13,
        &mut regs.r14,
        &mut regs.r15,
        &mut regs.rdi,
        &mut regs.rsi,
        &mut regs.rbp,
        &mut regs.rbx,
        &mut regs.rdx,
        &mut regs.rax,
        &mut regs.rcx,
        &mut regs.rsp,
        &mut regs.rip,
    ]
}

/// rt_sigreturn(2): back to what the frame on the stack says. A frame that makes no sense is a
/// SIGSEGV.
pub fn sigreturn(task: &Arc<Task>, user: &mut dyn UserThread) {
    if restore(task, user).is_err() {
        trap::force(task, SigInfo::kernel(abi::SIGSEGV));
    }
}

fn restore(task: &Arc<Task>, user: &mut dyn UserThread) -> Result<()> {
    let space = task.space();
    // The handler's return took the return address.
    let frame = user.regs().rsp.wrapping_sub(8);
    let mut words = [0u64; SIGINFO];
    read_words(&space, frame, &mut words)?;
    set_mask(task, SigSet(words[UC_MASK]));
    // A call that was interrupted before the handler is not gone on with after it.
    task.signals.borrow_mut().restart = None;

    let (cs, ss) = (words[MC_SELECTORS] & 0xffff | 3, words[MC_SELECTORS] >> 48 | 3);
    let strict = words[UC_FLAGS] & UC_STRICT_RESTORE_SS != 0;
    let regs = user.regs_mut();
    for (reg, word) in general(regs).into_iter().zip(&words[MCONTEXT..MCONTEXT + 17]) {
        *reg = *word;
    }
    regs.eflags = regs.eflags & !FLAGS_RESTORED | words[MC_FLAGS] & FLAGS_RESTORED;
    // Only 64-bit code runs in a guest; a frame from before there was a place for `ss` gets the
    // usual one.
    regs.cs = abi::USER_CS;
    regs.ss = abi::USER_DS;
    regs.orig_rax = u64::MAX;
    if cs != abi::USER_CS || strict && ss != abi::USER_DS {
        return Err(Errno::EFAULT);
    }
    let mut images = std::mem::take(&mut task.signals.borrow_mut().images);
    let restored = images.restore(&space, user, words[MC_FPSTATE]);
    task.signals.borrow_mut().images = images;
    restored?;

    let [sp, flags, size] = [words[UC_STACK], words[UC_STACK + 1], words[UC_STACK + 2]];
    let rsp = user.regs().rsp;
    // A stack that cannot be set is left as it was, as if the frame had none.
    let _ = set_alt_stack(task, AltStack { sp, size, flags: flags.low_i32() }, rsp, 2048);
    Ok(())
}

/// Sets the alternate stack, for a thread whose stack pointer is `rsp`.
///
/// # Errors
/// EPERM while it is in use; EINVAL for flags that do not exist; ENOMEM when it is smaller than
/// `min_size`.
pub fn set_alt_stack(task: &Task, new: AltStack, rsp: u64, min_size: u64) -> Result<()> {
    let mut signals = task.signals.borrow_mut();
    if signals.alt_stack.size != 0 && signals.alt_stack.holds(rsp) {
        return Err(Errno::EPERM);
    }
    let mode = new.flags & !abi::SS_AUTODISARM;
    if mode != abi::SS_DISABLE && mode != abi::SS_ONSTACK && mode != 0 {
        return Err(Errno::EINVAL);
    }
    if mode == abi::SS_DISABLE {
        signals.alt_stack = AltStack { sp: 0, size: 0, flags: new.flags };
    } else if new.size < min_size {
        return Err(Errno::ENOMEM);
    } else {
        signals.alt_stack = new;
    }
    Ok(())
}

fn write_words(space: &AddressSpace, addr: u64, words: &[u64]) -> Result<()> {
    let mut bytes = [0u8; FRAME_WORDS * 8];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    space.write_bytes(addr, &bytes[..words.len() * 8])
}

fn read_words(space: &AddressSpace, addr: u64, words: &mut [u64; SIGINFO]) -> Result<()> {
    *words = space.read(addr)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_is_laid_out_as_the_abi_says() {
        assert_eq!(FRAME_SIZE, 440);
        assert_eq!(MC_FPSTATE * 8, 8 + 224);
        assert_eq!(UC_MASK * 8, 8 + 296);
        assert_eq!(std::mem::offset_of!(libc::ucontext_t, uc_sigmask), 296);
        assert_eq!(std::mem::offset_of!(libc::ucontext_t, uc_mcontext), (MCONTEXT - UCONTEXT) * 8);
    }

    #[test]
    fn frames_are_placed_below_the_red_zone_or_on_the_alternate_stack() {
        let none = AltStack::default();
        let (frame, fpstate) = place(0x7000_0000, &none, true, 2436).unwrap();
        assert!(fpstate.is_multiple_of(64) && fpstate + 2436 <= 0x7000_0000 - 128);
        assert!(frame + FRAME_SIZE <= fpstate && frame % 16 == 8);
        let alt = AltStack { sp: 0x1000, size: 0x2000, flags: 0 };
        let (frame, fpstate) = place(0x7000_0000, &alt, true, 2436).unwrap();
        assert!(alt.contains(frame) && fpstate + 2436 <= 0x3000);
        // Already there: further down, and never past its end.
        assert!(place(frame, &alt, true, 2436).unwrap().0 < frame);
        assert_eq!(place(0x1400, &alt, true, 2436), Err(Errno::EFAULT));
        assert_eq!(place(0x1400, &alt, false, 2436), Err(Errno::EFAULT));
        // One that disarms itself does not count as being in use.
        let disarm = AltStack { flags: abi::SS_AUTODISARM, ..alt };
        assert!(place(0x2000, &disarm, true, 2436).is_ok());
        // Nothing that wraps panics; the write then fails.
        let _ = place(5, &none, false, 2436);
    }
}
