//! What a file is besides its content: kind, mode, owner, links, times, attributes.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    stat_kinds,
    stat_errors,
    statx_fields,
    statx_errors,
    statx_matches_stat,
    chmod_bits,
    chmod_errors,
    chown_root,
    chown_clears_setid,
    write_clears_setid,
    other_writes_clear_setid,
    utimens_exact,
    utimens_now_omit,
    utimens_errors,
    utimens_symlink,
    utime_old,
    times_by_write,
    times_by_metadata,
    times_by_directory,
    times_of_mmap,
    nlink_of_directories,
    mknod_kinds,
    statfs_shape, ustat_shape,
    xattr_user,
    xattr_errors,
    symlink_mode,
    blocks_and_blksize,
    dev_and_ino_relations,
];

fn kind(mode: u32) -> &'static str {
    match mode & S_IFMT {
        S_IFREG => "file",
        S_IFDIR => "directory",
        S_IFLNK => "symlink",
        S_IFIFO => "fifo",
        S_IFCHR => "character device",
        S_IFBLK => "block device",
        S_IFSOCK => "socket",
        _ => "?",
    }
}

fn describe(st: &libc::stat) -> String {
    format!("{} {:04o} links {} size {}", kind(st.st_mode), st.st_mode & 0o7777, st.st_nlink, st.st_size)
}

fn stat_kinds() {
    close(file(c"f", b"12345"));
    must!(SYS_linkat, AT_FDCWD, c"f", AT_FDCWD, c"hard", 0);
    must!(SYS_symlinkat, c"target", AT_FDCWD, c"l");
    must!(SYS_mknodat, AT_FDCWD, c"p", S_IFIFO | 0o640, 0);
    crate::sock::listener(b"s", SOCK_STREAM);
    for path in [c"f", c"hard", c"l", c"p"] {
        println!("{path:?}: {}", describe(&stat(path)));
    }
    v!((kind(stat(c"s").st_mode), kind(stat(c".").st_mode), kind(stat(c"/dev/null").st_mode)));
    let (r, _) = pipe();
    let (s, _) = socketpair(SOCK_STREAM);
    v!((kind(fstat(r).st_mode), kind(fstat(s).st_mode), fstat(r).st_size));
    let null = stat(c"/dev/null");
    v!((libc::major(null.st_rdev), libc::minor(null.st_rdev), null.st_mode & 0o777));
}

fn stat_errors() {
    close(file(c"f", b""));
    must!(SYS_symlinkat, c"gone", AT_FDCWD, c"l");
    let mut st: libc::stat = zeroed();
    t!(SYS_stat, c"absent", &mut st);
    t!(SYS_stat, c"f/x", &mut st);
    t!(SYS_stat, c"f/", &mut st);
    t!(SYS_lstat, c"f/", &mut st);
    t!(SYS_stat, c"l", &mut st);
    t!(SYS_lstat, c"l", &mut st);
    t!(SYS_lstat, c"l/", &mut st);
    t!(SYS_fstat, 999, &mut st);
    t!(SYS_newfstatat, AT_FDCWD, c"f", &mut st, 0x10000);
    t!(SYS_newfstatat, 999, c"f", &mut st, 0);
    t!(SYS_newfstatat, 1, c"f", &mut st, 0);
    t!(SYS_newfstatat, AT_FDCWD, c"f", &mut st, AT_NO_AUTOMOUNT);
}

fn statx(path: &std::ffi::CStr, flags: i32, mask: u32) -> libc::statx {
    let mut stx: libc::statx = zeroed();
    must!(SYS_statx, AT_FDCWD, path, flags, mask, &mut stx);
    stx
}

