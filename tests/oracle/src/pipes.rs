//! Pipes and named pipes.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    pipe_basics,
    pipe_eof,
    pipe_sigpipe,
    pipe_nonblock,
    pipe_capacity,
    pipe_capacity_errors,
    pipe_buf_atomic,
    pipe_partial_write,
    pipe_writer_wakes,
    pipe_fionread,
    pipe_flags,
    pipe_direct,
    pipe_interrupted,
    pipe_read_partial,
    pipe_many_readers,
    pipe_wrong_end,
    pipe_proc_name,
    pipe_stat,
    fifo_open_rules,
    fifo_data,
    fifo_reopen,
    fifo_blocks_until_both,
    fifo_open_interrupted,
    fifo_rdwr,
    fifo_unlinked,
    fifo_hangup,
    large_transfer,
    transfer_over_areas,
    transfer_to_a_hole,
    pipe_zero_and_huge,
];

fn nonblock(fd: i32) {
    must!(SYS_fcntl, fd, F_SETFL, O_NONBLOCK);
}

pub fn poll1(fd: i32, events: i16) -> String {
    let mut p = pollfd { fd, events, revents: 0 };
    sc!(SYS_poll, &mut p, 1, 0);
    crate::polls::events(p.revents)
}

fn pipe_basics() {
    let (r, w) = pipe();
    put(w, b"one");
    put(w, b"two");
    v!((get(r, 4), get(r, 10)));
    v!((sc!(SYS_fcntl, r, F_GETFL).0 & 3, sc!(SYS_fcntl, w, F_GETFL).0 & 3));
}

fn pipe_eof() {
    let (r, w) = pipe();
    let w2 = must!(SYS_dup, w).fd();
    put(w, b"last");
    close(w);
    v!(get(r, 10));
    nonblock(r);
    v!(get(r, 10));
    close(w2);
    v!((get(r, 10), get(r, 10)));
}

fn pipe_sigpipe() {
    let (r, w) = pipe();
    close(r);
    v!(in_child(|| {
        default(SIGPIPE);
        sc!(SYS_write, w, b"x", 1);
    }));
    catch(SIGPIPE, 0);
    t!(SYS_write, w, b"x", 1);
    v!(caught(SIGPIPE));
    ignore(SIGPIPE);
    t!(SYS_write, w, b"x", 1);
    t!(SYS_write, w, b"x", 0);
    v!(poll1(w, POLLOUT));
}

fn pipe_nonblock() {
    let mut p = [0i32; 2];
    t!(SYS_pipe2, &mut p, O_NONBLOCK);
    v!(get(p[0], 1));
    let mut total = 0;
    loop {
        let n = sc!(SYS_write, p[1], &[0u8; 4096], 4096);
        if !n.is_ok() {
            v!((n, total));
            break;
        }
        total += n.0;
    }
    t!(SYS_write, p[1], b"x", 1);
    v!((poll1(p[1], POLLOUT), poll1(p[0], POLLIN)));
    get(p[0], 4096);
    v!(poll1(p[1], POLLOUT));
    t!(SYS_write, p[1], &[0u8; 8192], 8192);
}

fn pipe_capacity() {
    let (r, w) = pipe();
    t!(SYS_fcntl, w, F_GETPIPE_SZ);
    t!(SYS_fcntl, w, F_SETPIPE_SZ, 4096);
    t!(SYS_fcntl, r, F_GETPIPE_SZ);
    t!(SYS_fcntl, w, F_SETPIPE_SZ, 5000);
    t!(SYS_fcntl, w, F_SETPIPE_SZ, 100_000);
    nonblock(w);
    t!(SYS_write, w, &[1u8; 200_000], 200_000);
    t!(SYS_fcntl, w, F_SETPIPE_SZ, 4096);
    t!(SYS_read, r, &mut [0u8; 150_000], 150_000);
    t!(SYS_fcntl, w, F_SETPIPE_SZ, 4096);
}

fn pipe_capacity_errors() {
    let (_r, w) = pipe();
    t!(SYS_fcntl, w, F_SETPIPE_SZ, 0);
    t!(SYS_fcntl, w, F_SETPIPE_SZ, -1);
    t!(SYS_fcntl, file(c"f", b""), F_GETPIPE_SZ);
    t!(SYS_fcntl, 999, F_SETPIPE_SZ, 4096);
    v!(unprivileged(|| {
        t!(SYS_fcntl, w, F_SETPIPE_SZ, 1 << 30);
    }));
}

