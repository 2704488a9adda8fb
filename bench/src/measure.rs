//! One sample: a workload, run once by a runner, and everything that is known of it afterwards.

use crate::catalogue::{Catalogue, START};
use crate::environment::{now, ticks};
use crate::keeper::Keeper;
use crate::neighbours::Neighbours;
use crate::plan::KERNEL_BUILD;
use crate::process::{self, End, Finished};
use crate::runner::{Job, Runner};
use crate::schema::*;
use anyhow::{Context, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use umlab_watch::Interrupt;
use umlab_workloads::protocol::Line;

/// Folders for what runs, removed at the end: one in memory, and one outside of /dev.
pub struct Scratch {
    memory: PathBuf,
    visible: PathBuf,
    keeper: RefCell<Keeper>,
}

impl Scratch {
    pub fn new() -> Result<Scratch> {
        let memory = Path::new("/dev/shm");
        let writable = nix::unistd::access(memory, nix::unistd::AccessFlags::W_OK).is_ok();
        let make = |base: PathBuf, suffix: &str| {
            sweep(&base);
            let dir = base.join(format!("umlab-bench.{}{suffix}", std::process::id()));
            let made = fs::create_dir_all(&dir);
            made.map(|()| dir.clone()).with_context(|| format!("cannot make the scratch folder '{}'", dir.display()))
        };
        let base = if writable { memory.into() } else { std::env::temp_dir() };
        let (memory, visible) = (make(base, "")?, make(std::env::temp_dir(), ".visible")?);
        let keeper = RefCell::new(Keeper::start(&[&memory, &visible])?);
        Ok(Scratch { memory, visible, keeper })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.memory);
        let _ = fs::remove_dir_all(&self.visible);
    }
}

/// Removes what a harness that was killed left behind: gigabytes of memory, perhaps.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix("umlab-bench."));
        let pid = rest.and_then(|rest| rest.trim_end_matches(".visible").parse::<i32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Everything about a sample but its result.
pub struct Order<'a> {
    pub round: u32,
    pub runner: &'a Runner,
    pub workload: &'a WorkloadInfo,
    pub cpus: u32,
    pub limit: f64,
    /// What the host's results were, if there is something to check against.
    pub expected: Option<&'a BTreeMap<String, String>>,
}

pub struct Lab<'a> {
    pub catalogue: &'a Catalogue,
    pub kernel_tree: Option<&'a str>,
    /// So many spin on each CPU of a sample while it runs.
    pub neighbours: u32,
    pub allowed: &'a [u32],
    /// What the samples of a workload begin with, by its name.
    pub prepared: &'a BTreeMap<String, PathBuf>,
    pub scratch: &'a Scratch,
    pub interrupt: &'a Interrupt,
}

/// A sample, and what it said on standard error; nothing when we were interrupted.
pub type Taken = Option<(Sample, Vec<u8>)>;

