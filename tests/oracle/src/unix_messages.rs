//! AF_UNIX messages: boundaries, flags, passed descriptors and credentials.

use crate::unix_sockets::{sock};
use crate::sock::{CONTROL, address, connect, control, listener, recv, recv_fds, send, send_fds};
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    pair_dgram,
    pair_seqpacket,
    peek_and_dontwait,
    trunc_flag,
    waitall,
    rights_pass,
    rights_many,
    rights_closed_on_drop,
    rights_truncated,
    rights_boundary,
    rights_errors,
    rights_socket_itself,
    credentials_received,
    credentials_peer,
    credentials_forged,
    dgram_connected,
    dgram_unconnected,
    dgram_limits,
    seqpacket_rules,
    mmsg,
    sendto_address,
    recvfrom_name,
    msg_flags_out,
];

fn pair_dgram() {
    let (a, b) = socketpair(SOCK_DGRAM);
    put(a, b"first");
    put(a, b"");
    put(a, b"third");
    v!((get(b, 3), get(b, 10), get(b, 10)));
    close(a);
    t!(SYS_recvfrom, b, &mut [0u8; 4], 4, MSG_DONTWAIT, 0, 0);
    t!(SYS_write, b, b"x", 1);
}

fn pair_seqpacket() {
    let (a, b) = socketpair(SOCK_SEQPACKET);
    put(a, b"first");
    put(a, b"second");
    v!((get(b, 3), get(b, 10)));
    close(a);
    v!(get(b, 10));
}

fn peek_and_dontwait() {
    let (a, b) = socketpair(SOCK_STREAM);
    let mut buf = [0u8; 8];
    t!(SYS_recvfrom, b, &mut buf, 8, MSG_DONTWAIT, 0, 0);
    put(a, b"abc");
    put(a, b"def");
    t!(SYS_recvfrom, b, &mut buf, 8, MSG_PEEK, 0, 0);
    t!(SYS_recvfrom, b, &mut buf, 2, MSG_PEEK, 0, 0);
    v!(get(b, 10));
    let (a, b) = socketpair(SOCK_DGRAM);
    put(a, b"one");
    put(a, b"two");
    t!(SYS_recvfrom, b, &mut buf, 8, MSG_PEEK, 0, 0);
    v!((get(b, 10), get(b, 10)));
}

fn trunc_flag() {
    let (a, b) = socketpair(SOCK_DGRAM);
    put(a, b"0123456789");
    put(a, b"abcdefghij");
    t!(SYS_recvfrom, b, &mut [0u8; 4], 4, MSG_TRUNC | MSG_PEEK, 0, 0);
    let got = recv(b, 4, CONTROL, 0);
    v!((got.ret, got.flags & MSG_TRUNC != 0, text(&got.data)));
    t!(SYS_recvfrom, b, &mut [0u8; 4], 4, MSG_TRUNC, 0, 0);
    t!(SYS_recvfrom, b, &mut [0u8; 4], 4, MSG_DONTWAIT, 0, 0);
}

fn waitall() {
    let (a, b) = socketpair(SOCK_STREAM);
    put(a, b"half");
    let kid = spawn(|| {
        let mut buf = [0u8; 8];
        t!(SYS_recvfrom, b, &mut buf, 8, MSG_WAITALL, 0, 0);
        v!(text(&buf));
    });
    until_sleeping(kid);
    put(a, b"more");
    v!(reap(kid));
    put(a, b"end");
    close(a);
    t!(SYS_recvfrom, b, &mut [0u8; 8], 8, MSG_WAITALL, 0, 0);
}

fn rights_pass() {
    let (a, b) = socketpair(SOCK_STREAM);
    let f = file(c"f", b"0123456789");
    v!(get(f, 3));
    send_fds(a, b"x", &[f]);
    close(f);
    let (data, fds) = recv_fds(b, 8);
    v!((text(&data), fds.len(), get(fds[0], 3)));
    let (x, y) = socketpair(SOCK_DGRAM);
    send_fds(x, b"dgram", &fds);
    v!(get(recv_fds(y, 8).1[0], 3));
    v!(sc!(SYS_fcntl, fds[0], F_GETFD));
}

