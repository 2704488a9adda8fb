//! What the host told this process at its start.

/// An entry of the auxiliary vector (getauxval(3)), 0 when there is none.
pub fn get(key: u64) -> u64 {
    // SAFETY: a plain number.
    unsafe { libc::getauxval(key) }
}
