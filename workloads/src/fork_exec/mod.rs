//! Making processes and programs, from parents of several sizes.

use crate::children::{DYNAMIC, itself};
use crate::memory::{MIB, Resident};
use crate::{About, Group, Report, Setting, Size};
use anyhow::Result;
use std::ffi::CString;
use std::time::Duration;

pub mod fork_execve;
pub mod fork_exit;
pub mod fork_shell;
pub mod process_tree;
pub mod shell_loop;
pub mod spawn;
pub mod vfork_exec;

const SIZES: &[Size] =
    &[Size { name: "smoke", seconds: 0.2 }, Size { name: "quick", seconds: 1.2 }, Size { name: "full", seconds: 8.0 }];

const fn about(name: &'static str, summary: &'static str, definition: &'static str) -> About {
    About { name, group: Group::ForkExec, summary, definition, remark: "", sizes: SIZES, params: &[], needs: &[] }
}

/// Measures from a parent with 1, 64 and 512 MiB of resident memory: what a fork costs grows with
/// it.
fn by_parent(
    name: &str,
    setting: &Setting,
    report: &mut Report,
    mut batch: impl FnMut(u64) -> Result<Duration>,
) -> Result<()> {
    let mut resident = Resident::none();
    for mib in setting.amount(&[1, 16][..], &[1, 64, 512], &[1, 64, 512]) {
        let metric = format!("{name}, {mib} MiB");
        match resident.grow(mib * MIB) {
            Ok(()) => report.measure(&metric, setting.effort(), &mut batch)?,
            Err(reason) => report.skip(&metric, &format!("{reason:#}"))?,
        }
    }
    Ok(())
}

/// The programs that are executed: a word for each, and its arguments. The static one is this
/// program.
fn programs() -> Result<[(&'static str, Vec<CString>); 2]> {
    Ok([("static", itself()?.into()), ("dynamic", vec![DYNAMIC.into()])])
}
