use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Result, ensure};
use std::time::Instant;

/// Reading the clock, which needs no system call where the kernel gives its programs a vDSO.
pub struct ClockRead;

impl Workload for ClockRead {
    fn about(&self) -> About {
        super::about(
            "clock-read",
            super::LOOP,
            "reading the clock",
            "clock_gettime(CLOCK_MONOTONIC) by the C library, which asks the vDSO",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let mut last = Instant::now();
        let batch = each(|| {
            let now = Instant::now();
            ensure!(now >= last, "the clock went back");
            last = now;
            Ok(())
        });
        report.measure("clock-read", setting.effort(), batch)
    }
}
