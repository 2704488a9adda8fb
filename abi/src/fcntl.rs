//! asm-generic/fcntl.h: record locks (fcntl(2)).

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
