//! One check in a guest of its own, or on the host, and what it came to.

use crate::checks::Check;
use crate::verdict::Verdict;
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use umlab_watch::{End, Interrupt, Limits, Watched, watch};

/// What all checks of a run have in common.
#[derive(Clone)]
pub struct Setup {
    pub umlab: PathBuf,
    pub model: String,
    /// The program that asks in guests.
    pub program: PathBuf,
    pub interrupt: Interrupt,
    /// A check that takes longer hangs.
    pub limit: Duration,
}

/// Memory of a guest.
const MEMORY: &str = "512M";

impl Setup {
    /// Runs a check; none when the user wants us to end.
    pub fn check(&self, check: &Check, cpus: usize) -> Result<Option<Verdict>> {
        let watched = self.watch(self.guest(cpus, check.name), &mut |_, _| ())?;
        Ok(verdict(&watched, self.limit))
    }

    /// What the host itself does wrong, if it does: a check asks for what Linux does.
    pub fn host_fails(&self, check: &Check) -> Option<String> {
        let mut command = Command::new(&self.program);
        command.arg(check.name);
        match verdict(&self.watch(command, &mut |_, _| ()).ok()?, self.limit) {
            Some(Verdict::Failed(reason)) => Some(reason),
            _ => None,
        }
    }

    pub fn watch(&self, command: Command, look: &mut dyn FnMut(u32, &[String])) -> Result<Watched> {
        watch(command, &Limits { silence: self.limit, whole: self.limit }, &self.interrupt, look)
    }

    /// A guest that runs the program with this word.
    pub fn guest(&self, cpus: usize, word: &str) -> Command {
        let mut command = Command::new(&self.umlab);
        command.env_clear().env("PATH", "/usr/bin:/bin");
        command.envs(std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("UMLAB_")));
        command.args(["run", "--model", &self.model, "--cpus", &cpus.to_string(), "--mem", MEMORY, "--user", "0"]);
        command.args(["--workdir", "/", "--"]).arg(&self.program).arg(word);
        command
    }
}

/// What it came to; none when it was interrupted.
pub fn verdict(watched: &Watched, limit: Duration) -> Option<Verdict> {
    // A child that finds something wrong says so before its parent does.
    let said = watched.lines.iter().find_map(|line| Some((line, line.strip_prefix("FAILED: ")?)));
    let last = watched.lines.last().map(String::as_str).unwrap_or_default();
    let messages = || {
        let messages: Vec<&str> = watched.errors.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if messages.is_empty() { "and nothing was said".into() } else { messages.join(" / ") }
    };
    let left = || match watched.left.as_slice() {
        [] => Verdict::Ok,
        left => Verdict::Failed(format!("host processes were left: {}", left.join(", "))),
    };
    Some(match &watched.end {
        End::Interrupted => return None,
        End::Silent(doing) => Verdict::Failed(match said {
            Some((_, reason)) => format!("{reason}; and it does not end"),
            None => format!("hangs: it was not over after {} s; {doing}", limit.as_secs()),
        }),
        End::Exited(_) if said.is_some() => Verdict::Failed(said.map(|(_, reason)| reason.into()).unwrap_or_default()),
        End::Exited(status) if status.success() => match last.strip_prefix("skipped: ") {
            Some(reason) => Verdict::Skipped(reason.into()),
            None if last == "ok" => left(),
            None => Verdict::Failed(format!("it ended without a verdict; {}", messages())),
        },
        End::Exited(status) => Verdict::Failed(match status.code() {
            Some(125) => format!("the guest kernel ended: {}", messages()),
            Some(code @ 129..) => format!("the check was ended by signal {}, {}", code - 128, messages()),
            _ => format!("it ended with {status}, {}", messages()),
        }),
    })
}
