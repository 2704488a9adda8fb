//! Record locks, open file description locks, flock, and inotify.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    record_between, record_ranges, record_split_and_merge, record_upgrade, record_lost_on_close, record_not_inherited,
    record_lost_on_exit, record_needs_mode, record_errors, record_setlkw_waits, record_setlkw_interrupted,
    record_deadlock, record_whence, ofd_basics, ofd_inherited, ofd_errors, ofd_against_record, flock_basics,
    flock_shared, flock_inherited, flock_convert, flock_waits, flock_errors, flock_and_record_are_apart,
    watch_create_delete, watch_write_close, watch_moves, watch_self, watch_attrib, watch_mask_and_oneshot,
    watch_remove, watch_errors, watch_merges_equal, watch_short_buffer, watch_directory_of_watched, watch_poll,
    lease_errors, owner_and_signal,
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

// --- inotify ---

struct Watcher {
    fd: i32,
    wds: Vec<i32>,
}

impl Watcher {
    fn new() -> Self {
        Watcher { fd: must!(SYS_inotify_init1, IN_NONBLOCK).fd(), wds: Vec::new() }
    }

    fn add(&mut self, path: &std::ffi::CStr, mask: u32) -> i32 {
        let wd = must!(SYS_inotify_add_watch, self.fd, path, mask).fd();
        self.wds.push(wd);
        wd
    }

    /// Print what has happened since the last time.
    fn show(&self, what: &str) {
        let mut buf = [0u32; 1024];
        let n = sc!(SYS_read, self.fd, &mut buf, 4096);
        let bytes: Vec<u8> = buf.iter().flat_map(|w| w.to_ne_bytes()).take(n.0.max(0) as usize).collect();
        let (mut at, mut out, mut cookies) = (0, Vec::new(), Vec::new());
        while at < bytes.len() {
            let word = |i: usize| u32::from_ne_bytes(bytes[at + i * 4..at + i * 4 + 4].try_into().expect("4 bytes"));
            let (mask, cookie, len) = (word(1), word(2), word(3) as usize);
            let name = bytes[at + 16..at + 16 + len].split(|b| *b == 0).next().unwrap_or_default();
            if cookie != 0 && !cookies.contains(&cookie) {
                cookies.push(cookie);
            }
            let pair = cookies.iter().position(|c| *c == cookie).map(|i| format!("#{i}")).unwrap_or_default();
            let watch = self.wds.iter().position(|wd| *wd == word(0) as i32).unwrap_or(99);
            out.push(format!("{watch}:{}{pair} {}", mask_names(mask), String::from_utf8_lossy(name)).trim_end().to_string());
            at += 16 + len;
        }
        println!("{what}: {out:?}");
    }
}

fn mask_names(mask: u32) -> String {
    let all = [
        (IN_ACCESS, "access"),
        (IN_MODIFY, "modify"),
        (IN_ATTRIB, "attrib"),
        (IN_CLOSE_WRITE, "close_write"),
        (IN_CLOSE_NOWRITE, "close_nowrite"),
        (IN_OPEN, "open"),
        (IN_MOVED_FROM, "moved_from"),
        (IN_MOVED_TO, "moved_to"),
        (IN_CREATE, "create"),
        (IN_DELETE, "delete"),
        (IN_DELETE_SELF, "delete_self"),
        (IN_MOVE_SELF, "move_self"),
        (IN_IGNORED, "ignored"),
        (IN_ISDIR, "isdir"),
        (IN_Q_OVERFLOW, "overflow"),
    ];
    all.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, name)| *name).collect::<Vec<_>>().join("|")
}

fn watch_create_delete() {
    let mut w = Watcher::new();
    w.add(c".", IN_CREATE | IN_DELETE);
    close(file(c"f", b"x"));
    w.show("create");
    must!(SYS_mkdir, c"d", 0o755);
    must!(SYS_symlink, c"x", c"l");
    must!(SYS_link, c"f", c"g");
    must!(SYS_mknod, c"p", S_IFIFO | 0o600, 0);
    w.show("mkdir, symlink, link, mknod");
    for name in [c"f", c"l"] {
        must!(SYS_unlink, name);
    }
    must!(SYS_rmdir, c"d");
    w.show("unlink, rmdir");
    close(open(c"g", O_RDWR | O_CREAT));
    sc!(SYS_unlink, c"absent");
    w.show("nothing");
}

fn watch_write_close() {
    let mut w = Watcher::new();
    w.add(c".", IN_OPEN | IN_ACCESS | IN_MODIFY | IN_CLOSE_WRITE | IN_CLOSE_NOWRITE);
    let fd = open(c"f", O_RDWR | O_CREAT);
    w.show("open");
    put(fd, b"data");
    w.show("write");
    must!(SYS_lseek, fd, 0, SEEK_SET);
    get(fd, 4);
    w.show("read");
    get(fd, 4);
    w.show("read at end");
    must!(SYS_ftruncate, fd, 0);
    w.show("ftruncate");
    close(fd);
    w.show("close");
    close(open(c"f", O_RDONLY));
    w.show("read-only open and close");
}

fn watch_moves() {
    must!(SYS_mkdir, c"a", 0o755);
    must!(SYS_mkdir, c"b", 0o755);
    close(file(c"a/f", b""));
    let mut w = Watcher::new();
    w.add(c"a", IN_MOVE | IN_CREATE | IN_DELETE);
    w.add(c"b", IN_MOVE | IN_CREATE | IN_DELETE);
    must!(SYS_rename, c"a/f", c"a/g");
    w.show("within");
    must!(SYS_rename, c"a/g", c"b/h");
    w.show("across");
    must!(SYS_rename, c"b/h", c"out");
    w.show("out");
    must!(SYS_rename, c"out", c"b/in");
    w.show("in");
    must!(SYS_rename, c"b/in", c"b/in");
    w.show("onto itself");
}

