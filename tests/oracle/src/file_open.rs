//! Opening: every flag of openat, openat2's rules of resolution, what O_PATH can do, descriptors
//! and their flags.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    access_modes, creat_and_excl, trunc, append, directory_flag, nofollow, path_only, path_symlink, tmpfile,
    tmpfile_link, cloexec, nonblock_regular, bad_flags, dirfd_rules, empty_path, write_to_directory, creat_mode_umask,
    creat_without_permission_bits, open_symlink_dangling, creat_trailing_slash, openat2_basics, openat2_bad,
    resolve_beneath, resolve_no_symlinks, resolve_in_root, resolve_no_magiclinks, lowest_descriptor, dup_family,
    dup_shares_offset, fcntl_dupfd, getfl_setfl, setfd, close_twice, close_range_basics, close_range_cloexec,
    nofile_limit, fork_shares_offset, reopen_through_proc, text_busy, open_twice_separate_offsets, o_sync_flags, direct,
];

fn access_modes() {
    close(file(c"f", b"data"));
    let r = open(c"f", O_RDONLY);
    let w = open(c"f", O_WRONLY);
    let mut b = [0u8; 4];
    t!(SYS_write, r, b"x", 1);
    t!(SYS_read, w, &mut b, 4);
    t!(SYS_write, w, b"D", 1);
    v!(get(r, 4));
    t!(SYS_ftruncate, r, 0);
    // The fourth access mode: neither, for ioctls only.
    let three = open(c"f", 3);
    t!(SYS_read, three, &mut b, 4);
    t!(SYS_write, three, &b, 4);
    v!(sc!(SYS_fcntl, three, F_GETFL).0 & 3);
}

fn creat_and_excl() {
    o!(SYS_openat, AT_FDCWD, c"new", O_RDONLY, 0);
    o!(SYS_openat, AT_FDCWD, c"new", O_RDWR | O_CREAT | O_EXCL, 0o600);
    o!(SYS_openat, AT_FDCWD, c"new", O_RDWR | O_CREAT | O_EXCL, 0o600);
    o!(SYS_openat, AT_FDCWD, c"new", O_RDWR | O_CREAT, 0o600);
    must!(SYS_symlinkat, c"absent", AT_FDCWD, c"link");
    o!(SYS_openat, AT_FDCWD, c"link", O_RDWR | O_CREAT | O_EXCL, 0o600);
    o!(SYS_openat, AT_FDCWD, c"link", O_RDWR | O_CREAT, 0o600);
    v!(stat(c"absent").st_mode & 0o7777);
    o!(SYS_creat, c"created", 0o640);
    o!(SYS_openat, AT_FDCWD, c"no/such", O_RDWR | O_CREAT, 0o600);
}

fn trunc() {
    close(file(c"f", b"content"));
    close(open(c"f", O_RDWR));
    v!(content("f"));
    close(open(c"f", O_WRONLY | O_TRUNC));
    v!(content("f"));
    close(file(c"f", b"content"));
    must!(SYS_symlinkat, c"f", AT_FDCWD, c"l");
    close(open(c"l", O_WRONLY | O_TRUNC));
    v!(stat(c"f").st_size);
}

fn append() {
    let plain = file(c"f", b"one");
    let a = open(c"f", O_RDWR | O_APPEND);
    v!(sc!(SYS_lseek, a, 0, SEEK_CUR));
    put(a, b"two");
    v!(sc!(SYS_lseek, a, 0, SEEK_CUR));
    must!(SYS_pwrite64, plain, b"X", 1, 0);
    must!(SYS_lseek, a, 1, SEEK_SET);
    put(a, b"three");
    // With O_APPEND, pwrite appends whatever its offset says.
    t!(SYS_pwrite64, a, b"!", 1, 0);
    v!(content("f"));
    v!(sc!(SYS_lseek, a, 0, SEEK_CUR));
}

