//! What is left when the harness is killed: nothing.
//!
//! A sample's first process ends with the harness, but a build has children of its own, and the
//! scratch folders are gigabytes of memory. So a small process waits beside us for our end, which
//! it sees as the end of a pipe, whatever ended us. Then it ends what was running and removes the
//! folders. After a run that came to its end there is nothing left for it to do.

use anyhow::{Context, Result};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Reads process groups, a line each; the last one is what runs.
const SCRIPT: &str = "while read -r group; do running=$group; done; [ -z \"$running\" ] || kill -s KILL -- \"-$running\" 2>/dev/null; \
                      sleep 0.2; rm -rf -- \"$@\"";

pub struct Keeper {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Keeper {
    /// Which removes these folders.
    pub fn start(folders: &[&Path]) -> Result<Keeper> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "umlab-bench-keeper"]).args(folders);
        // A group of its own: Ctrl-C is not for it.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.current_dir("/").spawn().context("cannot start /bin/sh")?;
        Ok(Keeper { pipe: process.stdin.take(), process })
    }

    /// This process group runs.
    pub fn runs(&mut self, group: u32) {
        self.tell(&format!("{group}\n"));
    }

    /// Nothing runs.
    pub fn rests(&mut self) {
        self.tell("\n");
    }

    fn tell(&mut self, line: &str) {
        // If it was killed, nobody watches; that is no reason not to measure.
        if self.pipe.as_mut().is_some_and(|pipe| pipe.write_all(line.as_bytes()).is_err()) {
            self.pipe = None;
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = self.process.wait();
    }
}
