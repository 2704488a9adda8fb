//! Mappings that outlive their process: a process maps pages everywhere and ends, and the next ones
//! look whether they find any of them.

use crate::Verdict;
use crate::tools::*;

const MARK: u8 = 0xa7;

/// The places: just above and below everything that a process begins with, at both ends of the
/// address space and some between.
fn places() -> Vec<usize> {
    let mut places = Vec::new();
    let mut around = |at: usize| (0..16).for_each(|i| places.extend([at + i * PAGE, at.wrapping_sub((i + 1) * PAGE)]));
    for (start, end) in listed() {
        around(start);
        around(end);
    }
    around(0x10000);
    around(END);
    (16..47).for_each(|bit| around(1 << bit));
    // As little of the address space may be the guest's as in tt.
    around(0x7000_0000_0000);
    let listed = listed();
    places.retain(|at| *at < END && !listed.iter().any(|(start, end)| (*start..*end).contains(at)));
    places.sort_unstable();
    places.dedup();
    places
}

/// Private pages of a process that has ended, in processes that come after it.
pub fn pages() -> Verdict {
    let places = places();
    for _ in 0..8 {
        let mapper = in_child(|| {
            for &at in &places {
                if map_at(at, PAGE, libc::PROT_READ | libc::PROT_WRITE) {
                    store(at, MARK);
                }
            }
            Ok(())
        });
        verdict_of(mapper)?;
        let looker = in_child(|| {
            for &at in &places {
                if load(at) == Some(MARK) {
                    return Err(format!("an ended process's page is readable at {at:#x}"));
                }
            }
            Ok(())
        });
        verdict_of(looker)?;
    }
    Ok(())
}
