//! Signals: sending, masks, queues, actions, waiting, stopping.

use crate::sys::*;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};

pub const CASES: &[crate::harness::Case] = cases![
    action_errors, action_readback, action_reset, mask_rules, mask_errors, mask_in_handler, pending_set,
    delivery_order, standard_coalesce, realtime_queue, info_of_kill, info_of_queue, info_of_child, queue_errors,
    kill_errors, kill_groups, kill_permission, limit_pending, ignored_at_once, blocked_then_ignored, wait_basics,
    wait_errors, wait_interrupted, suspend_basics, suspend_keeps_mask, pause_returns,
];

/// What handlers saw, in order.
static LOG: [AtomicI64; 256] = [const { AtomicI64::new(0) }; 256];
static LOGGED: AtomicUsize = AtomicUsize::new(0);

pub fn log(value: i64) {
    let at = LOGGED.fetch_add(1, SeqCst);
    LOG[at.min(255)].store(value, SeqCst);
}

pub fn logged() -> Vec<i64> {
    let n = LOGGED.swap(0, SeqCst).min(255);
    (0..n).map(|i| LOG[i].load(SeqCst)).collect()
}

pub extern "C" fn log_signal(sig: i32) {
    log(i64::from(sig));
}

pub extern "C" fn log_info(sig: i32, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler with SA_SIGINFO.
    unsafe {
        log(i64::from(sig));
        log(i64::from((*info).si_code));
        log(if (*info).si_pid() == getpid() { 1 } else { i64::from((*info).si_pid() == getppid()) * 2 });
        log((*info).si_value().sival_ptr as i64);
    }
}

pub extern "C" fn log_child(_: i32, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: as above, for SIGCHLD.
    unsafe {
        log(i64::from((*info).si_code));
        log(i64::from((*info).si_status()));
    }
}

extern "C" fn log_mask(sig: i32) {
    log(i64::from(sig));
    log(current_mask() as i64);
}

pub fn getpid() -> i32 {
    sc!(SYS_getpid).0 as i32
}

fn getppid() -> i32 {
    sc!(SYS_getppid).0 as i32
}

pub fn handle(sig: i32, handler: usize, flags: i32, masked: &[i32]) {
    let mut new: sigaction = zeroed();
    new.sa_sigaction = handler;
    new.sa_flags = flags;
    // SAFETY: the handlers here touch atomics and make system calls only.
    unsafe {
        for &s in masked {
            sigaddset(&raw mut new.sa_mask, s);
        }
        libc::sigaction(sig, &raw const new, std::ptr::null_mut());
    }
}

pub fn current_mask() -> u64 {
    let mut set = 0u64;
    sc!(SYS_rt_sigprocmask, 0, 0, &mut set, 8);
    set
}

pub fn pending() -> u64 {
    let mut set = 0u64;
    must!(SYS_rt_sigpending, &mut set, 8);
    set
}

pub fn kill_self(sig: i32) {
    must!(SYS_kill, getpid(), sig);
}

pub fn queue_self(sig: i32, value: usize) -> Ret {
    let mut info: [u64; 16] = [0; 16];
    info[1] = u64::from(-1i32 as u32);
    info[2] = getpid() as u64;
    info[3] = value as u64;
    sc!(SYS_rt_sigqueueinfo, getpid(), sig, &info)
}

fn action_errors() {
    let act = [0u64; 4];
    let mut old = [0u64; 4];
    for sig in [0, -1, 65, 1000, SIGKILL, SIGSTOP] {
        println!("signal {sig}");
        t!(SYS_rt_sigaction, sig, &act, 0, 8);
        t!(SYS_rt_sigaction, sig, 0, &mut old, 8);
        t!(SYS_rt_sigaction, sig, 0, 0, 8);
    }
    t!(SYS_rt_sigaction, SIGUSR1, &act, 0, 4);
    t!(SYS_rt_sigaction, SIGUSR1, &act, 0, 16);
    t!(SYS_rt_sigaction, SIGUSR1, 8, 0, 8);
    t!(SYS_rt_sigaction, SIGUSR1, 0, 8, 8);
    t!(SYS_rt_sigaction, 64, &act, &mut old, 8);
}