fn statx_fields() {
    close(file(c"f", b"12345"));
    let x = statx(c"f", 0, STATX_BASIC_STATS);
    v!((x.stx_mask & STATX_BASIC_STATS == STATX_BASIC_STATS, x.stx_size, x.stx_nlink, x.stx_mode));
    v!((x.stx_uid == sc!(SYS_geteuid).0 as u32, x.stx_blksize > 0));
    let x = statx(c"f", AT_STATX_FORCE_SYNC, STATX_SIZE);
    v!((x.stx_mask & STATX_SIZE != 0, x.stx_size));
    must!(SYS_symlinkat, c"f", AT_FDCWD, c"l");
    v!((kind(statx(c"l", 0, STATX_TYPE).stx_mode.into()), kind(statx(c"l", AT_SYMLINK_NOFOLLOW, STATX_TYPE).stx_mode.into())));
}

fn statx_errors() {
    let mut x: libc::statx = zeroed();
    t!(SYS_statx, AT_FDCWD, c"absent", 0, STATX_SIZE, &mut x);
    t!(SYS_statx, AT_FDCWD, c".", 0x40_0000, STATX_SIZE, &mut x);
    t!(SYS_statx, AT_FDCWD, c".", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_SIZE, &mut x);
    t!(SYS_statx, AT_FDCWD, c".", 0, 0x8000_0000u32, &mut x);
    t!(SYS_statx, AT_FDCWD, c"", 0, STATX_SIZE, &mut x);
    t!(SYS_statx, AT_FDCWD, c"", AT_EMPTY_PATH, STATX_SIZE, &mut x);
    t!(SYS_statx, 999, c"", AT_EMPTY_PATH, STATX_SIZE, &mut x);
    t!(SYS_statx, 999, c"rel", 0, STATX_SIZE, &mut x);
}

fn statx_matches_stat() {
    close(file(c"f", b"abc"));
    for path in [c"f", c".", c"/dev/null", c"/etc/passwd"] {
        let (s, x) = (stat(path), statx(path, 0, STATX_BASIC_STATS));
        v!((s.st_ino == x.stx_ino, s.st_size as u64 == x.stx_size, s.st_nlink == u64::from(x.stx_nlink)));
        v!((s.st_mtime == x.stx_mtime.tv_sec, s.st_mtime_nsec == i64::from(x.stx_mtime.tv_nsec)));
        v!((libc::major(s.st_dev) == x.stx_dev_major, libc::minor(s.st_rdev) == x.stx_rdev_minor));
    }
}

fn chmod_bits() {
    let fd = file(c"f", b"");
    for mode in [0o777, 0, 0o4755, 0o2755, 0o1644, 0o17777, 0o100_644] {
        must!(SYS_fchmodat, AT_FDCWD, c"f", mode);
        println!("{mode:o} -> {:o}", stat(c"f").st_mode);
    }
    t!(SYS_fchmod, fd, 0o600);
    must!(SYS_symlinkat, c"f", AT_FDCWD, c"l");
    t!(SYS_chmod, c"l", 0o640);
    println!("{:o}", stat(c"f").st_mode);
}

fn chmod_errors() {
    t!(SYS_chmod, c"absent", 0o600);
    must!(SYS_symlinkat, c"gone", AT_FDCWD, c"l");
    t!(SYS_chmod, c"l", 0o600);
    t!(SYS_fchmod, 999, 0o600);
    let (r, _) = pipe();
    t!(SYS_fchmod, r, 0o400);
    println!("{:o}", fstat(r).st_mode);
    v!(unprivileged(|| {
        t!(SYS_chmod, c"/etc/passwd", 0o666);
    }));
}

fn chown_root() {
    if !is_root() {
        println!("skipped");
        return;
    }
    let fd = file(c"f", b"");
    let ids = || (stat(c"f").st_uid, stat(c"f").st_gid);
    t!(SYS_chown, c"f", 1000, 2000);
    v!(ids());
    t!(SYS_chown, c"f", -1, 5);
    v!(ids());
    t!(SYS_fchown, fd, 7, -1);
    v!(ids());
    must!(SYS_symlinkat, c"f", AT_FDCWD, c"l");
    t!(SYS_lchown, c"l", 42, 42);
    v!((ids(), stat(c"l").st_uid));
    t!(SYS_fchownat, AT_FDCWD, c"l", 9, 9, 0);
    v!(ids());
    t!(SYS_fchownat, fd, c"", 10, 10, AT_EMPTY_PATH);
    v!(ids());
    t!(SYS_fchownat, AT_FDCWD, c"f", 0, 0, 0x4000);
}

