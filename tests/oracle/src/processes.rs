//! Processes: making them, how they end, waiting for them, who inherits them.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    exit_codes, wait_errors, wait_nothing, wait_pid_kinds, waitid_errors, waitid_fields, waitid_keeps, waitid_nothing,
    stop_and_continue, exit_signal_kinds, clone_errors, clone3_errors, clone_parent, vfork_shares, vfork_exec,
    clear_handlers, pidfd_basics, pidfd_errors, pidfd_is_a_file, pidfd_signals, orphans, subreaper, death_signal, zombie_signals,
    usage_of_children, first_thread_ends, first_threads_are_uncounted, exec_from_thread, exit_with_threads,
    threads_many, fork_bomb_limit,
    user_and_system_time,
    pidfd_directory,
];

/// Makes a child with clone's flags; it exits with `code`.
fn clone_child(flags: u64, code: i32) -> i32 {
    let pid = sc!(SYS_clone, flags, 0, 0, 0, 0);
    if pid.0 == 0 {
        exit(code);
    }
    pid.0 as i32
}

fn exit_codes() {
    for code in [0, 1, 255, 256, -1, 0x1234] {
        println!("{code}: {:?}", in_child(|| exit(code)));
    }
    let plain = spawn(|| {
        sc!(SYS_exit, 0x1ff);
    });
    v!(reap(plain));
    for sig in [SIGKILL, SIGTERM, SIGALRM] {
        println!("{sig}: {:?}", in_child(|| { sc!(SYS_kill, sc!(SYS_getpid).0, sig); }));
    }
}

fn wait_errors() {
    let mut status = 0;
    t!(SYS_wait4, -1, &mut status, 0, 0);
    t!(SYS_wait4, 0, &mut status, WNOHANG, 0);
    t!(SYS_wait4, i32::MIN, &mut status, 0, 0);
    t!(SYS_wait4, -1, &mut status, 0x100, 0);
    t!(SYS_wait4, -1, &mut status, WEXITED, 0);
    t!(SYS_wait4, sc!(SYS_getpid).0, &mut status, 0, 0);
    let pid = spawn(|| ());
    t!(SYS_wait4, -1, 16, 0, 0);
    t!(SYS_wait4, pid, &mut status, 0, 0);
}

fn wait_nothing() {
    let (r, w) = pipe();
    let pid = spawn(|| {
        close(w);
        get(r, 1);
    });
    let mut status = 77;
    t!(SYS_wait4, pid, &mut status, WNOHANG, 0);
    v!(status);
    close(w);
    v!(reap(pid));
}

fn wait_pid_kinds() {
    let pid = spawn(|| {
        sc!(SYS_setpgid, 0, 0);
        sleep_ms(20);
    });
    sc!(SYS_setpgid, pid, pid);
    t!(SYS_wait4, 0, 0, 0, 0);
    v!(sc!(SYS_wait4, -pid, 0, 0, 0).0 == i64::from(pid));
    t!(SYS_wait4, -pid, 0, 0, 0);
}

fn waitid_errors() {
    let mut info = [0i32; 32];
    t!(SYS_waitid, P_ALL, 0, &mut info, WEXITED, 0);
    t!(SYS_waitid, P_ALL, 0, &mut info, 0, 0);
    t!(SYS_waitid, P_ALL, 0, &mut info, WNOHANG, 0);
    t!(SYS_waitid, P_ALL, 0, &mut info, WEXITED | 0x100, 0);
    t!(SYS_waitid, P_PID, 0, &mut info, WEXITED, 0);
    t!(SYS_waitid, P_PGID, -3, &mut info, WEXITED, 0);
    t!(SYS_waitid, P_PIDFD, -3, &mut info, WEXITED, 0);
    t!(SYS_waitid, P_PIDFD, 99, &mut info, WEXITED, 0);
    t!(SYS_waitid, P_PIDFD, 0, &mut info, WEXITED, 0);
    t!(SYS_waitid, 9, 0, &mut info, WEXITED, 0);
}

