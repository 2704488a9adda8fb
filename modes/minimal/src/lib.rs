//! minimal: the smallest honest process model, to be read from top to bottom.
//!
//! The kernel is a process of its own. Each guest address space is another host process, which the
//! kernel traces with ptrace(2): user code runs there, and stops at each system call and at each
//! exception. The kernel looks at the registers, does what was asked for, writes the registers, and
//! lets the process go on. Where mappings have to change, it has the process itself call mmap(2):
//! nobody else can.
//!
//! Nothing is put off, nothing is collected, and all registers are moved at each stop. That is what
//! skas does better (`modes/skas`), with the same mechanism.

use std::any::Any;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use umlab_host::fork::{self, Child};
use umlab_host::memory::{PAGE, SharedMemory};
use umlab_host::ptrace::{self, Resume, Status, Tracee};
use umlab_host::{Errno, Result, seccomp};
use umlab_model::lock::KCell;
use umlab_model::thread::make_harmless;
use umlab_model::{
    CannotRun, Isolation, Machine, Mapping, Model, ModelSpace, PageRange, ProcessModel, Prot, Regs, SyscallAbi,
    TASK_SIZE, Trap, UserThread, Vdso, When,
};
use umlab_threads::{Threads, Upkeep};

// ---- What people see of the model ---------------------------------------------------------------

/// minimal as people choose it.
pub static MODELS: &[Model] = &[Model {
    name: "minimal",
    description: "a host process for each guest address space, traced with ptrace; the model to read; one CPU",
    options: &[],
    // The thread that traces a process is the only one that can read its registers or have it map
    // memory. With one CPU that is always the thread that wants to.
    most_cpus: Some(1),
    isolation: Isolation::Full,
    known_failures: &[("state/identification", "ptrace(2) cannot set that flag in the process that runs user code")],
    probe: || {
        make_code()
            .and_then(|()| new_process())
            .map(Tracee::end)
            .map_err(|e| CannotRun::failed("cannot trace a child", e))?;
        Ok(String::new())
    },
    make: |cpus, _| {
        umlab_host::copy::install();
        make_code()?;
        // The first process shows how long an image of the extended state is here.
        new_process()?.end();
        Ok(Box::new(Minimal { threads: Threads::new(cpus, Upkeep::NONE) }))
    },
}];

umlab_model::counters! {
    processes stops mapping_calls
}

/// The model: it makes address spaces and threads. CPUs and kernel stacks are those of every model
/// whose kernel is one process.
struct Minimal {
    threads: Threads,
}

impl ProcessModel for Minimal {
    fn name(&self) -> &'static str {
        "minimal"
    }

    fn machine(&self) -> &dyn Machine {
        &self.threads
    }

    fn user_top(&self) -> u64 {
        CODE
    }

    fn vdso(&self) -> Option<Vdso> {
        // The process gives up the one it was born with. Reading the clock is a system call.
        None
    }

    fn new_space(&self) -> Result<Box<dyn ModelSpace>> {
        Ok(Box::new(Space { process: KCell::new(Some(Process { tracee: new_process()?, timestamps: true })) }))
    }

    fn new_thread(&self) -> Box<dyn UserThread> {
        let extended = ptrace::initial_extended_state().to_vec();
        Box::new(Thread { regs: Regs::fresh(), extended, timestamps: true })
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        counters().into_iter().chain(umlab_threads::counters()).collect()
    }
}

// ---- A host process -----------------------------------------------------------------------------

/// The one page of a process that is not the guest's, below the very top of the address space. The
/// guest cannot map over it, because its addresses end there.
const CODE: u64 = TASK_SIZE - PAGE as u64;

/// The page holds a system call, and a breakpoint that stops the process when the call is done.
const SYSCALL_INT3: [u8; 3] = [0x0f, 0x05, 0xcc];

static CODE_PAGE: OnceLock<SharedMemory> = OnceLock::new();

fn make_code() -> Result<()> {
    let page = SharedMemory::new(c"umlab-minimal", PAGE)?;
    page.window(0, PAGE).write(&SYSCALL_INT3)?;
    let _ = CODE_PAGE.set(page);
    Ok(())
}

