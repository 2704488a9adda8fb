use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// Reading: what the call costs, and what a page of a file in memory costs.
pub struct Read;

impl Workload for Read {
    fn about(&self) -> About {
        super::about(
            "read",
            super::LOOPS,
            "read of one byte, and of a page",
            "read of one byte of /dev/zero (lmbench: read); pread of 4096 bytes of a file in TMPDIR, page after page",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        use std::io::Read;
        let mut zero = File::open("/dev/zero").context("/dev/zero")?;
        let mut byte = [1];
        report.measure(
            "read",
            setting.effort(),
            each(|| {
                byte[0] = 1;
                ensure!(zero.read(&mut byte)? == 1 && byte[0] == 0, "/dev/zero gave no zero");
                Ok(())
            }),
        )?;

        const PAGES: usize = 64;
        let scratch = setting.scratch()?;
        let content: Vec<u8> = (0..PAGES * 4096).map(|i| (i / 4096) as u8).collect();
        fs::write(scratch.file("file"), &content)?;
        let file = File::open(scratch.file("file"))?;
        let mut page = [0; 4096];
        let mut at = 0;
        report.measure(
            "read, 4096 bytes of a file",
            setting.effort(),
            each(|| {
                let n = file.read_at(&mut page, at as u64 * 4096)?;
                ensure!(n == 4096 && page[0] == at as u8 && page[4095] == at as u8, "page {at} was read wrong");
                at = (at + 1) % PAGES;
                Ok(())
            }),
        )?;
        report.check_bytes("the file", fs::read(scratch.file("file"))?)
    }
}
