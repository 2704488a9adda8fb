//! Bad pointers: every call that takes one must answer EFAULT, and must have done nothing half.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    paths, paths_second, path_at_page_end, path_too_long_for_its_page, exec_vectors, stat_family, time_structs,
    time_inputs, signal_structs, process_structs, descriptor_pairs, socket_addresses, message_headers, poll_sets,
    epoll_events, ioctl_targets, lock_structs, vectors, vector_bases, reads, writes, reads_to_readonly, partial_read,
    partial_write, partial_pipe, partial_socket, misc_outputs, offsets, private_past_the_end_first, robust_and_tid, order_of_checks,
    failed_read_keeps_position, failed_pipe_leaks_nothing,
];

/// Addresses that are bad in different ways. The last begins in a mapped page and runs into an
/// unmapped one.
fn kinds() -> [(&'static str, usize); 7] {
    let a = map(4 * PAGE, RW, ANON);
    must!(SYS_munmap, a + PAGE, PAGE);
    must!(SYS_mprotect, a + 2 * PAGE, PAGE, PROT_NONE);
    fill(a, PAGE, b'/');
    [
        ("null", 0),
        ("low", 8),
        ("unmapped", a + PAGE),
        ("none", a + 2 * PAGE),
        ("kernel", 0xffff_8000_0000_0000),
        ("noncanonical", 0x1234_5678_9abc_def0),
        ("crossing", a + PAGE - 1),
    ]
}

/// One line per call: what each kind of bad pointer gives. Runs of equal answers are folded.
fn each(name: &str, call: impl Fn(usize) -> Ret) {
    let mut line: Vec<(String, String)> = Vec::new();
    for (kind, addr) in kinds() {
        let answer = call(addr).ok();
        let answer = format!("{answer:?}");
        match line.last_mut() {
            Some((kinds, last)) if *last == answer => *kinds += &format!(",{kind}"),
            _ => line.push((kind.to_string(), answer)),
        }
    }
    let line: Vec<String> = line.into_iter().map(|(kinds, answer)| format!("{kinds}={answer}")).collect();
    println!("{name}: {}", line.join(" "));
}

macro_rules! each {
    ($($nr:ident($($a:expr),* $(,)?);)*) => {
        $(each($crate::sys::call_text(stringify!($nr), stringify!($($a),*)).as_str(), |p| {
            BAD.with(|b| b.set(p));
            sc!($nr, $($a),*)
        });)*
    };
}

// A call in the table below reads the address to try through `bad()`, so that its text can be
// printed as it stands.
std::thread_local! {
    static BAD: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

fn bad() -> usize {
    BAD.with(std::cell::Cell::get)
}

fn paths() {
    each! {
        SYS_openat(AT_FDCWD, bad(), O_RDONLY);
        SYS_open(bad(), O_RDONLY);
        SYS_access(bad(), 0);
        SYS_faccessat(AT_FDCWD, bad(), 0);
        SYS_chdir(bad());
        SYS_unlink(bad());
        SYS_rmdir(bad());
        SYS_mkdir(bad(), 0o777);
        SYS_mknod(bad(), S_IFIFO, 0);
        SYS_chmod(bad(), 0o777);
        SYS_chown(bad(), -1, -1);
        SYS_truncate(bad(), 0);
        SYS_execve(bad(), 0, 0);
        SYS_chroot(bad());
        SYS_inotify_add_watch(must!(SYS_inotify_init1, 0).fd(), bad(), IN_CREATE);
    }
}

fn paths_second() {
    close(file(c"here", b""));
    each! {
        SYS_rename(c"here", bad());
        SYS_rename(bad(), c"there");
        SYS_link(c"here", bad());
        SYS_link(bad(), c"there");
        SYS_symlink(c"here", bad());
        SYS_symlink(bad(), c"there");
        SYS_readlink(bad(), &mut [0u8; 8], 8);
        SYS_renameat2(AT_FDCWD, c"here", AT_FDCWD, bad(), RENAME_NOREPLACE);
        SYS_linkat(AT_FDCWD, bad(), AT_FDCWD, c"there", 0);
    }
    v!((content("here"), content("there")));
}

fn path_at_page_end() {
    let a = map(2 * PAGE, RW, ANON);
    must!(SYS_munmap, a + PAGE, PAGE);
    close(file(c"name", b"found"));
    // A name whose terminator is the last byte before the hole is complete.
    let at = a + PAGE - 5;
    copy_in(at, b"name\0");
    let fd = o!(SYS_openat, AT_FDCWD, at, O_RDONLY).fd();
    v!(get(fd, 10));
    copy_in(at, b"/name");
    t!(SYS_openat, AT_FDCWD, at, O_RDONLY);
    copy_in(at, b"name\0");
    t!(SYS_access, at, R_OK);
    t!(SYS_mkdir, at, 0o700);
}

fn path_too_long_for_its_page() {
    let a = map(3 * PAGE, RW, ANON);
    must!(SYS_munmap, a + 2 * PAGE, PAGE);
    fill(a, 2 * PAGE, b'/');
    // The limit is reached before the hole.
    t!(SYS_access, a, 0);
    t!(SYS_access, a + PAGE, 0);
    t!(SYS_access, a + PAGE + 1, 0);
    copy_in(a + PAGE - 1, b"\0");
    t!(SYS_access, a, 0);
}

fn exec_vectors() {
    let a = map(PAGE, RW, ANON);
    let bad_string = [c"x".as_ptr() as usize, 8, 0];
    t!(SYS_execve, c"/bin/true", 8, 0);
    t!(SYS_execve, c"/bin/true", &bad_string, 0);
    t!(SYS_execve, c"/bin/true", a + PAGE - 8, 8);
    t!(SYS_execve, c"/nonexistent", 8, 0);
    t!(SYS_execve, c"/", 0, 0);
}

fn stat_family() {
    let fd = file(c"f", b"");
    each! {
        SYS_stat(c"f", bad());
        SYS_lstat(c"f", bad());
        SYS_fstat(fd, bad());
        SYS_newfstatat(AT_FDCWD, c"f", bad(), 0);
        SYS_statx(AT_FDCWD, c"f", 0, STATX_BASIC_STATS, bad());
        SYS_statfs(c"f", bad());
        SYS_fstatfs(fd, bad());
        SYS_utimensat(AT_FDCWD, c"f", bad(), 0);
        SYS_getdents64(open(c".", O_RDONLY), bad(), 4096);
        SYS_getcwd(bad(), 4096);
    }
}

fn time_structs() {
    each! {
        SYS_clock_gettime(CLOCK_REALTIME, bad());
        SYS_clock_gettime(CLOCK_MONOTONIC, bad());
        SYS_clock_getres(CLOCK_MONOTONIC, bad());
        SYS_gettimeofday(bad(), 0);
        SYS_time(bad());
        SYS_times(bad());
        SYS_getitimer(ITIMER_REAL, bad());
        SYS_timer_create(CLOCK_MONOTONIC, 0, bad());
        SYS_sched_rr_get_interval(0, bad());
    }
}

fn time_inputs() {
    let tfd = must!(SYS_timerfd_create, CLOCK_MONOTONIC, 0).fd();
    each! {
        SYS_nanosleep(bad(), 0);
        SYS_clock_nanosleep(CLOCK_MONOTONIC, 0, bad(), 0);
        SYS_timerfd_settime(tfd, 0, bad(), 0);
        SYS_timerfd_gettime(tfd, bad());
        SYS_timer_create(CLOCK_MONOTONIC, bad(), &mut 0u64);
        SYS_futex(&0u32, FUTEX_WAIT, 1, bad());
    }
}

fn signal_structs() {
    each! {
        SYS_rt_sigaction(SIGUSR1, bad(), 0, 8);
        SYS_rt_sigaction(SIGUSR1, 0, bad(), 8);
        SYS_rt_sigprocmask(SIG_BLOCK, bad(), 0, 8);
        SYS_rt_sigprocmask(SIG_BLOCK, 0, bad(), 8);
        SYS_rt_sigpending(bad(), 8);
        SYS_rt_sigsuspend(bad(), 8);
        SYS_rt_sigtimedwait(bad(), 0, 0, 8);
        SYS_rt_sigqueueinfo(sc!(SYS_getpid).0, SIGURG, bad());
        SYS_sigaltstack(bad(), 0);
        SYS_sigaltstack(0, bad());
        SYS_signalfd4(-1, bad(), 8, 0);
    }
}

fn process_structs() {
    each! {
        SYS_uname(bad());
        SYS_sysinfo(bad());
        SYS_getrusage(RUSAGE_SELF, bad());
        SYS_getrlimit(RLIMIT_NOFILE, bad());
        SYS_prlimit64(0, RLIMIT_NOFILE, 0, bad());
        SYS_prlimit64(0, RLIMIT_NOFILE, bad(), 0);
        SYS_setrlimit(RLIMIT_NOFILE, bad());
        SYS_getresuid(bad(), &mut 0u32, &mut 0u32);
        SYS_getresgid(&mut 0u32, &mut 0u32, bad());
        SYS_sched_getaffinity(0, 128, bad());
        SYS_sched_getparam(0, bad());
        SYS_prctl(PR_GET_NAME, bad());
        SYS_prctl(PR_SET_NAME, bad());
        SYS_getcpu(bad(), 0);
        SYS_capget(bad(), 0);
        SYS_arch_prctl(0x1003, bad());
    }
    let kid = spawn(|| ());
    until(|| state_of(kid) == 'Z');
    t!(SYS_waitid, P_PID, kid, 8, WEXITED | WNOWAIT, 0);
    t!(SYS_wait4, kid, 8, 0, 0);
    t!(SYS_wait4, kid, 0, 0, 0);
}

fn descriptor_pairs() {
    each! {
        SYS_pipe(bad());
        SYS_pipe2(bad(), O_CLOEXEC);
        SYS_socketpair(AF_UNIX, SOCK_STREAM, 0, bad());
    }
}

fn failed_pipe_leaks_nothing() {
    let before = must!(SYS_dup, 1).fd();
    close(before);
    for _ in 0..10 {
        sc!(SYS_pipe2, 8, 0);
        sc!(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, 8);
    }
    v!(must!(SYS_dup, 1).fd() == before);
}

fn socket_addresses() {
    let (a, _b) = socketpair(SOCK_STREAM);
    let s = must!(SYS_socket, AF_UNIX, SOCK_STREAM, 0).fd();
    let mut len = 100u32;
    let lenp = std::ptr::from_mut(&mut len) as usize;
    each! {
        SYS_bind(s, bad(), 10);
        SYS_connect(s, bad(), 10);
        SYS_getsockname(a, bad(), lenp);
        SYS_getsockname(a, &mut [0u8; 100], bad());
        SYS_getpeername(a, &mut [0u8; 100], bad());
        SYS_getsockopt(a, SOL_SOCKET, SO_TYPE, &mut 0i32, bad());
        SYS_getsockopt(a, SOL_SOCKET, SO_TYPE, bad(), &mut 4u32);
        SYS_setsockopt(a, SOL_SOCKET, SO_REUSEADDR, bad(), 4);
    }
}

fn message_headers() {
    let (a, b) = socketpair(SOCK_DGRAM);
    let name = iov(&[(8, 5)]);
    let mut bad_base: msghdr = zeroed();
    bad_base.msg_iov = name.as_ptr().cast_mut();
    bad_base.msg_iovlen = 1;
    let mut bad_iov: msghdr = zeroed();
    bad_iov.msg_iov = std::ptr::dangling_mut();
    bad_iov.msg_iovlen = 1;
    each! {
        SYS_sendmsg(a, bad(), 0);
        SYS_sendto(a, bad(), 100, 0, 0, 0);
    }
    t!(SYS_sendmsg, a, &bad_base, 0);
    t!(SYS_sendmsg, a, &bad_iov, 0);
    bad_iov.msg_iovlen = 2000;
    t!(SYS_sendmsg, a, &bad_iov, 0);
    t!(SYS_recvfrom, b, &mut [0u8; 10], 10, MSG_DONTWAIT, 0, 0);
    put(a, b"kept?");
    t!(SYS_recvfrom, b, 8, 10, MSG_DONTWAIT, 0, 0);
    each("recvmsg", |p| sc!(SYS_recvmsg, b, p, MSG_DONTWAIT));
}

fn poll_sets() {
    each! {
        SYS_poll(bad(), 1, 0);
        SYS_poll(bad(), 0, 0);
        SYS_ppoll(0, 0, &timespec { tv_sec: 0, tv_nsec: 0 }, bad(), 8);
        SYS_select(1, bad(), 0, 0, &mut timeval { tv_sec: 0, tv_usec: 0 });
        SYS_select(1, 0, bad(), 0, &mut timeval { tv_sec: 0, tv_usec: 0 });
    }
}

fn epoll_events() {
    let ep = must!(SYS_epoll_create1, 0).fd();
    let (r, w) = pipe();
    each! {
        SYS_epoll_ctl(ep, EPOLL_CTL_ADD, r, bad());
        SYS_epoll_ctl(ep, EPOLL_CTL_MOD, r, bad());
    }
    let mut ev = epoll_event { events: EPOLLIN as u32, u64: 7 };
    must!(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, r, &mut ev);
    put(w, b"x");
    each("epoll_wait", |p| sc!(SYS_epoll_wait, ep, p, 4, 0));
    // A level triggered event that could not be delivered is still there.
    t!(SYS_epoll_wait, ep, &mut ev, 1, 0);
}

fn ioctl_targets() {
    let (r, _w) = pipe();
    let pt = open(c"/dev/ptmx", O_RDWR | O_NOCTTY);
    each! {
        SYS_ioctl(r, FIONREAD, bad());
        SYS_ioctl(r, FIONBIO, bad());
        SYS_ioctl(pt, TCGETS, bad());
        SYS_ioctl(pt, TCSETS, bad());
        SYS_ioctl(pt, TIOCGWINSZ, bad());
        SYS_ioctl(pt, TIOCSWINSZ, bad());
        SYS_ioctl(pt, TIOCGPTN, bad());
    }
}

fn lock_structs() {
    let fd = file(c"f", b"");
    each! {
        SYS_fcntl(fd, F_GETLK, bad());
        SYS_fcntl(fd, F_SETLK, bad());
        SYS_fcntl(fd, F_OFD_GETLK, bad());
        SYS_fcntl(fd, 16, bad());
    }
}

fn vectors() {
    let fd = file(c"f", b"hello");
    each! {
        SYS_readv(fd, bad(), 1);
        SYS_writev(fd, bad(), 1);
        SYS_preadv(fd, bad(), 1, 0, 0);
        SYS_pwritev2(fd, bad(), 1, 0, 0, 0);
        SYS_readv(fd, bad(), 0);
    }
    t!(SYS_readv, fd, 8, 1025);
    t!(SYS_readv, fd, 8, -1);
}

fn vector_bases() {
    let fd = file(c"f", b"hello world");
    let mut buf = [0u8; 16];
    let base = buf.as_mut_ptr() as usize;
    for parts in [[(8, 4), (base, 4)], [(base, 4), (8, 4)], [(8, 0), (base, 4)], [(base, 4), (usize::MAX - 2, 4)]] {
        must!(SYS_lseek, fd, 0, SEEK_SET);
        buf = [0; 16];
        let v = iov(&parts);
        t!(SYS_readv, fd, &v[..], 2);
        v!((text(&buf[..5]), sc!(SYS_lseek, fd, 0, SEEK_CUR)));
    }
    let negative = iov(&[(base, usize::MAX)]);
    t!(SYS_readv, fd, &negative[..], 1);
    let sum = iov(&[(base, isize::MAX as usize), (base, isize::MAX as usize)]);
    t!(SYS_writev, fd, &sum[..], 2);
}

fn reads() {
    let fd = file(c"f", &[b'x'; 8192]);
    let (r, w) = pipe();
    put(w, &[b'p'; 100]);
    let zero = open(c"/dev/zero", O_RDONLY);
    let random = open(c"/dev/urandom", O_RDONLY);
    let event = must!(SYS_eventfd2, 3, 0).fd();
    let (sa, sb) = socketpair(SOCK_STREAM);
    put(sa, b"sock");
    for kind in [("file", fd), ("zero", zero), ("urandom", random)] {
        let all: Vec<Ret> = kinds()[..6].iter().map(|b| sc!(SYS_read, kind.1, b.1, 64)).collect();
        println!("read from {}: {all:?}", kind.0);
    }
    for (name, fd) in [("pipe", r), ("socket", sb)] {
        let all: Vec<Ret> = kinds()[..3].iter().map(|b| sc!(SYS_read, fd, b.1, 64)).collect();
        println!("read from {name}: {all:?}");
    }
    t!(SYS_ppoll, 0, 0, 8, 0, 8);
    t!(SYS_pselect6, 0, 0, 0, 0, 8, 0);
    t!(SYS_select, 0, 0, 0, 0, 8);
    t!(SYS_read, event, 8, 8);
    t!(SYS_getrandom, 8, 10, 0);
    t!(SYS_pread64, fd, 8, 10, 0);
    t!(SYS_read, fd, 8, 0);
    must!(SYS_lseek, fd, 0, SEEK_END);
    t!(SYS_read, fd, 8, 10);
}

fn writes() {
    let fd = file(c"f", b"");
    let (_r, w) = pipe();
    let (sa, _sb) = socketpair(SOCK_STREAM);
    let null = open(c"/dev/null", O_WRONLY);
    let event = must!(SYS_eventfd2, 0, 0).fd();
    for (name, fd) in [("file", fd), ("pipe", w), ("socket", sa), ("eventfd", event)] {
        let all: Vec<Ret> = kinds()[..6].iter().map(|b| sc!(SYS_write, fd, b.1, 64)).collect();
        println!("write to {name}: {all:?}");
    }
    // /dev/null does not look at what it throws away, though the range must be a user's.
    t!(SYS_write, null, 8, 10);
    t!(SYS_write, null, 0xffff_8000_0000_0000usize, 10);
    t!(SYS_write, fd, 8, 0);
    v!(fstat(fd).st_size);
}

fn reads_to_readonly() {
    let ro = map(PAGE, PROT_READ, ANON);
    let fd = file(c"f", b"data");
    t!(SYS_read, fd, ro, 4);
    t!(SYS_fstat, fd, ro);
    t!(SYS_clock_gettime, CLOCK_MONOTONIC, ro);
    t!(SYS_pipe2, ro, 0);
    t!(SYS_write, fd, ro, 4);
    v!(load(ro));
}

fn partial_read() {
    let a = map(2 * PAGE, RW, ANON);
    must!(SYS_munmap, a + PAGE, PAGE);
    let fd = file(c"f", &[b'x'; 200]);
    t!(SYS_read, fd, a + PAGE - 16, 100);
    v!((peek_text(a + PAGE - 17, 17), sc!(SYS_lseek, fd, 0, SEEK_CUR)));
    let zero = open(c"/dev/zero", O_RDONLY);
    fill(a, PAGE, 1);
    v!(sc!(SYS_read, zero, a + PAGE - 16, 100).ok());
}

fn partial_write() {
    let a = map(2 * PAGE, RW, ANON);
    must!(SYS_munmap, a + PAGE, PAGE);
    fill(a, PAGE, b'w');
    let fd = file(c"f", b"");
    t!(SYS_write, fd, a + PAGE - 16, 100);
    v!((fstat(fd).st_size, content("f")));
    t!(SYS_write, fd, a + PAGE, 100);
    v!(fstat(fd).st_size);
}

fn partial_pipe() {
    let a = map(2 * PAGE, RW, ANON);
    must!(SYS_munmap, a + PAGE, PAGE);
    fill(a, PAGE, b'w');
    let (r, w) = pipe();
    t!(SYS_write, w, a + PAGE - 16, 100);
    let mut queued = 0i32;
    must!(SYS_ioctl, r, FIONREAD, &mut queued);
    v!(queued);
    put(w, &[b'q'; 100]);
    t!(SYS_read, r, a + PAGE - 16, 100);
}

fn partial_socket() {
    let a = map(2 * PAGE, RW, ANON);
    must!(SYS_munmap, a + PAGE, PAGE);
    fill(a, PAGE, b'w');
    let (s, d) = socketpair(SOCK_DGRAM);
    t!(SYS_write, s, a + PAGE - 16, 100);
    t!(SYS_recvfrom, d, &mut [0u8; 200], 200, MSG_DONTWAIT, 0, 0);
    put(s, &[b'q'; 100]);
    t!(SYS_read, d, a + PAGE - 16, 100);
}

fn misc_outputs() {
    let (r, w) = pipe();
    put(w, b"x");
    each! {
        SYS_readlink(c"/proc/self/exe", bad(), 100);
        SYS_sendfile(w, open(c"/etc/passwd", O_RDONLY), bad(), 1);
        SYS_splice(r, bad(), w, 0, 1, 0);
        SYS_get_robust_list(0, bad(), bad());
        SYS_sched_setaffinity(0, 8, bad());
        SYS_mincore(map(PAGE, RW, ANON), PAGE, bad());
        SYS_getgroups(64, 8);
    }
}

fn offsets() {
    let from = file(c"a", b"abcdef");
    let to = file(c"b", b"");
    t!(SYS_copy_file_range, from, 8, to, 0, 3, 0);
    t!(SYS_sendfile, to, from, 8, 3);
    v!((sc!(SYS_lseek, from, 0, SEEK_CUR), fstat(to).st_size));
    let ro = map(PAGE, PROT_READ, ANON);
    t!(SYS_sendfile, to, from, ro, 3);
}

fn private_past_the_end_first() {
    let fd = file(c"short", b"x");
    let at = map_fd(fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    v!((load(at + 2 * PAGE), load(at + PAGE), load(at)));
    v!((store(at + PAGE, 1), store(at, 1)));
    let at = map_fd(fd, 3 * PAGE, PROT_READ, MAP_PRIVATE);
    v!((load(at + PAGE), load(at)));
}

fn robust_and_tid() {
    t!(SYS_futex, 8, FUTEX_WAIT, 0, 0);
    t!(SYS_futex, 9, FUTEX_WAIT, 0, 0);
    t!(SYS_futex, 8, FUTEX_WAKE, 1);
    t!(SYS_futex, 0xffff_8000_0000_0000usize, FUTEX_WAKE, 1);
    t!(SYS_futex, 9, FUTEX_WAKE, 1);
    let ro = map(PAGE, PROT_READ, ANON);
    t!(SYS_futex, ro, FUTEX_WAIT, 1, 0);
    v!(sc!(SYS_set_tid_address, 8).is_ok());
    v!(in_child(|| ()));
}

fn order_of_checks() {
    // A bad descriptor is noticed before a bad pointer, a bad pointer before most else.
    t!(SYS_read, 999, 8, 10);
    t!(SYS_write, 999, 8, 10);
    t!(SYS_fstat, 999, 8);
    t!(SYS_openat, 999, 8, O_RDONLY);
    t!(SYS_openat, 999, c"relative", O_RDONLY);
    t!(SYS_getdents64, 999, 8, 10);
    t!(SYS_ioctl, 999, TCGETS, 8);
    t!(SYS_fcntl, 999, F_SETLK, 8);
    t!(SYS_sendto, 999, 8, 10, 0, 0, 0);
    t!(SYS_clock_gettime, 999, 8);
    t!(SYS_rt_sigaction, 999, 8, 0, 8);
    t!(SYS_rt_sigaction, SIGUSR1, 8, 0, 4);
    t!(SYS_pipe2, 8, 0x7000_0000);
    t!(SYS_poll, 8, 1_000_000, 0);
    let r = open(c"/dev/null", O_RDONLY);
    t!(SYS_write, r, 8, 10);
    o!(SYS_read, r, 8, 10);
}

fn failed_read_keeps_position() {
    let fd = file(c"f", b"0123456789");
    must!(SYS_lseek, fd, 3, SEEK_SET);
    t!(SYS_read, fd, 8, 4);
    v!(get(fd, 2));
    let (r, w) = pipe();
    put(w, b"pipe");
    t!(SYS_read, r, 8, 4);
    v!(get(r, 10));
}