fn chown_clears_setid() {
    close(file(c"f", b""));
    must!(SYS_chmod, c"f", 0o6755);
    t!(SYS_chown, c"f", sc!(SYS_geteuid).0, sc!(SYS_getegid).0);
    println!("{:o}", stat(c"f").st_mode);
    must!(SYS_chmod, c"f", 0o2644);
    t!(SYS_chown, c"f", -1, sc!(SYS_getegid).0);
    println!("{:o}", stat(c"f").st_mode);
    must!(SYS_mkdir, c"d", 0o755);
    must!(SYS_chmod, c"d", 0o6755);
    t!(SYS_chown, c"d", sc!(SYS_geteuid).0, -1);
    println!("{:o}", stat(c"d").st_mode);
}

fn write_clears_setid() {
    must!(SYS_chmod, c".", 0o777);
    v!(unprivileged(|| {
        let fd = file(c"f", b"abc");
        must!(SYS_fchmod, fd, 0o6755);
        put(fd, b"x");
        println!("written: {:o}", stat(c"f").st_mode);
        must!(SYS_fchmod, fd, 0o4755);
        must!(SYS_ftruncate, fd, 0);
        println!("truncated: {:o}", stat(c"f").st_mode);
        must!(SYS_fchmod, fd, 0o2644);
        put(fd, b"x");
        println!("setgid without exec: {:o}", stat(c"f").st_mode);
    }));
}

/// Other ways to write than write(2), and files whose group the writer is not in.
fn other_writes_clear_setid() {
    must!(SYS_chmod, c".", 0o777);
    close(file(c"theirs", b"abc"));
    let writes: [(&str, fn(i32) -> Ret); 7] = [
        ("pwrite", |fd| t!(SYS_pwrite64, fd, b"x", 1, 1)),
        ("ftruncate", |fd| t!(SYS_ftruncate, fd, 2)),
        ("fallocate", |fd| t!(SYS_fallocate, fd, 0, 0, 8)),
        ("punch a hole", |fd| t!(SYS_fallocate, fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 8)),
        ("splice", |fd| {
            let (r, w) = pipe();
            put(w, b"abc");
            t!(SYS_splice, r, 0, fd, 0, 3, 0)
        }),
        ("sendfile", |fd| t!(SYS_sendfile, fd, file(c"source", b"abc"), &mut 0i64, 3)),
        ("copy_file_range", |fd| t!(SYS_copy_file_range, file(c"source", b"abc"), &mut 0i64, fd, 0, 3, 0)),
    ];
    for (name, write) in writes {
        for (path, mode) in [(c"own", 0o6775), (c"own", 0o2664), (c"theirs", 0o6777), (c"theirs", 0o2666)] {
            close(must!(SYS_openat, AT_FDCWD, path, O_CREAT | O_RDWR, 0o666).fd());
            must!(SYS_chmod, path, mode);
            if path == c"own" && is_root() {
                must!(SYS_chown, path, 65534, 65534);
                must!(SYS_chmod, path, mode);
            }
            v!(unprivileged(|| {
                write(open(path, O_RDWR));
            }));
            println!("{name}: {path:?} {mode:o} -> {:o}", stat(path).st_mode);
        }
    }
    for mode in [0o6777, 0o2666] {
        must!(SYS_chmod, c"theirs", mode);
        v!(unprivileged(|| {
            t!(SYS_truncate, c"theirs", 1);
        }));
        println!("truncate: {:o}", stat(c"theirs").st_mode);
        must!(SYS_chmod, c"theirs", mode);
        v!(unprivileged(|| close(open(c"theirs", O_WRONLY | O_TRUNC))));
        println!("open: {:o}", stat(c"theirs").st_mode);
    }
}