fn rights_many() {
    let (a, b) = socketpair(SOCK_STREAM);
    let fds: Vec<i32> = (0..50).map(|_| must!(SYS_eventfd2, 5, 0).fd()).collect();
    send_fds(a, b"x", &fds[..]);
    let got = recv(b, 1, CONTROL, MSG_CMSG_CLOEXEC);
    v!((got.control[0].2.len() / 4, got.flags & MSG_CTRUNC != 0));
    let first = i32::from_ne_bytes(got.control[0].2[..4].try_into().expect("4 bytes"));
    v!(sc!(SYS_fcntl, first, F_GETFD));
}

fn rights_closed_on_drop() {
    let (a, b) = socketpair(SOCK_STREAM);
    let (r, w) = pipe();
    send_fds(a, b"x", &[w]);
    close(w);
    must!(SYS_fcntl, r, F_SETFL, O_NONBLOCK);
    v!(get(r, 1));
    close(b);
    close(a);
    // In flight when its socket went away: the last writer is gone.
    v!(get(r, 1));
}

fn rights_truncated() {
    let (a, b) = socketpair(SOCK_STREAM);
    let (r, w) = pipe();
    send_fds(a, b"x", &[w, w, w]);
    let got = recv(b, 1, 24, 0);
    v!((got.control.len(), got.control[0].2.len() / 4, got.flags & MSG_CTRUNC != 0));
    send_fds(a, b"x", &[w]);
    let got = recv(b, 1, 0, 0);
    v!((got.ret, got.control.len(), got.flags & MSG_CTRUNC != 0));
    send_fds(a, b"x", &[w]);
    v!(get(b, 1));
    must!(SYS_fcntl, r, F_SETFL, O_NONBLOCK);
    v!(get(r, 1));
}

fn rights_boundary() {
    let (a, b) = socketpair(SOCK_STREAM);
    put(a, b"plain");
    send_fds(a, b"first", &[1]);
    send_fds(a, b"second", &[1]);
    put(a, b"tail");
    // A read does not cross from one passed set into the next.
    for _ in 0..4 {
        let got = recv(b, 100, CONTROL, MSG_DONTWAIT);
        v!((got.ret, text(&got.data), got.control.len()));
    }
}

fn rights_errors() {
    let (a, _b) = socketpair(SOCK_STREAM);
    v!(send(a, b"x", &control(SOL_SOCKET, SCM_RIGHTS, &999i32.to_ne_bytes()), 0));
    v!(send(a, b"x", &control(SOL_SOCKET, 99, &[0; 4]), 0));
    v!(send(a, b"x", &[8, 0], 0));
    v!(send(a, b"x", &[1000, 0], 0));
    v!(send(a, b"x", &control(12345, 99, &[0; 4]), 0));
    let many: Vec<u8> = (0..254).flat_map(|_| 1i32.to_ne_bytes()).collect();
    v!(send(a, b"x", &control(SOL_SOCKET, SCM_RIGHTS, &many), 0));
    v!(send(a, b"x", &control(SOL_SOCKET, SCM_RIGHTS, &many[..253 * 4]), 0));
}

fn rights_socket_itself() {
    let (a, b) = socketpair(SOCK_STREAM);
    send_fds(a, b"self", &[a, b]);
    let (data, fds) = recv_fds(b, 10);
    v!((text(&data), fds.len()));
    put(fds[0], b"through the copy");
    v!(get(fds[1], 20));
    send_fds(a, b"cycle", &[b]);
    close(fds[0]);
    close(fds[1]);
    close(a);
    close(b);
}

fn credentials_received() {
    let (a, b) = socketpair(SOCK_STREAM);
    t!(SYS_setsockopt, b, SOL_SOCKET, SO_PASSCRED, &1i32, 4);
    let kid = spawn(|| put(a, b"hi"));
    let got = recv(b, 10, CONTROL, 0);
    v!((text(&got.data), got.control.len(), got.control[0].1 == SCM_CREDENTIALS));
    let word = |i: usize| i32::from_ne_bytes(got.control[0].2[i * 4..i * 4 + 4].try_into().expect("4 bytes"));
    v!((word(0) == kid, i64::from(word(1)) == sc!(SYS_getuid).0, i64::from(word(2)) == sc!(SYS_getgid).0));
    v!(reap(kid));
}

