//! What is kept of an answer, so that two kernels' can be compared.

use crate::board::Board;
use umlab_fuzzer::grammar::Seen;
use umlab_fuzzer::program::Step;

/// FNV-1a, by words.
pub struct Hash(u64);

impl Hash {
    pub fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    pub fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
    }

    pub fn value(&self) -> u64 {
        self.0
    }
}

/// `outs`: what each argument's room holds, None for one that has none.
pub fn note(board: &Board, index: usize, step: &Step, result: i64, outs: &[Option<&[u8]>; 6]) {
    let failed = (-4095..0).contains(&result);
    let value = match step.call.seen {
        Seen::Leave => return,
        Seen::Success if !failed => 0,
        _ => result,
    };
    let mut hash = Hash::new();
    let part = match step.call.seen {
        Seen::Written => 0..usize::MAX,
        Seen::Part(at, len) if !failed => at as usize..(at + len) as usize,
        _ => 0..0,
    };
    for bytes in outs.iter().copied().flatten() {
        for &byte in &bytes[part.start.min(bytes.len())..part.end.min(bytes.len())] {
            hash.add(byte.into());
        }
    }
    board.answer(index, value as u64, hash.value());
}