fn pipe_buf_atomic() {
    let (r, w) = pipe();
    let kids: Vec<i32> = (0..4u8)
        .map(|n| {
            spawn(move || {
                for _ in 0..50 {
                    put(w, &[b'a' + n; 1000]);
                }
            })
        })
        .collect();
    close(w);
    let mut all = Vec::new();
    let mut b = vec![0u8; 65536];
    loop {
        let n = must!(SYS_read, r, &mut b[..], 65536).0 as usize;
        if n == 0 {
            break;
        }
        all.extend_from_slice(&b[..n]);
    }
    v!(kids.into_iter().map(reap).collect::<Vec<_>>());
    v!((all.len(), all.chunks(1000).all(|c| c.iter().all(|b| *b == c[0]))));
}

fn pipe_partial_write() {
    let mut p = [0i32; 2];
    must!(SYS_pipe2, &mut p, O_NONBLOCK);
    must!(SYS_fcntl, p[1], F_SETPIPE_SZ, 4096);
    // More than PIPE_BUF may be written in part, up to PIPE_BUF may not.
    t!(SYS_write, p[1], &[0u8; 6000], 6000);
    t!(SYS_read, p[0], &mut [0u8; 100], 100);
    t!(SYS_write, p[1], &[0u8; 4096], 4096);
    t!(SYS_write, p[1], &[0u8; 50], 50);
}

fn pipe_writer_wakes() {
    let (r, w) = pipe();
    let kid = spawn(|| {
        v!(get(r, 10));
        close(w);
        v!(get(r, 10));
    });
    until_sleeping(kid);
    put(w, b"woken");
    until(|| state_of(kid) == 'S');
    close(w);
    v!(reap(kid));
    let (r, w) = pipe();
    let kid = spawn(|| {
        t!(SYS_write, w, &[7u8; 100_000], 100_000);
    });
    until_sleeping(kid);
    close(w);
    let mut total = 0;
    loop {
        let n = must!(SYS_read, r, &mut [0u8; 10_000], 10_000).0;
        total += n;
        if n == 0 {
            break;
        }
    }
    v!((total, reap(kid)));
}

fn pipe_fionread() {
    let (r, w) = pipe();
    let mut n = 9i32;
    t!(SYS_ioctl, r, FIONREAD, &mut n);
    v!(n);
    put(w, b"12345");
    put(w, b"678");
    must!(SYS_ioctl, r, FIONREAD, &mut n);
    v!(n);
    get(r, 2);
    must!(SYS_ioctl, w, FIONREAD, &mut n);
    v!(n);
    t!(SYS_ioctl, r, TCGETS, &mut [0u8; 64]);
    t!(SYS_ioctl, r, 0xdead, 0);
}

fn pipe_flags() {
    let mut p = [0i32; 2];
    t!(SYS_pipe2, &mut p, O_CLOEXEC | O_NONBLOCK);
    v!((sc!(SYS_fcntl, p[0], F_GETFD), sc!(SYS_fcntl, p[1], F_GETFL).0 & i64::from(O_NONBLOCK) != 0));
    t!(SYS_pipe2, &mut p, O_APPEND);
    t!(SYS_pipe2, &mut p, O_RDWR);
    t!(SYS_pipe, &mut p);
    v!(sc!(SYS_fcntl, p[0], F_GETFD));
}

fn pipe_direct() {
    let mut p = [0i32; 2];
    t!(SYS_pipe2, &mut p, O_DIRECT);
    // Packets: each write is read by itself, and what does not fit is lost.
    put(p[1], b"first");
    put(p[1], b"second");
    v!((get(p[0], 100), get(p[0], 3)));
    nonblock(p[0]);
    v!(get(p[0], 100));
}

fn pipe_interrupted() {
    let (r, w) = pipe();
    let kid = spawn(|| {
        catch(SIGUSR1, 0);
        v!((get(r, 1), caught(SIGUSR1)));
    });
    until_sleeping(kid);
    must!(SYS_kill, kid, SIGUSR1);
    v!(reap(kid));
    let kid = spawn(|| {
        catch(SIGUSR1, SA_RESTART);
        v!((get(r, 1), caught(SIGUSR1)));
    });
    until_sleeping(kid);
    must!(SYS_kill, kid, SIGUSR1);
    sleep_ms(20);
    put(w, b"r");
    v!(reap(kid));
}

fn pipe_read_partial() {
    let (r, w) = pipe();
    put(w, &[b'x'; 10]);
    t!(SYS_read, r, &mut [0u8; 100], 100);
    put(w, &[b'y'; 5000]);
    t!(SYS_read, r, &mut [0u8; 4097], 4097);
    t!(SYS_read, r, &mut [0u8; 4097], 4097);
}

