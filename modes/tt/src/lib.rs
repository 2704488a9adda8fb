//! tt: the core in every guest's host process, and a tracing thread.
//!
//! Every guest process is a host process whose address space ends with the core: the program `uml`
//! at the very top, below it its variables, heap, kernel stacks and physmem, shared by all. Guest
//! threads are host tasks that share an address space. A system call or a fault enters the core by
//! a signal, on the task's own kernel stack; one thread of `uml`'s process ([`tracer`]) traces all
//! of them and switches the interception of system calls off and on.
//!
//! A guest CPU is a token: the task that runs wakes the next one and sleeps. Nothing protects the
//! core from guests.

pub mod area;
mod context;
mod cpu;
mod entry;
mod frame;
pub mod image;
mod placement;
mod space;
mod thread;
mod tracer;

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use umlab_host::claims::{self, Claim};
use umlab_host::limits;
use umlab_model::{Context, ContextMain, Machine, ModelSpace, ProcessModel, UserThread, Vdso, lock};

pub use cpu::count;
pub use entry::{Guard, set_guard};
pub use thread::probe;

/// The model; one for the process.
pub struct Tt {
    name: &'static str,
    /// The host CPUs it took, until somebody watches over them.
    claims: Mutex<Vec<Claim>>,
}

/// How tt can be changed.
#[derive(Clone, Copy)]
pub struct Options {
    /// Intercept system calls by PTRACE_SYSEMU, instead of changing them to getpid as in 2002.
    pub sysemu: bool,
}

impl Tt {
    /// Makes the model for a guest of `cpus` CPUs. The first call in a process may start the
    /// program anew.
    pub fn new(name: &'static str, cpus: usize, options: Options) -> Result<Tt, String> {
        probe()?;
        image::stand_at_top()?;
        umlab_host::process::set_main();
        umlab_host::copy::install();
        let claims = claims::choose(cpus);
        let made =
            image::share().and_then(|()| area::init()).and_then(|()| frame::init()).and_then(|()| cpu::init(&claims));
        made.map_err(|e| format!("cannot make the core's memory shared: {}", limits::Reason(e)))?;
        tracer::use_sysemu(options.sysemu);
        Ok(Tt { name, claims: Mutex::new(claims) })
    }
}

/// The body of a CPU's own thread, which has the CPU while it idles.
fn run_cpu(number: usize, main: &(dyn Fn(usize, Arc<dyn Context>) + Sync)) {
    // Pinning is for speed only.
    let _ = umlab_host::thread::pin(cpu::all()[number].host_cpu.load(SeqCst));
    let Ok(context) = context::TtContext::of_cpu(number) else {
        eprintln!("uml: no memory for a CPU");
        std::process::exit(limits::STATUS_OWN);
    };
    cpu::adopt(context.record);
    placement::set_busy(number, true);
    lock::with(|| main(number, context));
}

impl ProcessModel for Tt {
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
        Ok(Box::new(space::TtSpace::new()))
    }

    fn new_thread(&self) -> Box<dyn UserThread> {
        Box::new(thread::TtThread::new())
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        cpu::counters()
    }
}

impl Machine for Tt {
    fn new_context(&self, space: Option<&dyn ModelSpace>, main: ContextMain) -> umlab_host::Result<Arc<dyn Context>> {
        context::TtContext::with_main(space, main)
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
        umlab_host::placement::watch(claims, placement::GUEST);
        let tracer = spawn("tracer".into(), Box::new(tracer::main));
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
        tracer::stop();
        let _ = tracer.join();
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