fn credentials_peer() {
    let l = listener(b"l", SOCK_STREAM);
    let kid = spawn(|| {
        let (s, _) = connect(b"l", SOCK_STREAM);
        get(s, 1);
    });
    let s = must!(SYS_accept, l, 0, 0).fd();
    let (mut cred, mut len) = ([0i32; 3], 12u32);
    t!(SYS_getsockopt, s, SOL_SOCKET, SO_PEERCRED, &mut cred, &mut len);
    v!((cred[0] == kid, i64::from(cred[1]) == sc!(SYS_getuid).0, len));
    put(s, b"x");
    v!(reap(kid));
    let unconnected = sock(SOCK_STREAM);
    t!(SYS_getsockopt, unconnected, SOL_SOCKET, SO_PEERCRED, &mut cred, &mut len);
    v!(cred);
}

fn credentials_forged() {
    let (a, b) = socketpair(SOCK_DGRAM);
    must!(SYS_setsockopt, b, SOL_SOCKET, SO_PASSCRED, &1i32, 4);
    v!(unprivileged(|| {
        let me = [sc!(SYS_getpid).fd(), sc!(SYS_getuid).fd(), sc!(SYS_getgid).fd()];
        let bytes = |c: [i32; 3]| -> Vec<u8> { c.iter().flat_map(|w| w.to_ne_bytes()).collect() };
        v!(send(a, b"x", &control(SOL_SOCKET, SCM_CREDENTIALS, &bytes(me)), 0));
        v!(send(a, b"x", &control(SOL_SOCKET, SCM_CREDENTIALS, &bytes([1, me[1], me[2]])), 0));
        v!(send(a, b"x", &control(SOL_SOCKET, SCM_CREDENTIALS, &bytes([me[0], 1, me[2]])), 0));
        v!(send(a, b"x", &control(SOL_SOCKET, SCM_CREDENTIALS, &bytes(me)[..8]), 0));
    }));
}

fn dgram_connected() {
    let server = listener(b"d", SOCK_DGRAM);
    let (client, r) = connect(b"d", SOCK_DGRAM);
    v!(r);
    put(client, b"hello");
    v!(get(server, 10));
    t!(SYS_write, server, b"x", 1);
    close(server);
    t!(SYS_write, client, b"x", 1);
    // Connecting to no address dissolves the association.
    t!(SYS_connect, client, &[0u16; 8], 16);
    t!(SYS_write, client, b"x", 1);
}

fn dgram_unconnected() {
    let a = listener(b"a", SOCK_DGRAM);
    let b = listener(b"b", SOCK_DGRAM);
    let (to_b, len) = address(b"b");
    t!(SYS_sendto, a, b"letter", 6, 0, &to_b, len);
    let (mut from, mut from_len, mut buf) = (address(b"").0, 110u32, [0u8; 10]);
    t!(SYS_recvfrom, b, &mut buf, 10, 0, &mut from, &mut from_len);
    v!((from_len, from.sun_path[0] as u8 as char));
    let (to_c, len) = address(b"c");
    t!(SYS_sendto, a, b"x", 1, 0, &to_c, len);
    let (c, _) = connect(b"b", SOCK_DGRAM);
    must!(SYS_connect, b, &address(b"a").0, address(b"a").1);
    // b talks to a now, and to nobody else.
    t!(SYS_write, c, b"x", 1);
}

fn dgram_limits() {
    let (a, b) = socketpair(SOCK_DGRAM);
    must!(SYS_setsockopt, a, SOL_SOCKET, SO_SNDBUF, &8192i32, 4);
    let big = vec![1u8; 100_000];
    t!(SYS_sendto, a, &big[..], 100_000, MSG_DONTWAIT, 0, 0);
    t!(SYS_sendto, a, &big[..], 4096, MSG_DONTWAIT, 0, 0);
    t!(SYS_read, b, &mut [0u8; 5000], 5000);
    let mut n = 0;
    while sc!(SYS_sendto, a, b"x", 1, MSG_DONTWAIT, 0, 0).is_ok() {
        n += 1;
    }
    v!(n > 5);
    t!(SYS_sendto, a, b"x", 1, MSG_DONTWAIT, 0, 0);
}

