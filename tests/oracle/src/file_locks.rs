//! Record locks, open file description locks, flock.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    record_between,
    record_ranges,
    record_split_and_merge,
    record_upgrade,
    record_lost_on_close,
    record_not_inherited,
    record_lost_on_exit,
    record_needs_mode,
    record_errors,
    record_setlkw_waits,
    record_setlkw_interrupted,
    record_deadlock,
    record_whence,
    ofd_basics,
    ofd_inherited,
    ofd_errors,
    ofd_against_record,
    flock_basics,
    flock_shared,
    flock_inherited,
    flock_convert,
    flock_waits,
    flock_errors,
    flock_and_record_are_apart,
    lease_errors,
    listed,
    owner_and_signal,
    table_replaced,
];

fn lk(kind: i32, start: i64, len: i64) -> libc::flock {
    let mut l: libc::flock = zeroed();
    l.l_type = kind as i16;
    l.l_whence = SEEK_SET as i16;
    l.l_start = start;
    l.l_len = len;
    l
}

fn set(fd: i32, kind: i32, start: i64, len: i64) -> Ret {
    sc!(SYS_fcntl, fd, F_SETLK, &lk(kind, start, len))
}

/// What stands in the way of this lock: kind, start, length, and whether `holder` holds it.
fn probe(fd: i32, kind: i32, start: i64, len: i64, holder: i32) -> String {
    let mut l = lk(kind, start, len);
    must!(SYS_fcntl, fd, F_GETLK, &mut l);
    let name = match i32::from(l.l_type) {
        F_RDLCK => "read",
        F_WRLCK => "write",
        _ => return "free".to_string(),
    };
    format!("{name} {}+{} held by it: {}", l.l_start, l.l_len, l.l_pid == holder)
}

/// Run `f` in another process and wait for it.
fn other(f: impl FnOnce()) {
    let end = in_child(f);
    if end != "exit 0" {
        println!("other process: {end:?}");
    }
}

fn me() -> i32 {
    sc!(SYS_getpid).fd()
}

fn record_between() {
    let fd = file(c"f", b"0123456789");
    let holder = me();
    v!(set(fd, F_WRLCK, 2, 3));
    other(|| {
        v!(probe(fd, F_WRLCK, 0, 0, holder));
        v!(probe(fd, F_RDLCK, 0, 2, holder));
        v!((set(fd, F_RDLCK, 4, 1), set(fd, F_RDLCK, 5, 1), set(fd, F_WRLCK, 0, 2)));
    });
    v!(set(fd, F_UNLCK, 0, 0));
    other(|| {
        v!(set(fd, F_WRLCK, 0, 0));
    });
}

fn record_ranges() {
    let fd = file(c"f", b"");
    let holder = me();
    v!(set(fd, F_RDLCK, 10, 0));
    other(|| {
        v!(probe(fd, F_WRLCK, 1 << 40, 1, holder));
        v!((set(fd, F_RDLCK, 0, 0), set(fd, F_WRLCK, 9, 1), set(fd, F_WRLCK, 9, 2)));
    });
    v!(set(fd, F_WRLCK, 20, -5));
    other(|| {
        v!(probe(fd, F_RDLCK, 0, 100, holder));
    });
}

fn record_split_and_merge() {
    let fd = file(c"f", b"");
    let holder = me();
    v!(set(fd, F_WRLCK, 0, 100));
    v!(set(fd, F_UNLCK, 40, 20));
    other(|| {
        v!((probe(fd, F_WRLCK, 0, 0, holder), probe(fd, F_WRLCK, 40, 0, holder), probe(fd, F_WRLCK, 40, 20, holder)));
    });
    v!(set(fd, F_WRLCK, 40, 20));
    other(|| {
        v!(probe(fd, F_WRLCK, 50, 1, holder));
    });
    v!(set(fd, F_RDLCK, 10, 10));
    other(|| {
        v!((probe(fd, F_WRLCK, 10, 5, holder), probe(fd, F_WRLCK, 0, 5, holder), probe(fd, F_WRLCK, 30, 5, holder)));
    });
}

