//! Stub processes: the host processes whose address spaces guests have.
//!
//! A stub process begins as a fork of the core that gives up everything it inherited. What remains
//! in its address space, from the top down: the stub's code (read and execute), the order page
//! (read only; the core writes it through its own mapping), and the host's vDSO with its data,
//! moved to where every guest expects it. Guest code could jump to the stub's code, but its system
//! calls stop like any other while user code runs, and orders are only obeyed from the page that
//! guests cannot write. A seccomp filter refuses system calls from anywhere else, even if the
//! tracer should ever let one through, and catches the vsyscall page, which ptrace does not.

use crate::cpu::{self, count};
use crate::orders::{self, Order, OrderPages, StubHandle};
use crate::thread::State;
use crate::vdso;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::sync::{Arc, OnceLock};
use umlab_host::memory::{PAGE, SharedMemory};
use umlab_host::ptrace::{Resume, Status, Tracee};
use umlab_host::{Errno, Result, rseq, seccomp};
use umlab_model::lock::KCell;
use umlab_model::{HostView, PageRange, Prot};

/// One past the last address that user code can have (47 bits, less the guard page).
pub const TASK_SIZE: u64 = 0x7fff_ffff_f000;
pub const CODE: u64 = TASK_SIZE - PAGE as u64;
pub const ORDERS: u64 = CODE - (orders::PAGES * PAGE) as u64;
/// Everything below is the guest's.
pub const USER_TOP: u64 = ORDERS;

std::arch::global_asm!(
    ".global umlab_stub_start, umlab_stub_end",
    "umlab_stub_start:",
    // rbx points to the first order. Any error ends the batch; rbx then shows which order failed.
    "2: mov rax, [rbx]",
    "cmp rax, -1",
    "je 3f",
    "mov rdi, [rbx + 8]",
    "mov rsi, [rbx + 16]",
    "mov rdx, [rbx + 24]",
    "mov r10, [rbx + 32]",
    "mov r8, [rbx + 40]",
    "mov r9, [rbx + 48]",
    "syscall",
    "cmp rax, -4095",
    "jae 3f",
    "add rbx, 56",
    "jmp 2b",
    "3: int3",
    "umlab_stub_end:",
);

unsafe extern "C" {
    static umlab_stub_start: u8;
    static umlab_stub_end: u8;
}

/// The page that all stub processes have their code from.
static STUB_CODE: OnceLock<SharedMemory> = OnceLock::new();

pub fn init() -> Result<()> {
    let code = SharedMemory::new(c"umlab-stub", PAGE)?;
    // SAFETY: the symbols delimit the assembly above.
    let text = unsafe {
        let start = &raw const umlab_stub_start;
        let len = (&raw const umlab_stub_end).offset_from(start) as usize;
        std::slice::from_raw_parts(start, len)
    };
    code.window(0, PAGE).write(text)?;
    let _ = STUB_CODE.set(code);
    Ok(())
}

fn code_fd() -> i32 {
    STUB_CODE.get().expect("the model was made").fd().as_raw_fd()
}

/// Whether this host can run the model, and if not why.
pub fn probe() -> std::result::Result<(), String> {
    init().map_err(|e| format!("no memory object for the stub: {e}"))?;
    let stub = Stub::fork().map_err(|e| format!("cannot trace a child process with ptrace(2): {e}"))?;
    stub.end();
    Ok(())
}

/// The thread whose user-mode state is in a host process.
pub type Loaded = Option<Arc<KCell<State>>>;

/// A stub process.
pub struct Stub {
    pub tracee: Tracee,
    /// The CPU whose thread traces it.
    pub cpu: usize,
    pages: Arc<OrderPages>,
    /// The thread whose user-mode state is in the process.
    pub loaded: Loaded,
    /// It may read the time stamp counter. Whoever runs in it says whether it should.
    pub timestamps: bool,
}

/// So many idle stub processes are kept, by all CPUs together: a burst of processes is seldom the
/// last one, and a new stub process costs several times what an idle one does, which takes some
/// tens of KiB of the host's memory.
const POOLED: usize = 128;
/// So many of them a CPU may keep in any case.
const POOLED_HERE: usize = 16;

