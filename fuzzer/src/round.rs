//! One program in a guest, and the judgement of what happened.

use crate::Interrupt;
use crate::differential;
use crate::find::{Class, Find};
use crate::memory;
use crate::place::Place;
use crate::program::{Kind, Program};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use umlab_watch::{End, Limits, Watched, members, watch};

/// What all rounds have in common.
pub struct Setup {
    pub umlab: PathBuf,
    pub model: String,
    pub cpus: usize,
    pub place: Place,
    pub interrupt: Interrupt,
    pub limits: Limits,
}

/// Guest memory, and how much more the host may spend on the guest kernel, its tables and the host
/// processes.
pub const MEMORY: u64 = 256 << 20;
pub const MORE_MEMORY: u64 = 160 << 20;
/// The host's memory is measured no more often than this.
const MEASURE: Duration = Duration::from_millis(100);
/// Seconds after which a program is ended from inside.
const SECONDS: u32 = 6;
/// A guest is said to hang when it has given no sign for so long; other work may have the CPUs
/// meanwhile.
pub const LIMITS: Limits = Limits { silence: Duration::from_secs(30), whole: Duration::from_secs(120) };
/// For programs that have been seen to hang: then this is enough to believe it again.
pub const SHORT_SILENCE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Round {
    pub finds: Vec<Find>,
    pub calls: Vec<Calls>,
    pub steps: u64,
    /// The most memory of the host that the guest had.
    pub peak: u64,
    /// Differences that are known, by what is said of them.
    pub known: Vec<&'static str>,
    pub interrupted: bool,
}

/// What the guest's own counters hold of a call.
#[derive(Clone, Copy)]
pub struct Calls {
    pub number: i64,
    pub asked: u64,
    pub missing: u64,
    pub errors: [u64; 3],
}

/// Runs a program once. An error is one of ours.
pub fn run(setup: &Setup, program: &Program) -> Result<Round> {
    std::fs::write(setup.place.program(), program.to_string()).context("cannot write a program")?;
    let on_host = match program.kind {
        Kind::Differential => Some(differential::on_host(&setup.place, SECONDS, &setup.limits, &setup.interrupt)?),
        _ => None,
    };
    let before = setup.place.state();
    let (mut peak, mut measured) = (0, Instant::now());
    let mut measure = |group, _: &[String]| {
        if measured.elapsed() > MEASURE {
            peak = memory::of(members(group).into_iter().map(|(pid, _)| pid)).max(peak);
            measured = Instant::now();
        }
    };
    let watched = watch(guest(setup, program.kind), &setup.limits, &setup.interrupt, &mut measure)?;
    let after = setup.place.state();
    if let Some(own) = watched.lines.iter().find_map(|line| line.strip_prefix("own ")) {
        bail!("{own}");
    }
    let mut round = Round { peak, ..Round::default() };
    judge(&watched, &mut round);
    if peak > MEMORY + MORE_MEMORY {
        let (peak, limit) = (peak >> 20, (MEMORY + MORE_MEMORY) >> 20);
        round.finds.push(Find::new(Class::Memory, format!("{peak} MiB, where {limit} are the limit")));
    }
    let changed = before.changed_files(&after);
    if !changed.is_empty() {
        round.finds.push(Find::new(Class::HostFile, changed.join(", ")));
    }
    let left = [watched.left.clone(), before.new_things(&after)].concat();
    if !left.is_empty() {
        round.finds.push(Find::new(Class::Left, left.join(", ")));
    }
    if let (Some(host), true) = (on_host, round.finds.is_empty() && !round.interrupted) {
        match differential::compare(program, &host, &watched.lines) {
            differential::Verdict::Same => {}
            differential::Verdict::Known(reason) => round.known.push(reason),
            differential::Verdict::Differs(text) => round.finds.push(Find::new(Class::Answer, text)),
        }
    }
    Ok(round)
}

fn guest(setup: &Setup, kind: Kind) -> Command {
    let mut command = Command::new(&setup.umlab);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("TMPDIR", setup.place.temporary()).env("UMLAB_AUDIT", "1");
    // Switches of the guest kernel's own checks are passed on, and the place for the counts of a
    // guest kernel that counts (scripts/coverage).
    let passed = |name: &str| name.starts_with("UMLAB_") || name == "LLVM_PROFILE_FILE";
    command.envs(std::env::vars_os().filter(|(name, _)| passed(&name.to_string_lossy())));
    command.args([
        "run",
        "--model",
        &setup.model,
        "--cpus",
        &setup.cpus.to_string(),
        "--log",
        "warn",
        "--workdir",
        "/",
    ]);
    command.args(["--mem", &format!("{}M", MEMORY >> 20), "--tmpfs", "/work:64M", "--ro"]);
    command.arg(format!("{}:/fuzz", setup.place.shown().display()));
    // The leader is the guest's root in any case, and makes of the others what the program asks
    // for.
    if !nix::unistd::getuid().is_root() && kind != Kind::Differential {
        command.args(["--user", "0"]);
    }
    command.args(["--", "/fuzz/umlab-fuzz-guest"]);
    if kind == Kind::Differential {
        command.arg("--alone");
    }
    command.args(["/fuzz/program", &SECONDS.to_string(), "/work"]);
    command
}

fn judge(watched: &Watched, round: &mut Round) {
    let messages: Vec<&str> = watched.errors.lines().map(str::trim).filter(|line| !is_ordinary(line)).collect();
    let over = watched.lines.iter().find_map(|line| line.strip_prefix("over "));
    round.steps = over.and_then(|steps| steps.parse().ok()).unwrap_or(0);
    match &watched.end {
        End::Interrupted => round.interrupted = true,
        End::Silent(doing) => round.finds.push(Find::new(Class::Hang, doing.clone())),
        End::Exited(status) if over.is_none() || !status.success() => {
            let text = match messages.as_slice() {
                [] => format!("{status}, and nothing was said"),
                some => some.join(" / "),
            };
            round.finds.push(Find::new(Class::Ended, text));
        }
        End::Exited(_) => {
            for message in messages {
                let find = Find::new(Class::Message, message);
                if !round.finds.iter().any(|other| other.is_like(&find)) {
                    round.finds.push(find);
                }
            }
        }
    }
    for line in &watched.lines {
        if let Some(text) = line.strip_prefix("find ") {
            round.finds.push(Find::new(Class::Inside, text));
        } else if let Some(text) = line.strip_prefix("call ") {
            round.calls.extend(calls(text));
        }
    }
}

/// Messages that a hostile program may cause.
fn is_ordinary(line: &str) -> bool {
    line.is_empty() || line.starts_with("uml: Warn: out of memory: process")
}

fn calls(text: &str) -> Option<Calls> {
    let mut words = text.split(' ');
    let number = words.next()?.parse().ok()?;
    let asked = words.next()?.parse().ok()?;
    let missing = words.next()?.parse().ok()?;
    let mut errors = [0; 3];
    for word in &mut errors {
        *word = u64::from_str_radix(words.next()?, 16).ok()?;
    }
    Some(Calls { number, asked, missing, errors })
}
