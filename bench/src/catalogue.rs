//! The workloads there are. The program that runs them tells what it has, so a workload that is
//! added there needs no change here.

use crate::schema::WorkloadInfo;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use umlab_watch::guest_program;
use umlab_workloads::protocol::Entry;

/// The one measurement that needs nothing to run: how long a guest takes that does nothing.
pub const START: &str = "start-to-end";

#[derive(Debug)]
pub struct Catalogue {
    program: PathBuf,
    pub entries: Vec<Entry>,
}

impl Catalogue {
    /// Asks the program; none is named: the one that scripts/guest-programs built.
    pub fn load(program: Option<&Path>) -> Result<Catalogue> {
        let program = match program {
            // Absolute: it is run from another directory.
            Some(path) => {
                path.canonicalize().with_context(|| format!("no workloads' program at '{}'", path.display()))?
            }
            None => guest_program(
                &std::env::current_exe().context("cannot find out where this program lies")?,
                "umlab-workload",
            )?,
        };
        let mut entries = ask(&program)?;
        entries.push(Entry {
            name: START.into(),
            group: "fork-exec".into(),
            summary: "/bin/true, from the start of the runner's process to its end".into(),
            definition: String::new(),
            remark: String::new(),
            sizes: Vec::new(),
            seconds: BTreeMap::new(),
            params: BTreeMap::new(),
            prepared: BTreeMap::new(),
            needs: Vec::new(),
            host_only: false,
        });
        // The main one first: when the time is short, it has its samples.
        entries.sort_by_key(|entry| entry.group != "kernel-build");
        Ok(Catalogue { program, entries })
    }

    /// The workloads that these names or groups mean, in the catalogue's order; without names all
    /// of them.
    pub fn select(&self, names: &[String]) -> Result<Vec<&Entry>> {
        for name in names {
            if !self.entries.iter().any(|e| e.name == *name || e.group == *name) {
                bail!("there is no workload '{name}'; {}", self.names());
            }
        }
        let wanted = |e: &&Entry| names.is_empty() || names.contains(&e.name) || names.contains(&e.group);
        Ok(self.entries.iter().filter(wanted).collect())
    }

    fn names(&self) -> String {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for entry in &self.entries {
            match groups.iter_mut().find(|(group, _)| *group == entry.group) {
                Some((_, names)) => names.push(&entry.name),
                None => groups.push((&entry.group, vec![&entry.name])),
            }
        }
        let groups: Vec<String> =
            groups.iter().map(|(group, names)| format!("{group} ({})", names.join(", "))).collect();
        format!("the groups and their workloads are: {}", groups.join("; "))
    }

    /// The size of a workload that makes what samples of the chosen size begin with, where it has
    /// one.
    pub fn prepared_by(&self, workload: &WorkloadInfo) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.name == workload.name)?;
        entry.prepared.get(&workload.size).map(String::as_str)
    }

    /// The command line of a workload in a size, with parameters that are paths.
    pub fn argv(&self, name: &str, size: &str, jobs: u32, params: &[(&str, &Path)]) -> Vec<OsString> {
        if name == START {
            return vec!["/bin/true".into()];
        }
        let mut argv: Vec<OsString> = vec![self.program.clone().into(), "run".into(), name.into()];
        if !size.is_empty() {
            argv.extend(["--size".into(), size.into()]);
        }
        argv.extend(["--jobs".into(), jobs.to_string().into()]);
        for (key, path) in params {
            let mut param = OsString::from(format!("{key}="));
            param.push(path);
            argv.extend(["--param".into(), param]);
        }
        argv
    }
}

fn ask(program: &Path) -> Result<Vec<Entry>> {
    let output = Command::new(program).args(["list", "--json"]).output();
    let output = output.with_context(|| format!("cannot run the workloads' program '{}'", program.display()))?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("'{}' does not tell its workloads", program.display()))
}
