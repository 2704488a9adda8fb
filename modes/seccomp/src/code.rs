//! The stub: the page of code of ours that each stub process has, and what it finds in memory.
//!
//! Two kinds of threads run it. The *mapper*, the process's first thread, runs nothing else: it
//! sleeps until the core has written orders, carries them out, and reports. It is under no filter.
//! A *runner* runs user code, and comes here when the host sends it a signal: for an exception, an
//! interrupt, or a call whose registers the core needs. The handler reports by a call, which the
//! filter notifies the core of as of any other, and sleeps in it. The core answers with the frame
//! from which the handler then restores the registers, without a sigreturn: so the filter lets a
//! runner make no call at all, and the host's signal mask, handlers and alternate stack stay as
//! they are.
//!
//! Guests can read this page, jump into it, and write the slots, where frames lie. That gains them
//! nothing: what a runner does here it can do in user code as well, each call is the core's to
//! answer, and what lies in a slot is an allegation to the core.

use std::mem::{offset_of, size_of_val};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};
use umlab_abi::ucontext::UContext;
use umlab_host::Result;
use umlab_host::memory::{PAGE, SharedMemory};
use umlab_host::seccomp::{self, Instruction};
use umlab_stubs::{CODE, END, ORDER_PAGES, Order, SLOT, SLOT_COUNT, SLOTS};

/// What stands before the orders, for the mapper to read.
#[repr(C)]
#[derive(Clone, Copy, zerocopy::IntoBytes, zerocopy::Immutable)]
pub struct Head {
    /// Counts batches. The mapper sleeps while it is what it was.
    pub turn: u32,
    /// The descriptor that is written when a batch is done.
    pub done: i32,
    /// What is written there when all orders were carried out, and when one failed.
    pub good: u64,
    pub bad: u64,
    /// The descriptor whose position tells which order failed, and how.
    pub channel: u64,
    /// The alternate stack of the runner that is started: its slot, up to its [`Hand`].
    pub stack: [u64; 3],
    /// For a fork of the template: the descriptor of its own memory, and the core's process.
    pub memory: i32,
    pub core: i32,
}

/// Where orders begin.
pub const FIRST: usize = size_of::<Head>();

/// Where slots begin in a process's memory, behind the order pages.
pub const SLOTS_AT: usize = ORDER_PAGES * PAGE;
/// How long all slots are.
pub const SLOTS_LEN: usize = SLOT_COUNT * SLOT;

/// What a runner has that is in no frame. The handler saves it below the frame that it was called
/// with, and loads it from there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
pub struct Segments {
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u16,
    pub es: u16,
    pub fs: u16,
    pub gs: u16,
    /// They are to be loaded: the runner has others.
    pub changed: u64,
}

/// How far below a frame its [`Segments`] begin. The words from which the handler returns lie in
/// between, and frames of further signals below both, because the host leaves 128 bytes free there.
pub const SEGMENTS: usize = 80;
const _: () = assert!(size_of::<Segments>() == 32 && SEGMENTS - 32 >= 6 * 8 && SEGMENTS <= 128);

/// The end of a slot: how a runner and the core hand over without a call of the host's, while both
/// look.
#[repr(C, align(64))]
pub struct Hand {
    /// One of [`RUNNING`], [`POSTED`], [`ASLEEP`] and [`ANSWERED`].
    pub word: AtomicU32,
    /// The core does not look: a runner that has something to report calls at once.
    pub core_sleeps: AtomicU32,
    /// The answer: the frame to go on from. Zero once the runner has taken it.
    pub answer: AtomicU64,
    /// The arguments of the report that is posted.
    pub report: [AtomicU64; 6],
    /// The number of its filter's listener, or an error, once it has made that.
    pub listener: AtomicI64,
}

/// User code runs.
pub const RUNNING: u32 = 0;
/// The runner has posted a report, and looks for the answer.
pub const POSTED: u32 = 1;
/// It looks no longer: it makes the call that reports.
pub const ASLEEP: u32 = 2;
/// The core has answered.
pub const ANSWERED: u32 = 3;