pub fn ts(sec: i64, nsec: i64) -> timespec {
    timespec { tv_sec: sec, tv_nsec: nsec }
}

fn times(path: &std::ffi::CStr) -> [(i64, i64); 2] {
    let st = stat(path);
    [(st.st_atime, st.st_atime_nsec), (st.st_mtime, st.st_mtime_nsec)]
}

fn utimens_exact() {
    let fd = file(c"f", b"");
    t!(SYS_utimensat, AT_FDCWD, c"f", &[ts(1, 2), ts(1_000_000_000, 999_999_999)], 0);
    v!(times(c"f"));
    t!(SYS_utimensat, fd, 0, &[ts(0, 0), ts(2_000_000_000, 123_456_789)], 0);
    v!(times(c"f"));
    t!(SYS_utimensat, AT_FDCWD, c".", &[ts(5, 6), ts(7, 8)], 0);
    v!(times(c"."));
}

fn utimens_now_omit() {
    close(file(c"f", b""));
    must!(SYS_utimensat, AT_FDCWD, c"f", &[ts(1, 2), ts(3, 4)], 0);
    t!(SYS_utimensat, AT_FDCWD, c"f", &[ts(77, UTIME_OMIT), ts(9, 10)], 0);
    v!(times(c"f"));
    t!(SYS_utimensat, AT_FDCWD, c"f", &[ts(0, UTIME_NOW), ts(0, UTIME_OMIT)], 0);
    v!((times(c"f")[0].0 > 1_500_000_000, times(c"f")[1]));
    must!(SYS_utimensat, AT_FDCWD, c"f", &[ts(1, 2), ts(3, 4)], 0);
    t!(SYS_utimensat, AT_FDCWD, c"f", 0, 0);
    let now = times(c"f");
    v!((now[0] == now[1], now[0].0 > 1_500_000_000));
    t!(SYS_utimensat, AT_FDCWD, c"absent", &[ts(0, UTIME_OMIT), ts(0, UTIME_OMIT)], 0);
}

fn utimens_errors() {
    close(file(c"f", b""));
    t!(SYS_utimensat, AT_FDCWD, c"f", &[ts(0, 1_000_000_000), ts(0, 0)], 0);
    t!(SYS_utimensat, AT_FDCWD, c"f", &[ts(0, -1), ts(0, 0)], 0);
    t!(SYS_utimensat, AT_FDCWD, c"absent", 0, 0);
    t!(SYS_utimensat, AT_FDCWD, c"absent", &[ts(0, -1), ts(0, 0)], 0);
    t!(SYS_utimensat, AT_FDCWD, c"absent", &[ts(0, UTIME_OMIT), ts(0, UTIME_OMIT)], 0);
    t!(SYS_utimensat, AT_FDCWD, c"absent", &[ts(0, UTIME_OMIT), ts(0, -1)], 0);
    t!(SYS_utimensat, AT_FDCWD, c"f", &[ts(0, UTIME_OMIT), ts(0, -1)], 0);
    t!(SYS_utimensat, AT_FDCWD, c"f", 0, 0x10000);
    t!(SYS_utimensat, AT_FDCWD, c"f", &[ts(0, UTIME_OMIT), ts(0, UTIME_OMIT)], 0x10000);
    t!(SYS_utimensat, 999, 0, 0, 0);
    t!(SYS_utimensat, AT_FDCWD, 0, 0, 0);
    v!(unprivileged(|| {
        t!(SYS_utimensat, AT_FDCWD, c"/etc/passwd", 0, 0);
        t!(SYS_utimensat, AT_FDCWD, c"/etc/passwd", &[ts(1, 1), ts(1, 1)], 0);
        t!(SYS_utimensat, AT_FDCWD, c"/etc/passwd", &[ts(0, UTIME_OMIT), ts(0, UTIME_OMIT)], 0);
        t!(SYS_utimensat, AT_FDCWD, c"/etc/passwd", &[ts(0, UTIME_NOW), ts(0, UTIME_OMIT)], 0);
    }));
}

