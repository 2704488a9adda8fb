//! Making processes and programs, from parents of several sizes.

use crate::memory::{MIB, Resident};
use crate::{Report, Setting, Size};
use anyhow::Result;
use std::time::Duration;

pub mod fork_exit;

pub(crate) const SIZES: &[Size] =
    &[Size { name: "smoke", seconds: 0.1 }, Size { name: "quick", seconds: 1.0 }, Size { name: "full", seconds: 6.0 }];

/// Measures from a parent with 1, 64 and 512 MiB of resident memory: what a fork costs grows with it.
pub(crate) fn by_parent(
    name: &str,
    setting: &Setting,
    report: &mut Report,
    mut batch: impl FnMut(u64) -> Result<Duration>,
) -> Result<()> {
    let mut resident = Resident::none();
    for mib in setting.amount(&[1, 64][..], &[1, 64, 512], &[1, 64, 512]) {
        let metric = format!("{name}, {mib} MiB");
        match resident.grow(mib * MIB) {
            Ok(()) => report.measure(&metric, setting.effort(), &mut batch)?,
            Err(reason) => report.skip(&metric, &format!("{reason:#}"))?,
        }
    }
    Ok(())
}