/// How much of a slot is stack, up to the [`Hand`].
pub const STACK: usize = SLOT - size_of::<Hand>();
const _: () = assert!(STACK.is_multiple_of(64) && FIRST == 64);

/// The number by which a handler reports: no call of Linux's.
const REPORT: u32 = 0x0060_0000;

/// Signals that the host sends for what an instruction did.
pub const FAULTS: [i32; 6] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS];

// What the core puts into the page behind the code.
const CONSTANTS: usize = 2048;
const ALL_SIGNALS: usize = CONSTANTS;
const RUNNERS_SIGNALS: usize = CONSTANTS + 8;
const PROGRAM: usize = CONSTANTS + 16;
const FILTER: usize = CONSTANTS + 32;

/// Relative to a frame: something in its [`Segments`].
const fn below(offset: usize) -> i64 {
    offset as i64 - SEGMENTS as i64
}

std::arch::global_asm!(
    ".global umlab_seccomp_start, umlab_seccomp_entry, umlab_seccomp_saved, umlab_seccomp_reported, umlab_seccomp_tail, umlab_seccomp_tail_end, umlab_seccomp_looks, umlab_seccomp_end",
    // The mapper. rbx points to the order pages.
    "umlab_seccomp_start:",
    "mov r12, rbx",
    "xor r13d, r13d",
    "movabs rsi, {all_signals}",
    "mov edi, {set_mask}",
    "xor edx, edx",
    "mov r10d, 8",
    "mov eax, {sigprocmask}",
    "syscall",
    // r13d counts the batches that were carried out.
    "1: mov eax, [r12 + {turn}]",
    "cmp eax, r13d",
    "jne 2f",
    "lea rdi, [r12 + {turn}]",
    "mov esi, {futex_wait}",
    "mov edx, r13d",
    "xor r10d, r10d",
    "mov eax, {futex}",
    "syscall",
    "jmp 1b",
    "2: mov r13d, eax",
    "lea rbx, [r12 + {first}]",
    "lea r14, [r12 + {good}]",
    "3: mov rax, [rbx]",
    "cmp rax, {end}",
    "je 5f",
    "mov r15, rax",
    "mov rdi, [rbx + 8]",
    "mov rsi, [rbx + 16]",
    "mov rdx, [rbx + 24]",
    "mov r10, [rbx + 32]",
    "mov r8, [rbx + 40]",
    "mov r9, [rbx + 48]",
    "syscall",
    "cmp rax, -4095",
    "jae 4f",
    "cmp r15, {clone}",
    "jne 6f",
    "test rax, rax",
    "jnz 6f",
    "test edi, {thread}",
    "jnz 7f",
    "jmp 16f",
    "6: add rbx, {order}",
    "jmp 3b",
    // An order failed: where, and the error, as one number.
    "4: neg rax",
    "mov rsi, rbx",
    "sub rsi, r12",
    "shl rsi, 12",
    "or rsi, rax",
    "lea r14, [r12 + {bad}]",
    "mov edi, [r12 + {channel}]",
    "xor edx, edx",
    "mov eax, {lseek}",
    "syscall",
    "5: mov edi, [r12 + {done}]",
    "mov rsi, r14",
    "mov edx, 8",
    "mov eax, {write}",
    "syscall",
    "jmp 1b",
    // A new runner.
    "7: lea rdi, [r12 + {stack}]",
    "xor esi, esi",
    "mov eax, {sigaltstack}",
    "syscall",
    "mov r14, [r12 + {stack}]",
    "add r14, {stack_len}",
    "movabs rsi, {runners_signals}",
    "mov edi, {set_mask}",
    "xor edx, edx",
    "mov r10d, 8",
    "mov eax, {sigprocmask}",
    "syscall",
    "mov edi, {set_filter}",
    "mov esi, {filter_flags}",
    "movabs rdx, {program}",
    "mov eax, {seccomp}",
    "syscall",
    "mov [r14 + {listener}], rax",
    "test rax, rax",
    "js 8f",
    // Its first report.
    "int3",
    "8: xor edi, edi",
    "mov eax, {exit}",
    "syscall",
    "ud2",
    // A new process. It dies with the core, which may have died before that took effect.
    "16: mov r13d, [r12 + {memory}]",
    "mov r14d, [r12 + {core}]",
    "mov edi, {set_parents_death}",
    "mov esi, {kill}",
    "mov eax, {prctl}",
    "syscall",
    "mov r15d, 1",
    "mov eax, {getppid}",
    "syscall",
    "cmp eax, r14d",
    "jne 17f",
    // Its own order pages and slots come over the template's.
    "mov r15d, 2",
    "mov rdi, r12",
    "mov esi, {orders_len}",
    "mov edx, {read}",
    "mov r10d, {shared_fixed}",
    "mov r8d, r13d",
    "xor r9d, r9d",
    "mov eax, {mmap}",
    "syscall",
    "cmp rax, r12",
    "jne 17f",
    "mov r15d, 3",
    "movabs rdi, {slots}",
    "mov esi, {slots_len}",
    "mov edx, {read_write}",
    "mov r9d, {orders_len}",
    "mov eax, {mmap}",
    "syscall",
    "cmp rax, rdi",
    "jne 17f",
    "mov rbx, r12",
    "jmp umlab_seccomp_start",
    // The step that failed.
    "17: mov edi, r15d",
    "mov eax, {exit}",
    "syscall",
    "ud2",
    // The handler of all signals: (signal, info, frame).
    "umlab_seccomp_entry:",
    "mov rbx, rdx",
    "mov r15d, edi",
    "rdfsbase rax",
    "mov [rbx + {fs_base}], rax",
    "rdgsbase rax",
    "mov [rbx + {gs_base}], rax",
    "mov eax, ds",
    "mov [rbx + {ds}], ax",
    "mov eax, es",
    "mov [rbx + {es}], ax",
    "mov eax, fs",
    "mov [rbx + {fs}], ax",
    "mov eax, gs",
    "mov [rbx + {gs}], ax",
    "mov qword ptr [rbx + {changed}], 0",
    "umlab_seccomp_saved:",
    // The report: signal and code, frame, address, system call and its interface, error, trap.
    "mov r12, rsp",
    "and r12, -{slot}",
    "add r12, {stack_len}",
    "lea rsi, [rbx + {info}]",
    "mov edi, r15d",
    "mov eax, [rsi + 8]",
    "shl rax, 32",
    "or rdi, rax",
    "mov rdx, [rsi + 16]",
    "mov r10, [rsi + 24]",
    "mov r8, [rbx + {error}]",
    "mov r9, [rbx + {trap}]",
    "mov rsi, rbx",
    // An interrupt has to arrive, whatever other threads of the guest write into the slot.
    "cmp edi, {interrupt}",
    "je 14f",
    "mov [r12 + {post}], rdi",
    "mov [r12 + {post} + 8], rsi",
    "mov [r12 + {post} + 16], rdx",
    "mov [r12 + {post} + 24], r10",
    "mov [r12 + {post} + 32], r8",
    "mov [r12 + {post} + 40], r9",
    "mov eax, {posted}",
    "xchg [r12 + {word}], eax",
    "cmp dword ptr [r12 + {core_sleeps}], 0",
    "jne 12f",
    // Not from the slot: a guest must not make this last.
    "mov ecx, [rip + umlab_seccomp_looks]",
    "11: cmp dword ptr [r12 + {word}], {answered}",
    "je 13f",
    "pause",
    "sub ecx, 1",
    "ja 11b",
    "12: mov eax, {posted}",
    "mov ecx, {asleep}",
    "lock cmpxchg [r12 + {word}], ecx",
    "cmp eax, {answered}",
    "je 13f",
    "jmp 15f",
    "14: mov dword ptr [r12 + {word}], {asleep}",
    "15: mov eax, {report}",
    "syscall",
    "umlab_seccomp_reported:",
    "jmp umlab_seccomp_tail",
    "13: mov dword ptr [r12 + {word}], {running}",
    "mov rax, [r12 + {answer}]",
    "mov qword ptr [r12 + {answer}], 0",
    // rax is the frame to go on from. Until the last instruction nothing of it is written, so
    // whoever is interrupted here can begin again. The stack lies below the frame.
    "umlab_seccomp_tail:",
    "mov rbx, rax",
    "lea rsp, [rbx - 8]",
    // No nested task, which iret would refuse, and no alignment check.
    "push 2",
    "popfq",
    "cmp qword ptr [rbx + {changed}], 0",
    "je 9f",
    "movzx eax, word ptr [rbx + {ds}]",
    "mov ds, eax",
    "movzx eax, word ptr [rbx + {es}]",
    "mov es, eax",
    "movzx eax, word ptr [rbx + {fs}]",
    "mov fs, eax",
    "movzx eax, word ptr [rbx + {gs}]",
    "mov gs, eax",
    "mov rax, [rbx + {fs_base}]",
    "wrfsbase rax",
    "mov rax, [rbx + {gs_base}]",
    "wrgsbase rax",
    "9: mov rsi, [rbx + {extended}]",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [rsi]",
    "movzx eax, word ptr [rbx + {ss}]",
    "push rax",
    "push [rbx + {rsp}]",
    "push [rbx + {eflags}]",
    "movzx eax, word ptr [rbx + {cs}]",
    "push rax",
    "push [rbx + {rip}]",
    "mov r8, [rbx + {r8}]",
    "mov r9, [rbx + {r9}]",
    "mov r10, [rbx + {r10}]",
    "mov r11, [rbx + {r11}]",
    "mov r12, [rbx + {r12}]",
    "mov r13, [rbx + {r13}]",
    "mov r14, [rbx + {r14}]",
    "mov r15, [rbx + {r15}]",
    "mov rdi, [rbx + {rdi}]",
    "mov rsi, [rbx + {rsi}]",
    "mov rbp, [rbx + {rbp}]",
    "mov rdx, [rbx + {rdx}]",
    "mov rax, [rbx + {rax}]",
    "mov rcx, [rbx + {rcx}]",
    "mov rbx, [rbx + {rbx}]",
    "iretq",
    "umlab_seccomp_tail_end:",
    ".balign 4",
    "umlab_seccomp_looks: .long 0",
    "umlab_seccomp_end:",
    turn = const offset_of!(Head, turn),
    done = const offset_of!(Head, done),
    good = const offset_of!(Head, good),
    bad = const offset_of!(Head, bad),
    channel = const offset_of!(Head, channel),
    stack = const offset_of!(Head, stack),
    memory = const offset_of!(Head, memory),
    core = const offset_of!(Head, core),
    first = const FIRST,
    end = const END as i64,
    order = const size_of::<Order>(),
    stack_len = const STACK,
    slot = const SLOT,
    listener = const offset_of!(Hand, listener),
    fs_base = const below(offset_of!(Segments, fs_base)),
    gs_base = const below(offset_of!(Segments, gs_base)),
    ds = const below(offset_of!(Segments, ds)),
    es = const below(offset_of!(Segments, es)),
    fs = const below(offset_of!(Segments, fs)),
    gs = const below(offset_of!(Segments, gs)),
    changed = const below(offset_of!(Segments, changed)),
    info = const size_of::<UContext>(),
    post = const offset_of!(Hand, report),
    word = const offset_of!(Hand, word),
    core_sleeps = const offset_of!(Hand, core_sleeps),
    answer = const offset_of!(Hand, answer),
    interrupt = const libc::SIGALRM,
    running = const RUNNING,
    posted = const POSTED,
    asleep = const ASLEEP,
    answered = const ANSWERED,
    error = const offset_of!(UContext, error),
    trap = const offset_of!(UContext, trap),
    extended = const offset_of!(UContext, extended),
    ss = const offset_of!(UContext, ss),
    cs = const offset_of!(UContext, cs),
    rsp = const offset_of!(UContext, rsp),
    rip = const offset_of!(UContext, rip),
    eflags = const offset_of!(UContext, eflags),
    r8 = const offset_of!(UContext, r8),
    r9 = const offset_of!(UContext, r9),
    r10 = const offset_of!(UContext, r10),
    r11 = const offset_of!(UContext, r11),
    r12 = const offset_of!(UContext, r12),
    r13 = const offset_of!(UContext, r13),
    r14 = const offset_of!(UContext, r14),
    r15 = const offset_of!(UContext, r15),
    rdi = const offset_of!(UContext, rdi),
    rsi = const offset_of!(UContext, rsi),
    rbp = const offset_of!(UContext, rbp),
    rbx = const offset_of!(UContext, rbx),
    rdx = const offset_of!(UContext, rdx),
    rax = const offset_of!(UContext, rax),
    rcx = const offset_of!(UContext, rcx),
    report = const REPORT,
    all_signals = const CODE + ALL_SIGNALS as u64,
    runners_signals = const CODE + RUNNERS_SIGNALS as u64,
    program = const CODE + PROGRAM as u64,
    set_filter = const libc::SECCOMP_SET_MODE_FILTER,
    filter_flags = const libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
    futex = const libc::SYS_futex,
    futex_wait = const libc::FUTEX_WAIT,
    clone = const libc::SYS_clone,
    thread = const libc::CLONE_THREAD,
    set_parents_death = const libc::PR_SET_PDEATHSIG,
    kill = const libc::SIGKILL,
    prctl = const libc::SYS_prctl,
    getppid = const libc::SYS_getppid,
    mmap = const libc::SYS_mmap,
    read = const libc::PROT_READ,
    read_write = const libc::PROT_READ | libc::PROT_WRITE,
    shared_fixed = const libc::MAP_SHARED | libc::MAP_FIXED,
    orders_len = const SLOTS_AT,
    slots = const SLOTS,
    slots_len = const SLOTS_LEN,
    lseek = const libc::SYS_lseek,
    write = const libc::SYS_write,
    set_mask = const libc::SIG_SETMASK,
    sigprocmask = const libc::SYS_rt_sigprocmask,
    sigaltstack = const libc::SYS_sigaltstack,
    seccomp = const libc::SYS_seccomp,
    exit = const libc::SYS_exit,
);

