//! The numbers of devices. `fs/device.rs` has the drivers behind them.

/// Major number of null, zero, random and their kind.
pub const MEMORY: u32 = 1;
/// Major number of /dev/tty, /dev/console and /dev/ptmx.
pub const TTY_SPECIAL: u32 = 5;
/// Major number of the slaves of pseudo terminals.
pub const PTS: u32 = 136;

/// A device number as stat(2) gives it.
pub const fn number(major: u32, minor: u32) -> u64 {
    abi::makedev(major, minor)
}

/// The group that terminals belong to on Debian and most others (tty).
pub const TTY_GROUP: u32 = 5;