fn directory_flag() {
    close(file(c"f", b""));
    must!(SYS_mkdirat, AT_FDCWD, c"d", 0o755);
    must!(SYS_symlinkat, c"d", AT_FDCWD, c"ld");
    o!(SYS_openat, AT_FDCWD, c"d", O_DIRECTORY);
    o!(SYS_openat, AT_FDCWD, c"f", O_DIRECTORY);
    o!(SYS_openat, AT_FDCWD, c"ld", O_DIRECTORY);
    o!(SYS_openat, AT_FDCWD, c"ld", O_DIRECTORY | O_NOFOLLOW);
    o!(SYS_openat, AT_FDCWD, c"ld/", O_DIRECTORY | O_NOFOLLOW);
    o!(SYS_openat, AT_FDCWD, c"d", O_DIRECTORY | O_RDWR);
    o!(SYS_openat, AT_FDCWD, c"absent", O_DIRECTORY);
}

fn nofollow() {
    close(file(c"f", b""));
    must!(SYS_symlinkat, c"f", AT_FDCWD, c"l");
    must!(SYS_symlinkat, c".", AT_FDCWD, c"here");
    o!(SYS_openat, AT_FDCWD, c"l", O_NOFOLLOW);
    o!(SYS_openat, AT_FDCWD, c"l", O_NOFOLLOW | O_CREAT, 0o600);
    o!(SYS_openat, AT_FDCWD, c"here/f", O_NOFOLLOW);
    o!(SYS_openat, AT_FDCWD, c"here/l", O_NOFOLLOW);
}

fn path_only() {
    close(file(c"f", b"data"));
    let fd = must!(SYS_openat, AT_FDCWD, c"f", O_PATH | O_RDWR).fd();
    let mut b = [0u8; 4];
    let mut st: libc::stat = zeroed();
    t!(SYS_read, fd, &mut b, 4);
    t!(SYS_write, fd, &b, 4);
    t!(SYS_lseek, fd, 0, SEEK_SET);
    t!(SYS_ioctl, fd, FIONREAD, &mut b);
    t!(SYS_fchmod, fd, 0o600);
    t!(SYS_fchown, fd, -1, -1);
    t!(SYS_fsync, fd);
    t!(SYS_ftruncate, fd, 0);
    t!(SYS_fstat, fd, &mut st);
    v!(st.st_size);
    o!(SYS_dup, fd);
    t!(SYS_flock, fd, LOCK_SH);
    t!(SYS_fcntl, fd, F_SETFL, O_NONBLOCK);
    v!(sc!(SYS_fcntl, fd, F_GETFL).0 == i64::from(O_PATH));
    let dir = must!(SYS_openat, AT_FDCWD, c".", O_PATH).fd();
    o!(SYS_openat, dir, c"f", O_RDONLY);
    t!(SYS_getdents64, dir, &mut [0u8; 512], 512);
    t!(SYS_fchdir, dir);
    t!(SYS_fchdir, fd);
}

fn path_symlink() {
    must!(SYS_symlinkat, c"nowhere", AT_FDCWD, c"l");
    o!(SYS_openat, AT_FDCWD, c"l", O_PATH);
    let fd = o!(SYS_openat, AT_FDCWD, c"l", O_PATH | O_NOFOLLOW).fd();
    v!(fstat(fd).st_mode & S_IFMT == S_IFLNK);
    let mut b = [0u8; 20];
    t!(SYS_readlinkat, fd, c"", &mut b, 20);
    v!(text(&b[..7]));
    // Of what has no place in a tree, too.
    let (reader, _) = pipe();
    for fd in [reader, must!(SYS_eventfd2, 0, 0).fd(), must!(SYS_socket, AF_UNIX, SOCK_DGRAM, 0).fd()] {
        t!(SYS_readlinkat, fd, c"", &mut b, 20);
        t!(SYS_readlinkat, fd, 0, &mut b, 20);
    }
}

fn tmpfile() {
    let fd = o!(SYS_openat, AT_FDCWD, c".", O_TMPFILE | O_RDWR, 0o600).fd();
    put(fd, b"unnamed");
    v!((fstat(fd).st_nlink, fstat(fd).st_size, fstat(fd).st_mode & 0o7777));
    v!(std::fs::read_dir(".").map(Iterator::count).ok());
    t!(SYS_openat, AT_FDCWD, c".", O_TMPFILE | O_RDONLY, 0o600);
    close(file(c"f", b""));
    t!(SYS_openat, AT_FDCWD, c"f", O_TMPFILE | O_RDWR, 0o600);
    t!(SYS_openat, AT_FDCWD, c"absent", O_TMPFILE | O_RDWR, 0o600);
}

