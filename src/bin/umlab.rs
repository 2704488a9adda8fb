//! `umlab`, the testbed's command line.

use clap::Parser;
use std::os::unix::process::CommandExt;
use std::process::Command;
use umlab::command::{Umlab, Verb};
use umlab::models::MODELS;
use umlab_kernel::boot::STATUS_OWN;

fn main() {
    let umlab = Umlab::try_parse().unwrap_or_else(|e| umlab::run::usage(&e));
    // A measurement would be lost with its progress.
    if !matches!(umlab.command, Verb::Bench(_) | Verb::Fuzz(_)) {
        umlab_host::process::end_when_nobody_reads();
    }
    let status = match umlab.command {
        Verb::Run(options) => match umlab::models::find(&options.model) {
            Ok(_) => boot(),
            Err(message) => {
                eprintln!("umlab: {message}");
                STATUS_OWN
            }
        },
        Verb::Bench(options) => bench(&options),
        Verb::Compare(options) => umlab_bench::compare::command(&options),
        Verb::Report(options) => umlab_bench::report::command(&options),
        Verb::Fuzz(options) => fuzz(&options),
        Verb::Models => models(),
    };
    std::process::exit(status);
}

/// Becomes `uml`, which lies beside this program, with the same options.
fn boot() -> i32 {
    let uml = match std::env::current_exe() {
        Ok(own) => own.with_file_name("uml"),
        Err(e) => {
            eprintln!("umlab: cannot determine the path of this executable: {e}");
            return STATUS_OWN;
        }
    };
    let run = std::env::args_os().position(|argument| argument == "run").map_or(1, |at| at + 1);
    let error = Command::new(&uml).args(std::env::args_os().skip(run)).exec();
    eprintln!("umlab: cannot start {}: {error}", uml.display());
    STATUS_OWN
}

fn bench(options: &umlab_bench::options::BenchOptions) -> i32 {
    let umlab = match std::env::current_exe() {
        Ok(own) => own,
        Err(e) => {
            eprintln!("umlab: cannot determine the path of this executable: {e}");
            return STATUS_OWN;
        }
    };
    // Of those that are not named, what `skas` stands for here is not measured twice.
    let chosen = umlab::models::find("skas").and_then(|(skas, _)| (skas.probe)()).unwrap_or_default();
    let twice = |name: &str| options.models.is_empty() && chosen.strip_prefix("as ") == Some(name);
    let models = MODELS.iter().filter(|model| !twice(model.name)).map(|model| umlab_bench::runner::Model {
        name: model.name.into(),
        // With what it is here: `skas` is as fast as the host's kernel lets it be.
        description: match (model.probe)() {
            Ok(how) if !how.is_empty() => format!("{} (here {how})", model.description),
            _ => model.description.into(),
        },
        runs_here: (model.probe)().map(drop),
        most_cpus: model.most_cpus,
    });
    let allowed = umlab_host::thread::allowed_cpus().into_iter().map(|cpu| cpu as u32).collect();
    umlab_bench::command::bench(options, &umlab_bench::plan::Setting { umlab, models: models.collect(), allowed })
}

fn fuzz(options: &umlab_fuzzer::options::FuzzOptions) -> i32 {
    let setting = || {
        let (model, _) = umlab::models::find(&options.model)?;
        (model.probe)().map_err(|reason| format!("the model {} does not work here: {reason}", model.name))?;
        let most = model.most_cpus.unwrap_or(64) as usize;
        let allowed = umlab_host::thread::allowed_cpus().len().clamp(1, most);
        let umlab =
            std::env::current_exe().map_err(|e| format!("cannot determine the path of this executable: {e}"))?;
        Ok(umlab_fuzzer::command::Setting { umlab, cpus: options.cpus.map_or(allowed, usize::from) })
    };
    match setting() {
        Ok(setting) => umlab_fuzzer::command::fuzz(options, &setting),
        Err::<_, String>(message) => {
            eprintln!("umlab: {message}");
            STATUS_OWN
        }
    }
}

fn models() -> i32 {
    for model in MODELS {
        println!("{:<12} {}", model.name, model.description);
        match (model.probe)() {
            Ok(how) if how.is_empty() => println!("{:<12} this host can run it", ""),
            Ok(how) => println!("{:<12} this host can run it, {how}", ""),
            Err(reason) => println!("{:<12} not on this host: {reason}", ""),
        }
    }
    0
}
