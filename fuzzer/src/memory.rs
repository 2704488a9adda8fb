//! How much of the host's memory processes have.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Bytes that the processes take now: those of their own with their page tables, and the memory
/// objects (memfd_create(2)) they have open. Processes that end meanwhile count for nothing.
///
/// Objects count by what they hold and not by who maps them: tasks that share an address space are
/// processes of their own to the host (tt), and each would count all that is mapped there.
pub fn of(pids: impl IntoIterator<Item = i32>) -> u64 {
    let mut objects = BTreeMap::new();
    let mut bytes = 0;
    for pid in pids {
        let field = |file: &str, name: &str| -> u64 {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        bytes += field("smaps_rollup", "Pss_Anon:") + field("smaps_rollup", "Pss_File:") + field("status", "VmPTE:");
        for fd in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let is_object = fs::read_link(fd.path()).is_ok_and(|name| name.to_string_lossy().starts_with("/memfd:"));
            if let (true, Ok(meta)) = (is_object, fs::metadata(fd.path())) {
                objects.insert(meta.ino(), meta.blocks() * 512);
            }
        }
    }
    bytes + objects.values().sum::<u64>()
}
