//! linux/falloc.h: fallocate(2).

pub const FALLOC_FL_KEEP_SIZE: i32 = 1;
pub const FALLOC_FL_PUNCH_HOLE: i32 = 2;
pub const FALLOC_FL_COLLAPSE_RANGE: i32 = 8;
pub const FALLOC_FL_ZERO_RANGE: i32 = 0x10;
pub const FALLOC_FL_INSERT_RANGE: i32 = 0x20;
pub const FALLOC_FL_UNSHARE_RANGE: i32 = 0x40;
