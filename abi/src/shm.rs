//! linux/shm.h: shmget(2), shmop(2).

pub const SHM_STAT: i32 = 13;
pub const SHM_INFO: i32 = 14;
pub const SHM_STAT_ANY: i32 = 15;

pub const SHM_LOCK: i32 = 11;
pub const SHM_UNLOCK: i32 = 12;
pub const SHM_HUGETLB: i32 = 0x800;
pub const SHM_NORESERVE: i32 = 0x1000;
pub const SHM_RDONLY: i32 = 0x1000;
pub const SHM_RND: i32 = 0x2000;
pub const SHM_REMAP: i32 = 0x4000;
pub const SHM_EXEC: i32 = 0x8000;
