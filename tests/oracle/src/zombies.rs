//! Questions about a process that has ended and was not waited for.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    scheduling, limits_and_priorities, ids, signals, files, links, directories, pidfds, memory, clocks_and_lists, strangers,
    first_thread, gone,
];

fn zombie() -> i32 {
    let kid = spawn(|| ());
    until(|| state_of(kid) == 'Z');
    kid
}

fn scheduling() {
    let kid = zombie();
    let mut mask = [0u64; 16];
    let mut priority = 7i32;
    t!(SYS_sched_getscheduler, kid);
    t!(SYS_sched_getparam, kid, &mut priority);
    v!(priority);
    o!(SYS_sched_getaffinity, kid, 128, &mut mask);
    t!(SYS_sched_setaffinity, kid, 128, &mask);
    t!(SYS_sched_setaffinity, kid, 128, &[0u64; 16]);
    t!(SYS_sched_setscheduler, kid, SCHED_BATCH, &0i32);
    t!(SYS_sched_getscheduler, kid);
    t!(SYS_sched_setscheduler, kid, SCHED_OTHER, &1i32);
    t!(SYS_sched_setparam, kid, &0i32);
    let mut attr = [0u64; 7];
    t!(SYS_sched_getattr, kid, &mut attr, 48, 0);
    v!(&attr[..3]);
    attr = [attr[0], attr[1], attr[2], 0, 0, 0, 0];
    attr[2] = 3;
    t!(SYS_sched_setattr, kid, &attr, 0);
    t!(SYS_getpriority, PRIO_PROCESS, kid);
    o!(SYS_sched_rr_get_interval, kid, &mut [0u64; 2]);
    t!(SYS_sched_getaffinity, -1, 128, &mut mask);
    t!(SYS_sched_getscheduler, -1);
}

fn limits_and_priorities() {
    let kid = zombie();
    let mut limit = [0u64; 2];
    t!(SYS_prlimit64, kid, RLIMIT_NOFILE, 0, &mut limit);
    v!(limit[0]);
    limit[0] = 100;
    t!(SYS_prlimit64, kid, RLIMIT_NOFILE, &limit, 0);
    t!(SYS_prlimit64, kid, RLIMIT_NOFILE, 0, &mut limit);
    v!(limit[0]);
    t!(SYS_prlimit64, kid, 99, 0, &mut limit);
    t!(SYS_setpriority, PRIO_PROCESS, kid, 5);
    t!(SYS_getpriority, PRIO_PROCESS, kid);
    t!(SYS_ioprio_set, 1, kid, 2 << 13 | 3);
    t!(SYS_ioprio_get, 1, kid);
    // A group of nobody but one that has ended.
    let alone = spawn(|| {
        must!(SYS_setpgid, 0, 0);
    });
    until(|| state_of(alone) == 'Z');
    t!(SYS_getpriority, PRIO_PGRP, alone);
    t!(SYS_setpriority, PRIO_PGRP, alone, 4);
    t!(SYS_getpriority, PRIO_PGRP, alone);
}

fn ids() {
    let kid = zombie();
    v!(sc!(SYS_getpgid, kid) == sc!(SYS_getpgrp));
    v!(sc!(SYS_getsid, kid) == sc!(SYS_getsid, 0));
    t!(SYS_setpgid, kid, kid);
    v!(sc!(SYS_getpgid, kid).0 == i64::from(kid));
    let mut header = [0x2008_0522u32, kid as u32];
    o!(SYS_capget, &mut header, &mut [0u64; 3]);
}

fn signals() {
    let kid = zombie();
    for signal in [0, SIGTERM, SIGKILL, SIGCONT, 65] {
        println!("kill {signal}: {}", sc!(SYS_kill, kid, signal));
        println!("tkill {signal}: {}", sc!(SYS_tkill, kid, signal));
        println!("tgkill {signal}: {}", sc!(SYS_tgkill, kid, kid, signal));
    }
    let mut info = [0u64; 16];
    info[0] = SIGUSR1 as u64;
    info[1] = u64::from((-1i32) as u32);
    t!(SYS_rt_sigqueueinfo, kid, SIGUSR1, &info);
    v!(reap(kid));
}

fn files() {
    let kid = zombie();
    for name in [
        "auxv", "cmdline", "comm", "environ", "io", "limits", "maps", "mem", "mountinfo", "mounts",
        "oom_adj", "oom_score_adj", "personality", "smaps", "smaps_rollup", "stat", "statm", "status", "wchan",
    ] {
        let path = c(&format!("/proc/{kid}/{name}"));
        let fd = sc!(SYS_openat, AT_FDCWD, &*path, O_RDONLY);
        let read = match fd.is_ok() {
            true => sc!(SYS_read, fd.fd(), &mut [0u8; 8192], 8192),
            false => fd,
        };
        // How long most of them are depends on numbers.
        println!("{name}: opened {} read {}", fd.ok(), if read.0 > 20 { "much".to_string() } else { read.to_string() });
    }
    v!(content(&format!("/proc/{kid}/statm")));
    v!(content(&format!("/proc/{kid}/comm")));
    v!(std::fs::write(format!("/proc/{kid}/oom_score_adj"), "5").is_ok());
    v!(content(&format!("/proc/{kid}/oom_score_adj")));
}

