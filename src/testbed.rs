//! `umlab`, the testbed's command line.

use crate::command::Verb;
use crate::models::Models;
use anyhow::{Context, Result, ensure};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use umlab_kernel::boot::STATUS_OWN;

/// Does what was asked for; the exit status.
pub fn command(verb: Verb, models: Models) -> i32 {
    // A measurement would be lost with its progress.
    if !matches!(verb, Verb::Bench(_) | Verb::Fuzz(_) | Verb::Conform(_)) {
        umlab_host::process::end_when_nobody_reads();
    }
    let done = match verb {
        Verb::Run(options) => models.find(&options.model).map_err(Into::into).and_then(|_| boot()),
        Verb::Bench(options) => bench(&options, models),
        Verb::Compare(options) => Ok(umlab_bench::compare::command(&options)),
        Verb::Report(options) => Ok(umlab_bench::report::command(&options)),
        Verb::Fuzz(options) => fuzz(&options, models),
        Verb::Conform(options) => conform(&options, models),
        Verb::Models => Ok(list(models)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("umlab: {error:#}");
        STATUS_OWN
    })
}

fn own_path() -> Result<PathBuf> {
    std::env::current_exe().context("cannot determine the path of this executable")
}

/// Becomes `uml`, which lies beside this program, with the same options.
fn boot() -> Result<i32> {
    let own = own_path()?;
    // Of a program of another name, its own: `mine-umlab` has `mine-uml`.
    let name = own.file_name().unwrap_or_default().to_string_lossy();
    let uml = own.with_file_name(name.strip_suffix("ab").filter(|uml| uml.ends_with("uml")).unwrap_or("uml"));
    let run = std::env::args_os().position(|argument| argument == "run").map_or(1, |at| at + 1);
    let error = Command::new(&uml).args(std::env::args_os().skip(run)).exec();
    Err(error).with_context(|| format!("cannot start {}", uml.display()))
}

fn bench(options: &umlab_bench::options::BenchOptions, models: Models) -> Result<i32> {
    let umlab = own_path()?;
    // Of those that are not named, what `skas` stands for here is not measured twice.
    let chosen = (models.find("skas")?.model.probe)().unwrap_or_default();
    let twice = |name: &str| options.models.is_empty() && chosen.strip_prefix("as ") == Some(name);
    let models = models.iter().filter(|model| !twice(model.name)).map(|model| {
        let probed = (model.probe)();
        umlab_bench::runner::Model {
            name: model.name.into(),
            // With what it is here: `skas` is as fast as the host's kernel lets it be.
            description: match &probed {
                Ok(how) if !how.is_empty() => format!("{} (here {how})", model.description),
                _ => model.description.into(),
            },
            runs_here: probed.map(drop).map_err(|reason| reason.to_string()),
            most_cpus: model.most_cpus,
        }
    });
    let allowed = umlab_host::thread::allowed_cpus().into_iter().map(|cpu| cpu as u32).collect();
    let setting = umlab_bench::plan::Setting { umlab, models: models.collect(), allowed };
    Ok(umlab_bench::command::bench(options, &setting))
}

fn fuzz(options: &umlab_fuzzer::options::FuzzOptions, models: Models) -> Result<i32> {
    let model = models.find(&options.model)?.model;
    (model.probe)().with_context(|| format!("the model {} does not work here", model.name))?;
    let most = model.most_cpus.unwrap_or(64) as usize;
    let allowed = umlab_host::thread::allowed_cpus().len().clamp(1, most);
    let cpus = options.cpus.map_or(allowed, usize::from);
    ensure!(cpus <= most, "the model {} has guests of at most {most} CPUs", model.name);
    Ok(umlab_fuzzer::command::fuzz(options, &umlab_fuzzer::command::Setting { umlab: own_path()?, cpus }))
}

fn conform(options: &umlab_conform::options::ConformOptions, models: Models) -> Result<i32> {
    let Some(name) = options.model.as_ref().filter(|_| !options.list) else {
        return Ok(umlab_conform::command::list());
    };
    let model = models.find(name)?.model;
    (model.probe)().with_context(|| format!("the model {} does not work here", model.name))?;
    let setting = umlab_conform::command::Setting {
        umlab: own_path()?,
        model: name.clone(),
        most_cpus: model.most_cpus,
        isolation: model.isolation,
        known_failures: model.known_failures,
    };
    Ok(umlab_conform::command::conform(options, &setting))
}

fn list(models: Models) -> i32 {
    let width = models.iter().map(|model| model.name.len()).max().unwrap_or_default().max(12);
    for model in models.iter() {
        println!("{:<width$} {}", model.name, model.description);
        println!("{:<width$} {}", "", model.isolation);
        match (model.probe)() {
            Ok(how) if how.is_empty() => println!("{:<width$} this host can run it", ""),
            Ok(how) => println!("{:<width$} this host can run it, {how}", ""),
            Err(reason) => println!("{:<width$} not on this host: {reason}", ""),
        }
    }
    0
}