fn tmpfile_link() {
    let fd = must!(SYS_openat, AT_FDCWD, c".", O_TMPFILE | O_RDWR, 0o600).fd();
    put(fd, b"named later");
    let proc_path = c(&format!("/proc/self/fd/{fd}"));
    t!(SYS_linkat, AT_FDCWD, proc_path.as_c_str(), AT_FDCWD, c"named", AT_SYMLINK_FOLLOW);
    v!((content("named"), fstat(fd).st_nlink));
    let fd = must!(SYS_openat, AT_FDCWD, c".", O_TMPFILE | O_RDWR | O_EXCL, 0o600).fd();
    let proc_path = c(&format!("/proc/self/fd/{fd}"));
    t!(SYS_linkat, AT_FDCWD, proc_path.as_c_str(), AT_FDCWD, c"never", AT_SYMLINK_FOLLOW);
}

fn cloexec() {
    let a = must!(SYS_openat, AT_FDCWD, c".", O_CLOEXEC).fd();
    let b = open(c".", 0);
    v!((sc!(SYS_fcntl, a, F_GETFD), sc!(SYS_fcntl, b, F_GETFD)));
    v!((sc!(SYS_fcntl, a, F_GETFL).0 & i64::from(O_CLOEXEC), sc!(SYS_fcntl, a, F_GETFL).is_ok()));
    v!(sc!(SYS_fcntl, must!(SYS_dup, a).fd(), F_GETFD));
}

fn nonblock_regular() {
    close(file(c"f", b"abc"));
    let fd = open(c"f", O_RDONLY | O_NONBLOCK);
    v!((get(fd, 8), get(fd, 8)));
    v!(sc!(SYS_fcntl, fd, F_GETFL).0 & i64::from(O_NONBLOCK) != 0);
    o!(SYS_openat, AT_FDCWD, c"/dev/null", O_RDWR | O_NONBLOCK);
}

fn bad_flags() {
    // openat ignores what it does not know.
    o!(SYS_openat, AT_FDCWD, c".", 0x4000_0000, 0);
    close(file(c"f", b""));
    o!(SYS_openat, AT_FDCWD, c"f", O_DIRECT | O_DIRECTORY);
    o!(SYS_openat, AT_FDCWD, c".", O_CREAT, 0o700);
    o!(SYS_openat, AT_FDCWD, c".", O_CREAT | O_EXCL, 0o700);
    // They are judged before the path.
    const UNNAMED: i32 = O_TMPFILE & !O_DIRECTORY;
    let wrong = [
        O_CREAT | O_DIRECTORY,
        O_TMPFILE,
        UNNAMED | O_RDWR,
        O_TMPFILE | O_CREAT | O_RDWR,
        O_PATH | O_CREAT | O_DIRECTORY,
        O_PATH | UNNAMED,
        O_RDONLY,
    ];
    let long = std::ffi::CString::new(vec![b'n'; 5000]).expect("no NUL");
    for flags in wrong {
        for path in [c".", c"", c"absent/x", long.as_c_str()] {
            o!(SYS_openat, AT_FDCWD, path, flags, 0o600);
            o!(SYS_openat2, AT_FDCWD, path, &[flags as u64, 0, 0], 24);
        }
        o!(SYS_openat, AT_FDCWD, 8, flags, 0o600);
        o!(SYS_open, 8, flags, 0o600);
    }
}

fn dirfd_rules() {
    must!(SYS_mkdirat, AT_FDCWD, c"d", 0o755);
    close(file(c"d/in", b"inside"));
    let d = open(c"d", O_DIRECTORY);
    let f = open(c"d/in", O_RDONLY);
    let fd = o!(SYS_openat, d, c"in", O_RDONLY).fd();
    v!(get(fd, 10));
    o!(SYS_openat, f, c"in", O_RDONLY);
    o!(SYS_openat, -1, c"in", O_RDONLY);
    o!(SYS_openat, 999, c"/etc/passwd", O_RDONLY);
    o!(SYS_openat, f, c"/etc/passwd", O_RDONLY);
    o!(SYS_openat, d, c"../d/in", O_RDONLY);
    must!(SYS_unlinkat, d, c"in", 0);
    must!(SYS_unlinkat, AT_FDCWD, c"d", AT_REMOVEDIR);
    o!(SYS_openat, d, c"in", O_RDONLY | O_CREAT, 0o600);
    o!(SYS_openat, d, c".", O_RDONLY);
    o!(SYS_openat, d, c"..", O_RDONLY);
}