unsafe extern "C" {
    static umlab_seccomp_start: u8;
    static umlab_seccomp_entry: u8;
    static umlab_seccomp_saved: u8;
    static umlab_seccomp_reported: u8;
    static umlab_seccomp_tail_end: u8;
    static umlab_seccomp_looks: u8;
    static umlab_seccomp_end: u8;
}

/// Where in stub processes an instruction of the stub's is.
fn place(label: *const u8) -> u64 {
    // SAFETY: both are labels of the assembly above.
    CODE + unsafe { label.offset_from(&raw const umlab_seccomp_start) } as u64
}

/// The handler of signals.
pub fn entry() -> u64 {
    place(&raw const umlab_seccomp_entry)
}

/// Behind the instruction that reports.
pub fn reported() -> u64 {
    place(&raw const umlab_seccomp_reported)
}

/// Where the handler has not saved all [`Segments`] yet.
pub fn saving() -> Range<u64> {
    entry()..place(&raw const umlab_seccomp_saved)
}

/// Up to, and with, the instruction that reports.
pub fn entering() -> Range<u64> {
    entry()..reported()
}

/// From the answer to user code.
pub fn leaving() -> Range<u64> {
    reported()..place(&raw const umlab_seccomp_tail_end)
}

/// The page that all stub processes have their code from.
static PAGE_OF_CODE: OnceLock<SharedMemory> = OnceLock::new();

