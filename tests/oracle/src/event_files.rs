//! eventfd, signalfd and timerfd.

use crate::pipes::{poll1};
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    event_counter,
    event_semaphore,
    event_overflow,
    event_errors,
    event_between,
    event_lengths, event_vectors,
    event_owner,
    signalfd_reads,
    signalfd_fields,
    signalfd_update,
    signalfd_errors,
    timerfd_counts,
    timerfd_errors,
    timerfd_alarms,
];

fn read_u64(fd: i32) -> (Ret, u64) {
    let mut n = 0u64;
    (sc!(SYS_read, fd, &mut n, 8), n)
}

fn event_counter() {
    let fd = o!(SYS_eventfd2, 3, EFD_NONBLOCK).fd();
    v!((poll1(fd, POLLIN | POLLOUT), read_u64(fd)));
    v!((poll1(fd, POLLIN | POLLOUT), read_u64(fd)));
    t!(SYS_write, fd, &5u64, 8);
    t!(SYS_write, fd, &6u64, 8);
    v!(read_u64(fd));
    t!(SYS_write, fd, &0u64, 8);
    v!(read_u64(fd).0);
}

fn event_semaphore() {
    let fd = o!(SYS_eventfd2, 2, EFD_SEMAPHORE | EFD_NONBLOCK).fd();
    v!((read_u64(fd), read_u64(fd), read_u64(fd).0));
    put(fd, &3u64.to_ne_bytes());
    v!((0..4).map(|_| read_u64(fd).0).collect::<Vec<_>>());
}

fn event_overflow() {
    let fd = must!(SYS_eventfd2, 0, EFD_NONBLOCK).fd();
    t!(SYS_write, fd, &u64::MAX, 8);
    t!(SYS_write, fd, &(u64::MAX - 1), 8);
    t!(SYS_write, fd, &1u64, 8);
    v!(poll1(fd, POLLIN | POLLOUT));
    must!(SYS_fcntl, fd, F_SETFL, 0);
    let kid = spawn(|| {
        must!(SYS_write, fd, &5u64, 8);
    });
    until_sleeping(kid);
    v!(read_u64(fd));
    v!((reap(kid), read_u64(fd)));
}

fn event_errors() {
    t!(SYS_eventfd2, 0, 0x1000);
    let fd = must!(SYS_eventfd2, 1, 0).fd();
    t!(SYS_read, fd, &mut [0u8; 4], 4);
    t!(SYS_write, fd, &1u32, 4);
    t!(SYS_read, fd, &mut [0u64; 2], 16);
    t!(SYS_pread64, fd, &mut 0u64, 8, 0);
    let name = std::fs::read_link(format!("/proc/self/fd/{fd}")).expect("link");
    v!(name.display().to_string());
}

fn event_between() {
    let fd = must!(SYS_eventfd2, 0, 0).fd();
    let kid = spawn(|| {
        v!(read_u64(fd));
    });
    until_sleeping(kid);
    put(fd, &42u64.to_ne_bytes());
    v!(reap(kid));
}

fn sigset(sigs: &[i32]) -> u64 {
    sigs.iter().map(|s| 1u64 << (s - 1)).sum()
}

/// A write is of eight bytes.
fn event_lengths() {
    let fd = must!(SYS_eventfd2, 0, EFD_NONBLOCK).fd();
    for len in [0, 7, 8, 9, 16, 4096] {
        t!(SYS_write, fd, &[1u64; 512], len);
    }
    v!(read_u64(fd));
}

/// Each segment of a vector is a write of its own.
fn event_vectors() {
    let fd = must!(SYS_eventfd2, 0, EFD_NONBLOCK).fd();
    let numbers = [1u64, 2, u64::MAX - 1];
    let at = |n: usize| &raw const numbers[n] as usize;
    for parts in [
        [(at(0), 8), (at(1), 8), (at(1), 8)],
        [(at(0), 8), (at(1), 8), (at(0), 4)],
        [(at(0), 4), (at(0) + 4, 4), (at(1), 8)],
        [(at(0), 8), (0, 8), (at(1), 8)],
        [(0, 8), (at(0), 30), (at(1), 8)],
        [(at(2), 8), (at(1), 8), (at(0), 8)],
    ] {
        t!(SYS_writev, fd, &iov(&parts)[..], 3);
        v!(read_u64(fd));
    }
}

/// Files without a name are root's, whoever made them; pipes are not.
fn event_owner() {
    must!(SYS_setuid, 1000);
    let mut ends = [0i32; 2];
    must!(SYS_pipe2, &mut ends, 0);
    let event = must!(SYS_eventfd2, 0, 0).fd();
    let epoll = must!(SYS_epoll_create1, 0).fd();
    for fd in [ends[0], event, epoll] {
        let mut stat: libc::stat = zeroed();
        must!(SYS_fstat, fd, &mut stat);
        v!((stat.st_uid, stat.st_mode & 0o777));
    }
}

