//! epoll.

use crate::polls::{events, poll, ALL};
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    epoll_level,
    epoll_edge,
    epoll_oneshot,
    epoll_ctl_errors,
    epoll_wait_errors,
    epoll_mod_and_del,
    epoll_hangup,
    epoll_closed,
    epoll_dup_keeps,
    epoll_same_file_twice,
    epoll_nested,
    epoll_loop,
    epoll_regular_file,
    epoll_maxevents,
    epoll_fair,
    epoll_timeout,
    epoll_wakes,
    epoll_exclusive,
    epoll_data,
    epoll_pwait_mask,
    epoll_fork,
    epoll_edge_rearm_by_mod,
    epoll_pollable,
    epoll_pwait2,
];

fn epoll() -> i32 {
    must!(SYS_epoll_create1, 0).fd()
}

fn ctl(ep: i32, op: i32, fd: i32, bits: i32, data: u64) -> Ret {
    let mut ev = epoll_event { events: bits as u32, u64: data };
    sc!(SYS_epoll_ctl, ep, op, fd, &mut ev)
}

fn add(ep: i32, fd: i32, bits: i32, data: u64) -> Ret {
    ctl(ep, EPOLL_CTL_ADD, fd, bits, data)
}

/// The ready events, sorted by their data.
fn wait(ep: i32, max: usize, timeout: i32) -> Result<Vec<(u64, Text)>, Ret> {
    let mut evs = vec![epoll_event { events: 0, u64: 0 }; max];
    let n = sc!(SYS_epoll_wait, ep, &mut evs[..], max, timeout);
    if !n.is_ok() {
        return Err(n);
    }
    let mut out: Vec<(u64, Text)> =
        evs[..n.0 as usize].iter().map(|e| ({ e.u64 }, Text(events({ e.events } as i16)))).collect();
    out.sort();
    Ok(out)
}

fn epoll_level() {
    let (ep, (r, w)) = (epoll(), pipe());
    v!(add(ep, r, EPOLLIN, 1));
    v!(wait(ep, 4, 0));
    put(w, b"xy");
    v!((wait(ep, 4, 0), wait(ep, 4, 0)));
    get(r, 1);
    v!(wait(ep, 4, 0));
    get(r, 1);
    v!(wait(ep, 4, 0));
}

fn epoll_edge() {
    let (ep, (r, w)) = (epoll(), pipe());
    add(ep, r, EPOLLIN | EPOLLET, 1);
    put(w, b"x");
    v!((wait(ep, 4, 0), wait(ep, 4, 0)));
    put(w, b"y");
    v!((wait(ep, 4, 0), wait(ep, 4, 0)));
    get(r, 1);
    v!(wait(ep, 4, 0));
    get(r, 1);
    put(w, b"z");
    v!(wait(ep, 4, 0));
}

fn epoll_oneshot() {
    let (ep, (r, w)) = (epoll(), pipe());
    add(ep, r, EPOLLIN | EPOLLONESHOT, 1);
    put(w, b"x");
    v!((wait(ep, 4, 0), wait(ep, 4, 0)));
    put(w, b"y");
    v!(wait(ep, 4, 0));
    v!(ctl(ep, EPOLL_CTL_MOD, r, EPOLLIN | EPOLLONESHOT, 2));
    v!((wait(ep, 4, 0), wait(ep, 4, 0)));
}

fn epoll_ctl_errors() {
    let (ep, (r, w)) = (epoll(), pipe());
    v!((add(ep, r, EPOLLIN, 0), add(ep, r, EPOLLIN, 0)));
    v!((ctl(ep, EPOLL_CTL_MOD, w, 0, 0), ctl(ep, EPOLL_CTL_DEL, w, 0, 0), ctl(ep, 99, r, 0, 0), ctl(ep, 99, w, 0, 0)));
    v!((add(ep, 999, 0, 0), add(999, r, 0, 0), add(r, w, 0, 0), add(ep, ep, 0, 0)));
    t!(SYS_epoll_ctl, ep, EPOLL_CTL_DEL, r, 0);
    t!(SYS_epoll_ctl, ep, EPOLL_CTL_DEL, r, 0);
    t!(SYS_epoll_create1, 0x10);
    t!(SYS_epoll_create, 0);
    t!(SYS_epoll_create, -1);
    o!(SYS_epoll_create, 1);
}

fn epoll_wait_errors() {
    let (ep, (r, _w)) = (epoll(), pipe());
    let mut ev = [epoll_event { events: 0, u64: 0 }; 2];
    t!(SYS_epoll_wait, ep, &mut ev, 0, 0);
    t!(SYS_epoll_wait, ep, &mut ev, -1, 0);
    t!(SYS_epoll_wait, ep, &mut ev, i32::MAX, 0);
    t!(SYS_epoll_wait, r, &mut ev, 2, 0);
    t!(SYS_epoll_wait, 999, &mut ev, 2, 0);
    t!(SYS_read, ep, &mut [0u8; 8], 8);
    t!(SYS_write, ep, &[0u8; 8], 8);
}

