//! Futexes: waiting, waking, moving waiters, locks that the kernel hands over, and owners that die.

use crate::sys::*;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread::JoinHandle;

pub const CASES: &[crate::harness::Case] = cases![
    wait_errors, wait_times, wake_counts, requeue, wake_op, bitsets, priorities, interrupted, between_processes, read_only, waitv,
    pi_basics, pi_threads, pi_owner_dies, robust_errors, robust_thread, robust_process, robust_hostile,
    thread_end_is_told,
];

const PRIVATE: i32 = FUTEX_PRIVATE_FLAG;

fn ms(n: i64) -> timespec {
    timespec { tv_sec: n / 1000, tv_nsec: n % 1000 * 1_000_000 }
}

/// `n` milliseconds from now on a clock.
fn at(clock: i32, n: i64) -> timespec {
    let mut now: timespec = zeroed();
    sc!(SYS_clock_gettime, clock, &mut now);
    let total = now.tv_nsec + n * 1_000_000;
    timespec { tv_sec: now.tv_sec + total / 1_000_000_000, tv_nsec: total % 1_000_000_000 }
}

fn wait_errors() {
    let word = AtomicU32::new(0);
    let at = &raw const word as usize;
    t!(SYS_futex, at, FUTEX_WAIT, 1, 0, 0, 0);
    t!(SYS_futex, at + 1, FUTEX_WAIT, 0, 0, 0, 0);
    t!(SYS_futex, at + 2, FUTEX_WAKE, 1, 0, 0, 0);
    t!(SYS_futex, 0, FUTEX_WAIT, 0, 0, 0, 0);
    t!(SYS_futex, 4096, FUTEX_WAIT | PRIVATE, 0, 0, 0, 0);
    t!(SYS_futex, 1u64 << 63, FUTEX_WAKE | PRIVATE, 1, 0, 0, 0);
    t!(SYS_futex, 4096, FUTEX_WAKE, 1, 0, 0, 0);
    t!(SYS_futex, 4096, FUTEX_WAKE | PRIVATE, 1, 0, 0, 0);
    t!(SYS_futex, at, FUTEX_WAIT, 0, 16, 0, 0);
    t!(SYS_futex, at, FUTEX_WAIT, 0, &timespec { tv_sec: 0, tv_nsec: 2_000_000_000 }, 0, 0);
    t!(SYS_futex, at, FUTEX_WAIT, 0, &timespec { tv_sec: -1, tv_nsec: 0 }, 0, 0);
    t!(SYS_futex, at, FUTEX_WAIT_BITSET, 0, 0, 0, 0);
    t!(SYS_futex, at, FUTEX_WAKE_BITSET, 0, 0, 0, 0);
    t!(SYS_futex, at, 77, 0, 0, 0, 0);
    t!(SYS_futex, at, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, 0, 0, 0);
    t!(SYS_futex, at, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, &ms(1), 0, 0);
    t!(SYS_futex, at, FUTEX_WAKE, 1, 0, 0, 0);
}

fn wait_times() {
    let word = AtomicU32::new(0);
    t!(SYS_futex, &word, FUTEX_WAIT, 0, &ms(5), 0, 0);
    t!(SYS_futex, &word, FUTEX_WAIT, 0, &ms(0), 0, 0);
    t!(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &at(CLOCK_MONOTONIC, 5), 0, -1);
    t!(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &at(CLOCK_REALTIME, 5), 0, -1);
    t!(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &timespec { tv_sec: 1, tv_nsec: 0 }, 0, -1);
}

/// Threads that each wait once on `word`; they return what the call did. All sleep by now.
fn waiters(word: &'static AtomicU32, count: u32, bits: impl Fn(u32) -> u32) -> Vec<JoinHandle<i64>> {
    let waiting: &'static Sleepers = Box::leak(Box::default());
    let threads = (0..count)
        .map(|i| {
            let bits = bits(i);
            std::thread::spawn(move || {
                waiting.announce();
                sc!(SYS_futex, word, FUTEX_WAIT_BITSET | PRIVATE, 0, 0, 0, bits).0
            })
        })
        .collect();
    waiting.until_asleep(count as usize);
    threads
}