fn show_info(info: &[i32; 32], pid: i32) {
    println!(
        "signal {} errno {} code {} pid {} uid {} status {}",
        info[0],
        info[1],
        info[2],
        if info[4] == pid { "child".into() } else { info[4].to_string() },
        i64::from(info[5]) == sc!(SYS_getuid).0,
        info[6]
    );
}

fn waitid_fields() {
    for (name, end) in [("exit", None), ("kill", Some(SIGKILL)), ("term", Some(SIGTERM))] {
        let mut info = [-1i32; 32];
        let pid = spawn(|| match end {
            Some(sig) => { sc!(SYS_kill, sc!(SYS_getpid).0, sig); },
            None => exit(300),
        });
        println!("{name}: {}", sc!(SYS_waitid, P_PID, pid, &mut info, WEXITED, 0));
        show_info(&info, pid);
    }
}

fn waitid_keeps() {
    let pid = spawn(|| exit(9));
    let mut info = [-1i32; 32];
    t!(SYS_waitid, P_PID, pid, &mut info, WEXITED | WNOWAIT, 0);
    show_info(&info, pid);
    t!(SYS_waitid, P_ALL, 0, &mut info, WEXITED | WNOWAIT, 0);
    t!(SYS_waitid, P_PID, pid, 0, WEXITED, 0);
    t!(SYS_waitid, P_PID, pid, &mut info, WEXITED, 0);
    show_info(&info, pid);
}

fn waitid_nothing() {
    let (r, w) = pipe();
    let pid = spawn(|| {
        close(w);
        get(r, 1);
    });
    let mut info = [-1i32; 32];
    t!(SYS_waitid, P_PID, pid, &mut info, WEXITED | WNOHANG, 0);
    println!("{:?} {}", &info[..8], info[8]);
    close(w);
    v!(reap(pid));
}

fn stop_and_continue() {
    // The continuation is fetched before what comes next makes it forgotten.
    let (r, w) = pipe();
    let pid = spawn(|| {
        sc!(SYS_kill, sc!(SYS_getpid).0, SIGSTOP);
        get(r, 1);
        sc!(SYS_kill, sc!(SYS_getpid).0, SIGTSTP);
        get(r, 1);
        exit(4);
    });
    let mut status = 0;
    for round in 0..2 {
        sc!(SYS_wait4, pid, &mut status, WUNTRACED, 0);
        println!("{round}: {:?}", status_text(status));
        t!(SYS_wait4, pid, &mut status, WUNTRACED | WNOHANG, 0);
        let mut info = [0i32; 32];
        t!(SYS_waitid, P_PID, pid, &mut info, WSTOPPED | WNOHANG, 0);
        show_info(&info, pid);
        sc!(SYS_kill, pid, SIGCONT);
        t!(SYS_waitid, P_PID, pid, &mut info, WCONTINUED | WNOWAIT, 0);
        show_info(&info, pid);
        sc!(SYS_wait4, pid, &mut status, WCONTINUED, 0);
        println!("{round}: {:?}", status_text(status));
        put(w, b"x");
    }
    v!(reap(pid));
}

fn exit_signal_kinds() {
    ignore(SIGUSR1);
    let (none, all) = (clone_child(0, 1), __WALL);
    t!(SYS_wait4, none, 0, 0, 0);
    v!(sc!(SYS_wait4, none, 0, __WCLONE, 0).0 == i64::from(none));
    let usr1 = clone_child(SIGUSR1 as u64, 2);
    t!(SYS_wait4, usr1, 0, 0, 0);
    v!(sc!(SYS_wait4, -1, 0, all, 0).0 == i64::from(usr1));
    let normal = clone_child(SIGCHLD as u64, 3);
    t!(SYS_wait4, normal, 0, __WCLONE, 0);
    v!(sc!(SYS_wait4, normal, 0, __WNOTHREAD, 0).0 == i64::from(normal));
    let odd = clone_child(200, 3);
    v!(sc!(SYS_wait4, odd, 0, all, 0).0 == i64::from(odd));
}

