//! Sockets.

use super::Arg::{Below, Bits, Fd, In, Made, Memory, One, Out, Size};
use super::{Arg, Call, Seen, call};
use crate::generate::structures::{length_pointer, message, messages, sockaddr, timespec};
use crate::program::FdKind as K;
use libc as l;

const SOCKETS: Arg = Fd(&[K::Stream, K::Stream, K::Datagram, K::Listener]);
const FLAGS: Arg = Bits(&[0x40, 0x40, 0x40, 2, 1, 0x20, 0x80, 0x100, 0x4000, 0x8000, 0x4000_0000, 0x10000]);
const TYPE: Arg = One(&[1, 2, 5, 0x801, 0x802, 0x805, 0x80801, 3, 9]);
const NAMELEN: Arg = One(&[110, 110, 0, 1, 2, 3, 20, 111, 128, 129, u64::MAX]);

pub const CALLS: &[Call] = &[
    call("socket", l::SYS_socket, 3, &[One(&[1, 1, 1, 1, 2, 10, 16, 17, 0, 99]), TYPE, One(&[0, 0, 0, 1])])
        .makes(K::Stream),
    call("socketpair", l::SYS_socketpair, 3, &[One(&[1]), One(&[1, 2, 5, 0x801, 0x802, 0x805]), One(&[0]), Out(8)])
        .makes_pair(3, K::Stream, K::Datagram)
        .seen(Seen::Written),
    call("bind", l::SYS_bind, 2, &[SOCKETS, Made(sockaddr), NAMELEN]).seen(Seen::Return),
    call("listen", l::SYS_listen, 2, &[SOCKETS, One(&[0, 1, 5, 4096, u64::MAX])]).seen(Seen::Return),
    call(
        "accept4",
        l::SYS_accept4,
        2,
        &[Fd(&[K::Listener]), Memory, Made(length_pointer), Bits(&[0x800, 0x800, 0x80000])],
    )
    .makes(K::Stream),
    call("connect", l::SYS_connect, 3, &[SOCKETS, Made(sockaddr), NAMELEN]),
    call("getsockname", l::SYS_getsockname, 1, &[SOCKETS, Out(128), Made(length_pointer)]).seen(Seen::Return),
    call("getpeername", l::SYS_getpeername, 1, &[SOCKETS, Out(128), Made(length_pointer)]).seen(Seen::Return),
    call("shutdown", l::SYS_shutdown, 2, &[SOCKETS, Below(4)]).seen(Seen::Return),
    call("sendto", l::SYS_sendto, 4, &[SOCKETS, Memory, Size, FLAGS, Made(sockaddr), NAMELEN]),
    call("recvfrom", l::SYS_recvfrom, 4, &[SOCKETS, Memory, Size, FLAGS, Memory, Made(length_pointer)]),
    call("sendmsg", l::SYS_sendmsg, 7, &[SOCKETS, Made(message), FLAGS]),
    call("recvmsg", l::SYS_recvmsg, 7, &[SOCKETS, Made(message), FLAGS]),
    call("sendmmsg", l::SYS_sendmmsg, 2, &[SOCKETS, Made(messages), Below(4), FLAGS]),
    call("recvmmsg", l::SYS_recvmmsg, 2, &[SOCKETS, Made(messages), Below(4), FLAGS, Made(timespec)]),
    call(
        "setsockopt",
        l::SYS_setsockopt,
        3,
        &[SOCKETS, One(&[1, 1, 1, 0, 6]), Below(80), In(32), One(&[4, 4, 8, 16, 0, 1, 12, u64::MAX])],
    ),
    call(
        "getsockopt",
        l::SYS_getsockopt,
        3,
        &[SOCKETS, One(&[1, 1, 1, 0, 6]), Below(80), Out(64), Made(length_pointer)],
    ),
];
