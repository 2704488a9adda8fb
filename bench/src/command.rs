//! `umlab bench`, from the command line to the exit status.

use crate::catalogue::Catalogue;
use crate::environment;
use crate::format;
use crate::options::BenchOptions;
use crate::plan::Setting;
use crate::run::{Ended, Matrix, run};
use crate::schema::*;
use crate::series::series;
use crate::stats::CONFIDENCE;
use crate::store::{self, Store};
use anyhow::{Context, Result};
use std::path::PathBuf;
use umlab_watch::Interrupt;

/// The statuses: 0 measured, 2 nothing could be done, 130 interrupted.
pub const USAGE: i32 = 2;
const INTERRUPTED: i32 = 130;

/// Measures. The path of the results, when the run came to its end, and the exit status.
pub fn bench(options: &BenchOptions, setting: &Setting) -> i32 {
    match try_bench(options, setting) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("umlab bench: {error:#}");
            USAGE
        }
    }
}

fn try_bench(options: &BenchOptions, setting: &Setting) -> Result<i32> {
    let interrupt = Interrupt::install().context("cannot handle signals")?;
    let catalogue = Catalogue::load(options.workload_program.as_deref())?;
    let (mut store, runners) = match &options.resume {
        Some(dir) => {
            let mut store = Store::resume(dir)?;
            let plan = &store.results.head.plan;
            let extended = Setting::extended(plan, options, store.results.seconds())?;
            if extended != *plan {
                store.plan_again(extended)?;
            }
            let runners = setting.runners_of(&store.results.head.plan)?;
            (store, runners)
        }
        None => {
            let out = options.out.clone().unwrap_or_else(default_folder);
            store::check_new(&out)?;
            let (plan, runners) = setting.plan(options, &catalogue)?;
            let mut environment = environment::look(&setting.allowed);
            if let Some(label) = &options.label {
                environment.label = label.clone();
            }
            let head = Head { schema: SCHEMA.into(), version: VERSION, plan, environment };
            (Store::create(&out, head)?, runners)
        }
    };
    let plan = &store.results.head.plan;
    for absent in &plan.absent {
        eprintln!("umlab bench: without {}: {}", absent.name, absent.reason);
    }
    let names: Vec<&str> = plan.runners.iter().map(|runner| runner.name.as_str()).collect();
    eprintln!(
        "umlab bench: {} workloads on {}{}; results in {}",
        plan.workloads.len(),
        names.join(", "),
        plan.beside().map(|beside| format!(", beside {beside}")).unwrap_or_default(),
        store.dir().display()
    );
    let matrix = Matrix { runners: &runners, catalogue: &catalogue, allowed: &setting.allowed, interrupt: &interrupt };
    if run(&matrix, &mut store)? == Ended::Interrupted {
        eprintln!("umlab bench: interrupted; go on with: umlab bench --resume {}", store.dir().display());
        return Ok(INTERRUPTED);
    }
    let path = store.finish()?;
    umlab_host::process::end_when_nobody_reads();
    summary(&store.results);
    eprintln!("umlab bench: every sample: {}; next: umlab report {}", path.display(), store.dir().display());
    Ok(0)
}

fn default_folder() -> PathBuf {
    let time = environment::now().replace([':', '-'], "");
    match environment::project_root() {
        Some(root) => root.join("results").join(time),
        None => PathBuf::from(format!("umlab-results-{time}")),
    }
}

/// The figures, a line each: the host's value, and each runner's times the host.
pub fn summary(results: &Results) {
    let others: Vec<&RunnerInfo> =
        results.head.plan.runners.iter().filter(|runner| runner.kind != Kind::Host).collect();
    print!("{:<44} {:>12}", "", HOST);
    for runner in &others {
        print!("  {:<20}", runner.name);
    }
    println!();
    for series in series(results) {
        let host = series.estimate(HOST, CONFIDENCE).map(|e| format::quantity(&e, &series.unit)).unwrap_or_default();
        print!("{:<44} {:>12}", series.key.label(), host);
        for runner in &others {
            let times =
                series.times_host(&runner.name, CONFIDENCE).map(|e| format!("x {}", format::times_interval(&e)));
            print!("  {:<20}", times.unwrap_or_else(|| "-".into()));
        }
        println!();
    }
    for line in failures(results) {
        println!("{line}");
    }
    for line in crate::noise::remarks(results) {
        println!("{line}");
    }
}

/// What failed, a line each for a workload and a runner: how often, and why at first.
pub fn failures(results: &Results) -> Vec<String> {
    let mut seen: Vec<(&Sample, usize)> = Vec::new();
    for sample in results.samples.iter().filter(|sample| !sample.is_ok()) {
        let same =
            |s: &Sample| s.workload == sample.workload && s.runner == sample.runner && s.outcome == sample.outcome;
        match seen.iter_mut().find(|(first, _)| same(first)) {
            Some((_, times)) => *times += 1,
            None => seen.push((sample, 1)),
        }
    }
    let line = |(sample, times): (&Sample, usize)| {
        let what = if sample.outcome == Outcome::Skipped { "not measured" } else { "failed" };
        let (reason, log) =
            (sample.reason.as_deref().unwrap_or(""), sample.log.as_deref().map(|log| format!(" [{log}]")));
        let often = if times > 1 { format!(" ({times} times)") } else { String::new() };
        format!("{what}{often}: {} on {}: {reason}{}", sample.workload, sample.runner, log.unwrap_or_default())
    };
    seen.into_iter().map(line).collect()
}