fn clone_errors() {
    let f = |flags: i32| u64::from(flags as u32);
    for flags in [
        f(CLONE_THREAD),
        f(CLONE_SIGHAND),
        f(CLONE_THREAD | CLONE_SIGHAND),
        f(CLONE_FS | CLONE_NEWNS),
        f(CLONE_FS | CLONE_NEWUSER),
        f(CLONE_PIDFD | CLONE_PARENT_SETTID),
        f(CLONE_PIDFD | CLONE_DETACHED),
        f(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWUSER),
        f(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWPID),
    ] {
        println!("{flags:#x}: {}", sc!(SYS_clone, flags, 0, 0, 0, 0));
    }
}

fn clone3_errors() {
    let mut args: clone_args = zeroed();
    let size = size_of::<clone_args>();
    t!(SYS_clone3, &args, 8);
    t!(SYS_clone3, &args, 8192);
    t!(SYS_clone3, 16, size);
    args.exit_signal = 65;
    t!(SYS_clone3, &args, size);
    args = zeroed();
    args.stack = 4096;
    t!(SYS_clone3, &args, size);
    args = zeroed();
    args.stack_size = 4096;
    t!(SYS_clone3, &args, size);
    args = zeroed();
    args.flags = (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM) as u64;
    args.exit_signal = 17;
    t!(SYS_clone3, &args, size);
    args = zeroed();
    args.flags = 17;
    t!(SYS_clone3, &args, size);
    args.flags = 1 << 40;
    t!(SYS_clone3, &args, size);
    args.flags = 1 << 32 | CLONE_SIGHAND as u64 | CLONE_VM as u64;
    t!(SYS_clone3, &args, size);
    args = zeroed();
    args.set_tid_size = 1;
    t!(SYS_clone3, &args, size);
    args.set_tid_size = 33;
    t!(SYS_clone3, &args, size);
    args = zeroed();
    args.set_tid = &raw const args as u64;
    t!(SYS_clone3, &args, size);
    let long = [0u8; 128];
    let pid = sc!(SYS_clone3, &long, 128);
    if pid.0 == 0 {
        exit(3);
    }
    v!(pid.is_ok());
    v!(sc!(SYS_wait4, -1, 0, __WALL, 0) == pid);
    let mut long = long;
    long[120] = 1;
    t!(SYS_clone3, &long, 128);
}

fn clone_parent() {
    let child = spawn(|| {
        let sibling = clone_child(CLONE_PARENT as u64 | SIGUSR1 as u64, 5);
        v!(sibling > 0);
        t!(SYS_wait4, -1, 0, 0, 0);
    });
    let mut ended = Vec::new();
    for _ in 0..2 {
        let mut status = 0;
        let pid = sc!(SYS_wait4, -1, &mut status, 0, 0);
        ended.push((pid.0 == i64::from(child), status_text(status)));
    }
    ended.sort();
    v!(ended);
}

fn vfork_shares() {
    let word = map(PAGE, RW, ANON);
    let flags = CLONE_VM as u64 | CLONE_VFORK as u64 | SIGCHLD as u64;
    let stack = map(16 * PAGE, RW, ANON) + 16 * PAGE - 64;
    // SAFETY: the child runs on a stack of its own and only makes system calls.
    let pid = unsafe { libc::clone(shared_child, stack as *mut _, flags as i32, word as *mut _) };
    v!(peek(word, 1));
    v!(reap(pid));
}

extern "C" fn shared_child(word: *mut c_void) -> i32 {
    sleep_ms(30);
    // SAFETY: the page that the parent made for this.
    unsafe { *word.cast::<u8>() = 42 };
    7
}

fn vfork_exec() {
    let stack = map(16 * PAGE, RW, ANON) + 16 * PAGE - 64;
    for name in [c"/bin/true", c"/bin/false", c"/nowhere"] {
        let flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
        // SAFETY: the child runs on a stack of its own and only makes system calls.
        let pid = unsafe { libc::clone(exec_child, stack as *mut _, flags, name.as_ptr() as *mut _) };
        println!("{name:?}: {:?}", reap(pid));
    }
}

extern "C" fn exec_child(name: *mut c_void) -> i32 {
    let argv = [name, std::ptr::null_mut()];
    -sc!(SYS_execve, name as usize, &argv, 0).0 as i32
}