fn signalfd_reads() {
    mask(SIG_BLOCK, &[SIGUSR1, SIGUSR2]);
    let fd = o!(SYS_signalfd4, -1, &sigset(&[SIGUSR1, SIGUSR2]), 8, SFD_NONBLOCK).fd();
    let mut info: [libc::signalfd_siginfo; 3] = zeroed();
    t!(SYS_read, fd, &mut info, 128 * 3);
    must!(SYS_kill, sc!(SYS_getpid).0, SIGUSR2);
    must!(SYS_kill, sc!(SYS_getpid).0, SIGUSR1);
    must!(SYS_kill, sc!(SYS_getpid).0, SIGUSR1);
    v!(poll1(fd, POLLIN));
    t!(SYS_read, fd, &mut info, 128 * 3);
    v!((info[0].ssi_signo as i32 == SIGUSR1, info[1].ssi_signo as i32 == SIGUSR2));
    t!(SYS_read, fd, &mut info, 128);
    t!(SYS_read, fd, &mut info, 100);
}

fn signalfd_fields() {
    mask(SIG_BLOCK, &[SIGCHLD, SIGUSR1]);
    let fd = must!(SYS_signalfd4, -1, &sigset(&[SIGCHLD, SIGUSR1]), 8, 0).fd();
    let mut info: libc::signalfd_siginfo = zeroed();
    let kid = spawn(|| exit(9));
    t!(SYS_read, fd, &mut info, 128);
    v!((info.ssi_signo as i32 == SIGCHLD, info.ssi_pid as i32 == kid, info.ssi_status, info.ssi_code == CLD_EXITED));
    reap(kid);
    must!(SYS_kill, sc!(SYS_getpid).0, SIGUSR1);
    must!(SYS_read, fd, &mut info, 128);
    v!((info.ssi_signo as i32 == SIGUSR1, info.ssi_code == SI_USER, i64::from(info.ssi_pid) == sc!(SYS_getpid).0));
}

fn signalfd_update() {
    mask(SIG_BLOCK, &[SIGUSR1, SIGUSR2]);
    let fd = must!(SYS_signalfd4, -1, &sigset(&[SIGUSR1]), 8, SFD_NONBLOCK).fd();
    must!(SYS_kill, sc!(SYS_getpid).0, SIGUSR2);
    v!(poll1(fd, POLLIN));
    v!(sc!(SYS_signalfd4, fd, &sigset(&[SIGUSR2]), 8, 0).fd() == fd);
    v!(poll1(fd, POLLIN));
}

fn signalfd_errors() {
    t!(SYS_signalfd4, -1, &0u64, 4, 0);
    t!(SYS_signalfd4, -1, &0u64, 8, 0x10);
    t!(SYS_signalfd4, 999, &0u64, 8, 0);
    t!(SYS_signalfd4, 1, &0u64, 8, 0);
    o!(SYS_signalfd4, -1, &u64::MAX, 8, SFD_CLOEXEC);
}

fn timerfd_counts() {
    let fd = must!(SYS_timerfd_create, CLOCK_MONOTONIC, TFD_NONBLOCK).fd();
    v!(read_u64(fd).0);
    // Far in the past and periodic: expired many times over at once.
    let spec = [0i64, 1_000_000, 0, 1];
    t!(SYS_timerfd_settime, fd, TFD_TIMER_ABSTIME, &spec, 0);
    let (ret, n) = read_u64(fd);
    v!((ret, n > 1000));
    t!(SYS_timerfd_settime, fd, 0, &[0i64, 0, 0, 1_000_000], 0);
    let mut p = pollfd { fd, events: POLLIN, revents: 0 };
    t!(SYS_poll, &mut p, 1, 5000);
    v!((read_u64(fd), read_u64(fd).0));
    t!(SYS_timerfd_settime, fd, 0, &[0i64, 0, 1000, 0], 0);
    let mut now = [0i64; 4];
    t!(SYS_timerfd_settime, fd, 0, &[0i64; 4], &mut now);
    v!((now[0], now[1], now[2] > 990));
    t!(SYS_timerfd_gettime, fd, &mut now);
    v!(now);
}

fn timerfd_errors() {
    t!(SYS_timerfd_create, 77, 0);
    t!(SYS_timerfd_create, CLOCK_MONOTONIC, 0x100);
    let fd = must!(SYS_timerfd_create, CLOCK_REALTIME, 0).fd();
    t!(SYS_timerfd_settime, fd, 0, &[0i64, 0, 0, 1_000_000_000], 0);
    t!(SYS_timerfd_settime, fd, 0, &[0i64, 0, -1, 0], 0);
    t!(SYS_timerfd_settime, fd, 0x80, &[0i64; 4], 0);
    t!(SYS_timerfd_settime, 1, 0, &[0i64; 4], 0);
    t!(SYS_timerfd_gettime, 999, &mut [0i64; 4]);
    t!(SYS_read, fd, &mut [0u8; 4], 4);
}

/// To wake a machine takes a right, after the flags are looked at.
fn timerfd_alarms() {
    o!(SYS_timerfd_create, CLOCK_REALTIME_ALARM, 0);
    must!(SYS_setuid, 1000);
    for clock in [CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM] {
        t!(SYS_timerfd_create, clock, 0);
        t!(SYS_timerfd_create, clock, 0x100);
    }
}
