//! linux/eventfd.h: eventfd(2).

pub const EFD_SEMAPHORE: i32 = 1;
