//! What the targets of `cargo fuzz` share (docs/fuzzing.md): a guest kernel that runs in the
//! fuzzer's own thread, and small readers of inputs.
//!
//! The targets reach the kernel by its outside: system calls, and the interface of process models.

pub mod guest;
pub mod input;
pub mod thread;
pub mod tree;
