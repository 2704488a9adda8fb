//! What the CPU's own state may hold.

use std::arch::x86_64::_fxsave;

/// The bits of MXCSR that the CPU has; it refuses the others.
pub fn mxcsr_mask() -> u32 {
    /// Where FXSAVE stores the mask, and the one that a CPU has which stores none (Intel SDM,
    /// volume 1, 11.6.6).
    const AT: usize = 28;
    const WITHOUT: u32 = 0xffbf;
    #[repr(align(16))]
    struct Image([u8; 512]);
    let mut image = Image([0; 512]);
    // SAFETY: every x86-64 CPU has FXSAVE; it writes 512 bytes at an address that is a multiple of
    // 16.
    unsafe { _fxsave(image.0.as_mut_ptr()) };
    match u32::from_le_bytes(image.0[AT..AT + 4].try_into().expect("four bytes")) {
        0 => WITHOUT,
        mask => mask,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_exception_and_rounding_mode_is_there() {
        let mask = super::mxcsr_mask();
        assert_eq!(mask & 0xffbf, 0xffbf);
        assert_eq!(mask >> 18, 0);
    }
}
