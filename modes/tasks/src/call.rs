//! Calls: user code that jumps into the core instead of trapping.
//!
//! A jump changes nothing that the host knows of: the signal mask stays open, and the slot is the
//! alternate stack. So there are places where a signal must not be taken for one of user code:
//!
//! | where | what is done |
//! |---|---|
//! | before `in_core` is set | user code begins again, at the instruction that traps |
//! | in the core | a kick is noted, and core code goes on; a fault is the core's |
//! | where the registers of user code come back | the kick is a trap, as if it had come before |
//! | after `in_core` is cleared | user code was interrupted where it is about to go on |
//!
//! Nothing that user code holds tells the core which task calls. It is the one in user mode, whose
//! record each way out leaves in a page that every process has for itself, at [`LOCAL`].

use crate::area::{CallRegs, EXTENDED_AT, RECORD_AT, Record};
use crate::entry::{self, KICK_SIGNAL, leave_off};
use crate::frame::Frame;
use crate::space::USER_TOP;
use std::mem::offset_of;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::*};
use umlab_host::{Errno, Result, memory};

/// Where each process has the address of the record of its task that is in user mode.
const LOCAL: usize = USER_TOP as usize;
/// In its place when none is to be called: no address at all, so the entry faults.
const NOBODY: u64 = 1 << 63;
/// What core code could change of the extended state: SSE, AVX and AVX-512 (Intel SDM, volume 1,
/// 13.1). The rest stays as it is.
const CHANGED_BY_CORE: u32 = 0b1110_0110;
/// The trap flag.
const TRAP_FLAG: u64 = 1 << 8;

const fn reg(offset: usize) -> usize {
    offset_of!(Record, call) + offset
}

