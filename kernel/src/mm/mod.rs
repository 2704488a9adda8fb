//! Memory: physmem and its frames, guest address spaces, and the guest memory that system calls
//! name.
//!
//! The core's own list of mappings ([`space`]) is the truth; what the host has mapped is a cache of
//! it that the process model keeps (see [`umlab_model::ModelSpace`]).

mod advise;
mod attach;
pub mod audit;
pub mod dump;
pub mod fault;
mod fork;
pub mod frames;
mod gaps;
pub mod invalidate;
mod limits;
pub mod map;
pub mod maps;
mod mlock;
pub mod object;
pub mod page_cache;
pub mod pressure;
mod protect;
mod remap;
pub mod space;
mod trim;
pub mod user;
pub mod vma;
pub mod window;

pub use frames::Frames;
pub use space::AddressSpace;
pub use umlab_model::{PAGE_SIZE, PageRange};
pub use user::IoBuf;

/// [`PAGE_SIZE`] as a length of what the core has itself.
pub const PAGE: usize = abi::number::to_usize(PAGE_SIZE);