fn utimens_symlink() {
    close(file(c"f", b""));
    must!(SYS_symlinkat, c"f", AT_FDCWD, c"l");
    must!(SYS_utimensat, AT_FDCWD, c"f", &[ts(1, 0), ts(2, 0)], 0);
    t!(SYS_utimensat, AT_FDCWD, c"l", &[ts(3, 0), ts(4, 0)], AT_SYMLINK_NOFOLLOW);
    v!((times(c"f"), times(c"l")[1]));
    t!(SYS_utimensat, AT_FDCWD, c"l", &[ts(5, 0), ts(6, 0)], 0);
    v!((times(c"f"), times(c"l")[1]));
}

fn utime_old() {
    close(file(c"f", b""));
    t!(SYS_utime, c"f", &[10i64, 20]);
    v!(times(c"f"));
    t!(SYS_utimes, c"f", &[11i64, 500_000, 21, 7]);
    v!(times(c"f"));
    t!(SYS_utimes, c"f", &[11i64, 1_000_000, 21, 7]);
    t!(SYS_futimesat, AT_FDCWD, c"f", &[1i64, 1, 2, 2]);
    v!(times(c"f"));
}

/// Which of modification and change time an operation moves. Both are set into the past first (the
/// change time cannot be), and clocks are coarse: so a pause, and then a comparison.
fn moved<T>(path: &std::ffi::CStr, what: &str, op: impl FnOnce() -> T) {
    must!(SYS_utimensat, AT_FDCWD, path, &[ts(1000, 0), ts(1000, 0)], AT_SYMLINK_NOFOLLOW);
    let before = stat(path);
    sleep_ms(20);
    op();
    let after = stat(path);
    let ctime = (after.st_ctime, after.st_ctime_nsec) != (before.st_ctime, before.st_ctime_nsec);
    println!("{what}: mtime {} ctime {ctime}", after.st_mtime != 1000);
}

fn times_by_write() {
    let fd = file(c"f", b"abc");
    moved(c"f", "write", || put(fd, b"x"));
    moved(c"f", "write nothing", || put(fd, b""));
    moved(c"f", "ftruncate same size", || must!(SYS_ftruncate, fd, 3));
    moved(c"f", "ftruncate", || must!(SYS_ftruncate, fd, 1));
    moved(c"f", "truncate same size", || must!(SYS_truncate, c"f", 1));
    moved(c"f", "read", || get(fd, 1));
    moved(c"f", "open with O_TRUNC", || close(open(c"f", O_WRONLY | O_TRUNC)));
    moved(c"f", "open with O_CREAT", || close(open(c"f", O_WRONLY | O_CREAT)));
    moved(c"f", "fallocate", || must!(SYS_fallocate, fd, 0, 0, 10));
}

fn times_by_metadata() {
    close(file(c"f", b"abc"));
    moved(c"f", "chmod", || must!(SYS_chmod, c"f", 0o600));
    moved(c"f", "chmod to the same", || must!(SYS_chmod, c"f", 0o600));
    moved(c"f", "chown", || must!(SYS_chown, c"f", sc!(SYS_geteuid).0, -1));
    moved(c"f", "link", || must!(SYS_linkat, AT_FDCWD, c"f", AT_FDCWD, c"g", 0));
    moved(c"f", "unlink of another name", || must!(SYS_unlinkat, AT_FDCWD, c"g", 0));
    moved(c"f", "stat", || stat(c"f"));
    moved(c"f", "failing chmod", || sc!(SYS_chmod, c"f/x", 0));
}

