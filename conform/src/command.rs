//! `umlab conform`: all checks, in guests of one CPU and of several.

use crate::checks::{CHECKS, Check, Promise, named};
use crate::lost;
use crate::options::ConformOptions;
use crate::run::Setup;
use crate::table::{Table, cpus_text};
use crate::verdict::Verdict;
use crate::{STATUS_FAILED, STATUS_OWN};
use anyhow::{Context, Result, anyhow, ensure};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use umlab_model::Isolation;
use umlab_watch::{Interrupt, guest_program};

/// What the command line's own program knows of the model.
pub struct Setting {
    pub umlab: PathBuf,
    /// As on the command line, with its options.
    pub model: String,
    pub most_cpus: Option<u32>,
    pub isolation: Isolation,
    /// Checks that it says it fails, and why.
    pub known_failures: &'static [(&'static str, &'static str)],
}

/// All of it takes no longer, however many checks hang.
const WHOLE: Duration = Duration::from_secs(290);

/// An attack that the model does not promise to withstand has no longer to fail.
const OPEN: Duration = Duration::from_secs(5);

pub fn conform(options: &ConformOptions, setting: &Setting) -> i32 {
    check(options, setting).unwrap_or_else(|error| {
        eprintln!("umlab: {error:#}");
        STATUS_OWN
    })
}

/// Prints the names of all checks, and what they ask.
pub fn list() -> i32 {
    let width = CHECKS.iter().map(|check| check.name.len()).max().unwrap_or_default();
    for check in CHECKS {
        println!("{:<width$}  {}", check.name, check.about);
    }
    0
}

fn check(options: &ConformOptions, setting: &Setting) -> Result<i32> {
    let checks = named(&options.checks)
        .map_err(|word| anyhow!("there is no check '{word}'; `umlab conform --list` lists them"))?;
    let columns = columns(options.cpus, setting.most_cpus)?;
    let setup = Setup {
        program: guest_program(&setting.umlab, "umlab-conform-guest")?,
        umlab: setting.umlab.clone(),
        model: setting.model.clone(),
        interrupt: Interrupt::install().context("cannot catch signals")?,
        limit: Duration::from_secs(options.limit),
    };
    let start = Instant::now();
    let mut table = Table { rows: Vec::new(), columns };
    for check in checks {
        let mut verdicts = Vec::new();
        for &cpus in &table.columns {
            progress(check, cpus);
            let Some(verdict) = verdict(&setup, check, cpus, setting, start)? else {
                clear_progress();
                return Err(anyhow!("interrupted"));
            };
            verdicts.push(verdict);
        }
        table.rows.push((check, verdicts));
    }
    clear_progress();
    print!("{table}");
    if setting.most_cpus == Some(1) {
        println!("\nguests of the model {} have one CPU", setup.model);
    }
    let count = |is: fn(&Verdict) -> bool| table.count(is);
    println!(
        "\n{}: {} ok, {} failed, {} known, {} open, {} skipped, {} not run, in {} s",
        setup.model,
        count(|v| *v == Verdict::Ok),
        count(|v| matches!(v, Verdict::Failed(_))),
        count(|v| matches!(v, Verdict::Known(_))),
        count(|v| matches!(v, Verdict::Open(_))),
        count(|v| matches!(v, Verdict::Skipped(_))),
        count(|v| *v == Verdict::NotRun),
        start.elapsed().as_secs()
    );
    Ok(if table.has_failed() { STATUS_FAILED } else { 0 })
}

/// The numbers of CPUs that guests are to have.
fn columns(wanted: Option<u16>, most: Option<u32>) -> Result<Vec<usize>> {
    let most = most.unwrap_or(64) as usize;
    let several = wanted.map_or_else(|| most.min(2), usize::from);
    ensure!(several <= most, "guests of this model have at most {}", cpus_text(most));
    Ok(if several == 1 { vec![1] } else { vec![1, several] })
}

/// Runs a check, and holds it against what the model promises. None when the user wants us to end.
fn verdict(setup: &Setup, check: &Check, cpus: usize, setting: &Setting, start: Instant) -> Result<Option<Verdict>> {
    if start.elapsed() + setup.limit > WHOLE {
        return Ok(Some(Verdict::NotRun));
    }
    let promised = is_promised(check.promise, setting.isolation);
    // What an attack does that gets through may also be that nothing goes on.
    let limit = if promised { setup.limit } else { setup.limit.min(OPEN) };
    let setup = &Setup { limit, ..setup.clone() };
    let own = lost::CHECKS.iter().find(|(name, _)| *name == check.name);
    let found = match own {
        Some((_, run)) => run(setup, cpus)?,
        None => setup.check(check, cpus)?,
    };
    let Some(Verdict::Failed(reason)) = found else { return Ok(found) };
    let known = setting.known_failures.iter().find(|(name, _)| *name == check.name);
    Ok(Some(match known {
        _ if !promised => Verdict::Open(reason),
        Some((_, why)) => Verdict::Known(format!("{reason}; {why}")),
        None => Verdict::Failed(match own.is_none().then(|| setup.host_fails(check)).flatten() {
            Some(on_host) => format!("{reason} (the host itself fails here: {on_host})"),
            None => reason,
        }),
    }))
}

fn is_promised(promise: Promise, isolation: Isolation) -> bool {
    match promise {
        Promise::Always => true,
        Promise::CoreUnwritable | Promise::NoHostCalls => isolation != Isolation::None,
        Promise::CoreUnreadable | Promise::NothingBeside => isolation == Isolation::Full,
    }
}

fn progress(check: &Check, cpus: usize) {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        let _ = write!(terminal, "\r\x1b[K{}, {}", check.name, cpus_text(cpus));
    }
}

fn clear_progress() {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        let _ = write!(terminal, "\r\x1b[K");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_checked_in_guests_that_it_can_have() {
        assert_eq!(columns(None, None).unwrap(), [1, 2]);
        assert_eq!(columns(None, Some(1)).unwrap(), [1]);
        assert_eq!(columns(Some(1), None).unwrap(), [1]);
        assert_eq!(columns(Some(5), None).unwrap(), [1, 5]);
        assert!(columns(Some(2), Some(1)).is_err());
    }

    #[test]
    fn what_is_promised() {
        assert!(is_promised(Promise::Always, Isolation::None));
        assert!(is_promised(Promise::CoreUnwritable, Isolation::ReadOnlyCore));
        assert!(!is_promised(Promise::CoreUnreadable, Isolation::ReadOnlyCore));
        assert!(!is_promised(Promise::CoreUnwritable, Isolation::None));
        assert!(is_promised(Promise::NothingBeside, Isolation::Full));
    }
}
