//! linux/socket.h: options and credentials of sockets (socket(7), unix(7)).

super::structures! {
    /// SO_LINGER.
    Linger 8 {
        l_onoff: i32,
        l_linger: i32,
    }

    /// SO_PEERCRED, SCM_CREDENTIALS.
    Ucred 12 {
        pid: i32,
        uid: u32,
        gid: u32,
    }
}
