//! The core in every guest's host process: what models of this kind share.
//!
//! Every guest process is a host process whose address space ends with the core: the program `uml`
//! at the very top, below it its variables, heap, kernel stacks and physmem, shared by all. Guest
//! threads are host tasks that share an address space. User code enters the core by a signal, on
//! the task's own kernel stack, and the core leaves by a sigreturn.
//!
//! A guest CPU is a token: the task that runs wakes the next one and sleeps. Nothing protects the
//! core from guests, but for a [`Guard`].
//!
//! Models differ by how a system call becomes such a signal, and by who watches over the guest's
//! tasks: their [`Interception`].

pub mod area;
pub mod call;
mod context;
pub mod cpu;
pub mod entry;
mod frame;
pub mod image;
pub mod placement;
mod space;
mod spare;
mod thread;
pub mod warden;

use area::Record;
pub use frame::Frame;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, OnceLock};
use umlab_host::claims::{self, Claim};
use umlab_host::placement::Guest;
use umlab_host::{auxv, limits, xstate};
use umlab_model::{
    CannotRun, Context, ContextMain, HostMap, HostView, Machine, Mapping, ModelSpace, ProcessModel, Trap, UserThread,
    Vdso, lock,
};

pub use entry::Guard;
pub use space::{DETOURS, TaskSpace, text_of};
pub use thread::{SyscallInfo, compat_arguments, native_arguments};

/// Checks of `umlab conform` that no model of this kind passes.
pub const KNOWN_FAILURES: &[(&str, &str)] =
    &[("threads/cpu-number", "the vDSO is the host's, and tells the number of the host's CPU")];

/// How system calls of user code come to the core, and who watches over the guest's host tasks.
pub trait Interception: Sync {
    /// Flags of clone(2) for guest tasks, beside those that all have.
    fn clone_flags(&self) -> u64 {
        0
    }

    /// The signals that are blocked while user code runs, a bit for each.
    fn user_mask(&self) -> u64 {
        0
    }

    /// Signals that enter the core, beside those that the host sends for what user code did.
    fn signals(&self) -> &'static [i32] {
        &[]
    }

    /// The signal that a task sends itself on its way out of the core, if it does. It is blocked
    /// until user mode is entered.
    fn leave_signal(&self) -> Option<i32> {
        None
    }

    /// The warden is about to make a host task for this record. In the warden's thread.
    fn before_seed(&self, _record: &Record) {}

    /// What a host task that the warden has made does first. The core's handlers are not installed
    /// yet; nothing may be allocated.
    fn first_steps(&self) {}

    /// What each new host task does first, if there is something: what it does not inherit from the
    /// task that was cloned. It runs on its own kernel stack, without the big lock, beside whoever
    /// has that; it may make system calls, and nothing else.
    fn born(&self) -> Option<extern "C" fn(&Record)> {
        None
    }

    /// Waits for the ends of host tasks, and calls [`warden::on_end`] for each, until there are
    /// none. In the warden's thread, which is the parent of all tasks.
    fn watch(&self);

    /// The system call that a signal out of user mode stands for; none if it is something else, and
    /// for a call through the vsyscall page, for which the host sends SIGSYS by a filter that the
    /// warden has installed (SYS_SECCOMP).
    fn call_of(&self, record: &Record, signal: i32, info: &libc::siginfo_t, frame: &mut Frame) -> Option<Trap>;

    /// A system call has come by a signal, from user code in this address space.
    fn trapped(&self, _space: &TaskSpace, _frame: &Frame) {}

    /// What to map in the place of a mapping.
    fn stand_in(&self, _mapping: &Mapping) -> Option<HostMap> {
        None
    }

    /// Takes what was mapped in the place of something for that, for the audit.
    fn name_stand_ins(&self, _view: &mut HostView) {}

    /// The program's own address for one in the code that the interception has made, if it is
    /// there.
    fn original(&self, _ip: u64) -> Option<Original> {
        None
    }

    /// The running task is about to enter user mode. With the big lock held.
    fn entering(&self) {}

    /// A guest CPU has something to do, or no more.
    fn busy(&self, _cpu: usize, _busy: bool) {}

    /// How guest CPUs are watched and moved.
    fn placement(&self) -> Guest {
        placement::GUEST
    }

    /// Its own counters.
    fn counters(&self) -> Vec<(&'static str, u64)>;
}

/// An instruction of the program, for one that is executed in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Original {
    /// The instruction at this address, the first that is executed somewhere else.
    First(u64),
    /// One of those that follow.
    Next(u64),
    /// The system call at this address, just before the core is called.
    Call(u64),
}

static INTERCEPTION: OnceLock<&'static dyn Interception> = OnceLock::new();
static GUARD: OnceLock<Guard> = OnceLock::new();

fn guard() -> Option<&'static Guard> {
    GUARD.get()
}

/// The model's.
fn interception() -> &'static dyn Interception {
    *INTERCEPTION.get().expect("the model was made")
}