std::arch::global_asm!(
    ".global umlab_task_call, umlab_task_called, umlab_task_return, umlab_task_returning, umlab_task_left, umlab_task_gone, umlab_task_core_signal",
    // From user code: rax is the number, rcx where it goes on, r11 free.
    "umlab_task_call:",
    "movabs r11, {local}",
    "mov r11, [r11]",
    "mov dword ptr [r11 + {in_core}], 1",
    "umlab_task_called:",
    "mov [r11 + {rsp}], rsp",
    "lea rsp, [r11 + {flags} + 8]",
    "pushfq",
    "mov [r11 + {rip}], rcx",
    "mov [r11 + {rax}], rax",
    "mov [r11 + {rbx}], rbx",
    "mov [r11 + {rdx}], rdx",
    "mov [r11 + {rsi}], rsi",
    "mov [r11 + {rdi}], rdi",
    "mov [r11 + {rbp}], rbp",
    "mov [r11 + {r8}], r8",
    "mov [r11 + {r9}], r9",
    "mov [r11 + {r10}], r10",
    "mov [r11 + {r12}], r12",
    "mov [r11 + {r13}], r13",
    "mov [r11 + {r14}], r14",
    "mov [r11 + {r15}], r15",
    "mov r12, r11",
    "mov rsp, [r12 + {kernel_rsp}]",
    "push 2",
    "popfq",
    "mov eax, [rip + {saved}]",
    "xor edx, edx",
    "xsavec64 [r12 + {extended}]",
    "ldmxcsr [rip + {mxcsr}]",
    "rdfsbase rax",
    "mov [r12 + {user_fs}], rax",
    "mov qword ptr [r12 + {trap_signal}], 0",
    ".Lumlab_task_entered:",
    "mov rax, [r12 + {core_fs}]",
    "wrfsbase rax",
    "mov dword ptr [r12 + {called}], 1",
    "mov dword ptr [r12 + {open}], 1",
    "mov rsp, [r12 + {kernel_rsp}]",
    "jmp umlab_task_resume",
    // Leaves for user mode as it has called: (record). Returns as umlab_task_leave does.
    "umlab_task_return:",
    leave_off!(),
    "mov r12, rdi",
    "umlab_task_returning:",
    "cmp dword ptr [r12 + {kicked}], 0",
    "jne .Lumlab_task_kicked",
    "mov rax, [r12 + {user_fs}]",
    "wrfsbase rax",
    "mov eax, [rip + {saved}]",
    "xor edx, edx",
    "xrstor64 [r12 + {extended}]",
    "mov rbx, [r12 + {rbx}]",
    "mov rdx, [r12 + {rdx}]",
    "mov rsi, [r12 + {rsi}]",
    "mov rdi, [r12 + {rdi}]",
    "mov rbp, [r12 + {rbp}]",
    "mov r8, [r12 + {r8}]",
    "mov r9, [r12 + {r9}]",
    "mov r10, [r12 + {r10}]",
    "mov r13, [r12 + {r13}]",
    "mov r14, [r12 + {r14}]",
    "mov r15, [r12 + {r15}]",
    "lea rsp, [r12 + {flags}]",
    "popfq",
    "mov rsp, [r12 + {rsp}]",
    "mov rcx, [r12 + {rip}]",
    "mov rax, [r12 + {rax}]",
    "mov r11, r12",
    "mov r12, [r11 + {r12}]",
    "mov dword ptr [r11 + {in_core}], 0",
    "umlab_task_left:",
    "mov r11, [r11 + {flags}]",
    "jmp rcx",
    "umlab_task_gone:",
    // A kick has come first: r12 is the record.
    ".Lumlab_task_kicked:",
    "ldmxcsr [rip + {mxcsr}]",
    "mov qword ptr [r12 + {trap_signal}], {kick}",
    "jmp .Lumlab_task_entered",
    // A signal while the core runs, on the slot: (signal, info, frame), r12 is the record. Its
    // return address is a sigreturn.
    "umlab_task_core_signal:",
    "cmp edi, {kick}",
    "je 3f",
    "cmp dword ptr [rsi + 8], 0",
    "jg {core_fault}",
    "3: mov dword ptr [r12 + {kicked}], 1",
    "lea rax, [rip + umlab_task_returning]",
    "lea rcx, [rip + umlab_task_left]",
    "sub rcx, rax",
    "neg rax",
    "add rax, [rdx + {frame_rip}]",
    "cmp rax, rcx",
    "jae 4f",
    "lea rax, [rip + .Lumlab_task_kicked]",
    "mov [rdx + {frame_rip}], rax",
    "mov [rdx + {frame_r12}], r12",
    "mov qword ptr [rdx + {frame_flags}], 2",
    "4: ret",
    local = const LOCAL,
    in_core = const offset_of!(Record, in_core),
    called = const offset_of!(Record, called),
    open = const offset_of!(Record, open),
    kicked = const offset_of!(Record, kicked),
    kernel_rsp = const offset_of!(Record, kernel_rsp),
    core_fs = const offset_of!(Record, core_fs),
    user_fs = const offset_of!(Record, user_fs),
    trap_signal = const offset_of!(Record, trap_signal),
    extended = const EXTENDED_AT - RECORD_AT,
    rip = const reg(offset_of!(CallRegs, rip)),
    rsp = const reg(offset_of!(CallRegs, rsp)),
    flags = const reg(offset_of!(CallRegs, flags)),
    rax = const reg(offset_of!(CallRegs, rax)),
    rbx = const reg(offset_of!(CallRegs, rbx)),
    rdx = const reg(offset_of!(CallRegs, rdx)),
    rsi = const reg(offset_of!(CallRegs, rsi)),
    rdi = const reg(offset_of!(CallRegs, rdi)),
    rbp = const reg(offset_of!(CallRegs, rbp)),
    r8 = const reg(offset_of!(CallRegs, r8)),
    r9 = const reg(offset_of!(CallRegs, r9)),
    r10 = const reg(offset_of!(CallRegs, r10)),
    r12 = const reg(offset_of!(CallRegs, r12)),
    r13 = const reg(offset_of!(CallRegs, r13)),
    r14 = const reg(offset_of!(CallRegs, r14)),
    r15 = const reg(offset_of!(CallRegs, r15)),
    frame_rip = const offset_of!(Frame, rip),
    frame_r12 = const offset_of!(Frame, r12),
    frame_flags = const offset_of!(Frame, eflags),
    saved = sym SAVED,
    mxcsr = sym MXCSR,
    kick = const KICK_SIGNAL,
    core_fault = sym entry::core_fault,
);

/// What of [`CHANGED_BY_CORE`] this processor has.
static SAVED: AtomicU32 = AtomicU32::new(0);
/// As core code has it: all exceptions masked.
static MXCSR: AtomicU32 = AtomicU32::new(0x1f80);
/// User code can call the core.
static ALLOWED: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    fn umlab_task_call();
    static umlab_task_called: u8;
    fn umlab_task_return(record: *const Record);
    static umlab_task_left: u8;
    static umlab_task_gone: u8;
}

