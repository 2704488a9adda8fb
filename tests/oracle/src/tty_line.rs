//! Terminals as a line: the pair, its settings, canonical and raw input, echo, output processing, window size.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    pair_opens, locked_until_unlocked, default_settings, settings_errors, window_size, canonical_lines,
    canonical_partial_reads, canonical_no_line_yet, erase_and_kill, word_erase_and_reprint, end_of_file, end_of_line_chars,
    literal_next, echo_off, echo_control, echo_newline_only, raw_mode, min_and_time, min_zero_time_zero, time_only,
    noncanonical_to_canonical, input_translation, output_translation, output_off, upper_limits, flow_control, flush_queues,
    queue_sizes, poll_states, nonblocking, hangup_of_slave, hangup_of_master, reopen_slave, packet_mode, exclusive_mode,
    names_and_stat, pts_directory, drain_and_break, canonical_eof_in_middle, signals_off, null_break, line_too_long, select_ends,
    settings_shared, flush_on_set,
];

/// A new pair: master, slave.
pub fn pair() -> (i32, i32) {
    let master = open(c"/dev/ptmx", O_RDWR | O_NOCTTY);
    must!(SYS_ioctl, master, TIOCSPTLCK, &0i32);
    (master, slave_of(master))
}

pub fn slave_of(master: i32) -> i32 {
    open(&slave_name(master), O_RDWR | O_NOCTTY)
}

pub fn slave_name(master: i32) -> std::ffi::CString {
    let mut n = 0i32;
    must!(SYS_ioctl, master, TIOCGPTN, &mut n);
    c(&format!("/dev/pts/{n}"))
}

/// The kernel's own termios: flags, line discipline, control characters.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Termios {
    pub iflag: u32,
    pub oflag: u32,
    pub cflag: u32,
    pub lflag: u32,
    pub line: u8,
    pub cc: [u8; 19],
}

pub fn settings(fd: i32) -> Termios {
    let mut t = Termios { iflag: 0, oflag: 0, cflag: 0, lflag: 0, line: 0, cc: [0; 19] };
    must!(SYS_ioctl, fd, TCGETS, &mut t);
    t
}

pub fn change(fd: i32, f: impl FnOnce(&mut Termios)) {
    let mut t = settings(fd);
    f(&mut t);
    must!(SYS_ioctl, fd, TCSETS, &t);
}

fn raw_input(fd: i32, min: u8, time: u8) {
    change(fd, |t| {
        t.lflag &= !(ICANON | ECHO);
        t.cc[VMIN] = min;
        t.cc[VTIME] = time;
    });
}

fn quiet(fd: i32) {
    change(fd, |t| t.lflag &= !ECHO);
}

fn nonblock(fd: i32) {
    must!(SYS_fcntl, fd, F_SETFL, O_NONBLOCK);
}

fn pending(fd: i32) -> i32 {
    let mut n = 0i32;
    must!(SYS_ioctl, fd, FIONREAD, &mut n);
    n
}

/// Input and output pass through a work queue of the kernel; wait until it has surely run.
fn settle() {
    sleep_ms(30);
}

/// What arrives, soon.
fn arrives(fd: i32) -> Text {
    let mut p = pollfd { fd, events: POLLIN, revents: 0 };
    sc!(SYS_poll, &mut p, 1, 500);
    settle();
    get(fd, 200)
}

/// Whether nothing comes. Shorter than it could be: that nothing ever comes cannot be seen anyway.
fn nothing(fd: i32) -> bool {
    let mut p = pollfd { fd, events: POLLIN, revents: 0 };
    sc!(SYS_poll, &mut p, 1, 30).0 == 0
}

fn pair_opens() {
    let (m, s) = pair();
    put(m, b"down\n");
    v!(arrives(s));
    v!(arrives(m));
    put(s, b"up\n");
    v!(arrives(m));
    let mut b = Termios { ..settings(s) };
    t!(SYS_ioctl, m, TCGETS, &mut b);
    t!(SYS_lseek, s, 0, SEEK_SET);
    t!(SYS_pread64, s, &mut [0u8; 4], 4, 0);
}

