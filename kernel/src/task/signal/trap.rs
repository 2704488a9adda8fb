//! Signals that a thread causes itself: faults and other exceptions.

use super::access;
use super::action::SigAction;
use super::info::SigInfo;
use super::send::send_to_task;
use crate::task::Task;
use std::sync::Arc;
use umlab_model::{Regs, TASK_SIZE};

/// What signal frames tell about the last exception, beside the siginfo.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FaultRecord {
    pub trapno: u64,
    pub error: u64,
    pub cr2: u64,
}

/// Page fault, the exception's number on x86.
const PAGE_FAULT: u64 = 14;

/// Sends the current thread a signal that it cannot escape: blocked or ignored, it kills.
pub fn force(task: &Arc<Task>, info: SigInfo) {
    let signal = info.signal();
    {
        let blocked = task.signals.borrow().mask.contains(signal);
        let actions = task.actions.borrow();
        let mut actions = actions.borrow_mut();
        let action = actions.get(signal);
        if blocked || action.handler == abi::SIG_IGN {
            actions.set(signal, SigAction { handler: abi::SIG_DFL, ..action });
        }
    }
    task.signals.borrow_mut().mask.remove(signal);
    // A standard signal of the kernel's always gets through.
    let _ = send_to_task(task, info);
}

/// A fault at `addr`, with what a frame says of the exception: its number, its error code.
pub fn force_fault(task: &Arc<Task>, signal: i32, code: i32, addr: u64, trapno: u64, error: u64) {
    {
        let mut signals = task.signals.borrow_mut();
        signals.fault.trapno = trapno;
        signals.fault.error = error;
        if trapno == PAGE_FAULT {
            signals.fault.cr2 = addr;
        }
    }
    force(task, SigInfo::fault(signal, code, addr));
}

/// A memory access that the address space refuses: SIGSEGV with SEGV_MAPERR or SEGV_ACCERR, or
/// SIGBUS with BUS_ADRERR. `write` and `exec` say what the access was.
pub fn page_fault(task: &Arc<Task>, signal: i32, code: i32, addr: u64, write: bool, exec: bool) {
    let refused = signal == abi::SIGSEGV && code == abi::SEGV_ACCERR;
    let space = task.space();
    // A page that may be read is brought in for the fetch of an instruction, and refused after
    // that. What lies above all user addresses is always said to be there.
    let present = addr >= TASK_SIZE || refused && if exec { space.is_readable(addr) } else { space.was_touched(addr) };
    // P, W/R, U/S and I/D of the page-fault error code.
    let error = u64::from(present) | u64::from(write) << 1 | 1 << 2 | u64::from(exec) << 4;
    force_fault(task, signal, code, addr, PAGE_FAULT, error);
}

/// The signal for an exception that is no page fault. `instruction` is the code at which the
/// registers stand.
pub fn exception(task: &Arc<Task>, (signal, code, addr): (i32, i32, u64), instruction: &[u8], regs: &Regs) {
    // The exception that Linux turns into this signal, as far as the signal tells.
    let trapno = match (signal, code) {
        (abi::SIGFPE, 1) => 0,
        (abi::SIGFPE, _) if access::is_x87(instruction, regs) => 16,
        (abi::SIGFPE, _) => 19,
        (abi::SIGTRAP, abi::SI_KERNEL) => 3,
        (abi::SIGTRAP, _) => 1,
        (abi::SIGILL, _) => 6,
        (abi::SIGBUS, 1) => 17,
        (abi::SIGBUS, _) => 12,
        _ => 13,
    };
    match code {
        // Traps that tell no address: int3, and general protection.
        abi::SI_KERNEL => {
            {
                let mut signals = task.signals.borrow_mut();
                signals.fault.trapno = trapno;
                signals.fault.error = if trapno == 13 { access::protection_error(instruction, regs) } else { 0 };
            }
            force(task, SigInfo::kernel(signal));
        }
        _ => force_fault(task, signal, code, addr, trapno, 0),
    }
}

/// Ends the process by a signal, whatever it does about it.
pub fn force_end(task: &Arc<Task>, signal: i32) {
    task.actions.borrow().borrow_mut().set(signal, SigAction::default());
    force(task, SigInfo::kernel(signal));
}

/// A handler's frame could not be made: SIGSEGV, and for SIGSEGV itself the end.
pub(super) fn frame_failed(task: &Arc<Task>, signal: i32) {
    if signal == abi::SIGSEGV { force_end(task, signal) } else { force(task, SigInfo::kernel(abi::SIGSEGV)) }
}
