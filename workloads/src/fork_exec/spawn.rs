use crate::children::ended_well;
use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use std::ffi::CString;

const REMARK: &str = "The C library's posix_spawn asks for the handler of every signal, some 120 system calls for each \
                      process, so it is dear where system calls are.";

/// A program started as make, compilers and most libraries do it today.
pub struct Spawn;

impl Workload for Spawn {
    fn about(&self) -> About {
        let about = super::about(
            "posix-spawn",
            "posix_spawn, wait; a static and a dynamic program",
            "as fork-execve, by the C library's posix_spawn",
        );
        About { remark: REMARK, ..about }
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let (actions, attributes) = (PosixSpawnFileActions::init()?, PosixSpawnAttr::init()?);
        for (kind, argv) in super::programs()? {
            super::by_parent(
                &format!("posix_spawn {kind}"),
                setting,
                report,
                each(|| {
                    let pid = posix_spawn(argv[0].as_c_str(), &actions, &attributes, &argv, &[] as &[CString]);
                    ended_well(pid.context("posix_spawn")?)
                }),
            )?;
        }
        Ok(())
    }
}