fn record_upgrade() {
    let fd = file(c"f", b"");
    v!((set(fd, F_RDLCK, 0, 10), set(fd, F_WRLCK, 0, 10), set(fd, F_RDLCK, 0, 10)));
    let (r, w) = pipe();
    let (r2, w2) = pipe();
    let kid = spawn(|| {
        v!(set(fd, F_RDLCK, 0, 10));
        put(w, b"x");
        get(r2, 1);
    });
    get(r, 1);
    v!(set(fd, F_WRLCK, 0, 10));
    put(w2, b"x");
    reap(kid);
    v!(set(fd, F_WRLCK, 0, 10));
}

fn record_lost_on_close() {
    let fd = file(c"f", b"");
    let again = open(c"f", O_RDONLY);
    v!(set(fd, F_WRLCK, 0, 0));
    other(|| {
        v!(set(fd, F_WRLCK, 0, 0));
    });
    // Closing any descriptor of the file drops all of the process's record locks on it.
    close(again);
    other(|| {
        v!(set(fd, F_WRLCK, 0, 0));
    });
}

fn record_not_inherited() {
    let fd = file(c"f", b"");
    must!(SYS_fcntl, fd, F_SETLK, &lk(F_WRLCK, 0, 0));
    other(|| {
        v!(set(fd, F_RDLCK, 0, 1));
        v!(set(fd, F_UNLCK, 0, 0));
    });
    other(|| {
        v!(set(fd, F_RDLCK, 0, 1));
    });
}

fn record_lost_on_exit() {
    let fd = file(c"f", b"");
    other(|| {
        v!(set(fd, F_WRLCK, 0, 0));
    });
    v!(probe(fd, F_WRLCK, 0, 0, 0));
}

fn record_needs_mode() {
    close(file(c"f", b""));
    let (r, w) = (open(c"f", O_RDONLY), open(c"f", O_WRONLY));
    v!((set(r, F_RDLCK, 0, 0), set(r, F_WRLCK, 0, 0), set(w, F_RDLCK, 0, 0), set(w, F_WRLCK, 0, 0)));
}

fn record_errors() {
    let fd = file(c"f", b"");
    v!((set(fd, 77, 0, 0), set(fd, F_WRLCK, -1, 1), set(fd, F_WRLCK, 0, -1), set(999, F_WRLCK, 0, 0)));
    v!(set(fd, F_WRLCK, i64::MAX, 2));
    let mut bad = lk(F_WRLCK, 0, 0);
    bad.l_whence = 9;
    t!(SYS_fcntl, fd, F_SETLK, &bad);
    let mut unlock = lk(F_UNLCK, 0, 0);
    t!(SYS_fcntl, fd, F_GETLK, &mut unlock);
}

fn record_setlkw_waits() {
    let fd = file(c"f", b"");
    must!(SYS_fcntl, fd, F_SETLK, &lk(F_WRLCK, 0, 0));
    let kid = spawn(|| {
        must!(SYS_fcntl, fd, F_SETLKW, &lk(F_WRLCK, 5, 1));
        exit(7);
    });
    until_sleeping(kid);
    must!(SYS_fcntl, fd, F_SETLK, &lk(F_UNLCK, 0, 5));
    sleep_ms(20);
    v!(state_of(kid));
    must!(SYS_fcntl, fd, F_SETLK, &lk(F_UNLCK, 5, 1));
    v!(reap(kid));
}

fn record_setlkw_interrupted() {
    let fd = file(c"f", b"");
    must!(SYS_fcntl, fd, F_SETLK, &lk(F_WRLCK, 0, 0));
    let kid = spawn(|| {
        catch(SIGUSR1, 0);
        let r = sc!(SYS_fcntl, fd, F_SETLKW, &lk(F_WRLCK, 0, 0));
        v!((r, caught(SIGUSR1)));
    });
    until_sleeping(kid);
    must!(SYS_kill, kid, SIGUSR1);
    v!(reap(kid));
}

