//! What each guest CPU keeps of host processes: its stub processes that no address space uses, or
//! its runner.

use crate::runner::Runner;
use crate::stub::Stub;
use std::sync::OnceLock;
use umlab_model::lock::KCell;
use umlab_threads::Upkeep;

pub use umlab_threads::{current, kick};

umlab_model::counters! {
    syscall_stops fault_stops exception_stops interrupt_stops order_stops orders maps unmaps protects
    register_reads register_writes result_writes state_moves stubs_made stubs_reused shootdowns
    mm_calls mm_runs mm_switches
}

#[derive(Default)]
pub struct Cpu {
    /// Stub processes that no address space uses.
    pub pool: KCell<Vec<Stub>>,
    /// How many of them address spaces count on.
    pub reserved: KCell<usize>,
    /// Stub processes to be ended, which only this CPU's thread can do.
    pub dead: KCell<Vec<Stub>>,
    /// On a patched host, the process that runs all user code of this CPU.
    pub runner: KCell<Option<Runner>>,
}

static CPUS: OnceLock<Vec<Cpu>> = OnceLock::new();

pub fn init(count: usize) {
    let _ = CPUS.set((0..count).map(|_| Cpu::default()).collect());
}

pub fn all() -> &'static [Cpu] {
    CPUS.get().expect("the model was made")
}

pub fn this() -> &'static Cpu {
    &all()[current()]
}

/// What a CPU's thread does for its processes, which only it can end.
pub const UPKEEP: Upkeep = Upkeep {
    idle: || this().dead.take().into_iter().for_each(Stub::end),
    end: || {
        let cpu = this();
        cpu.pool.take().into_iter().chain(cpu.dead.take()).for_each(Stub::end);
        if let Some(runner) = cpu.runner.take() {
            runner.end();
        }
    },
    ..Upkeep::NONE
};
