//! A workload that is a script: a shell's loop. It needs no program of ours; one of the same name in the workloads' program
//! takes its place.

use crate::catalogue::Entry;
use std::ffi::OsString;

pub const SHELL_LOOP: &str = "shell-loop";

const LOOP: &str = r#"echo '{"begin":"300 x /bin/true"}'
for ((i = 0; i < 300; i++)); do /bin/true || exit; done
echo '{"end":"300 x /bin/true"}'
echo '{"done":true}'"#;

pub fn entry() -> Entry {
    Entry {
        name: SHELL_LOOP.into(),
        group: "fork-exec".into(),
        summary: "bash runs /bin/true 300 times".into(),
        definition: String::new(),
        sizes: Vec::new(),
        host_only: false,
        needs: vec!["bash".into()],
        scripted: true,
    }
}

pub fn argv() -> Vec<OsString> {
    vec!["/bin/bash".into(), "-c".into(), LOOP.into()]
}