fn seqpacket_rules() {
    let l = listener(b"q", SOCK_SEQPACKET);
    v!(connect(b"q", SOCK_STREAM).1);
    let (c, r) = connect(b"q", SOCK_SEQPACKET);
    v!(r);
    let s = must!(SYS_accept, l, 0, 0).fd();
    put(c, b"packet one");
    put(c, b"two");
    let got = recv(s, 6, 0, 0);
    v!((text(&got.data), got.flags & MSG_TRUNC != 0, got.flags & MSG_EOR != 0));
    v!(get(s, 10));
    t!(SYS_sendto, sock(SOCK_SEQPACKET), b"x", 1, MSG_NOSIGNAL, 0, 0);
}

fn mmsg() {
    let (a, b) = socketpair(SOCK_DGRAM);
    let parts = [iov(&[(b"one".as_ptr() as usize, 3)]), iov(&[(b"twotwo".as_ptr() as usize, 6)])];
    let mut msgs: [libc::mmsghdr; 2] = zeroed();
    for (m, v) in msgs.iter_mut().zip(&parts) {
        m.msg_hdr.msg_iov = v.as_ptr().cast_mut();
        m.msg_hdr.msg_iovlen = 1;
    }
    t!(SYS_sendmmsg, a, &mut msgs, 2, 0);
    v!((msgs[0].msg_len, msgs[1].msg_len));
    let mut bufs = [[0u8; 4]; 3];
    let parts: Vec<_> = bufs.iter_mut().map(|x| iov(&[(x.as_mut_ptr() as usize, 4)])).collect();
    let mut msgs: [libc::mmsghdr; 3] = zeroed();
    for (m, v) in msgs.iter_mut().zip(&parts) {
        m.msg_hdr.msg_iov = v.as_ptr().cast_mut();
        m.msg_hdr.msg_iovlen = 1;
    }
    t!(SYS_recvmmsg, b, &mut msgs, 3, MSG_DONTWAIT, 0);
    v!((msgs[0].msg_len, msgs[1].msg_len, msgs[1].msg_hdr.msg_flags & MSG_TRUNC != 0));
    t!(SYS_recvmmsg, b, &mut msgs, 3, MSG_DONTWAIT, 0);
}

fn sendto_address() {
    let a = listener(b"a", SOCK_DGRAM);
    let s = sock(SOCK_DGRAM);
    let (addr, len) = address(b"a");
    t!(SYS_sendto, s, b"x", 1, 0, &addr, len);
    t!(SYS_sendto, s, b"x", 1, 0, &addr, 1);
    t!(SYS_sendto, s, b"x", 1, 0, &addr, 2);
    t!(SYS_sendto, s, b"", 0, 0, &addr, len);
    v!((get(a, 5), get(a, 5)));
}

fn recvfrom_name() {
    let (a, b) = socketpair(SOCK_STREAM);
    put(a, b"xy");
    let mut len = 110u32;
    t!(SYS_recvfrom, b, &mut [0u8; 1], 1, 0, &mut [0u8; 110], &mut len);
    v!(len);
    let (a, b) = socketpair(SOCK_DGRAM);
    put(a, b"xy");
    len = 110;
    t!(SYS_recvfrom, b, &mut [0u8; 1], 1, 0, &mut [0u8; 110], &mut len);
    v!(len);
}

fn msg_flags_out() {
    let (a, b) = socketpair(SOCK_STREAM);
    put(a, b"abc");
    let got = recv(b, 2, CONTROL, 0);
    v!((got.flags, got.control.len()));
    let got = recv(b, 2, CONTROL, MSG_CMSG_CLOEXEC);
    v!(got.flags == MSG_CMSG_CLOEXEC);
}
