//! Programs that people use, with work of a few seconds. They are the machine's own, so their
//! results may differ from one machine to another; between the host and its guests they may not.

use crate::{About, Group, Param, Size};
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

pub mod compress;
pub mod git;
pub mod python;
pub mod sqlite;

const SIZES: &[Size] =
    &[Size { name: "smoke", seconds: 0.2 }, Size { name: "quick", seconds: 1.5 }, Size { name: "full", seconds: 12.0 }];

const fn about(
    name: &'static str,
    summary: &'static str,
    definition: &'static str,
    needs: &'static [&'static str],
) -> About {
    const NONE: &[Param] = &[];
    About { name, group: Group::Apps, summary, definition, remark: "", sizes: SIZES, params: NONE, needs }
}

/// A program to run: in a clean environment, with nothing but what it is given.
pub struct Tool {
    command: Command,
    input: Option<Vec<u8>>,
}

pub fn tool(program: impl AsRef<OsStr>) -> Tool {
    let keep = ["PATH", "TMPDIR"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let mut command = Command::new(program);
    command.env_clear().envs(keep).envs([("HOME", "/nonexistent"), ("LC_ALL", "C"), ("TZ", "UTC")]);
    Tool { command, input: None }
}

impl Tool {
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Tool {
        self.command.args(args);
        self
    }

    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Tool {
        self.command.env(key, value);
        self
    }

    pub fn within(mut self, dir: &Path) -> Tool {
        self.command.current_dir(dir);
        self
    }

    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Tool {
        self.input = Some(bytes.into());
        self
    }

    /// Runs it to its end, which must be a good one, and returns what it wrote.
    pub fn run(mut self) -> Result<Vec<u8>> {
        let name = self.command.get_program().to_string_lossy().into_owned();
        let stdin = if self.input.is_some() { Stdio::piped() } else { Stdio::null() };
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().with_context(|| format!("cannot run {name}"))?;
        let stdin = child.stdin.take();
        let input = self.input.unwrap_or_default();
        let output = std::thread::scope(|scope| {
            // Beside the reading of its output, of which a pipe holds only so much. A program may
            // end without reading.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
            child.wait_with_output()
        });
        let output = output.with_context(|| format!("cannot wait for {name}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{name} ended with {}: {}", output.status, said.trim().lines().last().unwrap_or("it said nothing"));
        }
        Ok(output.stdout)
    }
}

/// Text that can be compressed as text can: words by chance, always the same ones. A xorshift
/// generator is enough for that.
pub fn text(bytes: usize, seed: u64) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "the", "kernel", "of", "a", "guest", "page", "fault", "is", "in", "process", "signal", "memory", "to", "and",
        "host", "address",
    ];
    let mut state = seed | 1;
    let mut text = Vec::with_capacity(bytes + 32);
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.extend_from_slice(WORDS[(state % 16) as usize].as_bytes());
        match state >> 8 & 15 {
            0 => text.extend_from_slice(format!(" {:x}\n", state >> 40).as_bytes()),
            1 => text.extend_from_slice(b".\n"),
            _ => text.push(b' '),
        }
    }
    text.truncate(bytes);
    text
}
