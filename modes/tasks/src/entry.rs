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
use crate::space::USER_TOP;
use crate::spare::{self, Spare};
use std::mem::offset_of;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};

/// The context whose record is in rdi leaves off here: whoever continues it pops this.
macro_rules! leave_off {
    () => {
        "push rbp\npush rbx\npush r12\npush r13\npush r14\npush r15\nmov [rdi + {kernel_rsp}], rsp"
    };
}
pub(crate) use leave_off;

std::arch::global_asm!(
    // The handler of all signals of guest tasks: (signal, info, frame), below the frame on the
    // slot, or on the kernel stack.
    ".global umlab_task_entry",
    "umlab_task_entry:",
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
    // Core code that was called by user code runs with the slot as its alternate stack.
    "cmp dword ptr [r12 + {in_core}], 0",
    "jne umlab_task_core_signal",
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
    "mov dword ptr [r12 + {in_core}], 1",
    "mov dword ptr [r12 + {called}], 0",
    "mov dword ptr [r12 + {open}], 0",
    "jmp 9f",
    // Sets what reading the time stamp counter does: (nothing, setting).
    "20: mov edi, {set_tsc}",
    "mov eax, {prctl}",
    "syscall",
    "ret",
    ".global umlab_task_restorer",
    "umlab_task_restorer:",
    "mov eax, {sigreturn}",
    "syscall",
    "ud2",
    // Leaves for user mode: (record, frame). Returns when the task enters the core again. Where an
    // interception wants a signal then, it waits until the sigreturn lets it through.
    ".global umlab_task_leave",
    "umlab_task_leave:",
    leave_off!(),
    "mov r12, rdi",
    "mov r13, rsi",
    "mov dword ptr [r12 + {in_core}], 0",
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
    "mov edx, [rip + {places} + {leave_signal}]",
    "test edx, edx",
    "jz 8f",
    "mov edi, [r12 + {tid}]",
    "mov esi, edi",
    "mov eax, {tgkill}",
    "syscall",
    // What the sigreturn takes from the flags of the moment.
    "8: mov rax, [r13 + {frame_flags}]",
    "and eax, {kept_flags}",
    "push rax",
    "popfq",
    "mov rsp, r13",
    "mov eax, {sigreturn}",
    "syscall",
    "ud2",
    // Hands the CPU over and waits for it to come back: (own record, the other's).
    ".global umlab_task_switch",
    "umlab_task_switch:",
    leave_off!(),
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
    ".global umlab_task_resume",
    "umlab_task_resume:",
    "9:",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    // Makes a host task that waits for its first turn: (flags, record). Returns what clone(2) does.
    // Before, the task does what an interception wants.
    ".global umlab_task_clone",
    "umlab_task_clone:",
    "push r12",
    "mov r12, rsi",
    "mov rsi, [r12 + {kernel_rsp}]",
    "lea rdx, [r12 + {tid}]",
    "xor r10d, r10d",
    "mov r8, [r12 + {core_fs}]",
    "mov eax, {clone}",
    "syscall",
    "test rax, rax",
    "jz 8f",
    "pop r12",
    "ret",
    "8: 22: mov rax, [rip + {places} + {born}]",
    "test rax, rax",
    "jz 5b",
    "mov rdi, r12",
    "and rsp, -16",
    "call rax",
    "jmp 5b",
    // As above, from the warden: (flags, record, function). The function is called
    // first, with the record, on the new stack.
    ".global umlab_task_seed",
    "umlab_task_seed:",
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
    ".global umlab_task_rehost",
    "umlab_task_rehost:",
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
    ".global umlab_task_finish",
    "umlab_task_finish:",
    "mov dword ptr [rdi + {word}], 1",
    "lea rdi, [rdi + {word}]",
    "mov esi, {futex_wake}",
    "mov edx, 1",
    "mov eax, {futex}",
    "syscall",
    "jmp 4b",
    // Hands the CPU over, takes this process's guest mappings and slots away, and waits for another
    // record: (the next one's record, the spare's place).
    ".global umlab_task_retire",
    "umlab_task_retire:",
    "mov r13, rsi",
    "mov dword ptr [r13 + {spare_state}], {spare_waits}",
    "mov dword ptr [rdi + {word}], 1",
    "lea rdi, [rdi + {word}]",
    "mov esi, {futex_wake}",
    "mov edx, 1",
    "mov eax, {futex}",
    "syscall",
    "xor edi, edi",
    "movabs rsi, {user_top}",
    "mov eax, {munmap}",
    "syscall",
    "mov rdi, [rip + {places} + {slots}]",
    "mov rsi, [rip + {places} + {slots_len}]",
    "mov edx, {dontneed}",
    "mov eax, {madvise}",
    "syscall",
    "2: cmp dword ptr [r13 + {spare_word}], 0",
    "jne 3f",
    "lea rdi, [r13 + {spare_word}]",
    "mov esi, {futex_wait}",
    "xor edx, edx",
    "xor r10d, r10d",
    "mov eax, {futex}",
    "syscall",
    "jmp 2b",
    // It is as a new host task of the record.
    "3: mov r12, [r13 + {spare_record}]",
    "mov eax, [r13 + {spare_tid}]",
    "mov [r12 + {tid}], eax",
    "mov rcx, [r13 + {spare_selectors}]",
    "mov dword ptr [r13 + {spare_state}], {spare_none}",
    "mov ds, ecx",
    "shr rcx, 16",
    "mov es, ecx",
    "shr rcx, 16",
    "mov fs, ecx",
    "shr rcx, 16",
    "mov gs, ecx",
    "mov rax, [r12 + {core_fs}]",
    "wrfsbase rax",
    "mov rsp, [r12 + {kernel_rsp}]",
    "and rsp, -16",
    "call {mask_signals}",
    "mov rsp, [r12 + {kernel_rsp}]",
    "jmp 22b",
    // Has a spare process go on on the same stack, and ends this one: (record, the spare's place).
    // Once this one is the leaver, the other goes on whatever becomes of it.
    ".global umlab_task_take_over",
    "umlab_task_take_over:",
    leave_off!(),
    "mov dword ptr [rdi + {word}], 1",
    "mov eax, [rdi + {tid}]",
    "mov [rsi + {spare_leaver}], eax",
    "mov dword ptr [rsi + {spare_word}], 1",
    "lea rdi, [rsi + {spare_word}]",
    "mov esi, {futex_wake}",
    "mov edx, 1",
    "mov eax, {futex}",
    "syscall",
    "jmp 4b",
    // A new context's first turn returns here: r12 is the argument, r13 the function.
    ".global umlab_task_start",
    "umlab_task_start:",
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
    leave_signal = const offset_of!(Places, leave_signal),
    born = const offset_of!(Places, born),
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
    in_core = const offset_of!(Record, in_core),
    called = const offset_of!(Record, called),
    open = const offset_of!(Record, open),
    without_timestamps = const offset_of!(Record, without_timestamps),
    spare_word = const offset_of!(Spare, word),
    spare_tid = const offset_of!(Spare, tid),
    spare_selectors = const offset_of!(Spare, selectors),
    spare_leaver = const offset_of!(Spare, leaver),
    spare_record = const offset_of!(Spare, record),
    spare_state = const offset_of!(Spare, state),
    spare_none = const spare::NONE,
    spare_waits = const spare::WAITS,
    mask_signals = sym mask_signals,
    user_top = const USER_TOP,
    munmap = const libc::SYS_munmap,
    madvise = const libc::SYS_madvise,
    dontneed = const libc::MADV_DONTNEED,
    set_tsc = const libc::PR_SET_TSC,
    tsc_enable = const libc::PR_TSC_ENABLE,
    tsc_sigsegv = const libc::PR_TSC_SIGSEGV,
    prctl = const libc::SYS_prctl,
    frame_flags = const offset_of!(Frame, eflags),
    core_flags = const CORE_FLAGS,
    kept_flags = const KEPT_FLAGS,
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
    leave_signal: AtomicI32,
    born: AtomicUsize,
}

