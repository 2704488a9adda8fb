//! The program's own process: which it is, since in some models the core runs in other processes as
//! well, and how it ends.

use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

static MAIN: AtomicI32 = AtomicI32::new(0);

/// Says that the calling process is `uml`'s. Called once, before there are others.
pub fn set_main() {
    MAIN.store(std::process::id() as i32, Relaxed);
}

/// The number of `uml`'s process.
pub fn main_id() -> i32 {
    match MAIN.load(Relaxed) {
        0 => std::process::id() as i32,
        id => id,
    }
}

/// From now on a write to a pipe that nobody reads any more ends the process silently, as is usual
/// for programs that print lines. Rust's own start has it fail instead, on which `println!` panics.
pub fn end_when_nobody_reads() {
    // SAFETY: the default action replaces another one without a handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Has the C library serve all threads from one heap. The core has its own, so this one is hardly
/// used, and each further one costs two mappings, which tt copies at every fork.
pub fn keep_libc_heap_small() {
    // SAFETY: plain numbers.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// The mask that takes rights away from new files. Called while there is one thread.
pub fn umask() -> u32 {
    // SAFETY: plain numbers; the mask is as before afterwards.
    unsafe {
        let mask = libc::umask(0o022);
        libc::umask(mask);
        mask
    }
}

/// The process's nice value.
pub fn nice() -> i32 {
    // SAFETY: asks only. The call itself gives 20 less the nice value, so that it cannot be
    // mistaken for an error.
    20 - unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, 0) } as i32
}
