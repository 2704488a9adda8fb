//! linux/fs_types.h: the kinds in directory entries (readdir(3)).

pub const DT_DIR: u8 = 4;
