//! linux/mount.h: mount(2), umount(2).

pub const MNT_FORCE: i32 = 1;
pub const MNT_DETACH: i32 = 2;
pub const MNT_EXPIRE: i32 = 4;

pub const MS_RDONLY: u64 = 1;
pub const MS_NOSUID: u64 = 2;
pub const MS_NODEV: u64 = 4;
pub const MS_NOEXEC: u64 = 8;
pub const MS_REMOUNT: u64 = 0x20;
pub const MS_NOATIME: u64 = 0x400;
pub const MS_NODIRATIME: u64 = 0x800;
pub const MS_BIND: u64 = 0x1000;
pub const MS_MOVE: u64 = 0x2000;
pub const MS_REC: u64 = 0x4000;
pub const MS_UNBINDABLE: u64 = 0x2_0000;
pub const MS_PRIVATE: u64 = 0x4_0000;
pub const MS_SLAVE: u64 = 0x8_0000;
pub const MS_SHARED: u64 = 0x10_0000;
pub const MS_RELATIME: u64 = 0x20_0000;

pub const UMOUNT_NOFOLLOW: i32 = 8;
