//! System calls that signals interrupt, and how they go on.

use crate::sys::*;
use std::arch::asm;

pub const CASES: &[crate::harness::Case] = cases![
    restart_read, restart_wait, restart_never, restart_sleep, restart_stopped, restart_futex, restart_registers,
];

fn interrupter(sig: i32, then: impl FnOnce()) -> i32 {
    let me = sc!(SYS_getpid).0;
    spawn(move || {
        sleep_ms(10);
        until_sleeping(me as i32);
        must!(SYS_kill, me, sig);
        then();
    })
}

/// Wait until a process has taken a signal that was sent to it.
fn until_taken(pid: i32, sig: i32) {
    until(|| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
        let pending = pending.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        pending.is_none_or(|set| set & 1 << (sig - 1) == 0)
    });
}

fn restart_read() {
    let me = sc!(SYS_getpid).0 as i32;
    for flags in [SA_RESTART, 0] {
        catch(SIGUSR1, flags);
        let (r, w) = pipe();
        let child = interrupter(SIGUSR1, || {
            until_taken(me, SIGUSR1);
            put(w, b"data");
        });
        v!(get(r, 10));
        v!(reap(child));
    }
    // Not by one that nobody handles.
    let (r, w) = pipe();
    let child = interrupter(SIGWINCH, || {
        sleep_ms(20);
        put(w, b"data");
    });
    v!(get(r, 10));
    v!(reap(child));
}

fn restart_wait() {
    for flags in [SA_RESTART, 0] {
        catch(SIGUSR1, flags);
        let child = interrupter(SIGUSR1, || sleep_ms(300));
        let mut status = 0;
        let ret = sc!(SYS_wait4, child, &mut status, 0, 0);
        println!("wait4 = {} {:?}", ret.ok(), if ret.is_ok() { status_text(status) } else { reap(child) });
    }
}

fn restart_never() {
    catch(SIGUSR1, SA_RESTART);
    let (r, _w) = pipe();
    let mut p = pollfd { fd: r, events: POLLIN, revents: 0 };
    let child = interrupter(SIGUSR1, || ());
    t!(SYS_poll, &mut p, 1, -1);
    v!(reap(child));
    let child = interrupter(SIGUSR1, || ());
    t!(SYS_poll, &mut p, 1, 5000);
    v!(reap(child));
    let child = interrupter(SIGUSR1, || ());
    let mut set = [0u64; 16];
    set[0] = 1 << r;
    t!(SYS_select, r + 1, &mut set, 0, 0, 0);
    v!(reap(child));
    let epoll = must!(SYS_epoll_create1, 0).fd();
    let child = interrupter(SIGUSR1, || ());
    let mut events = [0u64; 4];
    t!(SYS_epoll_wait, epoll, &mut events, 1, -1);
    v!(reap(child));
    let child = interrupter(SIGUSR1, || ());
    t!(SYS_pause);
    v!(reap(child));
}

fn restart_sleep() {
    catch(SIGUSR1, SA_RESTART);
    let child = interrupter(SIGUSR1, || ());
    let time = timespec { tv_sec: 100, tv_nsec: 0 };
    let mut left = timespec { tv_sec: -1, tv_nsec: 0 };
    t!(SYS_nanosleep, &time, &mut left);
    v!(left.tv_sec > 50);
    v!(reap(child));
    let child = interrupter(SIGUSR1, || ());
    t!(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, &mut left);
    v!(left.tv_sec > 50);
    v!(reap(child));
    let child = interrupter(SIGUSR1, || ());
    let mut at: timespec = zeroed();
    must!(SYS_clock_gettime, CLOCK_MONOTONIC, &mut at);
    at.tv_sec += 100;
    left.tv_sec = 77;
    t!(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &at, &mut left);
    v!(left.tv_sec);
    v!(reap(child));
    t!(SYS_restart_syscall);
}