fn action_readback() {
    for flags in [0u64, 0x04000000, 0xffff_ffff, !0, 0x400, 0x800, 0x1000_0000_0000] {
        let act = [1u64, flags, 0x1234, !0];
        must!(SYS_rt_sigaction, SIGUSR1, &act, 0, 8);
        let mut old = [0u64; 4];
        must!(SYS_rt_sigaction, SIGUSR1, 0, &mut old, 8);
        println!("{flags:x}: {old:x?}");
    }
}

fn action_reset() {
    handle(SIGUSR1, log_signal as *const () as usize, SA_RESETHAND, &[]);
    kill_self(SIGUSR1);
    v!(logged());
    let mut old = [0u64; 4];
    must!(SYS_rt_sigaction, SIGUSR1, 0, &mut old, 8);
    v!((old[0], old[1] & !0x0400_0000));
    v!(in_child(|| kill_self(SIGUSR1)));
}

fn mask_rules() {
    mask(SIG_SETMASK, &[SIGUSR1, SIGKILL, SIGSTOP, SIGINT]);
    println!("{:x}", current_mask());
    mask(SIG_BLOCK, &[SIGUSR2]);
    println!("{:x}", current_mask());
    mask(SIG_UNBLOCK, &[SIGUSR1, SIGHUP]);
    println!("{:x}", current_mask());
    let all = !0u64;
    t!(SYS_rt_sigprocmask, SIG_SETMASK, &all, 0, 8);
    println!("{:x}", current_mask());
}

fn mask_errors() {
    let set = 0u64;
    let mut old = 0u64;
    t!(SYS_rt_sigprocmask, 3, &set, &mut old, 8);
    t!(SYS_rt_sigprocmask, -1, &set, &mut old, 8);
    t!(SYS_rt_sigprocmask, 77, 0, &mut old, 8);
    t!(SYS_rt_sigprocmask, 0, &set, &mut old, 4);
    t!(SYS_rt_sigprocmask, 0, &set, &mut old, 128);
    t!(SYS_rt_sigprocmask, 0, 8, 0, 8);
    t!(SYS_rt_sigprocmask, 0, 0, 8, 8);
    // The mask is set although the old one cannot be told.
    let usr = 1u64 << (SIGUSR1 - 1);
    t!(SYS_rt_sigprocmask, SIG_BLOCK, &usr, 8, 8);
    println!("{:x}", current_mask());
    t!(SYS_rt_sigpending, &mut old, 4);
    t!(SYS_rt_sigpending, &mut old, 9);
    t!(SYS_rt_sigpending, 8, 8);
}

fn mask_in_handler() {
    for (flags, masked) in
        [(0, vec![]), (SA_NODEFER, vec![]), (0, vec![SIGINT, SIGKILL]), (SA_NODEFER, vec![SIGINT, SIGUSR1])]
    {
        handle(SIGUSR1, log_mask as *const () as usize, flags, &masked);
        kill_self(SIGUSR1);
        println!("{:x?} then {:x}", logged(), current_mask());
    }
}

pub fn pending_set() {
    mask(SIG_BLOCK, &[SIGUSR1, SIGUSR2, 40]);
    println!("{:x}", pending());
    kill_self(SIGUSR1);
    must!(SYS_tkill, sc!(SYS_gettid).0, 40);
    println!("{:x}", pending());
    ignore(SIGUSR1);
    println!("{:x}", pending());
    default(SIGUSR1);
    println!("{:x}", pending());
    kill_self(SIGUSR2);
    v!(in_child(|| println!("child {:x}", pending())));
    println!("{:x}", pending());
}

