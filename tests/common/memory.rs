//! How much of the host's memory a guest takes.

use super::members;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// Looks again and again at what the processes of a session take, and keeps the most it saw.
///
/// That is: the memory objects that they hold (the guest's memory and the core's heap, mapped or
/// not), their memory of other kinds, each page in proportion to who shares it, and their page
/// tables.
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
                seen.fetch_max(umlab_fuzzer::memory::of(members(session).into_iter().map(|(pid, _)| pid)), Relaxed);
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
