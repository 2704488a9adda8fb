//! What umlab asks of the host kernel, wrapped once.
//!
//! Everything here is a thin, safe face over a host interface: memory objects, files, locks that
//! work across host processes, clocks, threads and ptrace. The guest kernel and the process models
//! build on it and never call the host for these things themselves, so host headers and guest ABI
//! stay apart. Nothing here knows what a guest is.
//!
//! Calls are made through rustix where it has them: it needs no errno, and no `unsafe` here. The
//! others, and those for memory and ptrace, are libc's.

pub mod arena;
pub mod auxv;
pub mod child;
pub mod claims;
pub mod clock;
pub mod context;
pub mod copy;
pub mod errno;
pub mod events;
pub mod file;
pub mod fork;
pub mod fpu;
pub mod info;
pub mod inotify;
pub mod kicks;
pub mod limits;
pub mod lock;
pub mod maps;
pub mod memory;
pub mod notify;
pub mod placement;
pub mod proc_mm;
pub mod process;
pub mod ptrace;
pub mod random;
pub mod rseq;
pub mod seccomp;
pub mod stream;
pub mod terminal;
pub mod thread;
pub mod vdso;
pub mod xstate;

pub use errno::{Errno, Result};
