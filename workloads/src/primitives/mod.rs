//! What the host's own mechanisms cost that process models are made of: the founding observation of
//! skas, that a switch of processes is cheaper than the delivery of a signal, is measured again
//! here. Host only.
//!
//! Each gives its operations as batches, which the program and criterion (benches/primitives.rs)
//! both run. All parties run on one CPU, as they do in a model, unless an operation's name says
//! otherwise: across CPUs the wake-up is what one would measure.

use crate::{About, Group, Report, Setting, Workload};
use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
use std::fmt;
use std::time::Duration;

mod helper;
mod mmap;
mod mmap_order;
mod mprotect;
mod process_switch;
mod ptrace_stop;
mod rewritten_call;
mod signal_delivery;
mod sigsys;
mod sigsys_hand_over;
mod turns;
mod user_notification;

/// Performs the operation as often as it is told.
pub type Batch = Box<dyn FnMut(u64) -> Result<Duration>>;

/// Why this host cannot perform an operation.
#[derive(Debug)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not available: {}", self.0)
    }
}

/// An operation, which this host may not have.
pub type Offered<T = Batch> = Result<T, Unavailable>;

pub struct Primitive {
    pub name: &'static str,
    summary: &'static str,
    definition: &'static str,
    batches: fn() -> Result<Vec<(&'static str, Offered)>>,
}

pub const ALL: &[&Primitive] = &[
    &SIGNAL_DELIVERY,
    &PROCESS_SWITCH,
    &PTRACE_STOP,
    &MPROTECT,
    &MMAP,
    &USER_NOTIFICATION,
    &SIGSYS,
    &SIGSYS_HAND_OVER,
    &REWRITTEN_CALL,
    &MMAP_ORDER,
];

pub use mmap::MMAP;
pub use mmap_order::MMAP_ORDER;
pub use mprotect::MPROTECT;
pub use process_switch::PROCESS_SWITCH;
pub use ptrace_stop::PTRACE_STOP;
pub use rewritten_call::REWRITTEN_CALL;
pub use signal_delivery::SIGNAL_DELIVERY;
pub use sigsys::SIGSYS;
pub use sigsys_hand_over::SIGSYS_HAND_OVER;
pub use user_notification::USER_NOTIFICATION;

impl Primitive {
    /// Its operations by name, ready to run; the caller is bound to the CPU it is on.
    pub fn prepare(&self) -> Result<Vec<(String, Offered)>> {
        run_on(sched_getcpu().context("sched_getcpu")?)?;
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
        self.prepare()?.into_iter().try_for_each(|(name, batch)| match batch {
            Ok(batch) => report.measure(&name, setting.effort(), batch),
            Err(unavailable) => report.skip(&name, &unavailable.to_string()),
        })
    }
}

/// Binds the calling thread to a CPU.
fn run_on(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("cannot run on CPU {cpu}"))
}

/// A CPU beside the one that the calling thread is bound to. The harness binds a primitive to one,
/// so that is any that the host lets this process have.
fn other_cpu() -> Result<Offered<usize>> {
    let here = sched_getcpu().context("sched_getcpu")?;
    let mut any = CpuSet::new();
    (0..CpuSet::count()).try_for_each(|cpu| any.set(cpu))?;
    let this = Pid::from_raw(0);
    let allowed = sched_setaffinity(this, &any).and_then(|()| sched_getaffinity(this)).context("sched_setaffinity");
    run_on(here)?;
    let allowed = allowed?;
    let other = (0..CpuSet::count()).find(|&cpu| cpu != here && allowed.is_set(cpu) == Ok(true));
    Ok(other.ok_or_else(|| Unavailable("there is one CPU only".into())))
}
