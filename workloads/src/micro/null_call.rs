use crate::timing::each;
use crate::{About, Param, Report, Setting, Workload};
use anyhow::{Context, Result, ensure};
use nix::unistd::getppid;
use std::fs::File;
use std::io::Write;

/// The cheapest system call there is: the cost of getting into the kernel and back.
pub struct NullCall;

const WRITTEN: &[Param] = &[Param {
    key: "written",
    meaning: "MiB that are written to a file first: in a guest, memory that its kernel has touched (default: 0)",
}];

impl Workload for NullCall {
    fn about(&self) -> About {
        let about = super::about("null-call", super::LOOP, "the cheapest system call", "getppid (lmbench: null call)");
        About { params: WRITTEN, ..about }
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let scratch = setting.scratch()?;
        if let Some(mib) = setting.param("written") {
            let mib: usize = mib.parse().context("'written' is a number of MiB")?;
            let mut file = File::create(scratch.file("written"))?;
            for _ in 0..mib {
                file.write_all(&[1; 1 << 20])?;
            }
        }
        let parent = getppid();
        let batch = each(|| {
            ensure!(getppid() == parent, "the parent changed");
            Ok(())
        });
        report.measure("null-call", setting.effort(), batch)
    }
}
