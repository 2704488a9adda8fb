//! The program `umlab-workload`, the same on the host, in guests and in peers.

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use std::io::Write;
use std::process::ExitCode;
use umlab_workloads::protocol::Entry;
use umlab_workloads::{ALL, About, Report, Setting, Size, Workload, children, find};

/// Run umlab's workloads, where this program is run
#[derive(Parser)]
#[command(version, after_help = "workloads/README.md documents the output of a workload.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tell what workloads there are
    List {
        /// As JSON, with all that the harness has to know
        #[arg(long, conflicts_with = "markdown")]
        json: bool,
        /// As the table in workloads/README.md
        #[arg(long)]
        markdown: bool,
    },
    /// Run one, and tell its results in lines of JSON
    Run {
        name: String,
        /// How much of it [default: quick]
        #[arg(long)]
        size: Option<String>,
        /// How many at once, for workloads that can do so
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
        jobs: u32,
        /// CPUs to run on: one, or one for each of the workload's parties [default: any]
        #[arg(long, value_name = "CPU,...", value_delimiter = ',')]
        pin: Vec<usize>,
        /// A parameter of the workload's own, see list --json
        #[arg(long, value_name = "KEY=VALUE")]
        param: Vec<String>,
    },
}

fn main() -> ExitCode {
    // As the static program that is executed again and again, before anything else costs time.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == children::DO_NOTHING) {
        return ExitCode::SUCCESS;
    }
    let done = match Cli::parse().command {
        Command::List { json, markdown } => list(json, markdown),
        Command::Run { name, size, jobs, pin, param } => run(&name, size.as_deref(), jobs, &pin, &param),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("umlab-workload: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, size: Option<&str>, jobs: u32, pins: &[usize], params: &[String]) -> Result<()> {
    let Some(workload) = find(name) else {
        let names: Vec<&str> = ALL.iter().map(|workload| workload.about().name).collect();
        bail!("there is no workload '{name}'; there are: {}", names.join(", "));
    };
    let about = workload.about();
    let setting = Setting::new(&about, size, jobs, pins, params)?;
    for program in about.needs {
        if !children::is_on_path(program) {
            bail!("{name} needs the program '{program}', which is not installed");
        }
    }
    setting.pin(0)?;
    let mut out = std::io::stdout();
    let mut report = Report::new(&mut out);
    workload.run(&setting, &mut report).with_context(|| name.to_string())?;
    report.done()
}

/// A row in the list that the harness reads.
fn entry(workload: &dyn Workload) -> Entry {
    let about = workload.about();
    let prepared = |size: &Size| Some((size.name.into(), workload.prepared_by(size.name)?.into()));
    Entry { prepared: about.sizes.iter().filter_map(prepared).collect(), ..about.entry() }
}

fn list(json: bool, markdown: bool) -> Result<()> {
    let abouts: Vec<About> = ALL.iter().map(|workload| workload.about()).collect();
    let mut text = String::new();
    if json {
        let rows: Result<Vec<String>, _> =
            ALL.iter().map(|workload| serde_json::to_string(&entry(*workload))).collect();
        text = format!("[{}]\n", rows.context("cannot put the list into JSON")?.join(",\n "));
    } else if markdown {
        text = umlab_workloads::about::table(&abouts);
    } else {
        for about in &abouts {
            text += &format!("{:<18} {:<13} {}\n", about.name, about.group.name(), about.summary);
        }
    }
    // A reader that has seen enough is no mistake of ours.
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e).context("cannot write the list"),
        _ => Ok(()),
    }
}
