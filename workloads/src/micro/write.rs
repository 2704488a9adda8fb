use crate::timing::each;
use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;

/// Writing: what the call costs, and what a page of a file in memory costs.
pub struct Write;

impl Workload for Write {
    fn about(&self) -> About {
        super::about(
            "write",
            super::LOOPS,
            "write of one byte, and of a page",
            "write of one byte to /dev/null (lmbench: write); pwrite of 4096 bytes over a file in TMPDIR, page after page",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        use std::io::Write;
        let mut null = OpenOptions::new().write(true).open("/dev/null").context("/dev/null")?;
        report.measure(
            "write",
            setting.effort(),
            each(|| {
                ensure!(null.write(&[0])? == 1, "/dev/null did not take a byte");
                Ok(())
            }),
        )?;

        const PAGES: usize = 64;
        let scratch = setting.scratch()?;
        fs::write(scratch.file("file"), vec![0; PAGES * 4096])?;
        let file = File::options().write(true).open(scratch.file("file"))?;
        let mut at = 0;
        let pages: Vec<[u8; 4096]> = (0..PAGES).map(|i| [i as u8; 4096]).collect();
        report.measure(
            "write, 4096 bytes of a file",
            setting.effort(),
            each(|| {
                ensure!(file.write_at(&pages[at], at as u64 * 4096)? == 4096, "a page was not written whole");
                at = (at + 1) % PAGES;
                Ok(())
            }),
        )?;
        // All pages once, however many the loop came to.
        for (at, page) in pages.iter().enumerate() {
            file.write_all_at(page, at as u64 * 4096)?;
        }
        report.check_bytes("the file", fs::read(scratch.file("file"))?)
    }
}
