//! umlab as a library: the programs `uml` and `umlab`, for whoever brings process models of their
//! own.
//!
//! A crate with a model has two programs of three lines each, which hand it over ([`uml`],
//! [`umlab`]); it then stands beside umlab's own in `run`, `models`, `conform`, `bench` and `fuzz`.

#![forbid(unsafe_code)]

pub mod command;
pub mod models;
pub mod options;
mod run;
mod testbed;

pub use umlab_host::arena::SharedHeap;
pub use umlab_model::{Isolation, Model};

use clap::Parser;
use models::Models;

/// Boot a guest kernel and run a command in it
#[derive(Parser)]
#[command(name = "uml", version, about, max_term_width = 100)]
struct Uml {
    #[command(flatten)]
    options: options::RunOptions,
}

/// The program `uml`, with `more` models than umlab's own: boots one guest in its own process. Its
/// global allocator must be a [`SharedHeap`]: core state is shared between host processes in some
/// models, all of it.
///
/// # Panics
/// Two models have one name.
pub fn uml(more: &'static [Model]) -> ! {
    umlab_host::process::keep_libc_heap_small();
    let models = Models::with(more);
    let uml = Uml::try_parse().unwrap_or_else(|e| command::end(&e));
    std::process::exit(run::run(uml.options, models));
}

/// The program `umlab`, with `more` models than umlab's own. For each guest it starts `uml`, which
/// lies beside it; if it has a name as `my-umlab`, that is `my-uml`.
///
/// # Panics
/// Two models have one name.
pub fn umlab(more: &'static [Model]) -> ! {
    let models = Models::with(more);
    let umlab = command::Umlab::try_parse().unwrap_or_else(|e| command::end(&e));
    std::process::exit(testbed::command(umlab.command, models));
}
