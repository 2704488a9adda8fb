//! Core dumps, as far as they do not depend on where this host has them go:
//! /proc/PID/coredump_filter, and processes without one.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] =
    cases![filter, filter_is_inherited, filter_of_others, filter_of_the_dead, undumpable, dont_dump];

const FILTER: &str = "/proc/self/coredump_filter";

/// Writes a text to it, and tells what that gave and what it is then.
fn set(value: &str) {
    let fd = open(c"/proc/self/coredump_filter", O_RDWR);
    let ret = sc!(SYS_write, fd, value.as_ptr() as usize, value.len());
    println!("{value:?}: {ret} {:?}", content(FILTER));
    close(fd);
}

fn filter() {
    v!(content(FILTER));
    v!(stat(c"/proc/self/coredump_filter").st_mode);
    for value in ["0", "7\n", "0x33", "0X1ff", "010", "08", "+1", "0x", "-1", " 1", "1 ", "1x", "x", "0x+1", "++1", "\n"] {
        set(value);
    }
    for value in ["511", "512", "0xffffffff", "0x100000000", "99999999999999999999"] {
        set(value);
    }
}

fn filter_is_inherited() {
    set("0x7f");
    v!(in_child(|| {
        v!(content(FILTER));
        set("1");
    }));
    v!(content(FILTER));
}

fn filter_of_others() {
    let (ready, go) = pipe();
    let kid = spawn(|| {
        get(ready, 1);
    });
    let path = format!("/proc/{kid}/coredump_filter");
    v!(content(&path));
    v!(std::fs::write(&path, "3").is_ok());
    v!(content(&path));
    v!(content(FILTER));
    v!(std::path::Path::new("/proc/thread-self/coredump_filter").exists());
    put(go, b"x");
    v!(reap(kid));
}

fn filter_of_the_dead() {
    let kid = spawn(|| ());
    until(|| state_of(kid) == 'Z');
    let path = format!("/proc/{kid}/coredump_filter");
    v!(std::fs::read(&path).map_err(|e| e.raw_os_error()));
    v!(std::fs::write(&path, "3").map_err(|e| e.raw_os_error()));
}

/// Without a dump, whatever the limit is: no bit in the status says that there was one, and
/// CLD_KILLED is how it ended.
fn undumpable() {
    let limit = [u64::MAX, u64::MAX];
    for signal in [SIGABRT, SIGSEGV, SIGQUIT, SIGTRAP, SIGXCPU, SIGSYS] {
        let kid = spawn(|| {
            sc!(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
            sc!(SYS_setrlimit, RLIMIT_CORE, &limit);
            sc!(SYS_kill, std::process::id(), signal);
        });
        let mut info: siginfo_t = zeroed();
        must!(SYS_waitid, P_PID, kid, &mut info, WEXITED | WNOWAIT, 0);
        v!((info.si_signo, info.si_code == CLD_KILLED));
        let mut status = 0i32;
        must!(SYS_wait4, kid, &mut status, 0, 0);
        v!(status);
    }
}

fn dont_dump() {
    let a = map(4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    t!(SYS_madvise, a + PAGE, PAGE, MADV_DONTDUMP);
    fill(a, 4 * PAGE, 7);
    t!(SYS_madvise, a, 4 * PAGE, MADV_DODUMP);
    t!(SYS_madvise, a + 1, PAGE, MADV_DONTDUMP);
    must!(SYS_munmap, a + PAGE, PAGE);
    t!(SYS_madvise, a, 4 * PAGE, MADV_DONTDUMP);
    v!(peek(a, 1));
}
