//! The ABI between guest programs and the kernel: what both sides agree to write into memory.
//!
//! One file for each header of Linux's user-space API, which its first line names. Structures have
//! the header's field names. Their bytes are all there: padding is a field, so a structure can go
//! to a guest without anything of the kernel's memory in between. `zerocopy` derives what that
//! takes, and each size is asserted.

#![forbid(unsafe_code)]

pub mod elf;
pub mod fcntl;
pub mod poll;
pub mod ptrace;
pub mod resource;
pub mod signalfd;
pub mod socket;
pub mod stat;
pub mod sysinfo;
pub mod termios;
pub mod time;

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
