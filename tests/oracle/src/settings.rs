//! The many small settings of a process: prctl, limits, priorities, scheduling, names; and looking
//! at others.

use crate::sys::*;
use std::ffi::CStr;

pub const CASES: &[crate::harness::Case] = cases![
    names, dumpable, timer_slack, other_prctl, arch_bases, personalities, limit_errors, limit_values, nice_values,
    policies, policy_errors, reset_on_fork, sched_attrs, affinity, intervals, io_priorities, uname_strings, random,
    compare, read_other, advise_others, refusals, kernel_log,
];

fn names() {
    let name = |text: &CStr| sc!(SYS_prctl, PR_SET_NAME, text.as_ptr() as usize, 0, 0, 0);
    let show = || {
        let mut got = [b'#'; 20];
        sc!(SYS_prctl, PR_GET_NAME, &mut got, 0, 0, 0);
        text(&got)
    };
    for given in [c"short", c"a-name-longer-than-fifteen", c"", c"with space)"] {
        name(given);
        v!(show());
        v!(content("/proc/self/comm"));
    }
    t!(SYS_prctl, PR_SET_NAME, 16, 0, 0, 0);
    t!(SYS_prctl, PR_GET_NAME, 16, 0, 0, 0);
    name(c"child");
    v!(in_child(|| v!(show())));
}

