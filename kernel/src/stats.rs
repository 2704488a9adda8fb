//! What the core counts, for `--stats` and reports.

use crate::lock::KCell;
use abi::number::to_usize;
use std::collections::BTreeMap;

/// System calls by number, and those that the core does not have.
struct Counts {
    calls: [u64; 512],
    missing: BTreeMap<u64, u64>,
    faults: u64,
    refused_faults: u64,
}

static COUNTS: KCell<Counts> =
    KCell::new(Counts { calls: [0; 512], missing: BTreeMap::new(), faults: 0, refused_faults: 0 });

/// One more system call.
pub fn count_call(number: u64) {
    if let Some(count) = COUNTS.borrow_mut().calls.get_mut(to_usize(number)) {
        *count += 1;
    }
}

/// One more system call that there is no handler for.
pub fn count_missing(number: u64) {
    let mut counts = COUNTS.borrow_mut();
    // A guest must not fill the core's memory with numbers it makes up.
    if counts.missing.len() < 1024 || counts.missing.contains_key(&number) {
        *counts.missing.entry(number).or_default() += 1;
    }
}

/// One more fault that came to the core; `refused`: a signal came of it.
pub fn count_fault(refused: bool) {
    let mut counts = COUNTS.borrow_mut();
    counts.faults += 1;
    counts.refused_faults += u64::from(refused);
}

/// All counts by name.
pub struct Snapshot {
    pub counters: Vec<(String, u64)>,
    pub calls: Vec<(String, u64)>,
    pub missing: Vec<(String, u64)>,
}

/// A system call's name, or its number when it has none.
pub fn name_of(number: u64) -> String {
    match syscalls::Sysno::new(to_usize(number)) {
        Some(call) => call.name().to_string(),
        None => format!("syscall_{number:#x}"),
    }
}

pub fn snapshot() -> Snapshot {
    let counts = COUNTS.borrow();
    let calls = counts.calls.iter().enumerate().filter(|(_, n)| **n > 0);
    Snapshot {
        counters: vec![
            ("page_faults".into(), counts.faults),
            ("page_faults_refused".into(), counts.refused_faults),
            ("memory_in_use_bytes".into(), crate::mm::frames::used()),
            ("lock_held_longest_ns".into(), crate::lock::longest_hold()),
        ],
        calls: calls.map(|(number, n)| (name_of(number as u64), *n)).collect(),
        missing: counts.missing.iter().map(|(number, n)| (name_of(*number), *n)).collect(),
    }
}
