use super::exchange;
use crate::children::Line;
use crate::{About, Report, Setting, Workload};
use anyhow::Result;

/// Two processes connected by a pair of AF_UNIX stream sockets.
pub struct UnixSocket;

impl Workload for UnixSocket {
    fn about(&self) -> About {
        super::about(
            "unix-socket",
            super::LOOPS,
            "a pair of AF_UNIX stream sockets: latency and bandwidth",
            "one byte to another process and one back (lmbench: AF_UNIX latency); chunks of 64 KiB to another process, which \
             tells when it has them all (lmbench: AF_UNIX bandwidth)",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        exchange::latency("unix-socket: round trip", setting, report, Line::sockets()?)?;
        exchange::bandwidth("unix-socket: bandwidth", setting, report, Line::sockets()?)
    }
}
