//! asm-generic/fcntl.h and linux/fcntl.h: open(2), fcntl(2), flock(2), access(2).

pub const AT_SYMLINK_NOFOLLOW: i32 = 0x100;
pub const AT_EACCESS: i32 = 0x200;
pub const AT_REMOVEDIR: i32 = 0x200;
pub const AT_SYMLINK_FOLLOW: i32 = 0x400;
pub const AT_NO_AUTOMOUNT: i32 = 0x800;
pub const AT_EMPTY_PATH: i32 = 0x1000;
pub const AT_FDCWD: i32 = -100;

pub const F_DUPFD: i32 = 0;
pub const F_GETFD: i32 = 1;
pub const F_SETFD: i32 = 2;
pub const F_GETFL: i32 = 3;
pub const F_SETFL: i32 = 4;
pub const F_GETLK: i32 = 5;
pub const F_SETLK: i32 = 6;
pub const F_SETLKW: i32 = 7;
pub const F_SETOWN: i32 = 8;
pub const F_GETOWN: i32 = 9;
pub const F_SETSIG: i32 = 10;
pub const F_GETSIG: i32 = 11;
pub const F_SETOWN_EX: i32 = 15;
pub const F_GETOWN_EX: i32 = 16;
pub const F_OFD_GETLK: i32 = 36;
pub const F_OFD_SETLK: i32 = 37;
pub const F_OFD_SETLKW: i32 = 38;
pub const F_SETLEASE: i32 = 1024;
pub const F_GETLEASE: i32 = 1025;
pub const F_DUPFD_QUERY: i32 = 1027;
pub const F_DUPFD_CLOEXEC: i32 = 1030;
pub const F_SETPIPE_SZ: i32 = 1031;
pub const F_GETPIPE_SZ: i32 = 1032;

pub const FD_CLOEXEC: i32 = 1;

pub const LOCK_SH: i32 = 1;
pub const LOCK_EX: i32 = 2;
pub const LOCK_NB: i32 = 4;
pub const LOCK_UN: i32 = 8;

pub const O_RDONLY: i32 = 0;
pub const O_WRONLY: i32 = 1;
pub const O_RDWR: i32 = 2;
pub const O_ACCMODE: i32 = 3;
pub const O_CREAT: i32 = 0x40;
pub const O_EXCL: i32 = 0x80;
pub const O_NOCTTY: i32 = 0x100;
pub const O_TRUNC: i32 = 0x200;
pub const O_APPEND: i32 = 0x400;
pub const O_NONBLOCK: i32 = 0x800;
pub const O_DSYNC: i32 = 0x1000;
pub const O_ASYNC: i32 = 0x2000;
pub const O_DIRECT: i32 = 0x4000;
pub const O_DIRECTORY: i32 = 0x1_0000;
pub const O_NOFOLLOW: i32 = 0x2_0000;
pub const O_NOATIME: i32 = 0x4_0000;
pub const O_CLOEXEC: i32 = 0x8_0000;
pub const O_SYNC: i32 = 0x10_1000;
pub const O_PATH: i32 = 0x20_0000;
pub const O_TMPFILE: i32 = 0x41_0000;

pub const F_RDLCK: i32 = 0;
pub const F_WRLCK: i32 = 1;
pub const F_UNLCK: i32 = 2;

pub const R_OK: i32 = 4;

pub const F_SEAL_SEAL: i32 = 1;
pub const F_SEAL_SHRINK: i32 = 2;
pub const F_SEAL_GROW: i32 = 4;
pub const F_SEAL_WRITE: i32 = 8;
pub const F_SEAL_FUTURE_WRITE: i32 = 16;

pub const F_ADD_SEALS: i32 = 1033;

pub const F_GET_SEALS: i32 = 1034;

pub const AT_STATX_FORCE_SYNC: i32 = 0x2000;
pub const AT_STATX_DONT_SYNC: i32 = 0x4000;

pub const W_OK: i32 = 2;

pub const X_OK: i32 = 1;

super::structures! {
    Flock 32 {
        l_type: i16,
        l_whence: i16,
        _pad: u32,
        l_start: i64,
        l_len: i64,
        l_pid: i32,
        _end: u32,
    }
}
