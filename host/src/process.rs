//! The program's own process: which it is, since in some models the core runs in other processes as
//! well, and how it ends.

use rustix::fs::Mode;
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
    let mask = rustix::process::umask(Mode::from_bits_retain(0o022));
    rustix::process::umask(mask);
    mask.bits()
}

/// The process's nice value.
pub fn nice() -> i32 {
    // The process itself is always there.
    rustix::process::getpriority_process(None).unwrap_or(0)
}
