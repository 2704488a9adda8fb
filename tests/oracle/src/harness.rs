//! Running cases so that one cannot disturb another, and so that every run begins alike.
//!
//! A case is a function that prints what it sees. It runs in a child of its own, in an empty
//! directory of its own, with the descriptors, signals, limits and file mode mask that every other
//! case begins with. What it prints must depend on nothing but the kernel: no process ids,
//! addresses, times, or inode numbers.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::sys::{exit, spawn, status_text};

/// A case's name and what it does.
pub type Case = (&'static str, fn());

#[macro_export]
macro_rules! cases {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn())),*] };
}

/// Longer than any case takes on a busy machine; `ORACLE_TIMEOUT` (in seconds) is for guests that
/// are slower still.
const TIMEOUT: u64 = 20;

/// Run the cases that `wanted` names (as `AREA` or `AREA/CASE`), or all of them.
pub fn run(areas: &[(&str, &[Case])], wanted: &[String]) {
    let timeout = std::env::var("ORACLE_TIMEOUT").ok().and_then(|s| s.parse().ok()).unwrap_or(TIMEOUT);
    become_init();
    for (area, cases) in areas {
        for (name, case) in *cases {
            let full = format!("{area}/{name}");
            if wanted.is_empty() || wanted.iter().any(|w| w == area || *w == full) {
                println!("== {full}");
                println!("-- {}", run_one(*case, Duration::from_secs(timeout)));
            }
        }
    }
}

/// Orphans of a case come to us, so that they can be ended and waited for.
fn become_init() {
    // SAFETY: neither call touches memory of ours; SIGCHLD is only waited for.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
}

fn run_one(case: fn(), timeout: Duration) -> String {
    let dir = fresh_directory();
    let pid = spawn(|| {
        prepare(&dir);
        case();
        exit(0);
    });
    let end = wait(pid, timeout);
    end_all(pid);
    unlock(&dir);
    if let Err(e) = std::fs::remove_dir_all(&dir) {
        eprintln!("{} could not be removed: {e}", dir.display());
    }
    end
}

fn fresh_directory() -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let n = MADE.fetch_add(1, Relaxed);
    let dir = std::env::temp_dir().join(format!("oracle-{}-{n}", std::process::id()));
    std::fs::create_dir(&dir).expect("a directory for the case");
    dir
}

/// A case may have made directories that not even their owner can enter.
fn unlock(dir: &Path) {
    // What does not work here shows when the directory is removed.
    let _ = std::fs::set_permissions(dir, Permissions::from_mode(0o700));
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            unlock(&entry.path());
        }
    }
}

/// The state in which every case begins, whatever we were started with.
fn prepare(dir: &Path) {
    // SAFETY: the process has one thread and just began; descriptors above 2 belong to nobody here.
    unsafe {
        libc::setpgid(0, 0);
        libc::close_range(3, u32::MAX, 0);
        libc::umask(0o022);
        for sig in 1..=64 {
            libc::signal(sig, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
    limit(libc::RLIMIT_NOFILE, 1024);
    limit(libc::RLIMIT_STACK, 8 << 20);
    limit(libc::RLIMIT_CORE, 0);
    std::env::set_current_dir(dir).expect("the case's directory");
}

fn limit(which: libc::__rlimit_resource_t, soft: u64) {
    let mut lim = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both pointers are to a local.
    unsafe {
        libc::getrlimit(which, &raw mut lim);
        lim.rlim_cur = soft.min(lim.rlim_max);
        libc::setrlimit(which, &raw const lim);
    }
}

/// The watchdog: a case that hangs is ended, and the run goes on.
fn wait(pid: i32, timeout: Duration) -> String {
    let (start, mut status, mut pause) = (Instant::now(), 0, 100);
    loop {
        // SAFETY: the pointer is to a local.
        let got = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
        if got == pid {
            return status_text(status).0;
        }
        if start.elapsed() > timeout {
            return "hangs".to_string();
        }
        std::thread::sleep(Duration::from_micros(pause));
        pause = (pause * 2).min(5000);
    }
}

/// End what a case left behind: its group, and orphans that had left the group.
fn end_all(pid: i32) {
    // SAFETY: the group is the case's own; a group of that number cannot be another's while the
    // case is not reaped or members remain, and otherwise the call fails.
    unsafe { libc::kill(-pid, libc::SIGKILL) };
    let (me, start) = (std::process::id(), Instant::now());
    // Bounded, since a kernel that is being tested may not tell who its children are.
    while start.elapsed() < Duration::from_secs(2) {
        let list = std::fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
        let children: Vec<i32> = list.split_whitespace().filter_map(|p| p.parse().ok()).collect();
        for child in &children {
            // SAFETY: children of ours, not yet reaped, so their numbers are theirs.
            unsafe { libc::kill(*child, libc::SIGKILL) };
        }
        // SAFETY: no memory is passed.
        match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::__WALL | libc::WNOHANG) } {
            0 => std::thread::sleep(Duration::from_micros(200)),
            gone if gone < 0 => return,
            _ => {}
        }
    }
}
