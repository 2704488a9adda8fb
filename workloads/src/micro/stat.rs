use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Result, ensure};
use nix::sys::stat::stat;
use std::fs;

/// Asking for a file's attributes by its name, and for those of one that is not there: half of what
/// a build does.
pub struct Stat;

impl Workload for Stat {
    fn about(&self) -> About {
        super::about(
            "stat",
            super::LOOPS,
            "stat of a file, and of none",
            "stat of a file in TMPDIR by its absolute path (lmbench: stat); the same for a name that is not there",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let scratch = setting.scratch()?;
        let (there, absent) = (scratch.file("there"), scratch.file("absent"));
        fs::write(&there, "twelve bytes")?;
        report.measure(
            "stat",
            setting.effort(),
            each(|| {
                ensure!(stat(&there)?.st_size == 12, "the file has another size");
                Ok(())
            }),
        )?;
        report.measure(
            "stat, no such file",
            setting.effort(),
            each(|| {
                ensure!(stat(&absent) == Err(nix::Error::ENOENT), "a file that is not there was found");
                Ok(())
            }),
        )
    }
}
