//! The machine of process models whose kernel is one process of the host: a pinned host thread for
//! each guest CPU.
//!
//! Kernel stacks are memory that a CPU's thread runs on ([`context`]). User code runs in another
//! process of the host, or in another thread, which the CPU's thread waits for: a kick or an alarm
//! interrupts that ([`cpu`]). A CPU's thread and what it runs user code in stay on one host CPU,
//! which may change ([`placement`]).
//!
//! A model has one [`Threads`], returns it from [`umlab_model::ProcessModel::machine`], and enters
//! user mode by [`Cpu::run_user`].

mod context;
mod cpu;
mod placement;

pub use cpu::{Cpu, UserTask, all, current, kick, this};

use std::sync::{Arc, Mutex};
use umlab_host::claims::{self, Claim};
use umlab_host::{Result, limits};
use umlab_model::{Context, ContextMain, Machine, ModelSpace};

umlab_model::counters! {
    context_switches idle_sleeps kicks cpu_moves
}

/// What a model does on a CPU's own thread, with the big lock held.
#[derive(Clone, Copy)]
pub struct Upkeep {
    /// Before the CPU sleeps.
    pub idle: fn(),
    /// When it does not sleep any more.
    pub woke: fn(),
    /// When the guest is over.
    pub end: fn(),
}

impl Upkeep {
    /// For a model that keeps nothing by CPU.
    pub const NONE: Upkeep = Upkeep { idle: || {}, woke: || {}, end: || {} };
}

/// The machine; one for the process.
pub struct Threads {
    /// The host CPUs it took, until somebody watches over them.
    claims: Mutex<Vec<Claim>>,
    upkeep: Upkeep,
}

impl Threads {
    /// The machine of a guest of `cpus` CPUs.
    pub fn new(cpus: usize, upkeep: Upkeep) -> Threads {
        let claims = claims::choose(cpus);
        cpu::init(&claims);
        Threads { claims: Mutex::new(claims), upkeep }
    }
}

impl Machine for Threads {
    fn new_context(&self, _space: Option<&dyn ModelSpace>, main: ContextMain) -> Result<Arc<dyn Context>> {
        context::ThreadContext::with_main(main)
    }

    fn switch(&self, from: &dyn Context, to: &dyn Context) {
        context::switch(from, to);
    }

    fn run_cpus(&self, count: usize, main: &(dyn Fn(usize, Arc<dyn Context>) + Sync)) {
        let claims = self.claims.lock().map(|mut claims| std::mem::take(&mut *claims)).unwrap_or_default();
        umlab_host::placement::watch(claims, placement::GUEST);
        let end = self.upkeep.end;
        std::thread::scope(|scope| {
            for number in 1..count {
                std::thread::Builder::new()
                    .name(format!("cpu{number}"))
                    .spawn_scoped(scope, move || cpu::run(number, main, end))
                    .unwrap_or_else(|e| limits::give_up("cannot start a thread for each guest CPU", e.into()));
            }
            cpu::run(0, main, end);
        });
    }

    fn current_cpu(&self) -> usize {
        cpu::current()
    }

    fn kick(&self, cpu: usize) {
        cpu::kick(cpu);
    }

    fn idle(&self, deadline: Option<u64>) {
        (self.upkeep.idle)();
        cpu::idle(deadline);
        (self.upkeep.woke)();
    }

    fn set_alarm(&self, deadline: Option<u64>) {
        cpu::set_alarm(deadline);
    }
}
