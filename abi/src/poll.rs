//! asm-generic/poll.h: poll(2).

super::structures! {
    Pollfd 8 {
        fd: i32,
        events: i16,
        revents: i16,
    }
}