fn pipe_many_readers() {
    let (r, w) = pipe();
    let kids: Vec<i32> = (0..4).map(|_| spawn(|| exit(get(r, 1).0.len() as i32))).collect();
    for kid in &kids {
        until_sleeping(*kid);
    }
    put(w, b"abcd");
    v!(kids.into_iter().map(reap).collect::<Vec<_>>());
}

fn pipe_wrong_end() {
    let (r, w) = pipe();
    t!(SYS_write, r, b"x", 1);
    t!(SYS_read, w, &mut [0u8; 1], 1);
}

fn pipe_proc_name() {
    let (r, w) = pipe();
    let name = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).expect("link").display().to_string();
    v!((name(r) == name(w), name(r).starts_with("pipe:["), name(r).ends_with(']')));
    let again = o!(SYS_openat, AT_FDCWD, c(&format!("/proc/self/fd/{w}")).as_c_str(), O_WRONLY).fd();
    put(again, b"reopened");
    v!(get(r, 10));
}

fn pipe_stat() {
    let (r, w) = pipe();
    let (a, b) = (fstat(r), fstat(w));
    println!("{:o} {:o} {} {}", a.st_mode, b.st_mode, a.st_ino == b.st_ino, a.st_nlink);
    v!((a.st_uid == sc!(SYS_geteuid).0 as u32, a.st_size));
}

fn pipe_zero_and_huge() {
    let (r, w) = pipe();
    put(w, b"abc");
    t!(SYS_read, r, &mut [0u8; 1], 0);
    let big = map(1 << 20, RW, ANON);
    t!(SYS_read, r, big, usize::MAX / 2);
    t!(SYS_read, r, big, usize::MAX);
    t!(SYS_write, w, big, usize::MAX);
}

fn fifo(path: &std::ffi::CStr) {
    must!(SYS_mknod, path, S_IFIFO | 0o600, 0);
}

fn fifo_open_rules() {
    fifo(c"p");
    o!(SYS_openat, AT_FDCWD, c"p", O_WRONLY | O_NONBLOCK);
    let r = o!(SYS_openat, AT_FDCWD, c"p", O_RDONLY | O_NONBLOCK).fd();
    v!((get(r, 1), poll1(r, POLLIN)));
    let w = o!(SYS_openat, AT_FDCWD, c"p", O_WRONLY | O_NONBLOCK).fd();
    v!((get(r, 1), poll1(r, POLLIN), poll1(w, POLLOUT)));
    o!(SYS_openat, AT_FDCWD, c"p", O_RDONLY | O_DIRECTORY);
}

fn fifo_data() {
    fifo(c"p");
    let kid = spawn(|| {
        let w = open(c"p", O_WRONLY);
        put(w, b"through the name");
    });
    let r = open(c"p", O_RDONLY);
    v!((get(r, 7), get(r, 20)));
    v!(reap(kid));
    v!(get(r, 20));
    v!(stat(c"p").st_size);
}

fn fifo_reopen() {
    fifo(c"p");
    let r = must!(SYS_openat, AT_FDCWD, c"p", O_RDONLY | O_NONBLOCK).fd();
    let w = open(c"p", O_WRONLY);
    put(w, b"one");
    close(w);
    v!((get(r, 10), get(r, 10)));
    let w = open(c"p", O_WRONLY);
    v!(get(r, 10));
    put(w, b"two");
    close(r);
    // With both ends closed the content is gone.
    close(w);
    let r = must!(SYS_openat, AT_FDCWD, c"p", O_RDONLY | O_NONBLOCK).fd();
    v!(get(r, 10));
}

fn fifo_blocks_until_both() {
    fifo(c"p");
    let kid = spawn(|| {
        close(open(c"p", O_WRONLY));
        exit(3);
    });
    until_sleeping(kid);
    let r = open(c"p", O_RDONLY);
    v!((reap(kid), get(r, 1)));
}

fn fifo_open_interrupted() {
    fifo(c"p");
    let kid = spawn(|| {
        catch(SIGUSR1, 0);
        let r = sc!(SYS_openat, AT_FDCWD, c"p", O_RDONLY);
        v!((r.ok(), caught(SIGUSR1)));
    });
    until_sleeping(kid);
    must!(SYS_kill, kid, SIGUSR1);
    v!(reap(kid));
}

fn fifo_rdwr() {
    fifo(c"p");
    let fd = open(c"p", O_RDWR);
    put(fd, b"self");
    v!(get(fd, 10));
    nonblock(fd);
    v!(get(fd, 10));
}

