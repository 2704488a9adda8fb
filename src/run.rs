//! Running a guest in this process.

use crate::models;
use crate::options::{Level, RunOptions};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;
use umlab_kernel::boot::{STATUS_OWN, boot};
use umlab_kernel::{log, sched, stats, trace};

/// Runs the guest; the exit status for this process.
pub fn run(options: RunOptions) -> i32 {
    match try_run(options) {
        Ok(status) => status,
        Err((message, status)) => {
            eprintln!("uml: {message}");
            status
        }
    }
}

fn try_run(mut options: RunOptions) -> Result<i32, (String, i32)> {
    let own = |message: String| (message, STATUS_OWN);
    log::set_level(match options.log {
        Level::Error => log::Level::Error,
        Level::Warn => log::Level::Warn,
        Level::Info => log::Level::Info,
        Level::Debug => log::Level::Debug,
    });
    let chosen = options.model.clone();
    let (model, model_options) = models::find(&chosen).map_err(own)?;
    let (trace_to, stats_to) = (options.trace.take(), options.stats.take());
    // Opened before the guest runs, so that a mistake is told at once.
    if let Some(to) = trace_to {
        let file = match &to {
            Some(path) => create(path)?,
            None => own_stderr()?,
        };
        trace::start(file);
    }
    let stats_file = match &stats_to {
        Some(Some(path)) => Some(create(path)?),
        Some(None) => Some(own_stderr()?),
        None => None,
    };
    if stats_file.is_some() {
        umlab_model::lock::measure();
    }
    let config = options.config(model.most_cpus).map_err(own)?;
    let (cpus, memory) = (config.cpus, config.memory);
    let made = (model.make)(cpus, &model_options)
        .map_err(|e| own(format!("the model {} does not work here: {e}", model.name)))?;
    let start = Instant::now();
    let result = boot(config, made);
    if let Some(mut file) = stats_file {
        let elapsed = start.elapsed().as_secs_f64();
        let report = report(model.name, cpus, memory, elapsed);
        if let Err(e) = writeln!(file, "{report:#}") {
            eprintln!("uml: cannot write the counters: {e}");
        }
    }
    result.map_err(|failure| (failure.message, failure.status))
}

fn create(path: &PathBuf) -> Result<File, (String, i32)> {
    File::create(path).map_err(|e| {
        let reason = umlab_host::Errno::from(e);
        (format!("cannot write '{}': {reason}", path.display()), STATUS_OWN)
    })
}

fn own_stderr() -> Result<File, (String, i32)> {
    use std::os::fd::AsFd;
    let fd = std::io::stderr().as_fd().try_clone_to_owned();
    fd.map(File::from).map_err(|e| (format!("no standard error: {e}"), STATUS_OWN))
}

/// The counters as JSON.
fn report(model: &str, cpus: usize, memory: u64, elapsed: f64) -> Value {
    let counts = |pairs: Vec<(String, u64)>| -> Map<String, Value> {
        pairs.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name, n.into())).collect()
    };
    let model_counts = sched::model().counters().into_iter().map(|(name, n)| (name.to_string(), n)).collect();
    let core = umlab_model::lock::with(stats::snapshot);
    json!({
        "model": model,
        "cpus": cpus,
        "memory_bytes": memory,
        "elapsed_seconds": elapsed,
        // Of the process of the guest kernel: its own computing, where guests run in others.
        "core_user_seconds": umlab_host::child::own_usage().map_or(0.0, |usage| usage.user),
        "model_counters": counts(model_counts),
        "core_counters": counts(core.counters),
        "system_calls": counts(core.calls),
        "missing_system_calls": counts(core.missing),
    })
}

/// Tells what is wrong with a command line, or prints the help that was asked for, and ends the
/// process.
pub fn usage(e: &clap::Error) -> ! {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
    let _ = e.print();
    let asked = matches!(e.kind(), DisplayHelp | DisplayVersion);
    let shown = e.kind() == DisplayHelpOnMissingArgumentOrSubcommand;
    std::process::exit(if asked && !shown { 0 } else { STATUS_OWN });
}