fn word() -> &'static AtomicU32 {
    Box::leak(Box::default())
}

fn join(threads: Vec<JoinHandle<i64>>) -> Vec<i64> {
    threads.into_iter().map(|t| t.join().unwrap()).collect()
}

fn wake_counts() {
    let word = word();
    let threads = waiters(word, 6, |_| u32::MAX);
    t!(SYS_futex, word, FUTEX_WAKE | PRIVATE, 2, 0, 0, 0);
    t!(SYS_futex, word, FUTEX_WAKE | PRIVATE, 0, 0, 0, 0);
    t!(SYS_futex, word, FUTEX_WAKE | PRIVATE, -1, 0, 0, 0);
    t!(SYS_futex, word, FUTEX_WAKE | PRIVATE, 100, 0, 0, 0);
    v!(join(threads));
}

fn requeue() {
    let (a, b) = (word(), word());
    let threads = waiters(a, 6, |_| u32::MAX);
    t!(SYS_futex, a, FUTEX_REQUEUE | PRIVATE, -1, 1, b, 0);
    t!(SYS_futex, a, FUTEX_REQUEUE | PRIVATE, 1, -1, b, 0);
    t!(SYS_futex, a, FUTEX_CMP_REQUEUE | PRIVATE, 1, 1, b, 9);
    t!(SYS_futex, a, FUTEX_CMP_REQUEUE | PRIVATE, 1, 2, b, 0);
    t!(SYS_futex, b, FUTEX_WAKE | PRIVATE, 1, 0, 0, 0);
    t!(SYS_futex, a, FUTEX_REQUEUE | PRIVATE, 0, 1, b, 0);
    t!(SYS_futex, b, FUTEX_WAKE | PRIVATE, 100, 0, 0, 0);
    t!(SYS_futex, a, FUTEX_WAKE | PRIVATE, 100, 0, 0, 0);
    v!(join(threads));
}

fn wake_op() {
    let (a, b) = (word(), word());
    let op = |op: u32, arg: u32, cmp: u32, with: u32| op << 28 | cmp << 24 | (arg & 0xfff) << 12 | with & 0xfff;
    for (kind, arg, old) in [(0, 9, 5), (1, 3, 5), (2, 6, 9), (3, 1, 5), (4, 7, 5), (1, 0xfff, 5), (8, 4, 1)] {
        b.store(old, SeqCst);
        let ret = sc!(SYS_futex, a, FUTEX_WAKE_OP | PRIVATE, 1, 1, b, op(kind, arg, 0, 0));
        println!("{kind} {arg} {old}: {ret} {}", b.load(SeqCst));
    }
    t!(SYS_futex, a, FUTEX_WAKE_OP | PRIVATE, 1, 1, b, op(7, 0, 0, 0));
    t!(SYS_futex, a, FUTEX_WAKE_OP | PRIVATE, 1, 1, b, op(0, 0, 9, 0));
    t!(SYS_futex, a, FUTEX_WAKE_OP | PRIVATE, 1, 1, 16, op(0, 0, 0, 0));
    b.store(0, SeqCst);
    let threads = waiters(b, 12, |_| u32::MAX);
    for cmp in 0..6 {
        for with in [0, 1, 0xfff] {
            let ret = sc!(SYS_futex, a, FUTEX_WAKE_OP | PRIVATE, 1, 1, b, op(1, 0, cmp, with));
            println!("compare {cmp} {with:#x}: {ret}");
        }
    }
    t!(SYS_futex, b, FUTEX_WAKE | PRIVATE, 100, 0, 0, 0);
    v!(join(threads).len());
}

