//! Process models as people choose them: by name, with options, where the host can run them.

use crate::ProcessModel;
use std::fmt;
use umlab_host::{Errno, limits};

/// A process model under a name. A model's crate has one for each kind of it that people can ask
/// for; a program that is given it lists it, runs it and measures it beside the others.
#[derive(Debug)]
pub struct Model {
    /// As in `umlab run --model NAME`.
    pub name: &'static str,
    /// One line: where the kernel is, where guests are, how control passes.
    pub description: &'static str,
    /// What may follow the name after commas, as in `tt,sysemu=off`.
    pub options: &'static [&'static str],
    /// How many CPUs its guests can have, where that is limited.
    pub most_cpus: Option<u32>,
    /// What it keeps hostile programs from; `umlab conform` holds it to that.
    pub isolation: Isolation,
    /// Checks of `umlab conform` that it does not pass, by name, with the reason that people read.
    pub known_failures: &'static [(&'static str, &'static str)],
    /// Whether this host can run it: as what, where there is a choice, else an empty text. Leaves
    /// nothing behind.
    ///
    /// # Errors
    /// Why not.
    pub probe: fn() -> Result<String, CannotRun>,
    /// Makes it, for a guest of so many CPUs, with these of its options. Called once in a process,
    /// while there is one thread.
    ///
    /// # Errors
    /// Why it cannot be made here.
    pub make: fn(usize, &[&str]) -> Result<Box<dyn ProcessModel>, CannotRun>,
}

/// What user code can do to the kernel, past all traps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isolation {
    /// It can neither read nor change the kernel's memory, changes nothing but what it has mapped,
    /// and makes no call of the host.
    Full,
    /// It can read the kernel's memory, but not change it, and makes no call of the host.
    ReadOnlyCore,
    /// It can change the kernel, and so do all that the kernel can: for programs that are trusted.
    None,
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isolation::Full => "guests can neither read nor change the kernel's memory",
            Isolation::ReadOnlyCore => "guests can read the kernel's memory, and cannot change it",
            Isolation::None => "guests can read and change the kernel's memory",
        })
    }
}

/// Why a model cannot run here, to be read after "the model NAME cannot run here:".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CannotRun(String);

impl CannotRun {
    /// What failed, and the host's error.
    pub fn failed(what: &str, error: Errno) -> CannotRun {
        CannotRun(format!("{what}: {}", limits::Reason(error)))
    }
}

impl fmt::Display for CannotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CannotRun {}

impl From<&str> for CannotRun {
    fn from(reason: &str) -> CannotRun {
        CannotRun(reason.into())
    }
}

impl From<String> for CannotRun {
    fn from(reason: String) -> CannotRun {
        CannotRun(reason)
    }
}

impl From<Errno> for CannotRun {
    fn from(error: Errno) -> CannotRun {
        CannotRun(limits::Reason(error).to_string())
    }
}
