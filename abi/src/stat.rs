//! asm/stat.h and linux/stat.h: stat(2), statx(2).

pub const S_IFIFO: u32 = 0o10000;
pub const S_IFCHR: u32 = 0o20000;
pub const S_IFDIR: u32 = 0o40000;
pub const S_IFBLK: u32 = 0o60000;
pub const S_IFREG: u32 = 0o100000;
pub const S_IFLNK: u32 = 0o120000;
pub const S_IFSOCK: u32 = 0o140000;
pub const S_IFMT: u32 = 0o170000;

pub const S_IWOTH: u32 = 0o2;
pub const S_IXGRP: u32 = 0o10;
pub const S_ISVTX: u32 = 0o1000;
pub const S_ISGID: u32 = 0o2000;
pub const S_ISUID: u32 = 0o4000;

pub const STATX_ATTR_MOUNT_ROOT: i32 = 0x2000;

pub const STATX_BASIC_STATS: u32 = 0x7ff;
pub const STATX_BTIME: u32 = 0x800;
pub const STATX_MNT_ID: u32 = 0x1000;
pub const STATX__RESERVED: i32 = 1 << 31;

pub const UTIME_OMIT: i64 = 0x3fff_fffe;
pub const UTIME_NOW: i64 = 0x3fff_ffff;

super::structures! {
    Stat 144 {
        st_dev: u64,
        st_ino: u64,
        st_nlink: u64,
        st_mode: u32,
        st_uid: u32,
        st_gid: u32,
        _pad: u32,
        st_rdev: u64,
        st_size: i64,
        st_blksize: i64,
        st_blocks: i64,
        st_atime: i64,
        st_atime_nsec: i64,
        st_mtime: i64,
        st_mtime_nsec: i64,
        st_ctime: i64,
        st_ctime_nsec: i64,
        _unused: [i64; 3],
    }

    StatxTimestamp 16 {
        tv_sec: i64,
        tv_nsec: u32,
        _pad: i32,
    }

    Statx 256 {
        stx_mask: u32,
        stx_blksize: u32,
        stx_attributes: u64,
        stx_nlink: u32,
        stx_uid: u32,
        stx_gid: u32,
        stx_mode: u16,
        _pad: u16,
        stx_ino: u64,
        stx_size: u64,
        stx_blocks: u64,
        stx_attributes_mask: u64,
        stx_atime: StatxTimestamp,
        stx_btime: StatxTimestamp,
        stx_ctime: StatxTimestamp,
        stx_mtime: StatxTimestamp,
        stx_rdev_major: u32,
        stx_rdev_minor: u32,
        stx_dev_major: u32,
        stx_dev_minor: u32,
        stx_mnt_id: u64,
        stx_dio_mem_align: u32,
        stx_dio_offset_align: u32,
        _spare: [u64; 12],
    }
}