/// A model of this kind; one for the process.
pub struct Tasks {
    name: &'static str,
    /// The host CPUs it took, until somebody watches over them.
    claims: Mutex<Vec<Claim>>,
}

impl Tasks {
    /// Makes the model for a guest of `cpus` CPUs. The first call in a process may start the
    /// program anew.
    pub fn new(
        name: &'static str,
        cpus: usize,
        interception: &'static dyn Interception,
        guard: Option<Guard>,
    ) -> Result<Tasks, CannotRun> {
        probe()?;
        image::stand_at_top()?;
        umlab_host::process::set_main();
        umlab_host::copy::install();
        let claims = claims::choose(cpus);
        let made =
            image::share().and_then(|()| area::init()).and_then(|()| xstate::init()).and_then(|()| cpu::init(&claims));
        made.map_err(|e| CannotRun::failed("cannot make the core's memory shared", e))?;
        let _ = INTERCEPTION.set(interception);
        if let Some(signal) = interception.leave_signal() {
            entry::set_leave_signal(signal);
        }
        if let Some(born) = interception.born() {
            entry::set_born(born);
        }
        if let Some(guard) = guard {
            entry::set_guard(GUARD.get_or_init(|| guard));
        }
        Ok(Tasks { name, claims: Mutex::new(claims) })
    }
}

/// Why no model of this kind works here, if none does: they read and write segment bases by
/// instructions that the host must have allowed.
pub fn probe() -> Result<(), CannotRun> {
    const HWCAP2_FSGSBASE: u64 = 2;
    if auxv::get(libc::AT_HWCAP2) & HWCAP2_FSGSBASE == 0 {
        return Err("the CPU or the host kernel does not have the instruction wrfsbase".into());
    }
    Ok(())
}

/// The body of a CPU's own thread, which has the CPU while it idles.
fn run_cpu(number: usize, main: &(dyn Fn(usize, Arc<dyn Context>) + Sync)) {
    // Pinning is for speed only.
    let _ = umlab_host::thread::pin(cpu::all()[number].host_cpu.load(SeqCst));
    let Ok(context) = context::TaskContext::of_cpu(number) else {
        eprintln!("uml: no memory for a CPU");
        std::process::exit(limits::STATUS_OWN);
    };
    cpu::adopt(context.record);
    interception().busy(number, true);
    lock::with(|| main(number, context));
}

impl ProcessModel for Tasks {
    fn name(&self) -> &'static str {
        self.name
    }

    fn machine(&self) -> &dyn Machine {
        self
    }

    fn user_top(&self) -> u64 {
        space::USER_TOP
    }

    fn vdso(&self) -> Option<Vdso> {
        image::vdso()
    }

    fn new_space(&self) -> umlab_host::Result<Box<dyn ModelSpace>> {
        Ok(Box::new(space::TaskSpace::new()))
    }

    fn new_thread(&self) -> Box<dyn UserThread> {
        Box::new(thread::TaskThread::new())
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let guard = guard().map(|guard| (guard.counters)());
        interception().counters().into_iter().chain(cpu::counters()).chain(guard.into_iter().flatten()).collect()
    }
}

impl Machine for Tasks {
    fn new_context(&self, space: Option<&dyn ModelSpace>, main: ContextMain) -> umlab_host::Result<Arc<dyn Context>> {
        context::TaskContext::with_main(space, main)
    }

    fn switch(&self, from: &dyn Context, to: &dyn Context) {
        context::switch(from, to);
    }

    fn run_cpus(&self, count: usize, main: &(dyn Fn(usize, Arc<dyn Context>) + Sync)) {
        let spawn = |name: String, body: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name)
                .stack_size(256 << 10)
                .spawn(body)
                .unwrap_or_else(|e| limits::give_up("cannot start the model's threads", e.into()))
        };
        let claims = self.claims.lock().map(|mut claims| std::mem::take(&mut *claims)).unwrap_or_default();
        umlab_host::placement::watch(claims, interception().placement());
        let warden = spawn("warden".into(), Box::new(warden::main));
        for number in 0..count {
            spawn(format!("alarm{number}"), Box::new(move || cpu::serve_alarms(number)));
        }
        std::thread::scope(|scope| {
            for number in 1..count {
                std::thread::Builder::new()
                    .name(format!("cpu{number}"))
                    .spawn_scoped(scope, move || run_cpu(number, main))
                    .unwrap_or_else(|e| limits::give_up("cannot start a thread for each guest CPU", e.into()));
            }
            run_cpu(0, main);
        });
        warden::stop();
        let _ = warden.join();
    }

    fn current_cpu(&self) -> usize {
        cpu::current()
    }

    fn kick(&self, cpu: usize) {
        cpu::kick(cpu);
    }

    fn idle(&self, deadline: Option<u64>) {
        cpu::idle(deadline);
    }

    fn set_alarm(&self, deadline: Option<u64>) {
        cpu::set_alarm(deadline);
    }
}
