//! Output processing (c_oflag), and the cursor column it needs to know.

use super::termios::Termios;

/// Where the cursor stands on its line, as far as the output tells.
#[derive(Default)]
pub struct Column(usize);

impl Column {
    pub fn get(&self) -> usize {
        self.0
    }

    /// The cursor went back `n` columns by backspaces that were put out as they are.
    pub fn back(&mut self, n: usize) {
        self.0 = self.0.saturating_sub(n);
    }

    /// The cursor advanced by characters that were put out as they are.
    pub fn forward(&mut self, n: usize) {
        self.0 += n;
    }

    /// Puts one byte out, processed as the settings say.
    pub fn put(&mut self, byte: u8, termios: &Termios, out: &mut Vec<u8>) {
        if !termios.output(abi::OPOST) {
            out.push(byte);
            return;
        }
        match byte {
            b'\n' => {
                if termios.output(abi::ONLRET) {
                    self.0 = 0;
                }
                if termios.output(abi::ONLCR) {
                    self.0 = 0;
                    out.push(b'\r');
                }
                out.push(b'\n');
            }
            b'\r' => {
                if termios.output(abi::ONOCR) && self.0 == 0 {
                    return;
                }
                if termios.output(abi::OCRNL) {
                    if termios.output(abi::ONLRET) {
                        self.0 = 0;
                    }
                    out.push(b'\n');
                    return;
                }
                self.0 = 0;
                out.push(b'\r');
            }
            b'\t' => {
                let spaces = 8 - self.0 % 8;
                self.0 += spaces;
                if termios.oflag & abi::TABDLY == abi::XTABS {
                    out.extend(std::iter::repeat_n(b' ', spaces));
                } else {
                    out.push(b'\t');
                }
            }
            0x08 => {
                self.back(1);
                out.push(byte);
            }
            _ => {
                let byte = if termios.output(abi::OLCUC) { byte.to_ascii_uppercase() } else { byte };
                let continuation = termios.input(abi::IUTF8) && byte & 0xc0 == 0x80;
                if !byte.is_ascii_control() && !continuation {
                    self.0 += 1;
                }
                out.push(byte);
            }
        }
    }

    /// Puts many bytes out.
    pub fn write(&mut self, bytes: &[u8], termios: &Termios, out: &mut Vec<u8>) {
        if !termios.output(abi::OPOST) {
            out.extend_from_slice(bytes);
            return;
        }
        out.reserve(bytes.len() + 16);
        for &byte in bytes {
            self.put(byte, termios, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags() {
        let cases: &[(u32, &[u8], &[u8])] = &[
            (abi::OPOST | abi::ONLCR, b"a\nb", b"a\r\nb"),
            (abi::OPOST, b"a\nb", b"a\nb"),
            (0, b"a\n\tb", b"a\n\tb"),
            (abi::OPOST | abi::OCRNL, b"a\rb", b"a\nb"),
            (abi::OPOST | abi::ONOCR, b"\ra\r", b"a\r"),
            (abi::OPOST | abi::XTABS, b"ab\tc", b"ab      c"),
            (abi::OPOST | abi::OLCUC, b"aZ1", b"AZ1"),
        ];
        for &(oflag, input, expected) in cases {
            let termios = Termios { oflag, ..Termios::initial() };
            let mut out = Vec::new();
            Column::default().write(input, &termios, &mut out);
            assert_eq!(out, expected, "{oflag:o}");
        }
    }
}