fn delivery_order() {
    let sigs = [SIGTERM, 50, SIGHUP, 34, SIGSEGV, SIGUSR1, SIGINT, 64, SIGFPE];
    for &s in &sigs {
        handle(s, log_signal as *const () as usize, 0, &sigs);
    }
    mask(SIG_BLOCK, &sigs);
    for &s in &sigs {
        kill_self(s);
    }
    must!(SYS_tkill, sc!(SYS_gettid).0, 45);
    handle(45, log_signal as *const () as usize, 0, &sigs);
    mask(SIG_UNBLOCK, &sigs);
    v!(logged());
    // Without masks the handlers nest, and the last one set up runs first.
    for &s in &sigs {
        handle(s, log_signal as *const () as usize, SA_NODEFER, &[]);
    }
    mask(SIG_BLOCK, &sigs);
    for &s in &sigs {
        kill_self(s);
    }
    mask(SIG_UNBLOCK, &sigs);
    v!(logged());
}

fn standard_coalesce() {
    handle(SIGUSR1, log_info as *const () as usize, SA_SIGINFO, &[]);
    mask(SIG_BLOCK, &[SIGUSR1]);
    v!((queue_self(SIGUSR1, 1), queue_self(SIGUSR1, 2)));
    kill_self(SIGUSR1);
    must!(SYS_tkill, sc!(SYS_gettid).0, SIGUSR1);
    mask(SIG_UNBLOCK, &[SIGUSR1]);
    // One of the thread's own, one of the process's.
    v!(logged().chunks(4).map(|c| (c[0], c[1], c[2])).collect::<Vec<_>>());
}

fn realtime_queue() {
    for s in [35, 36] {
        handle(s, log_info as *const () as usize, SA_SIGINFO, &[35, 36]);
    }
    mask(SIG_BLOCK, &[35, 36]);
    for (s, value) in [(36, 1), (35, 2), (35, 3), (36, 4), (35, 5)] {
        must!(SYS_getpid);
        v!(queue_self(s, value));
    }
    kill_self(35);
    mask(SIG_UNBLOCK, &[35, 36]);
    v!(logged().chunks(4).map(|c| (c[0], c[1], if c[1] == -1 { c[3] } else { 0 })).collect::<Vec<_>>());
}

fn info_of_kill() {
    handle(SIGUSR1, log_info as *const () as usize, SA_SIGINFO, &[]);
    kill_self(SIGUSR1);
    v!(logged()[..3].to_vec());
    must!(SYS_tkill, sc!(SYS_gettid).0, SIGUSR1);
    v!(logged()[..3].to_vec());
    must!(SYS_tgkill, getpid(), sc!(SYS_gettid).0, SIGUSR1);
    v!(logged()[..3].to_vec());
    handle(SIGPIPE, log_info as *const () as usize, SA_SIGINFO, &[]);
    let (r, w) = pipe();
    close(r);
    t!(SYS_write, w, b"x", 1);
    v!(logged()[..3].to_vec());
    let parent = getpid();
    v!(in_child(|| {
        must!(SYS_kill, parent, SIGUSR1);
    }));
    v!(logged()[..2].to_vec());
}

fn info_of_queue() {
    handle(SIGUSR1, log_info as *const () as usize, SA_SIGINFO, &[]);
    v!(queue_self(SIGUSR1, 0x1234_5678_9abc_def0));
    v!(logged());
    for code in [-1i32, -2, -60, 0, 5, 0x80] {
        let mut info: [u64; 16] = [0; 16];
        info[1] = u64::from(code as u32);
        info[2] = getpid() as u64;
        info[3] = 9;
        t!(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info);
        v!(logged().get(1).copied());
        t!(SYS_rt_tgsigqueueinfo, getpid(), sc!(SYS_gettid).0, SIGUSR1, &info);
        v!(logged().get(1).copied());
    }
}

fn info_of_child() {
    handle(SIGCHLD, log_child as *const () as usize, SA_SIGINFO | SA_RESTART, &[]);
    v!(in_child(|| exit(7)));
    v!(logged());
    v!(in_child(|| kill_self(SIGTERM)));
    v!(logged());
    v!(in_child(|| kill_self(SIGSEGV)));
    v!(logged());
}