static PLACES: Places = Places {
    areas_end: AtomicUsize::new(0),
    slots: AtomicUsize::new(0),
    slots_len: AtomicUsize::new(0),
    on_enter: AtomicUsize::new(0),
    on_leave: AtomicUsize::new(0),
    leave_signal: AtomicI32::new(0),
    born: AtomicUsize::new(0),
};

/// Says where areas end and slots are. Called once.
pub fn set_places(areas_end: usize, slots: usize, slots_len: usize) {
    PLACES.areas_end.store(areas_end, SeqCst);
    PLACES.slots.store(slots, SeqCst);
    PLACES.slots_len.store(slots_len, SeqCst);
}

/// What a variant of a model does at the border between core and user mode, in the guest's own
/// process: jail protects the core's memory here. Called with the task's record, without the big
/// lock.
pub struct Guard {
    /// The core's last act before `leave`, still core code: it may write and take locks, and a kill
    /// that hits it ends the guest.
    pub prepare: fn(&Record),
    /// Runs on a part of the task's slot. From its end to the beginning of `enter` nothing but the
    /// slot is written to. A task that is killed in it, or in `enter`, counts as one in user mode:
    /// so it must hold nothing that others wait for.
    pub leave: extern "C" fn(&Record),
    pub enter: extern "C" fn(&Record),
    /// The variant's own counters.
    pub counters: fn() -> Vec<(&'static str, u64)>,
}

/// The guard's functions are called from now on.
pub fn set_guard(guard: &Guard) {
    PLACES.on_enter.store(guard.enter as usize, SeqCst);
    PLACES.on_leave.store(guard.leave as usize, SeqCst);
}

/// Each new host task calls this function first.
pub fn set_born(born: extern "C" fn(&Record)) {
    PLACES.born.store(born as usize, SeqCst);
}

/// A task sends itself this signal when it wants to leave the core.
pub fn set_leave_signal(signal: i32) {
    PLACES.leave_signal.store(signal, SeqCst);
}

/// Signals that the host sends for what an instruction did.
pub const FAULTS: [i32; 6] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS];
/// A guest CPU is wanted in the core.
pub const KICK_SIGNAL: i32 = libc::SIGALRM;

