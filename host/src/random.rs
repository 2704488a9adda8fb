//! Randomness from the host.

use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `out` with random bytes.
pub fn fill(out: &mut [u8]) {
    let mut done = 0;
    while done < out.len() {
        // It fails only when interrupted.
        done += getrandom(&mut out[done..], GetRandomFlags::empty()).unwrap_or(0);
    }
}