fn queue_errors() {
    let mut info: [u64; 16] = [0; 16];
    info[1] = u64::from(-1i32 as u32);
    let child = spawn(|| loop {
        sc!(SYS_pause);
    });
    t!(SYS_rt_sigqueueinfo, child, 0, &info);
    t!(SYS_rt_sigqueueinfo, child, 65, &info);
    t!(SYS_rt_sigqueueinfo, child, -1, &info);
    t!(SYS_rt_sigqueueinfo, 4_000_000, SIGUSR1, &info);
    t!(SYS_rt_sigqueueinfo, -1, SIGUSR1, &info);
    t!(SYS_rt_sigqueueinfo, child, SIGUSR1, 8);
    for code in [0i32, 1, 0x80, -6] {
        info[1] = u64::from(code as u32);
        t!(SYS_rt_sigqueueinfo, child, 0, &info);
        t!(SYS_rt_tgsigqueueinfo, child, child, 0, &info);
    }
    t!(SYS_rt_tgsigqueueinfo, 0, child, 0, &info);
    t!(SYS_rt_tgsigqueueinfo, child, 0, 0, &info);
    info[1] = u64::from(-1i32 as u32);
    t!(SYS_rt_tgsigqueueinfo, getpid(), child, 0, &info);
    t!(SYS_rt_tgsigqueueinfo, child, child, SIGTERM, &info);
    v!(reap(child));
}

fn kill_errors() {
    let me = getpid();
    t!(SYS_kill, me, 0);
    t!(SYS_kill, me, 65);
    t!(SYS_kill, me, -1);
    t!(SYS_kill, 4_000_000, 0);
    t!(SYS_kill, 4_000_000, 65);
    t!(SYS_kill, i32::MIN, 0);
    t!(SYS_kill, -4_000_000, 0);
    t!(SYS_kill, 0, 0);
    t!(SYS_kill, 0, 65);
    t!(SYS_kill, -me, 0);
    t!(SYS_tkill, 0, 0);
    t!(SYS_tkill, -1, 0);
    t!(SYS_tkill, me, 0);
    t!(SYS_tkill, me, 65);
    t!(SYS_tkill, 4_000_000, 0);
    t!(SYS_tgkill, me, me, 0);
    t!(SYS_tgkill, me, me, 65);
    t!(SYS_tgkill, 0, me, 0);
    t!(SYS_tgkill, -1, me, 0);
    t!(SYS_tgkill, me, 0, 0);
    t!(SYS_tgkill, 1, me, 0);
    t!(SYS_tgkill, me, 4_000_000, 0);
    let zombie = spawn(|| exit(0));
    until(|| state_of(zombie) == 'Z');
    t!(SYS_kill, zombie, 0);
    t!(SYS_kill, zombie, SIGKILL);
    t!(SYS_tkill, zombie, 0);
    v!(reap(zombie));
    t!(SYS_kill, zombie, 0);
}

fn kill_groups() {
    let wait_here = || {
        catch(SIGUSR1, 0);
        loop {
            sc!(SYS_pause);
        }
    };
    let a = spawn(wait_here);
    let b = spawn(wait_here);
    must!(SYS_setpgid, a, a);
    must!(SYS_setpgid, b, a);
    until_sleeping(a);
    until_sleeping(b);
    t!(SYS_kill, -a, 0);
    t!(SYS_kill, -b, 0);
    t!(SYS_kill, -a, SIGTERM);
    v!((reap(a), reap(b)));
    t!(SYS_kill, -a, 0);
    // Signal 0 process: one's own group, oneself included.
    v!(in_child(|| {
        must!(SYS_setpgid, 0, 0);
        let c = spawn(wait_here);
        catch(SIGTERM, 0);
        must!(SYS_kill, 0, SIGTERM);
        v!(caught(SIGTERM));
        v!(reap(c));
    }));
}

