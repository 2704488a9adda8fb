//! Places in a signal frame, and values for them.

use super::Maker;
use super::numbers::odd_number;
use crate::program::{Region, Value};

/// Where a place's number begins: words of the context, bytes of the extended state.
pub const STATE: u64 = 0x1000;

/// Words of struct ucontext, and beyond it of siginfo; or four bytes of the extended state.
pub fn place(maker: &mut Maker) -> Value {
    // By preference the program counter, the stack, flags, selectors, the pointer to the state; and
    // the state's own headers: MXCSR, the software's part with its sizes, and the header of XSAVE.
    const WORDS: &[u64] = &[0, 1, 2, 3, 4, 20, 21, 21, 22, 22, 23, 23, 24, 25, 26, 27, 28, 36, 37];
    const STATES: &[u64] =
        &[0, 2, 4, 24, 28, 464, 468, 472, 476, 480, 484, 488, 512, 516, 520, 524, 528, 536, 568, 576, 832];
    Value::Int(match maker.below(8) {
        0..4 => maker.pick(WORDS),
        4 => maker.below(60),
        5 => STATE + maker.below(2700),
        _ => STATE + maker.pick(STATES),
    })
}

pub fn value(maker: &mut Maker) -> Value {
    // Selectors of every kind of code and stack, flags one by one, feature bits, magic numbers.
    const SELECTORS: &[u64] = &[
        0x33,
        0x2b,
        0x23,
        0x10,
        0x08,
        0,
        3,
        0x63,
        0xffff,
        0x002b_0000_0000_0033,
        0x0000_0000_0000_0033,
        0x002b_0000_0000_0023,
    ];
    const STATES: &[u64] =
        &[0x1f80, 0xffff_ffff, 0x4650_5853, 0x4650_5845, 1, 2, 3, 7, 0xe7, 0x207, 1 << 62, 1 << 63, 832, 2696, 576];
    match maker.below(8) {
        0 => Value::Int(1 << maker.below(64)),
        1 => Value::Int(maker.pick(SELECTORS)),
        2 | 3 => Value::Int(maker.pick(STATES)),
        4 => maker.memory(),
        5 => {
            let region = maker.pick(&[Region::Writable, Region::Hole, Region::ReadOnly, Region::Top]);
            Value::At(region, -(maker.below(50) as i64 * 64))
        }
        _ => Value::Int(odd_number(maker)),
    }
}