fn times_by_directory() {
    must!(SYS_mkdir, c"d", 0o755);
    moved(c"d", "create", || close(file(c"d/f", b"")));
    moved(c"d", "write inside", || close(file(c"d/f", b"more")));
    moved(c"d", "link", || must!(SYS_linkat, AT_FDCWD, c"d/f", AT_FDCWD, c"d/g", 0));
    moved(c"d", "rename inside", || must!(SYS_rename, c"d/g", c"d/h"));
    moved(c"d", "rename out", || must!(SYS_rename, c"d/h", c"h"));
    moved(c"d", "rename in", || must!(SYS_rename, c"h", c"d/h"));
    moved(c"d", "unlink", || must!(SYS_unlinkat, AT_FDCWD, c"d/h", 0));
    moved(c"d", "mkdir", || must!(SYS_mkdir, c"d/s", 0o755));
    moved(c"d", "create two levels down", || close(file(c"d/s/f", b"")));
    moved(c"d", "failing create", || sc!(SYS_mkdir, c"d/s", 0o755));
    moved(c"d", "symlink", || must!(SYS_symlinkat, c"x", AT_FDCWD, c"d/l"));
}

fn times_of_mmap() {
    let fd = file(c"f", b"abc");
    let a = map_fd(fd, PAGE, RW, MAP_SHARED);
    moved(c"f", "load", || load(a));
    moved(c"f", "munmap", || must!(SYS_munmap, a, PAGE));
}

fn nlink_of_directories() {
    must!(SYS_mkdir, c"d", 0o755);
    close(file(c"d/f", b""));
    must!(SYS_linkat, AT_FDCWD, c"d/f", AT_FDCWD, c"g", 0);
    v!((stat(c"g").st_nlink, stat(c"g").st_ino == stat(c"d/f").st_ino));
    must!(SYS_unlink, c"d/f");
    v!(stat(c"g").st_nlink);
    let d = open(c"d", O_DIRECTORY);
    must!(SYS_rmdir, c"d");
    v!(fstat(d).st_nlink);
}

fn mknod_kinds() {
    t!(SYS_mknod, c"plain", 0o644, 0);
    t!(SYS_mknod, c"reg", S_IFREG | 0o600, 0);
    t!(SYS_mknod, c"fifo", S_IFIFO | 0o600, 0);
    t!(SYS_mknod, c"sock", S_IFSOCK | 0o600, 0);
    t!(SYS_mknod, c"dir", S_IFDIR | 0o700, 0);
    t!(SYS_mknod, c"link", S_IFLNK | 0o700, 0);
    t!(SYS_mknod, c"fifo", S_IFIFO | 0o600, 0);
    t!(SYS_mknod, c"no/such", S_IFIFO | 0o600, 0);
    t!(SYS_mknod, c"slash/", S_IFIFO | 0o600, 0);
    for path in [c"plain", c"reg", c"fifo", c"sock"] {
        println!("{}", describe(&stat(path)));
    }
    t!(SYS_openat, AT_FDCWD, c"sock", O_RDWR);
}

fn ustat_shape() {
    /// The kernel's encoding of a device number.
    fn packed(device: u64) -> u64 {
        let (major, minor) = (u64::from(major(device)), u64::from(minor(device)));
        minor & 0xff | major << 8 | (minor & !0xff) << 12
    }
    for path in [c".", c"/proc", c"/dev/shm"] {
        let device = packed(stat(path).st_dev);
        let (mut answer, mut s): ([u64; 5], libc::statfs) = ([!0; 5], zeroed());
        sc!(SYS_ustat, device, &mut answer);
        must!(SYS_statfs, path, &mut s);
        // What is free changes all the time; that there is some does not.
        v!(((answer[0] as i32 > 0) == (s.f_bfree as i32 > 0), answer[0] >> 32));
        v!(((answer[1] > 0) == (s.f_ffree > 0), &answer[2..4], answer[4] == !0));
        v!(sc!(SYS_ustat, device | 1 << 32, &mut answer));
        v!(sc!(SYS_ustat, device, 8));
    }
    t!(SYS_ustat, 0, 8);
    t!(SYS_ustat, 0xffff_ffffu32, 8);
}

