//! Time: the clocks as the core reads them, and lengths of time as guests give them.

use crate::{Errno, Result};
use umlab_abi::time::Timespec;
use umlab_abi::time::Timeval;
use umlab_host::clock;

/// Nanoseconds of CLOCK_MONOTONIC. Deadlines are counted in these.
pub fn now() -> u64 {
    clock::monotonic()
}

/// Nanoseconds since 1970.
pub fn realtime() -> u64 {
    clock::realtime()
}

/// One of the host's clocks (clock_gettime(2)).
pub fn read_clock(id: i32) -> u64 {
    match id {
        abi::CLOCK_MONOTONIC => now(),
        abi::CLOCK_REALTIME => realtime(),
        _ => clock::get(id),
    }
}

/// Nanoseconds of a length of time or a point in time that a guest gave; more than can be counted
/// is cut. EINVAL for nonsense.
pub fn duration(t: &Timespec) -> Result<u64> {
    if t.tv_sec < 0 || !(0..NS_PER_SEC.cast_signed()).contains(&t.tv_nsec) {
        return Err(Errno::EINVAL);
    }
    Ok(t.tv_sec.cast_unsigned().saturating_mul(NS_PER_SEC).saturating_add(t.tv_nsec.cast_unsigned()))
}

/// As `duration`, in microseconds as timeval has them.
pub fn duration_of_timeval(t: &Timeval) -> Result<u64> {
    if t.tv_sec < 0 || !(0..1_000_000).contains(&t.tv_usec) {
        return Err(Errno::EINVAL);
    }
    Ok(t.tv_sec.cast_unsigned().saturating_mul(NS_PER_SEC).saturating_add(t.tv_usec.cast_unsigned() * 1000))
}

pub fn timespec(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / NS_PER_SEC).cast_signed(), tv_nsec: (ns % NS_PER_SEC).cast_signed() }
}

/// Parts of a microsecond are cut.
pub fn timeval(ns: u64) -> Timeval {
    Timeval { tv_sec: (ns / NS_PER_SEC).cast_signed(), tv_usec: (ns % NS_PER_SEC / 1000).cast_signed() }
}

pub const NS_PER_SEC: u64 = 1_000_000_000;