fn links() {
    let kid = zombie();
    for name in ["exe", "cwd", "root", "fd/0"] {
        let path = c(&format!("/proc/{kid}/{name}"));
        let link = sc!(SYS_readlinkat, AT_FDCWD, &*path, &mut [0u8; 256], 256);
        println!("{name}: {} {}", link.ok(), sc!(SYS_openat, AT_FDCWD, &*path, O_RDONLY).ok());
    }
}

fn directories() {
    let kid = zombie();
    for name in ["fd", "fdinfo", "task"] {
        let path = format!("/proc/{kid}/{name}");
        let names = std::fs::read_dir(&path).map(|d| d.map_while(Result::ok).count());
        match names {
            Ok(count) => println!("{name}: {count}"),
            Err(e) => println!("{name}: {}", errno_name(e.raw_os_error().unwrap_or(0))),
        }
    }
    v!(content(&format!("/proc/{kid}/task/{kid}/comm")));
    v!(content(&format!("/proc/{kid}/task/{kid}/children")));
    v!(std::fs::read_to_string(format!("/proc/{kid}/task/{kid}/stat")).unwrap_or_default().contains(") Z "));
}

fn pidfds() {
    let kid = zombie();
    let fd = t!(SYS_pidfd_open, kid, 0).fd();
    t!(SYS_pidfd_send_signal, fd, 0, 0, 0);
    t!(SYS_pidfd_send_signal, fd, SIGTERM, 0, 0);
    t!(SYS_pidfd_getfd, fd, 0, 0);
    v!(crate::pipes::poll1(fd, POLLIN));
    let mut info = [0u64; 16];
    t!(SYS_waitid, P_PIDFD, fd, &mut info, WEXITED | WNOWAIT, 0);
    v!(reap(kid));
    t!(SYS_pidfd_send_signal, fd, 0, 0, 0);
    v!(crate::pipes::poll1(fd, POLLIN));
}

fn memory() {
    let kid = zombie();
    let mut byte = [0u8; 1];
    let here = iov(&[(byte.as_mut_ptr() as usize, 1)]);
    t!(SYS_process_vm_readv, kid, &here[..], 1, &here[..], 1, 0);
    t!(SYS_process_vm_writev, kid, &here[..], 1, &here[..], 1, 0);
    let (mut head, mut len) = (7u64, 7u64);
    t!(SYS_get_robust_list, kid, &mut head, &mut len);
    v!((head, len));
    t!(SYS_kcmp, kid, kid, 0, 0, 0);
    t!(SYS_kcmp, kid, kid, 1, 0, 0);
}

fn clocks_and_lists() {
    let kid = zombie();
    let clock = !kid << 3 | 2;
    o!(SYS_clock_gettime, clock, &mut [0u64; 2]);
    o!(SYS_clock_getres, clock, &mut [0u64; 2]);
    o!(SYS_clock_gettime, !kid << 3 | 6, &mut [0u64; 2]);
    let (r, _w) = pipe();
    t!(SYS_fcntl, r, F_SETOWN, kid);
    v!(sc!(SYS_fcntl, r, F_GETOWN).0 == i64::from(kid));
}

fn strangers() {
    let kid = zombie();
    v!(unprivileged(|| {
        t!(SYS_sched_setscheduler, kid, SCHED_BATCH, &0i32);
        t!(SYS_sched_setaffinity, kid, 8, &1u64);
        t!(SYS_setpriority, PRIO_PROCESS, kid, 9);
        t!(SYS_prlimit64, kid, RLIMIT_NOFILE, 0, &mut [0u64; 2]);
        t!(SYS_ioprio_set, 1, kid, 2 << 13 | 3);
        t!(SYS_ioprio_get, 1, kid);
        t!(SYS_kill, kid, 0);
        t!(SYS_getpriority, PRIO_PROCESS, kid);
        t!(SYS_sched_getscheduler, kid);
        t!(SYS_get_robust_list, kid, &mut 0u64, &mut 0u64);
    }));
}

/// A first thread that has ended while its process goes on.
fn first_thread() {
    let (r, w) = pipe();
    let kid = spawn(|| {
        std::thread::spawn(move || {
            get(r, 1);
            exit(3);
        });
        sc!(SYS_exit, 0);
    });
    until(|| state_of(kid) == 'Z');
    t!(SYS_sched_getscheduler, kid);
    t!(SYS_setpriority, PRIO_PROCESS, kid, 2);
    t!(SYS_getpriority, PRIO_PROCESS, kid);
    t!(SYS_prlimit64, kid, RLIMIT_NOFILE, 0, &mut [0u64; 2]);
    t!(SYS_kill, kid, 0);
    t!(SYS_tgkill, kid, kid, 0);
    put(w, b"x");
    v!(reap(kid));
}

fn gone() {
    let kid = zombie();
    v!(reap(kid));
    t!(SYS_sched_getscheduler, kid);
    t!(SYS_prlimit64, kid, RLIMIT_NOFILE, 0, &mut [0u64; 2]);
    t!(SYS_setpriority, PRIO_PROCESS, kid, 2);
    t!(SYS_ioprio_get, 1, kid);
    t!(SYS_kill, kid, 0);
}
