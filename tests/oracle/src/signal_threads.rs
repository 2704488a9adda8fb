//! Signals and threads, signals that threads cause themselves, and many signals.

use crate::signals::{getpid, handle, kill_self, log, logged, pending, sigwait};
use crate::sys::*;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

pub const CASES: &[crate::harness::Case] = cases![
    thread_directed, thread_shared, thread_exit_retarget, thread_all_killed, fault_blocked, fault_ignored,
    fault_in_handler, many_signals, ping_pong,
];

static HANDLED_BY: AtomicI64 = AtomicI64::new(0);

extern "C" fn note_thread(_: i32) {
    HANDLED_BY.store(sc!(SYS_gettid).0, SeqCst);
}

fn thread_directed() {
    handle(SIGUSR1, note_thread as *const () as usize, SA_RESTART, &[]);
    let (r, w) = pipe();
    let tid = std::sync::Arc::new(AtomicI64::new(0));
    let other = tid.clone();
    let thread = std::thread::spawn(move || {
        other.store(sc!(SYS_gettid).0, SeqCst);
        v!(get(r, 1));
    });
    until(|| tid.load(SeqCst) != 0);
    let tid = tid.load(SeqCst);
    must!(SYS_tgkill, getpid(), tid, SIGUSR1);
    until(|| HANDLED_BY.load(SeqCst) != 0);
    v!(HANDLED_BY.load(SeqCst) == tid);
    put(w, b"x");
    thread.join().unwrap();
    t!(SYS_tgkill, getpid(), tid, 0);
}

fn thread_shared() {
    handle(SIGUSR1, note_thread as *const () as usize, SA_RESTART, &[]);
    let (r, w) = pipe();
    let (ready_r, ready_w) = pipe();
    let thread = std::thread::spawn(move || {
        let tid = sc!(SYS_gettid).0;
        put(ready_w, b"x");
        v!(get(r, 1));
        tid
    });
    v!(get(ready_r, 1));
    // The main thread blocks it, so the other one is chosen, asleep or not.
    mask(SIG_BLOCK, &[SIGUSR1]);
    kill_self(SIGUSR1);
    until(|| HANDLED_BY.load(SeqCst) != 0);
    put(w, b"x");
    let tid = thread.join().unwrap();
    v!(HANDLED_BY.load(SeqCst) == tid);
    println!("{:x}", pending());
}

fn thread_exit_retarget() {
    // Blocked everywhere, then unblocked in one thread.
    handle(SIGUSR1, note_thread as *const () as usize, 0, &[]);
    mask(SIG_BLOCK, &[SIGUSR1]);
    kill_self(SIGUSR1);
    let thread = std::thread::spawn(|| {
        println!("{:x}", pending());
        mask(SIG_UNBLOCK, &[SIGUSR1]);
        v!(HANDLED_BY.load(SeqCst) == sc!(SYS_gettid).0);
    });
    thread.join().unwrap();
    println!("{:x}", pending());
}

fn thread_all_killed() {
    for sig in [SIGTERM, SIGKILL, SIGSEGV] {
        v!(in_child(|| {
            for i in 0..4 {
                std::thread::spawn(move || {
                    loop {
                        if i % 2 == 0 { sleep_ms(1000) } else { std::hint::spin_loop() }
                    }
                });
            }
            sleep_ms(20);
            std::thread::spawn(move || {
                must!(SYS_tkill, sc!(SYS_gettid).0, sig);
            });
            loop {
                sc!(SYS_pause);
            }
        }));
    }
}

fn crash() {
    // SAFETY: it is the fault that is wanted.
    unsafe { std::arch::asm!("mov al, byte ptr [8]", out("al") _) };
}

fn fault_blocked() {
    v!(in_child(|| {
        catch(SIGSEGV, 0);
        mask(SIG_BLOCK, &[SIGSEGV]);
        crash();
    }));
}

fn fault_ignored() {
    v!(in_child(|| {
        ignore(SIGSEGV);
        crash();
    }));
    v!(in_child(|| {
        ignore(SIGSEGV);
        kill_self(SIGSEGV);
        println!("one that is sent is ignored");
    }));
}

extern "C" fn crash_again(sig: i32) {
    log(i64::from(sig));
    println!("handler {:?}", logged());
    crash();
}

fn fault_in_handler() {
    v!(in_child(|| {
        handle(SIGSEGV, crash_again as *const () as usize, 0, &[]);
        crash();
    }));
}

fn many_signals() {
    handle(40, log_count as *const () as usize, SA_RESTART, &[]);
    let me = getpid();
    let child = spawn(|| {
        for i in 0..500 {
            let mut info: [u64; 16] = [0; 16];
            info[1] = u64::from(-1i32 as u32);
            info[3] = i;
            must!(SYS_rt_sigqueueinfo, me, 40, &info);
        }
    });
    v!(reap(child));
    until(|| COUNT.load(SeqCst) == 500);
    v!(COUNT.load(SeqCst));
}

static COUNT: AtomicI64 = AtomicI64::new(0);

extern "C" fn log_count(_: i32) {
    COUNT.fetch_add(1, SeqCst);
}

fn ping_pong() {
    handle(SIGUSR1, log_count as *const () as usize, 0, &[]);
    mask(SIG_BLOCK, &[SIGUSR1]);
    let parent = getpid();
    let child = spawn(|| {
        for _ in 0..200 {
            must!(SYS_kill, parent, SIGUSR1);
            v2(sigwait(&[SIGUSR1], 5000).0);
        }
    });
    let none = 0u64;
    for _ in 0..200 {
        sc!(SYS_rt_sigsuspend, &none, 8);
        must!(SYS_kill, child, SIGUSR1);
    }
    v!(reap(child));
    v!(COUNT.load(SeqCst));
}

fn v2(ret: Ret) {
    if ret.0 != i64::from(SIGUSR1) {
        println!("{ret}");
    }
}