fn record_deadlock() {
    let fd = file(c"f", b"");
    must!(SYS_fcntl, fd, F_SETLK, &lk(F_WRLCK, 0, 1));
    let (r, w) = pipe();
    let kid = spawn(|| {
        must!(SYS_fcntl, fd, F_SETLK, &lk(F_WRLCK, 1, 1));
        put(w, b"x");
        exit(if sc!(SYS_fcntl, fd, F_SETLKW, &lk(F_WRLCK, 0, 1)).is_ok() { 3 } else { 4 });
    });
    get(r, 1);
    until_sleeping(kid);
    t!(SYS_fcntl, fd, F_SETLKW, &lk(F_WRLCK, 1, 1));
    must!(SYS_fcntl, fd, F_SETLK, &lk(F_UNLCK, 0, 1));
    v!(reap(kid));
}

fn record_whence() {
    let fd = file(c"f", b"0123456789");
    must!(SYS_lseek, fd, 4, SEEK_SET);
    let holder = me();
    let mut l = lk(F_WRLCK, 1, 2);
    l.l_whence = SEEK_CUR as i16;
    t!(SYS_fcntl, fd, F_SETLK, &l);
    let mut l = lk(F_WRLCK, -1, 1);
    l.l_whence = SEEK_END as i16;
    t!(SYS_fcntl, fd, F_SETLK, &l);
    other(|| {
        v!((probe(fd, F_WRLCK, 0, 8, holder), probe(fd, F_WRLCK, 8, 0, holder)));
    });
}

fn ofd_basics() {
    let a = file(c"f", b"");
    let b = open(c"f", O_RDWR);
    t!(SYS_fcntl, a, F_OFD_SETLK, &lk(F_WRLCK, 0, 10));
    // The same process, another open file: a conflict.
    t!(SYS_fcntl, b, F_OFD_SETLK, &lk(F_WRLCK, 5, 1));
    let mut l = lk(F_RDLCK, 0, 0);
    t!(SYS_fcntl, b, F_OFD_GETLK, &mut l);
    v!((l.l_type == F_WRLCK as i16, l.l_start, l.l_len, l.l_pid));
    t!(SYS_fcntl, a, F_OFD_SETLK, &lk(F_RDLCK, 0, 10));
    t!(SYS_fcntl, b, F_OFD_SETLK, &lk(F_RDLCK, 5, 1));
    close(a);
    t!(SYS_fcntl, b, F_OFD_SETLK, &lk(F_WRLCK, 0, 0));
}

fn ofd_inherited() {
    let a = file(c"f", b"");
    let b = open(c"f", O_RDWR);
    t!(SYS_fcntl, a, F_OFD_SETLK, &lk(F_WRLCK, 0, 0));
    let (r, w) = pipe();
    let kid = spawn(|| {
        get(r, 1);
    });
    close(a);
    // The child's copy keeps the lock.
    t!(SYS_fcntl, b, F_OFD_SETLK, &lk(F_WRLCK, 0, 0));
    put(w, b"x");
    reap(kid);
    t!(SYS_fcntl, b, F_OFD_SETLK, &lk(F_WRLCK, 0, 0));
}

fn ofd_errors() {
    let a = file(c"f", b"");
    let mut l = lk(F_WRLCK, 0, 0);
    l.l_pid = 1;
    t!(SYS_fcntl, a, F_OFD_SETLK, &l);
    t!(SYS_fcntl, open(c"f", O_RDONLY), F_OFD_SETLK, &lk(F_WRLCK, 0, 0));
    t!(SYS_fcntl, a, F_OFD_SETLK, &lk(55, 0, 0));
}