/// How calls of user code arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Calls {
    /// The core is notified of them, but for those that need all registers.
    Notified,
    /// As signals, all of them.
    Signals,
}

/// Makes the page. A runner looks for an answer so often before it calls.
pub fn init(calls: Calls, looks: u32) -> Result<()> {
    let page = SharedMemory::new(c"umlab-seccomp", PAGE)?;
    // SAFETY: the labels delimit the assembly above.
    let text = unsafe {
        let start = &raw const umlab_seccomp_start;
        std::slice::from_raw_parts(start, (&raw const umlab_seccomp_end).offset_from(start) as usize)
    };
    let filter = filter(calls);
    assert!(text.len() <= CONSTANTS && FILTER + size_of_val(&*filter) <= PAGE);
    let open = FAULTS.into_iter().chain([libc::SIGALRM]).fold(0u64, |set, signal| set | 1 << (signal - 1));
    // `struct sock_fprog`.
    let program = [filter.len() as u64, CODE + FILTER as u64];
    page.window(0, CONSTANTS).write(text)?;
    page.window((place(&raw const umlab_seccomp_looks) - CODE) as usize, 4).write(&looks.to_ne_bytes())?;
    page.window(ALL_SIGNALS, 8).write(&u64::MAX.to_ne_bytes())?;
    page.window(RUNNERS_SIGNALS, 8).write(&(!open).to_ne_bytes())?;
    page.window(PROGRAM, 16).write(program.map(u64::to_ne_bytes).as_flattened())?;
    let words = filter.iter().flat_map(|i| [u32::from(i.code) | u32::from(i.jt) << 16 | u32::from(i.jf) << 24, i.k]);
    let bytes: Vec<u8> = words.flat_map(u32::to_ne_bytes).collect();
    page.window(FILTER, bytes.len()).write(&bytes)?;
    let _ = PAGE_OF_CODE.set(page);
    Ok(())
}

