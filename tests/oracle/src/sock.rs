//! AF_UNIX pieces that several areas use.

use crate::sys::*;

pub const CONTROL: usize = 256;

/// A socket address with this path, or this abstract name when it begins with NUL; and its length.
pub fn address(path: &[u8]) -> (sockaddr_un, usize) {
    let mut addr: sockaddr_un = zeroed();
    addr.sun_family = AF_UNIX as u16;
    for (to, from) in addr.sun_path.iter_mut().zip(path) {
        *to = *from as i8;
    }
    let terminator = usize::from(path.first() != Some(&0));
    (addr, 2 + path.len() + terminator)
}

pub fn listener(path: &[u8], kind: i32) -> i32 {
    let s = must!(SYS_socket, AF_UNIX, kind, 0).fd();
    let (addr, len) = address(path);
    must!(SYS_bind, s, &addr, len);
    if kind != SOCK_DGRAM {
        must!(SYS_listen, s, 8);
    }
    s
}

pub fn connect(path: &[u8], kind: i32) -> (i32, Ret) {
    let s = must!(SYS_socket, AF_UNIX, kind, 0).fd();
    let (addr, len) = address(path);
    (s, crate::sc!(SYS_connect, s, &addr, len))
}

/// One control message with these bytes.
pub fn control(level: i32, kind: i32, data: &[u8]) -> Vec<u64> {
    let len = 16 + data.len();
    let mut out = vec![0u64; len.div_ceil(8)];
    out[0] = len as u64;
    out[1] = u64::from(level as u32) | u64::from(kind as u32) << 32;
    for (i, byte) in data.iter().enumerate() {
        out[2 + i / 8] |= u64::from(*byte) << (i % 8 * 8);
    }
    out
}

pub fn send(fd: i32, data: &[u8], control: &[u64], flags: i32) -> Ret {
    let v = iov(&[(data.as_ptr() as usize, data.len())]);
    let mut msg: msghdr = zeroed();
    msg.msg_iov = v.as_ptr().cast_mut();
    msg.msg_iovlen = 1;
    if !control.is_empty() {
        msg.msg_control = control.as_ptr().cast_mut().cast();
        msg.msg_controllen = size_of_val(control);
    }
    crate::sc!(SYS_sendmsg, fd, &msg, flags)
}

/// What one recvmsg brought.
pub struct Received {
    pub ret: Ret,
    pub data: Vec<u8>,
    pub flags: i32,
    /// Level, type and content of each control message.
    pub control: Vec<(i32, i32, Vec<u8>)>,
}

pub fn recv(fd: i32, max: usize, control_max: usize, flags: i32) -> Received {
    let mut data = vec![0u8; max];
    let mut control = [0u64; CONTROL / 8];
    let v = iov(&[(data.as_mut_ptr() as usize, max)]);
    let mut msg: msghdr = zeroed();
    msg.msg_iov = v.as_ptr().cast_mut();
    msg.msg_iovlen = 1;
    msg.msg_control = control.as_mut_ptr().cast();
    msg.msg_controllen = control_max;
    let ret = crate::sc!(SYS_recvmsg, fd, &mut msg, flags);
    data.truncate(if ret.is_ok() { (ret.0 as usize).min(max) } else { 0 });
    let mut out = Vec::new();
    let bytes: Vec<u8> = control.iter().flat_map(|w| w.to_le_bytes()).collect();
    let mut at = 0;
    while ret.is_ok() && at + 16 <= msg.msg_controllen {
        let len = control[at / 8] as usize;
        let (level, kind) = (control[at / 8 + 1] as i32, (control[at / 8 + 1] >> 32) as i32);
        out.push((level, kind, bytes[at + 16..at + len].to_vec()));
        at += len.next_multiple_of(8);
    }
    Received { ret, data, flags: msg.msg_flags, control: out }
}

pub fn send_fds(fd: i32, data: &[u8], fds: &[i32]) {
    let bytes: Vec<u8> = fds.iter().flat_map(|f| f.to_ne_bytes()).collect();
    assert!(send(fd, data, &control(SOL_SOCKET, SCM_RIGHTS, &bytes), 0).is_ok(), "sendmsg");
}

pub fn recv_fds(fd: i32, max: usize) -> (Vec<u8>, Vec<i32>) {
    let got = recv(fd, max, CONTROL, 0);
    let rights = got.control.iter().filter(|(level, kind, _)| (*level, *kind) == (SOL_SOCKET, SCM_RIGHTS));
    let fds = rights
        .flat_map(|(_, _, b)| b.chunks(4).map(|b| i32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>());
    (got.data, fds.collect())
}
