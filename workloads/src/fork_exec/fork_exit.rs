use crate::children::{ended_well, exit_now};
use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result};
use nix::unistd::{ForkResult, fork};

/// A process that is made, ends at once and is waited for.
pub struct ForkExit;

impl Workload for ForkExit {
    fn about(&self) -> About {
        super::about(
            "fork-exit",
            "fork, exit, wait; parents of 1, 64, 512 MiB",
            "fork; the child calls _exit; wait for it (lmbench: process fork+exit)",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        super::by_parent(
            "fork+exit",
            setting,
            report,
            each(|| {
                // SAFETY: there is one thread, and the child does nothing but end.
                match unsafe { fork() }.context("fork")? {
                    ForkResult::Child => exit_now(0),
                    ForkResult::Parent { child } => ended_well(child),
                }
            }),
        )
    }
}
