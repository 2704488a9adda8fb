use super::{Tool, text, tool};
use crate::{About, Report, Setting, Workload};
use anyhow::Result;
use std::fs;
use std::path::Path;

/// Version control: many small files, looked at again and again by short programs.
pub struct Git;

impl Workload for Git {
    fn about(&self) -> About {
        super::about(
            "git",
            "git adds, commits, compares and packs a tree of files",
            "git on a tree of 50, 500 or 3000 files of 2 KiB in TMPDIR: add and commit; 2, 12 or 60 changes with a commit each; \
             log, blame, diff and repack",
            &["git"],
        )
    }

    fn run(&self, setting: &Setting, report: &mut Report) -> Result<()> {
        let scratch = setting.scratch()?;
        let dir = scratch.path();
        let files = setting.amount(50, 500, 3000);
        let commits = setting.amount(2, 12, 60);
        let name = |i: usize| dir.join(format!("dir{}/file{i}.txt", i % 20));
        for i in 0..files {
            fs::create_dir_all(name(i).parent().unwrap_or(&dir))?;
            fs::write(name(i), text(2048, i as u64 * 2 + 1))?;
        }
        report.phase("add", || {
            git(&dir, &["init", "-q", "-b", "main"]).run()?;
            git(&dir, &["add", "."]).run()?;
            git(&dir, &["commit", "-q", "-m", "first"]).run()
        })?;
        report.phase("commit", || {
            for commit in 1..=commits {
                for i in (commit..files).step_by(files / 10) {
                    fs::write(name(i), text(2048, (commit * files + i) as u64))?;
                }
                git(&dir, &["commit", "-q", "-a", "-m", &format!("change {commit}")]).run()?;
            }
            Ok(())
        })?;
        let history = report.phase("history", || {
            let mut said = git(&dir, &["log", "--stat", "--format=%H %s"]).run()?;
            said.extend(git(&dir, &["diff", "--no-color", "HEAD~2"]).run()?);
            said.extend(git(&dir, &["blame", "-l", "dir1/file1.txt"]).run()?);
            git(&dir, &["repack", "-a", "-d", "-q"]).run()?;
            said.extend(git(&dir, &["fsck", "--full", "--no-progress"]).run()?);
            said.extend(git(&dir, &["status", "--porcelain"]).run()?);
            Ok(said)
        })?;
        // With the names of all commits in it, which are sums over everything before them.
        report.check_bytes("history", history)
    }
}

fn git(dir: &Path, args: &[&str]) -> Tool {
    let date = "2002-11-26T00:00:00Z";
    tool("git")
        // One thread, and nothing behind our back; no settings but these.
        .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "pack.threads=1", "-c", "index.threads=1"])
        .args(args)
        .within(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "umlab")
        .env("GIT_AUTHOR_EMAIL", "umlab@localhost")
        .env("GIT_COMMITTER_NAME", "umlab")
        .env("GIT_COMMITTER_EMAIL", "umlab@localhost")
        .env("GIT_AUTHOR_DATE", date)
        .env("GIT_COMMITTER_DATE", date)
}
