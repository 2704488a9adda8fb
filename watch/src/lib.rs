//! A process with its group, watched from outside: its lines, its signs of life, and what stays of
//! it. That is how guests are run that may hang, die, or leave something behind.

#![forbid(unsafe_code)]

mod interrupt;
mod program;

pub use interrupt::Interrupt;
pub use program::guest_program;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long it may be silent, and how long it may take on the whole.
#[derive(Clone, Copy)]
pub struct Limits {
    pub silence: Duration,
    pub whole: Duration,
}

pub struct Watched {
    pub lines: Vec<String>,
    pub errors: String,
    pub end: End,
    /// What was alive when it should have been over.
    pub left: Vec<String>,
}

pub enum End {
    Exited(ExitStatus),
    /// With what its processes were doing.
    Silent(String),
    Interrupted,
}

/// How much is kept of what it says.
const KEPT: usize = 1 << 20;
/// A line that is but a sign of life.
const BEAT: &str = "beat";
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Runs it to its end, or ends it. `look` is called again and again meanwhile, with the number of
/// its process group and the lines it has said so far.
pub fn watch(
    mut command: Command,
    limits: &Limits,
    interrupt: &Interrupt,
    look: &mut dyn FnMut(u32, &[String]),
) -> Result<Watched> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    umlab_host::child::dies_with_caller(&mut command);
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let group = child.id();
    let (lines_from, errors_from) = (lines_of(&mut child), errors_of(&mut child));
    let (mut lines, mut life) = (Vec::new(), start);
    let end = loop {
        for line in lines_from.try_iter() {
            life = Instant::now();
            if line != BEAT && lines.len() < KEPT / 16 {
                lines.push(line);
            }
        }
        match child.try_wait() {
            Ok(Some(status)) => break End::Exited(status),
            Ok(None) => {}
            Err(e) => bail!("cannot wait for {}: {e}", command.get_program().display()),
        }
        if interrupt.is_set() {
            break End::Interrupted;
        }
        if life.elapsed() > limits.silence || start.elapsed() > limits.whole {
            break End::Silent(doing(group));
        }
        look(group, &lines);
        sleep(LOOK);
    };
    let mut left = Vec::new();
    if matches!(end, End::Exited(_)) {
        // They get the end of uml as it ends; the host needs a moment to carry it out.
        let ended = Instant::now();
        left = members(group);
        while !left.is_empty() && ended.elapsed() < Duration::from_secs(10) {
            sleep(LOOK);
            left = members(group);
        }
    }
    let _ = killpg(Pid::from_raw(group as i32), Signal::SIGKILL);
    let _ = child.wait();
    // A process that was left could hold the pipes open.
    let soon = Duration::from_secs(1);
    while let Ok(line) = lines_from.recv_timeout(soon) {
        if line != BEAT {
            lines.push(line);
        }
    }
    let errors = errors_from.recv_timeout(soon).unwrap_or_default();
    Ok(Watched { lines, errors, end, left: left.into_iter().map(|(pid, name)| format!("{pid} ({name})")).collect() })
}

fn lines_of(child: &mut Child) -> Receiver<String> {
    let (send, receive) = channel();
    if let Some(out) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
                if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
    }
    receive
}

fn errors_of(child: &mut Child) -> Receiver<String> {
    let (send, receive) = channel();
    if let Some(mut err) = child.stderr.take() {
        std::thread::spawn(move || {
            let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(n @ 1..) = err.read(&mut buffer) {
                all.extend_from_slice(&buffer[..n.min(KEPT.saturating_sub(all.len()))]);
            }
            send.send(String::from_utf8_lossy(&all).into_owned())
        });
    }
    receive
}

/// The living processes of a group, with their names.
pub fn members(group: u32) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // pid (name) state ppid pgrp ...; the name may hold anything.
        let (Some(open), Some(close)) = (stat.find('('), stat.rfind(')')) else { continue };
        let mut fields = stat[close + 1..].split_whitespace();
        let alive = fields.next().is_some_and(|state| state != "Z" && state != "X");
        let of_group = fields.nth(1).and_then(|field| field.parse().ok()) == Some(group);
        if let (true, true, Ok(pid)) = (alive, of_group, stat[..open].trim().parse()) {
            found.push((pid, stat[open + 1..close].to_string()));
        }
    }
    found
}

/// States of all threads of a group, to tell a loop from a sleep.
fn doing(group: u32) -> String {
    let mut all = Vec::new();
    for (pid, name) in members(group).into_iter().take(12) {
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let stat = read("stat");
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            let state = fields.first().copied().unwrap_or("?");
            let times = (fields.get(11).copied().unwrap_or("?"), fields.get(12).copied().unwrap_or("?"));
            all.push(format!("{name} {pid} {state} in {} (ticks {}, {})", read("wchan").trim(), times.0, times.1));
        }
    }
    all.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, silence: u64) -> Watched {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let limits = Limits { silence: Duration::from_millis(silence), whole: Duration::from_secs(20) };
        watch(command, &limits, &Interrupt::never(), &mut |_, _| ()).expect("a shell")
    }

    #[test]
    fn lines_and_end() {
        let watched = shell("echo a; echo beat; echo b; echo c >&2; exit 3", 10_000);
        assert_eq!(watched.lines, ["a", "b"]);
        assert_eq!(watched.errors, "c\n");
        assert!(matches!(watched.end, End::Exited(status) if status.code() == Some(3)));
    }

    #[test]
    fn silence_is_no_life() {
        let watched = shell("exec sleep 77", 2000);
        assert!(matches!(watched.end, End::Silent(doing) if doing.contains("sleep")));
    }

    #[test]
    fn what_is_left() {
        let watched = shell("sleep 78 >/dev/null 2>&1 & exit 0", 30_000);
        assert_eq!(watched.left.len(), 1, "{:?}", watched.left);
    }
}
