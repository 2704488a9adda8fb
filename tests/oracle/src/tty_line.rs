//! Terminals as a line: the pair, its settings, canonical input and its editing, echo, hangup.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    pair_opens,
    locked_until_unlocked,
    default_settings,
    settings_errors,
    window_size,
    canonical_lines,
    canonical_partial_reads,
    canonical_no_line_yet,
    erase_and_kill,
    word_erase_and_reprint,
    end_of_file,
    end_of_line_chars,
    literal_next,
    echo_off,
    echo_control,
    echo_newline_only,
    poll_states,
    hangup_of_slave,
    hangup_of_master,
    reopen_slave,
    names_and_stat,
    pts_directory,
    canonical_eof_in_middle,
    select_ends,
    settings_shared,
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

pub fn quiet(fd: i32) {
    change(fd, |t| t.lflag &= !ECHO);
}

pub fn nonblock(fd: i32) {
    must!(SYS_fcntl, fd, F_SETFL, O_NONBLOCK);
}

pub fn pending(fd: i32) -> i32 {
    let mut n = 0i32;
    must!(SYS_ioctl, fd, FIONREAD, &mut n);
    n
}

/// Input and output pass through a work queue of the kernel; wait until it has surely run.
pub fn settle() {
    sleep_ms(30);
}

/// What arrives, soon.
pub fn arrives(fd: i32) -> Text {
    let mut p = pollfd { fd, events: POLLIN, revents: 0 };
    sc!(SYS_poll, &mut p, 1, 500);
    settle();
    get(fd, 200)
}

/// Whether nothing comes. Shorter than it could be: that nothing ever comes cannot be seen anyway.
pub fn nothing(fd: i32) -> bool {
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

pub fn revents(fd: i32) -> String {
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