fn kill_permission() {
    let me = getpid();
    v!(unprivileged(|| {
        if !is_root() {
            let own = spawn(|| loop {
                sc!(SYS_pause);
            });
            t!(SYS_kill, own, 0);
            t!(SYS_kill, 1, 0);
            t!(SYS_kill, 1, SIGCONT);
            t!(SYS_kill, own, SIGTERM);
            v!(reap(own));
        }
    }));
    v!(sc!(SYS_kill, me, 0));
    if is_root() {
        // To root, from another: refused, but for SIGCONT within the session.
        v!(unprivileged(|| {
            t!(SYS_kill, me, 0);
            t!(SYS_kill, me, SIGTERM);
            t!(SYS_kill, me, SIGCONT);
            t!(SYS_tkill, me, SIGUSR1);
        }));
    }
}

fn limit_pending() {
    let lim = rlimit { rlim_cur: 2, rlim_max: 2 };
    v!(unprivileged(|| {
        mask(SIG_BLOCK, &[40, 41, SIGUSR1, SIGUSR2]);
        // A user of its own, with nothing queued elsewhere.
        if sc!(SYS_geteuid).0 == 65534 {
            must!(SYS_prlimit64, 0, RLIMIT_SIGPENDING, &lim, 0);
            v!([queue_self(40, 1), queue_self(40, 2), queue_self(40, 3)].map(|r| r.to_string()));
            v!(queue_self(SIGUSR1, 4));
            t!(SYS_kill, getpid(), SIGUSR2);
            t!(SYS_kill, getpid(), 41);
            println!("{:x}", pending());
            let mut info = [0u64; 16];
            let set = !0u64;
            for _ in 0..6 {
                let zero = timespec { tv_sec: 0, tv_nsec: 0 };
                let got = sc!(SYS_rt_sigtimedwait, &set, &mut info, &zero, 8);
                println!("{got} code {} value {}", info[1] as i32, if info[1] as i32 == -1 { info[3] } else { 0 });
            }
        }
    }));
}

fn ignored_at_once() {
    ignore(SIGUSR1);
    kill_self(SIGUSR1);
    mask(SIG_BLOCK, &[SIGWINCH]);
    kill_self(SIGWINCH);
    println!("{:x}", pending());
    mask(SIG_UNBLOCK, &[SIGWINCH]);
    println!("{:x}", pending());
}

fn blocked_then_ignored() {
    mask(SIG_BLOCK, &[SIGUSR1, SIGUSR2]);
    kill_self(SIGUSR1);
    ignore(SIGUSR1);
    ignore(SIGUSR2);
    kill_self(SIGUSR2);
    println!("{:x}", pending());
    default(SIGUSR2);
    println!("{:x}", pending());
    catch(SIGUSR2, 0);
    mask(SIG_UNBLOCK, &[SIGUSR1, SIGUSR2]);
    v!(caught(SIGUSR2));
}

pub fn sigwait(sigs: &[i32], ms: i64) -> (Ret, [u64; 16]) {
    let set: u64 = sigs.iter().map(|s| 1u64 << (s - 1)).sum();
    let ts = timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
    let mut info = [0u64; 16];
    let ret = sc!(SYS_rt_sigtimedwait, &set, &mut info, &ts, 8);
    (ret, info)
}

fn wait_basics() {
    mask(SIG_BLOCK, &[SIGUSR1, SIGUSR2, 40]);
    v!(sigwait(&[SIGUSR1], 0).0);
    v!(sigwait(&[SIGUSR1], 20).0);
    kill_self(SIGUSR2);
    v!(queue_self(40, 77));
    kill_self(SIGUSR1);
    let (ret, info) = sigwait(&[SIGUSR1, SIGUSR2, 40], 1000);
    v!((ret, info[0] as u32, info[1] as i32));
    let (ret, info) = sigwait(&[SIGUSR1, 40], 1000);
    v!((ret, info[0] as u32, info[1] as i32, info[3]));
    v!(sigwait(&[SIGUSR1, SIGUSR2, 40], 1000).0);
    v!(sigwait(&[SIGUSR1, SIGUSR2, 40], 0).0);
    // Unblocked and ignored by default: taken all the same when it comes during the wait.
    let me = getpid();
    let child = spawn(|| {
        until_sleeping(me);
        must!(SYS_kill, me, SIGUSR1);
    });
    v!(sigwait(&[SIGUSR1], 5000).0);
    v!(reap(child));
    v!(sigwait(&[SIGCHLD], 0).0);
}

