use crate::children::{ended_well, exit_now};
use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result};
use nix::unistd::{ForkResult, fork};

const REMARK: &str = "A fork costs the host a copy of the parent's page tables, a page at a time. umlab's core keeps the \
                      pages of a large process in runs, shares these, and has them mapped when they are touched; so its \
                      models beat the host once the parent is large.";

/// A process that is made, ends at once and is waited for.
pub struct ForkExit;

impl Workload for ForkExit {
    fn about(&self) -> About {
        let about = super::about(
            "fork-exit",
            "fork, exit, wait; parents of 1, 64, 512 MiB",
            "fork; the child calls _exit; wait for it (lmbench: process fork+exit)",
        );
        About { remark: REMARK, ..about }
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
