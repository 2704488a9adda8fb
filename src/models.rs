//! The process models that are built in. A new one is a crate and a row here.

use umlab_kernel::model::ProcessModel;
use umlab_skas::{Interface, Kind, Skas};

/// A process model, as people see it.
pub struct Model {
    pub name: &'static str,
    pub description: &'static str,
    /// Whether this host can run it: as what, where there is a choice, and if not why.
    pub probe: fn() -> Result<String, String>,
    /// Makes it, for a guest of so many CPUs.
    pub make: fn(usize) -> Result<Box<dyn ProcessModel>, String>,
}

pub const MODELS: &[Model] = &[
    Model {
        name: "skas",
        description: "the core in an address space of its own, guests in others, switched by ptrace; the best kind this host has",
        probe: || Kind::best().probe().map(|()| format!("as {}", Kind::best().name())),
        make: |cpus| skas(cpus, Kind::best()),
    },
    Model {
        name: "skas0",
        description: "skas with a stub process for each guest address space, on a stock host",
        probe: || Kind::Stubs.probe().map(|()| String::new()),
        make: |cpus| skas(cpus, Kind::Stubs),
    },
    Model {
        name: "skas3",
        description: "skas with one process for each CPU, which hops between address spaces: on a patched host, by batches",
        probe: || SKAS3.probe().map(|()| String::new()),
        make: |cpus| skas(cpus, SKAS3),
    },
    Model {
        name: "skas3-write",
        description: "skas3 by the interface of 2002, a write for each mapping",
        probe: || SKAS3_WRITE.probe().map(|()| String::new()),
        make: |cpus| skas(cpus, SKAS3_WRITE),
    },
];

const SKAS3: Kind = Kind::ProcMm(Interface::Batch);
const SKAS3_WRITE: Kind = Kind::ProcMm(Interface::Write);

fn skas(cpus: usize, kind: Kind) -> Result<Box<dyn ProcessModel>, String> {
    match Skas::new(cpus, kind) {
        Ok(model) => Ok(Box::new(model)),
        Err(e) => Err(e.to_string()),
    }
}

/// The model of this name; an error that lists the names there are.
pub fn find(name: &str) -> Result<&'static Model, String> {
    MODELS.iter().find(|model| model.name == name).ok_or_else(|| {
        let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
        format!("there is no model '{name}'; the models are: {}", names.join(", "))
    })
}
