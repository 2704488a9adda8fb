//! poll and select.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    poll_states,
    poll_invalid,
    poll_ignored,
    poll_hangup,
    poll_regular,
    poll_timeout,
    poll_wakes,
    poll_interrupted,
    poll_same_twice,
    ppoll_mask,
    ppoll_timeout_kept,
    select_basics,
    select_bad,
    select_all_sets,
    select_timeout,
    pselect_mask,
    select_priority,
    poll_socket,
];

pub fn events(bits: i16) -> String {
    let all = [
        (POLLIN, "in"),
        (POLLPRI, "pri"),
        (POLLOUT, "out"),
        (POLLERR, "err"),
        (POLLHUP, "hup"),
        (POLLNVAL, "nval"),
        (POLLRDNORM, "rdnorm"),
        (POLLWRNORM, "wrnorm"),
        (POLLRDHUP, "rdhup"),
    ];
    let names: Vec<&str> = all.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, n)| *n).collect();
    if names.is_empty() { "-".to_string() } else { names.join("|") }
}

pub fn poll(set: &[(i32, i16)], timeout: i32) -> (Ret, Vec<Text>) {
    let mut p: Vec<pollfd> = set.iter().map(|&(fd, events)| pollfd { fd, events, revents: 0 }).collect();
    let n = sc!(SYS_poll, &mut p[..], p.len(), timeout);
    (n, p.iter().map(|p| Text(events(p.revents))).collect())
}

pub const ALL: i16 = POLLIN | POLLOUT | POLLPRI | POLLRDHUP;

fn poll_states() {
    let (r, w) = pipe();
    v!(poll(&[(r, ALL), (w, ALL)], 0));
    put(w, b"x");
    v!(poll(&[(r, ALL), (w, ALL)], 0));
    v!(poll(&[(r, POLLIN | POLLRDNORM), (w, POLLWRNORM)], 0));
    v!(poll(&[(r, 0), (w, 0)], 0));
}

fn poll_invalid() {
    let (r, w) = pipe();
    close(r);
    v!(poll(&[(r, POLLIN), (999, POLLIN), (w, 0)], 0));
    v!(poll(&[(999, 0)], -1));
    let path = must!(SYS_openat, AT_FDCWD, c".", O_PATH).fd();
    v!(poll(&[(path, POLLIN)], 0));
}

fn poll_ignored() {
    v!(poll(&[(-1, POLLIN), (-5, POLLOUT)], 0));
    v!(poll(&[], 0));
    let (r, w) = pipe();
    put(w, b"x");
    v!(poll(&[(-1, POLLIN), (r, POLLIN)], -1));
}

fn poll_hangup() {
    let (r, w) = pipe();
    put(w, b"x");
    close(w);
    v!(poll(&[(r, ALL)], 0));
    get(r, 1);
    v!(poll(&[(r, ALL), (r, 0)], 0));
    let (r, w) = pipe();
    close(r);
    v!(poll(&[(w, ALL), (w, 0)], 0));
}

fn poll_socket() {
    let (a, b) = socketpair(SOCK_STREAM);
    v!(poll(&[(a, ALL), (b, ALL)], 0));
    must!(SYS_shutdown, a, SHUT_WR);
    v!(poll(&[(a, ALL), (b, ALL)], 0));
    must!(SYS_shutdown, a, SHUT_RD);
    v!(poll(&[(a, ALL), (b, ALL)], 0));
    close(a);
    v!(poll(&[(b, ALL), (b, 0)], 0));
    let unconnected = must!(SYS_socket, AF_UNIX, SOCK_STREAM, 0).fd();
    v!(poll(&[(unconnected, ALL)], 0));
}

fn poll_regular() {
    let fd = file(c"f", b"");
    let dir = open(c".", O_RDONLY);
    v!(poll(&[(fd, ALL), (dir, ALL), (open(c"/dev/null", O_RDWR), ALL), (open(c"/dev/zero", O_RDWR), ALL)], 0));
}

fn poll_timeout() {
    let (r, _w) = pipe();
    let start = std::time::Instant::now();
    v!(poll(&[(r, POLLIN)], 30));
    v!(start.elapsed().as_millis() >= 30);
    v!(poll(&[(r, POLLIN)], 0));
}

fn poll_wakes() {
    let (r, w) = pipe();
    let kid = spawn(|| {
        v!(poll(&[(r, POLLIN)], -1));
    });
    until_sleeping(kid);
    put(w, b"x");
    v!(reap(kid));
    get(r, 1);
    let kid = spawn(|| {
        close(w);
        v!(poll(&[(r, POLLIN)], -1));
    });
    until_sleeping(kid);
    close(w);
    v!(reap(kid));
}

fn poll_interrupted() {
    let (r, _w) = pipe();
    let kid = spawn(|| {
        // poll is not restarted, whatever the handler says.
        catch(SIGUSR1, SA_RESTART);
        v!((poll(&[(r, POLLIN)], -1).0, caught(SIGUSR1)));
    });
    until_sleeping(kid);
    must!(SYS_kill, kid, SIGUSR1);
    v!(reap(kid));
}

fn poll_same_twice() {
    let (r, w) = pipe();
    put(w, b"x");
    v!(poll(&[(r, POLLIN), (r, POLLOUT), (r, POLLIN)], 0));
}