fn wait_errors() {
    let set = 1u64 << (SIGUSR1 - 1);
    let kill = !0u64;
    let zero = timespec { tv_sec: 0, tv_nsec: 0 };
    let bad = timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    let negative = timespec { tv_sec: -1, tv_nsec: 0 };
    t!(SYS_rt_sigtimedwait, &set, 0, &zero, 4);
    t!(SYS_rt_sigtimedwait, 8, 0, &zero, 8);
    t!(SYS_rt_sigtimedwait, &set, 0, 8, 8);
    t!(SYS_rt_sigtimedwait, &set, 0, &bad, 8);
    t!(SYS_rt_sigtimedwait, &set, 0, &negative, 8);
    t!(SYS_rt_sigtimedwait, &kill, 0, &zero, 8);
    mask(SIG_BLOCK, &[SIGUSR1]);
    kill_self(SIGUSR1);
    t!(SYS_rt_sigtimedwait, &set, 8, &zero, 8);
    t!(SYS_rt_sigtimedwait, &set, 0, &zero, 8);
}

fn wait_interrupted() {
    catch(SIGUSR2, SA_RESTART);
    let me = getpid();
    let child = spawn(|| {
        until_sleeping(me);
        must!(SYS_kill, me, SIGUSR2);
    });
    v!(sigwait(&[SIGUSR1], 5000).0);
    v!(caught(SIGUSR2));
    v!(reap(child));
    // The awaited one is taken, not handled.
    catch(SIGUSR1, 0);
    let child = spawn(|| {
        until_sleeping(me);
        must!(SYS_kill, me, SIGUSR1);
    });
    v!(sigwait(&[SIGUSR1], 5000).0);
    v!(caught(SIGUSR1));
    v!(reap(child));
}

fn suspend_basics() {
    catch(SIGUSR1, SA_RESTART);
    mask(SIG_BLOCK, &[SIGUSR1]);
    kill_self(SIGUSR1);
    v!(caught(SIGUSR1));
    let none = 0u64;
    t!(SYS_rt_sigsuspend, &none, 8);
    v!(caught(SIGUSR1));
    println!("{:x}", current_mask());
    t!(SYS_rt_sigsuspend, &none, 4);
    t!(SYS_rt_sigsuspend, 8, 8);
}

fn suspend_keeps_mask() {
    handle(SIGUSR1, log_mask as *const () as usize, 0, &[SIGINT]);
    mask(SIG_SETMASK, &[SIGUSR1, SIGHUP]);
    let other = 1u64 << (SIGTERM - 1);
    kill_self(SIGUSR1);
    t!(SYS_rt_sigsuspend, &other, 8);
    // The handler runs with the temporary mask and its own; afterwards the old one is back.
    println!("{:x?} then {:x}", logged(), current_mask());
    // A signal without a handler does not end it.
    ignore(SIGUSR2);
    let me = getpid();
    let child = spawn(|| {
        until_sleeping(me);
        must!(SYS_kill, me, SIGUSR2);
        must!(SYS_kill, me, SIGCONT);
        sleep_ms(20);
        must!(SYS_kill, me, SIGUSR1);
    });
    t!(SYS_rt_sigsuspend, &other, 8);
    println!("{:x?} then {:x}", logged(), current_mask());
    v!(reap(child));
}

fn pause_returns() {
    catch(SIGUSR1, SA_RESTART);
    let me = getpid();
    let child = spawn(|| {
        until_sleeping(me);
        must!(SYS_kill, me, SIGUSR1);
    });
    t!(SYS_pause);
    v!(reap(child));
}