fn statfs_shape() {
    let mut s: libc::statfs = zeroed();
    t!(SYS_statfs, c".", &mut s);
    v!((s.f_bsize > 0, s.f_blocks >= s.f_bfree, s.f_bfree >= s.f_bavail, s.f_namelen));
    let mut f: libc::statfs = zeroed();
    t!(SYS_fstatfs, open(c".", O_RDONLY), &mut f);
    v!((f.f_type == s.f_type, f.f_bsize == s.f_bsize));
    t!(SYS_statfs, c"absent", &mut s);
    t!(SYS_fstatfs, 999, &mut s);
    t!(SYS_statfs, c"/proc", &mut s);
    v!(s.f_type == PROC_SUPER_MAGIC);
    let (r, _) = pipe();
    t!(SYS_fstatfs, r, &mut s);
}

fn xattr_user() {
    let fd = file(c"f", b"");
    let mut b = [0u8; 32];
    t!(SYS_setxattr, c"f", c"user.one", b"first", 5, 0);
    t!(SYS_getxattr, c"f", c"user.one", &mut b, 32);
    v!(text(&b[..5]));
    t!(SYS_getxattr, c"f", c"user.one", 0, 0);
    t!(SYS_getxattr, c"f", c"user.one", &mut b, 3);
    t!(SYS_setxattr, c"f", c"user.one", b"x", 1, XATTR_CREATE);
    t!(SYS_setxattr, c"f", c"user.two", b"x", 1, XATTR_REPLACE);
    t!(SYS_fsetxattr, fd, c"user.one", b"", 0, XATTR_REPLACE);
    t!(SYS_fgetxattr, fd, c"user.one", &mut b, 32);
    t!(SYS_fremovexattr, fd, c"user.one");
    t!(SYS_fremovexattr, fd, c"user.one");
    t!(SYS_getxattr, c"f", c"user.one", &mut b, 32);
}

fn xattr_errors() {
    close(file(c"f", b""));
    let mut b = [0u8; 32];
    t!(SYS_getxattr, c"absent", c"user.x", &mut b, 32);
    t!(SYS_getxattr, c"f", c"user.x", &mut b, 32);
    t!(SYS_getxattr, c"f", c"nonsense", &mut b, 32);
    t!(SYS_setxattr, c"f", c"", b"x", 1, 0);
    t!(SYS_setxattr, c"f", c"user.x", b"x", 1, 7);
    t!(SYS_setxattr, c"f", c"user.x", 0, 100_000, 0);
    let long = c(&format!("user.{}", "n".repeat(251)));
    t!(SYS_setxattr, c"f", long.as_c_str(), b"x", 1, 0);
    t!(SYS_fgetxattr, 999, c"user.x", &mut b, 32);
    must!(SYS_symlinkat, c"f", AT_FDCWD, c"l");
    t!(SYS_lsetxattr, c"l", c"user.x", b"x", 1, 0);
}

fn symlink_mode() {
    must!(SYS_umask, 0o77);
    must!(SYS_symlinkat, c"a/long/target", AT_FDCWD, c"l");
    v!(describe(&stat(c"l")));
    t!(SYS_unlink, c"l");
}

fn blocks_and_blksize() {
    let fd = file(c"f", b"");
    v!((fstat(fd).st_blocks, fstat(fd).st_blksize > 0));
    put(fd, &[1; 100_000]);
    must!(SYS_fsync, fd);
    v!(fstat(fd).st_blocks as usize * 512 >= 100_000);
}

fn dev_and_ino_relations() {
    close(file(c"a", b""));
    close(file(c"b", b""));
    must!(SYS_mkdir, c"d", 0o755);
    let (a, b, here) = (stat(c"a"), stat(c"b"), stat(c"."));
    v!((a.st_dev == b.st_dev, a.st_dev == here.st_dev, a.st_ino != b.st_ino, a.st_ino != 0));
    v!((stat(c"d/..").st_ino == here.st_ino, stat(c"./d/.").st_ino == stat(c"d").st_ino));
    v!((stat(c"/").st_ino == stat(c"/..").st_ino, stat(c"/proc").st_dev != here.st_dev));
    must!(SYS_rename, c"a", c"d/a");
    v!(stat(c"d/a").st_ino == a.st_ino);
    v!(fstat(open(c"b", O_RDONLY)).st_ino == b.st_ino);
}
