//! Reading, writing and what else is done with an open file.

use super::Arg::{Below, Bits, Fd, In, Made, Memory, Offset, One, Out, Size};
use super::{Call, Seen, call};
use crate::generate::structures::{flock, iovecs, offset_pointer, small_count};
use crate::program::FdKind as K;
use libc as l;

pub const READABLE: &[K] = &[
    K::File,
    K::PipeRead,
    K::Stream,
    K::Datagram,
    K::Event,
    K::Timer,
    K::Signal,
    K::Memory,
    K::Inotify,
    K::Master,
    K::Device,
    K::Dir,
];
pub const WRITABLE: &[K] =
    &[K::File, K::PipeWrite, K::Stream, K::Datagram, K::Event, K::Memory, K::Master, K::Terminal, K::Device];
pub const FILES: &[K] = &[K::File, K::File, K::Memory, K::Dir, K::Device];
const RWF: &[u64] = &[1, 2, 4, 8, 0x10, 0x20];

const F_ADD_SEALS: u64 = l::F_ADD_SEALS as u64;

pub const CALLS: &[Call] = &[
    call("read", l::SYS_read, 12, &[Fd(READABLE), Memory, Size]).seen(Seen::Written),
    call("write", l::SYS_write, 12, &[Fd(WRITABLE), Memory, Size]).seen(Seen::Return),
    call("pread64", l::SYS_pread64, 6, &[Fd(FILES), Memory, Size, Offset]).seen(Seen::Written),
    call("pwrite64", l::SYS_pwrite64, 6, &[Fd(FILES), Memory, Size, Offset]).seen(Seen::Return),
    call("readv", l::SYS_readv, 6, &[Fd(READABLE), Made(iovecs), Made(small_count)]).seen(Seen::Return),
    call("writev", l::SYS_writev, 6, &[Fd(WRITABLE), Made(iovecs), Made(small_count)]).seen(Seen::Return),
    call("preadv", l::SYS_preadv, 3, &[Fd(FILES), Made(iovecs), Made(small_count), Offset]).seen(Seen::Return),
    call("pwritev", l::SYS_pwritev, 3, &[Fd(FILES), Made(iovecs), Made(small_count), Offset]).seen(Seen::Return),
    call("preadv2", l::SYS_preadv2, 2, &[Fd(FILES), Made(iovecs), Made(small_count), Offset, One(&[0]), Bits(RWF)]),
    call("pwritev2", l::SYS_pwritev2, 2, &[Fd(FILES), Made(iovecs), Made(small_count), Offset, One(&[0]), Bits(RWF)]),
    call("lseek", l::SYS_lseek, 6, &[Fd(&[K::File, K::Memory]), Offset, Below(6)]).seen(Seen::Return),
    call("sendfile", l::SYS_sendfile, 4, &[Fd(WRITABLE), Fd(FILES), Made(offset_pointer), Size]).seen(Seen::Return),
    call(
        "copy_file_range",
        l::SYS_copy_file_range,
        3,
        &[Fd(FILES), Made(offset_pointer), Fd(FILES), Made(offset_pointer), Size, One(&[0, 0, 0, 1])],
    ),
    call("fsync", l::SYS_fsync, 2, &[Fd(FILES)]).seen(Seen::Return),
    call("fdatasync", l::SYS_fdatasync, 1, &[Fd(FILES)]).seen(Seen::Return),
    call("syncfs", l::SYS_syncfs, 1, &[Fd(FILES)]),
    call("sync_file_range", l::SYS_sync_file_range, 1, &[Fd(FILES), Offset, Offset, Bits(&[1, 2, 4])]),
    call("ftruncate", l::SYS_ftruncate, 6, &[Fd(&[K::File, K::Memory]), Offset]).seen(Seen::Return),
    call(
        "fallocate",
        l::SYS_fallocate,
        4,
        &[Fd(&[K::File, K::Memory]), Bits(&[1, 2, 8, 0x10, 0x20, 0x40]), Offset, Offset],
    ),
    call("fadvise64", l::SYS_fadvise64, 1, &[Fd(FILES), Offset, Offset, Below(8)]).seen(Seen::Return),
    call("readahead", l::SYS_readahead, 1, &[Fd(FILES), Offset, Size]),
    call("flock", l::SYS_flock, 2, &[Fd(FILES), One(&[1, 2, 8, 5, 6, 4, 12])]),
    // Commands without an argument, and with a number.
    call(
        "fcntl",
        l::SYS_fcntl,
        5,
        &[
            Fd(READABLE),
            One(&[
                0,
                1,
                2,
                3,
                4,
                9,
                10,
                11,
                1024,
                1025,
                1026,
                1027,
                l::F_DUPFD_CLOEXEC as u64,
                l::F_SETPIPE_SZ as u64,
                l::F_GETPIPE_SZ as u64,
                F_ADD_SEALS,
                l::F_GET_SEALS as u64,
                1035,
                1036,
            ]),
            One(&[0, 1, 2, 3, 8, 15, 16, 4096, 65536, 0x800, 0x2000, 0x40000, u64::MAX]),
        ],
    ),
    call("fcntl-lock", FCNTL_LOCK, 4, &[Fd(FILES), One(&[5, 6, 36, 37, 5, 6, 7, 38]), Made(flock)]),
    call(
        "ioctl",
        l::SYS_ioctl,
        4,
        &[
            Fd(READABLE),
            One(&[
                l::FIONREAD,
                l::FIONBIO,
                l::FIOASYNC,
                l::FIOCLEX,
                l::FIONCLEX,
                l::TCGETS,
                l::TCSETS,
                l::TCSETSW,
                l::TCSETSF,
                l::TIOCGWINSZ,
                l::TIOCSWINSZ,
                l::TIOCGPGRP,
                l::TIOCSPGRP,
                l::TIOCGSID,
                l::TIOCSCTTY,
                l::TIOCNOTTY,
                l::TIOCGPTN,
                l::TIOCSPTLCK,
                l::TIOCSTI,
                l::TIOCPKT,
                l::TIOCOUTQ,
                l::TCFLSH,
                l::TCXONC,
                l::TCSBRK,
                0x8004_6601,
                0x4020_940d,
            ]),
            Memory,
        ],
    ),
    call("getdents64", l::SYS_getdents64, 3, &[Fd(&[K::Dir]), Out(4096), Size]),
    call("getdents", l::SYS_getdents, 1, &[Fd(&[K::Dir]), Memory, Size]),
    call("fstat", l::SYS_fstat, 3, &[Fd(READABLE), Out(144)]).seen(Seen::Part(24, 12)),
    call("fstatfs", l::SYS_fstatfs, 1, &[Fd(READABLE), Out(120)]).seen(Seen::Return),
    call("fchmod", l::SYS_fchmod, 2, &[Fd(FILES), Below(0o10000)]).seen(Seen::Return),
    call("fchown", l::SYS_fchown, 1, &[Fd(FILES), One(&[u64::MAX, 0, 65534, 5]), One(&[u64::MAX, 0, 65534, 5])]),
    call(
        "fsetxattr",
        l::SYS_fsetxattr,
        2,
        &[Fd(FILES), Made(crate::generate::structures::attribute), In(64), Size, Below(4)],
    ),
    call("fgetxattr", l::SYS_fgetxattr, 2, &[Fd(FILES), Made(crate::generate::structures::attribute), Out(64), Size]),
    call("flistxattr", l::SYS_flistxattr, 1, &[Fd(FILES), Memory, Size]),
    call("fremovexattr", l::SYS_fremovexattr, 1, &[Fd(FILES), Made(crate::generate::structures::attribute)]),
    call(
        "splice",
        l::SYS_splice,
        5,
        &[Fd(READABLE), Made(offset_pointer), Fd(WRITABLE), Made(offset_pointer), Size, Bits(&[1, 2, 4])],
    ),
    call("tee", l::SYS_tee, 3, &[Fd(&[K::PipeRead]), Fd(&[K::PipeWrite]), Size, Bits(&[1, 2, 4])]),
    call(
        "vmsplice",
        l::SYS_vmsplice,
        4,
        &[Fd(&[K::PipeWrite, K::PipeRead]), Made(iovecs), Made(small_count), Bits(&[1, 2, 4, 8])],
    ),
];

/// fcntl(2) with a lock; numbers from here on stand for a call with another kind of argument.
const FCNTL_LOCK: i64 = super::ALSO + l::SYS_fcntl;