fn ofd_against_record() {
    let a = file(c"f", b"");
    t!(SYS_fcntl, a, F_OFD_SETLK, &lk(F_WRLCK, 0, 10));
    v!((set(a, F_RDLCK, 0, 1), set(a, F_RDLCK, 10, 1)));
    let mut l = lk(F_RDLCK, 0, 0);
    must!(SYS_fcntl, a, F_GETLK, &mut l);
    v!(l.l_pid);
}

fn flock_basics() {
    let a = file(c"f", b"");
    let b = open(c"f", O_RDONLY);
    t!(SYS_flock, a, LOCK_EX);
    t!(SYS_flock, b, LOCK_EX | LOCK_NB);
    t!(SYS_flock, b, LOCK_SH | LOCK_NB);
    t!(SYS_flock, a, LOCK_EX | LOCK_NB);
    t!(SYS_flock, a, LOCK_UN);
    t!(SYS_flock, b, LOCK_EX | LOCK_NB);
    close(b);
    t!(SYS_flock, a, LOCK_EX | LOCK_NB);
}

fn flock_shared() {
    let fds: Vec<i32> = (0..3).map(|_| open(c"f", O_RDWR | O_CREAT)).collect();
    v!(fds.iter().map(|fd| sc!(SYS_flock, *fd, LOCK_SH | LOCK_NB)).collect::<Vec<_>>());
    t!(SYS_flock, fds[0], LOCK_EX | LOCK_NB);
    must!(SYS_flock, fds[1], LOCK_UN);
    must!(SYS_flock, fds[2], LOCK_UN);
    t!(SYS_flock, fds[0], LOCK_EX | LOCK_NB);
}

fn flock_inherited() {
    let a = file(c"f", b"");
    let b = open(c"f", O_RDWR);
    must!(SYS_flock, a, LOCK_EX);
    let dup = must!(SYS_dup, a).fd();
    other(|| {
        v!((sc!(SYS_flock, a, LOCK_EX | LOCK_NB), sc!(SYS_flock, b, LOCK_EX | LOCK_NB)));
    });
    close(a);
    t!(SYS_flock, b, LOCK_EX | LOCK_NB);
    other(|| {
        must!(SYS_flock, dup, LOCK_UN);
    });
    t!(SYS_flock, b, LOCK_EX | LOCK_NB);
}

fn flock_convert() {
    let a = file(c"f", b"");
    let b = open(c"f", O_RDWR);
    must!(SYS_flock, a, LOCK_SH);
    must!(SYS_flock, b, LOCK_SH);
    t!(SYS_flock, a, LOCK_EX | LOCK_NB);
    must!(SYS_flock, b, LOCK_UN);
    t!(SYS_flock, a, LOCK_EX | LOCK_NB);
    t!(SYS_flock, a, LOCK_SH | LOCK_NB);
    t!(SYS_flock, b, LOCK_SH | LOCK_NB);
}

fn flock_waits() {
    let a = file(c"f", b"");
    must!(SYS_flock, a, LOCK_EX);
    let kid = spawn(|| {
        let b = open(c"f", O_RDWR);
        must!(SYS_flock, b, LOCK_EX);
        exit(5);
    });
    until_sleeping(kid);
    must!(SYS_flock, a, LOCK_UN);
    v!(reap(kid));
}

fn flock_errors() {
    let a = file(c"f", b"");
    t!(SYS_flock, a, 0);
    t!(SYS_flock, a, LOCK_SH | LOCK_EX);
    t!(SYS_flock, 999, LOCK_EX);
    t!(SYS_flock, open(c".", O_RDONLY), LOCK_EX);
    t!(SYS_flock, a, LOCK_UN);
}

fn flock_and_record_are_apart() {
    let a = file(c"f", b"");
    must!(SYS_flock, a, LOCK_EX);
    other(|| {
        v!(set(a, F_WRLCK, 0, 0));
    });
}

