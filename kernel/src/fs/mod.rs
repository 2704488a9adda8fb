//! File systems: the host's directories, memory, proc, dev, sys, and files that have no place in a
//! tree.

pub mod devfs;
pub mod device;
pub mod hostfs;
pub mod memfs;
mod memory_devices;
pub mod procfs;
pub mod pseudo;
pub mod stdio;
pub mod sysfs;
pub mod types;

#[cfg(test)]
pub(crate) mod tests;
