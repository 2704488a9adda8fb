use crate::children::{ended_well, exit_now};
use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result};
use nix::unistd::{ForkResult, execv, fork};

/// A program started as shells did it for decades.
pub struct ForkExec;

impl Workload for ForkExec {
    fn about(&self) -> About {
        super::about(
            "fork-execve",
            "fork, exec, wait; a static and a dynamic program",
            "fork; the child executes a program that ends at once: this one (static), /bin/true (dynamic); wait for it (lmbench: \
             process fork+execve)",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        for (kind, argv) in super::programs()? {
            super::by_parent(
                &format!("fork+exec {kind}"),
                setting,
                report,
                each(|| {
                    // SAFETY: there is one thread, and the child only executes another program, or
                    // ends.
                    match unsafe { fork() }.context("fork")? {
                        ForkResult::Child => {
                            let _ = execv(&argv[0], &argv);
                            exit_now(127)
                        }
                        ForkResult::Parent { child } => ended_well(child),
                    }
                }),
            )?;
        }
        Ok(())
    }
}
