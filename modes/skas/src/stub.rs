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
use crate::orders::{OrderPages, StubHandle};
use crate::thread::State;
use std::os::fd::AsRawFd;
use std::sync::{Arc, OnceLock};
use umlab_host::fork::{self, Child, Failed};
use umlab_host::memory::{PAGE, SharedMemory};
use umlab_host::ptrace::Tracee;
use umlab_host::{Errno, Result, seccomp};
use umlab_model::lock::KCell;
use umlab_model::{CannotRun, HostView, Prot, TASK_SIZE};
use umlab_stubs::{CODE, ORDER_PAGES, ORDERS, Order, vdso};

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
pub fn probe() -> std::result::Result<(), CannotRun> {
    init().map_err(|e| CannotRun::failed("no memory object for the stub", e))?;
    let stub = Stub::fork().map_err(|e| CannotRun::failed("cannot trace a child process with ptrace(2)", e))?;
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
            None => Stub::make()?,
        };
        let clear = stub.pages.history.clear_orders();
        Ok((stub, clear))
    }

    /// Puts a stub process aside on the current CPU for who will `take` it after `unreserve`.
    /// Returns the CPU.
    pub fn reserve() -> Result<usize> {
        let cpu = cpu::this();
        if cpu.pool.borrow().len() <= *cpu.reserved.borrow() {
            let stub = Stub::make()?;
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
        if pool.len() < (POOLED / cpu::all().len()).max(POOLED_HERE) && self.pages.history.vdso_is_whole() {
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

    /// A new one. To the host, those that were killed count until they are reaped, which their CPUs
    /// do when they have something else to do: so when it refuses one, that is done at once.
    fn make() -> Result<Stub> {
        Stub::fork().or_else(|error| {
            let dead: Vec<Stub> = cpu::all().iter().flat_map(|cpu| cpu.dead.take()).collect();
            if dead.is_empty() {
                return Err(error);
            }
            dead.into_iter().for_each(Stub::end);
            Stub::fork()
        })
    }

    /// Ends the process and reaps it. One that was not killed, on its own CPU only.
    pub fn end(self) {
        self.tracee.end();
    }

    fn fork() -> Result<Stub> {
        count(|c| &c.stubs_made, 1);
        // What the child has to do before its first stop, as orders, because its own code goes away
        // on the way.
        let todo: Vec<Order> =
            vdso::move_orders().chain(umlab_stubs::clear_orders()).chain([Order::no_slots()]).collect();
        let pages = Arc::new(OrderPages::new(&todo)?);
        let fds = (code_fd(), pages.fd());
        let tracee = fork_child(Plan { stub: Some(fds), filter: seccomp::only_from_page(CODE), timestamps: true })?;
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
        self.pages.history.clear_orders().for_each(|order| order.apply(&mut view));
        Some(view)
    }

    /// A handle to have orders carried out with, when the big lock is not held.
    pub fn handle(&self) -> StubHandle {
        StubHandle { tracee: self.tracee, pages: self.pages.clone() }
    }
}

/// A process for a patched host: stopped, and without a system call that it may make.
pub fn fork_runner(timestamps: bool) -> Result<Tracee> {
    let nothing = [seccomp::TRAP; 7];
    fork_child(Plan { stub: None, filter: nothing, timestamps })
}

/// Forks a traced child, which has prepared itself when this returns.
fn fork_child(plan: Plan) -> Result<Tracee> {
    // SAFETY: the function makes system calls only.
    unsafe { fork::fork(plan, child_main) }.map_err(|failed| {
        if let Failed::Step(step) = failed {
            umlab_model::log_few!(Error, "a stub process could not be set up (step {step})");
        }
        failed.into()
    })
}

/// What the child needs, made before the fork because it cannot allocate.
#[derive(Clone, Copy)]
struct Plan {
    /// The descriptors of the stub's code and orders, if it becomes a stub.
    stub: Option<(i32, i32)>,
    filter: [seccomp::Instruction; 7],
    /// It may read the time stamp counter.
    timestamps: bool,
}

/// The child's side of the fork: gives up what it inherited and ends in the stub's code.
fn child_main(child: &Child, plan: &Plan) -> ! {
    child.settle();
    child.trace_me();
    if let Some((code, orders)) = plan.stub {
        child.map(10, CODE, PAGE, libc::PROT_READ | libc::PROT_EXEC, code);
        child.map(11, ORDERS, ORDER_PAGES * PAGE, libc::PROT_READ, orders);
    }
    if !plan.timestamps {
        child.forbid_timestamps(12);
    }
    child.filter(13, &plan.filter);
    if plan.stub.is_none() {
        // It is moved to another address space.
        child.stop();
    }
    // SAFETY: the stub's code is mapped at CODE and obeys the orders at ORDERS.
    unsafe { child.jump(CODE, ORDERS) }
}
