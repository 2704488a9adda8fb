use super::*;

struct Typed {
    discipline: Discipline,
    termios: Termios,
    echo: Vec<u8>,
    actions: Vec<Action>,
}

fn terminal(change: impl FnOnce(&mut Termios)) -> Typed {
    let mut termios = Termios::initial();
    change(&mut termios);
    Typed { discipline: Discipline::default(), termios, echo: Vec::new(), actions: Vec::new() }
}

impl Typed {
    fn keys(mut self, keys: &[u8]) -> Typed {
        for &key in keys {
            self.actions.extend(self.discipline.receive(key, &self.termios, false, &mut self.echo));
        }
        self
    }

    fn line(&mut self, max: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; max];
        let n = self.discipline.read_line(&mut IoBuf::kernel_mut(&mut bytes)).unwrap()?;
        bytes.truncate(n);
        Some(bytes)
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.echo).into_owned()
    }
}

#[test]
fn editing() {
    let utf8 = |t: &mut Termios| t.iflag |= abi::IUTF8;
    type Case<'a> = (&'a dyn Fn(&mut Termios), &'a [u8], &'a [u8], &'a str);
    let cases: &[Case] = &[
        (&|_| {}, b"abc\n", b"abc\n", "abc\r\n"),
        (&|_| {}, b"abc\r", b"abc\n", "abc\r\n"),
        (&|_| {}, b"abx\x7fc\n", b"abc\n", "abx\x08 \x08c\r\n"),
        (&|_| {}, b"\x7fa\n", b"a\n", "a\r\n"),
        (&|_| {}, b"one two\x17x\n", b"one x\n", "one two\x08 \x08\x08 \x08\x08 \x08x\r\n"),
        (&|_| {}, b"ab\x15c\n", b"c\n", "ab\x08 \x08\x08 \x08c\r\n"),
        (&|t| t.lflag &= !abi::ECHOKE, b"ab\x15c\n", b"c\n", "ab^U\r\nc\r\n"),
        (&|_| {}, b"\x16\x03\n", b"\x03\n", "^\x08^C\r\n"),
        (&|_| {}, b"a\x01\x7f\n", b"a\n", "a^A\x08 \x08\x08 \x08\r\n"),
        (&|_| {}, b"ab\x12c\n", b"abc\n", "ab^R\r\nabc\r\n"),
        (&|t| t.lflag &= !abi::ECHO, b"ab\x7f\n", b"a\n", ""),
        (&|t| t.lflag = t.lflag & !abi::ECHO | abi::ECHONL, b"ab\n", b"ab\n", "\r\n"),
        (&utf8, "aé\x7f\n".as_bytes(), b"a\n", "aé\x08 \x08\r\n"),
        (&|t| t.lflag |= abi::ECHOPRT, b"ab\x7f\x7fc\n", b"c\n", "ab\\ba/c\r\n"),
        (&|_| {}, b"a\tb\x7f\x7fc\n", b"ac\n", "a\tb\x08 \x08\x08\x08\x08\x08\x08\x08\x08c\r\n"),
        (&|t| t.iflag |= abi::IGNCR, b"a\rb\n", b"ab\n", "ab\r\n"),
        (&|t| t.iflag = t.iflag & !abi::ICRNL | abi::INLCR, b"a\x04", b"a", "a"),
        (&|t| t.cc[abi::VEOL] = b';', b"a;", b"a;", "a;"),
        (&|t| t.iflag |= abi::ISTRIP, b"\xe1\n", b"a\n", "a\r\n"),
        (&|_| {}, b"\x16\n\n", b"\n\n", "^\x08^J\r\n"),
        (&|t| t.lflag &= !abi::ECHOCTL, b"\x01b\x7f\x7f\n", b"\n", "\x01b\x08 \x08\r\n"),
        (&|t| t.lflag &= !abi::ECHOE, b"ab\x7f\n", b"a\n", "ab^?\r\n"),
        (&|t| t.iflag |= abi::IUCLC, b"ABC\n", b"abc\n", "abc\r\n"),
        (&|_| {}, b"a b  \x17c\n", b"a c\n", "a b  \x08 \x08\x08 \x08\x08 \x08c\r\n"),
        (&|t| t.iflag |= abi::PARMRK, b"\xff\n", b"\xff\xff\n", "\u{fffd}\r\n"),
    ];
    for (i, (change, keys, expected, echo)) in cases.iter().enumerate() {
        let mut typed = terminal(change).keys(keys);
        assert_eq!(typed.line(100).as_deref(), Some(*expected), "case {i}");
        assert_eq!(typed.shown(), *echo, "case {i}");
    }
}