fn epoll_mod_and_del() {
    let (ep, (r, w)) = (epoll(), pipe());
    put(w, b"x");
    add(ep, r, 0, 1);
    v!(wait(ep, 4, 0));
    v!(ctl(ep, EPOLL_CTL_MOD, r, EPOLLIN, 2));
    v!(wait(ep, 4, 0));
    add(ep, w, EPOLLOUT, 3);
    v!(wait(ep, 4, 0));
    v!(ctl(ep, EPOLL_CTL_DEL, r, 0, 0));
    v!(wait(ep, 4, 0));
}

fn epoll_hangup() {
    let (ep, (r, w)) = (epoll(), pipe());
    add(ep, r, 0, 1);
    close(w);
    v!(wait(ep, 4, 0));
    let (a, b) = socketpair(SOCK_STREAM);
    let ep = epoll();
    add(ep, a, EPOLLIN | EPOLLRDHUP, 2);
    must!(SYS_shutdown, b, SHUT_WR);
    v!(wait(ep, 4, 0));
    close(b);
    v!(wait(ep, 4, 0));
    let (r, w) = pipe();
    let ep = epoll();
    add(ep, w, EPOLLIN, 3);
    close(r);
    v!(wait(ep, 4, 0));
}

fn epoll_closed() {
    let (ep, (r, w)) = (epoll(), pipe());
    add(ep, r, EPOLLIN, 1);
    put(w, b"x");
    close(r);
    v!(wait(ep, 4, 0));
    v!(ctl(ep, EPOLL_CTL_DEL, r, 0, 0));
    let again = must!(SYS_dup, 1).fd();
    v!(again == r);
}

fn epoll_dup_keeps() {
    let (ep, (r, w)) = (epoll(), pipe());
    add(ep, r, EPOLLIN, 1);
    let dup = must!(SYS_dup, r).fd();
    close(r);
    put(w, b"x");
    // The open file lives on, so its watch does, although its descriptor is gone.
    v!(wait(ep, 4, 0));
    close(dup);
    v!(wait(ep, 4, 0));
}

fn epoll_same_file_twice() {
    let (ep, (r, w)) = (epoll(), pipe());
    let dup = must!(SYS_dup, r).fd();
    v!((add(ep, r, EPOLLIN, 1), add(ep, dup, EPOLLIN, 2)));
    put(w, b"x");
    v!(wait(ep, 4, 0));
}

fn epoll_nested() {
    let (outer, inner, (r, w)) = (epoll(), epoll(), pipe());
    add(inner, r, EPOLLIN, 1);
    v!(add(outer, inner, EPOLLIN, 2));
    v!(wait(outer, 4, 0));
    put(w, b"x");
    v!((wait(outer, 4, 0), wait(inner, 4, 0)));
    get(r, 1);
    v!((wait(outer, 4, 0), wait(inner, 4, 0)));
}

fn epoll_loop() {
    let (a, b) = (epoll(), epoll());
    v!((add(a, b, EPOLLIN, 0), add(b, a, EPOLLIN, 0)));
    let mut chain = vec![epoll()];
    let results: Vec<Ret> = (0..8)
        .map(|_| {
            let next = epoll();
            let r = add(next, chain[chain.len() - 1], EPOLLIN, 0);
            chain.push(next);
            r
        })
        .collect();
    v!(results.iter().any(|r| *r == Ret(-i64::from(ELOOP))));
}

fn epoll_regular_file() {
    let ep = epoll();
    v!(add(ep, file(c"f", b""), EPOLLIN, 0));
    v!(add(ep, open(c".", O_RDONLY), EPOLLIN, 0));
    v!(add(ep, open(c"/dev/null", O_RDWR), EPOLLIN, 0));
    v!(add(ep, must!(SYS_openat, AT_FDCWD, c".", O_PATH).fd(), EPOLLIN, 0));
    v!(add(ep, must!(SYS_eventfd2, 0, 0).fd(), EPOLLIN, 0));
}

fn epoll_maxevents() {
    let ep = epoll();
    for i in 0..5 {
        add(ep, must!(SYS_eventfd2, 1, 0).fd(), EPOLLIN, i);
    }
    v!((wait(ep, 2, 0).map(|v| v.len()).ok(), wait(ep, 10, 0).map(|v| v.len()).ok()));
}

fn epoll_fair() {
    let ep = epoll();
    for i in 0..6 {
        add(ep, must!(SYS_eventfd2, 1, 0).fd(), EPOLLIN, i);
    }
    // Level triggered files take turns when there is not room for all.
    let mut seen: Vec<u64> = (0..3).flat_map(|_| wait(ep, 2, 0).unwrap_or_default()).map(|e| e.0).collect();
    seen.sort_unstable();
    v!(seen);
}