fn clear_handlers() {
    catch(SIGUSR2, 0);
    ignore(SIGHUP);
    let mut args: clone_args = zeroed();
    args.flags = 1 << 32;
    args.exit_signal = SIGCHLD as u64;
    let pid = must!(SYS_clone3, &args, size_of::<clone_args>());
    if pid.0 == 0 {
        for sig in [SIGUSR2, SIGHUP, SIGTERM] {
            let mut old = [0u64; 4];
            sc!(SYS_rt_sigaction, sig, 0, &mut old, 8);
            println!("{sig}: {}", old[0]);
        }
        exit(0);
    }
    v!(reap(pid.0 as i32));
}

fn pidfd_basics() {
    let (r, w) = pipe();
    let mut fd = -1;
    let mut args: clone_args = zeroed();
    args.flags = CLONE_PIDFD as u64;
    args.pidfd = &raw mut fd as u64;
    args.exit_signal = SIGCHLD as u64;
    let pid = must!(SYS_clone3, &args, size_of::<clone_args>());
    if pid.0 == 0 {
        close(w);
        get(r, 1);
        exit(6);
    }
    // SAFETY: the kernel wrote it.
    let fd = unsafe { std::ptr::read_volatile(&raw const fd) };
    t!(SYS_fcntl, fd, F_GETFD);
    t!(SYS_fcntl, fd, F_GETFL);
    let mut poll = [pollfd { fd, events: POLLIN | POLLOUT, revents: 0 }];
    t!(SYS_poll, &mut poll, 1, 0);
    let mut info = [0i32; 32];
    t!(SYS_fcntl, fd, F_SETFL, O_NONBLOCK);
    t!(SYS_waitid, P_PIDFD, fd, &mut info, WEXITED, 0);
    close(w);
    t!(SYS_poll, &mut poll, 1, 5000);
    v!(poll[0].revents);
    t!(SYS_pidfd_send_signal, fd, 0, 0, 0);
    t!(SYS_waitid, P_PIDFD, fd, &mut info, WEXITED, 0);
    show_info(&info, pid.0 as i32);
    t!(SYS_waitid, P_PIDFD, fd, &mut info, WEXITED, 0);
    t!(SYS_pidfd_send_signal, fd, 0, 0, 0);
    t!(SYS_poll, &mut poll, 1, 0);
    v!(poll[0].revents & POLLIN);
    let mut byte = [0u8];
    t!(SYS_read, fd, &mut byte, 1);
    t!(SYS_write, fd, &byte, 1);
    t!(SYS_lseek, fd, 0, 0);
}

fn pidfd_errors() {
    let pid = sc!(SYS_getpid).0;
    t!(SYS_pidfd_open, 0, 0);
    t!(SYS_pidfd_open, -1, 0);
    t!(SYS_pidfd_open, i32::MAX, 0);
    t!(SYS_pidfd_open, pid, 1);
    let fd = o!(SYS_pidfd_open, pid, O_NONBLOCK).fd();
    t!(SYS_fcntl, fd, F_GETFL);
    o!(SYS_pidfd_getfd, fd, 1, 0);
    t!(SYS_pidfd_getfd, fd, 500, 0);
    t!(SYS_pidfd_getfd, fd, 1, 1);
    t!(SYS_pidfd_getfd, 1, 1, 0);
    t!(SYS_pidfd_getfd, 99, 1, 0);
    t!(SYS_pidfd_send_signal, 1, 0, 0, 0);
    t!(SYS_pidfd_send_signal, 99, 0, 0, 0);
    t!(SYS_pidfd_send_signal, fd, 65, 0, 0);
    t!(SYS_pidfd_send_signal, fd, 0, 0, 5000);
}

/// A process has one file for all descriptors of it, which is root's.
fn pidfd_is_a_file() {
    let child = spawn(|| sleep_ms(10_000));
    let files = [sc!(SYS_getpid).0 as i32, child, child].map(|pid| {
        let fd = must!(SYS_pidfd_open, pid, 0).fd();
        let mut file: stat = zeroed();
        must!(SYS_fstat, fd, &mut file);
        v!((file.st_mode, file.st_uid, file.st_gid, file.st_nlink, file.st_size));
        t!(SYS_fchmod, fd, 0o600);
        t!(SYS_fchown, fd, 0, 0);
        file.st_ino
    });
    v!((files[0] == files[1], files[1] == files[2]));
    t!(SYS_kill, child, SIGKILL);
    v!(reap(child));
}

