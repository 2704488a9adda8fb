//! The same program on the host, and the comparison of the answers.
//!
//! The interpreter itself sees to it that a program on the host can harm nothing (guest/alone.rs).

use crate::Interrupt;
use crate::place::Place;
use crate::program::{Program, Step};
use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::process::Command;
use umlab_watch::{End, Limits, watch};

pub enum Verdict {
    Same,
    /// With the reason.
    Known(&'static str),
    Differs(String),
}

/// What a program answered, by step; and whether its process was killed from outside.
pub struct Answers {
    steps: BTreeMap<usize, (i64, String)>,
    status: i32,
    killed: bool,
}

pub fn on_host(place: &Place, seconds: u32, limits: &Limits, interrupt: &Interrupt) -> Result<Answers> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("umlab-fuzz.").permissions(std::os::unix::fs::PermissionsExt::from_mode(0o1777));
    // The guest's is a memory file system, too.
    let folder = builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir());
    let folder = folder.context("cannot make a folder on the host")?;
    let mut command = Command::new(place.interpreter());
    command.env_clear().env("PATH", "/usr/bin:/bin").arg("--alone");
    command.arg(place.program()).arg(seconds.to_string()).arg(folder.path()).current_dir("/");
    let watched = watch(command, limits, interrupt, &mut |_, _| ())?;
    if let Some(own) = watched.lines.iter().find_map(|line| line.strip_prefix("own ")) {
        bail!("on the host: {own}");
    }
    match watched.end {
        End::Exited(status) if status.success() => Ok(answers(&watched.lines)),
        End::Exited(status) => Err(anyhow!("the program did not end well on the host: {status}; {}", watched.errors)),
        End::Interrupted => Ok(answers(&watched.lines)),
        End::Silent(doing) => Err(anyhow!("the program hangs on the host: {doing}")),
    }
}

fn answers(lines: &[String]) -> Answers {
    let mut answers = Answers { steps: BTreeMap::new(), status: 0, killed: false };
    for line in lines {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["answer", step, value, hash] => {
                if let (Ok(step), Ok(value)) = (step.parse(), value.parse()) {
                    answers.steps.insert(step, (value, hash.to_string()));
                }
            }
            ["end", status, killed] => {
                answers.status = status.parse().unwrap_or(0);
                answers.killed = *killed != "0";
            }
            _ => {}
        }
    }
    answers
}

pub fn compare(program: &Program, host: &Answers, guest: &[String]) -> Verdict {
    let guest = answers(guest);
    let steps: &[Step] = program.processes.first().and_then(|threads| threads.first()).map_or(&[], |steps| steps);
    let mut known = None;
    for (at, step) in steps.iter().enumerate() {
        let (Some(there), Some(here)) = (host.steps.get(&at), guest.steps.get(&at)) else { continue };
        // An error can leave something behind here and not there.
        let errors = there.0 < 0 && there == here;
        if there == here && !errors {
            continue;
        }
        let text = step.to_string();
        if errors && known_difference(&text, &answer(there.0), &answer(here.0)).is_none() {
            continue;
        }
        let (h, g) = if there.0 == here.0 && !errors {
            ("contents".into(), "others".into())
        } else {
            (answer(there.0), answer(here.0))
        };
        match known_difference(&text, &h, &g) {
            // What follows may follow from it.
            Some(reason) => {
                known = Some(reason);
                break;
            }
            None => {
                return Verdict::Differs(format!(
                    "{}: {h} on the host, {g} in the guest; in step {at}: {text}",
                    step.call.name
                ));
            }
        }
    }
    if let Some(reason) = known {
        return Verdict::Known(reason);
    }
    if host.killed || guest.killed {
        return Verdict::Same; // it was too slow, here or there
    }
    if host.status != guest.status {
        return Verdict::Differs(format!(
            "the process ended with {:#x} on the host, with {:#x} in the guest",
            host.status, guest.status
        ));
    }
    match (host.steps.get(&steps.len()), guest.steps.get(&steps.len())) {
        (Some(there), Some(here)) if there != here => match known_difference("memory", "contents", "others") {
            Some(reason) => Verdict::Known(reason),
            None => Verdict::Differs("memory: its contents at the end".into()),
        },
        _ => Verdict::Same,
    }
}

fn answer(value: i64) -> String {
    match value {
        -4095..0 => format!("{:?}", Errno::from_raw(-value as i32)),
        value => value.to_string(),
    }
}

/// Differences that are known, each with its reason; the file's head has the form of its lines.
const KNOWN: &str = include_str!("../known-differences.txt");

/// `step` is the text of the call with its arguments.
fn known_difference(step: &str, host: &str, guest: &str) -> Option<&'static str> {
    let (call, text) = (call_of(step), step.replace(' ', ""));
    known_rows().find_map(|[name, h, g, reason]| {
        let fits = |pattern: &str, found: &str| match pattern {
            "*" => true,
            "number" => found.parse::<i64>().is_ok(),
            exactly => exactly == found,
        };
        let named = if name.contains('(') { text.starts_with(name) } else { fits(name, call) };
        (named && fits(h, host) && fits(g, guest)).then_some(reason)
    })
}

fn call_of(step: &str) -> &str {
    step.split('(').next().unwrap_or(step)
}

fn known_rows() -> impl Iterator<Item = [&'static str; 4]> {
    let lines = KNOWN.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut above = "";
    lines.filter_map(move |line| {
        let mut words = line.splitn(4, ' ');
        let [name, host, guest, reason] = [words.next()?, words.next()?, words.next()?, words.next()?];
        if !reason.starts_with("as above") {
            above = reason;
        }
        Some([name, host, guest, above])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_difference_has_a_call_and_a_reason() {
        let lines = KNOWN.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
        assert_eq!(known_rows().count(), lines);
        for [name, _, _, reason] in known_rows() {
            assert!(!reason.is_empty(), "{name}");
            assert!(["memory", "*"].contains(&name) || crate::grammar::named(call_of(name)).is_some(), "{name}");
            assert!(reason.len() > 10, "{name}");
        }
    }

    #[test]
    fn a_row_may_be_about_one_kind_of_file() {
        assert!(known_difference("write(fd:memory.1, hole+0x0, 3)", "EFAULT", "EFAULT").is_some());
        assert!(known_difference("write(fd:pipe-write.1, hole+0x0, 3)", "EFAULT", "EFAULT").is_none());
    }
}
