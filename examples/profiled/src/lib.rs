//! profiled: skas, with the traps of each kind counted, and the time that passes in user mode.
//!
//! An example of a process model outside umlab, and of the cheapest way to one: a model that hands
//! on to another one all but what it changes. `umlab run --model profiled --stats -- COMMAND` shows
//! what it counts.

use std::sync::Arc;
use std::time::Instant;
use umlab_host::Result;
use umlab_model::{
    CannotRun, HostTime, HostView, Isolation, Machine, Model, ModelSpace, ProcessModel, Regs, Residence, Trap,
    UserThread, Vdso,
};
use umlab_skas::{Kind, Skas};

pub static MODELS: &[Model] = &[Model {
    name: "profiled",
    description: "skas0, with its traps counted by kind and the time in user mode taken",
    options: &[],
    most_cpus: None,
    isolation: Isolation::Full,
    known_failures: umlab_skas::KNOWN_FAILURES,
    probe: || Kind::Stubs.probe().map(|()| String::new()),
    make: |cpus, _| Ok(Box::new(Profiled(Skas::new(cpus, Kind::Stubs).map_err(CannotRun::from)?))),
}];

umlab_model::counters! {
    calls faults exceptions interrupts others user_mode_ns
}

struct Profiled(Skas);

impl ProcessModel for Profiled {
    fn name(&self) -> &'static str {
        "profiled"
    }

    fn new_thread(&self) -> Box<dyn UserThread> {
        Box::new(ProfiledThread(self.0.new_thread()))
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        self.0.counters().into_iter().chain(counters()).collect()
    }

    // All else is skas.

    fn machine(&self) -> &dyn Machine {
        self.0.machine()
    }

    fn user_top(&self) -> u64 {
        self.0.user_top()
    }

    fn vdso(&self) -> Option<Vdso> {
        self.0.vdso()
    }

    fn new_space(&self) -> Result<Box<dyn ModelSpace>> {
        self.0.new_space()
    }

    fn audit_idle(&self) -> Vec<HostView> {
        self.0.audit_idle()
    }
}

struct ProfiledThread(Box<dyn UserThread>);

impl UserThread for ProfiledThread {
    fn run(&mut self, space: &dyn ModelSpace) -> Trap {
        let begin = Instant::now();
        let trap = self.0.run(space);
        count(|c| &c.user_mode_ns, begin.elapsed().as_nanos() as u64);
        match trap {
            Trap::Syscall { .. } => count(|c| &c.calls, 1),
            Trap::Fault(_) => count(|c| &c.faults, 1),
            Trap::Exception { .. } => count(|c| &c.exceptions, 1),
            Trap::Interrupt => count(|c| &c.interrupts, 1),
            Trap::Migrate { .. } | Trap::Lost => count(|c| &c.others, 1),
        }
        trap
    }

    fn duplicate(&mut self) -> Box<dyn UserThread> {
        Box::new(ProfiledThread(self.0.duplicate()))
    }

    // All else is skas.

    fn regs(&mut self) -> &Regs {
        self.0.regs()
    }

    fn regs_mut(&mut self) -> &mut Regs {
        self.0.regs_mut()
    }

    fn set_result(&mut self, value: u64) {
        self.0.set_result(value);
    }

    fn read_extended_state(&mut self, image: &mut Vec<u8>) {
        self.0.read_extended_state(image);
    }

    fn set_extended_state(&mut self, xsave: &[u8]) -> Result<()> {
        self.0.set_extended_state(xsave)
    }

    fn reset_extended_state(&mut self) {
        self.0.reset_extended_state();
    }

    fn timestamps(&self) -> bool {
        self.0.timestamps()
    }

    fn set_timestamps(&mut self, on: bool) {
        self.0.set_timestamps(on);
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn host_time(&self) -> Option<HostTime> {
        self.0.host_time()
    }

    fn residence(&self) -> Option<Arc<dyn Residence>> {
        self.0.residence()
    }
}
