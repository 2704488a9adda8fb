//! How a workload is to be run: its size, how many jobs, where.

use crate::About;
use crate::timing::Effort;
use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Setting {
    pub size: &'static str,
    pub jobs: u32,
    /// CPUs for the parties of the workload, in turn; empty: wherever the caller has put us.
    pub pins: Vec<usize>,
    params: Vec<(String, String)>,
}

impl Setting {
    /// Without a size the workload's middle one, `quick`, or the only one it has.
    pub fn new(about: &About, size: Option<&str>, jobs: u32, pins: &[usize], params: &[String]) -> Result<Setting> {
        let sizes = || about.sizes.iter().map(|size| size.name).collect::<Vec<_>>().join(", ");
        let size = match size {
            Some(wanted) => match about.sizes.iter().find(|size| size.name == wanted) {
                Some(size) => size.name,
                None => bail!("{} has no size '{wanted}'; its sizes are: {}", about.name, sizes()),
            },
            None => about.sizes.iter().map(|size| size.name).find(|name| *name == "quick").unwrap_or("full"),
        };
        let mut pairs = Vec::new();
        for param in params {
            let (key, value) =
                param.split_once('=').with_context(|| format!("'{param}' is no parameter: it has no ="))?;
            if !about.params.iter().any(|param| param.key == key) {
                let known: Vec<&str> = about.params.iter().map(|param| param.key).collect();
                bail!(
                    "{} has no parameter '{key}'; it has: {}",
                    about.name,
                    if known.is_empty() { "none".into() } else { known.join(", ") }
                );
            }
            pairs.push((key.into(), value.into()));
        }
        Ok(Setting { size, jobs, pins: pins.to_vec(), params: pairs })
    }

    /// The value of a parameter; the last one wins.
    pub fn param(&self, key: &str) -> Option<&str> {
        self.params.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// Put the calling task where this party of the workload belongs: 0 is who measures, 1 its
    /// partner.
    pub fn pin(&self, party: usize) -> Result<()> {
        if self.pins.is_empty() {
            return Ok(());
        }
        let cpu = self.pins[party % self.pins.len()];
        let mut set = CpuSet::new();
        set.set(cpu)
            .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
            .with_context(|| format!("cannot run on CPU {cpu}"))
    }

    /// How long loops are to run.
    pub fn effort(&self) -> Effort {
        match self.size {
            "smoke" => Effort::SMOKE,
            "full" => Effort::FULL,
            _ => Effort::QUICK,
        }
    }

    /// One of three amounts, by the size.
    pub fn amount<T>(&self, smoke: T, quick: T, full: T) -> T {
        match self.size {
            "smoke" => smoke,
            "full" => full,
            _ => quick,
        }
    }

    /// An empty directory of the workload's own below TMPDIR, which the harness puts into memory;
    /// gone when dropped.
    pub fn scratch(&self) -> Result<Scratch> {
        let base = std::env::temp_dir();
        std::fs::create_dir_all(&base).with_context(|| format!("cannot make the directory {}", base.display()))?;
        let dir = tempfile::Builder::new().prefix("workload.").tempdir_in(&base);
        Ok(Scratch(dir.with_context(|| format!("cannot make a directory in {}", base.display()))?))
    }
}

pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn path(&self) -> PathBuf {
        self.0.path().to_path_buf()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
