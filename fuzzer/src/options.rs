//! The command line of `umlab fuzz`.

use crate::program::Kind;
use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What to try, and how long.
#[derive(Args, Debug)]
pub struct FuzzOptions {
    /// The process model (see `umlab models`)
    #[arg(long, value_name = "NAME", default_value = "skas")]
    pub model: String,

    /// Guest CPUs [default: as many as this process may use, and the model can have]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub cpus: Option<u16>,

    /// What the programs are made of
    #[arg(long, value_enum, default_value_t = Choice::All)]
    pub kind: Choice,

    /// As --kind differential
    #[arg(long, conflicts_with = "kind")]
    pub differential: bool,

    /// Begin no round after so many minutes
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = minutes)]
    pub minutes: f64,

    /// Begin no more than so many rounds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: Option<u32>,

    /// The first round's seed; each has the next number [default: a new one]
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,

    /// Run the program in this file instead, some times
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "differential", "seed", "print"])]
    pub replay: Option<PathBuf>,

    /// Look for a shorter program that still fails, for so many minutes for each find [default: 2;
    /// with --replay 0]
    #[arg(long, value_name = "N", value_parser = minutes)]
    pub reduce: Option<f64>,

    /// Folder for the programs of finds
    #[arg(long, value_name = "DIR", default_value = "fuzz-finds")]
    pub out: PathBuf,

    /// Print the first program of the seed, and run nothing
    #[arg(long, requires = "seed")]
    pub print: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Choice {
    /// Any call, in several processes and threads
    Syscalls,
    /// Calls whose answers must be the host's
    Differential,
    /// Changes of mappings: every byte read must be the one written
    Mappings,
    /// Forged signal frames
    Frames,
    /// All of these in turn
    All,
}

impl FuzzOptions {
    /// The kinds of the rounds, in turn.
    pub fn kinds(&self) -> &'static [Kind] {
        match self.kind {
            _ if self.differential => &[Kind::Differential],
            Choice::Syscalls => &[Kind::Syscalls],
            Choice::Differential => &[Kind::Differential],
            Choice::Mappings => &[Kind::Mappings],
            Choice::Frames => &[Kind::Frames],
            Choice::All => &[
                Kind::Syscalls,
                Kind::Differential,
                Kind::Mappings,
                Kind::Syscalls,
                Kind::Syscalls,
                Kind::Differential,
                Kind::Frames,
            ],
        }
    }
}

fn minutes(text: &str) -> Result<f64> {
    match text.parse() {
        Ok(minutes) if (0.0..=1e6).contains(&minutes) => Ok(minutes),
        _ => Err(anyhow!("'{text}' is no number of minutes")),
    }
}