/// The descriptor to map the page by.
pub fn fd() -> i32 {
    PAGE_OF_CODE.get().expect("the model was made").fd().as_raw_fd()
}

/// Calls that need all registers, or end the thread: they arrive as SIGSYS, whose frame has them.
/// Numbers of x86-64 and of i386: exit, exit_group, fork, vfork, clone, clone3, execve, execveat
/// and the sigreturns.
const WHOLE: [u32; 9] = [60, 231, 57, 58, 56, 435, 59, 322, 15];
const WHOLE_I386: [u32; 10] = [1, 252, 2, 190, 120, 435, 11, 358, 119, 173];

/// The runners' filter. A call of the vsyscall page is a signal always, because one that interrupts
/// it would be seen. Of what is called from the stub's page the core is notified always.
fn filter(calls: Calls) -> Vec<Instruction> {
    let whole = |numbers: &[u32]| {
        let mut part = vec![seccomp::load(seccomp::NUMBER)];
        part.extend(numbers.iter().flat_map(|&number| [seccomp::skip_if(number, 0, 1), seccomp::TRAP]));
        part.push(seccomp::NOTIFY);
        part
    };
    if calls == Calls::Signals {
        return seccomp::by_page(CODE, seccomp::NOTIFY, seccomp::TRAP).to_vec();
    }
    let vsyscall = [seccomp::load(seccomp::POINTER_HIGH), seccomp::skip_if(u32::MAX, 0, 1), seccomp::TRAP];
    let native: Vec<Instruction> = vsyscall.into_iter().chain(whole(&WHOLE)).collect();
    let mut filter = vec![seccomp::load(seccomp::ARCH), seccomp::skip_if(seccomp::X86_64, 0, native.len() as u8)];
    filter.extend(native);
    filter.extend(whole(&WHOLE_I386));
    filter
}

/// How many orders go into one batch at most.
pub const MAX: usize = (ORDER_PAGES * PAGE - FIRST) / size_of::<Order>() - 1;