impl Stub {
    /// A stub process for the current CPU, from the pool if there is one, and the orders it has to
    /// carry out before any other: they empty its address space, but for the vDSO.
    pub fn take() -> Result<(Stub, impl Iterator<Item = Order>)> {
        let cpu = cpu::this();
        let dead = cpu.dead.take();
        dead.into_iter().for_each(Stub::end);
        let spare = cpu.pool.borrow().len() > *cpu.reserved.borrow();
        let stub = match if spare { cpu.pool.borrow_mut().pop() } else { None } {
            Some(stub) => {
                umlab_model::kernel::get().audit_pooled(&|| stub.idle_view());
                count(|c| &c.stubs_reused, 1);
                stub
            }
            None => Stub::fork()?,
        };
        let clear = stub.pages.clear_orders();
        Ok((stub, clear))
    }

    /// Puts a stub process aside on the current CPU for who will `take` it after `unreserve`.
    /// Returns the CPU.
    pub fn reserve() -> Result<usize> {
        let cpu = cpu::this();
        if cpu.pool.borrow().len() <= *cpu.reserved.borrow() {
            let stub = Stub::fork()?;
            cpu.pool.borrow_mut().push(stub);
        }
        *cpu.reserved.borrow_mut() += 1;
        Ok(cpu::current())
    }

    /// The stub process that was put aside on `cpu` is anybody's again.
    pub fn unreserve(cpu: usize) {
        *cpu::all()[cpu].reserved.borrow_mut() -= 1;
    }

    /// Gives it back to its CPU, from whichever CPU, when no thread runs in its address space any
    /// more. It serves another guest process unless it has carried out an order that changed its
    /// vDSO, which cannot be made again. All else that it has of this one is replaced: mappings by
    /// the orders that `take` gives, registers and extended state by those of the next thread,
    /// whose state is not in it yet.
    pub fn put_back(mut self) {
        self.forget_thread();
        let cpu = &cpu::all()[self.cpu];
        let mut pool = cpu.pool.borrow_mut();
        if pool.len() < (POOLED / cpu::all().len()).max(POOLED_HERE) && self.pages.vdso_is_whole() {
            umlab_model::kernel::get().audit_pooled(&|| self.idle_view());
            pool.push(self);
        } else {
            self.tracee.kill();
            cpu.dead.borrow_mut().push(self);
        }
    }

    /// The thread whose state is in it, if there is one, has none there from now on.
    pub fn forget_thread(&mut self) {
        if let Some(state) = self.loaded.take().filter(|state| state.borrow().is_on(self.tracee)) {
            state.borrow_mut().forget();
        }
    }

    /// Ends the process and reaps it. On its own CPU only.
    pub fn end(self) {
        self.tracee.kill();
        while let Ok(Status::Signal(_) | Status::Syscall) = self.tracee.wait() {}
    }

    /// The orders that empty the guest's part of the address space, but for the vDSO.
    pub fn clear_orders() -> impl Iterator<Item = Order> {
        Stub::guest_parts().into_iter().flatten().map(Order::unmap)
    }

    /// What of the guest's part lies below the vDSO, and what above.
    pub fn guest_parts() -> [Option<PageRange>; 2] {
        vdso::split(PageRange::new(0, USER_TOP).expect("the guest's part")).1
    }

    fn fork() -> Result<Stub> {
        count(|c| &c.stubs_made, 1);
        // What the child has to do before its first stop, as orders, because its own code goes away
        // on the way.
        let todo: Vec<Order> = vdso::move_orders().chain(Stub::clear_orders()).collect();
        let pages = Arc::new(OrderPages::new(&todo)?);
        let fds = (code_fd(), pages.fd());
        let parent = std::process::id() as i32;
        let tracee = fork_until_int3(Plan { stub: Some(fds), filter: filter(), parent, timestamps: true })?;
        pages.wipe(todo.len());
        let stub = Stub { tracee, cpu: cpu::current(), pages, loaded: None, timestamps: true };
        let done = ORDERS + (todo.len() * size_of::<Order>()) as u64;
        if tracee.rbx()? != done {
            stub.end();
            return Err(Errno::ENOMEM);
        }
        Ok(stub)
    }

    /// For the audit: what it has mapped now, but for the pages that every stub process has.
    pub fn view(&self) -> Option<HostView> {
        let mut view = HostView::of_process(self.tracee.0, TASK_SIZE)?;
        let own = [(ORDERS, CODE, Prot::READ, self.pages.fd()), (CODE, TASK_SIZE, Prot::READ | Prot::EXEC, code_fd())];
        view.leave_out(|shown| own.iter().any(|&(start, end, prot, fd)| shown.is_all_of(start, end, prot, fd)));
        Some(view)
    }

