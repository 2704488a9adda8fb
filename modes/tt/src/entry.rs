//! The few instructions by which a host task enters the core, leaves it, hands the CPU over, begins
//! and ends.
//!
//! A context that does not run has its callee-saved registers and a return address on its kernel
//! stack, at `kernel_rsp`, whether it is in user mode, or waits for its turn: so whoever continues
//! it does the same thing.
//!
//! Once a task has woken another one, that one may have left for user mode on the same CPU at once,
//! and in jail everything but *its* kernel stack is then read-only. So from there to the end of the
//! wait nothing is written and no stack is used.
//!
//! Core code begins with flags of its own. The host gives a handler fresh floating-point state and
//! clears the direction and trap flags, but leaves the others as user code had them: an alignment
//! check would end the core at its first unaligned access. A sigreturn brings back all but two of
//! them.

use crate::area::{AREA, AREA_SHIFT, RECORD_AT, Record, SLOT_SHIFT};
use crate::frame::Frame;
use std::mem::offset_of;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

std::arch::global_asm!(
    // The handler of all signals of guest tasks: (signal, info, frame), below the frame on the
    // slot, or on the kernel stack.
    ".global umlab_tt_entry",
    "umlab_tt_entry:",
    "push {core_flags}",
    "popfq",
    "mov rax, rsp",
    "sub rax, [rip + {places} + {slots}]",
    "cmp rax, [rip + {places} + {slots_len}]",
    "jae {core_fault}",
    "shr rax, {slot_shift}",
    "shl rax, {area_shift}",
    "mov r12, [rip + {places} + {areas_end}]",
    "sub r12, rax",
    "sub r12, {record_below}",
    "mov r13, rdi",
    "mov r14, rsi",
    "mov r15, rdx",
    "rdfsbase rbx",
    "mov rax, [r12 + {core_fs}]",
    "wrfsbase rax",
    "cmp dword ptr [r12 + {without_timestamps}], 0",
    "je 7f",
    "mov esi, {tsc_enable}",
    "call 20f",
    "7: mov rax, [rip + {places} + {on_enter}]",
    "test rax, rax",
    "jz 3f",
    "mov rdi, r12",
    "and rsp, -16",
    "call rax",
    "3: mov [r12 + {trap_signal}], r13",
    "mov [r12 + {trap_info}], r14",
    "mov [r12 + {trap_frame}], r15",
    "mov [r12 + {user_fs}], rbx",
    "mov rsp, [r12 + {kernel_rsp}]",
    "jmp 9f",
    // Sets what reading the time stamp counter does: (nothing, setting).
    "20: mov edi, {set_tsc}",
    "mov eax, {prctl}",
    "syscall",
    "ret",
    ".global umlab_tt_restorer",
    "umlab_tt_restorer:",
    "mov eax, {sigreturn}",
    "syscall",
    "ud2",
    // Leaves for user mode: (record, frame). Returns when the task enters the core again. The
    // signal waits until the sigreturn lets it through.
    ".global umlab_tt_leave",
    "umlab_tt_leave:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [rdi + {kernel_rsp}], rsp",
    "mov r12, rdi",
    "mov r13, rsi",
    "lea rsp, [rsi - 16]",
    "mov rax, [rip + {places} + {on_leave}]",
    "test rax, rax",
    "jz 4f",
    "call rax",
    "4: cmp dword ptr [r12 + {without_timestamps}], 0",
    "je 7f",
    "mov esi, {tsc_sigsegv}",
    "call 20b",
    "7: mov rax, [r12 + {user_fs}]",
    "wrfsbase rax",
    "mov edi, [r12 + {tid}]",
    "mov esi, edi",
    "mov edx, {leave_signal}",
    "mov eax, {tgkill}",
    "syscall",
    // What the sigreturn takes from the flags of the moment.
    "mov rax, [r13 + {frame_flags}]",
    "and eax, {kept_flags}",
    "push rax",
    "popfq",
    "mov rsp, r13",
    "mov eax, {sigreturn}",
    "syscall",
    "ud2",
    // Hands the CPU over and waits for it to come back: (own record, the other's).
    ".global umlab_tt_switch",
    "umlab_tt_switch:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [rdi + {kernel_rsp}], rsp",
    "mov r12, rdi",
    "mov dword ptr [r12 + {parked}], 1",
    "mov dword ptr [rsi + {word}], 1",
    "lea rdi, [rsi + {word}]",
    "mov esi, {futex_wake}",
    "mov edx, 1",
    "mov eax, {futex}",
    "syscall",
    // Waits for its turn; r12 is the record.
    "5: cmp dword ptr [r12 + {word}], 0",
    "jne 6f",
    "lea rdi, [r12 + {word}]",
    "mov esi, {futex_wait}",
    "xor edx, edx",
    "xor r10d, r10d",
    "mov eax, {futex}",
    "syscall",
    "jmp 5b",
    "6: mov dword ptr [r12 + {word}], 0",
    "mov dword ptr [r12 + {parked}], 0",
    "mov rsp, [r12 + {kernel_rsp}]",
    "9:",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    // Makes a host task that waits for its first turn: (flags, record). Returns what clone(2) does.
    ".global umlab_tt_clone",
    "umlab_tt_clone:",
    "push r12",
    "mov r12, rsi",
    "mov rsi, [r12 + {kernel_rsp}]",
    "lea rdx, [r12 + {tid}]",
    "xor r10d, r10d",
    "mov r8, [r12 + {core_fs}]",
    "mov eax, {clone}",
    "syscall",
    "test rax, rax",
    "jz 5b",
    "pop r12",
    "ret",
    // As above, from a thread that is not traced: (flags, record, function). The function is called
    // first, with the record, on the new stack.
    ".global umlab_tt_seed",
    "umlab_tt_seed:",
    "push r12",
    "push r13",
    "mov r12, rsi",
    "mov r13, rdx",
    "mov rsi, [r12 + {kernel_rsp}]",
    "sub rsi, 256",
    "and rsi, -16",
    "lea rdx, [r12 + {tid}]",
    "xor r10d, r10d",
    "mov r8, [r12 + {core_fs}]",
    "mov eax, {clone}",
    "syscall",
    "test rax, rax",
    "jz 8f",
    "pop r13",
    "pop r12",
    "ret",
    "8: mov rdi, r12",
    "call r13",
    "jmp 5b",
    // Goes on in a new host process on the same stack, and ends this one: (flags, record). Returns
    // 0, or an error.
    ".global umlab_tt_rehost",
    "umlab_tt_rehost:",
    "mov r9, rsi",
    "lea rdx, [r9 + {tid}]",
    "mov r8, [r9 + {core_fs}]",
    "xor esi, esi",
    "xor r10d, r10d",
    "mov eax, {clone}",
    "syscall",
    "test rax, rax",
    "jg 4f",
    "ret",
    "4: xor edi, edi",
    "mov eax, {exit}",
    "syscall",
    "ud2",
    // Hands the CPU over and ends: (the other's record).
    ".global umlab_tt_finish",
    "umlab_tt_finish:",
    "mov dword ptr [rdi + {word}], 1",
    "lea rdi, [rdi + {word}]",
    "mov esi, {futex_wake}",
    "mov edx, 1",
    "mov eax, {futex}",
    "syscall",
    "jmp 4b",
    // A new context's first turn returns here: r12 is the argument, r13 the function.
    ".global umlab_tt_start",
    "umlab_tt_start:",
    "mov rdi, r12",
    "xor ebp, ebp",
    "call r13",
    "ud2",
    places = sym PLACES,
    areas_end = const offset_of!(Places, areas_end),
    slots = const offset_of!(Places, slots),
    slots_len = const offset_of!(Places, slots_len),
    on_enter = const offset_of!(Places, on_enter),
    on_leave = const offset_of!(Places, on_leave),
    area_shift = const AREA_SHIFT,
    slot_shift = const SLOT_SHIFT,
    record_below = const AREA - RECORD_AT,
    trap_signal = const offset_of!(Record, trap_signal),
    trap_info = const offset_of!(Record, trap_info),
    trap_frame = const offset_of!(Record, trap_frame),
    user_fs = const offset_of!(Record, user_fs),
    core_fs = const offset_of!(Record, core_fs),
    kernel_rsp = const offset_of!(Record, kernel_rsp),
    word = const offset_of!(Record, word),
    tid = const offset_of!(Record, tid),
    parked = const offset_of!(Record, parked),
    without_timestamps = const offset_of!(Record, without_timestamps),
    set_tsc = const libc::PR_SET_TSC,
    tsc_enable = const libc::PR_TSC_ENABLE,
    tsc_sigsegv = const libc::PR_TSC_SIGSEGV,
    prctl = const libc::SYS_prctl,
    frame_flags = const offset_of!(Frame, eflags),
    core_flags = const CORE_FLAGS,
    kept_flags = const KEPT_FLAGS,
    leave_signal = const LEAVE_SIGNAL,
    sigreturn = const libc::SYS_rt_sigreturn,
    tgkill = const libc::SYS_tgkill,
    futex = const libc::SYS_futex,
    futex_wait = const libc::FUTEX_WAIT,
    futex_wake = const libc::FUTEX_WAKE,
    clone = const libc::SYS_clone,
    exit = const libc::SYS_exit,
    core_fault = sym core_fault,
);

