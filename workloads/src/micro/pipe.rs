use super::exchange;
use crate::children::Line;
use crate::{About, Report, Setting, Workload};
use anyhow::Result;

/// Two processes connected by two pipes.
pub struct Pipe;

impl Workload for Pipe {
    fn about(&self) -> About {
        super::about(
            "pipe",
            super::LOOPS,
            "two pipes: latency and bandwidth",
            "one byte to another process and one back (lmbench: pipe latency); chunks of 64 KiB to another process, which \
             tells when it has them all (lmbench: pipe bandwidth)",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        exchange::latency("pipe: round trip", setting, report, Line::pipes()?)?;
        exchange::bandwidth("pipe: bandwidth", setting, report, Line::pipes()?)
    }
}
