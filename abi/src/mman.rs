//! asm-generic/mman-common.h and linux/mman.h: mmap(2), madvise(2), mlock(2), msync(2).

pub const MADV_NORMAL: i32 = 0;
pub const MADV_WILLNEED: i32 = 3;
pub const MADV_DONTNEED: i32 = 4;
pub const MADV_FREE: i32 = 8;
pub const MADV_REMOVE: i32 = 9;
pub const MADV_DONTFORK: i32 = 10;
pub const MADV_DOFORK: i32 = 11;
pub const MADV_MERGEABLE: i32 = 12;
pub const MADV_DONTDUMP: i32 = 0x10;
pub const MADV_DODUMP: i32 = 17;
pub const MADV_WIPEONFORK: i32 = 18;
pub const MADV_KEEPONFORK: i32 = 19;
pub const MADV_COLD: i32 = 20;
pub const MADV_PAGEOUT: i32 = 21;
pub const MADV_POPULATE_READ: i32 = 22;
pub const MADV_POPULATE_WRITE: i32 = 23;
pub const MADV_COLLAPSE: i32 = 25;

pub const MAP_SHARED: i32 = 1;
pub const MAP_PRIVATE: i32 = 2;
pub const MAP_SHARED_VALIDATE: i32 = 3;
pub const MAP_TYPE: i32 = 15;
pub const MAP_FIXED: i32 = 0x10;
pub const MAP_ANONYMOUS: i32 = 0x20;
pub const MAP_32BIT: i32 = 0x40;
pub const MAP_ABOVE4G: i32 = 0x80;
pub const MAP_GROWSDOWN: i32 = 0x100;
pub const MAP_DENYWRITE: i32 = 0x800;
pub const MAP_EXECUTABLE: i32 = 0x1000;
pub const MAP_LOCKED: i32 = 0x2000;
pub const MAP_NORESERVE: i32 = 0x4000;
pub const MAP_POPULATE: i32 = 0x8000;
pub const MAP_NONBLOCK: i32 = 0x1_0000;
pub const MAP_STACK: i32 = 0x2_0000;
pub const MAP_HUGETLB: i32 = 0x4_0000;
pub const MAP_FIXED_NOREPLACE: i32 = 0x10_0000;

pub const MCL_CURRENT: i32 = 1;
pub const MCL_FUTURE: i32 = 2;
pub const MCL_ONFAULT: i32 = 4;

pub const MREMAP_MAYMOVE: i32 = 1;
pub const MREMAP_FIXED: i32 = 2;
pub const MREMAP_DONTUNMAP: i32 = 4;

pub const MS_ASYNC: i32 = 1;
pub const MS_INVALIDATE: i32 = 2;
pub const MS_SYNC: i32 = 4;

pub const PROT_READ: i32 = 1;
pub const PROT_WRITE: i32 = 2;
pub const PROT_EXEC: i32 = 4;
pub const PROT_GROWSDOWN: i32 = 0x100_0000;
pub const PROT_GROWSUP: i32 = 0x200_0000;

pub const MAP_HUGE_2MB: i32 = 0x5400_0000;
pub const MAP_HUGE_1GB: i32 = 0x7800_0000;