/// Where user code jumps to.
pub fn entry() -> u64 {
    umlab_task_call as *const () as u64
}

/// Where a call is not yet one.
fn beginning() -> Range<u64> {
    entry()..(&raw const umlab_task_called).addr() as u64
}

/// Where all registers but rcx and r11 are user code's again.
fn ending() -> Range<u64> {
    (&raw const umlab_task_left).addr() as u64..(&raw const umlab_task_gone).addr() as u64
}

/// Lets user code call the core from now on. Called once, before there are guest processes.
///
/// # Errors
/// EOPNOTSUPP where the processor has no XSAVEC.
pub fn allow() -> Result<()> {
    // CPUID 13, 1 has bit 1 of eax for XSAVEC (Intel SDM, volume 2).
    let features = std::arch::x86_64::__cpuid_count(13, 1).eax;
    let enabled = std::arch::x86_64::__cpuid_count(13, 0).eax;
    if features & 2 == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    SAVED.store(enabled & CHANGED_BY_CORE, SeqCst);
    memory::map_private_at(LOCAL, memory::PAGE)?;
    ALLOWED.store(true, SeqCst);
    Ok(())
}

/// Whether user code can call the core.
pub fn is_allowed() -> bool {
    ALLOWED.load(Relaxed)
}

/// Names the task that is about to enter user mode in this process: the one that can be called.
pub fn name(record: &Record, callable: bool) {
    if ALLOWED.load(Relaxed) {
        let name = if callable { std::ptr::from_ref(record).addr() as u64 } else { NOBODY };
        // SAFETY: the page was mapped before there were tasks, and each process has its own.
        unsafe { (*(LOCAL as *const AtomicU64)).store(name, Relaxed) };
    }
}

/// Enters user mode as it has called the core, with the registers in the record. Returns when the
/// core is entered again.
///
/// # Safety
/// User code has called the core; the big lock is not held.
pub unsafe fn leave(record: &Record) {
    // SAFETY: as the caller promises.
    unsafe { umlab_task_return(record) };
}

/// Whether user mode can be entered so: not while each of its instructions traps.
pub fn can_return(record: &Record) -> bool {
    record.call.flags.load(Relaxed) & TRAP_FLAG == 0
}

/// A signal's frame whose instruction pointer is on the way into the core or out of it: puts it
/// where user code is. True if whatever signal it was is none of user code's.
pub fn put_back(frame: &mut Frame) -> bool {
    if beginning().contains(&frame.rip) {
        // Behind the call; the instruction itself is as it was, and traps.
        frame.rip = frame.rcx.wrapping_sub(2);
        return true;
    }
    if ending().contains(&frame.rip) {
        (frame.rip, frame.r11) = (frame.rcx, frame.eflags);
    }
    false
}

/// The extended state of user code that has called the core, as XSAVE writes it.
///
/// `state` begins at a multiple of 64 and has room for all that this host's frames hold.
pub fn read_extended(record: &Record, state: &mut [u8]) {
    assert!(state.as_ptr().addr().is_multiple_of(64) && state.len() >= umlab_host::xstate::image_len());
    let at = record.base() + EXTENDED_AT;
    let (saved, features) = (SAVED.load(Relaxed), umlab_host::xstate::features());
    // SAFETY: the first is what xsavec64 has written. What core code does not change is still in
    // the processor, and the rest is brought there for the moment.
    unsafe {
        std::arch::asm!(
            "xrstor64 [{at}]",
            "mov eax, {low:e}",
            "mov edx, {high:e}",
            "xsave64 [{state}]",
            "ldmxcsr [{mxcsr}]",
            at = in(reg) at,
            state = in(reg) state.as_mut_ptr(),
            low = in(reg) features as u32,
            high = in(reg) (features >> 32) as u32,
            mxcsr = in(reg) MXCSR.as_ptr(),
            inout("eax") saved => _,
            inout("edx") 0 => _,
            clobber_abi("C"),
        );
    }
}

/// Closes the signal mask of the running task, as it is in core code that a signal has entered.
pub fn close() {
    if ALLOWED.load(Relaxed) {
        entry::mask_signals();
    }
}

/// A new host task begins as core code that a signal has entered, and not as its parent, which may
/// have been called.
pub fn born() {
    close();
    entry::no_alternate_stack();
}
