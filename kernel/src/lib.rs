//! The core: one guest kernel, the same under every process model.

#![deny(unsafe_code)]
// Numbers are a guest's allegations: what drops or reinterprets bits has a name (`abi::number`).
#![deny(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

pub mod boot;
pub mod creds;
pub mod event;
pub mod fs;
pub mod ipc;
pub mod limits;
pub mod mm;
pub mod net;
pub mod sched;
pub mod stats;
pub mod syscall;
pub mod task;
pub mod time;
pub mod trace;
pub mod tty;
pub mod uts;
pub mod vfs;

extern crate umlab_abi as abi;

pub use umlab_host::{Errno, Result};

/// The number of a process or a thread, or of a group or session of processes.
pub type Pid = i32;

pub use umlab_model::{lock, log};