fn ppoll_mask() {
    let (r, _w) = pipe();
    catch(SIGUSR1, 0);
    mask(SIG_BLOCK, &[SIGUSR1]);
    must!(SYS_kill, sc!(SYS_getpid).0, SIGUSR1);
    v!(caught(SIGUSR1));
    let mut p = pollfd { fd: r, events: POLLIN, revents: 0 };
    t!(SYS_ppoll, &mut p, 1, 0, &0u64, 8);
    v!(caught(SIGUSR1));
    must!(SYS_kill, sc!(SYS_getpid).0, SIGUSR1);
    v!(caught(SIGUSR1));
    t!(SYS_ppoll, &mut p, 1, &mut timespec { tv_sec: 0, tv_nsec: 0 }, 0, 8);
    t!(SYS_ppoll, &mut p, 1, &mut timespec { tv_sec: 0, tv_nsec: 0 }, &0u64, 4);
    t!(SYS_ppoll, &mut p, 1, &mut timespec { tv_sec: 0, tv_nsec: 2_000_000_000 }, 0, 8);
    t!(SYS_ppoll, &mut p, 1, &mut timespec { tv_sec: -1, tv_nsec: 0 }, 0, 8);
}

fn ppoll_timeout_kept() {
    let (r, w) = pipe();
    put(w, b"x");
    let mut p = pollfd { fd: r, events: POLLIN, revents: 0 };
    let mut left = timespec { tv_sec: 100, tv_nsec: 0 };
    t!(SYS_ppoll, &mut p, 1, &mut left, 0, 8);
    v!(left.tv_sec >= 99);
}

fn set(fds: &[i32]) -> [u64; 16] {
    let mut s = [0u64; 16];
    for fd in fds {
        s[*fd as usize / 64] |= 1 << (fd % 64);
    }
    s
}

fn has(s: &[u64; 16], fd: i32) -> bool {
    s[fd as usize / 64] & 1 << (fd % 64) != 0
}

fn now() -> timeval {
    timeval { tv_sec: 0, tv_usec: 0 }
}

fn select_basics() {
    let (r, w) = pipe();
    let (mut rs, mut ws) = (set(&[r]), set(&[w]));
    t!(SYS_select, w.max(r) + 1, &mut rs, &mut ws, 0, &mut now());
    v!((has(&rs, r), has(&ws, w)));
    put(w, b"x");
    rs = set(&[r]);
    t!(SYS_select, w.max(r) + 1, &mut rs, 0, 0, 0);
    v!(has(&rs, r));
    // Descriptors at and above the count are not looked at.
    rs = set(&[r]);
    t!(SYS_select, r, &mut rs, 0, 0, &mut now());
}

fn select_bad() {
    let (r, w) = pipe();
    close(w);
    let mut rs = set(&[r, w]);
    t!(SYS_select, 64, &mut rs, 0, 0, &mut now());
    t!(SYS_select, -1, 0, 0, 0, &mut now());
    t!(SYS_select, 0, 0, 0, 0, &mut now());
    t!(SYS_select, 0, 0, 0, 0, &mut timeval { tv_sec: -1, tv_usec: 0 });
    t!(SYS_select, 0, 0, 0, 0, &mut timeval { tv_sec: 0, tv_usec: 1_000_000 });
    t!(SYS_pselect6, 0, 0, 0, 0, &timespec { tv_sec: 0, tv_nsec: -1 }, 0);
}

fn select_all_sets() {
    let (a, b) = socketpair(SOCK_STREAM);
    put(b, b"x");
    let (mut rs, mut ws, mut es) = (set(&[a]), set(&[a]), set(&[a]));
    // The count is of bits, not of descriptors.
    t!(SYS_select, a + 1, &mut rs, &mut ws, &mut es, &mut now());
    v!((has(&rs, a), has(&ws, a), has(&es, a)));
    close(b);
    (rs, ws, es) = (set(&[a]), set(&[a]), set(&[a]));
    t!(SYS_select, a + 1, &mut rs, &mut ws, &mut es, &mut now());
    v!((has(&rs, a), has(&ws, a), has(&es, a)));
}

fn select_timeout() {
    let (r, _w) = pipe();
    let mut rs = set(&[r]);
    let mut tv = timeval { tv_sec: 0, tv_usec: 20_000 };
    t!(SYS_select, r + 1, &mut rs, 0, 0, &mut tv);
    v!((has(&rs, r), tv.tv_sec, tv.tv_usec));
}

fn pselect_mask() {
    catch(SIGUSR1, 0);
    mask(SIG_BLOCK, &[SIGUSR1]);
    must!(SYS_kill, sc!(SYS_getpid).0, SIGUSR1);
    let empty = 0u64;
    let arg = [std::ptr::from_ref(&empty) as usize, 8];
    t!(SYS_pselect6, 0, 0, 0, 0, 0, &arg);
    v!(caught(SIGUSR1));
    t!(SYS_pselect6, 0, 0, 0, 0, &timespec { tv_sec: 0, tv_nsec: 0 }, &[std::ptr::from_ref(&empty) as usize, 4]);
}

fn select_priority() {
    let (r, w) = pipe();
    close(r);
    let (mut rs, mut ws) = (set(&[w]), set(&[w]));
    t!(SYS_select, w + 1, &mut rs, &mut ws, 0, &mut now());
    v!((has(&rs, w), has(&ws, w)));
}