fn empty_path() {
    o!(SYS_openat, AT_FDCWD, c"", O_RDONLY);
    o!(SYS_openat, AT_FDCWD, c"", O_RDONLY | O_CREAT, 0o600);
    t!(SYS_mkdirat, AT_FDCWD, c"", 0o755);
    t!(SYS_unlinkat, AT_FDCWD, c"", 0);
    t!(SYS_chdir, c"");
    t!(SYS_renameat, AT_FDCWD, c"", AT_FDCWD, c"x");
    t!(SYS_symlinkat, c"", AT_FDCWD, c"l");
    t!(SYS_readlinkat, AT_FDCWD, c"", &mut [0u8; 8], 8);
    t!(SYS_access, c"", 0);
    let mut st: libc::stat = zeroed();
    t!(SYS_newfstatat, AT_FDCWD, c"", &mut st, 0);
    t!(SYS_newfstatat, AT_FDCWD, c"", &mut st, AT_EMPTY_PATH);
    v!(st.st_mode & S_IFMT == S_IFDIR);
}

fn write_to_directory() {
    for flags in [O_WRONLY, O_RDWR, O_WRONLY | O_CREAT, O_RDONLY | O_TRUNC, O_RDONLY | O_APPEND] {
        o!(SYS_openat, AT_FDCWD, c".", flags, 0o600);
    }
    let d = open(c".", O_RDONLY);
    t!(SYS_read, d, &mut [0u8; 8], 8);
    t!(SYS_write, d, b"x", 1);
    t!(SYS_ftruncate, d, 0);
    t!(SYS_truncate, c".", 0);
}

fn creat_mode_umask() {
    for (mask, mode) in [(0, 0o777), (0o22, 0o666), (0o77, 0o777), (0o777, 0o777), (0o27, 0o7666)] {
        must!(SYS_umask, mask);
        close(must!(SYS_openat, AT_FDCWD, c"f", O_CREAT | O_RDWR | O_EXCL, mode).fd());
        must!(SYS_mkdirat, AT_FDCWD, c"d", mode);
        println!("{mask:o} {mode:o}: {:o} {:o}", stat(c"f").st_mode, stat(c"d").st_mode);
        must!(SYS_unlinkat, AT_FDCWD, c"f", 0);
        must!(SYS_unlinkat, AT_FDCWD, c"d", AT_REMOVEDIR);
    }
    println!("{:o}", sc!(SYS_umask, 0o22).0);
    println!("{:o}", sc!(SYS_umask, 0o17777).0);
    println!("{:o}", sc!(SYS_umask, 0).0);
}

fn creat_without_permission_bits() {
    // The descriptor may do what the new file's mode would not allow.
    let fd = must!(SYS_openat, AT_FDCWD, c"f", O_CREAT | O_RDWR, 0).fd();
    t!(SYS_write, fd, b"ok", 2);
    v!(unprivileged(|| {
        o!(SYS_openat, AT_FDCWD, c"f", O_RDONLY);
        o!(SYS_openat, AT_FDCWD, c"f", O_WRONLY);
        o!(SYS_openat, AT_FDCWD, c"f", O_PATH);
    }));
}

fn open_symlink_dangling() {
    must!(SYS_symlinkat, c"gone/deep", AT_FDCWD, c"l");
    o!(SYS_openat, AT_FDCWD, c"l", O_RDONLY);
    o!(SYS_openat, AT_FDCWD, c"l", O_RDWR | O_CREAT, 0o600);
    must!(SYS_mkdirat, AT_FDCWD, c"gone", 0o755);
    o!(SYS_openat, AT_FDCWD, c"l", O_RDWR | O_CREAT, 0o600);
    v!(stat(c"gone/deep").st_size);
}