fn pidfd_signals() {
    let pid = spawn(|| {
        catch(SIGUSR1, 0);
        loop {
            sleep_ms(1000);
            if caught(SIGUSR1) > 0 {
                exit(8);
            }
        }
    });
    until_sleeping(pid);
    let fd = must!(SYS_pidfd_open, pid, 0).fd();
    let mut info = [0i32; 32];
    (info[0], info[2]) = (SIGUSR2, -1);
    t!(SYS_pidfd_send_signal, fd, SIGUSR1, &info, 0);
    (info[0], info[2]) = (SIGUSR1, 0);
    t!(SYS_pidfd_send_signal, fd, SIGUSR1, &info, 0);
    info[2] = -1;
    t!(SYS_pidfd_send_signal, fd, SIGUSR1, &info, 0);
    v!(reap(pid));
}

fn orphans() {
    let (r, w) = pipe();
    let me = sc!(SYS_getpid).0;
    let pid = spawn(|| {
        let parent = sc!(SYS_getpid).0;
        spawn(|| {
            until(|| sc!(SYS_getppid).0 != parent);
            put(w, if sc!(SYS_getppid).0 == me { b"mine" } else { b"another's" });
        });
    });
    v!(reap(pid));
    v!(get(r, 16));
    t!(SYS_wait4, -1, 0, WNOHANG, 0);
}

fn subreaper() {
    let mut value = -1;
    t!(SYS_prctl, PR_GET_CHILD_SUBREAPER, &mut value, 0, 0, 0);
    v!(value);
    t!(SYS_prctl, PR_SET_CHILD_SUBREAPER, 7, 0, 0, 0);
    t!(SYS_prctl, PR_GET_CHILD_SUBREAPER, &mut value, 0, 0, 0);
    v!(value);
    let pid = spawn(|| {
        let mut value = -1;
        sc!(SYS_prctl, PR_GET_CHILD_SUBREAPER, &mut value, 0, 0, 0);
        v!(value);
        ignore(SIGUSR1);
        // Its orphan comes to the grandparent, whatever it was made to send.
        clone_child(SIGUSR1 as u64, 31);
    });
    v!(reap(pid));
    let mut status = 0;
    v!(sc!(SYS_wait4, -1, &mut status, 0, 0).0 > 0);
    v!(status_text(status));
    t!(SYS_wait4, -1, 0, 0, 0);
}