/// Nothing but the bit that is always set.
const CORE_FLAGS: u32 = 2;
/// Nested task, and the flag by which old programs look for CPUID: the host's sigreturn(2) does not
/// touch these.
const KEPT_FLAGS: u32 = 1 << 14 | 1 << 21;

/// What the handler must know before it knows anything.
#[repr(C)]
struct Places {
    areas_end: AtomicUsize,
    slots: AtomicUsize,
    slots_len: AtomicUsize,
    on_enter: AtomicUsize,
    on_leave: AtomicUsize,
}

static PLACES: Places = Places {
    areas_end: AtomicUsize::new(0),
    slots: AtomicUsize::new(0),
    slots_len: AtomicUsize::new(0),
    on_enter: AtomicUsize::new(0),
    on_leave: AtomicUsize::new(0),
};

/// Says where areas end and slots are. Called once.
pub fn set_places(areas_end: usize, slots: usize, slots_len: usize) {
    PLACES.areas_end.store(areas_end, SeqCst);
    PLACES.slots.store(slots, SeqCst);
    PLACES.slots_len.store(slots_len, SeqCst);
}

/// What a variant of the model does at the border between core and user mode, in the guest's own
/// process: jail protects the core's memory here. Called with the task's record, without the big
/// lock, on a part of the task's slot. From the end of `leave` to the beginning of `enter` nothing
/// but the slot is written to.
pub struct Guard {
    pub leave: extern "C" fn(&Record),
    pub enter: extern "C" fn(&Record),
}

