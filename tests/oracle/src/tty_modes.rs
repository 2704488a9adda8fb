//! Terminals besides the canonical line: raw input, translations, queues, flow control, packets.

use crate::tty_line::{change, pair, settings, slave_name, settle, arrives, nothing, pending, quiet, nonblock, revents};
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    raw_mode,
    min_and_time,
    min_zero_time_zero,
    time_only,
    noncanonical_to_canonical,
    input_translation,
    output_translation,
    output_off,
    upper_limits,
    flow_control,
    flush_queues,
    flush_either_end,
    flush_tells_packets,
    queue_sizes,
    nonblocking,
    packet_mode,
    exclusive_mode,
    drain_and_break,
    signals_off,
    null_break,
    line_too_long,
    flush_on_set,
];

fn raw_input(fd: i32, min: u8, time: u8) {
    change(fd, |t| {
        t.lflag &= !(ICANON | ECHO);
        t.cc[VMIN] = min;
        t.cc[VTIME] = time;
    });
}

fn raw_mode() {
    let (m, s) = pair();
    change(s, |t| {
        t.iflag &= !(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
        t.oflag &= !OPOST;
        t.lflag &= !(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
        t.cc[VMIN] = 1;
        t.cc[VTIME] = 0;
    });
    put(m, b"\x03\x04\x7f\r\n\x11\x00\xff");
    settle();
    v!((get(s, 20), nothing(m)));
    put(s, b"out\n\x00\xff");
    v!(arrives(m));
}

fn min_and_time() {
    let (m, s) = pair();
    raw_input(s, 4, 0);
    put(m, b"ab");
    let kid = spawn(|| {
        v!(get(s, 10));
    });
    until_sleeping(kid);
    put(m, b"cde");
    v!(reap(kid));
    raw_input(s, 10, 1);
    put(m, b"xy");
    // The timer between characters ends the read with what there is.
    v!(get(s, 20));
}

fn min_zero_time_zero() {
    let (m, s) = pair();
    raw_input(s, 0, 0);
    v!(get(s, 10));
    put(m, b"x");
    v!((arrives(s), get(s, 10)));
}

fn time_only() {
    let (m, s) = pair();
    raw_input(s, 0, 1);
    let start = std::time::Instant::now();
    v!(get(s, 10));
    v!(start.elapsed().as_millis() >= 90);
    put(m, b"y");
    v!(arrives(s));
}

fn noncanonical_to_canonical() {
    let (m, s) = pair();
    raw_input(s, 1, 0);
    put(m, b"abc");
    until(|| pending(s) == 3);
    v!(get(s, 2));
    change(s, |t| t.lflag |= ICANON);
    put(m, b"de\n");
    v!(arrives(s));
}

fn input_translation() {
    let (m, s) = pair();
    quiet(s);
    put(m, b"cr\r");
    v!(arrives(s));
    change(s, |t| t.iflag = t.iflag & !ICRNL | INLCR);
    put(m, b"nl\ncr\r");
    v!(nothing(s));
    change(s, |t| t.iflag = IGNCR);
    put(m, b"x\ry\n");
    settle();
    v!(arrives(s));
    change(s, |t| t.iflag = IUCLC);
    put(m, b"UPPER\n");
    v!(arrives(s));
    change(s, |t| t.iflag = ISTRIP);
    put(m, b"\xe1\n");
    v!(arrives(s));
}

fn output_translation() {
    let (m, s) = pair();
    put(s, b"a\nb\n");
    v!(arrives(m));
    change(s, |t| t.oflag = OPOST | OCRNL);
    put(s, b"a\rb\n");
    v!(arrives(m));
    change(s, |t| t.oflag = OPOST | OLCUC);
    put(s, b"lower\n");
    v!(arrives(m));
    change(s, |t| t.oflag = OPOST | XTABS);
    put(s, b"a\tb\tc");
    v!(arrives(m));
    change(s, |t| t.oflag = OPOST | ONOCR);
    put(s, b"\r");
    v!(arrives(m));
}

fn output_off() {
    let (m, s) = pair();
    change(s, |t| t.oflag &= !OPOST);
    put(s, b"a\nb\r\tc");
    v!(arrives(m));
}

fn upper_limits() {
    let (m, s) = pair();
    quiet(s);
    nonblock(s);
    let n = sc!(SYS_write, s, &[b'x'; 100_000], 100_000);
    v!((n.0 > 1000, n.0 < 100_000));
    let mut total = 0;
    while total < n.0 {
        total += must!(SYS_read, m, &mut [0u8; 8192], 8192).0;
    }
    v!(total == n.0);
}

fn line_too_long() {
    let (m, s) = pair();
    quiet(s);
    put(m, &[b'a'; 3000]);
    put(m, b"\n");
    let mut b = [0u8; 8192];
    t!(SYS_read, s, &mut b, 8192);
}

fn flow_control() {
    let (m, s) = pair();
    put(m, b"\x13");
    settle();
    nonblock(s);
    t!(SYS_write, s, b"held", 4);
    v!(nothing(m));
    put(m, b"\x11");
    settle();
    t!(SYS_write, s, b"free", 4);
    v!(arrives(m));
    t!(SYS_ioctl, s, TCXONC, TCOOFF);
    t!(SYS_write, s, b"x", 1);
    t!(SYS_ioctl, s, TCXONC, TCOON);
    t!(SYS_write, s, b"x", 1);
    t!(SYS_ioctl, s, TCXONC, 9);
}

fn flush_queues() {
    let (m, s) = pair();
    quiet(s);
    put(m, b"lost\n");
    until(|| pending(s) == 5);
    t!(SYS_ioctl, s, TCFLSH, TCIFLUSH);
    v!((pending(s), nothing(s)));
    t!(SYS_ioctl, s, TCFLSH, TCOFLUSH);
    t!(SYS_ioctl, s, TCFLSH, TCIOFLUSH);
    t!(SYS_ioctl, s, TCFLSH, 7);
}

fn flush_either_end() {
    for (end, what) in [(0, TCIFLUSH), (0, TCOFLUSH), (0, TCIOFLUSH), (1, TCIFLUSH), (1, TCOFLUSH), (1, TCIOFLUSH)] {
        let (m, s) = pair();
        quiet(s);
        put(m, b"in\n");
        put(s, b"out");
        until(|| pending(s) == 3 && pending(m) == 3);
        t!(SYS_ioctl, if end == 0 { s } else { m }, TCFLSH, what);
        println!("{end} {what}: {} {}", pending(s), pending(m));
        close(s);
        close(m);
    }
}

fn flush_tells_packets() {
    for (end, what) in [(0, TCIFLUSH), (0, TCOFLUSH), (1, TCIFLUSH), (1, TCOFLUSH)] {
        let (m, s) = pair();
        must!(SYS_ioctl, m, TIOCPKT, &1i32);
        must!(SYS_fcntl, m, F_SETFL, O_NONBLOCK);
        t!(SYS_ioctl, if end == 0 { s } else { m }, TCFLSH, what);
        v!(get(m, 10));
    }
}

fn flush_on_set() {
    let (m, s) = pair();
    quiet(s);
    put(m, b"typed ahead\n");
    until(|| pending(s) == 12);
    let t = settings(s);
    t!(SYS_ioctl, s, TCSETS, &t);
    v!(pending(s));
    t!(SYS_ioctl, s, TCSETSF, &t);
    v!(pending(s));
}

fn queue_sizes() {
    let (m, s) = pair();
    quiet(s);
    put(m, b"ab\ncd");
    settle();
    v!(pending(s));
    put(m, b"\n");
    until(|| pending(s) == 6);
    put(s, b"out\n");
    settle();
    v!(pending(m));
    let mut n = 9i32;
    t!(SYS_ioctl, s, TIOCOUTQ, &mut n);
    get(m, 10);
    t!(SYS_ioctl, s, TIOCOUTQ, &mut n);
    v!(n);
}

fn nonblocking() {
    let (m, s) = pair();
    nonblock(m);
    nonblock(s);
    v!((get(m, 1), get(s, 1)));
    put(s, b"x");
    v!((arrives(m), get(m, 1)));
}

fn packet_mode() {
    let (m, s) = pair();
    quiet(s);
    t!(SYS_ioctl, m, TIOCPKT, &1i32);
    put(s, b"data");
    v!(arrives(m));
    t!(SYS_ioctl, s, TCFLSH, TCIFLUSH);
    v!((revents(m), get(m, 10)));
    t!(SYS_ioctl, m, TIOCPKT, &0i32);
    put(s, b"plain");
    v!(arrives(m));
    t!(SYS_ioctl, s, TIOCPKT, &1i32);
}

fn exclusive_mode() {
    let (m, s) = pair();
    t!(SYS_ioctl, s, TIOCEXCL, 0);
    v!(unprivileged(|| {
        v!(sc!(SYS_openat, AT_FDCWD, slave_name(m).as_c_str(), O_RDWR | O_NOCTTY).is_ok());
    }));
    t!(SYS_ioctl, s, TIOCNXCL, 0);
    o!(SYS_openat, AT_FDCWD, slave_name(m).as_c_str(), O_RDWR | O_NOCTTY);
}

fn drain_and_break() {
    let (_m, s) = pair();
    t!(SYS_ioctl, s, TCSBRK, 1);
    t!(SYS_ioctl, s, TCSBRK, 0);
    t!(SYS_fsync, s);
    t!(SYS_ioctl, s, TCSETSW, &settings(s));
}

fn signals_off() {
    let (m, s) = pair();
    change(s, |t| t.lflag &= !ISIG);
    put(m, b"\x03\x1a\x1c\n");
    v!((arrives(s), arrives(m)));
}

fn null_break() {
    let (m, s) = pair();
    change(s, |t| t.iflag |= PARMRK);
    quiet(s);
    put(m, b"\xff\n");
    v!(arrives(s));
    change(s, |t| t.cc[VINTR] = 0);
    put(m, b"\x00x\n");
    v!(arrives(s));
}
