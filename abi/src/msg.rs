//! linux/msg.h: msgrcv(2).

pub const MSG_NOERROR: i32 = 0x1000;
pub const MSG_EXCEPT: i32 = 0x2000;
pub const MSG_COPY: i32 = 0x4000;

pub const MSG_STAT: i32 = 11;
pub const MSG_INFO: i32 = 12;
pub const MSG_STAT_ANY: i32 = 13;