pub fn set_guard(guard: Guard) {
    PLACES.on_enter.store(guard.enter as usize, SeqCst);
    PLACES.on_leave.store(guard.leave as usize, SeqCst);
}

/// A task's signal to itself: it wants to leave the core.
pub const LEAVE_SIGNAL: i32 = libc::SIGUSR1;
/// The tracer's signal to a task that made a system call: its handler is the core's entry.
pub const ENTRY_SIGNAL: i32 = libc::SIGUSR2;
/// Signals that the host sends for what an instruction did.
pub const FAULTS: [i32; 6] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS];
/// A guest CPU is wanted in the core.
pub const KICK_SIGNAL: i32 = libc::SIGALRM;

unsafe extern "C" {
    fn umlab_tt_entry();
    fn umlab_tt_restorer();
    fn umlab_tt_start();
    pub fn umlab_tt_leave(record: *const Record, frame: usize);
    pub fn umlab_tt_switch(own: *const Record, other: *const Record);
    pub fn umlab_tt_clone(flags: u64, record: *const Record) -> i64;
    pub fn umlab_tt_seed(flags: u64, record: *const Record, first: extern "C" fn(&Record)) -> i64;
    pub fn umlab_tt_rehost(flags: u64, record: *const Record) -> i64;
    pub fn umlab_tt_finish(other: *const Record) -> !;
}

/// Makes the first turn of a context call `main(argument)` on its kernel stack.
pub fn prepare(record: &Record, main: extern "C" fn(usize) -> !, argument: usize) {
    // What is popped: r15, r14, r13, r12, rbx, rbp, the return address.
    let frame = [0, 0, main as *const () as u64, argument as u64, 0, 0, umlab_tt_start as *const () as u64, 0];
    let at = (record.base() + RECORD_AT - (frame.len() + 1) * 8) as *mut u64;
    // SAFETY: the top of a kernel stack that nothing runs on.
    unsafe { std::ptr::copy_nonoverlapping(frame.as_ptr(), at, frame.len()) };
    record.kernel_rsp.store(at as u64, SeqCst);
    record.parked.store(1, SeqCst);
}

/// Makes this process's signals lead into the core. Inherited by what is cloned from it.
pub fn install_handlers() {
    #[repr(C)]
    struct Action {
        handler: usize,
        flags: u64,
        restorer: usize,
        mask: u64,
    }
    // While the core runs: nothing but its own faults. The rest waits for user mode.
    let open = FAULTS.iter().fold(0u64, |set, signal| set | 1 << (signal - 1));
    const SA_RESTORER: u64 = 0x0400_0000;
    let flags = u64::from((libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER) as u32) | SA_RESTORER;
    for signal in FAULTS.into_iter().chain([ENTRY_SIGNAL, KICK_SIGNAL]) {
        let action = Action {
            handler: umlab_tt_entry as *const () as usize,
            flags,
            restorer: umlab_tt_restorer as *const () as usize,
            mask: !open,
        };
        // SAFETY: the host's own sigaction structure, as rt_sigaction(2) wants it, and a handler
        // that runs on the alternate stack.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const action, 0usize, 8usize) };
    }
    let mask = !open;
    // SAFETY: a set of eight bytes.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, 0usize, 8usize) };
}

/// A signal that came while core code ran in a guest's process: memory that was missing, or the
/// core broke. After its report the instruction faults once more, and the tracer ends the guest.
extern "C" fn core_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the arguments are the host's.
    unsafe {
        // One that somebody on the host sent is nobody's.
        if (*info).si_code > 0 {
            umlab_host::copy::on_fault(signal, info, context);
        }
    }
}
