//! What is typed at a terminal, and what its ioctls point to.

use super::Maker;
use super::structures::{data, field, int, mostly};
use crate::program::{Value, Who};

/// Lines, and characters that a terminal acts on.
pub fn typed(maker: &mut Maker) -> Value {
    const TEXTS: &[&[u8]] = &[
        b"a line\n",
        b"one\ntwo\n\n",
        b"\x04",
        b"ab\x04",
        b"\x03",
        b"\x1a",
        b"\x1c",
        b"word word\x17\n",
        b"gone\x15\n",
        b"\x16\x03\n",
        b"\x13",
        b"\x11",
        b"abc\x7f\x7f\x7f\x7f",
        b"\tx\x08\x12",
        b"\r\n\x0f",
        b"\xc3\xa9\x7f\xff\n",
        b"\0\n",
    ];
    let text = maker.pick(TEXTS);
    let mut fields: Vec<_> = text.iter().map(|&byte| int(1, byte.into())).collect();
    fields.extend((text.len()..24).map(|_| int(1, b'x'.into())));
    data(maker, fields)
}

/// A termios as the kernel has it: four words of flags, the discipline, the characters; speeds, of
/// which termios2 has two.
pub fn terminal_settings(maker: &mut Maker) -> Value {
    let mut flags = |usual: u64, bits: &[u64]| {
        let n = maker.below(3);
        int(4, (0..n).fold(usual, |all, _| all ^ maker.pick(bits)))
    };
    let input = flags(0x500, &[2, 4, 0x10, 0x20, 0x40, 0x80, 0x100, 0x400, 0x800, 0x2000, 0x4000]);
    let output = flags(5, &[1, 2, 4, 8, 0x10, 0x20, 0x1800]);
    let control = flags(0xbf, &[0x10, 0x30, 0x80, 0x100f, 0x1000, 0x4000_0000]);
    let local = flags(0x8a3b, &[1, 2, 8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 0x800, 0x8000, 0x10000]);
    let mut fields = vec![input, output, control, local, int(1, 0)];
    const CHARACTERS: [u64; 19] = [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0];
    for usual in CHARACTERS {
        let other = maker.pick(&[0, 1, 10, b'a'.into(), 255]);
        fields.push(int(1, if maker.one_in(12) { other } else { usual }));
    }
    fields.extend([mostly(maker, 4, 38400), mostly(maker, 4, 38400)]);
    data(maker, fields)
}

pub fn process_number(maker: &mut Maker) -> Value {
    let who = maker.pick(&[Who::Own, Who::Own, Who::Other, Who::Child, Who::Init]);
    data(maker, vec![field(4, Value::Who(who))])
}

/// A window's size, or a character, or a switch.
pub fn window(maker: &mut Maker) -> Value {
    let fields = (0..4).map(|_| mostly(maker, 2, 1)).collect();
    data(maker, fields)
}

pub fn multiplexer(maker: &mut Maker) -> Value {
    Value::Text(maker.pick(&["/dev/ptmx", "/dev/ptmx", "/dev/pts/ptmx"]).into())
}
