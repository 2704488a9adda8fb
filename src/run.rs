//! Running a guest in this process.

use crate::models::Models;
use crate::options::{Level, RunOptions};
use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;
use umlab_kernel::boot::{Failure, STATUS_OWN, boot};
use umlab_kernel::{log, sched, stats, trace};

/// Runs the guest; the exit status for this process.
pub fn run(options: RunOptions, models: Models) -> i32 {
    match try_run(options, models) {
        Ok(Ok(status)) => status,
        Ok(Err(failure)) => {
            eprintln!("uml: {}", failure.message);
            failure.status
        }
        Err(error) => {
            eprintln!("uml: {error:#}");
            STATUS_OWN
        }
    }
}

/// The command's status or the guest's failure; an error before there is a guest.
fn try_run(mut options: RunOptions, models: Models) -> Result<std::result::Result<i32, Failure>> {
    log::set_level(match options.log {
        Level::Error => log::Level::Error,
        Level::Warn => log::Level::Warn,
        Level::Info => log::Level::Info,
        Level::Debug => log::Level::Debug,
    });
    let name = options.model.clone();
    let chosen = models.find(&name)?;
    let model = chosen.model;
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
    let config = options.config(model.most_cpus)?;
    let (cpus, memory) = (config.cpus, config.memory);
    if let Some(most) = model.most_cpus {
        ensure!(
            cpus <= most as usize,
            "a guest of the model {} has at most {} (say --cpus {most})",
            model.name,
            cpus_text(most)
        );
    }
    let made = chosen.make(cpus).with_context(|| format!("the model {} does not work here", model.name))?;
    let start = Instant::now();
    let result = boot(config, made);
    if let Some(mut file) = stats_file {
        let elapsed = start.elapsed().as_secs_f64();
        let report = report(model.name, cpus, memory, elapsed);
        if let Err(e) = writeln!(file, "{report:#}") {
            eprintln!("uml: cannot write the counters: {e}");
        }
    }
    Ok(result)
}

fn cpus_text(number: u32) -> String {
    if number == 1 { "one CPU".into() } else { format!("{number} CPUs") }
}

fn create(path: &PathBuf) -> Result<File> {
    File::create(path).map_err(|e| anyhow!("cannot write '{}': {}", path.display(), umlab_host::Errno::from(e)))
}

fn own_stderr() -> Result<File> {
    use std::os::fd::AsFd;
    let fd = std::io::stderr().as_fd().try_clone_to_owned();
    fd.map(File::from).context("no standard error")
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
