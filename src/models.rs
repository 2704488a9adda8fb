//! The process models that are built in. A new one is a crate and a row here.

use umlab_model::ProcessModel;
use umlab_skas::{Interface, Kind, Skas};

/// A process model, as people see it.
pub struct Model {
    pub name: &'static str,
    pub description: &'static str,
    /// What may be said after its name, as in `tt,sysemu=off`.
    pub options: &'static [&'static str],
    /// How many CPUs its guests can have, where that is limited.
    pub most_cpus: Option<u32>,
    /// Whether this host can run it: as what, where there is a choice, and if not why.
    pub probe: fn() -> Result<String, String>,
    /// Makes it, for a guest of so many CPUs, with these options.
    pub make: fn(usize, &[&str]) -> Result<Box<dyn ProcessModel>, String>,
}

pub const MODELS: &[Model] = &[
    Model {
        name: "skas",
        description: "the core in an address space of its own, guests in others, switched by ptrace; the best kind this host has",
        options: &[],
        most_cpus: None,
        probe: || Kind::best().probe().map(|()| format!("as {}", Kind::best().name())),
        make: |cpus, _| skas(cpus, Kind::best()),
    },
    Model {
        name: "skas0",
        description: "skas with a stub process for each guest address space, on a stock host",
        options: &[],
        most_cpus: None,
        probe: || Kind::Stubs.probe().map(|()| String::new()),
        make: |cpus, _| skas(cpus, Kind::Stubs),
    },
    Model {
        name: "skas3",
        description: "skas with one process for each CPU, which hops between address spaces: on a patched host, by batches",
        options: &[],
        most_cpus: None,
        probe: || SKAS3.probe().map(|()| String::new()),
        make: |cpus, _| SKAS3.probe().and_then(|()| skas(cpus, SKAS3)),
    },
    Model {
        name: "skas3-write",
        description: "skas3 by the interface of 2002, a write for each mapping",
        options: &[],
        most_cpus: None,
        probe: || SKAS3_WRITE.probe().map(|()| String::new()),
        make: |cpus, _| SKAS3_WRITE.probe().and_then(|()| skas(cpus, SKAS3_WRITE)),
    },
    Model {
        name: "tt",
        description: "the core in every guest's host process, entered by signals, and a tracing thread",
        options: SYSEMU,
        most_cpus: None,
        probe: || umlab_tt::probe().map(|()| String::new()),
        make: |cpus, options| Ok(Box::new(umlab_tt::Tt::new("tt", cpus, tt_options(options))?)),
    },
    Model {
        name: "tt-jail",
        description: "tt, with the core's memory write-protected while guests run; one CPU",
        options: &["sysemu=on", "sysemu=off", "forget=on", "forget=off"],
        most_cpus: Some(1),
        probe: || umlab_tt::probe().map(|()| String::new()),
        make: |cpus, options| {
            let forget = !options.contains(&"forget=off");
            Ok(Box::new(umlab_jail::Jail::new(cpus, tt_options(options), forget)?))
        },
    },
];

const SKAS3: Kind = Kind::ProcMm(Interface::Batch);
const SKAS3_WRITE: Kind = Kind::ProcMm(Interface::Write);
const SYSEMU: &[&str] = &["sysemu=on", "sysemu=off"];

fn skas(cpus: usize, kind: Kind) -> Result<Box<dyn ProcessModel>, String> {
    match Skas::new(cpus, kind) {
        Ok(model) => Ok(Box::new(model)),
        Err(e) => Err(umlab_host::limits::Reason(e).to_string()),
    }
}

fn tt_options(options: &[&str]) -> umlab_tt::Options {
    umlab_tt::Options { sysemu: !options.contains(&"sysemu=off") }
}

/// The model of this name, and the options that follow it after commas; an error that lists what
/// there is.
pub fn find(text: &str) -> Result<(&'static Model, Vec<&str>), String> {
    let mut parts = text.split(',');
    let name = parts.next().unwrap_or_default();
    let model = MODELS.iter().find(|model| model.name == name).ok_or_else(|| {
        let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
        format!("there is no model '{name}'; the models are: {}", names.join(", "))
    })?;
    let options: Vec<&str> = parts.collect();
    match options.iter().find(|option| !model.options.contains(option)) {
        Some(wrong) => Err(format!(
            "the model {name} has no option '{wrong}'; {}",
            if model.options.is_empty() {
                "it has none".into()
            } else {
                format!("its options are: {}", model.options.join(", "))
            }
        )),
        None => Ok((model, options)),
    }
}
