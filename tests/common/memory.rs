//! How much of the host's memory a guest takes.

use super::members;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// Looks again and again at what the processes of a session take, and keeps the most it saw.
///
/// That is: the memory objects that they hold (the guest's memory and the core's heap, mapped or not), their memory of other kinds, each page
/// in proportion to who shares it, and their page tables.
pub struct Meter {
    peak: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Meter {
    pub fn start(session: u32) -> Meter {
        let (peak, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, stop) = (peak.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            while !stop.load(Relaxed) {
                seen.fetch_max(taken(session), Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Meter { peak, over, thread }
    }

    /// The most that was seen, in bytes.
    pub fn stop(self) -> u64 {
        self.over.store(true, Relaxed);
        self.thread.join().expect("the meter does not fail");
        self.peak.load(Relaxed)
    }
}

/// Bytes that a session's processes take now. Processes that end meanwhile count for nothing.
fn taken(session: u32) -> u64 {
    let mut objects = BTreeMap::new();
    let mut bytes = 0;
    for (pid, _) in members(session) {
        let field = |file: &str, name: &str| -> u64 {
            let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        bytes += field("smaps_rollup", "Pss_Anon:") + field("smaps_rollup", "Pss_File:") + field("status", "VmPTE:");
        for fd in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let is_object =
                std::fs::read_link(fd.path()).is_ok_and(|name| name.to_string_lossy().starts_with("/memfd:"));
            if let (true, Ok(meta)) = (is_object, std::fs::metadata(fd.path())) {
                objects.insert(meta.ino(), meta.blocks() * 512);
            }
        }
    }
    bytes + objects.values().sum::<u64>()
}