fn creat_trailing_slash() {
    o!(SYS_openat, AT_FDCWD, c"new/", O_CREAT | O_RDWR, 0o600);
    close(file(c"f", b""));
    o!(SYS_openat, AT_FDCWD, c"f/", O_RDONLY);
    o!(SYS_openat, AT_FDCWD, c"f/", O_CREAT | O_RDWR, 0o600);
    o!(SYS_openat, AT_FDCWD, c"f/", O_CREAT | O_EXCL | O_RDWR, 0o600);
    o!(SYS_openat, AT_FDCWD, c"f/.", O_RDONLY);
    o!(SYS_openat, AT_FDCWD, c"f/..", O_RDONLY);
    for (name, target) in [(c"loop", c"loop"), (c"dangling", c"absent"), (c"to-f", c"f"), (c"to-dir", c"."), (c"to-loop", c"loop/")] {
        must!(SYS_symlink, target, name);
        let with_slash = std::ffi::CString::new([name.to_bytes(), b"/"].concat()).expect("no NUL");
        for flags in [O_RDONLY, O_CREAT | O_RDWR, O_CREAT | O_EXCL | O_RDWR] {
            o!(SYS_openat, AT_FDCWD, with_slash.as_c_str(), flags, 0o600);
        }
        o!(SYS_openat, AT_FDCWD, name, O_CREAT | O_RDONLY, 0o600);
        o!(SYS_mkdir, with_slash.as_c_str(), 0o700);
    }
    o!(SYS_openat, AT_FDCWD, c".//f", O_RDONLY);
    o!(SYS_openat, AT_FDCWD, c"./././f", O_RDONLY);
}

fn openat2(dirfd: i32, path: &std::ffi::CStr, flags: i32, mode: u64, resolve: u64) -> Ret {
    let how = [flags as u64, mode, resolve];
    sc!(SYS_openat2, dirfd, path, &how, size_of_val(&how))
}

fn openat2_basics() {
    v!(openat2(AT_FDCWD, c"f", O_RDWR | O_CREAT, 0o640, 0).ok());
    v!(stat(c"f").st_mode & 0o7777);
    v!(openat2(AT_FDCWD, c"f", O_RDONLY, 0, 0).ok());
    v!(openat2(AT_FDCWD, c"absent", O_RDONLY, 0, 0).ok());
}

fn openat2_bad() {
    close(file(c"f", b""));
    v!(openat2(AT_FDCWD, c"f", O_RDONLY, 0o600, 0).ok());
    v!(openat2(AT_FDCWD, c"f", 0x4000_0000, 0, 0).ok());
    v!(openat2(AT_FDCWD, c"f", O_RDONLY, 0, 0x1000).ok());
    v!(openat2(AT_FDCWD, c"f", O_RDWR | O_CREAT, 0o100_000, 0).ok());
    v!(openat2(AT_FDCWD, c"f", O_PATH | O_RDWR, 0, 0).ok());
    let how = [0u64, 0, 0, 1];
    t!(SYS_openat2, AT_FDCWD, c"f", &how, 16);
    t!(SYS_openat2, AT_FDCWD, c"f", &how, 32);
    o!(SYS_openat2, AT_FDCWD, c"f", &[0u64; 4], 32);
    t!(SYS_openat2, AT_FDCWD, c"f", 8, 24);
}

fn tree() {
    must!(SYS_mkdirat, AT_FDCWD, c"top", 0o755);
    must!(SYS_mkdirat, AT_FDCWD, c"top/sub", 0o755);
    close(file(c"outside", b"outside"));
    close(file(c"top/file", b"file"));
    close(file(c"top/sub/leaf", b"leaf"));
    must!(SYS_symlinkat, c"../outside", AT_FDCWD, c"top/up");
    must!(SYS_symlinkat, c"sub/leaf", AT_FDCWD, c"top/down");
    must!(SYS_symlinkat, c"/file", AT_FDCWD, c"top/abs");
    must!(SYS_symlinkat, c"sub", AT_FDCWD, c"top/dirlink");
}

fn resolve_beneath() {
    tree();
    let top = open(c"top", O_DIRECTORY);
    for path in [c"file", c"sub/leaf", c"down", c"sub/../file", c"..", c"../outside", c"up", c"abs", c"/file"] {
        println!("{path:?}: {:?}", openat2(top, path, O_RDONLY, 0, RESOLVE_BENEATH).ok());
    }
}