fn bitsets() {
    let word = word();
    let threads = waiters(word, 4, |i| 1 << i);
    t!(SYS_futex, word, FUTEX_WAKE_BITSET | PRIVATE, 10, 0, 0, 16);
    t!(SYS_futex, word, FUTEX_WAKE_BITSET | PRIVATE, 10, 0, 0, 6);
    t!(SYS_futex, word, FUTEX_WAKE_BITSET | PRIVATE, 1, 0, 0, 9);
    t!(SYS_futex, word, FUTEX_WAKE_BITSET | PRIVATE, 10, 0, 0, 9);
    v!(join(threads));
}

fn alarm_in(ms: i64) {
    sc!(SYS_setitimer, ITIMER_REAL, &[0, 0, ms / 1000, ms % 1000 * 1000], 0);
}

/// An alarm, and another one each time: the first may come before what it is to interrupt.
fn alarms_each(ms: i64) {
    sc!(SYS_setitimer, ITIMER_REAL, &[0, ms * 1000, 0, ms * 1000], 0);
}

fn interrupted() {
    let word = word();
    catch(SIGALRM, 0);
    alarms_each(20);
    t!(SYS_futex, word, FUTEX_WAIT, 0, 0, 0, 0);
    t!(SYS_futex, word, FUTEX_WAIT, 0, &ms(20_000), 0, 0);
    catch(SIGALRM, SA_RESTART);
    t!(SYS_futex, word, FUTEX_WAIT, 0, &ms(20_000), 0, 0);
    alarm_in(0);
    let (sleeper, alarms) = (own_tid(), caught(SIGALRM));
    let waker = std::thread::spawn(move || {
        mask(SIG_BLOCK, &[SIGALRM]);
        until(|| caught(SIGALRM) != alarms);
        until_sleeping(sleeper);
        sc!(SYS_futex, word, FUTEX_WAKE, 1, 0, 0, 0).0
    });
    alarm_in(20);
    t!(SYS_futex, word, FUTEX_WAIT, 0, 0, 0, 0);
    v!(waker.join().unwrap());
    // A stop and a continuation without a handler go unnoticed, but the time runs on.
    let pid = spawn(|| {
        t!(SYS_futex, word, FUTEX_WAIT, 0, &ms(200), 0, 0);
    });
    until_sleeping(pid);
    sc!(SYS_kill, pid, SIGSTOP);
    // On a machine that is busy enough, the call may be over by now.
    sc!(SYS_waitid, P_PID, pid, 0, WSTOPPED | WEXITED | WNOWAIT, 0);
    sc!(SYS_kill, pid, SIGCONT);
    v!(reap(pid));
}

