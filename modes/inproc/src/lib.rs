//! inproc: the core in every guest's host process, without a tracer.
//!
//! All that models of this kind share is in [`umlab_tasks`]. Here the host itself turns the system
//! calls of user code into signals, by where they are made from ([`dispatch`]), and no other
//! process is involved in one.

mod dispatch;
mod images;

use umlab_model::{CannotRun, Isolation, Model};
use umlab_tasks::{KNOWN_FAILURES, Tasks};

umlab_model::counters! { calls images sites_rewritten sites_refused }

/// inproc as people choose it.
pub static MODELS: &[Model] = &[Model {
    name: "inproc",
    description: "the core in every guest's host process, entered by signals; no tracer, and no isolation",
    options: &["rewrite=on", "rewrite=off"],
    most_cpus: None,
    isolation: Isolation::None,
    known_failures: KNOWN_FAILURES,
    probe: || probe().map(|()| String::new()),
    make: |cpus, options| {
        probe()?;
        let tasks = Tasks::new("inproc", cpus, &dispatch::Dispatch, None)?;
        // Code is rewritten while no user code runs, which takes more where there are more CPUs.
        if options.last() != Some(&"rewrite=off") && cpus == 1 {
            images::init().map_err(|e| CannotRun::failed("cannot rewrite system calls here", e))?;
        }
        Ok(Box::new(tasks))
    },
}];

/// Why the model does not work here, if it does not.
fn probe() -> Result<(), CannotRun> {
    umlab_tasks::probe()?;
    dispatch::probe()
        .map_err(|e| CannotRun::failed("the host does not turn system calls into signals (Linux 5.11, prctl(2))", e))
}
