//! Process groups, sessions, and orphaned groups.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] =
    cases![setpgid_errors, setpgid_child, setpgid_after_exec, sessions, other_session, orphaned_group, killed_while_forking];

fn pause_child() -> i32 {
    spawn(|| {
        loop {
            sleep_ms(1000);
        }
    })
}

fn finish(pid: i32) {
    sc!(SYS_kill, pid, SIGKILL);
    reap(pid);
}

fn setpgid_errors() {
    t!(SYS_setpgid, 0, -1);
    t!(SYS_setpgid, -1, 0);
    t!(SYS_setpgid, i32::MAX, 0);
    t!(SYS_setpgid, sc!(SYS_getppid).0, 0);
    t!(SYS_getpgid, i32::MAX);
    t!(SYS_getpgid, -1);
    t!(SYS_getsid, i32::MAX);
    t!(SYS_setpgid, 0, 0);
}

fn setpgid_child() {
    let (a, b) = (pause_child(), pause_child());
    t!(SYS_setpgid, a, 0);
    v!(sc!(SYS_getpgid, a).0 == i64::from(a));
    t!(SYS_setpgid, b, a);
    v!(sc!(SYS_getpgid, b).0 == i64::from(a));
    t!(SYS_setpgid, b, i32::MAX);
    finish(a);
    // The group lives on in its other member.
    t!(SYS_setpgid, 0, a);
    v!(sc!(SYS_getpgrp).0 == i64::from(a));
    finish(b);
}

fn setpgid_after_exec() {
    let (r, w) = pipe();
    let pid = spawn(|| {
        let argv = [c"sh".as_ptr(), c"-c".as_ptr(), c"echo x; exec sleep 5".as_ptr(), std::ptr::null()];
        sc!(SYS_dup2, w, 1);
        sc!(SYS_execve, c"/bin/sh".as_ptr() as usize, &argv, 0);
    });
    v!(get(r, 8));
    t!(SYS_setpgid, pid, pid);
    finish(pid);
}

fn sessions() {
    v!(in_child(|| {
        let me = sc!(SYS_getpid).0;
        v!(sc!(SYS_setsid).0 == me);
        v!(sc!(SYS_getsid, 0).0 == me);
        v!(sc!(SYS_getpgrp).0 == me);
        t!(SYS_setsid);
        t!(SYS_setpgid, 0, 0);
        v!(in_child(|| {
            v!(sc!(SYS_getsid, 0).0 == me);
            sc!(SYS_setpgid, 0, 0);
            t!(SYS_setsid);
        }));
    }));
    t!(SYS_setsid);
}

fn other_session() {
    let (r, w) = pipe();
    let pid = spawn(|| {
        sc!(SYS_setsid);
        put(w, b"x");
        loop {
            sleep_ms(1000);
        }
    });
    get(r, 1);
    t!(SYS_setpgid, pid, 0);
    t!(SYS_setpgid, 0, pid);
    finish(pid);
}

fn orphaned_group() {
    let (r, w) = pipe();
    let pid = spawn(|| {
        sc!(SYS_setsid);
        let middle = spawn(|| {
            sc!(SYS_setpgid, 0, 0);
            let stopped = spawn(|| {
                catch(SIGHUP, 0);
                catch(SIGCONT, 0);
                sc!(SYS_kill, sc!(SYS_getpid).0, SIGSTOP);
                println!("hup {} cont {}", caught(SIGHUP), caught(SIGCONT));
                put(w, b"continued");
                exit(0);
            });
            sc!(SYS_wait4, stopped, 0, WUNTRACED, 0);
        });
        reap(middle);
    });
    v!(get(r, 16));
    v!(reap(pid));
}

/// A kill of a whole group leaves nobody, also of those who are just being made.
fn killed_while_forking() {
    must!(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1);
    // A fork that takes its time.
    let len = 3 << 20;
    let memory = map(len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    (0..len).step_by(4096).for_each(|at| drop(store(memory + at, 1)));
    for round in 1..=8 {
        let leader = spawn(|| {
            sc!(SYS_setpgid, 0, 0);
            for _ in 0..3 {
                spawn(|| {
                    for _ in 0..40 {
                        spawn(|| sleep_ms(1_000_000));
                    }
                });
            }
            sleep_ms(1_000_000);
        });
        sc!(SYS_setpgid, leader, 0);
        sleep_ms(2 * round);
        sc!(SYS_kill, -leader, SIGKILL);
        until(|| sc!(SYS_wait4, -1, 0, 0, 0).0 == -i64::from(libc::ECHILD));
    }
    println!("nobody is left");
}