fn watch_self() {
    close(file(c"f", b""));
    let mut w = Watcher::new();
    w.add(c"f", IN_DELETE_SELF | IN_MOVE_SELF | IN_ATTRIB | IN_MODIFY);
    must!(SYS_rename, c"f", c"g");
    w.show("rename");
    must!(SYS_unlink, c"g");
    w.show("unlink");
    must!(SYS_mkdir, c"d", 0o755);
    w.add(c"d", IN_DELETE_SELF);
    must!(SYS_rmdir, c"d");
    w.show("rmdir");
    t!(SYS_inotify_rm_watch, w.fd, w.wds[1]);
}

fn watch_attrib() {
    close(file(c"f", b""));
    let mut w = Watcher::new();
    w.add(c".", IN_ATTRIB);
    must!(SYS_chmod, c"f", 0o600);
    w.show("chmod");
    must!(SYS_utimensat, AT_FDCWD, c"f", 0, 0);
    w.show("utimensat");
    must!(SYS_chown, c"f", sc!(SYS_geteuid).0, -1);
    w.show("chown");
    must!(SYS_chmod, c".", 0o755);
    w.show("chmod of the directory");
}

fn watch_mask_and_oneshot() {
    close(file(c"f", b""));
    let mut w = Watcher::new();
    let wd = w.add(c".", IN_CREATE | IN_ONESHOT);
    close(file(c"a", b""));
    close(file(c"b", b""));
    w.show("oneshot");
    let again = must!(SYS_inotify_add_watch, w.fd, c"f", IN_MODIFY).fd();
    v!(must!(SYS_inotify_add_watch, w.fd, c"f", IN_ATTRIB).fd() == again);
    v!(again != wd);
    w.wds.push(again);
    std::fs::write("f", "x").expect("write");
    w.show("mask replaced");
    must!(SYS_inotify_add_watch, w.fd, c"f", IN_MODIFY | IN_MASK_ADD);
    must!(SYS_chmod, c"f", 0o600);
    std::fs::write("f", "xy").expect("write");
    w.show("mask added");
    t!(SYS_inotify_add_watch, w.fd, c"f", IN_MODIFY | IN_MASK_CREATE);
}

fn watch_remove() {
    let mut w = Watcher::new();
    let wd = w.add(c".", IN_CREATE);
    t!(SYS_inotify_rm_watch, w.fd, wd);
    close(file(c"a", b""));
    w.show("after removal");
    t!(SYS_inotify_rm_watch, w.fd, wd);
    let mut b = [0u8; 64];
    t!(SYS_read, w.fd, &mut b, 64);
}

fn watch_errors() {
    let fd = must!(SYS_inotify_init1, 0).fd();
    close(file(c"f", b""));
    t!(SYS_inotify_init1, 0x1234);
    t!(SYS_inotify_add_watch, fd, c"absent", IN_CREATE);
    t!(SYS_inotify_add_watch, fd, c"f", 0);
    t!(SYS_inotify_add_watch, fd, c"f", IN_CREATE | IN_ONLYDIR);
    t!(SYS_inotify_add_watch, 1, c"f", IN_CREATE);
    t!(SYS_inotify_add_watch, 999, c"f", IN_CREATE);
    t!(SYS_inotify_rm_watch, fd, 12345);
    t!(SYS_inotify_rm_watch, open(c"f", O_RDONLY), 1);
    t!(SYS_write, fd, b"x", 1);
    v!(unprivileged(|| {
        t!(SYS_inotify_add_watch, fd, c"/proc/1/fd", IN_CREATE);
    }));
}

fn watch_merges_equal() {
    let fd = file(c"f", b"");
    let mut w = Watcher::new();
    w.add(c"f", IN_MODIFY);
    for _ in 0..5 {
        put(fd, b"x");
    }
    w.show("five writes");
}

fn watch_short_buffer() {
    let mut w = Watcher::new();
    w.add(c".", IN_CREATE);
    close(file(c"some-name", b""));
    let mut b = [0u8; 128];
    t!(SYS_read, w.fd, &mut b, 8);
    t!(SYS_read, w.fd, &mut b, 20);
    let mut pending = 0i32;
    t!(SYS_ioctl, w.fd, FIONREAD, &mut pending);
    v!(pending);
    t!(SYS_read, w.fd, &mut b, 128);
    t!(SYS_read, w.fd, &mut b, 128);
}

fn watch_directory_of_watched() {
    must!(SYS_mkdir, c"d", 0o755);
    close(file(c"d/f", b""));
    let mut w = Watcher::new();
    w.add(c"d", IN_MODIFY | IN_DELETE);
    w.add(c"d/f", IN_MODIFY);
    let mut fd = open(c"d/f", O_WRONLY);
    put(fd, b"x");
    close(fd);
    w.show("through both");
    must!(SYS_link, c"d/f", c"g");
    fd = open(c"g", O_WRONLY);
    put(fd, b"x");
    w.show("through another name");
}

fn watch_poll() {
    let mut w = Watcher::new();
    w.add(c".", IN_CREATE);
    let mut p = pollfd { fd: w.fd, events: POLLIN, revents: 0 };
    t!(SYS_poll, &mut p, 1, 0);
    close(file(c"f", b""));
    t!(SYS_poll, &mut p, 1, 0);
    v!(p.revents == POLLIN);
    w.show("then");
    t!(SYS_poll, &mut p, 1, 0);
}
