use crate::{About, Report, Setting, Workload};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Making small files and deleting them, many in one directory.
pub struct Files;

/// Files in the directory at a time.
const MOST: u64 = 1000;

impl Workload for Files {
    fn about(&self) -> About {
        super::about(
            "files",
            super::LOOPS,
            "creating and deleting small files",
            "open(O_CREAT), write of 0 or 10 KiB, close; unlink; up to 1000 in a directory in TMPDIR (lmbench: file create, delete, 0K and 10K)",
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let scratch = setting.scratch()?;
        let names: Vec<PathBuf> = (0..MOST).map(|i| scratch.file(&format!("file{i:03}"))).collect();
        for kib in [0, 10] {
            let content = vec![b'x'; kib << 10];
            let create = |n| -> Result<Duration> {
                let start = Instant::now();
                for name in &names[..n] {
                    fs::write(name, &content).context("cannot create a file")?;
                }
                Ok(start.elapsed())
            };
            let delete = |n| -> Result<Duration> {
                let start = Instant::now();
                for name in &names[..n] {
                    fs::remove_file(name).context("cannot delete a file")?;
                }
                Ok(start.elapsed())
            };
            let pick = |n: u64, which: usize| -> Result<Duration> {
                let mut took = Duration::ZERO;
                let mut left = n;
                while left > 0 {
                    let now = left.min(MOST) as usize;
                    took += [create(now)?, delete(now)?][which];
                    left -= now as u64;
                }
                Ok(took)
            };
            report.measure(&format!("file create, {kib}K"), setting.effort(), |n| pick(n, 0))?;
            report.measure(&format!("file delete, {kib}K"), setting.effort(), |n| pick(n, 1))?;
        }
        let left = fs::read_dir(scratch.path())?.count();
        ensure!(left == 0, "{left} files were deleted and are still there");
        Ok(())
    }
}
