use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::Result;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::fs;

/// Opening a file and closing it.
pub struct OpenClose;

impl Workload for OpenClose {
    fn about(&self) -> About {
        super::about(
            "open-close",
            super::LOOP,
            "open and close of a file",
            "open of a file in TMPDIR for reading by its absolute path, and close (lmbench: open/close)",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let scratch = setting.scratch()?;
        let path = scratch.file("file");
        fs::write(&path, "content")?;
        report.measure(
            "open+close",
            setting.effort(),
            each(|| {
                // Closed when it is dropped, which is here.
                Ok(open(&path, OFlag::O_RDONLY, Mode::empty()).map(drop)?)
            }),
        )?;
        report.check("content", fs::read_to_string(&path)?)
    }
}
