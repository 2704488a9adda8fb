use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Result, ensure};
use nix::unistd::getppid;

/// The cheapest system call there is: the cost of getting into the kernel and back.
pub struct NullCall;

impl Workload for NullCall {
    fn about(&self) -> About {
        super::about("null-call", super::LOOP, "the cheapest system call", "getppid (lmbench: null call)")
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let parent = getppid();
        let batch = each(|| {
            ensure!(getppid() == parent, "the parent changed");
            Ok(())
        });
        report.measure("null-call", setting.effort(), batch)
    }
}
