//! linux/kdev_t.h, as programs see it: device numbers (makedev(3)).

/// The number of a device. Its parts lie where the C library expects them.
pub const fn makedev(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    (major & 0xfff) << 8 | (major & !0xfff) << 32 | (minor & 0xff) | (minor & !0xff) << 12
}

pub const fn major(device: u64) -> u32 {
    (device >> 8 & 0xfff | device >> 32 & !0xfff) as u32
}

pub const fn minor(device: u64) -> u32 {
    (device & 0xff | device >> 12 & !0xff) as u32
}
