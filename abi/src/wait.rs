//! linux/wait.h: wait(2), waitid(2).

pub const WNOHANG: i32 = 1;
pub const WSTOPPED: i32 = 2;
pub const WUNTRACED: i32 = 2;
pub const WEXITED: i32 = 4;
pub const WCONTINUED: i32 = 8;
pub const WNOWAIT: i32 = 0x100_0000;
pub const __WNOTHREAD: i32 = 0x2000_0000;
pub const __WALL: i32 = 0x4000_0000;
pub const __WCLONE: i32 = 1 << 31;
