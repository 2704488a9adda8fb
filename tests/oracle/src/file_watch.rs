//! inotify: what is told to whom watches a file or a directory.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    watch_create_delete,
    watch_write_close,
    watch_transfers,
    watch_lost_events,
    watch_moves,
    watch_names_of_watched,
    watch_self,
    watch_attrib,
    watch_attribute_kinds,
    watch_set_ids,
    watch_removed_while_open,
    watch_mask_and_oneshot,
    watch_remove,
    watch_errors,
    watch_merges_equal,
    watch_short_buffer,
    watch_directory_of_watched,
    watch_poll,
    watch_truncating_open,
    watch_program,
];

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

/// Bytes that are moved without a read or a write.
fn watch_transfers() {
    let (from, to, (r, w)) = (file(c"from", b"some data"), file(c"to", b""), pipe());
    let mut watcher = Watcher::new();
    watcher.add(c"from", IN_ALL_EVENTS);
    watcher.add(c"to", IN_ALL_EVENTS);
    t!(SYS_sendfile, to, from, &mut 0i64, 4);
    watcher.show("sendfile");
    t!(SYS_sendfile, to, from, &mut 9i64, 4);
    watcher.show("sendfile at the end");
    t!(SYS_sendfile, w, from, &mut 0i64, 4);
    watcher.show("sendfile to a pipe");
    t!(SYS_splice, from, &mut 0i64, w, 0, 4, 0);
    watcher.show("splice to a pipe");
    t!(SYS_splice, r, 0, to, 0, 8, 0);
    watcher.show("splice from a pipe");
    t!(SYS_splice, from, &mut 9i64, w, 0, 4, 0);
    watcher.show("splice at the end");
    t!(SYS_copy_file_range, from, &mut 0i64, to, 0, 4, 0);
    watcher.show("copy_file_range");
    let mut bytes = [0u8; 8];
    t!(SYS_pread64, from, &mut bytes, 8, 99);
    watcher.show("read at the end");
    t!(SYS_preadv, from, &[bytes.as_mut_ptr() as usize, 8], 1, 99, 0);
    watcher.show("readv at the end");
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

/// A file's own watch hears that it has another number of names; its directory's does not.
fn watch_names_of_watched() {
    close(file(c"a", b""));
    close(file(c"b", b""));
    must!(SYS_symlink, c"nowhere", c"s");
    let mut w = Watcher::new();
    w.add(c".", IN_ALL_EVENTS);
    w.add(c"a", IN_ALL_EVENTS);
    must!(SYS_link, c"a", c"c");
    w.show("link");
    must!(SYS_rename, c"b", c"c");
    w.show("over one of its names");
    must!(SYS_rename, c"s", c"c");
    w.show("a link over a file");
    must!(SYS_link, c"c", c"d");
    must!(SYS_rename, c"d", c"a");
    w.show("over the last one");
    must!(SYS_mkdir, c"e", 0o755);
    must!(SYS_mkdir, c"f", 0o755);
    w.add(c"f", IN_ALL_EVENTS);
    must!(SYS_rename, c"e", c"f");
    w.show("directories");
    t!(SYS_inotify_add_watch, w.fd, c".", 0x40000);
    t!(SYS_inotify_add_watch, w.fd, c".", IN_OPEN | 0x10000);
    t!(SYS_inotify_rm_watch, open(c".", O_PATH), 1);
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

/// Changes of attributes that are events of another kind, or none.
fn watch_attribute_kinds() {
    use crate::file_meta::ts;
    let fd = file(c"f", b"text");
    let mut w = Watcher::new();
    w.add(c".", IN_ALL_EVENTS);
    w.add(c"f", IN_ALL_EVENTS);
    let (some, none) = (ts(1000, 0), ts(0, UTIME_OMIT));
    let times = [[&some, &none], [&none, &some], [&some, &some], [&none, &none]];
    for times in times.map(|times| times.map(|time| [time.tv_sec, time.tv_nsec])) {
        t!(SYS_utimensat, AT_FDCWD, c"f", &times, 0);
        w.show("times");
        t!(SYS_utimensat, fd, 0, &times, 0);
        w.show("times of an open file");
        t!(SYS_utimensat, AT_FDCWD, c".", &times, 0);
        w.show("times of the directory");
    }
    t!(SYS_chown, c"f", -1, -1);
    w.show("no new owner");
    must!(SYS_chmod, c"f", 0o4755);
    w.show("chmod");
    t!(SYS_chown, c"f", -1, -1);
    w.show("no new owner of a set-user-ID file");
    for mode in [0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE] {
        t!(SYS_fallocate, fd, mode, 0, 8);
        w.show("fallocate");
    }
    t!(SYS_truncate, c"f", 8);
    w.show("truncate to the size it had");
    for path in [c"f", c"."] {
        t!(SYS_setxattr, path, c"user.x", b"1", 1, 0);
        w.show("setxattr");
        t!(SYS_getxattr, path, c"user.x", 0, 0);
        t!(SYS_removexattr, path, c"user.x");
        w.show("removexattr");
        t!(SYS_removexattr, path, c"user.x");
    }
    let dir = open(c".", O_RDONLY);
    let mut entries = [0u8; 4096];
    w.show("open the directory");
    v!(sc!(SYS_getdents64, dir, &mut entries, 4096).0 > 0);
    w.show("getdents");
    t!(SYS_getdents64, dir, &mut entries, 4096);
    w.show("getdents at the end");
    must!(SYS_lseek, dir, 0, SEEK_SET);
    t!(SYS_getdents64, dir, &mut entries, 1);
    w.show("getdents without room");
}

/// A program loses its set-user-ID bit when somebody without privileges writes to it.
fn watch_set_ids() {
    close(file(c"source", b"text"));
    must!(SYS_chmod, c".", 0o777);
    v!(unprivileged(|| {
        let fd = file(c"f", b"text");
        let mut w = Watcher::new();
        w.add(c".", IN_ALL_EVENTS);
        let (r, to_pipe) = pipe();
        let source = open(c"source", O_RDONLY);
        for step in 0..7 {
            must!(SYS_fchmod, fd, 0o6777);
            w.show("chmod");
            match step {
                0 => put(fd, b"x"),
                1 => v!(sc!(SYS_ftruncate, fd, 2)),
                2 => v!(sc!(SYS_truncate, c"f", 2)),
                3 => v!(sc!(SYS_fallocate, fd, 0, 0, 8)),
                4 => close(open(c"f", O_WRONLY | O_TRUNC)),
                5 => {
                    put(to_pipe, b"abc");
                    v!(sc!(SYS_splice, r, 0, fd, 0, 3, 0));
                }
                _ => v!(sc!(SYS_copy_file_range, source, &mut 0i64, fd, 0, 3, 0)),
            }
            w.show("write");
        }
    }));
}

/// The watches of a file that is removed while it is open go on until it is closed.
fn watch_removed_while_open() {
    must!(SYS_mkdir, c"d", 0o755);
    for name in [c"f", c"d"] {
        let removal = if name == c"d" { AT_REMOVEDIR } else { 0 };
        if removal == 0 {
            close(file(name, b"text"));
        }
        let mut w = Watcher::new();
        w.add(c".", IN_ALL_EVENTS);
        w.add(name, IN_ALL_EVENTS);
        let fd = open(name, O_RDONLY);
        w.show("open");
        must!(SYS_unlinkat, AT_FDCWD, name, removal);
        w.show("unlink");
        let mut b = [0u8; 4];
        t!(SYS_read, fd, &mut b, 4);
        w.show("read");
        t!(SYS_fchmod, fd, 0o700);
        w.show("chmod");
        close(fd);
        w.show("close");
    }
    // Another name keeps a file, and so does a mapping.
    close(file(c"a", b"text"));
    must!(SYS_link, c"a", c"b");
    let mut w = Watcher::new();
    w.add(c"a", IN_DELETE_SELF | IN_ATTRIB);
    let fd = open(c"a", O_RDONLY);
    let a = must!(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, fd, 0).addr();
    must!(SYS_unlink, c"a");
    w.show("unlink one name");
    close(fd);
    must!(SYS_munmap, a, 4096);
    w.show("close");
    let fd = open(c"b", O_RDONLY);
    let a = must!(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, fd, 0).addr();
    must!(SYS_unlink, c"b");
    w.show("unlink the other");
    close(fd);
    w.show("close");
    must!(SYS_munmap, a, 4096);
    w.show("unmap");
    // What a rename replaces.
    close(file(c"new", b""));
    let fd = file(c"old", b"");
    let mut w = Watcher::new();
    w.add(c"old", IN_ALL_EVENTS & !IN_OPEN);
    must!(SYS_rename, c"new", c"old");
    w.show("rename");
    close(fd);
    w.show("close");
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
    // Options alone are something to watch, and so is what only events have.
    for mask in [IN_ONESHOT, IN_ISDIR, IN_IGNORED, IN_UNMOUNT, IN_Q_OVERFLOW, IN_EXCL_UNLINK, 0x1000, 0x1000_0000] {
        t!(SYS_inotify_add_watch, fd, c"f", mask);
    }
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

/// What could not be copied is gone.
fn watch_lost_events() {
    close(file(c"f", b"text"));
    let mut w = Watcher::new();
    w.add(c"f", IN_OPEN | IN_CLOSE);
    let nowhere = map(PAGE, PROT_NONE, ANON);
    let room = map(PAGE, RW, ANON);
    must!(SYS_fcntl, w.fd, F_SETFL, O_NONBLOCK);
    for _ in 0..3 {
        close(open(c"f", O_RDONLY));
        close(open(c"f", O_WRONLY));
        t!(SYS_read, w.fd, nowhere, 100);
        t!(SYS_read, w.fd, nowhere, 0);
        t!(SYS_read, w.fd, room, 20);
        t!(SYS_read, w.fd, room, 100);
    }
}

fn watch_truncating_open() {
    close(file(c"f", b"text"));
    let mut w = Watcher::new();
    w.add(c"f", IN_ALL_EVENTS);
    close(must!(SYS_openat, AT_FDCWD, c"f", O_WRONLY | O_TRUNC).fd());
    w.show("open and truncate");
}

/// A program is read when it is run.
fn watch_program() {
    std::fs::copy("/proc/self/exe", "program").expect("copy");
    let mut w = Watcher::new();
    w.add(c"program", IN_ALL_EVENTS);
    v!(in_child(|| {
        sc!(SYS_dup2, open(c"/dev/null", O_WRONLY), 1);
        let argv = [c"program".as_ptr() as usize, c"list".as_ptr() as usize, 0];
        t!(SYS_execve, c"./program", &argv, 0);
    }));
    w.show("run");
}
