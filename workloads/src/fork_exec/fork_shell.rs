use crate::children::{ended_well, exit_now, itself};
use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result};
use nix::unistd::{ForkResult, execv, fork};
use std::ffi::CString;

/// A program started by way of the shell, as `system` does it.
pub struct ForkShell;

impl Workload for ForkShell {
    fn about(&self) -> About {
        super::about(
            "fork-shell",
            "fork, /bin/sh -c, wait",
            "fork; the child executes /bin/sh -c with a static program that ends at once; wait for it (lmbench: process \
             fork+/bin/sh -c)",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let command: Vec<String> = itself()?.iter().map(|word| format!("'{}'", word.to_string_lossy())).collect();
        // Two commands, so that no shell can spare itself the fork.
        let command = format!("{}; exit $?", command.join(" "));
        let argv = [c"/bin/sh".to_owned(), c"-c".to_owned(), CString::new(command)?];
        super::by_parent(
            "fork+sh",
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
        )
    }
}