unsafe extern "C" {
    fn umlab_task_entry();
    fn umlab_task_restorer();
    fn umlab_task_start();
    pub fn umlab_task_leave(record: *const Record, frame: usize);
    pub fn umlab_task_switch(own: *const Record, other: *const Record);
    pub fn umlab_task_clone(flags: u64, record: *const Record) -> i64;
    pub fn umlab_task_seed(flags: u64, record: *const Record, first: extern "C" fn(&Record)) -> i64;
    pub fn umlab_task_rehost(flags: u64, record: *const Record) -> i64;
    pub fn umlab_task_finish(other: *const Record) -> !;
    pub fn umlab_task_retire(other: *const Record, place: *const Spare) -> !;
    pub fn umlab_task_take_over(record: *const Record, spare: *const Spare);
}

/// Makes the first turn of a context call `main(argument)` on its kernel stack.
pub fn prepare(record: &Record, main: extern "C" fn(usize) -> !, argument: usize) {
    // What is popped: r15, r14, r13, r12, rbx, rbp, the return address.
    let frame = [0, 0, main as *const () as u64, argument as u64, 0, 0, umlab_task_start as *const () as u64, 0];
    let at = (record.base() + RECORD_AT - (frame.len() + 1) * 8) as *mut u64;
    // SAFETY: the top of a kernel stack that nothing runs on.
    unsafe { std::ptr::copy_nonoverlapping(frame.as_ptr(), at, frame.len()) };
    record.kernel_rsp.store(at as u64, SeqCst);
    record.parked.store(1, SeqCst);
}

/// Makes this process's signals, and those of an interception, lead into the core. Inherited by
/// what is cloned from it.
pub fn install_handlers(more: &[i32]) {
    #[repr(C)]
    struct Action {
        handler: usize,
        flags: u64,
        restorer: usize,
        mask: u64,
    }
    const SA_RESTORER: u64 = 0x0400_0000;
    let flags = u64::from((libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER) as u32) | SA_RESTORER;
    for signal in FAULTS.iter().chain(more).chain([&KICK_SIGNAL]) {
        let action = Action {
            handler: umlab_task_entry as *const () as usize,
            flags,
            restorer: umlab_task_restorer as *const () as usize,
            mask: all_but_faults(),
        };
        // SAFETY: the host's own sigaction structure, as rt_sigaction(2) wants it, and a handler
        // that runs on the alternate stack.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, *signal, &raw const action, 0usize, 8usize) };
    }
    mask_signals();
}

/// The running task's signals are handled on the stack that it is on. User code's alternate stack
/// comes with its first frame.
pub fn no_alternate_stack() {
    // SAFETY: all-zero is a valid stack_t.
    unsafe {
        let mut none: libc::stack_t = std::mem::zeroed();
        none.ss_flags = libc::SS_DISABLE;
        libc::sigaltstack(&raw const none, std::ptr::null_mut());
    }
}

/// What waits for user mode while the core runs: all but its own faults.
fn all_but_faults() -> u64 {
    !FAULTS.iter().fold(0u64, |set, signal| set | 1 << (signal - 1))
}

/// Blocks all signals of the running task but its own faults.
pub extern "C" fn mask_signals() {
    set_mask(all_but_faults());
}

/// Blocks all signals of the running task.
pub fn block_signals() {
    set_mask(u64::MAX);
}

fn set_mask(mask: u64) {
    // SAFETY: a set of eight bytes.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, 0usize, 8usize) };
}

/// A signal that came while core code ran in a guest's process: memory that was missing, a system
/// call that the host did not carry out for where it was made from, or the core broke. After its
/// report the instruction faults once more, and the warden ends the guest.
pub(crate) extern "C" fn core_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the arguments are the host's.
    unsafe {
        // One that somebody on the host sent is nobody's.
        if (*info).si_code <= 0 {
            return;
        }
        if signal == libc::SIGSYS {
            carry_out(&mut *context.cast::<Frame>());
        } else {
            umlab_host::copy::on_fault(signal, info, context);
        }
    }
}

/// Makes a call of the host's vDSO, for a clock that it cannot read, from here.
fn carry_out(frame: &mut Frame) {
    let Frame { rax, rdi, rsi, rdx, r10, r8, r9, .. } = *frame;
    // SAFETY: the core's own call.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") rax => frame.rax, in("rdi") rdi, in("rsi") rsi, in("rdx") rdx,
            in("r10") r10, in("r8") r8, in("r9") r9, lateout("rcx") _, lateout("r11") _);
    }
}
