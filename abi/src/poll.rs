//! asm-generic/poll.h: poll(2).

pub const POLLIN: i16 = 1;
pub const POLLOUT: i16 = 4;
pub const POLLNVAL: i16 = 0x20;

super::structures! {
    Pollfd 8 {
        fd: i32,
        events: i16,
        revents: i16,
    }
}
