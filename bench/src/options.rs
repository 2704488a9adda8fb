//! The command lines of `umlab bench`, `compare` and `report`.

use clap::Args;
use std::path::PathBuf;

/// What to measure, and how long.
#[derive(Args, Debug, Default)]
pub struct BenchOptions {
    /// Models to measure beside the host [default: all that this host can run]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', conflicts_with = "resume")]
    pub models: Vec<String>,

    /// Workloads to run, by name or by group [default: all]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', conflicts_with = "resume")]
    pub workloads: Vec<String>,

    /// Sizes of workloads, in place of those that the time allows, as kernel-build=quick;
    /// `umlab-workload list` tells them
    #[arg(long, value_name = "NAME=SIZE,...", value_delimiter = ',', value_parser = size_of, conflicts_with = "resume")]
    pub sizes: Vec<(String, String)>,

    /// Rounds, each with every runner in turn, however long they take [default: 5; --quick 3; as
    /// many as the time allows]; with --resume, so many in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99))]
    pub rounds: Option<u32>,

    /// Within 3 minutes, with small workloads
    #[arg(long, conflicts_with_all = ["full", "resume"])]
    pub quick: bool,

    /// As long as it takes, with the workloads in full size: the whole kernel
    #[arg(long, conflicts_with = "resume")]
    pub full: bool,

    /// CPUs to measure with, host and guest alike: 1, 2 or 1,2; every workload with each [default:
    /// one, and the kernel build with 1 and 2; --quick 1; --full 1 to 8]
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=64), conflicts_with = "resume")]
    pub cpus: Vec<u32>,

    /// Beside so many neighbours: processes that spin on each of the measured CPUs while a sample
    /// runs, on the host and in guests alike
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "resume", value_parser = clap::value_parser!(u32).range(0..=64))]
    pub neighbour: u32,

    /// Measure other user-mode kernels too, when they are installed: User Mode Linux, gVisor
    #[arg(long, conflicts_with = "resume")]
    pub peers: bool,

    /// Stop beginning new samples after so many minutes [default: 18; --quick 2.5; none with
    /// --full or --rounds]; with --resume, so many from now on
    #[arg(long, value_name = "MINUTES", value_parser = minutes)]
    pub budget: Option<f64>,

    /// End a sample after so many seconds [default: 60, a kernel build 400; --quick 15 and 90;
    /// --full hours; with N neighbours N + 1 times as many]
    #[arg(long, value_name = "SECONDS", conflicts_with = "resume", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,

    /// Folder for the results, new or empty [default: results/TIME]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub out: Option<PathBuf>,

    /// Go on with a run that was interrupted, or take more rounds of one that was not
    #[arg(long, value_name = "DIR")]
    pub resume: Option<PathBuf>,

    /// Mark the results, as `emulated` where the processor is emulated and cannot be seen to be, or
    /// `counted` where its clock counts instructions: then the report shows ratios only
    #[arg(long, value_name = "TEXT", conflicts_with = "resume")]
    pub label: Option<String>,

    /// A Linux source tree to build [default: what scripts/fetch-kernel fetches]
    #[arg(long, value_name = "DIR")]
    pub kernel_tree: Option<PathBuf>,

    /// The program of the workloads [default: the one built beside this program]
    #[arg(long, value_name = "FILE", hide = true)]
    pub workload_program: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct CompareOptions {
    /// The results before: a folder of a run, or its results.json
    #[arg(value_name = "A")]
    pub before: PathBuf,

    /// The results after
    #[arg(value_name = "B")]
    pub after: PathBuf,

    /// Changes up to so many percent are not worth telling
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = percent)]
    pub threshold: f64,

    /// Compare times as they are, not times the host of the same run
    #[arg(long)]
    pub absolute: bool,

    /// Show all that was compared, not only what changed
    #[arg(long)]
    pub all: bool,
}

#[derive(Args, Debug)]
pub struct ReportOptions {
    /// A folder of a run, or a results file
    #[arg(value_name = "DIR")]
    pub results: PathBuf,

    /// Where to write report.html, report.md, results.csv and charts/ [default: where the results
    /// are]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

fn size_of(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, size)) if !name.is_empty() && !size.is_empty() => Ok((name.into(), size.into())),
        _ => Err("write NAME=SIZE".into()),
    }
}

/// Within what JSON can hold, for a plan is kept.
fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.0..=1e6).contains(&minutes) => Ok(minutes),
        _ => Err("write a number of minutes from 0 to 1000000".into()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(number) if (0.0..=1000.0).contains(&number) => Ok(number),
        _ => Err("write a percentage from 0 to 1000".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_number_that_a_plan_can_keep() {
        assert_eq!((minutes("2.5"), minutes("0")), (Ok(2.5), Ok(0.0)));
        for wrong in ["", "-1", "inf", "nan", "1e7", "five"] {
            assert!(minutes(wrong).is_err(), "{wrong}");
        }
    }
}
