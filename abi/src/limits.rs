//! linux/limits.h: the lengths of names.

pub const NAME_MAX: i32 = 255;
pub const PATH_MAX: i32 = 0x1000;
