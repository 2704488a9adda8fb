//! Inputs as lists of small numbers and strings. All of an input is used from its beginning; what
//! is missing at its end is zero.

pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// A number of `count` bytes, little-endian.
    pub fn number(&mut self, count: usize) -> u64 {
        self.bytes(count).iter().rev().fold(0, |number, &byte| number << 8 | byte as u64)
    }

    /// What comes before the next byte `end`, which is taken too.
    pub fn until(&mut self, end: u8) -> &'a [u8] {
        let len = self.0.iter().position(|&byte| byte == end).unwrap_or(self.0.len());
        let taken = self.bytes(len);
        self.bytes(1);
        taken
    }
}
