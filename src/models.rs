//! The process models that are built in. A new one is a crate and a row here.

use umlab_kernel::model::ProcessModel;

/// A process model, as people see it.
pub struct Model {
    pub name: &'static str,
    pub description: &'static str,
    /// Whether this host can run it, and if not why.
    pub probe: fn() -> Result<(), String>,
    /// Makes it, for a guest of so many CPUs.
    pub make: fn(usize) -> Result<Box<dyn ProcessModel>, String>,
}

pub const MODELS: &[Model] = &[Model {
    name: "skas",
    description: "the core in an address space of its own, guests in others, switched by ptrace",
    probe: umlab_skas::probe,
    make: |cpus| match umlab_skas::Skas::new(cpus) {
        Ok(model) => Ok(Box::new(model)),
        Err(e) => Err(e.to_string()),
    },
}];

/// The model of this name; an error that lists the names there are.
pub fn find(name: &str) -> Result<&'static Model, String> {
    MODELS.iter().find(|model| model.name == name).ok_or_else(|| {
        let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
        format!("there is no model '{name}'; the models are: {}", names.join(", "))
    })
}