#[test]
fn end_of_file() {
    let mut typed = terminal(|_| {}).keys(b"ab\x04\x04");
    assert_eq!(typed.line(100).unwrap(), b"ab");
    assert_eq!(typed.line(100).unwrap(), b"", "end of file");
    assert_eq!(typed.line(100), None);
    let mut typed = terminal(|_| {}).keys(b"ab\x04");
    assert_eq!(typed.line(2).unwrap(), b"ab", "a full buffer");
    assert_eq!(typed.line(2), None, "takes the end with it");
}

#[test]
fn a_line_is_read_in_parts() {
    let mut typed = terminal(|_| {}).keys(b"hello\nworld\n");
    assert_eq!(typed.discipline.count(&typed.termios), 12);
    assert_eq!(typed.line(3).unwrap(), b"hel");
    assert_eq!(typed.line(100).unwrap(), b"lo\n");
    assert_eq!(typed.line(100).unwrap(), b"world\n");
}

#[test]
fn signals_flush() {
    let mut typed = terminal(|_| {}).keys(b"abc\x03");
    assert_eq!(typed.actions, [Action::Signal { signal: abi::SIGINT, flush: true }]);
    assert_eq!(typed.shown(), "^C");
    assert_eq!(typed.line(10), None);
    let mut typed = terminal(|t| t.lflag |= abi::NOFLSH).keys(b"abc\x1a\n");
    assert_eq!(typed.actions, [Action::Signal { signal: abi::SIGTSTP, flush: false }]);
    assert_eq!(typed.line(10).unwrap(), b"abc\n");
}

#[test]
fn flow_control() {
    let typed = terminal(|_| {}).keys(b"\x13\x11");
    assert_eq!(typed.actions, [Action::Stop, Action::Start]);
    assert!(typed.echo.is_empty());
}

#[test]
fn raw_mode_takes_everything() {
    let mut typed = terminal(|t| {
        t.lflag &= !(abi::ICANON | abi::ISIG | abi::ECHO);
        t.iflag = 0;
    })
    .keys(b"a\x03\x04\r\x7f\x13");
    let mut bytes = [0; 16];
    let n = typed.discipline.read_raw(&mut IoBuf::kernel_mut(&mut bytes)).unwrap();
    assert_eq!(&bytes[..n], b"a\x03\x04\r\x7f\x13");
    assert!(typed.actions.is_empty());
}

#[test]
fn too_long_a_line_keeps_its_end() {
    let mut typed = terminal(|t| t.lflag &= !abi::ECHO).keys(&[b'x'; 5000]).keys(b"\n");
    let line = typed.line(10_000).unwrap();
    assert_eq!((line.len(), line.last()), (4096, Some(&b'\n')));
}

#[test]
fn changing_the_mode() {
    let mut typed = terminal(|t| t.lflag &= !abi::ICANON).keys(b"ab");
    typed.termios.lflag |= abi::ICANON;
    typed.discipline.mode_changed(true);
    assert_eq!(typed.line(10).unwrap(), b"ab");
    let mut typed = terminal(|_| {}).keys(b"ab");
    assert!(!typed.discipline.readable(&typed.termios, 1));
    typed.termios.lflag &= !abi::ICANON;
    typed.discipline.mode_changed(false);
    assert!(typed.discipline.readable(&typed.termios, 2));
}
