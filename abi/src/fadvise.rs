//! linux/fadvise.h: posix_fadvise(2).

pub const POSIX_FADV_NORMAL: i32 = 0;
pub const POSIX_FADV_NOREUSE: i32 = 5;