    /// For the audit: what the next address space will find mapped.
    pub fn idle_view(&self) -> Option<HostView> {
        let mut view = self.view()?;
        self.pages.clear_orders().for_each(|order| order.apply(&mut view));
        Some(view)
    }

    /// A handle to have orders carried out with, when the big lock is not held.
    pub fn handle(&self) -> StubHandle {
        StubHandle { tracee: self.tracee, pages: self.pages.clone() }
    }
}

pub const USER_CS: u64 = 0x33;
pub const USER_CS32: u64 = 0x23;
pub const USER_DS: u64 = 0x2b;

/// A process for a patched host: stopped, and without a system call that it may make.
pub fn fork_runner(timestamps: bool) -> Result<Tracee> {
    let nothing = [seccomp::TRAP; 7];
    fork_until_int3(Plan { stub: None, filter: nothing, parent: std::process::id() as i32, timestamps })
}

/// Forks a traced child and waits until it has prepared itself, which the int3 at its end tells.
fn fork_until_int3(plan: Plan) -> Result<Tracee> {
    let tracee = Tracee(fork_on_own_stack(plan)?);
    loop {
        match tracee.wait() {
            Ok(Status::Signal(libc::SIGTRAP)) => break,
            Ok(Status::Signal(libc::SIGALRM)) | Ok(Status::Syscall) => tracee.resume(Resume::Cont)?,
            Ok(Status::Exited(step)) => {
                umlab_model::log_few!(Error, "a stub process could not be set up (step {step})");
                return Err(Errno::EPERM);
            }
            Ok(_) => {
                tracee.kill();
                while let Ok(Status::Signal(_) | Status::Syscall) = tracee.wait() {}
                return Err(Errno::EPERM);
            }
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
    tracee.set_options()?;
    Ok(tracee)
}

/// What the child needs, made before the fork because it cannot allocate.
struct Plan {
    /// The descriptors of the stub's code and orders, if it becomes a stub.
    stub: Option<(i32, i32)>,
    filter: [seccomp::Instruction; 7],
    parent: i32,
    /// It may read the time stamp counter.
    timestamps: bool,
}

/// Stack of a child until it is the stub. Kernel stacks are not inherited: there may be thousands,
/// and the fork would walk them all.
#[repr(align(16))]
struct ChildStack(UnsafeCell<MaybeUninit<[u8; 32 * 1024]>>);

// SAFETY: used by `fork_on_own_stack` only, under the big lock.
unsafe impl Sync for ChildStack {}

static CHILD_STACK: ChildStack = ChildStack(UnsafeCell::new(MaybeUninit::uninit()));

std::arch::global_asm!(
    // umlab_fork(flags, stack): clone, the child going on at the top of `stack`, where the argument
    // and the function lie.
    ".global umlab_fork",
    "umlab_fork:",
    "mov eax, 56",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "syscall",
    "test rax, rax",
    "jnz 4f",
    "xor ebp, ebp",
    "pop rdi",
    "pop rax",
    "call rax",
    "ud2",
    "4: ret",
);

unsafe extern "C" {
    fn umlab_fork(flags: u64, stack: *mut u64) -> i64;
}

extern "C" fn child_start(plan: *const Plan) -> ! {
    // SAFETY: `fork_on_own_stack` put it on this very stack.
    child_main(unsafe { &*plan })
}

/// Forks a child that shares the descriptor table only and runs `child_main`. Returns its process
/// number.
fn fork_on_own_stack(plan: Plan) -> Result<i32> {
    let size = size_of_val(&CHILD_STACK.0);
    let base = CHILD_STACK.0.get().cast::<u8>();
    // SAFETY: everything written lies within the stack, which only this function uses, and which is
    // not in use: a child has its own copy. The plan comes first, from the top; then, 16-byte
    // aligned, what the child pops: the argument and the function.
    let pid = unsafe {
        let at = base.add((size - size_of::<Plan>()) & !15).cast::<Plan>();
        at.write(plan);
        let stack = at.cast::<u64>().sub(2);
        stack.write(at as u64);
        stack.add(1).write(child_start as *const () as u64);
        umlab_fork(libc::CLONE_FILES as u64 | libc::SIGCHLD as u64, stack)
    };
    // A raw call's result: errors are small negative numbers.
    if pid < 0 { Err(Errno::from_raw(pid as i32)) } else { Ok(pid as i32) }
}

/// A filter that lets system calls through from the stub's code only, and turns all others into
/// SIGSYS.
fn filter() -> [seccomp::Instruction; 7] {
    [
        seccomp::load(seccomp::POINTER_HIGH),
        seccomp::skip_if((CODE >> 32) as u32, 0, 3),
        seccomp::load(seccomp::POINTER_LOW),
        seccomp::and(!(PAGE as u32 - 1)),
        seccomp::skip_if(CODE as u32, 1, 0),
        seccomp::TRAP,
        seccomp::ALLOW,
    ]
}

/// The child's side of the fork: gives up what it inherited and ends in the stub's code. Exits with
/// the step's number when one fails.
fn child_main(plan: &Plan) -> ! {
    let call = |number: i64, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64| -> i64 {
        let result: i64;
        // SAFETY: raw system calls; each caller below passes what the call's manual page asks for.
        unsafe {
            std::arch::asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
                in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _);
        }
        result
    };
    let must = |step: u64, result: i64| {
        if (-4095..0).contains(&result) {
            call(libc::SYS_exit, step, 0, 0, 0, 0, 0);
        }
    };
    must(1, call(libc::SYS_prctl, libc::PR_SET_PDEATHSIG as u64, libc::SIGKILL as u64, 0, 0, 0, 0));
    // The core may have died before that took effect.
    if call(libc::SYS_getppid, 0, 0, 0, 0, 0, 0) != i64::from(plan.parent) {
        call(libc::SYS_exit, 2, 0, 0, 0, 0, 0);
    }
    unregister_rseq(&call);
    // Faults must not be blocked, and no handler or alternate stack of the core may be used.
    let nothing: u64 = 0;
    must(3, call(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK as u64, &raw const nothing as u64, 0, 8, 0, 0));
    must(4, call(libc::SYS_ptrace, u64::from(libc::PTRACE_TRACEME), 0, 0, 0, 0, 0));
    // A process that can be looked into by others of its user is no danger; one that dumps core
    // would leave files behind.
    let no_core = [0u64, 0u64];
    call(libc::SYS_prlimit64, 0, u64::from(libc::RLIMIT_CORE), &raw const no_core as u64, 0, 0, 0);
    let map = |step: u64, at: u64, len: usize, prot: i32, fd: i32| {
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        must(step, call(libc::SYS_mmap, at, len as u64, prot as u64, flags as u64, fd as u64, 0));
    };
    if let Some((code, orders)) = plan.stub {
        map(5, CODE, PAGE, libc::PROT_READ | libc::PROT_EXEC, code);
        map(6, ORDERS, orders::PAGES * PAGE, libc::PROT_READ, orders);
    }
    if !plan.timestamps {
        must(7, call(libc::SYS_prctl, libc::PR_SET_TSC as u64, libc::PR_TSC_SIGSEGV as u64, 0, 0, 0, 0));
    }
    must(8, call(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0, 0));
    let program = seccomp::program(&plan.filter);
    must(9, call(libc::SYS_seccomp, u64::from(libc::SECCOMP_SET_MODE_FILTER), 0, &raw const program as u64, 0, 0, 0));
    if plan.stub.is_none() {
        // SAFETY: the breakpoint stops the process for its tracer, and it never goes on here: it is
        // moved to another address space.
        unsafe { std::arch::asm!("int3", "ud2", options(noreturn)) };
    }
    // SAFETY: the stub's code is mapped at CODE and obeys the orders at ORDERS; nothing of this
    // stack is used any more.
    unsafe {
        std::arch::asm!("mov rbx, rcx", "jmp rax", in("rax") CODE, in("rcx") ORDERS, options(noreturn));
    }
}

/// The C library registered a restartable-sequence area for this thread; it goes away with the
/// core's memory, and the host would kill the process for it.
fn unregister_rseq(call: &dyn Fn(i64, u64, u64, u64, u64, u64, u64) -> i64) {
    let Some((area, lengths)) = rseq::area() else { return };
    for len in lengths {
        if call(libc::SYS_rseq, area, len, rseq::FLAG_UNREGISTER, rseq::SIGNATURE, 0, 0) == 0 {
            break;
        }
    }
}
