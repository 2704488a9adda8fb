use super::tool;
use crate::{About, Report, Setting, Workload};
use anyhow::{Result, ensure};
use std::fs;

/// Computing and memory, with hardly a system call: what a guest kernel should leave alone.
pub struct Compress;

impl Workload for Compress {
    fn about(&self) -> About {
        super::about(
            "compress",
            "xz compresses and decompresses a text",
            "xz -2 with one thread on 1, 10 or 80 MB of text in TMPDIR, and xz -dc of its result",
            &["xz"],
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let scratch = setting.scratch()?;
        let (plain, packed) = (scratch.file("text"), scratch.file("text.xz"));
        let text = super::text(setting.amount(1, 10, 80) * 1_000_000, 1);
        fs::write(&plain, &text)?;
        report.phase("compress", || tool("xz").args(["-2", "-T1", "-k"]).args([&plain]).run())?;
        let again = report.phase("decompress", || tool("xz").args(["-dc", "-T1"]).args([&packed]).run())?;
        ensure!(again == text, "what was decompressed is not what was compressed");
        report.check_bytes("compressed", fs::read(&packed)?)
    }
}