impl Lab<'_> {
    pub fn take(&self, order: &Order) -> Result<Taken> {
        let pinned: Vec<u32> = self.allowed.iter().rev().take(order.cpus as usize).copied().collect();
        let before = ticks(&pinned);
        std::thread::sleep(Duration::from_millis(50));
        let began = ticks(&pinned);
        let mut sample = blank(order);
        sample.noise.busy_before = began.since(before).0;
        let mut neighbours = Neighbours::start(&pinned, self.neighbours)?;
        let times = if order.workload.name == START { 5 } else { 1 };
        let mut runs = Vec::new();
        let mut stderr = Vec::new();
        for _ in 0..times {
            let Some(done) = self.run_once(order, &pinned, &mut sample)? else { return Ok(None) };
            runs.push(done.elapsed.as_secs_f64());
            stderr = judge(&mut sample, &done, order);
            sample.cpu_time.user += done.usage.user;
            sample.cpu_time.system += done.usage.system;
            *sample.cpu_time.faults.get_or_insert_default() += done.usage.minor_faults;
            if !sample.is_ok() {
                break;
            }
        }
        if sample.is_ok() && !neighbours.are_there() {
            (sample.outcome, sample.reason) = (Outcome::Failed, Some("a neighbour ended before it did".into()));
        }
        drop(neighbours);
        if order.workload.name == START && sample.is_ok() {
            let batches: Vec<f64> = runs.iter().map(|seconds| seconds * 1e3).collect();
            let value = crate::stats::median(&batches).unwrap_or(0.0);
            sample.metrics.push(Metric { name: START.into(), value, unit: "ms".into(), n: Some(times), batches });
        }
        sample.seconds = runs.iter().sum();
        sample.noise.stolen = ticks(&pinned).since(began).1;
        Ok(Some((sample, stderr)))
    }

    /// Makes on the host what the samples of a workload begin with, in a folder that every guest
    /// sees; None when we were interrupted. Where it fails the samples have nothing prepared, and
    /// the first of them, the host's, tells why.
    pub fn prepare(&self, workload: &WorkloadInfo, size: &str) -> Result<Option<Option<PathBuf>>> {
        let (out, work) =
            (self.scratch.visible.join("prepared").join(&workload.name), self.scratch.memory.join("prepare"));
        let cannot = || format!("cannot use the scratch folder '{}'", out.display());
        fs::create_dir_all(&out).and_then(|()| fs::create_dir_all(&work)).with_context(cannot)?;
        let jobs = self.allowed.len() as u32;
        let params: Vec<_> = self.tree_of(workload).into_iter().chain([("out", out.as_path())]).collect();
        let argv = self.catalogue.argv(&workload.name, size, jobs, &params);
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).env_clear().envs(environment(&work)).current_dir("/");
        let limit = Duration::from_secs_f64(workload.limit);
        let mut keeper = self.scratch.keeper.borrow_mut();
        let done = process::run(command, limit, self.interrupt, |group| keeper.runs(group));
        keeper.rests();
        let _ = fs::remove_dir_all(&work);
        let done = done.context("cannot start the program of the workloads")?;
        Ok(match done.end {
            End::Interrupted => None,
            End::Exited(status) if status.success() => Some(Some(out)),
            _ => Some(None),
        })
    }

    /// The kernel's source, for the workload that builds it.
    fn tree_of(&self, workload: &WorkloadInfo) -> Option<(&'static str, &Path)> {
        let tree = self.kernel_tree.filter(|_| workload.name == KERNEL_BUILD)?;
        Some(("tree", Path::new(tree)))
    }

    fn run_once(&self, order: &Order, pinned: &[u32], sample: &mut Sample) -> Result<Option<Finished>> {
        let scratch = self.scratch.memory.join("sample");
        let work = scratch.join("work");
        let cannot = || format!("cannot use the scratch folder '{}'", scratch.display());
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch).with_context(cannot)?;
        let prepared = self.prepared.get(&order.workload.name).map(|dir| ("prepared", dir.as_path()));
        let WorkloadInfo { name, size, .. } = order.workload;
        let params: Vec<_> = self.tree_of(order.workload).into_iter().chain(prepared).collect();
        let argv = self.catalogue.argv(name, size, order.cpus, &params);
        let environment = environment(&work);
        let job = Job {
            argv: &argv,
            environment: &environment,
            cpus: order.cpus,
            work: &work,
            scratch: &scratch,
            visible: &self.scratch.visible,
        };
        let command = order.runner.command(&job).with_context(cannot)?;
        // Children inherit the CPUs of the thread that starts them.
        pin(pinned);
        let mut keeper = self.scratch.keeper.borrow_mut();
        let limit = Duration::from_secs_f64(order.limit);
        let done = process::run(command, limit, self.interrupt, |group| {
            keeper.runs(group);
            if self.neighbours > 0 {
                // What the sample says must not wait for our turn behind them.
                pin(self.allowed);
            }
        });
        keeper.rests();
        pin(self.allowed);
        let done = done.with_context(|| format!("cannot start {}", order.runner.name()))?;
        sample.counters = order.runner.counters(&scratch);
        let _ = fs::remove_dir_all(&scratch);
        Ok(if matches!(done.end, End::Interrupted) { None } else { Some(done) })
    }
}