/// Forks a process and has it give up all that it inherited. It is stopped, and has mapped nothing
/// but the page at `CODE`.
fn new_process() -> Result<Tracee> {
    count(|c| &c.processes, 1);
    let code = CODE_PAGE.get().expect("the model was made").fd().as_raw_fd();
    // SAFETY: the function makes system calls only.
    let tracee = unsafe { fork::fork(code, child_main) }?;
    let emptied = system_call(tracee, libc::SYS_munmap, [0, CODE, 0, 0, 0, 0]).and_then(Errno::check);
    match emptied.and_then(|_| tracee.reset_extended_state()) {
        Ok(()) => Ok(tracee),
        Err(error) => {
            tracee.end();
            Err(error)
        }
    }
}

/// The child's side of the fork.
fn child_main(child: &Child, code: &i32) -> ! {
    child.settle();
    child.trace_me();
    child.map(10, CODE, PAGE, libc::PROT_READ | libc::PROT_EXEC, *code);
    // Should a system call of the guest's ever get past ptrace, the host does not carry it out.
    child.filter(11, &seccomp::only_from_page(CODE));
    child.stop()
}

/// Has a stopped process make one system call, from the page at `CODE`. Its registers are lost.
/// Returns what the call returned; an error if the process is gone.
fn system_call(tracee: Tracee, number: i64, args: [u64; 6]) -> Result<i64> {
    let [rdi, rsi, rdx, r10, r8, r9] = args;
    tracee.set_regs(&Regs { rip: CODE, rax: number as u64, rdi, rsi, rdx, r10, r8, r9, ..Regs::fresh() })?;
    loop {
        tracee.resume(Resume::Cont)?;
        match tracee.wait_through_signals()? {
            Status::Signal(libc::SIGTRAP) => return Ok(tracee.regs()?.rax as i64),
            // Somebody on the host sent a signal: it is not for the guest.
            Status::Signal(_) | Status::Syscall => {}
            Status::Exited(_) | Status::Killed(_) => return Err(Errno::ESRCH),
        }
    }
}

// ---- An address space ---------------------------------------------------------------------------

struct Space {
    /// None once it was killed from outside, or the host refused it a mapping.
    process: KCell<Option<Process>>,
}

struct Process {
    tracee: Tracee,
    /// `rdtsc` works there.
    timestamps: bool,
}

impl Space {
    /// Has the process make a call that changes its mappings.
    fn change(&self, number: i64, args: [u64; 6]) -> Result<()> {
        count(|c| &c.mapping_calls, 1);
        let tracee = self.process.borrow().as_ref().ok_or(Errno::ESRCH)?.tracee;
        Errno::check(system_call(tracee, number, args)?)?;
        Ok(())
    }

    /// As `change`, for what must not be left undone: the process ends if it cannot be done.
    fn must_change(&self, number: i64, args: [u64; 6]) {
        if let Err(error) = self.change(number, args) {
            umlab_model::log_few!(Warn, "a process cannot change its mappings: {error}");
            self.discard();
        }
    }

    fn discard(&self) {
        if let Some(process) = self.process.take() {
            process.tracee.end();
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.discard();
    }
}

impl ModelSpace for Space {
    fn reserve(&self) -> Result<()> {
        // `new_space` has made the process already.
        Ok(())
    }

    fn map(&self, mapping: Mapping, _: When) {
        let host = mapping.host_map();
        let (range, prot, flags) = (mapping.range, mapping.prot.bits(), host.flags | libc::MAP_FIXED);
        // The process shares the kernel's descriptors.
        let args = [range.start(), range.len(), prot.into(), flags as u64, host.fd as u64, host.offset];
        self.must_change(libc::SYS_mmap, args);
    }

    fn unmap(&self, range: PageRange) {
        self.must_change(libc::SYS_munmap, [range.start(), range.len(), 0, 0, 0, 0]);
    }

