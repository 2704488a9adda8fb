use crate::children::{ended_well, exit_now};
use crate::timing::each;
use crate::{About, Group, Report, Setting, Workload};
use anyhow::{Context, Result};
use nix::unistd::{ForkResult, fork};

/// A process that is made, ends at once and is waited for.
pub struct ForkExit;

impl Workload for ForkExit {
    fn about(&self) -> About {
        About {
            name: "fork-exit",
            group: Group::ForkExec,
            summary: "fork, exit, wait",
            definition: "fork; the child calls _exit; the parent waits for it (lmbench: process fork+exit)",
            sizes: super::SIZES,
            params: &[],
            needs: &[],
        }
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
