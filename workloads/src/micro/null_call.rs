use crate::{About, Group, Report, Setting, Workload};
use anyhow::{Result, ensure};
use nix::unistd::getppid;

/// The cheapest system call there is: the cost of getting into the kernel and back.
pub struct NullCall;

impl Workload for NullCall {
    fn about(&self) -> About {
        About {
            name: "null-call",
            group: Group::Micro,
            summary: "the cheapest system call",
            definition: "getppid (lmbench: null call)",
            sizes: super::LOOP,
            params: &[],
            needs: &[],
        }
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let parent = getppid();
        let batch = crate::timing::each(|| {
            ensure!(getppid() == parent, "the parent changed");
            Ok(())
        });
        report.measure("null-call", setting.effort(), batch)
    }
}
