//! Terminal settings (termios(3)) in the kernel's own layout, which is not the C library's.

use abi::number::Low;
use umlab_host::terminal::{Settings, special_characters};

/// Number of control characters.
pub const CONTROLS: usize = 19;

/// struct termios2, as the kernel's ABI has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Termios {
    pub iflag: u32,
    pub oflag: u32,
    pub cflag: u32,
    pub lflag: u32,
    pub line: u8,
    pub cc: [u8; CONTROLS],
    pub ispeed: u32,
    pub ospeed: u32,
}

/// ECHOPRT and the like have these bits on x86-64; libc does not name them all.
pub const EXTPROC: u32 = 0o200000;

impl Termios {
    /// What a new terminal starts with.
    pub fn initial() -> Termios {
        let mut cc = [0; CONTROLS];
        cc[..17].copy_from_slice(b"\x03\x1c\x7f\x15\x04\0\x01\0\x11\x13\x1a\0\x12\x0f\x17\x16\0");
        Termios {
            iflag: abi::ICRNL | abi::IXON,
            oflag: abi::OPOST | abi::ONLCR,
            cflag: abi::B38400 | abi::CS8 | abi::CREAD,
            lflag: abi::ISIG
                | abi::ICANON
                | abi::ECHO
                | abi::ECHOE
                | abi::ECHOK
                | abi::ECHOCTL
                | abi::ECHOKE
                | abi::IEXTEN,
            line: 0,
            cc,
            ispeed: 38400,
            ospeed: 38400,
        }
    }

    /// The control character `index` (V*), None when it is disabled.
    pub fn control(&self, index: usize) -> Option<u8> {
        self.cc.get(index).copied().filter(|&c| c != 0)
    }

    /// Whether `byte` is the control character `index`.
    pub fn is(&self, index: usize, byte: u8) -> bool {
        self.control(index) == Some(byte)
    }

    pub fn input(&self, flag: u32) -> bool {
        self.iflag & flag != 0
    }

    pub fn output(&self, flag: u32) -> bool {
        self.oflag & flag != 0
    }

    pub fn local(&self, flag: u32) -> bool {
        self.lflag & flag != 0
    }

    pub fn canonical(&self) -> bool {
        self.local(abi::ICANON)
    }

    /// struct termios (TCGETS): without the speeds.
    pub fn to_kernel(self) -> [u8; 36] {
        let mut out = [0; 36];
        for (slot, value) in out.chunks_exact_mut(4).zip([self.iflag, self.oflag, self.cflag, self.lflag]) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        out[16] = self.line;
        out[17..].copy_from_slice(&self.cc);
        out
    }

    /// struct termios2 (TCGETS2).
    pub fn to_kernel2(self) -> [u8; 44] {
        let mut out = [0; 44];
        out[..36].copy_from_slice(&self.to_kernel());
        out[36..40].copy_from_slice(&self.ispeed.to_le_bytes());
        out[40..].copy_from_slice(&self.ospeed.to_le_bytes());
        out
    }

    /// Takes over what a struct termios says; the speeds follow the flags.
    pub fn set_kernel(&mut self, from: &[u8; 36]) {
        let word = |i: usize| u32::from_le_bytes([from[4 * i], from[4 * i + 1], from[4 * i + 2], from[4 * i + 3]]);
        (self.iflag, self.oflag, self.cflag, self.lflag) = (word(0), word(1), word(2), word(3));
        self.line = from[16];
        self.cc.copy_from_slice(&from[17..]);
        if let Some(speed) = speed_of(self.cflag) {
            (self.ispeed, self.ospeed) = (speed, speed);
        }
    }

    /// Takes over what a struct termios2 says.
    pub fn set_kernel2(&mut self, from: &[u8; 44]) {
        let (ispeed, ospeed) = (&from[36..40], &from[40..]);
        let speed = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let mut base = [0; 36];
        base.copy_from_slice(&from[..36]);
        self.set_kernel(&base);
        if self.cflag & abi::CBAUD == abi::BOTHER {
            (self.ispeed, self.ospeed) = (speed(ispeed), speed(ospeed));
        }
    }

    /// The old struct termio (TCGETA): 16-bit flags and eight control characters.
    pub fn to_termio(self) -> [u8; 18] {
        let mut out = [0; 18];
        for (slot, value) in out.chunks_exact_mut(2).zip([self.iflag, self.oflag, self.cflag, self.lflag]) {
            slot.copy_from_slice(&value.low_u16().to_le_bytes());
        }
        out[8] = self.line;
        out[9..17].copy_from_slice(&self.cc[..8]);
        out
    }

    /// Takes over what a struct termio says; the upper halves of the flags stay.
    pub fn set_termio(&mut self, from: &[u8; 18]) {
        let half = |i: usize| u32::from(u16::from_le_bytes([from[2 * i], from[2 * i + 1]]));
        for (i, flag) in [&mut self.iflag, &mut self.oflag, &mut self.cflag, &mut self.lflag].into_iter().enumerate() {
            *flag = *flag & 0xffff_0000 | half(i);
        }
        self.line = from[8];
        self.cc[..8].copy_from_slice(&from[9..17]);
    }

    /// Takes over what a person has set up of another terminal: the editing keys, and whether text
    /// is UTF-8.
    pub fn take_habits(&mut self, from: &Termios) {
        let (min, time) = (self.cc[abi::VMIN], self.cc[abi::VTIME]);
        self.cc = from.cc;
        (self.cc[abi::VMIN], self.cc[abi::VTIME]) = (min, time);
        self.iflag = self.iflag & !abi::IUTF8 | from.iflag & abi::IUTF8;
    }

    /// Of the host's own terminal.
    pub fn of_host(from: &Settings) -> Termios {
        let mut cc = [0; CONTROLS];
        let set = special_characters(from);
        cc[..set.len()].copy_from_slice(&set);
        Termios {
            iflag: from.input_modes.bits(),
            oflag: from.output_modes.bits(),
            cflag: from.control_modes.bits(),
            lflag: from.local_modes.bits(),
            line: from.line_discipline,
            cc,
            ispeed: 38400,
            ospeed: 38400,
        }
    }
}

fn speed_of(cflag: u32) -> Option<u32> {
    const SPEEDS: [u32; 31] = [
        0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400, 57600, 115_200, 230_400,
        460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000,
        3_500_000, 4_000_000,
    ];
    let code = cflag & abi::CBAUD;
    let index = if code & abi::CBAUDEX != 0 { (code & !abi::CBAUDEX) + 15 } else { code };
    if code == abi::BOTHER { None } else { SPEEDS.get(index as usize).copied() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_round_trip() {
        let mut termios = Termios::initial();
        termios.cflag = termios.cflag & !abi::CBAUD | abi::B115200;
        let mut copy = Termios::initial();
        copy.set_kernel2(&termios.to_kernel2());
        assert_eq!((copy.cflag, copy.ospeed), (termios.cflag, 115_200));
        let mut copy = Termios::initial();
        copy.set_termio(&termios.to_termio());
        assert_eq!(copy.lflag, termios.lflag);
    }
}
