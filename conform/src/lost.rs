//! Host processes that are killed from outside: what can only be done from there.

use crate::run::{Setup, verdict};
use crate::verdict::Verdict;
use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::thread::sleep;
use std::time::Duration;
use umlab_watch::{End, members};

/// Runs a check in a guest of so many CPUs; none when the user wants us to end.
type Run = fn(&Setup, usize) -> Result<Option<Verdict>>;

pub const CHECKS: &[(&str, Run)] = &[("lost/process", process), ("lost/kernel", kernel)];

/// The word by which the guest's program makes a process that computes, and waits for its end. It
/// says [`READY`], and then what it saw.
const VICTIM: &str = "--victim";
const READY: &str = "ready";

/// A host process may be killed while the guest kernel runs in it, which ends the guest. So a guest
/// that ends with its kernel's own status is tried again.
const TRIES: u32 = 3;
const STATUS_OF_KERNEL: i32 = 125;

/// The host process that runs a guest process is killed: that process ends, and no other.
fn process(setup: &Setup, cpus: usize) -> Result<Option<Verdict>> {
    let mut last = None;
    for _ in 0..TRIES {
        let mut killed = None;
        let mut look = |group: u32, lines: &[String]| {
            if killed.is_none() && lines.iter().any(|line| line == READY) {
                let victim = busiest(group);
                // Without one, there is nothing to see: the guest ends.
                end(if let Victim::Process(pid) = victim { pid } else { group as i32 });
                killed = Some(victim);
            }
        };
        let watched = setup.watch(setup.guest(cpus, VICTIM), &mut look)?;
        match killed {
            Some(Victim::None) => {
                return Ok(Some(Verdict::Skipped("there is the guest kernel's host process alone".into())));
            }
            Some(Victim::Idle) => {
                return Ok(Some(Verdict::Failed("no host process computes, though a guest process does".into())));
            }
            Some(Victim::Process(_)) | None => {}
        }
        last = verdict(&watched, setup.limit);
        let with_kernel = matches!(watched.end, End::Exited(status) if status.code() == Some(STATUS_OF_KERNEL));
        if !with_kernel {
            break;
        }
    }
    Ok(last)
}

/// The guest kernel itself is killed: nothing of the guest is left.
fn kernel(setup: &Setup, cpus: usize) -> Result<Option<Verdict>> {
    let mut killed = false;
    let mut look = |group: u32, lines: &[String]| {
        if !killed && lines.iter().any(|line| line == READY) {
            killed = true;
            end(group as i32);
        }
    };
    let watched = setup.watch(setup.guest(cpus, VICTIM), &mut look)?;
    Ok(match watched.end {
        End::Exited(_) if killed && watched.left.is_empty() => Some(Verdict::Ok),
        End::Exited(_) if killed => {
            Some(Verdict::Failed(format!("host processes outlive the guest kernel: {}", watched.left.join(", "))))
        }
        _ => verdict(&watched, setup.limit),
    })
}

fn end(pid: i32) {
    // It may have ended by itself.
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// What of a guest can be killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// The host process that computes.
    Process(i32),
    /// Some are there, and none computes.
    Idle,
    /// There is the guest kernel's process alone.
    None,
}

/// The process of the group, other than its leader, that computes most.
fn busiest(group: u32) -> Victim {
    let others = || -> HashMap<i32, u64> {
        let all = members(group).into_iter().map(|(pid, _)| pid).filter(|&pid| pid != group as i32);
        all.map(|pid| (pid, ticks(pid))).collect()
    };
    let before = others();
    for _ in 0..30 {
        sleep(Duration::from_millis(100));
        // One that is new has all of its time since then.
        let since = |pid, ticks: u64| ticks.saturating_sub(before.get(&pid).copied().unwrap_or(0));
        let gained = others().into_iter().map(|(pid, ticks)| (since(pid, ticks), pid));
        if let Some((5.., pid)) = gained.max() {
            return Victim::Process(pid);
        }
    }
    if others().is_empty() { Victim::None } else { Victim::Idle }
}

/// The time that a process has computed in user mode.
fn ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    fields.split_whitespace().nth(11).and_then(|field| field.parse().ok()).unwrap_or(0)
}
