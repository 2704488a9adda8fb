//! linux/ipc.h: sysvipc(7).

pub const IPC_NOWAIT: i32 = 0x800;

pub const IPC_PRIVATE: i32 = 0;
pub const IPC_RMID: i32 = 0;
pub const IPC_SET: i32 = 1;
pub const IPC_STAT: i32 = 2;
pub const IPC_INFO: i32 = 3;
pub const IPC_CREAT: i32 = 0x200;
pub const IPC_EXCL: i32 = 0x400;
