//! Clocks, sleeps, interval timers and POSIX timers.

use crate::signals::handle;
use crate::sys::*;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};

pub const CASES: &[crate::harness::Case] = cases![
    clocks, clock_values, clock_setting, cpu_clocks, time_calls, sleep_errors, sleep_lengths, sleep_absolute, alarm_basics,
    interval_errors, interval_once, interval_periodic, interval_fork_exec, interval_virtual, interval_prof,
    interval_interrupts_loop, timer_errors, timer_signal, timer_value, timer_periodic_overrun, timer_none,
    timer_thread, timer_absolute, timer_in_the_past, timer_file_in_the_past, timer_rearm_drops, timer_delete_drops, timer_cpu, timer_fork_exec, limit_cpu,
    adjust,
];

fn now(clock: i32) -> i64 {
    let mut t: timespec = zeroed();
    must!(SYS_clock_gettime, clock, &mut t);
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

fn ns(n: i64) -> timespec {
    timespec { tv_sec: n / 1_000_000_000, tv_nsec: n % 1_000_000_000 }
}

const MS: i64 = 1_000_000;

fn clocks() {
    for id in -1..20 {
        let mut t = [0i64; 2];
        let get = sc!(SYS_clock_gettime, id, &mut t).ok();
        let mut res = [0i64; 2];
        let got = sc!(SYS_clock_getres, id, &mut res);
        let one = ns(1);
        let sleep = if id == 2 { Text("-".into()) } else { Text(sc!(SYS_clock_nanosleep, id, 0, &one, 0).to_string()) };
        let mut timer = -1i32;
        let create = sc!(SYS_timer_create, id, 0, &mut timer).ok();
        println!("{id}: get {get} res {got} {res:?} sleep {sleep:?} timer {create}");
    }
    t!(SYS_clock_gettime, 0, 8);
    t!(SYS_clock_getres, 0, 0);
    t!(SYS_clock_getres, 0, 8);
}

fn clock_values() {
    let before = now(CLOCK_MONOTONIC);
    sleep_ms(5);
    let after = now(CLOCK_MONOTONIC);
    v!((after - before) / MS >= 5);
    v!((now(CLOCK_REALTIME) - now(CLOCK_REALTIME_COARSE)) / MS < 50);
    v!((now(CLOCK_MONOTONIC) - now(CLOCK_MONOTONIC_COARSE)) / MS < 50);
    let monotonic = now(CLOCK_MONOTONIC);
    v!(now(CLOCK_BOOTTIME) >= monotonic);
    v!(((now(CLOCK_TAI) - now(CLOCK_REALTIME)) / 1000 / MS).abs() < 60);
    v!(now(CLOCK_REALTIME) > 1_600_000_000 * 1000 * MS);
}

fn clock_setting() {
    v!(unprivileged(|| {
        let t = ns(now(CLOCK_REALTIME));
        t!(SYS_clock_settime, CLOCK_REALTIME, &t);
        t!(SYS_clock_settime, CLOCK_MONOTONIC, &t);
        t!(SYS_clock_settime, 99, &t);
        t!(SYS_clock_settime, CLOCK_REALTIME, 8);
        t!(SYS_settimeofday, &[1u64, 1], 0);
        t!(SYS_settimeofday, &[1u64, 1_000_000], 0);
        t!(SYS_settimeofday, 8, 0);
    }));
}

/// Waits for a signal that is blocked, however early it comes.
fn suspend() {
    let none = 0u64;
    t!(SYS_rt_sigsuspend, &none, 8);
}

/// Uses CPU time until the handler has run so often.
fn until_caught(sig: i32, times: i32) {
    let before = caught(sig);
    while caught(sig) - before < times {
        std::hint::spin_loop();
    }
}

/// Uses this much CPU time, however long it takes.
fn use_cpu(ms: i64) {
    let end = now(CLOCK_PROCESS_CPUTIME_ID) + ms * MS;
    while now(CLOCK_PROCESS_CPUTIME_ID) < end {
        for _ in 0..1000 {
            std::hint::spin_loop();
        }
    }
}

fn cpu_clocks() {
    let me = sc!(SYS_getpid).0 as i32;
    let tid = sc!(SYS_gettid).0 as i32;
    let clock = |pid: i32, kind: i32| (!pid << 3) | kind;
    let (a, b) = (now(CLOCK_PROCESS_CPUTIME_ID), now(CLOCK_THREAD_CPUTIME_ID));
    use_cpu(20);
    v!(now(CLOCK_PROCESS_CPUTIME_ID) - a >= 20 * MS);
    v!(now(CLOCK_THREAD_CPUTIME_ID) - b >= 19 * MS);
    let idle = now(CLOCK_PROCESS_CPUTIME_ID);
    sleep_ms(50);
    v!(now(CLOCK_PROCESS_CPUTIME_ID) - idle < 20 * MS);
    let mut t = [0u64; 2];
    for kind in 0..8 {
        println!("own {kind} {}", sc!(SYS_clock_gettime, clock(me, kind), &mut t));
        println!("self {kind} {}", sc!(SYS_clock_gettime, clock(0, kind), &mut t));
        println!("thread {kind} {}", sc!(SYS_clock_gettime, clock(tid, kind), &mut t));
        println!("gone {kind} {}", sc!(SYS_clock_gettime, clock(4_000_000, kind), &mut t));
        let mut res = [0u64; 2];
        println!("res {kind} {} {res:?}", sc!(SYS_clock_getres, clock(0, kind), &mut res));
    }
    v!(now(clock(me, 2)) - now(CLOCK_PROCESS_CPUTIME_ID) <= 0);
    let child = spawn(|| use_cpu(50));
    until(|| now(clock(child, 2)) > 0);
    v!(sc!(SYS_clock_gettime, clock(child, 6), &mut t));
    v!(reap(child));
    v!(sc!(SYS_clock_gettime, clock(child, 2), &mut t));
}

fn time_calls() {
    let mut tv = [0i64; 2];
    let mut tz = [9i32; 2];
    t!(SYS_gettimeofday, &mut tv, &mut tz);
    v!((now(CLOCK_REALTIME) / 1000 / MS - tv[0]).abs() <= 1);
    v!(tz);
    t!(SYS_gettimeofday, 0, 0);
    t!(SYS_gettimeofday, 8, 0);
    let mut t = 0i64;
    let ret = sc!(SYS_time, &mut t);
    v!(ret.0 == t && (t - tv[0]).abs() <= 1);
    t!(SYS_time, 8);
    let mut times = [0i64; 4];
    use_cpu(30);
    let a = must!(SYS_times, &mut times).0;
    v!(times[0] + times[1] >= 2);
    v!(in_child(|| use_cpu(40)));
    sleep_ms(20);
    let b = must!(SYS_times, &mut times).0;
    v!((b - a) >= 4 && (b - a) < 1000);
    v!(times[2] + times[3] >= 3);
    v!(sc!(SYS_times, 0).0 >= b);
    t!(SYS_times, 8);
}

fn sleep_errors() {
    for (sec, nsec) in [(0, 1_000_000_000), (0, -1), (-1, 0), (-1, -1), (0, i64::MAX), (i64::MIN, 0)] {
        let t = timespec { tv_sec: sec, tv_nsec: nsec };
        println!("{sec} {nsec}: {} {}", sc!(SYS_nanosleep, &t, 0), sc!(SYS_clock_nanosleep, 1, 0, &t, 0));
        println!("{sec} {nsec}: {}", sc!(SYS_clock_nanosleep, 1, TIMER_ABSTIME, &t, 0));
    }
    t!(SYS_nanosleep, 8, 0);
    t!(SYS_clock_nanosleep, 1, 0, 8, 0);
    t!(SYS_clock_nanosleep, 99, 0, 8, 0);
    let zero = ns(0);
    t!(SYS_nanosleep, &zero, 8);
    t!(SYS_clock_nanosleep, 1, 77 << 8, &zero, 0);
    // Longer than any clock: it sleeps.
    let forever = timespec { tv_sec: i64::MAX, tv_nsec: 999_999_999 };
    catch(SIGALRM, 0);
    sc!(SYS_alarm, 1);
    t!(SYS_nanosleep, &forever, 0);
}

fn sleep_lengths() {
    for ms in [0, 1, 3, 10, 50] {
        let start = now(CLOCK_MONOTONIC);
        let t = ns(ms * MS);
        must!(SYS_nanosleep, &t, 0);
        let took = now(CLOCK_MONOTONIC) - start;
        println!("{ms} {} {}", took >= ms * MS, took < (ms + 20_000) * MS);
    }
}

fn sleep_absolute() {
    for clock in [CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI] {
        let at = now(clock) + 20 * MS;
        let t = ns(at);
        println!("{clock} {} {}", sc!(SYS_clock_nanosleep, clock, TIMER_ABSTIME, &t, 0), now(clock) >= at);
        println!("{clock} {}", sc!(SYS_clock_nanosleep, clock, TIMER_ABSTIME, &t, 0));
    }
}

fn alarm_basics() {
    mask(SIG_BLOCK, &[SIGALRM]);
    catch(SIGALRM, SA_RESTART);
    t!(SYS_alarm, 0);
    t!(SYS_alarm, 100);
    t!(SYS_alarm, 1);
    t!(SYS_alarm, 0);
    t!(SYS_alarm, 1);
    suspend();
    v!(caught(SIGALRM));
    t!(SYS_alarm, 0);
    let half = [0i64, 0, 0, 400_000];
    must!(SYS_setitimer, 0, &half, 0);
    t!(SYS_alarm, 0);
    let more = [0i64, 0, 5, 990_000];
    must!(SYS_setitimer, 0, &more, 0);
    t!(SYS_alarm, u32::MAX);
    t!(SYS_alarm, 0);
}

fn interval_errors() {
    let v = [0i64, 0, 1, 0];
    let mut old = [7i64; 4];
    t!(SYS_setitimer, 3, &v, &mut old);
    t!(SYS_setitimer, -1, &v, &mut old);
    t!(SYS_getitimer, 3, &mut old);
    t!(SYS_getitimer, 0, 8);
    t!(SYS_setitimer, 0, 8, 0);
    for bad in [[0i64, 0, 0, 1_000_000], [0, 0, 0, -1], [0, 0, -1, 0], [0, 1_000_000, 1, 0], [-1, 0, 1, 0]] {
        println!("{bad:?} {}", sc!(SYS_setitimer, 0, &bad, 0));
    }
    t!(SYS_setitimer, 0, &v, 8);
    t!(SYS_getitimer, 0, &mut old);
    v!(old[2] == 0 && old[3] > 0);
    t!(SYS_setitimer, 0, 0, &mut old);
    t!(SYS_getitimer, 0, &mut old);
    v!(old);
}

fn interval_once() {
    mask(SIG_BLOCK, &[SIGALRM]);
    catch(SIGALRM, 0);
    let v = [0i64, 0, 0, 20_000];
    let start = now(CLOCK_MONOTONIC);
    must!(SYS_setitimer, 0, &v, 0);
    suspend();
    v!(now(CLOCK_MONOTONIC) - start >= 20 * MS);
    sleep_ms(50);
    v!(caught(SIGALRM));
    let mut left = [9i64; 4];
    t!(SYS_getitimer, 0, &mut left);
    v!(left);
}

fn interval_periodic() {
    catch(SIGALRM, 0);
    let v = [0i64, 5_000, 0, 5_000];
    let start = now(CLOCK_MONOTONIC);
    must!(SYS_setitimer, 0, &v, 0);
    while caught(SIGALRM) < 10 {
        sc!(SYS_pause);
    }
    let took = now(CLOCK_MONOTONIC) - start;
    v!(took >= 50 * MS);
    let mut left = [9i64; 4];
    t!(SYS_getitimer, 0, &mut left);
    v!((left[0], left[1], left[2], left[3] > 0 && left[3] <= 5000));
    // Blocked, it is pending once.
    mask(SIG_BLOCK, &[SIGALRM]);
    let so_far = caught(SIGALRM);
    sleep_ms(40);
    let stop = [0i64; 4];
    must!(SYS_setitimer, 0, &stop, 0);
    mask(SIG_UNBLOCK, &[SIGALRM]);
    v!(caught(SIGALRM) - so_far);
}

fn interval_fork_exec() {
    let long = [0i64, 0, 1000, 0];
    must!(SYS_setitimer, 0, &long, 0);
    v!(in_child(|| {
        let mut left = [9i64; 4];
        t!(SYS_getitimer, 0, &mut left);
        v!(left);
    }));
    let stop = [0i64; 4];
    must!(SYS_setitimer, 0, &stop, 0);
    v!(in_child(|| {
        let v = [0i64, 0, 0, 60_000];
        must!(SYS_setitimer, 0, &v, 0);
        let (sh, flag, script) = (c("/bin/sh"), c("-c"), c("while :; do :; done"));
        let argv = [sh.as_ptr(), flag.as_ptr(), script.as_ptr(), std::ptr::null()];
        let env = [std::ptr::null::<i8>()];
        must!(SYS_execve, sh.as_c_str(), &argv, &env);
    }));
}

fn cpu_interval(which: i32, sig: i32) {
    catch(sig, 0);
    let v = [0i64, 0, 0, 20_000];
    must!(SYS_setitimer, which, &v, 0);
    sleep_ms(60);
    v!(caught(sig));
    let mut left = [9i64; 4];
    must!(SYS_getitimer, which, &mut left);
    v!((left[0], left[1], left[2], left[3] > 0 && left[3] <= 24_000));
    use_cpu(60);
    v!(caught(sig));
    must!(SYS_getitimer, which, &mut left);
    v!(left);
    let v = [0i64, 10_000, 0, 10_000];
    let start = now(CLOCK_PROCESS_CPUTIME_ID);
    must!(SYS_setitimer, which, &v, 0);
    until_caught(sig, 5);
    v!(now(CLOCK_PROCESS_CPUTIME_ID) - start >= 30 * MS);
    let stop = [0i64; 4];
    must!(SYS_setitimer, which, &stop, 0);
}

fn interval_virtual() {
    catch(SIGVTALRM, 0);
    let v = [0i64, 0, 0, 20_000];
    must!(SYS_setitimer, 1, &v, 0);
    sleep_ms(60);
    v!(caught(SIGVTALRM));
    // No system call at all from here on.
    let mut rounds = 0u64;
    while caught(SIGVTALRM) == 0 {
        rounds += 1;
        std::hint::black_box(&rounds);
    }
    v!(caught(SIGVTALRM));
}

fn interval_prof() {
    cpu_interval(2, SIGPROF);
}

fn interval_interrupts_loop() {
    catch(SIGALRM, 0);
    for _ in 0..20 {
        let before = caught(SIGALRM);
        let v = [0i64, 0, 0, 1_000];
        must!(SYS_setitimer, 0, &v, 0);
        while caught(SIGALRM) == before {
            std::hint::spin_loop();
        }
    }
    v!(caught(SIGALRM));
}

fn timer_errors() {
    let mut id = -1i32;
    let mut event: [u64; 8] = [0; 8];
    t!(SYS_timer_create, 99, 0, &mut id);
    t!(SYS_timer_create, CLOCK_MONOTONIC, 8, &mut id);
    t!(SYS_timer_create, CLOCK_MONOTONIC, 0, 8);
    for (sig, kind, tid) in
        [(10, 0, 0), (0, 0, 0), (65, 0, 0), (-1, 0, 0), (0, 1, 0), (99, 1, 0), (10, 2, 0), (10, 3, 0), (10, 4, 0), (10, 4, 1), (10, 5, 0), (64, 0, 0)]
    {
        event[1] = u64::from(sig as u32) | (kind as u64) << 32;
        event[2] = tid;
        println!("signal {sig} kind {kind} thread {tid}: {}", sc!(SYS_timer_create, CLOCK_MONOTONIC, &event, &mut id).ok());
    }
    let v = [0i64; 4];
    t!(SYS_timer_settime, 4_000_000, 0, &v, 0);
    t!(SYS_timer_settime, -1, 0, &v, 0);
    t!(SYS_timer_gettime, 4_000_000, &v);
    t!(SYS_timer_getoverrun, 4_000_000);
    t!(SYS_timer_delete, 4_000_000);
    must!(SYS_timer_create, CLOCK_MONOTONIC, 0, &mut id);
    t!(SYS_timer_settime, id, 0, 0, 0);
    t!(SYS_timer_settime, id, 0, 8, 0);
    t!(SYS_timer_gettime, id, 8);
    t!(SYS_timer_settime, id, 0, &v, 8);
    t!(SYS_timer_settime, id, 0xff << 8, &v, 0);
    for bad in [[0i64, 0, 0, 1_000_000_000], [0, 0, -1, 0], [0, 0, 0, -1], [0, 1_000_000_000, 1, 0], [-1, 0, 1, 0]] {
        println!("{bad:?} {}", sc!(SYS_timer_settime, id, 0, &bad, 0));
    }
    t!(SYS_timer_getoverrun, id);
    t!(SYS_timer_delete, id);
    t!(SYS_timer_delete, id);
}

fn create(clock: i32, sig: i32, kind: i32, value: u64, tid: u64) -> i32 {
    let mut event: [u64; 8] = [0; 8];
    event[0] = value;
    event[1] = sig as u64 | (kind as u64) << 32;
    event[2] = tid;
    let mut id = -1i32;
    must!(SYS_timer_create, clock, &event, &mut id);
    id
}

fn set(id: i32, first: i64, period: i64) -> [i64; 4] {
    let v = [period / 1_000_000_000, period % 1_000_000_000, first / 1_000_000_000, first % 1_000_000_000];
    let mut old = [0i64; 4];
    must!(SYS_timer_settime, id, 0, &v, &mut old);
    old
}

fn get_timer(id: i32) -> [i64; 4] {
    let mut v = [0i64; 4];
    must!(SYS_timer_gettime, id, &mut v);
    v
}

fn timer_signal() {
    mask(SIG_BLOCK, &[SIGALRM]);
    catch(SIGALRM, 0);
    let mut id = -1i32;
    must!(SYS_timer_create, CLOCK_MONOTONIC, 0, &mut id);
    v!(get_timer(id));
    v!(set(id, 20_000 * MS, 0));
    let left = get_timer(id);
    v!(left[2] <= 20 && left[2] > 0);
    set(id, 20 * MS, 0);
    suspend();
    v!(caught(SIGALRM));
    v!(get_timer(id));
    v!(sc!(SYS_timer_getoverrun, id));
}

fn wait_info(sig: i32, ms: i64) -> (Ret, [u32; 8]) {
    let set = 1u64 << (sig - 1);
    let ts = ns(ms * MS);
    let mut info = [0u32; 32];
    let ret = sc!(SYS_rt_sigtimedwait, &set, &mut info, &ts, 8);
    (ret, info[..8].try_into().unwrap())
}

fn timer_value() {
    mask(SIG_BLOCK, &[40, SIGUSR1]);
    for (clock, sig) in [(CLOCK_MONOTONIC, 40), (CLOCK_REALTIME, SIGUSR1), (CLOCK_BOOTTIME, 40)] {
        let id = create(clock, sig, 0, 0x1111_2222_3333_4444, 0);
        set(id, MS, 0);
        let (ret, info) = wait_info(sig, 5000);
        v!((ret, info[0], info[2] as i32, info[4] == id as u32, info[5], info[6], info[7]));
        must!(SYS_timer_delete, id);
    }
    // Its own id is the value when nothing else is said.
    mask(SIG_BLOCK, &[SIGALRM]);
    let mut id = -1i32;
    must!(SYS_timer_create, CLOCK_MONOTONIC, 0, &mut id);
    set(id, MS, 0);
    let (ret, info) = wait_info(SIGALRM, 5000);
    v!((ret, info[6] == id as u32));
}

fn timer_periodic_overrun() {
    mask(SIG_BLOCK, &[40]);
    let id = create(CLOCK_MONOTONIC, 40, 0, 0, 0);
    set(id, 2 * MS, 2 * MS);
    sleep_ms(41);
    let (ret, info) = wait_info(40, 5000);
    v!((ret, info[5] >= 15));
    v!(sc!(SYS_timer_getoverrun, id).0 == i64::from(info[5]));
    v!(wait_info(40, 5000).0);
    let left = get_timer(id);
    v!((left[0], left[1], left[2], left[3] > 0 && left[3] <= 2 * MS));
    let old = set(id, 0, 0);
    v!((old[0], old[1], old[2], old[3] <= 2 * MS));
    // On a slow machine it has expired once more before it was disarmed.
    let _ = wait_info(40, 0);
    v!(wait_info(40, 20).0);
}

fn timer_none() {
    let id = create(CLOCK_MONOTONIC, 0, 1, 0, 0);
    set(id, 10_000 * MS, 0);
    let left = get_timer(id);
    v!(left[2] > 0);
    set(id, 10 * MS, 0);
    sleep_ms(20);
    v!(get_timer(id));
    v!(sc!(SYS_timer_getoverrun, id));
    set(id, 5 * MS, 3 * MS);
    sleep_ms(20);
    let left = get_timer(id);
    v!((left[1], left[3] > 0 && left[3] <= 3 * MS));
}

static HANDLED_BY: AtomicI64 = AtomicI64::new(0);

extern "C" fn note_thread(_: i32) {
    HANDLED_BY.store(sc!(SYS_gettid).0, SeqCst);
}

fn timer_thread() {
    handle(SIGUSR1, note_thread as *const () as usize, 0, &[]);
    let main = sc!(SYS_gettid).0;
    std::thread::spawn(move || {
        let tid = sc!(SYS_gettid).0;
        let id = create(CLOCK_MONOTONIC, SIGUSR1, 4, 0, tid as u64);
        set(id, 2 * MS, 0);
        until(|| HANDLED_BY.load(SeqCst) != 0);
        v!(HANDLED_BY.swap(0, SeqCst) == tid);
        let id = create(CLOCK_MONOTONIC, SIGUSR1, 4, 0, main as u64);
        set(id, 2 * MS, 0);
        until(|| HANDLED_BY.load(SeqCst) != 0);
        v!(HANDLED_BY.load(SeqCst) == main);
    })
    .join()
    .unwrap();
}

/// Roughly: `n` in units of `unit`, if it is not much more.
fn about(n: i64, unit: i64) -> i64 {
    if n % unit < unit / 2 { n / unit } else { -n }
}

fn timer_in_the_past() {
    catch(SIGUSR1, 0);
    mask(SIG_BLOCK, &[SIGUSR1]);
    for clock in [CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME] {
        let mut event: sigevent = zeroed();
        event.sigev_signo = SIGUSR1;
        let mut id = 0i32;
        must!(SYS_timer_create, clock, &event, &mut id);
        for (ago, period) in [(3000, 10), (3000, 0), (5, 1000), (0, 60_000)] {
            let value = ns(now(clock) - ago * MS);
            let spec = itimerspec { it_interval: ns(period * MS), it_value: value };
            t!(SYS_timer_settime, id, TIMER_ABSTIME, &spec, 0);
            let set = 1u64 << (SIGUSR1 - 1);
            let mut info = [0u64; 16];
            must!(SYS_rt_sigtimedwait, &set, &mut info, &ns(5_000 * MS), 8);
            println!("{clock} {ago} {period}: {} {}", about(sc!(SYS_timer_getoverrun, id).0, 100), about(info[2] as i64 >> 32, 100));
            let mut left: itimerspec = zeroed();
            must!(SYS_timer_gettime, id, &mut left);
            v!(left.it_value.tv_sec * 1000 + left.it_value.tv_nsec / MS <= period);
        }
        // Long before the clock began.
        let spec = itimerspec { it_interval: ns(1), it_value: ns(1) };
        must!(SYS_timer_settime, id, TIMER_ABSTIME, &spec, 0);
        must!(SYS_rt_sigtimedwait, &(1u64 << (SIGUSR1 - 1)), 0, &ns(5_000 * MS), 8);
        v!(sc!(SYS_timer_getoverrun, id));
        must!(SYS_timer_delete, id);
    }
}

fn timer_file_in_the_past() {
    for clock in [CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME] {
        let fd = must!(SYS_timerfd_create, clock, TFD_NONBLOCK).fd();
        for (ago, period) in [(3000, 10), (3000, 0), (5, 1000), (0, 60_000)] {
            let spec = itimerspec { it_interval: ns(period * MS), it_value: ns(now(clock) - ago * MS) };
            t!(SYS_timerfd_settime, fd, TFD_TIMER_ABSTIME, &spec, 0);
            let mut count = 0i64;
            until(|| sc!(SYS_read, fd, &mut count, 8).is_ok());
            println!("{clock} {ago} {period}: {}", about(count, 100));
        }
    }
}

fn timer_absolute() {
    mask(SIG_BLOCK, &[40]);
    for clock in [CLOCK_REALTIME, CLOCK_MONOTONIC] {
        let id = create(clock, 40, 0, 0, 0);
        let at = now(clock) + 15 * MS;
        let v = [0, 0, at / 1_000_000_000, at % 1_000_000_000];
        must!(SYS_timer_settime, id, TIMER_ABSTIME, &v, 0);
        v!((wait_info(40, 5000).0, now(clock) >= at));
        // A time that is over.
        must!(SYS_timer_settime, id, TIMER_ABSTIME, &v, 0);
        v!(wait_info(40, 5000).0);
    }
}

fn timer_rearm_drops() {
    mask(SIG_BLOCK, &[40]);
    let id = create(CLOCK_MONOTONIC, 40, 0, 0, 0);
    set(id, MS, 0);
    sleep_ms(20);
    set(id, 0, 0);
    v!(wait_info(40, 10).0);
}

fn timer_delete_drops() {
    mask(SIG_BLOCK, &[40]);
    let id = create(CLOCK_MONOTONIC, 40, 0, 0, 0);
    set(id, MS, 0);
    sleep_ms(20);
    must!(SYS_timer_delete, id);
    v!(wait_info(40, 10).0);
}

fn timer_cpu() {
    catch(SIGUSR1, 0);
    for clock in [CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID] {
        let before = caught(SIGUSR1);
        let id = create(clock, SIGUSR1, 0, 0, 0);
        set(id, 20 * MS, 0);
        sleep_ms(50);
        v!(caught(SIGUSR1) - before);
        let mut rounds = 0u64;
        while caught(SIGUSR1) == before {
            rounds += 1;
            std::hint::black_box(&rounds);
        }
        v!(caught(SIGUSR1) - before);
        v!(get_timer(id));
        must!(SYS_timer_delete, id);
    }
}

static PID: AtomicU64 = AtomicU64::new(0);

fn timer_fork_exec() {
    let id = create(CLOCK_MONOTONIC, SIGUSR1, 0, 0, 0);
    PID.store(id as u64, SeqCst);
    v!(in_child(|| {
        let mut left = [0u64; 4];
        t!(SYS_timer_gettime, PID.load(SeqCst), &mut left);
    }));
    v!(in_child(|| {
        let id = create(CLOCK_MONOTONIC, SIGTERM, 0, 0, 0);
        set(id, 500 * MS, 0);
        let (sh, flag, script) = (c("/bin/sh"), c("-c"), c("sleep 0.8; echo no timer"));
        let argv = [sh.as_ptr(), flag.as_ptr(), script.as_ptr(), std::ptr::null()];
        let path = c("PATH=/usr/bin:/bin");
        let env = [path.as_ptr(), std::ptr::null::<i8>()];
        must!(SYS_execve, sh.as_c_str(), &argv, &env);
    }));
}

fn limit_cpu() {
    v!(in_child(|| {
        let lim = rlimit { rlim_cur: 1, rlim_max: 2 };
        must!(SYS_prlimit64, 0, RLIMIT_CPU, &lim, 0);
        loop {
            std::hint::spin_loop();
        }
    }));
    v!(in_child(|| {
        catch(SIGXCPU, 0);
        let lim = rlimit { rlim_cur: 1, rlim_max: 2 };
        must!(SYS_prlimit64, 0, RLIMIT_CPU, &lim, 0);
        while caught(SIGXCPU) == 0 {
            std::hint::spin_loop();
        }
        println!("warned");
        loop {
            std::hint::spin_loop();
        }
    }));
}

fn adjust() {
    v!(unprivileged(|| {
        let mut timex = [0u64; 26];
        let ret = sc!(SYS_adjtimex, &mut timex);
        v!((ret.is_ok(), timex[11]));
        timex[0] = 1;
        t!(SYS_adjtimex, &mut timex);
        t!(SYS_adjtimex, 8);
        t!(SYS_clock_adjtime, CLOCK_MONOTONIC, &mut timex);
        t!(SYS_clock_adjtime, 99, &mut timex);
    }));
}
