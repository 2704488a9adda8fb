//! Timeouts as system calls take them and give them back.

use crate::mm::AddressSpace;
use crate::{Errno, Result, time};

/// A time of seconds and nanoseconds, checked: EINVAL for nanoseconds out of range or a negative
/// time. In nanoseconds; what no clock reaches is the largest number.
pub fn nanoseconds(sec: i64, nsec: i64) -> Result<u64> {
    if sec < 0 || !(0..1_000_000_000).contains(&nsec) {
        return Err(Errno::EINVAL);
    }
    Ok(sec.cast_unsigned().saturating_mul(1_000_000_000).saturating_add(nsec.cast_unsigned()))
}

/// The relative timespec at `addr`; none for a null pointer.
pub fn read_timespec(space: &AddressSpace, addr: u64) -> Result<Option<u64>> {
    if addr == 0 {
        return Ok(None);
    }
    let [sec, nsec] = space.read::<[i64; 2]>(addr)?;
    nanoseconds(sec, nsec).map(Some)
}

/// The relative timeval at `addr`; none for a null pointer. Microseconds may be any number, as for
/// select(2).
pub fn read_timeval(space: &AddressSpace, addr: u64) -> Result<Option<u64>> {
    if addr == 0 {
        return Ok(None);
    }
    let [sec, usec] = space.read::<[i64; 2]>(addr)?;
    let (sec, usec) = (sec.saturating_add(usec / 1_000_000), usec % 1_000_000);
    nanoseconds(sec, usec.saturating_mul(1000)).map(Some)
}

/// When a timeout that begins now ends, on CLOCK_MONOTONIC. One of 0 ends at 0: not to wait at all.
/// None: never.
pub fn deadline(timeout: Option<u64>) -> Option<u64> {
    match timeout {
        Some(0) => Some(0),
        Some(ns) => time::now().checked_add(ns),
        None => None,
    }
}

/// What is left until a deadline.
pub fn left(deadline: u64) -> u64 {
    deadline.saturating_sub(time::now())
}