/// The same for every runner, and nothing in it that changes what a compiler or an interpreter
/// does.
fn environment(work: &Path) -> Vec<(OsString, OsString)> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    [("PATH", path), ("HOME", "/".into()), ("LC_ALL", "C".into()), ("TZ", "UTC".into()), ("TMPDIR", work.into())]
        .map(|(name, value): (&str, OsString)| (name.into(), value))
        .into()
}

fn pin(cpus: &[u32]) {
    let mut set = nix::sched::CpuSet::new();
    for &cpu in cpus {
        let _ = set.set(cpu as usize);
    }
    // The CPUs are those we were given; if one went away since, the host's scheduler decides.
    let _ = nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set);
}

pub fn blank(order: &Order) -> Sample {
    Sample {
        round: order.round,
        runner: order.runner.name().into(),
        workload: order.workload.name.clone(),
        cpus: order.cpus,
        started: now(),
        seconds: 0.0,
        outcome: Outcome::Ok,
        reason: None,
        log: None,
        phases: Vec::new(),
        metrics: Vec::new(),
        left_out: Vec::new(),
        checks: BTreeMap::new(),
        counters: None,
        cpu_time: CpuTime::default(),
        noise: Noise::default(),
    }
}

/// Fills in what it said, and whether that counts; returns the log.
fn judge(sample: &mut Sample, done: &Finished, order: &Order) -> Vec<u8> {
    let mut log = done.stderr.clone();
    let mut begun: BTreeMap<String, Duration> = BTreeMap::new();
    let mut complete = order.workload.name == START;
    for line in &done.lines {
        match serde_json::from_str::<Line>(&line.text) {
            Ok(Line::Begin { begin }) => drop(begun.insert(begin, line.at)),
            Ok(Line::End { end }) => {
                if let Some(start) = begun.remove(&end) {
                    sample.phases.push(Phase { name: end, seconds: (line.at - start).as_secs_f64() });
                }
            }
            Ok(Line::Metric { metric, unit, value, n, batches }) if value.is_finite() => {
                sample.metrics.push(Metric { name: metric, value, unit, n, batches });
            }
            Ok(Line::Check { check, value }) => drop(sample.checks.insert(check, value)),
            Ok(Line::Skip { skip, reason }) => sample.left_out.push(LeftOut { name: skip, reason }),
            Ok(Line::Done { done }) => complete |= done,
            Ok(Line::Metric { .. }) | Err(_) => {
                log.extend_from_slice(line.text.as_bytes());
                log.push(b'\n');
            }
        }
    }
    let fail = |sample: &mut Sample, outcome, reason: String| {
        sample.outcome = outcome;
        sample.reason = Some(reason);
    };
    match done.end {
        End::TimedOut => fail(sample, Outcome::Timeout, format!("not at its end after {:.0} s", order.limit)),
        End::Exited(status) if !status.success() => {
            let how = match (status.code(), std::os::unix::process::ExitStatusExt::signal(&status)) {
                (Some(code), _) => format!("it ended with status {code}"),
                (None, signal) => format!("it was killed by signal {}", signal.unwrap_or(0)),
            };
            let last = String::from_utf8_lossy(&done.stderr)
                .trim()
                .lines()
                .last()
                .map(|line| format!(": {line}"))
                .unwrap_or_default();
            fail(sample, Outcome::Failed, how + &last);
        }
        _ if !complete => fail(sample, Outcome::Failed, "it ended without telling that it was done".into()),
        _ => {
            let differing =
                order.expected.into_iter().flatten().find(|(name, value)| sample.checks.get(*name) != Some(value));
            if let Some((name, value)) = differing {
                let got = sample.checks.get(name).map_or("nothing", String::as_str);
                let reason = format!("its result is not the host's: {name} is {got}, on the host {value}");
                fail(sample, Outcome::Wrong, reason);
            }
        }
    }
    log
}
