use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result, ensure};
use nix::sys::select::{FdSet, select};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{dup, pipe, write};
use std::os::fd::{AsFd, OwnedFd};

/// Asking which of many descriptors are ready, when none is.
pub struct Select;

impl Workload for Select {
    fn about(&self) -> About {
        super::about(
            "select",
            super::LOOPS,
            "select on 10 and on 100 descriptors",
            "select with no time to wait, on descriptors of an empty pipe's end (lmbench: select on n fd's, which asks files)",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        for n in [10, 100] {
            let (end, other) = pipe().context("pipe")?;
            let ends: Vec<OwnedFd> = (0..n).map(|_| dup(&end)).collect::<Result<_, _>>().context("dup")?;
            let mut all = FdSet::new();
            for end in &ends {
                all.insert(end.as_fd());
            }
            let ready = || -> Result<i32> {
                // It is changed by the call.
                let mut asked = all;
                Ok(select(None, &mut asked, None, None, &mut TimeVal::seconds(0))?)
            };
            report.measure(
                &format!("select, {n} fds"),
                setting.effort(),
                each(|| {
                    ensure!(ready()? == 0, "an empty pipe is said to be ready");
                    Ok(())
                }),
            )?;
            write(&other, b"x")?;
            report.check(&format!("ready of {n}"), ready()?)?;
        }
        Ok(())
    }
}