fn between_processes() {
    let shared = map(PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    let pid = spawn(|| {
        exit(sc!(SYS_futex, shared, FUTEX_WAIT, 0, 0, 0, 0).0 as i32);
    });
    until_sleeping(pid);
    v!(sc!(SYS_futex, shared, FUTEX_WAKE | PRIVATE, 1, 0, 0, 0));
    t!(SYS_futex, shared, FUTEX_WAKE, 1, 0, 0, 0);
    v!(reap(pid));
    // One object at two places.
    let fd = must!(SYS_memfd_create, c"m".as_ptr() as usize, 0).fd();
    must!(SYS_ftruncate, fd, 2 * PAGE);
    let (a, b) = (map_fd(fd, 2 * PAGE, RW, MAP_SHARED), map_fd(fd, 2 * PAGE, RW, MAP_SHARED));
    let pid = spawn(|| {
        exit(sc!(SYS_futex, a + PAGE + 8, FUTEX_WAIT, 0, 0, 0, 0).0 as i32);
    });
    until_sleeping(pid);
    t!(SYS_futex, b + 8, FUTEX_WAKE, 1, 0, 0, 0);
    t!(SYS_futex, b + PAGE + 8, FUTEX_WAKE, 1, 0, 0, 0);
    v!(reap(pid));
}

fn read_only() {
    let page = map(PAGE, PROT_READ, ANON);
    t!(SYS_futex, page, FUTEX_WAIT | PRIVATE, 0, &ms(2), 0, 0);
    t!(SYS_futex, page, FUTEX_WAIT | PRIVATE, 1, &ms(2), 0, 0);
    t!(SYS_futex, page, FUTEX_WAKE_OP | PRIVATE, 1, 1, page, 0);
    t!(SYS_futex, page, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0);
}

fn waitv() {
    let (a, b) = (word(), word());
    let entry = |word: &AtomicU32, value: u64, flags: u64| [value, std::ptr::from_ref(word) as u64, flags];
    let both = [entry(a, 0, 2 | 128), entry(b, 0, 2 | 128)];
    t!(SYS_futex_waitv, &both, 2, 0, &at(CLOCK_MONOTONIC, 5), CLOCK_MONOTONIC);
    t!(SYS_futex_waitv, &both, 2, 0, &at(CLOCK_REALTIME, 5), CLOCK_REALTIME);
    t!(SYS_futex_waitv, &both, 2, 0, &at(CLOCK_MONOTONIC, 5), CLOCK_BOOTTIME);
    t!(SYS_futex_waitv, &both, 0, 0, 0, 0);
    t!(SYS_futex_waitv, &both, 129, 0, 0, 0);
    t!(SYS_futex_waitv, &both, 2, 1, 0, 0);
    t!(SYS_futex_waitv, 0, 1, 0, 0, 0);
    t!(SYS_futex_waitv, 16, 1, 0, 0, 0);
    t!(SYS_futex_waitv, &[entry(a, 0, 0)], 1, 0, 0, 0);
    t!(SYS_futex_waitv, &[entry(a, 0, 2 | 1 << 32)], 1, 0, 0, 0);
    t!(SYS_futex_waitv, &[entry(a, 0, 2), entry(b, 1, 2)], 2, 0, 0, 0);
    let sleeper = own_tid();
    let waker = std::thread::spawn(move || {
        until_sleeping(sleeper);
        sc!(SYS_futex, b, FUTEX_WAKE | PRIVATE, 1, 0, 0, 0).0
    });
    t!(SYS_futex_waitv, &both, 2, 0, 0, 0);
    v!(waker.join().unwrap());
}

fn pi_basics() {
    let word = word();
    let me = sc!(SYS_gettid).0 as u32;
    t!(SYS_futex, word, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0);
    v!(word.load(SeqCst) == me);
    t!(SYS_futex, word, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0);
    t!(SYS_futex, word, FUTEX_TRYLOCK_PI | PRIVATE, 0, 0, 0, 0);
    t!(SYS_futex, word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0);
    v!(word.load(SeqCst));
    t!(SYS_futex, word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0);
    word.store(0x3fff_fff0, SeqCst);
    t!(SYS_futex, word, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0);
    word.store(0, SeqCst);
    t!(SYS_futex, word, FUTEX_TRYLOCK_PI | PRIVATE, 0, 0, 0, 0);
    std::thread::spawn(move || {
        t!(SYS_futex, word, FUTEX_TRYLOCK_PI | PRIVATE, 0, 0, 0, 0);
        t!(SYS_futex, word, FUTEX_LOCK_PI | PRIVATE, 0, &at(CLOCK_REALTIME, 10), 0, 0);
        t!(SYS_futex, word, FUTEX_LOCK_PI2 | PRIVATE, 0, &at(CLOCK_MONOTONIC, 10), 0, 0);
        t!(SYS_futex, word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0);
    })
    .join()
    .unwrap();
    t!(SYS_futex, word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0);
}

fn pi_threads() {
    let word = word();
    must!(SYS_futex, word, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0);
    let inside: &'static AtomicU32 = Box::leak(Box::default());
    let threads = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let locked = sc!(SYS_futex, word, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0).0;
                let alone = inside.fetch_add(1, SeqCst) == 0;
                let mine = word.load(SeqCst) & 0x3fff_ffff == sc!(SYS_gettid).0 as u32;
                inside.fetch_sub(1, SeqCst);
                let unlocked = sc!(SYS_futex, word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0).0;
                locked + unlocked + i64::from(!alone) + i64::from(!mine)
            })
        })
        .collect();
    sleep_ms(30);
    must!(SYS_futex, word, FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0);
    v!(join(threads));
}