fn resolve_no_symlinks() {
    tree();
    let top = open(c"top", O_DIRECTORY);
    for path in [c"file", c"down", c"dirlink/leaf", c"sub/leaf"] {
        println!("{path:?}: {:?}", openat2(top, path, O_RDONLY, 0, RESOLVE_NO_SYMLINKS).ok());
    }
    v!(openat2(top, c"down", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS).ok());
}

fn resolve_in_root() {
    tree();
    let top = open(c"top", O_DIRECTORY);
    for path in [c"/file", c"../file", c"../../sub/leaf", c"abs", c"up", c"/outside"] {
        let fd = openat2(top, path, O_RDONLY, 0, RESOLVE_IN_ROOT);
        println!("{path:?}: {:?} {:?}", fd.ok(), if fd.is_ok() { get(fd.fd(), 10) } else { Text(String::new()) });
    }
    v!(openat2(top, c"file", O_RDONLY, 0, RESOLVE_IN_ROOT | RESOLVE_BENEATH).ok());
}

fn resolve_no_magiclinks() {
    close(file(c"f", b""));
    let fd = open(c"f", O_RDONLY);
    let path = c(&format!("/proc/self/fd/{fd}"));
    v!(openat2(AT_FDCWD, &path, O_RDONLY, 0, 0).ok());
    v!(openat2(AT_FDCWD, &path, O_RDONLY, 0, RESOLVE_NO_MAGICLINKS).ok());
    v!(openat2(AT_FDCWD, c"/proc/self/status", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS).ok());
    v!(openat2(AT_FDCWD, c"/proc/self/status", O_RDONLY, 0, RESOLVE_NO_XDEV).ok());
    v!(openat2(AT_FDCWD, c"f", O_RDONLY, 0, RESOLVE_NO_XDEV).ok());
}

fn lowest_descriptor() {
    let fds: Vec<i32> = (0..5).map(|_| open(c"/dev/null", O_RDONLY)).collect();
    v!(fds.windows(2).all(|w| w[1] == w[0] + 1));
    close(fds[3]);
    close(fds[1]);
    v!(open(c"/dev/null", O_RDONLY) == fds[1]);
    v!(pipe() == (fds[3], fds[4] + 1));
}

fn dup_family() {
    let a = file(c"a", b"aaa");
    let b = file(c"b", b"bbb");
    t!(SYS_dup, 999);
    v!(sc!(SYS_dup2, a, b).fd() == b);
    v!(get(b, 3));
    v!(sc!(SYS_dup2, a, a).fd() == a);
    t!(SYS_dup2, 999, 999);
    t!(SYS_dup2, 999, b);
    t!(SYS_dup2, a, -1);
    t!(SYS_dup2, a, 100_000_000);
    t!(SYS_dup3, a, a, 0);
    t!(SYS_dup3, a, b, O_NONBLOCK);
    v!(sc!(SYS_dup3, a, 100, O_CLOEXEC));
    t!(SYS_fcntl, 100, F_GETFD);
    v!(sc!(SYS_dup2, 100, 101));
    t!(SYS_fcntl, 101, F_GETFD);
}

fn dup_shares_offset() {
    let a = file(c"f", b"0123456789");
    let b = must!(SYS_dup, a).fd();
    v!((get(a, 3), get(b, 3)));
    must!(SYS_lseek, b, 1, SEEK_SET);
    v!(get(a, 2));
    must!(SYS_fcntl, a, F_SETFL, O_APPEND);
    v!(sc!(SYS_fcntl, b, F_GETFL).0 & i64::from(O_APPEND) != 0);
    close(a);
    v!(get(b, 2));
}

fn fcntl_dupfd() {
    let fd = file(c"f", b"x");
    v!(sc!(SYS_fcntl, fd, F_DUPFD, 50));
    v!(sc!(SYS_fcntl, fd, F_DUPFD, 50));
    v!(sc!(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 50));
    t!(SYS_fcntl, 52, F_GETFD);
    t!(SYS_fcntl, 51, F_GETFD);
    t!(SYS_fcntl, fd, F_DUPFD, -1);
    t!(SYS_fcntl, fd, F_DUPFD, 1_000_000_000);
    t!(SYS_fcntl, 999, F_DUPFD, 0);
    t!(SYS_fcntl, fd, 12345, 0);
}

