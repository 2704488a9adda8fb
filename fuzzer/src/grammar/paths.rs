//! What works on names.

use super::Arg::{Below, Bits, Fd, In, Made, Memory, Offset, One, Out, Path, Size};
use super::{Arg, Call, Seen, call};
use crate::generate::structures::{attribute, directory, open_how, sockaddr, text, timespec_pair, two};
use crate::program::FdKind as K;
use libc as l;

const OPEN: Arg = Bits(&[
    0,
    1,
    2,
    2,
    l::O_CREAT as u64,
    l::O_CREAT as u64,
    l::O_EXCL as u64,
    l::O_TRUNC as u64,
    l::O_APPEND as u64,
    l::O_NONBLOCK as u64,
    l::O_NONBLOCK as u64,
    l::O_DIRECTORY as u64,
    l::O_NOFOLLOW as u64,
    l::O_CLOEXEC as u64,
    l::O_NOCTTY as u64,
]);
const AT: Arg = Made(directory);
const MODE: Arg = Below(0o10000);
const OWNER: Arg = One(&[u64::MAX, 0, 65534, 5, 0x7fff_ffff]);

pub const CALLS: &[Call] = &[
    call("open", l::SYS_open, 6, &[Path, OPEN, MODE]).makes(K::File).seen(Seen::Return),
    call("openat", l::SYS_openat, 10, &[AT, Path, OPEN, MODE]).makes(K::File).seen(Seen::Return),
    call("openat2", l::SYS_openat2, 3, &[AT, Path, Made(open_how), One(&[24, 24, 24, 0, 23, 32, 4096, 4097])])
        .makes(K::File),
    call(
        "open-place",
        super::ALSO + l::SYS_openat,
        2,
        &[AT, Path, One(&[l::O_PATH as u64, (l::O_PATH | l::O_NOFOLLOW) as u64]), One(&[0])],
    )
    .makes(K::Place)
    .seen(Seen::Return),
    call("open-dir", super::ALSO * 2 + l::SYS_openat, 2, &[AT, Path, One(&[l::O_DIRECTORY as u64]), One(&[0])])
        .makes(K::Dir)
        .seen(Seen::Return),
    call("open-unnamed", super::ALSO * 3 + l::SYS_openat, 1, &[AT, Path, One(&[l::O_TMPFILE as u64 | 2]), MODE])
        .makes(K::File),
    call("creat", l::SYS_creat, 1, &[Path, MODE]).makes(K::File).seen(Seen::Return),
    call("mkdir", l::SYS_mkdir, 2, &[Path, MODE]).seen(Seen::Return),
    call("mkdirat", l::SYS_mkdirat, 2, &[AT, Path, MODE]).seen(Seen::Return),
    call(
        "mknod",
        l::SYS_mknod,
        2,
        &[Path, One(&[0o100644, 0o010600, 0o140755, 0o020600, 0o060600, 0o040755, 0]), One(&[0, 0x103, 0x501])],
    ),
    call("symlink", l::SYS_symlink, 2, &[Path, Path]).seen(Seen::Return),
    call("symlinkat", l::SYS_symlinkat, 1, &[Path, AT, Path]).seen(Seen::Return),
    call("link", l::SYS_link, 2, &[Path, Path]).seen(Seen::Return),
    call("linkat", l::SYS_linkat, 2, &[AT, Path, AT, Path, Bits(&[0x400, 0x1000])]),
    call("unlink", l::SYS_unlink, 2, &[Path]).seen(Seen::Return),
    call("rmdir", l::SYS_rmdir, 1, &[Path]).seen(Seen::Return),
    call("unlinkat", l::SYS_unlinkat, 2, &[AT, Path, Bits(&[0x200])]).seen(Seen::Return),
    call("rename", l::SYS_rename, 3, &[Path, Path]).seen(Seen::Return),
    call("renameat2", l::SYS_renameat2, 3, &[AT, Path, AT, Path, Bits(&[1, 2, 4])]).seen(Seen::Return),
    call("stat", l::SYS_stat, 2, &[Path, Out(144)]).seen(Seen::Part(24, 4)),
    call("lstat", l::SYS_lstat, 2, &[Path, Out(144)]).seen(Seen::Part(24, 4)),
    call("newfstatat", l::SYS_newfstatat, 2, &[AT, Path, Out(144), Bits(&[0x100, 0x800, 0x1000])])
        .seen(Seen::Part(24, 4)),
    call(
        "statx",
        l::SYS_statx,
        2,
        &[AT, Path, Bits(&[0x100, 0x800, 0x1000, 0x2000, 0x4000]), Bits(&[0x7ff, 0xfff, 0x8000_0000]), Out(256)],
    )
    .seen(Seen::Part(28, 2)),
    call("access", l::SYS_access, 1, &[Path, Below(9)]).seen(Seen::Return),
    call("faccessat2", l::SYS_faccessat2, 1, &[AT, Path, Below(9), Bits(&[0x100, 0x200, 0x1000])]).seen(Seen::Return),
    call("readlink", l::SYS_readlink, 2, &[Path, Memory, Size]).seen(Seen::Written),
    call("readlinkat", l::SYS_readlinkat, 1, &[AT, Path, Memory, Size]).seen(Seen::Written),
    call("truncate", l::SYS_truncate, 2, &[Path, Offset]).seen(Seen::Return),
    call("chmod", l::SYS_chmod, 2, &[Path, MODE]).seen(Seen::Return),
    call("fchmodat", l::SYS_fchmodat, 1, &[AT, Path, MODE]).seen(Seen::Return),
    call("fchmodat2", l::SYS_fchmodat2, 1, &[AT, Path, MODE, Bits(&[0x100, 0x1000])]),
    call("chown", l::SYS_chown, 1, &[Path, OWNER, OWNER]),
    call("fchownat", l::SYS_fchownat, 1, &[AT, Path, OWNER, OWNER, Bits(&[0x100, 0x1000])]),
    call("utimensat", l::SYS_utimensat, 2, &[AT, Path, Made(timespec_pair), Bits(&[0x100, 0x1000])]).seen(Seen::Return),
    call("utime", l::SYS_utime, 1, &[Path, In(16)]),
    call("chdir", l::SYS_chdir, 1, &[Path]).seen(Seen::Return),
    call("fchdir", l::SYS_fchdir, 1, &[Fd(&[K::Dir, K::Place])]).seen(Seen::Return),
    call("getcwd", l::SYS_getcwd, 1, &[Memory, Size]),
    call("chroot", l::SYS_chroot, 1, &[Path]),
    call("statfs", l::SYS_statfs, 1, &[Path, Out(120)]).seen(Seen::Return),
    call("setxattr", l::SYS_setxattr, 2, &[Path, Made(attribute), In(64), Size, Below(4)]),
    call("getxattr", l::SYS_getxattr, 2, &[Path, Made(attribute), Out(64), Size]),
    call("listxattr", l::SYS_listxattr, 1, &[Path, Memory, Size]),
    call("removexattr", l::SYS_removexattr, 1, &[Path, Made(attribute)]),
    call(
        "mount",
        l::SYS_mount,
        3,
        &[Path, Path, Made(text), Bits(&[1, 2, 0x20, 0x1000, 0x4000, 0x40000, 0x80000, 0x2000]), Made(text)],
    ),
    call("umount2", l::SYS_umount2, 3, &[Path, Bits(&[1, 2, 4, 8])]),
    call("name_to_handle_at", l::SYS_name_to_handle_at, 1, &[AT, Path, Memory, Out(8), Bits(&[0x400, 0x1000])]),
    call("open_by_handle_at", l::SYS_open_by_handle_at, 1, &[AT, Memory, OPEN]),
    call(
        "bind-name",
        super::ALSO + l::SYS_bind,
        2,
        &[Fd(&[K::Stream, K::Datagram]), Made(sockaddr), One(&[110, 110, 0, 1, 2, 3, 111])],
    )
    .seen(Seen::Return),
    call("execve", l::SYS_execve, 1, &[Path, Made(two), Made(two)]),
    call("execveat", l::SYS_execveat, 1, &[AT, Path, Made(two), Made(two), Bits(&[0x100, 0x1000])]),
];