fn pi_owner_dies() {
    let word = word();
    let waiter = own_tid();
    let owner = std::thread::spawn(move || {
        must!(SYS_futex, word, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0);
        until_sleeping(waiter);
        sc!(SYS_exit, 0);
    });
    spin_until(|| word.load(SeqCst) != 0);
    t!(SYS_futex, word, FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0);
    v!(word.load(SeqCst) & 0x4000_0000 != 0);
    v!(word.load(SeqCst) & 0x3fff_ffff == sc!(SYS_gettid).0 as u32);
    // Its end was not one that the standard library knows.
    std::mem::forget(owner);
}

fn robust_errors() {
    let head = [0usize; 3];
    t!(SYS_set_robust_list, &head, 23);
    t!(SYS_set_robust_list, 16, 24);
    t!(SYS_set_robust_list, 0, 24);
    let (mut got, mut size) = (1usize, 0usize);
    t!(SYS_get_robust_list, 0, &mut got, &mut size);
    v!((got, size));
    t!(SYS_get_robust_list, i32::MAX, &mut got, &mut size);
    t!(SYS_get_robust_list, 0, 16, &mut size);
}

/// A robust list with one lock: the entry, the head, and the word behind the entry.
#[repr(C)]
struct Robust {
    head: [usize; 3],
    entry: usize,
    word: AtomicU32,
}

fn hold(at: usize, pending: bool) {
    let robust = at as *mut Robust;
    // SAFETY: memory of the case's own, big enough; the kernel reads it when the thread ends.
    unsafe {
        let entry = &raw mut (*robust).entry as usize;
        (*robust).head = [if pending { at } else { entry }, size_of::<usize>(), if pending { entry } else { 0 }];
        (*robust).entry = at;
        (*robust).word.store(sc!(SYS_gettid).0 as u32 | 0x8000_0000, SeqCst);
    }
    must!(SYS_set_robust_list, at, 24);
}

fn word_of(at: usize) -> u32 {
    // SAFETY: as above.
    unsafe { (*(at as *const Robust)).word.load(SeqCst) }
}

fn robust_thread() {
    for pending in [false, true] {
        let at = map(PAGE, RW, ANON);
        let word = at + std::mem::offset_of!(Robust, word);
        let waiter = own_tid();
        let holder = std::thread::spawn(move || {
            hold(at, pending);
            until_sleeping(waiter);
            sc!(SYS_exit, 0);
        });
        spin_until(|| word_of(at) != 0);
        let held = word_of(at);
        t!(SYS_futex, word, FUTEX_WAIT, held, 0, 0, 0);
        println!("{:#x}", word_of(at));
        std::mem::forget(holder);
    }
}

