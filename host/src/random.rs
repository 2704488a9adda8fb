//! Randomness from the host.

/// Fills `out` with random bytes.
pub fn fill(out: &mut [u8]) {
    let mut done = 0;
    while done < out.len() {
        // SAFETY: the rest of the slice is valid for writing its length.
        let n = unsafe { libc::getrandom(out[done..].as_mut_ptr().cast(), out.len() - done, 0) };
        // It fails only when interrupted.
        done += n.max(0) as usize;
    }
}