    fn protect(&self, range: PageRange, prot: Prot) {
        let args = [range.start(), range.len(), prot.bits().into(), 0, 0, 0];
        // mprotect(2) ends at the first page where nothing is mapped. What is mapped may always be
        // taken away: the kernel makes it again at the fault.
        if self.change(libc::SYS_mprotect, args) == Err(Errno::ENOMEM) {
            self.unmap(range);
        }
    }

    fn sync(&self) {
        // There is no other CPU whose user code could use an old mapping.
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

// ---- A thread -----------------------------------------------------------------------------------

/// All of a thread's state is here while its user code does not run.
#[derive(Clone)]
struct Thread {
    regs: Regs,
    extended: Vec<u8>,
    timestamps: bool,
}

impl Thread {
    fn try_run(&mut self, space: &Space) -> Result<Trap> {
        let tracee = self.load(space)?;
        let cpu = umlab_threads::this();
        let run = || tracee.resume(Resume::Sysemu).and_then(|()| tracee.wait_through_signals());
        // None if an interrupt was due before user code ran.
        let Some(status) = cpu.run_user(tracee, run) else { return Ok(Trap::Interrupt) };
        count(|c| &c.stops, 1);
        let status = status?;
        if matches!(status, Status::Exited(_) | Status::Killed(_)) {
            return Ok(Trap::Lost);
        }
        self.regs = tracee.regs()?;
        tracee.read_extended_state(&mut self.extended)?;
        match status {
            Status::Syscall => {
                let entry = tracee.syscall_entry()?;
                let abi = if entry.compat { SyscallAbi::I386 } else { SyscallAbi::X64 };
                Ok(Trap::Syscall { number: entry.number, args: entry.args, abi })
            }
            // The machine's way to interrupt user code.
            Status::Signal(libc::SIGALRM) => {
                cpu.answer_kicks();
                Ok(Trap::Interrupt)
            }
            _ => Ok(Trap::of_signal(tracee.signal_info()?, None, || self.regs)),
        }
    }

    /// Puts the state into the process of the space.
    fn load(&mut self, space: &Space) -> Result<Tracee> {
        let mut process = space.process.borrow_mut();
        let Process { tracee, timestamps } = process.as_mut().ok_or(Errno::ESRCH)?;
        if *timestamps != self.timestamps {
            let setting = if self.timestamps { libc::PR_TSC_ENABLE } else { libc::PR_TSC_SIGSEGV };
            let set = [libc::PR_SET_TSC as u64, setting as u64, 0, 0, 0, 0];
            Errno::check(system_call(*tracee, libc::SYS_prctl, set)?)?;
            *timestamps = self.timestamps;
        }
        make_harmless(&mut self.regs);
        tracee.set_regs(&self.regs)?;
        tracee.set_extended_state(&self.extended)?;
        Ok(*tracee)
    }
}

impl UserThread for Thread {
    fn run(&mut self, space: &dyn ModelSpace) -> Trap {
        let space = space.as_any().downcast_ref::<Space>().expect("the kernel passes spaces of this model");
        let trap = self.try_run(space).unwrap_or(Trap::Lost);
        if trap == Trap::Lost {
            space.discard();
        }
        trap
    }

    fn regs(&mut self) -> &Regs {
        &self.regs
    }

    fn regs_mut(&mut self) -> &mut Regs {
        &mut self.regs
    }

    fn set_result(&mut self, value: u64) {
        self.regs.rax = value;
    }

    fn read_extended_state(&mut self, image: &mut Vec<u8>) {
        image.clone_from(&self.extended);
    }

    fn set_extended_state(&mut self, xsave: &[u8]) -> Result<()> {
        self.extended = xsave.to_vec();
        Ok(())
    }

    fn reset_extended_state(&mut self) {
        self.extended = ptrace::initial_extended_state().to_vec();
    }

    fn timestamps(&self) -> bool {
        self.timestamps
    }

    fn set_timestamps(&mut self, on: bool) {
        self.timestamps = on;
    }

    fn reset(&mut self) {
        self.regs = Regs::fresh();
        self.reset_extended_state();
    }

    fn duplicate(&mut self) -> Box<dyn UserThread> {
        Box::new(self.clone())
    }
}
