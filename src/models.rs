//! The process models of a program: those of umlab, and of whoever builds on it.

use std::fmt;
use umlab_model::{CannotRun, Model, ProcessModel};

/// The models that umlab brings.
const OWN: &[&[Model]] = &[
    umlab_skas::MODELS,
    umlab_seccomp::MODELS,
    umlab_tt::MODELS,
    umlab_jail::MODELS,
    umlab_inproc::MODELS,
    umlab_minimal::MODELS,
];

/// All models of a program.
#[derive(Clone, Copy)]
pub struct Models(&'static [Model]);

impl Models {
    /// umlab's own, and `more` after them.
    ///
    /// # Panics
    /// Two have one name.
    pub fn with(more: &'static [Model]) -> Models {
        let models = Models(more);
        for (at, model) in models.iter().enumerate() {
            assert!(
                models.iter().take(at).all(|other| other.name != model.name),
                "two models have the name {}",
                model.name
            );
        }
        models
    }

    pub fn iter(self) -> impl Iterator<Item = &'static Model> {
        OWN.iter().copied().chain([self.0]).flatten()
    }

    /// The model that `text` names, with the options that follow the name after commas.
    ///
    /// # Errors
    /// There is no such model, or it has no such option.
    pub fn find(self, text: &str) -> Result<Chosen<'_>, Unknown> {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default();
        let model = self.iter().find(|model| model.name == name).ok_or_else(|| Unknown::Model {
            name: name.into(),
            models: self.iter().map(|model| model.name).collect(),
        })?;
        let options: Vec<&str> = parts.collect();
        match options.iter().find(|option| !model.options.contains(option)) {
            Some(&option) => Err(Unknown::Option { model, option: option.into() }),
            None => Ok(Chosen { model, options }),
        }
    }
}

/// A model and its options.
pub struct Chosen<'a> {
    pub model: &'static Model,
    options: Vec<&'a str>,
}

impl Chosen<'_> {
    /// Makes it for a guest of so many CPUs.
    ///
    /// # Errors
    /// It cannot run here.
    pub fn make(&self, cpus: usize) -> Result<Box<dyn ProcessModel>, CannotRun> {
        (self.model.make)(cpus, &self.options)
    }
}

/// A name that stands for nothing.
#[derive(Debug)]
pub enum Unknown {
    Model { name: String, models: Vec<&'static str> },
    Option { model: &'static Model, option: String },
}

impl std::error::Error for Unknown {}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unknown::Model { name, models } => {
                write!(f, "there is no model '{name}'; the models are: {}", models.join(", "))
            }
            Unknown::Option { model, option } => {
                write!(f, "the model {} has no option '{option}'; ", model.name)?;
                match model.options {
                    [] => write!(f, "it has none"),
                    options => write!(f, "its options are: {}", options.join(", ")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use umlab_model::Isolation;

    const fn named(name: &'static str) -> Model {
        Model {
            name,
            description: "a test's",
            options: &["a=1"],
            most_cpus: Some(1),
            isolation: Isolation::Full,
            known_failures: &[],
            probe: || Err("it is a test's".into()),
            make: |_, options| Err(format!("asked with {options:?}").into()),
        }
    }

    static MINE: &[Model] = &[named("mine")];

    #[test]
    fn a_model_of_somebody_else_stands_beside_ours() {
        let models = Models::with(MINE);
        assert!(models.iter().any(|model| model.name == "tt"));
        let chosen = models.find("mine,a=1").unwrap();
        assert_eq!(chosen.make(1).err().unwrap().to_string(), "asked with [\"a=1\"]");
        assert!(Models::with(&[]).find("mine").is_err());
    }

    #[test]
    fn what_is_unknown_is_told_with_what_there_is() {
        let error = |text: &str| Models::with(MINE).find(text).err().unwrap().to_string();
        assert!(error("other").ends_with(", mine"), "{}", error("other"));
        assert!(error("mine,b").ends_with("has no option 'b'; its options are: a=1"), "{}", error("mine,b"));
        assert!(error("skas,b").ends_with("it has none"));
    }

    #[test]
    #[should_panic(expected = "two models have the name tt")]
    fn names_are_unique() {
        static TWICE: &[Model] = &[named("tt")];
        Models::with(TWICE);
    }
}