fn fifo_unlinked() {
    fifo(c"p");
    let fd = open(c"p", O_RDWR);
    must!(SYS_unlink, c"p");
    put(fd, b"still");
    v!(get(fd, 10));
    fifo(c"p");
    let other = open(c"p", O_RDWR | O_NONBLOCK);
    put(fd, b"old");
    v!(get(other, 10));
}

fn fifo_hangup() {
    fifo(c"p");
    let r = must!(SYS_openat, AT_FDCWD, c"p", O_RDONLY | O_NONBLOCK).fd();
    let w = open(c"p", O_WRONLY);
    close(w);
    v!(poll1(r, POLLIN));
    let w = open(c"p", O_WRONLY);
    v!(poll1(r, POLLIN));
    ignore(SIGPIPE);
    close(r);
    t!(SYS_write, w, b"x", 1);
    v!(poll1(w, POLLOUT));
}

/// Eight pages with a number in each: written memory, a page of nothing yet, one that may only be
/// read, one that a file shares.
fn areas() -> usize {
    let a = map(8 * PAGE, RW, ANON);
    (0..8).filter(|i| *i != 3).for_each(|i| fill(a + i * PAGE, PAGE, i as u8 + 1));
    let fd = must!(SYS_memfd_create, c"x", 0).fd();
    must!(SYS_ftruncate, fd, PAGE);
    must!(SYS_mmap, a + 5 * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0);
    fill(a + 5 * PAGE, PAGE, 77);
    must!(SYS_mprotect, a + 6 * PAGE, PAGE, PROT_READ);
    a
}

/// The bytes of memory as (byte, how many).
fn stretches(addr: usize, len: usize) -> Vec<(u8, usize)> {
    let mut all: Vec<(u8, usize)> = Vec::new();
    for byte in peek(addr, len) {
        match all.last_mut() {
            Some((last, count)) if *last == byte => *count += 1,
            _ => all.push((byte, 1)),
        }
    }
    all
}

fn transfer_over_areas() {
    let (r, w) = pipe();
    let (from, to) = (areas(), areas());
    let child = spawn(|| {
        // Half of the pages are shared with the parent, which looks at its own afterwards.
        fill(to + PAGE, PAGE, 99);
        t!(SYS_write, w, from + 100, 7 * PAGE + 1000);
        t!(SYS_read, r, to + 50, 6 * PAGE - 51);
        v!(stretches(to, 8 * PAGE));
    });
    v!(reap(child));
    v!(stretches(to, 8 * PAGE));
    let v = [from + 10, 5000, from, 0, from + 4 * PAGE - 1, 2 * PAGE + 2];
    t!(SYS_writev, w, &v[..], 3);
    let v = [to, 1, to + PAGE - 1, 2, to + 3 * PAGE, 2 * PAGE];
    t!(SYS_readv, r, &v[..], 3);
    v!(stretches(to, 8 * PAGE));
}

fn transfer_to_a_hole() {
    let (r, w) = pipe();
    let a = areas();
    must!(SYS_fcntl, r, F_SETFL, O_NONBLOCK);
    must!(SYS_munmap, a + 2 * PAGE, PAGE);
    t!(SYS_write, w, a + 10, 8 * PAGE - 10);
    t!(SYS_write, w, a + PAGE + 10, 2 * PAGE);
    t!(SYS_write, w, a + 4 * PAGE, 4 * PAGE);
    t!(SYS_read, r, a + 4 * PAGE + 1, 4 * PAGE);
    t!(SYS_read, r, a + 4 * PAGE, 4 * PAGE);
    t!(SYS_read, r, a + PAGE, 2 * PAGE);
    t!(SYS_read, r, a + 3 * PAGE, 3 * PAGE);
    v!((stretches(a, 2 * PAGE), stretches(a + 3 * PAGE, 5 * PAGE)));
}

fn large_transfer() {
    let (r, w) = pipe();
    const LEN: usize = 3_000_000;
    let kid = spawn(|| {
        let data: Vec<u8> = (0..LEN).map(|i| (i * 31 % 251) as u8).collect();
        let mut sent = 0;
        while sent < LEN {
            let end = LEN.min(sent + 77_777);
            sent += must!(SYS_write, w, &data[sent..end], end - sent).0 as usize;
        }
    });
    close(w);
    let (mut total, mut right) = (0usize, true);
    let mut b = vec![0u8; 50_001];
    loop {
        let n = must!(SYS_read, r, &mut b[..], 50_001).0 as usize;
        if n == 0 {
            break;
        }
        right &= (0..n).all(|i| b[i] == ((total + i) * 31 % 251) as u8);
        total += n;
    }
    v!((reap(kid), total, right));
}
