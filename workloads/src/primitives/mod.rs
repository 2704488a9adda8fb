//! What the host's own mechanisms cost that process models are made of: the founding observation of
//! skas, that a switch of processes is cheaper than the delivery of a signal, is measured again
//! here. Host only.
//!
//! Each gives its operations as batches, which the program and criterion (benches/primitives.rs)
//! both run. All parties run on one CPU, as they do in a model: across CPUs the wake-up is what one
//! would measure.

use crate::{About, Group, Report, Setting, Workload};
use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
use std::time::Duration;

mod mmap;
mod mprotect;
mod process_switch;
mod ptrace_stop;
mod signal_delivery;

/// Performs the operation as often as it is told.
pub type Batch = Box<dyn FnMut(u64) -> Result<Duration>>;

pub struct Primitive {
    pub name: &'static str,
    summary: &'static str,
    definition: &'static str,
    batches: fn() -> Result<Vec<(&'static str, Batch)>>,
}

pub const ALL: &[&Primitive] = &[&SIGNAL_DELIVERY, &PROCESS_SWITCH, &PTRACE_STOP, &MPROTECT, &MMAP];

pub use mmap::MMAP;
pub use mprotect::MPROTECT;
pub use process_switch::PROCESS_SWITCH;
pub use ptrace_stop::PTRACE_STOP;
pub use signal_delivery::SIGNAL_DELIVERY;

impl Primitive {
    /// Its operations by name, ready to run; the caller is bound to the CPU it is on.
    pub fn prepare(&self) -> Result<Vec<(String, Batch)>> {
        let mut set = CpuSet::new();
        set.set(sched_getcpu().context("sched_getcpu")?)?;
        sched_setaffinity(Pid::from_raw(0), &set).context("sched_setaffinity")?;
        Ok((self.batches)()?.into_iter().map(|(name, batch)| (name.to_string(), batch)).collect())
    }
}

impl Workload for Primitive {
    fn about(&self) -> About {
        About {
            name: self.name,
            group: Group::Primitives,
            summary: self.summary,
            definition: self.definition,
            remark: "",
            sizes: crate::micro::LOOP,
            params: &[],
            needs: &[],
        }
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        self.prepare()?.into_iter().try_for_each(|(name, batch)| report.measure(&name, setting.effort(), batch))
    }
}
