//! Numbers at which code is wrong more often than elsewhere.

use super::Maker;

/// Borders of pages, of the address space, of integers.
pub fn odd_number(maker: &mut Maker) -> u64 {
    const BORDERS: &[u64] = &[
        0,
        0x1000,
        1 << 16,
        1 << 20,
        1 << 31,
        1 << 32,
        1 << 40,
        // Where user memory ends, by whose reckoning ever, and the gap of addresses that are none.
        0x7fff_0000_0000,
        0x7fff_ffff_e000,
        0x7fff_ffff_f000,
        1 << 47,
        1 << 56,
        1 << 63,
        0xffff_8000_0000_0000,
        0xffff_ffff_ff60_0000,
        0xffff_ffff_ffff_f000,
    ];
    let border = maker.pick(BORDERS);
    match maker.below(6) {
        0 => border.wrapping_sub(1),
        1 => border.wrapping_add(1),
        2 => border.wrapping_sub(0x1000),
        3 => 1 << maker.below(64),
        _ => border,
    }
}