fn death_signal() {
    t!(SYS_prctl, PR_SET_PDEATHSIG, 65, 0, 0, 0);
    t!(SYS_prctl, PR_SET_PDEATHSIG, -1i64, 0, 0, 0);
    sc!(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    let (r, w) = pipe();
    let pid = spawn(|| {
        let grandchild = spawn(|| {
            sc!(SYS_prctl, PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0);
            let mut value = 0;
            sc!(SYS_prctl, PR_GET_PDEATHSIG, &mut value, 0, 0, 0);
            v!(value);
            spawn(|| {
                let mut value = -1;
                sc!(SYS_prctl, PR_GET_PDEATHSIG, &mut value, 0, 0, 0);
                v!(value);
                exit(0);
            });
            sc!(SYS_wait4, -1, 0, 0, 0);
            put(w, b"ready");
            loop {
                sleep_ms(1000);
            }
        });
        get(r, 8);
        v!(grandchild > 0);
    });
    v!(reap(pid));
    let mut status = 0;
    v!(sc!(SYS_wait4, -1, &mut status, 0, 0).0 > 0);
    v!(status_text(status));
}

fn zombie_signals() {
    let pid = spawn(|| exit(3));
    until(|| state_of(pid) == 'Z');
    t!(SYS_kill, pid, 0);
    t!(SYS_kill, pid, SIGKILL);
    t!(SYS_getpriority, 0, pid);
    v!(sc!(SYS_getpgid, pid) == sc!(SYS_getpgid, 0));
    v!(sc!(SYS_getsid, pid) == sc!(SYS_getsid, 0));
    v!(reap(pid));
    t!(SYS_kill, pid, 0);
    t!(SYS_getpgid, pid);
}

fn usage_of_children() {
    let mut usage: rusage = zeroed();
    t!(SYS_getrusage, 5, &mut usage);
    t!(SYS_getrusage, RUSAGE_SELF, 16);
    t!(SYS_getrusage, RUSAGE_THREAD, &mut usage);
    let spin = || {
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 60 {
            std::hint::spin_loop();
        }
    };
    let pid = spawn(|| {
        v!(in_child(spin));
        let mut usage: rusage = zeroed();
        sc!(SYS_getrusage, RUSAGE_CHILDREN, &mut usage);
        v!(usage.ru_utime.tv_usec > 0);
    });
    sc!(SYS_getrusage, RUSAGE_CHILDREN, &mut usage);
    v!((usage.ru_utime.tv_sec, usage.ru_utime.tv_usec));
    let mut of_child: rusage = zeroed();
    v!(sc!(SYS_wait4, pid, 0, 0, &mut of_child).0 == i64::from(pid));
    v!(of_child.ru_utime.tv_usec > 0);
    sc!(SYS_getrusage, RUSAGE_CHILDREN, &mut usage);
    v!(usage.ru_utime.tv_usec == of_child.ru_utime.tv_usec);
    let mut times = [0i64; 4];
    v!(sc!(SYS_times, &mut times).0 > 0);
    t!(SYS_times, 16);
}

/// User and system time used up to now, in microseconds.
fn times_used() -> (i64, i64) {
    let mut usage: rusage = zeroed();
    must!(SYS_getrusage, RUSAGE_SELF, &mut usage);
    let us = |t: timeval| t.tv_sec * 1_000_000 + t.tv_usec;
    (us(usage.ru_utime), us(usage.ru_stime))
}

fn cost_of(f: impl FnOnce()) -> (i64, i64) {
    let (user, system) = times_used();
    f();
    let (user_after, system_after) = times_used();
    (user_after - user, system_after - system)
}

/// What computes takes user time, what has the kernel work system time, what sleeps none.
fn user_and_system_time() {
    let (user, system) = cost_of(|| {
        let mut x = 1u64;
        for i in 0..40_000_000u64 {
            x = std::hint::black_box(x.wrapping_mul(3) ^ i);
        }
    });
    v!((user > 5_000, user > 2 * system));
    let zero = open(c"/dev/zero", O_RDONLY);
    // Calls that take milliseconds: of short ones, the way into the kernel would be the larger
    // part.
    let mut buffer = vec![1u8; 1 << 20];
    let vectors = iov(&[(buffer.as_mut_ptr() as usize, buffer.len()); 64]);
    let (user, system) = cost_of(|| {
        for _ in 0..12 {
            must!(SYS_readv, zero, &vectors[..], 64);
        }
    });
    v!((system > 5_000, system > 2 * user));
    let (user, system) = cost_of(|| sleep_ms(100));
    v!(user + system < 50_000);
    let mut spent = [0i64; 2];
    must!(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &mut spent);
    let (user, system) = times_used();
    v!((user + system - (spent[0] * 1_000_000 + spent[1] / 1000)).abs() < 20_000);
}

/// A directory of /proc/PID stands for the process, in the call that once had nothing else.
fn pidfd_directory() {
    let own = open(c"/proc/self", O_RDONLY | O_DIRECTORY);
    t!(SYS_pidfd_send_signal, own, 0, 0, 0);
    t!(SYS_pidfd_send_signal, own, 99, 0, 0);
    catch(SIGUSR1, 0);
    t!(SYS_pidfd_send_signal, own, SIGUSR1, 0, 0);
    v!(caught(SIGUSR1));
    t!(SYS_pidfd_send_signal, open(c"/proc/self", O_PATH), 0, 0, 0);
    t!(SYS_pidfd_send_signal, open(c"/proc/self/task", O_RDONLY), 0, 0, 0);
    t!(SYS_pidfd_send_signal, open(c"/proc", O_RDONLY), 0, 0, 0);
    t!(SYS_pidfd_send_signal, open(c"/proc/self/status", O_RDONLY), 0, 0, 0);
    t!(SYS_pidfd_getfd, own, 0, 0);
    t!(SYS_waitid, P_PIDFD, own, 0, WEXITED, 0);
    let child = spawn(|| sleep_ms(10_000));
    let directory = must!(SYS_openat, AT_FDCWD, &*c(&format!("/proc/{child}")), O_RDONLY).fd();
    t!(SYS_pidfd_send_signal, directory, SIGTERM, 0, 0);
    v!(reap(child));
    t!(SYS_pidfd_send_signal, directory, 0, 0, 0);
}

/// Processes whose first thread ended before another one count no longer for their user.
fn first_threads_are_uncounted() {
    v!(unprivileged(|| {
        for _ in 0..30 {
            let status = in_child(|| {
                let own = std::process::id() as i32;
                std::thread::spawn(move || {
                    until(|| std::fs::read_to_string(format!("/proc/{own}/task/{own}/stat")).is_ok_and(|s| s.contains(") Z")));
                    sc!(SYS_exit, 0);
                });
                sc!(SYS_exit, 0);
            });
            assert_eq!(status, "exit 0");
        }
        must!(SYS_setrlimit, RLIMIT_NPROC, &[20u64, 20]);
        v!(in_child(|| ()));
    }));
}

fn first_thread_ends() {
    let pid = spawn(|| {
        std::thread::spawn(|| {
            sleep_ms(40);
            sc!(SYS_exit, 6);
        });
        sc!(SYS_exit, 3);
    });
    until(|| state_of(pid) == 'Z');
    t!(SYS_kill, pid, 0);
    v!(reap(pid));
    let pid = spawn(|| {
        std::thread::spawn(|| {
            sleep_ms(40);
            exit(9);
        });
        sc!(SYS_exit, 3);
    });
    v!(reap(pid));
}

fn spinning_threads(n: usize) {
    for _ in 0..n {
        std::thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
    }
}

fn exec_from_thread() {
    let (r, w) = pipe();
    let pid = spawn(|| {
        spinning_threads(3);
        let me = sc!(SYS_getpid).0;
        std::thread::spawn(move || {
            sc!(SYS_dup2, w, 1);
            let script = c(&format!("test $$ = {me} && echo same; exit 33"));
            let argv = [c"sh".as_ptr(), c"-c".as_ptr(), script.as_ptr(), std::ptr::null()];
            sc!(SYS_execve, c"/bin/sh".as_ptr() as usize, &argv, 0);
        });
        loop {
            sleep_ms(1000);
        }
    });
    v!(reap(pid));
    v!(get(r, 16));
}

fn exit_with_threads() {
    v!(in_child(|| {
        spinning_threads(8);
        exit(12);
    }));
    let pid = spawn(|| {
        spinning_threads(4);
        loop {
            sleep_ms(1000);
        }
    });
    until_sleeping(pid);
    sc!(SYS_kill, pid, SIGTERM);
    v!(reap(pid));
}

fn threads_many() {
    let counter = std::sync::Arc::new(std::sync::Mutex::new(0u64));
    for _ in 0..3 {
        let threads: Vec<_> = (0..100)
            .map(|i| {
                let counter = counter.clone();
                std::thread::spawn(move || {
                    for _ in 0..50 {
                        *counter.lock().unwrap() += i;
                    }
                    i
                })
            })
            .collect();
        let sum: u64 = threads.into_iter().map(|t| t.join().unwrap()).sum();
        v!(sum);
    }
    v!(*counter.lock().unwrap());
}

fn fork_bomb_limit() {
    unprivileged(|| {
        let limit = rlimit { rlim_cur: 12, rlim_max: 12 };
        // A uid of its own, so that nobody else's processes count.
        must!(SYS_setrlimit, RLIMIT_NPROC, &limit);
        let mut made = 0;
        let error = loop {
            let pid = sc!(SYS_fork);
            match pid.0 {
                0 => loop {
                    sleep_ms(1000);
                },
                1.. => made += 1,
                _ => break pid,
            }
            if made > 100 {
                break pid;
            }
        };
        v!(error);
        v!(made <= 11);
    });
}
