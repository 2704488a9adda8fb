//! The ABI between guest programs and the kernel: what both sides agree to write into memory.
//!
//! One file for each header of Linux's user-space API, which its first line names ([`number`] is of
//! no header: it is how registers carry numbers). All names are the headers' own, and stand at the
//! root too. Structures have the header's field names. Their bytes are all there: padding is a
//! field, so a structure can go to a guest without anything of the kernel's memory in between.
//! `zerocopy` derives what that takes, and each size is asserted.

#![forbid(unsafe_code)]

pub mod audit;
pub mod auxvec;
pub mod capability;
pub mod close_range;
pub mod dirent;
pub mod elf;
pub mod eventfd;
pub mod eventpoll;
pub mod fadvise;
pub mod falloc;
pub mod fcntl;
pub mod fs;
pub mod futex;
pub mod inotify;
pub mod ioctls;
pub mod ioprio;
pub mod ipc;
pub mod kdev;
pub mod limits;
pub mod memfd;
pub mod mman;
pub mod mount;
pub mod msg;
pub mod number;
pub mod openat2;
pub mod poll;
pub mod prctl;
pub mod ptrace;
pub mod random;
pub mod resource;
pub mod sched;
pub mod securebits;
pub mod sem;
pub mod shm;
pub mod signal;
pub mod signalfd;
pub mod socket;
pub mod splice;
pub mod stat;
pub mod sysinfo;
pub mod termbits;
pub mod termios;
pub mod time;
pub mod timerfd;
pub mod ucontext;
pub mod unistd;
pub mod wait;
pub mod xattr;

pub use audit::*;
pub use auxvec::*;
pub use capability::*;
pub use close_range::*;
pub use dirent::*;
pub use elf::*;
pub use eventfd::*;
pub use eventpoll::*;
pub use fadvise::*;
pub use falloc::*;
pub use fcntl::*;
pub use fs::*;
pub use futex::*;
pub use inotify::*;
pub use ioctls::*;
pub use ioprio::*;
pub use ipc::*;
pub use kdev::*;
pub use limits::*;
pub use memfd::*;
pub use mman::*;
pub use mount::*;
pub use msg::*;
pub use openat2::*;
pub use poll::*;
pub use prctl::*;
pub use ptrace::*;
pub use random::*;
pub use resource::*;
pub use sched::*;
pub use securebits::*;
pub use sem::*;
pub use shm::*;
pub use signal::*;
pub use signalfd::*;
pub use socket::*;
pub use splice::*;
pub use stat::*;
pub use sysinfo::*;
pub use termbits::*;
pub use termios::*;
pub use time::*;
pub use timerfd::*;
pub use unistd::*;
pub use wait::*;
pub use xattr::*;

/// What may be copied to and from guest memory byte by byte: no padding, no references, and a value
/// whatever the bits.
pub trait Plain: zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable + Copy {}

impl<T: zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable + Copy> Plain for T {}

/// Structures of C, each with its size.
macro_rules! structures {
    ($($(#[$doc:meta])* $name:ident $size:literal { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* })*) => { $(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)* }

        const _: () = assert!(size_of::<$name>() == $size);
    )* };
}
use structures;