fn dumpable() {
    t!(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
    for value in [2, 3, 0] {
        t!(SYS_prctl, PR_SET_DUMPABLE, value, 0, 0, 0);
    }
    t!(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
    v!(in_child(|| { t!(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0); }));
}

fn timer_slack() {
    t!(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
    t!(SYS_prctl, PR_SET_TIMERSLACK, 100, 0, 0, 0);
    t!(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
    v!(in_child(|| {
        t!(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
        t!(SYS_prctl, PR_SET_TIMERSLACK, 0, 0, 0, 0);
        t!(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
    }));
}

fn other_prctl() {
    let mut word = 0;
    t!(SYS_prctl, 13, 0, 0, 0, 0);
    t!(SYS_prctl, 14, 0, 0, 0, 0);
    t!(SYS_prctl, 14, 1, 0, 0, 0);
    t!(SYS_prctl, 9999, 0, 0, 0, 0);
    t!(SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
    t!(SYS_prctl, PR_GET_THP_DISABLE, 1, 0, 0, 0);
    t!(SYS_prctl, PR_GET_TSC, &mut word, 0, 0, 0);
    v!(word);
    t!(SYS_prctl, PR_SET_TSC, 77, 0, 0, 0);
    t!(SYS_prctl, PR_MCE_KILL_GET, 0, 0, 0, 0);
    t!(SYS_prctl, PR_MCE_KILL_GET, 1, 0, 0, 0);
    t!(SYS_prctl, PR_GET_ENDIAN, &mut word, 0, 0, 0);
    t!(SYS_prctl, PR_GET_FPEMU, &mut word, 0, 0, 0);
    t!(SYS_prctl, PR_GET_UNALIGN, &mut word, 0, 0, 0);
}

fn arch_bases() {
    const SET_GS: i32 = 0x1001;
    const GET_FS: i32 = 0x1003;
    const GET_GS: i32 = 0x1004;
    let mut base = 0u64;
    o!(SYS_arch_prctl, GET_FS, &mut base);
    v!(base != 0);
    t!(SYS_arch_prctl, SET_GS, 0x1234);
    t!(SYS_arch_prctl, GET_GS, &mut base);
    v!(base);
    t!(SYS_arch_prctl, SET_GS, -1);
    t!(SYS_arch_prctl, SET_GS, 1u64 << 47);
    t!(SYS_arch_prctl, GET_GS, 16);
    t!(SYS_arch_prctl, 0x9999, 0);
    v!(in_child(|| {
        let mut base = 0u64;
        t!(SYS_arch_prctl, GET_GS, &mut base);
        v!(base);
    }));
}

fn personalities() {
    const QUERY: u32 = u32::MAX;
    t!(SYS_personality, QUERY);
    t!(SYS_personality, 0x0040000);
    t!(SYS_personality, QUERY);
    v!(in_child(|| { t!(SYS_personality, QUERY); }));
    t!(SYS_personality, 0);
}

fn limit_errors() {
    let mut limit = [0u64; 2];
    t!(SYS_getrlimit, 16, &mut limit);
    t!(SYS_getrlimit, -1, &mut limit);
    t!(SYS_getrlimit, RLIMIT_CORE, 16);
    t!(SYS_setrlimit, RLIMIT_CORE, 16);
    t!(SYS_setrlimit, 16, &limit);
    t!(SYS_setrlimit, RLIMIT_NOFILE, &[10u64, 5]);
    t!(SYS_setrlimit, RLIMIT_NOFILE, &[10u64, 1 << 40]);
}

fn limit_values() {
    let mut limit = [7u64; 2];
    t!(SYS_setrlimit, RLIMIT_CORE, &[0u64, 0]);
    t!(SYS_getrlimit, RLIMIT_CORE, &mut limit);
    v!(limit);
    t!(SYS_setrlimit, RLIMIT_NOFILE, &[20u64, 30]);
    v!(in_child(|| {
        let mut limit = [0u64; 2];
        t!(SYS_getrlimit, RLIMIT_NOFILE, &mut limit);
        v!(limit);
        t!(SYS_dup2, 0, 20);
        t!(SYS_dup2, 0, 19);
    }));
    unprivileged(|| {
        t!(SYS_setrlimit, RLIMIT_NOFILE, &[20u64, 31]);
        t!(SYS_setrlimit, RLIMIT_NOFILE, &[30u64, 30]);
        t!(SYS_setrlimit, RLIMIT_NOFILE, &[5u64, 29]);
        t!(SYS_setrlimit, RLIMIT_NOFILE, &[5u64, 30]);
    });
}

fn nice_values() {
    t!(SYS_getpriority, 0, 0);
    t!(SYS_getpriority, 3, 0);
    t!(SYS_getpriority, -1, 0);
    t!(SYS_getpriority, 0, i32::MAX);
    t!(SYS_setpriority, 3, 0, 0);
    t!(SYS_setpriority, 0, i32::MAX, 0);
    unprivileged(|| {
        t!(SYS_setpriority, 0, 0, 5);
        t!(SYS_getpriority, 0, 0);
        t!(SYS_setpriority, 0, 0, 4);
        t!(SYS_setpriority, 0, 0, 100);
        t!(SYS_getpriority, 0, 0);
        v!(in_child(|| { t!(SYS_getpriority, 0, 0); }));
        sc!(SYS_setpgid, 0, 0);
        t!(SYS_getpriority, 1, 0);
    });
}

fn policies() {
    for policy in [SCHED_OTHER, SCHED_BATCH, SCHED_IDLE] {
        println!("{policy}: {} {}", sc!(SYS_sched_setscheduler, 0, policy, &0), sc!(SYS_sched_getscheduler, 0));
    }
    let mut priority = 7;
    t!(SYS_sched_getparam, 0, &mut priority);
    v!(priority);
    for policy in [SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE, 6, 4, 77, -1] {
        let (max, min) = (sc!(SYS_sched_get_priority_max, policy), sc!(SYS_sched_get_priority_min, policy));
        println!("{policy}: {min} to {max}");
    }
}

fn policy_errors() {
    t!(SYS_sched_setscheduler, 0, 55, &0);
    t!(SYS_sched_setscheduler, 0, -1, &0);
    t!(SYS_sched_setscheduler, -1, 0, &0);
    t!(SYS_sched_setscheduler, 0, 0, 0);
    t!(SYS_sched_setscheduler, 0, 0, 16);
    t!(SYS_sched_setscheduler, i32::MAX, 0, &0);
    t!(SYS_sched_setscheduler, 0, SCHED_OTHER, &5);
    t!(SYS_sched_setscheduler, 0, SCHED_FIFO, &0);
    t!(SYS_sched_setscheduler, 0, SCHED_FIFO, &100);
    t!(SYS_sched_getscheduler, -1);
    t!(SYS_sched_getscheduler, i32::MAX);
    t!(SYS_sched_getparam, 0, 0);
    t!(SYS_sched_setparam, 0, 0);
    t!(SYS_sched_setparam, 0, &5);
    t!(SYS_sched_setparam, 0, &0);
    unprivileged(|| {
        t!(SYS_sched_setscheduler, 0, SCHED_FIFO, &1);
        t!(SYS_sched_setscheduler, 0, SCHED_BATCH, &0);
        t!(SYS_sched_setscheduler, 0, SCHED_OTHER, &0);
        t!(SYS_sched_setscheduler, 0, SCHED_IDLE, &0);
        t!(SYS_sched_setscheduler, 0, SCHED_OTHER | SCHED_RESET_ON_FORK, &0);
        t!(SYS_sched_setscheduler, 0, SCHED_OTHER, &0);
    });
}

fn reset_on_fork() {
    t!(SYS_sched_setscheduler, 0, SCHED_BATCH | SCHED_RESET_ON_FORK, &0);
    t!(SYS_sched_getscheduler, 0);
    v!(in_child(|| { t!(SYS_sched_getscheduler, 0); }));
}

fn sched_attrs() {
    let mut attr = [0u32; 16];
    t!(SYS_sched_getattr, 0, &mut attr, 20, 0);
    t!(SYS_sched_getattr, 0, &mut attr, 5000, 0);
    t!(SYS_sched_getattr, 0, &mut attr, 48, 1);
    t!(SYS_sched_getattr, 0, 0, 48, 0);
    t!(SYS_sched_getattr, -1, &mut attr, 48, 0);
    t!(SYS_sched_getattr, 0, &mut attr, 48, 0);
    v!(&attr[..6]);
    t!(SYS_sched_setattr, 0, &attr, 1);
    t!(SYS_sched_setattr, 0, 0, 0);
    attr = [0; 16];
    (attr[0], attr[1], attr[4]) = (48, SCHED_BATCH as u32, 3);
    t!(SYS_sched_setattr, 0, &attr, 0);
    t!(SYS_sched_getattr, 0, &mut attr, 48, 0);
    v!(&attr[..6]);
    t!(SYS_getpriority, 0, 0);
    attr[0] = 10;
    t!(SYS_sched_setattr, 0, &mut attr, 0);
    attr[0] = 48;
    attr[1] = 99;
    t!(SYS_sched_setattr, 0, &attr, 0);
    attr[1] = 0;
    attr[2] = 1 << 20;
    t!(SYS_sched_setattr, 0, &attr, 0);
}

fn affinity() {
    let mut mask = [0u64; 128];
    t!(SYS_sched_getaffinity, 0, 3, &mut mask);
    t!(SYS_sched_getaffinity, 0, 12, &mut mask);
    t!(SYS_sched_getaffinity, 0, 0, &mut mask);
    t!(SYS_sched_getaffinity, i32::MAX, 8, &mut mask);
    o!(SYS_sched_getaffinity, 0, 1024, &mut mask);
    v!(mask[0] & 1);
    t!(SYS_sched_setaffinity, 0, 8, &0u64);
    t!(SYS_sched_setaffinity, 0, 8, 16);
    t!(SYS_sched_setaffinity, 0, 0, &1u64);
    t!(SYS_sched_setaffinity, 0, 1024, &{
        let mut one = [0u64; 128];
        one[0] = 1;
        one
    });
    t!(SYS_sched_getaffinity, 0, 8, &mut mask);
    v!(mask[0]);
    let mut cpu = 77u32;
    t!(SYS_getcpu, &mut cpu, 0, 0);
    v!(cpu);
    t!(SYS_getcpu, 16, 0, 0);
    t!(SYS_getcpu, 0, 0, 0);
    v!(in_child(|| {
        let mut mask = 0u64;
        sc!(SYS_sched_getaffinity, 0, 8, &mut mask);
        v!(mask);
    }));
}

fn intervals() {
    let mut ts: timespec = zeroed();
    t!(SYS_sched_rr_get_interval, 0, &mut ts);
    t!(SYS_sched_rr_get_interval, -1, &mut ts);
    t!(SYS_sched_rr_get_interval, i32::MAX, &mut ts);
    t!(SYS_sched_rr_get_interval, 0, 16);
    t!(SYS_sched_yield);
}

fn io_priorities() {
    t!(SYS_ioprio_get, 1, 0);
    t!(SYS_ioprio_get, 7, 0);
    t!(SYS_ioprio_get, 1, i32::MAX);
    for value in [3 << 13, 2 << 13 | 5, 5 << 13, 1, 0] {
        println!("{value:#x}: {} {}", sc!(SYS_ioprio_set, 1, 0, value), sc!(SYS_ioprio_get, 1, 0));
    }
    unprivileged(|| { t!(SYS_ioprio_set, 1, 0, 1 << 13); });
}

fn uname_strings() {
    let mut names: utsname = zeroed();
    t!(SYS_uname, &mut names);
    let shown = |field: &[c_char]| text(&field.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect::<Vec<_>>());
    v!(shown(&names.sysname));
    v!(shown(&names.machine));
    v!(shown(&names.release).0.split('.').count() >= 3);
    t!(SYS_uname, 16);
    t!(SYS_sethostname, c"x".as_ptr() as usize, -1);
    t!(SYS_sethostname, c"x".as_ptr() as usize, 65);
}

fn random() {
    let mut bytes = [0u8; 64];
    t!(SYS_getrandom, &mut bytes, 64, 0);
    v!(bytes.iter().any(|&b| b != 0));
    t!(SYS_getrandom, &mut bytes, 64, GRND_NONBLOCK | GRND_RANDOM);
    t!(SYS_getrandom, &mut bytes, 0, 0);
    t!(SYS_getrandom, &mut bytes, 64, 0x100);
    t!(SYS_getrandom, &mut bytes, 64, 6);
    t!(SYS_getrandom, 16, 64, 0);
    let page = map(2 * PAGE, RW, ANON);
    sc!(SYS_munmap, page + PAGE, PAGE);
    t!(SYS_getrandom, page + PAGE - 100, 200, 0);
}

fn compare() {
    let me = sc!(SYS_getpid).0;
    for kind in 0..9 {
        println!("{kind}: {}", sc!(SYS_kcmp, me, me, kind, 1, 1));
    }
    t!(SYS_kcmp, me, me, 0, 500, 0);
    t!(SYS_kcmp, me, i32::MAX, 0, 0, 0);
    let copy = must!(SYS_dup, 1).fd();
    t!(SYS_kcmp, me, me, 0, 1, copy);
    let pid = spawn(|| {
        loop {
            sleep_ms(1000);
        }
    });
    v!(sc!(SYS_kcmp, me, pid, 0, 1, 1));
    v!(sc!(SYS_kcmp, me, pid, 1, 0, 0).0 > 0);
    v!(sc!(SYS_kcmp, me, pid, 2, 0, 0).0 > 0);
    v!(sc!(SYS_kcmp, me, pid, 1, 0, 0).0 + sc!(SYS_kcmp, pid, me, 1, 0, 0).0);
    sc!(SYS_kill, pid, SIGKILL);
    reap(pid);
}

/// process_madvise(2).
fn advise_others() {
    const WILLNEED: i32 = 3;
    const COLD: i32 = 20;
    const COLLAPSE: i32 = 25;
    let memory = map(8 * PAGE, RW, ANON);
    fill(memory, 8 * PAGE, 1);
    t!(SYS_munmap, memory + 4 * PAGE, PAGE);
    let sleeper = || {
        spawn(|| {
            loop {
                sleep_ms(1000);
            }
        })
    };
    let pid = sleeper();
    let (own, other) = (must!(SYS_pidfd_open, sc!(SYS_getpid).0, 0).fd(), must!(SYS_pidfd_open, pid, 0).fd());
    let parts = iov(&[(memory, 2 * PAGE), (memory + 2 * PAGE, PAGE), (memory + 3 * PAGE, 2 * PAGE), (memory, PAGE)]);
    let vector = parts.as_ptr() as usize;
    for fd in [own, other] {
        for (count, advice) in
            [(2, COLD), (4, COLD), (0, COLD), (1, WILLNEED), (1, MADV_DONTNEED), (0, 77), (1, 77), (2, MADV_FREE)]
        {
            let result = sc!(SYS_process_madvise, fd, vector, count, advice, 0);
            println!("{} {count} {advice}: {result}", fd == own);
        }
    }
    v!((load(memory), load(memory + 2 * PAGE)));
    t!(SYS_process_madvise, other, vector, 1, COLD, 1);
    t!(SYS_process_madvise, other, vector, 1025, COLD, 0);
    t!(SYS_process_madvise, other, 8, 1, COLD, 0);
    let refused = iov(&[(memory + 1, PAGE), (usize::MAX - 5, 10), (8, usize::MAX)]);
    for bad in &refused {
        let result = sc!(SYS_process_madvise, own, bad, 1, COLD, 0);
        println!("{:?}: {result}", bad.iov_len);
    }
    t!(SYS_process_madvise, 0, vector, 1, COLD, 0);
    t!(SYS_process_madvise, 999, vector, 1, COLD, 0);
    v!(sc!(SYS_process_madvise, other, vector, 1, COLLAPSE, 0) != Ret(-i64::from(EPERM)));
    v!(unprivileged(|| {
        t!(SYS_process_madvise, own, vector, 1, COLD, 0);
        let sibling = sleeper();
        let fd = must!(SYS_pidfd_open, sibling, 0).fd();
        t!(SYS_process_madvise, fd, vector, 1, COLD, 0);
        t!(SYS_process_madvise, fd, vector, 1, MADV_DONTNEED, 0);
        sc!(SYS_kill, sibling, SIGKILL);
    }));
    sc!(SYS_kill, pid, SIGKILL);
    until(|| state_of(pid) == 'Z');
    t!(SYS_process_madvise, other, vector, 1, COLD, 0);
    reap(pid);
    t!(SYS_process_madvise, other, vector, 1, COLD, 0);
}

fn read_other() {
    let shared = map(3 * PAGE, RW, ANON);
    let (r, w) = pipe();
    let pid = spawn(|| {
        copy_in(shared + PAGE - 4, b"from the child");
        sc!(SYS_munmap, shared + 2 * PAGE, PAGE);
        put(w, b"x");
        loop {
            sleep_ms(1000);
        }
    });
    get(r, 1);
    let mut buf = [0u8; 64];
    let local = iov(&[(&raw mut buf as usize, 5), (&raw mut buf as usize + 10, 9)]);
    let remote = iov(&[(shared + PAGE - 4, 14)]);
    let (l, rem) = (local.as_ptr() as usize, remote.as_ptr() as usize);
    t!(SYS_process_vm_readv, pid, l, 2, rem, 1, 0);
    v!(text(&buf[..20]));
    t!(SYS_process_vm_readv, pid, l, 2, rem, 1, 1);
    t!(SYS_process_vm_readv, i32::MAX, l, 2, rem, 1, 0);
    t!(SYS_process_vm_readv, pid, l, 0, rem, 1, 0);
    t!(SYS_process_vm_readv, pid, l, 2, rem, 0, 0);
    t!(SYS_process_vm_readv, pid, l, 2000, rem, 1, 0);
    t!(SYS_process_vm_readv, pid, l, 2, rem, 2000, 0);
    t!(SYS_process_vm_readv, pid, 16, 1, rem, 1, 0);
    let hole = iov(&[(shared + 2 * PAGE - 8, 16)]);
    t!(SYS_process_vm_readv, pid, l, 2, hole.as_ptr() as usize, 1, 0);
    let nowhere = iov(&[(16, 16)]);
    t!(SYS_process_vm_readv, pid, l, 2, nowhere.as_ptr() as usize, 1, 0);
    buf[..5].copy_from_slice(b"FROM ");
    let first = iov(&[(&raw mut buf as usize, 5)]);
    t!(SYS_process_vm_writev, pid, first.as_ptr() as usize, 1, rem, 1, 0);
    t!(SYS_process_vm_readv, pid, l, 2, rem, 1, 0);
    v!(text(&buf[..20]));
    v!(peek_text(shared + PAGE - 4, 4));
    sc!(SYS_kill, pid, SIGKILL);
    reap(pid);
}

/// Calls that a kernel may well refuse, but does not confuse.
fn refusals() {
    t!(SYS_setns, 99, 0);
    t!(SYS_setns, 1, 0);
    t!(SYS_unshare, 1);
    unprivileged(|| {
        t!(SYS_reboot, 0, 0, 0, 0);
        t!(SYS_swapoff, 16);
        t!(SYS_vhangup);
        t!(SYS_acct, 16);
    });
}

fn kernel_log() {
    let mut line = [0u8; 8];
    for command in [0, 1, 3, 4, 6, 7, 9, 10] {
        println!("{command}: {}", sc!(SYS_syslog, command, &mut line, 8).ok());
    }
    for level in [0, 1, 4, 8, 9] {
        println!("level {level}: {}", sc!(SYS_syslog, 8, 0, level));
    }
    t!(SYS_syslog, 11, 0, 0);
    t!(SYS_syslog, -1, 0, 0);
    t!(SYS_syslog, 3, 0, 8);
    t!(SYS_syslog, 3, &mut line, -1);
    t!(SYS_syslog, 3, &mut line, 0);
    t!(SYS_syslog, 3, 0xffff_8000_0000_0000usize, 8);
    v!(unprivileged(|| {
        for command in [0, 2, 3, 4, 5, 8, 9, 10, 11] {
            println!("{command}: {}", sc!(SYS_syslog, command, 0, 0).ok());
        }
    }));
}
