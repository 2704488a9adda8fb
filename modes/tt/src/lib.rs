//! tt: the core in every guest's host process, and a tracing thread.
//!
//! All that models of this kind share is in [`umlab_tasks`]. Here one thread of `uml`'s process
//! ([`tracer`]) traces all guest tasks, and switches the interception of system calls off and on.

mod placement;
mod tracer;

use umlab_model::{CannotRun, Isolation, Model};
use umlab_tasks::{Guard, KNOWN_FAILURES, Tasks, probe};

umlab_model::counters! {
    syscall_stops cancelled_stops entry_stops fault_stops kick_stops leave_stops birth_stops other_stops
    tracer_placements
}

/// tt as people choose it.
pub static MODELS: &[Model] = &[Model {
    name: "tt",
    description: "the core in every guest's host process, entered by signals, and a tracing thread",
    options: Options::NAMES,
    most_cpus: None,
    isolation: Isolation::None,
    known_failures: KNOWN_FAILURES,
    probe: || probe().map(|()| String::new()),
    make: |cpus, options| Ok(Box::new(make("tt", cpus, Options::of(options), None)?)),
}];

/// How tt can be changed.
#[derive(Clone, Copy)]
pub struct Options {
    /// Intercept system calls by PTRACE_SYSEMU, instead of changing them to getpid as in 2002.
    pub sysemu: bool,
}

impl Options {
    /// As people write them.
    pub const NAMES: &'static [&'static str] = &["sysemu=on", "sysemu=off"];

    /// What these of them ask for.
    pub fn of(names: &[&str]) -> Options {
        Options { sysemu: !names.contains(&"sysemu=off") }
    }
}

/// Makes tt, or a variant of it, for a guest of `cpus` CPUs.
pub fn make(name: &'static str, cpus: usize, options: Options, guard: Option<Guard>) -> Result<Tasks, CannotRun> {
    let tasks = Tasks::new(name, cpus, &tracer::Tracing, guard)?;
    tracer::use_sysemu(options.sysemu);
    Ok(tasks)
}
