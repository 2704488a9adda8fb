//! skas: the core in its own process and address space, guests in address spaces of their own.
//!
//! On a stock host (`skas0`) an address space is a host process, a *stub* process: nothing is
//! mapped in it but what the guest has mapped, the vDSO, and two pages of ours below the very top
//! ([`stub`]). It is traced by the CPU thread that it runs guests for. A system call is one stop:
//! resumed with PTRACE_SYSEMU, the guest stops at its next system call, which the host skips.
//! Mappings are made by the stub process itself, obeying a batch of orders that only the core can
//! write.
//!
//! Each guest CPU is one thread of the core ([`umlab_threads`]), pinned to one host CPU together
//! with its stub processes, because a hand-over within a CPU costs a seventh of one across CPUs. A
//! guest address space whose threads run on several CPUs has a stub process for each of them. Both
//! map the same memory, as two CPUs' TLBs would.

mod cpu;
mod history;
mod mm_space;
mod orders;
mod runner;
mod space;
mod stub;
mod thread;

use stub::Stub;
use umlab_host::Result;
use umlab_model::{CannotRun, HostView, Isolation, Machine, Model, ModelSpace, ProcessModel, UserThread, Vdso};
use umlab_threads::Threads;

pub use mm_space::Interface;

const SKAS3: Kind = Kind::ProcMm(Interface::Batch);
const SKAS3_WRITE: Kind = Kind::ProcMm(Interface::Write);

/// Checks of `umlab conform` that skas does not pass.
pub const KNOWN_FAILURES: &[(&str, &str)] = &[
    ("state/identification", "ptrace(2) cannot set that flag in the process that runs user code"),
    ("threads/cpu-number", "the vDSO is the host's, and tells the number of the host's CPU"),
];

/// skas as people choose it.
pub static MODELS: &[Model] = &[
    Model {
        name: "skas",
        description: "the core in an address space of its own, guests in others, switched by ptrace; the best kind this host has",
        options: &[],
        most_cpus: None,
        isolation: Isolation::Full,
        known_failures: KNOWN_FAILURES,
        probe: || Kind::best().probe().map(|()| format!("as {}", Kind::best().name())),
        make: |cpus, _| make(cpus, Kind::best()),
    },
    Model {
        name: Kind::Stubs.name(),
        description: "skas with a stub process for each guest address space, on a stock host",
        options: &[],
        most_cpus: None,
        isolation: Isolation::Full,
        known_failures: KNOWN_FAILURES,
        probe: || Kind::Stubs.probe().map(|()| String::new()),
        make: |cpus, _| make(cpus, Kind::Stubs),
    },
    Model {
        name: SKAS3.name(),
        description: "skas with one process for each CPU, which hops between address spaces: on a patched host, by batches",
        options: &[],
        most_cpus: None,
        isolation: Isolation::Full,
        known_failures: KNOWN_FAILURES,
        probe: || SKAS3.probe().map(|()| String::new()),
        make: |cpus, _| SKAS3.probe().and_then(|()| make(cpus, SKAS3)),
    },
    Model {
        name: SKAS3_WRITE.name(),
        description: "skas3 by the interface of 2002, a write for each mapping",
        options: &[],
        most_cpus: None,
        isolation: Isolation::Full,
        known_failures: KNOWN_FAILURES,
        probe: || SKAS3_WRITE.probe().map(|()| String::new()),
        make: |cpus, _| SKAS3_WRITE.probe().and_then(|()| make(cpus, SKAS3_WRITE)),
    },
];

fn make(cpus: usize, kind: Kind) -> std::result::Result<Box<dyn ProcessModel>, CannotRun> {
    Ok(Box::new(Skas::new(cpus, kind)?))
}

/// How address spaces exist on the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// As stub processes, on any host.
    Stubs,
    /// As descriptors of `/proc/mm`, on a patched one.
    ProcMm(Interface),
}

impl Kind {
    /// The best there is on this host.
    pub fn best() -> Kind {
        let best = Kind::ProcMm(Interface::Batch);
        if best.probe().is_ok() { best } else { Kind::Stubs }
    }

    /// Whether this host has it, and if not why.
    pub fn probe(self) -> std::result::Result<(), CannotRun> {
        match self {
            Kind::Stubs => stub::probe(),
            Kind::ProcMm(_) => mm_space::probe(),
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Kind::Stubs => "skas0",
            Kind::ProcMm(Interface::Batch) => "skas3",
            Kind::ProcMm(Interface::Write) => "skas3-write",
        }
    }
}

/// The model; one for the process.
pub struct Skas {
    kind: Kind,
    threads: Threads,
}

impl Skas {
    /// Makes the model for a guest of `cpus` CPUs.
    pub fn new(cpus: usize, kind: Kind) -> Result<Skas> {
        umlab_host::copy::install();
        stub::init()?;
        cpu::init(cpus);
        Ok(Skas { kind, threads: Threads::new(cpus, cpu::UPKEEP) })
    }
}

impl ProcessModel for Skas {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn machine(&self) -> &dyn Machine {
        &self.threads
    }

    fn user_top(&self) -> u64 {
        match self.kind {
            Kind::Stubs => umlab_stubs::USER_TOP,
            Kind::ProcMm(_) => umlab_model::TASK_SIZE,
        }
    }

    fn vdso(&self) -> Option<Vdso> {
        match self.kind {
            Kind::Stubs => umlab_stubs::vdso::place(),
            // Such an address space begins empty, and the host's vDSO cannot be mapped a second
            // time.
            Kind::ProcMm(_) => None,
        }
    }

    fn new_space(&self) -> Result<Box<dyn ModelSpace>> {
        match self.kind {
            Kind::Stubs => Ok(Box::new(space::SkasSpace::new()) as Box<dyn ModelSpace>),
            Kind::ProcMm(interface) => Ok(Box::new(mm_space::MmSpace::new(interface)?)),
        }
    }

    fn new_thread(&self) -> Box<dyn UserThread> {
        Box::new(thread::SkasThread::new())
    }

    fn audit_idle(&self) -> Vec<HostView> {
        cpu::all()
            .iter()
            .flat_map(|cpu| cpu.pool.borrow().iter().filter_map(Stub::idle_view).collect::<Vec<_>>())
            .collect()
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        cpu::counters().into_iter().chain(umlab_threads::counters()).collect()
    }
}
