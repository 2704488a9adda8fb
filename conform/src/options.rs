//! The command line of `umlab conform`.

use clap::{Args, value_parser};

/// Which model to check, and by which checks.
#[derive(Args, Debug)]
pub struct ConformOptions {
    /// The process model (see `umlab models`)
    #[arg(value_name = "MODEL", required_unless_present = "list")]
    pub model: Option<String>,

    /// Checks or areas of them [default: all]
    #[arg(value_name = "CHECK")]
    pub checks: Vec<String>,

    /// Guest CPUs beside one; 1 for guests of one CPU alone [default: 2 where the model can have
    /// them]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=64))]
    pub cpus: Option<u16>,

    /// A check that is not over after so many seconds hangs
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = value_parser!(u64).range(1..=60))]
    pub limit: u64,

    /// List the checks, and run nothing
    #[arg(long)]
    pub list: bool,
}