fn locked_until_unlocked() {
    let m = open(c"/dev/ptmx", O_RDWR | O_NOCTTY);
    let name = slave_name(m);
    let mut locked = 0i32;
    t!(SYS_ioctl, m, TIOCGPTLCK, &mut locked);
    v!(locked);
    o!(SYS_openat, AT_FDCWD, name.as_c_str(), O_RDWR | O_NOCTTY);
    t!(SYS_ioctl, m, TIOCSPTLCK, &0i32);
    o!(SYS_openat, AT_FDCWD, name.as_c_str(), O_RDWR | O_NOCTTY);
    t!(SYS_ioctl, slave_of(m), TIOCGPTN, &mut locked);
    o!(SYS_ioctl, m, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    close(m);
    o!(SYS_openat, AT_FDCWD, name.as_c_str(), O_RDWR | O_NOCTTY);
}

fn default_settings() {
    let (_m, s) = pair();
    let t = settings(s);
    println!("i {:o} o {:o} c {:o} l {:o} line {}", t.iflag, t.oflag, t.cflag, t.lflag, t.line);
    println!("{:?}", &t.cc[..17]);
}

fn settings_errors() {
    let f = file(c"f", b"");
    let mut t = [0u8; 64];
    t!(SYS_ioctl, f, TCGETS, &mut t);
    t!(SYS_ioctl, f, TIOCGWINSZ, &mut t);
    t!(SYS_ioctl, f, TIOCGPGRP, &mut t);
    t!(SYS_ioctl, open(c"/dev/null", O_RDWR), TCGETS, &mut t);
    t!(SYS_ioctl, 999, TCGETS, &mut t);
    let (m, s) = pair();
    t!(SYS_ioctl, s, 0x54ff, &mut t);
    t!(SYS_ioctl, m, TIOCSETD, &99i32);
    t!(SYS_ioctl, s, TIOCGSID, &mut t);
}

fn window_size() {
    let (m, s) = pair();
    let mut w = [9u16; 4];
    t!(SYS_ioctl, s, TIOCGWINSZ, &mut w);
    v!(w);
    t!(SYS_ioctl, m, TIOCSWINSZ, &[24u16, 80, 1, 2]);
    t!(SYS_ioctl, s, TIOCGWINSZ, &mut w);
    v!(w);
    t!(SYS_ioctl, s, TIOCSWINSZ, &[50u16, 132, 0, 0]);
    t!(SYS_ioctl, m, TIOCGWINSZ, &mut w);
    v!(w);
}

fn canonical_lines() {
    let (m, s) = pair();
    put(m, b"one\ntwo\n");
    v!((arrives(s), arrives(s)));
    put(m, b"half");
    v!(nothing(s));
    put(m, b" and half\n");
    v!(arrives(s));
}

fn canonical_partial_reads() {
    let (m, s) = pair();
    put(m, b"abcdef\nxy\n");
    until(|| pending(s) == 10);
    v!((get(s, 3), get(s, 10), get(s, 1), get(s, 1), get(s, 9)));
}

fn canonical_no_line_yet() {
    let (m, s) = pair();
    nonblock(s);
    put(m, b"partial");
    settle();
    v!((get(s, 20), pending(s)));
    put(m, b"\n");
    v!((arrives(s), get(s, 20)));
}

fn erase_and_kill() {
    let (m, s) = pair();
    put(m, b"abX\x7fc\n");
    v!((arrives(s), arrives(m)));
    put(m, b"gone\x15kept\n");
    v!((arrives(s), arrives(m)));
    put(m, b"\x7f\x7fx\n");
    v!((arrives(s), arrives(m)));
    change(s, |t| t.lflag &= !(ECHOE | ECHOK | ECHOKE));
    put(m, b"abX\x7fc\n");
    v!((arrives(s), arrives(m)));
}

fn word_erase_and_reprint() {
    let (m, s) = pair();
    put(m, b"two words\x17more\n");
    v!((arrives(s), arrives(m)));
    put(m, b"typed\x12\n");
    v!((arrives(s), arrives(m)));
    change(s, |t| t.lflag &= !IEXTEN);
    put(m, b"a b\x17\n");
    v!(arrives(s));
}

fn end_of_file() {
    let (m, s) = pair();
    put(m, b"\x04");
    v!(arrives(s));
    put(m, b"no newline\x04");
    v!(arrives(s));
    put(m, b"line\n\x04");
    v!((arrives(s), arrives(s)));
}

fn canonical_eof_in_middle() {
    let (m, s) = pair();
    quiet(s);
    put(m, b"ab\x04cd\n");
    settle();
    v!((get(s, 20), get(s, 20)));
}

fn end_of_line_chars() {
    let (m, s) = pair();
    change(s, |t| {
        t.cc[VEOL] = b';';
        t.cc[VEOL2] = b'!';
    });
    put(m, b"a;b!c\n");
    settle();
    v!((get(s, 20), get(s, 20), get(s, 20)));
}

fn literal_next() {
    let (m, s) = pair();
    put(m, b"a\x16\x7fb\x16\x04\n");
    v!((arrives(s), arrives(m)));
}

fn echo_off() {
    let (m, s) = pair();
    quiet(s);
    put(m, b"secret\n");
    v!((arrives(s), nothing(m)));
}

fn echo_control() {
    let (m, s) = pair();
    put(m, b"\x01\x1b\t\n");
    v!((arrives(s), arrives(m)));
    change(s, |t| t.lflag &= !ECHOCTL);
    put(m, b"\x01\n");
    v!((arrives(s), arrives(m)));
}

fn echo_newline_only() {
    let (m, s) = pair();
    change(s, |t| t.lflag = t.lflag & !ECHO | ECHONL);
    put(m, b"x\n");
    v!((arrives(s), arrives(m)));
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

fn revents(fd: i32) -> String {
    let mut p = pollfd { fd, events: POLLIN | POLLOUT | POLLPRI, revents: 0 };
    sc!(SYS_poll, &mut p, 1, 0);
    crate::polls::events(p.revents)
}

fn poll_states() {
    let (m, s) = pair();
    v!((revents(m), revents(s)));
    put(m, b"x");
    settle();
    v!((revents(m), revents(s)));
    put(m, b"\n");
    settle();
    v!(revents(s));
    close(s);
    settle();
    arrives(m);
    v!(revents(m));
}

fn select_ends() {
    let (m, s) = pair();
    close(m);
    v!(revents(s));
    let mut set = [0u64; 16];
    set[s as usize / 64] |= 1 << (s % 64);
    t!(SYS_select, s + 1, &mut set, 0, 0, 0);
}

fn nonblocking() {
    let (m, s) = pair();
    nonblock(m);
    nonblock(s);
    v!((get(m, 1), get(s, 1)));
    put(s, b"x");
    v!((arrives(m), get(m, 1)));
}

fn hangup_of_slave() {
    let (m, s) = pair();
    put(s, b"last words");
    settle();
    close(s);
    v!((get(m, 20), get(m, 20), get(m, 20)));
    t!(SYS_write, m, b"x", 1);
}

fn hangup_of_master() {
    let (m, s) = pair();
    put(m, b"typed\n");
    until(|| pending(s) == 6);
    close(m);
    v!((get(s, 20), get(s, 20)));
    t!(SYS_write, s, b"x", 1);
    t!(SYS_ioctl, s, TCGETS, &mut [0u8; 64]);
    t!(SYS_ioctl, s, TIOCGWINSZ, &mut [0u8; 64]);
}

fn reopen_slave() {
    let (m, s) = pair();
    change(s, |t| t.lflag &= !ECHO);
    close(s);
    v!(get(m, 1));
    let s = slave_of(m);
    v!(settings(s).lflag & ECHO != 0);
    put(s, b"again");
    v!(arrives(m));
    put(m, b"works\n");
    v!(arrives(s));
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

fn names_and_stat() {
    let (m, s) = pair();
    let link = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).expect("link").display().to_string();
    v!((link(s) == slave_name(m).to_str().expect("utf-8"), link(m)));
    let st = fstat(s);
    v!((st.st_mode & S_IFMT == S_IFCHR, libc::major(st.st_rdev), i64::from(st.st_uid) == sc!(SYS_geteuid).0));
    v!((libc::major(fstat(m).st_rdev), libc::minor(fstat(m).st_rdev)));
}

fn pts_directory() {
    let (m, _s) = pair();
    let name = slave_name(m);
    let listed = || {
        let want = name.to_str().expect("utf-8").rsplit('/').next().expect("number").to_string();
        std::fs::read_dir("/dev/pts").expect("pts").any(|e| e.expect("entry").file_name().to_string_lossy() == want)
    };
    v!(listed());
    close(m);
    v!(listed());
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

fn settings_shared() {
    let (m, s) = pair();
    let again = slave_of(m);
    change(again, |t| t.lflag &= !ECHO);
    v!(settings(s).lflag & ECHO);
    change(m, |t| t.lflag |= ECHO);
    v!(settings(s).lflag & ECHO != 0);
    let kid = in_child(|| change(s, |t| t.cc[VERASE] = b'#'));
    v!((kid, settings(again).cc[VERASE] as char));
}