fn lease_errors() {
    let a = file(c"f", b"");
    t!(SYS_fcntl, a, F_GETLEASE);
    t!(SYS_fcntl, pipe().0, F_SETLEASE, F_RDLCK);
    t!(SYS_fcntl, a, F_SETLEASE, F_RDLCK);
    t!(SYS_fcntl, open(c".", O_RDONLY), F_SETLEASE, F_RDLCK);
}

fn owner_and_signal() {
    let (a, b) = socketpair(SOCK_STREAM);
    t!(SYS_fcntl, a, F_GETOWN);
    t!(SYS_fcntl, a, F_SETOWN, me());
    v!(sc!(SYS_fcntl, a, F_GETOWN).fd() == me());
    t!(SYS_fcntl, a, F_SETOWN, 0x3fff_fff0);
    t!(SYS_fcntl, a, 10, 1000);
    catch(SIGIO, 0);
    t!(SYS_fcntl, a, F_SETFL, O_ASYNC);
    put(b, b"x");
    v!(caught(SIGIO));
}

/// The file's lines in /proc/locks, without number and file, in the order of their text.
fn lines(fd: i32, pids: &[i32]) -> Vec<String> {
    let st = fstat(fd);
    let name = format!("{:02x}:{:02x}:{}", major(st.st_dev), minor(st.st_dev), st.st_ino);
    let text = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let own = text.lines().filter(|line| line.contains(&name));
    let line = |line: &str| {
        let (_, rest) = line.split_once(": ").unwrap_or_default();
        let words = rest.replace(&name, "FILE");
        pids.iter().enumerate().fold(words, |line, (n, pid)| line.replacen(&format!(" {pid} "), &format!(" pid {n} "), 1))
    };
    let mut lines: Vec<String> = own.map(line).collect();
    lines.sort();
    lines
}

fn listed() {
    let me = sc!(SYS_getpid).fd();
    let fd = file(c"f", b"0123456789");
    v!(lines(fd, &[me]));
    // At places that are no process's number.
    set(fd, F_RDLCK, 30_000_000, 0);
    set(fd, F_WRLCK, 20_000_000, 3);
    let other = open(c"f", O_RDWR);
    must!(SYS_flock, other, LOCK_SH);
    let lock = flock { l_type: F_RDLCK as i16, l_whence: 0, l_start: 10_000_000, l_len: 1, l_pid: 0 };
    must!(SYS_fcntl, other, F_OFD_SETLK, &lock);
    v!(lines(fd, &[me]));
    let kid = spawn(|| {
        set(fd, F_RDLCK, 50_000_000, 1);
        sc!(SYS_pause);
    });
    until(|| lines(fd, &[me]).len() > 4);
    v!(lines(fd, &[me, kid]));
    sc!(SYS_kill, kid, SIGKILL);
    reap(kid);
    must!(SYS_flock, other, LOCK_EX);
    set(fd, F_UNLCK, 0, 0);
    v!(lines(fd, &[me]));
    close(other);
    v!(lines(fd, &[me]));
}

/// A table of descriptors ends while a lock is held somewhere, and with it a file that is about the
/// table itself.
fn table_replaced() {
    let fd = file(c"f", b"text");
    t!(SYS_flock, fd, LOCK_EX);
    t!(SYS_fcntl, fd, F_SETLK, &flock { l_type: F_WRLCK as i16, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 });
    for path in [c"/proc/self/fd/0", c"/proc/self/fd", c"/proc/self/status", c"/proc/self/cwd"] {
        let link = must!(SYS_openat, AT_FDCWD, path, O_PATH | O_NOFOLLOW).fd();
        t!(SYS_close_range, 1000, 2000, CLOSE_RANGE_UNSHARE);
        v!(in_child(|| {
            t!(SYS_unshare, CLONE_FILES | CLONE_FS);
            t!(SYS_close_range, link, link, CLOSE_RANGE_UNSHARE);
        }));
        close(link);
    }
}
