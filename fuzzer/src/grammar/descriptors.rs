//! Making descriptors, closing them, and waiting for them.

use super::Arg::{Below, Bits, Fd, In, Made, Memory, One, Out, Size};
use super::files::READABLE;
use super::{Call, Seen, call};
use crate::generate::structures::{epoll_event, fd_set, poll_fds, short_timeout, sigset, small_count, timespec};
use crate::program::FdKind as K;
use libc as l;

const CLOEXEC_NONBLOCK: &[u64] = &[l::O_CLOEXEC as u64, l::O_NONBLOCK as u64, l::O_NONBLOCK as u64];
const ANY: &[K] = K::DESCRIPTORS;

pub const CALLS: &[Call] = &[
    call("close", l::SYS_close, 3, &[Fd(ANY)]).seen(Seen::Return),
    call(
        "close_range",
        l::SYS_close_range,
        1,
        &[One(&[60, 100, 3000, 0xffff_fffe]), One(&[60, 200, 0xffff_ffff]), Bits(&[2, 4])],
    ),
    call("dup", l::SYS_dup, 2, &[Fd(ANY)]).seen(Seen::Return),
    call("dup2", l::SYS_dup2, 2, &[Fd(ANY), Fd(ANY)]).seen(Seen::Return),
    call("dup3", l::SYS_dup3, 1, &[Fd(ANY), Fd(ANY), Bits(&[l::O_CLOEXEC as u64])]).seen(Seen::Return),
    call("pipe2", l::SYS_pipe2, 3, &[Out(8), Bits(&[l::O_CLOEXEC as u64, l::O_NONBLOCK as u64, l::O_DIRECT as u64])])
        .makes_pair(0, K::PipeRead, K::PipeWrite)
        .seen(Seen::Written),
    call(
        "eventfd2",
        l::SYS_eventfd2,
        3,
        &[One(&[0, 1, 5, 0xffff_fffe, 0xffff_ffff]), Bits(&[1, 0x800, 0x800, 0x80000])],
    )
    .makes(K::Event)
    .seen(Seen::Return),
    call("epoll_create1", l::SYS_epoll_create1, 3, &[Bits(CLOEXEC_NONBLOCK)]).makes(K::Epoll).seen(Seen::Return),
    call("epoll_ctl", l::SYS_epoll_ctl, 10, &[Fd(&[K::Epoll]), One(&[1, 1, 1, 2, 3]), Fd(ANY), Made(epoll_event)])
        .seen(Seen::Return),
    call("epoll_wait", l::SYS_epoll_wait, 4, &[Fd(&[K::Epoll]), Out(120), Below(12), Made(short_timeout)])
        .seen(Seen::Return),
    call(
        "epoll_pwait",
        l::SYS_epoll_pwait,
        2,
        &[Fd(&[K::Epoll]), Memory, Below(12), Made(short_timeout), Made(sigset), One(&[8])],
    ),
    call(
        "epoll_pwait2",
        l::SYS_epoll_pwait2,
        2,
        &[Fd(&[K::Epoll]), Memory, Below(12), Made(timespec), Made(sigset), One(&[8])],
    ),
    call("poll", l::SYS_poll, 5, &[Made(poll_fds), Made(small_count), Made(short_timeout)]).seen(Seen::Return),
    call("ppoll", l::SYS_ppoll, 3, &[Made(poll_fds), Made(small_count), Made(timespec), Made(sigset), One(&[8])]),
    call(
        "select",
        l::SYS_select,
        3,
        &[One(&[0, 1, 5, 30, 64, 1024, 1025, u64::MAX]), Made(fd_set), Made(fd_set), Made(fd_set), Made(timespec)],
    ),
    call(
        "pselect6",
        l::SYS_pselect6,
        2,
        &[One(&[0, 5, 30, 64, 1024]), Made(fd_set), Made(fd_set), Made(fd_set), Made(timespec), One(&[0])],
    ),
    call("inotify_init1", l::SYS_inotify_init1, 2, &[Bits(CLOEXEC_NONBLOCK)]).makes(K::Inotify).seen(Seen::Return),
    call(
        "inotify_add_watch",
        l::SYS_inotify_add_watch,
        4,
        &[
            Fd(&[K::Inotify]),
            super::Arg::Path,
            Bits(&[1, 2, 4, 8, 0x20, 0x100, 0x200, 0xfff, 0x400, 0x2000_0000, 0x8000_0000, 0x100_0000]),
        ],
    )
    .seen(Seen::Return),
    call("inotify_rm_watch", l::SYS_inotify_rm_watch, 2, &[Fd(&[K::Inotify]), Below(6)]).seen(Seen::Return),
    call("signalfd4", l::SYS_signalfd4, 3, &[Fd(&[K::Signal]), Made(sigset), One(&[8]), Bits(CLOEXEC_NONBLOCK)])
        .makes(K::Signal),
    call(
        "signalfd-new",
        super::ALSO + l::SYS_signalfd4,
        2,
        &[One(&[u64::MAX]), Made(sigset), One(&[8]), Bits(CLOEXEC_NONBLOCK)],
    )
    .makes(K::Signal)
    .seen(Seen::Return),
    call("memfd_create", l::SYS_memfd_create, 3, &[In(8), Bits(&[1, 2, 2, 4, 8, 16])])
        .makes(K::Memory)
        .seen(Seen::Return),
    call(
        "fcntl-dup",
        super::ALSO * 2 + l::SYS_fcntl,
        2,
        &[Fd(READABLE), One(&[0, l::F_DUPFD_CLOEXEC as u64]), Below(40)],
    )
    .seen(Seen::Return),
    call("getrandom", l::SYS_getrandom, 1, &[Memory, Size, Bits(&[1, 2])]),
];