fn robust_process() {
    for how in [SIGKILL, SIGTERM] {
        let at = map(PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
        let word = at + std::mem::offset_of!(Robust, word);
        let pid = spawn(|| {
            hold(at, false);
            loop {
                sleep_ms(1000);
            }
        });
        until(|| word_of(at) != 0);
        let waiter = spawn(|| {
            let held = word_of(at);
            t!(SYS_futex, word, FUTEX_WAIT, held, 0, 0, 0);
        });
        until_sleeping(waiter);
        sc!(SYS_kill, pid, how);
        v!(reap(waiter));
        v!(reap(pid));
        println!("{:#x}", word_of(at));
    }
}

fn robust_hostile() {
    let end = map(2 * PAGE, RW, ANON) + PAGE;
    sc!(SYS_munmap, end, PAGE);
    for (name, head) in [
        ("itself", [0, 0, 0]),
        ("endless", [1, 8, 0]),
        ("nowhere", [16, 0, 32]),
        ("odd", [2, 1, 0]),
        ("far", [1, usize::MAX, 16]),
    ] {
        let how = in_child(|| {
            let mut list = [0usize; 8];
            let at = &raw mut list as usize;
            list = [head[0], head[1], head[2], 0, 0, 0, 0, 0];
            match list[0] {
                0 => list[0] = at,
                1 => (list[0], list[4]) = (at + 32, at + 32),
                2 => (list[0], list[4]) = (at + 32, at),
                _ => {}
            }
            sc!(SYS_set_robust_list, std::hint::black_box(&list), 24);
        });
        println!("{name}: {how:?}");
    }
    v!(in_child(|| { sc!(SYS_set_robust_list, end - 8, 24); }));
    v!(in_child(|| { sc!(SYS_set_robust_list, 1usize << 63, 24); }));
}

fn thread_end_is_told() {
    let shared = map(PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    copy_in(shared, &[1, 0, 0, 0]);
    let flags = CLONE_VM | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID;
    let stack = map(16 * PAGE, RW, ANON) + 16 * PAGE - 64;
    let null = std::ptr::null_mut::<c_void>();
    // SAFETY: the child runs on a stack of its own and makes one system call.
    let pid = unsafe { libc::clone(sleeper, stack as *mut _, flags | SIGCHLD, null, null, null, shared as *mut c_void) };
    until(|| peek(shared, 4) != [1, 0, 0, 0]);
    let held = u32::from_ne_bytes(peek(shared, 4).try_into().unwrap());
    v!(held == pid as u32);
    t!(SYS_futex, shared, FUTEX_WAIT, held, 0, 0, 0);
    v!(peek(shared, 4));
    v!(reap(pid));
    let mut at = 0usize;
    t!(SYS_prctl, PR_GET_TID_ADDRESS, &mut at, 0, 0, 0);
    v!(sc!(SYS_set_tid_address, 0) == sc!(SYS_gettid));
}

extern "C" fn sleeper(_: *mut c_void) -> i32 {
    sleep_ms(300);
    5
}

/// Real-time threads on one CPU: who waits with the highest priority is woken first, and runs
/// before the others.
fn priorities() {
    static WORD: AtomicU32 = AtomicU32::new(0);
    static WAITING: Sleepers = Sleepers::new();
    static ORDER: std::sync::Mutex<Vec<i32>> = std::sync::Mutex::new(Vec::new());
    let real_time = |priority: i32| must!(SYS_sched_setscheduler, 0, SCHED_FIFO, &priority);
    if !is_root() {
        return;
    }
    must!(SYS_sched_setaffinity, 0, 8, &1u64);
    real_time(50);
    for all_at_once in [false, true] {
        let kids: Vec<_> = [10, 30, 20]
            .map(|priority| {
                std::thread::spawn(move || {
                    must!(SYS_sched_setscheduler, 0, SCHED_FIFO, &priority);
                    WAITING.announce();
                    must!(SYS_futex, &WORD, FUTEX_WAIT | PRIVATE, 0, 0);
                    ORDER.lock().unwrap().push(priority);
                })
            })
            .into_iter()
            .collect();
        WAITING.until_asleep(3);
        for count in if all_at_once { vec![3] } else { vec![1, 1, 1] } {
            must!(SYS_futex, &WORD, FUTEX_WAKE | PRIVATE, count);
            sleep_ms(20);
        }
        for kid in kids {
            kid.join().unwrap();
        }
        v!(std::mem::take(&mut *ORDER.lock().unwrap()));
    }
}