fn getfl_setfl() {
    let settable = i64::from(O_ACCMODE | O_APPEND | O_NONBLOCK | O_CREAT | O_TRUNC | O_DIRECTORY);
    let fd = open(c"f", O_RDWR | O_CREAT | O_TRUNC);
    let flags = || format!("{:o}", sc!(SYS_fcntl, fd, F_GETFL).0 & settable);
    v!(flags());
    t!(SYS_fcntl, fd, F_SETFL, O_APPEND | O_NONBLOCK);
    v!(flags());
    // The access mode and creation flags cannot be changed, and trying is no error.
    t!(SYS_fcntl, fd, F_SETFL, O_WRONLY | O_CREAT | O_TRUNC);
    v!(flags());
    t!(SYS_write, fd, b"x", 1);
    t!(SYS_fcntl, 999, F_GETFL);
}

fn setfd() {
    let fd = file(c"f", b"");
    t!(SYS_fcntl, fd, F_SETFD, FD_CLOEXEC);
    t!(SYS_fcntl, fd, F_GETFD);
    t!(SYS_fcntl, fd, F_SETFD, 0xfe);
    t!(SYS_fcntl, fd, F_GETFD);
    t!(SYS_ioctl, fd, FIOCLEX, 0);
    t!(SYS_fcntl, fd, F_GETFD);
    t!(SYS_ioctl, fd, FIONCLEX, 0);
    t!(SYS_fcntl, fd, F_GETFD);
}

fn close_twice() {
    let fd = file(c"f", b"");
    t!(SYS_close, fd);
    t!(SYS_close, fd);
    t!(SYS_close, -1);
    t!(SYS_close, 1 << 30);
    t!(SYS_read, fd, &mut [0u8; 1], 1);
}

fn close_range_basics() {
    for n in 100..110 {
        must!(SYS_dup2, 1, n);
    }
    t!(SYS_close_range, 102, 104, 0);
    let open: Vec<i32> = (100..110).filter(|fd| sc!(SYS_fcntl, *fd, F_GETFD).is_ok()).collect();
    v!(open);
    t!(SYS_close_range, 105, 104, 0);
    t!(SYS_close_range, 108, u32::MAX, 0);
    let open: Vec<i32> = (100..110).filter(|fd| sc!(SYS_fcntl, *fd, F_GETFD).is_ok()).collect();
    v!(open);
    t!(SYS_close_range, 100, 110, 0x100);
}

fn close_range_cloexec() {
    for n in 100..104 {
        must!(SYS_dup2, 1, n);
    }
    t!(SYS_close_range, 101, 102, CLOSE_RANGE_CLOEXEC);
    v!((100..104).map(|fd| sc!(SYS_fcntl, fd, F_GETFD)).collect::<Vec<_>>());
    t!(SYS_close_range, 100, 103, CLOSE_RANGE_UNSHARE);
    v!((100..104).map(|fd| sc!(SYS_fcntl, fd, F_GETFD)).collect::<Vec<_>>());
}

fn nofile_limit() {
    let next = must!(SYS_dup, 1).fd();
    close(next);
    let lim = rlimit { rlim_cur: next as u64 + 2, rlim_max: 1000 };
    must!(SYS_prlimit64, 0, RLIMIT_NOFILE, &lim, 0);
    v!((0..4).map(|_| sc!(SYS_dup, 1).ok()).collect::<Vec<_>>());
    o!(SYS_openat, AT_FDCWD, c"/dev/null", O_RDONLY);
    t!(SYS_pipe2, &mut [0i32; 2], 0);
    t!(SYS_fcntl, 1, F_DUPFD, next + 2);
    t!(SYS_dup2, 1, next + 2);
    o!(SYS_dup2, 1, next + 1);
    t!(SYS_openat, AT_FDCWD, c"absent", O_RDONLY);
    // The name is not created when there is no descriptor for it.
    t!(SYS_openat, AT_FDCWD, c"made", O_RDWR | O_CREAT, 0o600);
    v!(sc!(SYS_access, c"made", 0));
}

