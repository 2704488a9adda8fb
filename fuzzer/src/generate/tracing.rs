//! Who is traced, and what is changed in it.

use super::Maker;
use super::frames;
use super::structures::{data, field};
use crate::program::{Value, Who};

/// Bytes of `struct user`, and of the registers at its beginning.
const USER: u64 = 928;
const WORDS_OF_REGISTERS: u64 = 27;

/// Never the guest's first process: what is stopped cannot watch the others.
pub fn tracee(maker: &mut Maker) -> Value {
    Value::Who(maker.pick(&[
        Who::Other,
        Who::Other,
        Who::Other,
        Who::Child,
        Who::Child,
        Who::Child,
        Who::Thread,
        Who::Own,
    ]))
}

/// An address in the tracee, a place in its `struct user`, or the length of what is asked for.
pub fn place(maker: &mut Maker) -> Value {
    match maker.below(4) {
        0 => Value::Int(8),
        1 => maker.memory(),
        2 => Value::Int(maker.below(WORDS_OF_REGISTERS) * 8),
        _ => Value::Int(maker.below(USER / 8 + 2) * 8),
    }
}

/// A number, or registers.
pub fn change(maker: &mut Maker) -> Value {
    match maker.below(4) {
        0 => maker.memory(),
        1 => {
            let fields = (0..WORDS_OF_REGISTERS).map(|_| field(8, frames::value(maker))).collect();
            data(maker, fields)
        }
        _ => frames::value(maker),
    }
}
