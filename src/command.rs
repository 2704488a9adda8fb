//! The command line of `umlab`.

use crate::options::RunOptions;
use clap::{Parser, Subcommand};
use umlab_kernel::boot::STATUS_OWN;

/// A laboratory for user-mode kernels
#[derive(Parser)]
#[command(name = "umlab", version, about, max_term_width = 100)]
pub struct Umlab {
    #[command(subcommand)]
    pub command: Verb,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Run a command in a fresh guest
    #[command(after_help = RUN_HELP)]
    Run(Box<RunOptions>),
    /// Measure the models beside the host
    Bench(Box<umlab_bench::options::BenchOptions>),
    /// Tell what changed between two results of `bench`
    #[command(after_help = "The exit status is 0 without a regression, 1 with one, 2 when it cannot be told.")]
    Compare(umlab_bench::options::CompareOptions),
    /// Write the report of a run: a page, Markdown, CSV and charts
    Report(umlab_bench::options::ReportOptions),
    /// Look for faults of the guest kernel by random programs
    #[command(after_help = FUZZ_HELP)]
    Fuzz(umlab_fuzzer::options::FuzzOptions),
    /// Check whether a process model does what the guest kernel and its programs rely on
    #[command(after_help = CONFORM_HELP)]
    Conform(umlab_conform::options::ConformOptions),
    /// List the process models, and whether this host can run them
    Models,
}

/// Tells what is wrong with a command line, or prints the help that was asked for, and ends the
/// process.
pub fn end(e: &clap::Error) -> ! {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    let _ = e.print();
    let asked = matches!(e.kind(), DisplayHelp | DisplayVersion);
    let shown = e.kind() == DisplayHelpOnMissingArgumentOrSubcommand;
    std::process::exit(if asked && !shown { 0 } else { STATUS_OWN });
}

const RUN_HELP: &str = "\
The exit status is the command's; 128+N after signal N, 127 when the command was not found, 126 when it
could not be executed, 125 for umlab's own errors.

Examples:
  umlab run -- bash                        an interactive shell on the host's own tree, changes kept in memory
  umlab run --rw . -- make -j2             build in the current directory, for real
  umlab run --cpus 1 --trace=/tmp/t -- ls  what ls asks of the kernel";

const FUZZ_HELP: &str = "\
The exit status is 0 without a find, 1 with one, 125 for umlab's own errors.

Examples:
  umlab fuzz --minutes 60 --model tt           an hour of every kind, with a new seed
  umlab fuzz --kind mappings --seed 7          the same rounds each time
  umlab fuzz --replay fuzz-finds/FILE          a find, again
  umlab fuzz --replay fuzz-finds/FILE --reduce 10";

const CONFORM_HELP: &str = "\
The exit status is 0 when all checks passed, 1 with a failure, 125 for umlab's own errors.

Examples:
  umlab conform tt                      every check, in guests of 1 and of 2 CPUs
  umlab conform skas state              the checks of one area
  umlab conform skas --cpus 4 state/moves";