fn epoll_timeout() {
    let ep = epoll();
    let start = std::time::Instant::now();
    v!(wait(ep, 1, 30));
    v!(start.elapsed().as_millis() >= 30);
}

fn epoll_wakes() {
    let (ep, (r, w)) = (epoll(), pipe());
    add(ep, r, EPOLLIN, 7);
    let kid = spawn(|| {
        v!(wait(ep, 1, -1));
    });
    until_sleeping(kid);
    put(w, b"x");
    v!(reap(kid));
    get(r, 1);
    // A descriptor added while another process waits counts at once.
    let kid = spawn(|| {
        v!(wait(ep, 1, -1));
    });
    until_sleeping(kid);
    add(ep, must!(SYS_eventfd2, 1, 0).fd(), EPOLLIN, 8);
    v!(reap(kid));
}

fn epoll_exclusive() {
    let (ep, (r, w)) = (epoll(), pipe());
    v!(add(ep, r, EPOLLIN | EPOLLEXCLUSIVE, 1));
    v!(ctl(ep, EPOLL_CTL_MOD, r, EPOLLIN, 1));
    v!(add(ep, w, EPOLLOUT | EPOLLEXCLUSIVE | EPOLLONESHOT, 1));
    v!(add(ep, epoll(), EPOLLIN | EPOLLEXCLUSIVE, 1));
    // Changing to it is refused before the file is looked for.
    let (other, _) = pipe();
    let mut event = epoll_event { events: (EPOLLIN | EPOLLEXCLUSIVE) as u32, u64: 0 };
    t!(SYS_epoll_ctl, ep, EPOLL_CTL_MOD, other, &mut event);
    event.events = EPOLLIN as u32;
    t!(SYS_epoll_ctl, ep, EPOLL_CTL_MOD, other, &mut event);
    put(w, b"x");
    v!(wait(ep, 4, 0));
}

fn epoll_data() {
    let ep = epoll();
    add(ep, must!(SYS_eventfd2, 1, 0).fd(), EPOLLIN, u64::MAX);
    add(ep, must!(SYS_eventfd2, 1, 0).fd(), EPOLLIN | EPOLLOUT, 0x1234_5678_9abc_def0);
    v!(wait(ep, 4, 0));
    v!(size_of::<epoll_event>());
}

fn epoll_pwait_mask() {
    let ep = epoll();
    catch(SIGUSR1, 0);
    mask(SIG_BLOCK, &[SIGUSR1]);
    must!(SYS_kill, sc!(SYS_getpid).0, SIGUSR1);
    let mut ev = epoll_event { events: 0, u64: 0 };
    t!(SYS_epoll_pwait, ep, &mut ev, 1, -1, &0u64, 8);
    v!(caught(SIGUSR1));
    t!(SYS_epoll_pwait, ep, &mut ev, 1, 0, &0u64, 4);
}

fn epoll_pwait2() {
    let ep = epoll();
    let mut ev = epoll_event { events: 0, u64: 0 };
    t!(SYS_epoll_pwait2, ep, &mut ev, 1, &timespec { tv_sec: 0, tv_nsec: 1000 }, 0, 8);
    t!(SYS_epoll_pwait2, ep, &mut ev, 1, &timespec { tv_sec: 0, tv_nsec: -1 }, 0, 8);
    add(ep, must!(SYS_eventfd2, 1, 0).fd(), EPOLLIN, 5);
    t!(SYS_epoll_pwait2, ep, &mut ev, 1, 0, 0, 8);
}

fn epoll_fork() {
    let (ep, (r, w)) = (epoll(), pipe());
    add(ep, r, EPOLLIN, 1);
    v!(in_child(|| {
        ctl(ep, EPOLL_CTL_DEL, r, 0, 0);
    }));
    put(w, b"x");
    // The instance is shared, so what the child removed is removed.
    v!(wait(ep, 4, 0));
}

fn epoll_edge_rearm_by_mod() {
    let (ep, (r, w)) = (epoll(), pipe());
    add(ep, r, EPOLLIN | EPOLLET, 1);
    put(w, b"x");
    v!((wait(ep, 4, 0), wait(ep, 4, 0)));
    ctl(ep, EPOLL_CTL_MOD, r, EPOLLIN | EPOLLET, 2);
    v!((wait(ep, 4, 0), wait(ep, 4, 0)));
}

fn epoll_pollable() {
    let (ep, (r, w)) = (epoll(), pipe());
    add(ep, r, EPOLLIN, 1);
    v!(poll(&[(ep, ALL)], 0));
    put(w, b"x");
    v!(poll(&[(ep, ALL)], 0));
}
