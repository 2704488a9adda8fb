//! Runners: where a workload's program is run. The host itself, a guest of one of umlab's models,
//! or a peer.
//!
//! A runner is a way to wrap a command line. What is run inside is the same program with the same
//! arguments, the same environment and a directory in memory at the same path everywhere.

mod peers;

use crate::schema::{HOST, Kind, RunnerInfo};
use serde_json::Value;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use peers::{PEERS, Peer};

/// A command to be run by any runner.
pub struct Job<'a> {
    pub argv: &'a [OsString],
    /// All of its environment.
    pub environment: &'a [(OsString, OsString)],
    pub cpus: u32,
    /// A directory that is empty, in memory and writable when the command starts.
    pub work: &'a Path,
    /// A folder of this sample's own on the host, for what the runner itself needs.
    pub scratch: &'a Path,
    /// The same, where a guest that has devices of its own sees it too: not below /dev.
    pub visible: &'a Path,
}

/// A process model of umlab, as the caller knows it.
#[derive(Clone, Debug)]
pub struct Model {
    pub name: String,
    pub description: String,
    /// Whether this host can run it, and if not why.
    pub runs_here: Result<(), String>,
    /// How many CPUs its guests can have, where that is limited.
    pub most_cpus: Option<u32>,
}

#[derive(Clone, Debug)]
pub enum Runner {
    Host,
    Umlab { umlab: PathBuf, model: Model },
    Peer(&'static Peer),
}

impl Runner {
    pub fn name(&self) -> &str {
        match self {
            Runner::Host => HOST,
            Runner::Umlab { model, .. } => &model.name,
            Runner::Peer(peer) => peer.name,
        }
    }

    pub fn info(&self) -> RunnerInfo {
        let (kind, description, most_cpus) = match self {
            Runner::Host => (Kind::Host, "this machine's own kernel".to_string(), None),
            Runner::Umlab { model, .. } => (Kind::Model, model.description.clone(), model.most_cpus),
            Runner::Peer(peer) => (Kind::Peer, peer.describe(), peer.most_cpus),
        };
        RunnerInfo { name: self.name().into(), kind, description, most_cpus }
    }

    /// The command that runs the job, in a new process.
    pub fn command(&self, job: &Job) -> io::Result<Command> {
        let mut command = match self {
            Runner::Host => {
                std::fs::create_dir(job.work)?;
                let mut command = Command::new(&job.argv[0]);
                command.args(&job.argv[1..]);
                command
            }
            Runner::Umlab { umlab, model } => {
                let mut command = Command::new(umlab);
                command.args(["run", "--model", &model.name, "--cpus", &job.cpus.to_string()]);
                command.arg(concat("--stats=", &stats_file(job.scratch)));
                command.arg("--tmpfs").arg(job.work).args(["--workdir", "/", "--"]).args(job.argv);
                command
            }
            Runner::Peer(peer) => peer.command(job)?,
        };
        command.env_clear().envs(job.environment.iter().map(|(k, v)| (k, v))).current_dir("/");
        if let Runner::Peer(_) = self {
            // The peer itself; what runs inside has the environment of all.
            command.env("TMPDIR", job.scratch);
        }
        Ok(command)
    }

    /// What the guest counted, after its end.
    pub fn counters(&self, scratch: &Path) -> Option<Value> {
        match self {
            Runner::Umlab { .. } => serde_json::from_slice(&std::fs::read(stats_file(scratch)).ok()?).ok(),
            _ => None,
        }
    }
}

fn stats_file(scratch: &Path) -> PathBuf {
    scratch.join("counters.json")
}

fn concat(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}