fn now_ms() -> i64 {
    let mut t: timespec = zeroed();
    must!(SYS_clock_gettime, CLOCK_MONOTONIC, &mut t);
    t.tv_sec * 1000 + t.tv_nsec / 1_000_000
}

/// Calls that a stop interrupts go on afterwards, each in its way, and none is longer or shorter
/// for it.
fn restart_stopped() {
    let (r, _w) = pipe();
    let stop_it = |pid: i32| {
        until_sleeping(pid);
        must!(SYS_kill, pid, SIGSTOP);
        // On a machine that is busy enough, the call may be over by now.
        must!(SYS_waitid, P_PID, pid, 0, WSTOPPED | WEXITED | WNOWAIT, 0);
        sleep_ms(20);
        must!(SYS_kill, pid, SIGCONT);
    };
    let (time, long) = (timespec { tv_sec: 0, tv_nsec: 150_000_000 }, timespec { tv_sec: 10, tv_nsec: 0 });
    let sleeps: [(&str, &dyn Fn() -> Ret); 4] = [
        ("nanosleep", &|| sc!(SYS_nanosleep, &time, 0)),
        ("clock_nanosleep", &|| sc!(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, 0)),
        ("poll", &|| sc!(SYS_poll, &mut pollfd { fd: r, events: POLLIN, revents: 0 }, 1, 150)),
        ("futex", &|| sc!(SYS_futex, &0u32, FUTEX_WAIT, 0, &time)),
    ];
    for (name, sleep) in sleeps {
        let pid = spawn(|| {
            let start = now_ms();
            let ret = sleep();
            let took = now_ms() - start;
            println!("{name} = {ret} in time {}", (149..5000).contains(&took));
        });
        stop_it(pid);
        v!(reap(pid));
    }
    // These are interrupted by it.
    let pid = spawn(|| {
        let epoll = must!(SYS_epoll_create1, 0).fd();
        t!(SYS_epoll_wait, epoll, &mut [0u64; 4], 1, 10_000);
    });
    stop_it(pid);
    v!(reap(pid));
    let pid = spawn(|| {
        let set = 1u64 << 9;
        mask(SIG_BLOCK, &[SIGUSR1]);
        t!(SYS_rt_sigtimedwait, &set, 0, &long, 8);
    });
    stop_it(pid);
    v!(reap(pid));
}

fn restart_futex() {
    for flags in [SA_RESTART, 0] {
        catch(SIGUSR1, flags);
        let word = 0u32;
        let time = timespec { tv_sec: 5, tv_nsec: 0 };
        let child = interrupter(SIGUSR1, || ());
        t!(SYS_futex, &word, FUTEX_WAIT, 0, &time);
        v!(reap(child));
    }
}

/// A restarted call finds all its arguments again.
fn restart_registers() {
    catch(SIGUSR1, SA_RESTART);
    let (r, w) = pipe();
    let me = sc!(SYS_getpid).0 as i32;
    let child = interrupter(SIGUSR1, || {
        until_taken(me, SIGUSR1);
        put(w, b"0123456789");
    });
    let mut buf = [0u8; 10];
    let (mut rax, rdi, rsi, rdx, r8, r9, r10) = (SYS_read, r as u64, buf.as_mut_ptr(), 4u64, 55u64, 66u64, 77u64);
    let (odi, osi, odx, o8, o9, o10): (u64, u64, u64, u64, u64, u64);
    // SAFETY: registers named.
    unsafe {
        asm!("syscall", inlateout("rax") rax, inlateout("rdi") rdi => odi, inlateout("rsi") rsi => osi,
            inlateout("rdx") rdx => odx, inlateout("r8") r8 => o8, inlateout("r9") r9 => o9,
            inlateout("r10") r10 => o10, lateout("rcx") _, lateout("r11") _);
    }
    v!((rax, odi == rdi, osi == rsi as u64, odx, o8, o9, o10));
    v!(text(&buf));
    v!(reap(child));
}