fn fork_shares_offset() {
    let fd = file(c"f", b"0123456789");
    v!(in_child(|| {
        v!(get(fd, 4));
        close(fd);
    }));
    v!(get(fd, 4));
}

fn reopen_through_proc() {
    let fd = file(c"f", b"abc");
    must!(SYS_lseek, fd, 2, SEEK_SET);
    let path = c(&format!("/proc/self/fd/{fd}"));
    let again = o!(SYS_openat, AT_FDCWD, path.as_c_str(), O_RDONLY).fd();
    v!((get(again, 3), get(fd, 3)));
    must!(SYS_unlinkat, AT_FDCWD, c"f", 0);
    let again = o!(SYS_openat, AT_FDCWD, path.as_c_str(), O_RDWR).fd();
    v!(get(again, 3));
    let dev_fd = c(&format!("/dev/fd/{fd}"));
    o!(SYS_openat, AT_FDCWD, dev_fd.as_c_str(), O_RDONLY);
}

fn text_busy() {
    std::fs::copy("/proc/self/exe", "copy").expect("copy");
    let w = open(c"copy", O_RDWR);
    let argv = [c"copy".as_ptr() as usize, 0];
    v!(in_child(|| {
        t!(SYS_execve, c"./copy", &argv, 0);
    }));
    close(w);
    close(file(c"noexec", b"#!/bin/sh\n"));
    must!(SYS_fchmodat, AT_FDCWD, c"noexec", 0o644);
    t!(SYS_execve, c"./noexec", &argv, 0);
}

fn open_twice_separate_offsets() {
    let a = file(c"f", b"abcdef");
    let b = open(c"f", O_RDWR);
    v!((get(a, 2), get(b, 3), get(a, 1)));
    put(b, b"X");
    v!((get(a, 3), content("f")));
}

fn o_sync_flags() {
    let fd = open(c"f", O_RDWR | O_CREAT | O_SYNC);
    v!(sc!(SYS_fcntl, fd, F_GETFL).0 & i64::from(O_SYNC) == i64::from(O_SYNC));
    put(fd, b"x");
    let fd = open(c"f", O_RDWR | O_DSYNC);
    v!(sc!(SYS_fcntl, fd, F_GETFL).0 & i64::from(O_SYNC) == i64::from(O_DSYNC));
    let fd = open(c"f", O_RDONLY | O_NOATIME);
    v!(sc!(SYS_fcntl, fd, F_GETFL).0 & i64::from(O_NOATIME) != 0);
    v!(unprivileged(|| {
        o!(SYS_openat, AT_FDCWD, c"/etc/passwd", O_RDONLY | O_NOATIME);
    }));
}

/// O_DIRECT is for regular files of file systems with a store, and for pipes, where it means
/// another thing.
fn direct() {
    must!(SYS_mkdir, c"d", 0o755);
    must!(SYS_mknod, c"fifo", S_IFIFO | 0o644, 0);
    close(file(c"f", b""));
    for path in [c"d", c"fifo", c"f", c"/dev/null", c"/dev/zero", c"/proc/self/status", c"/dev/ptmx", c"/proc", c"/", c"new"] {
        let opened = |flags| sc!(SYS_openat, AT_FDCWD, path, flags | O_NONBLOCK | O_NOCTTY).ok();
        let create = if path == c"new" { O_CREAT } else { 0 };
        let ways = [O_RDONLY | O_DIRECT | create, O_RDWR | O_DIRECT, O_PATH | O_DIRECT, O_RDONLY].map(opened);
        let fd = sc!(SYS_openat, AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY).fd();
        println!("{path:?}: {ways:?} {}", sc!(SYS_fcntl, fd, F_SETFL, O_DIRECT));
    }
    let (r, _w) = pipe();
    t!(SYS_fcntl, r, F_SETFL, O_DIRECT);
    let fd = must!(SYS_eventfd2, 0, 0).fd();
    t!(SYS_fcntl, fd, F_SETFL, O_DIRECT);
    v!(unprivileged(|| {
        let fd = open(c"/etc/passwd", O_RDONLY);
        t!(SYS_fcntl, fd, F_SETFL, O_NOATIME);
    }));
}
