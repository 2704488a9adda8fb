//! Workloads that are a script: the kernel build, which runs the host's own make and compiler, and a shell's loop. They need
//! no program of ours. A workload of the same name in the workloads' program takes their place.

use crate::catalogue::Entry;
use std::ffi::OsString;
use std::path::Path;

pub const KERNEL_BUILD: &str = "kernel-build";
pub const SHELL_LOOP: &str = "shell-loop";

/// Turns the lines of scripts/kernel-build into a workload's: its phases, and one check over all sums of results.
const BUILD: &str = r#"set -o pipefail
"$@" | {
    sums=
    while IFS= read -r line; do
        case $line in
            '@begin '*) echo "{\"begin\":\"${line#* }\"}" ;;
            '@end '*) echo "{\"end\":\"${line#* }\"}" ;;
            *) sums+=$line$'\n' ;;
        esac
    done
    [ -n "$sums" ] && sums=$(sha256sum <<<"$sums") && echo "{\"check\":\"results\",\"value\":\"${sums%% *}\"}"
} && echo '{"done":true}'"#;

const LOOP: &str = r#"echo '{"begin":"300 x /bin/true"}'
for ((i = 0; i < 300; i++)); do /bin/true || exit; done
echo '{"end":"300 x /bin/true"}'
echo '{"done":true}'"#;

pub fn entries(root: Option<&Path>) -> Vec<Entry> {
    let entry = |name: &str, group: &str, summary: &str, sizes: &[&str], needs: &[&str]| Entry {
        name: name.into(),
        group: group.into(),
        summary: summary.into(),
        sizes: sizes.iter().map(|s| s.to_string()).collect(),
        host_only: false,
        needs: needs.iter().map(|s| s.to_string()).collect(),
        scripted: true,
    };
    let mut entries = Vec::new();
    if root.is_some() {
        let summary = "Linux, tinyconfig, built out of tree into memory with the host's compiler";
        entries.push(entry(KERNEL_BUILD, "kernel-build", summary, &["smoke", "quick", "full"], &["bash", "sha256sum"]));
    }
    entries.push(entry(SHELL_LOOP, "fork-exec", "bash runs /bin/true 300 times", &[], &["bash"]));
    entries
}

pub fn argv(root: Option<&Path>, name: &str, size: &str, jobs: u32, tree: Option<&str>, work: &Path) -> Vec<OsString> {
    let mut argv: Vec<OsString> = vec!["/bin/bash".into(), "-c".into()];
    if name == SHELL_LOOP {
        argv.push(LOOP.into());
        return argv;
    }
    let size = match size {
        "smoke" => "init",
        "full" => "full",
        _ => "lib",
    };
    let script = root.unwrap_or(Path::new("")).join("scripts/kernel-build");
    argv.extend([BUILD.into(), "kernel-build".into(), script.into(), size.into(), tree.unwrap_or_default().into()]);
    argv.extend([work.join("out").into(), jobs.to_string().into()]);
    argv
}
