//! Arguments wider than what they mean: a register has 64 bits, a number in memory or in a text may
//! have more than the kernel keeps. Some calls look at the low bits only, others at all of them.

use crate::sys::*;
use crate::tty_line::pair;

pub const CASES: &[crate::harness::Case] = cases![
    copies_at_the_end,
    copies_beyond_offsets,
    sendfile_counts,
    read_counts,
    write_counts,
    splice_counts,
    message_counts,
    vectors,
    vectors_of_others,
    descriptors,
    fcntl_arguments,
    file_owners,
    seals_and_pipe_sizes,
    names_and_modes,
    open_flags,
    file_arguments,
    file_objects,
    seeks,
    mappings,
    protections,
    memory_flags,
    prctl_signals,
    prctl_settings,
    timer_slack,
    ambient_capabilities,
    trace_requests,
    file_comparison,
    futex_values,
    namespaces,
    children,
    signal_numbers,
    scheduling,
    io_priorities,
    limits_and_ids,
    clocks_and_timers,
    clock_adjustment,
    waits,
    sockets,
    ipc_semaphores,
    ipc_messages,
    ipc_memory,
    terminal_requests,
    controlling_terminal,
    numbers_of_a_process,
    numbers_of_the_system,
];

/// The lowest bit that an `int` has no room for.
const HIGH: u64 = 1 << 32;
/// Negative as a signed count.
const HUGE: u64 = 1 << 63;

const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_DUPFD_QUERY: i32 = 1027;
const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
const TIOCSIG: u64 = 0x4004_5436;
const CAP_KILL: u64 = 5;

/// An `int` below bits that do not belong to it.
fn wide(low: i32) -> u64 {
    HIGH | u64::from(low.cast_unsigned())
}

/// A page with nothing behind it, and so low that four gigabytes from it can be asked for.
fn last_page() -> usize {
    must!(SYS_mmap, 1u64 << 37, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0).addr()
}

// --- counts ---

fn copies_at_the_end() {
    let fd = file(c"f", &[b'x'; 100]);
    for (from, to, count) in [
        (50i64, 200i64, 1000u64),
        (50, 100, 1000),
        (50, 99, 1000),
        (50, 80, 1000),
        (50, 60, 10),
        (50, 59, 10),
        (60, 50, 10),
        (60, 51, 10),
        (200, 150, 1000),
        (100, 100, 10),
        (50, 50, 0),
        (0, 100, i64::MAX.cast_unsigned()),
    ] {
        let (mut a, mut b) = (from, to);
        let ret = sc!(SYS_copy_file_range, fd, &mut a, fd, &mut b, count, 0);
        println!("{from} to {to}, {count}: {ret} {a} {b} {}", fstat(fd).st_size);
        must!(SYS_ftruncate, fd, 100);
    }
}

fn copies_beyond_offsets() {
    let (input, output) = (file(c"in", &[b'x'; 100]), file(c"out", b""));
    for (from, to, count) in [
        (1i64, 1i64, u64::MAX),
        (0, 1, u64::MAX),
        (0, 0, u64::MAX),
        (1, 1, HUGE),
        (0, 0, HUGE),
        (200, 200, HUGE),
        (1, 1, HUGE - 1),
        (0, i64::MAX, 0),
        (0, i64::MAX, 1),
        (0, i64::MAX - 1, 1),
        (i64::MAX, 0, 1),
        (-1, 0, 1),
        (0, -1, 1),
        (-1, 0, 0),
        (0, -1, 0),
        (0, -200, 100),
        (-200, 0, 100),
    ] {
        let (mut a, mut b) = (from, to);
        let ret = sc!(SYS_copy_file_range, input, &mut a, output, &mut b, count, 0);
        println!("{from} to {to}, {count:x}: {ret} {}", fstat(output).st_size);
        must!(SYS_ftruncate, output, 0);
    }
    t!(SYS_copy_file_range, input, 0, output, 0, 10, HIGH);
    t!(SYS_copy_file_range, wide(input), 0, wide(output), 0, 10, 0);
}

fn sendfile_counts() {
    let (input, output) = (file(c"in", b"some text"), file(c"out", b""));
    let (_r, w) = pipe();
    for to in [output, w] {
        for count in [HUGE, HUGE - 1, u64::MAX, HIGH, HIGH | 3] {
            let mut offset = 0u64;
            println!("{count:x}: {} {offset}", sc!(SYS_sendfile, to, input, &mut offset, count));
            offset = 1;
            println!("{count:x} from 1: {} {offset}", sc!(SYS_sendfile, to, input, &mut offset, count));
        }
        for start in [i64::MAX, i64::MAX - 1, -1] {
            let mut offset = start;
            println!("at {start:x}: {}", sc!(SYS_sendfile, to, input, &mut offset, 0));
            println!("1 at {start:x}: {}", sc!(SYS_sendfile, to, input, &mut offset, 1));
            println!("2 at {start:x}: {}", sc!(SYS_sendfile, to, input, &mut offset, 2));
        }
    }
    t!(SYS_sendfile, output, w, 0, HUGE);
    t!(SYS_sendfile, -1, input, 0, HUGE);
    t!(SYS_sendfile, output, -1, 0, HUGE);
    t!(SYS_sendfile, wide(output), wide(input), 0, 4);
}

fn read_counts() {
    let (fd, page) = (file(c"f", b"0123456789"), last_page());
    for count in [HUGE, u64::MAX, HUGE - 1, HIGH, HIGH | 3, 1 << 46, 1 << 47] {
        must!(SYS_lseek, fd, 0, SEEK_SET);
        let ret = [sc!(SYS_read, fd, page, count), sc!(SYS_pread64, fd, page, count, 1)];
        println!("{count:x}: {ret:?}");
    }
    t!(SYS_pread64, fd, page, HUGE, -1);
    t!(SYS_pread64, fd, page, 10, i64::MAX);
    t!(SYS_getrandom, page, HUGE, 0);
    t!(SYS_getrandom, page, HIGH, 0);
    t!(SYS_getrandom, page, HIGH | 3, 0);
    t!(SYS_getrandom, page, 3, wide(GRND_NONBLOCK as i32));
    t!(SYS_getcwd, page, 0);
    o!(SYS_getcwd, page, HIGH);
    o!(SYS_getcwd, page, HUGE);
}

fn write_counts() {
    let (fd, page) = (file(c"f", b""), last_page());
    for count in [HUGE, u64::MAX, HUGE - 1, HIGH, HIGH | 3, 1 << 47] {
        must!(SYS_lseek, fd, 0, SEEK_SET);
        let ret = [sc!(SYS_write, fd, page, count), sc!(SYS_pwrite64, fd, page, count, 1)];
        println!("{count:x}: {ret:?} {}", fstat(fd).st_size);
        must!(SYS_ftruncate, fd, 0);
    }
    t!(SYS_pwrite64, fd, page, HUGE, -1);
}

fn splice_counts() {
    let fd = file(c"f", b"0123456789");
    let ((r, w), (r2, w2)) = (pipe(), pipe());
    for count in [HUGE, u64::MAX, HUGE - 1, HIGH, HIGH | 3] {
        let (mut from, mut to) = (1u64, 1u64);
        let into = sc!(SYS_splice, fd, &mut from, w, 0, count, 0);
        put(w, b"abcd");
        let copied = sc!(SYS_tee, r, w2, count, 0);
        let moved = sc!(SYS_splice, r, 0, w2, 0, count, 0);
        let out = sc!(SYS_splice, r2, 0, fd, &mut to, count, 0);
        println!("{count:x}: in {into}, tee {copied}, between {moved}, out {out}; {from} {to}");
        for end in [r, r2] {
            let mut n = 0i32;
            must!(SYS_ioctl, end, FIONREAD, &mut n);
            if n > 0 {
                get(end, 4096);
            }
        }
        must!(SYS_ftruncate, fd, 10);
    }
    t!(SYS_splice, fd, 0, w, 0, 4, HIGH);
    t!(SYS_tee, r, w2, 4, HIGH);
    let page = last_page();
    let parts = iov(&[(page, 3)]);
    t!(SYS_vmsplice, w, parts.as_ptr() as usize, HIGH, 0);
    t!(SYS_vmsplice, w, parts.as_ptr() as usize, HIGH | 1, HIGH);
    let parts = iov(&[(page, 1 << 63)]);
    t!(SYS_vmsplice, w, parts.as_ptr() as usize, 1, 0);
}

fn message_counts() {
    let page = last_page();
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let (a, b) = socketpair(kind | SOCK_NONBLOCK);
        for count in [HUGE, HIGH, HIGH | 3, 1 << 47] {
            let sent = [sc!(SYS_sendto, a, page, count, 0, 0, 0), sc!(SYS_write, a, page, count)];
            put(a, b"text");
            println!("{count:x}: {sent:?} {}", sc!(SYS_recvfrom, b, page, count, 0, 0, 0));
        }
        put(a, b"text");
        t!(SYS_recvfrom, b, page, 4, HIGH, 0, 0);
        t!(SYS_sendto, a, page, 4, HIGH, 0, HIGH);
    }
}

fn vectors() {
    let (fd, page) = (file(c"f", b"0123456789"), last_page());
    let parts = iov(&[(page, 2), (page, 3)]);
    let vector = parts.as_ptr() as usize;
    for count in [HIGH, HIGH | 1, HIGH | 2, HIGH | 1025, HUGE, u64::MAX, 1025] {
        must!(SYS_lseek, fd, 0, SEEK_SET);
        let ret = [
            sc!(SYS_readv, fd, vector, count),
            sc!(SYS_writev, fd, vector, count),
            sc!(SYS_preadv, fd, vector, count, 1, 0),
            sc!(SYS_pwritev, fd, vector, count, 1, 0),
            sc!(SYS_preadv2, fd, vector, count, 1, 0, HIGH),
            sc!(SYS_pwritev2, fd, vector, count, 1, 0, HIGH),
        ];
        println!("{count:x}: {ret:?}");
    }
    let (a, b) = socketpair(SOCK_DGRAM | SOCK_NONBLOCK);
    let mut message: msghdr = zeroed();
    message.msg_iov = vector as *mut _;
    for count in [1 << 32, 1 << 32 | 1, 1025, usize::MAX] {
        message.msg_iovlen = count;
        println!("{count:x}: {} {}", sc!(SYS_sendmsg, a, &message, 0), sc!(SYS_recvmsg, b, &message, 0));
    }
    message.msg_iovlen = 1;
    t!(SYS_sendmsg, a, &message, HIGH);
    t!(SYS_recvmsg, b, &message, HIGH);
    let mut messages: [mmsghdr; 1] = zeroed();
    messages[0].msg_hdr = message;
    t!(SYS_sendmmsg, a, &messages, HIGH | 1, 0);
    t!(SYS_recvmmsg, b, &messages, HIGH | 1, 0, 0);
    t!(SYS_sendmmsg, a, &messages, HIGH, 0);
}

fn vectors_of_others() {
    let (me, page) = (sc!(SYS_getpid).0, last_page());
    let parts = iov(&[(page, 2)]);
    let vector = parts.as_ptr() as usize;
    for (own, other) in [(HIGH, 1), (HIGH | 1, 1), (1, HIGH), (1, HIGH | 1), (HIGH, HIGH), (HIGH, 1025), (1025, HIGH)] {
        let ret = [
            sc!(SYS_process_vm_readv, me, vector, own, vector, other, 0),
            sc!(SYS_process_vm_writev, me, vector, own, vector, other, 0),
        ];
        println!("{own:x} {other:x}: {ret:?}");
    }
    t!(SYS_process_vm_readv, me, vector, 1, vector, 1, HIGH);
    t!(SYS_process_vm_readv, HIGH | me.cast_unsigned(), vector, 1, vector, 1, 0);
    let fd = must!(SYS_pidfd_open, me, 0).fd();
    let parts = iov(&[(page, PAGE)]);
    let vector = parts.as_ptr() as usize;
    t!(SYS_process_madvise, fd, vector, HIGH | 1, wide(MADV_COLD), HIGH);
    t!(SYS_process_madvise, fd, vector, HIGH, MADV_COLD, 0);
}

// --- files ---

fn descriptors() {
    let fd = file(c"f", b"text");
    t!(SYS_dup2, wide(fd), wide(20));
    t!(SYS_dup3, wide(fd), wide(21), HIGH);
    t!(SYS_dup3, fd, 22, wide(O_CLOEXEC));
    t!(SYS_fcntl, 22, wide(F_GETFD), 0);
    t!(SYS_close, wide(20));
    t!(SYS_close, 20);
    t!(SYS_close_range, wide(21), wide(21), HIGH);
    t!(SYS_close, 21);
    t!(SYS_close_range, HIGH, 0, 0);
    o!(SYS_dup, wide(fd));
    let mut ends = [0i32; 2];
    t!(SYS_pipe2, &mut ends, wide(O_NONBLOCK));
    v!(sc!(SYS_fcntl, ends[0], F_GETFL).0 & i64::from(O_NONBLOCK) != 0);
    t!(SYS_ioctl, wide(ends[0]), HIGH | FIONREAD, &mut ends[1]);
    t!(SYS_ioctl, ends[0], HIGH, 0);
}

fn fcntl_arguments() {
    let fd = file(c"f", b"text");
    t!(SYS_fcntl, fd, F_DUPFD, HIGH | 30);
    t!(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH | 30);
    t!(SYS_fcntl, fd, F_DUPFD, HUGE | 2000);
    t!(SYS_fcntl, fd, F_DUPFD, -1);
    t!(SYS_fcntl, fd, F_DUPFD_QUERY, wide(30));
    t!(SYS_fcntl, fd, F_SETFD, HIGH);
    t!(SYS_fcntl, fd, F_GETFD, 0);
    t!(SYS_fcntl, fd, F_SETFD, HIGH | 1);
    t!(SYS_fcntl, fd, F_GETFD, 0);
    t!(SYS_fcntl, fd, F_SETFL, HIGH);
    t!(SYS_fcntl, fd, F_SETFL, wide(O_APPEND));
    v!(sc!(SYS_fcntl, fd, F_GETFL).0 & i64::from(O_APPEND | O_NONBLOCK));
    for signal in [HIGH, wide(SIGUSR1), HIGH | 65, 65, HUGE, HUGE | 5, u64::MAX] {
        println!("{signal:x}: {} {}", sc!(SYS_fcntl, fd, F_SETSIG, signal), sc!(SYS_fcntl, fd, F_GETSIG));
    }
    t!(SYS_fcntl, fd, F_SETLEASE, wide(F_UNLCK));
    t!(SYS_fcntl, fd, F_SETLEASE, wide(7));
    t!(SYS_fcntl, fd, F_GETLEASE, 0);
    t!(SYS_flock, fd, wide(LOCK_EX | LOCK_NB));
    t!(SYS_flock, fd, wide(LOCK_UN));
    t!(SYS_flock, fd, HIGH);
}

fn file_owners() {
    let (r, _w) = pipe();
    let (me, group) = (sc!(SYS_getpid).0 as i32, sc!(SYS_getpgrp).0 as i32);
    t!(SYS_fcntl, r, F_SETOWN, i32::MIN);
    t!(SYS_fcntl, r, F_SETOWN, HIGH | 0x8000_0000);
    t!(SYS_fcntl, r, F_SETOWN, i32::MIN + 1);
    t!(SYS_fcntl, r, F_SETOWN, i32::MAX);
    t!(SYS_fcntl, r, F_SETOWN, wide(me));
    v!(sc!(SYS_fcntl, r, F_GETOWN).0 == i64::from(me));
    t!(SYS_fcntl, r, F_SETOWN, wide(-group));
    v!(sc!(SYS_fcntl, r, F_GETOWN).0 == -i64::from(group));
    t!(SYS_fcntl, r, F_SETOWN, HIGH);
    t!(SYS_fcntl, r, F_GETOWN, 0);
    for kind in 0..3 {
        t!(SYS_fcntl, r, F_SETOWN_EX, &[kind, i32::MIN]);
        t!(SYS_fcntl, r, F_SETOWN_EX, &[kind, -1]);
    }
}

fn seals_and_pipe_sizes() {
    let fd = must!(SYS_memfd_create, c"m", wide(MFD_ALLOW_SEALING as i32)).fd();
    t!(SYS_memfd_create, c"m", HUGE);
    t!(SYS_fcntl, fd, F_ADD_SEALS, wide(F_SEAL_GROW));
    t!(SYS_fcntl, fd, F_GET_SEALS, 0);
    t!(SYS_fcntl, fd, F_ADD_SEALS, HIGH);
    t!(SYS_fcntl, fd, F_ADD_SEALS, HIGH | 0x8000);
    let (r, _w) = pipe();
    t!(SYS_fcntl, r, F_SETPIPE_SZ, HIGH | 8192);
    t!(SYS_fcntl, r, F_SETPIPE_SZ, HIGH);
    t!(SYS_fcntl, r, F_SETPIPE_SZ, HIGH | 0x8000_0001);
    t!(SYS_fcntl, r, F_GETPIPE_SZ, 0);
}

fn mode_of(path: &std::ffi::CStr) -> String {
    format!("{:o}", stat(path).st_mode)
}

fn names_and_modes() {
    must!(SYS_close, must!(SYS_creat, c"a", 0x1_0644).fd());
    v!(mode_of(c"a"));
    for mode in [0o600u64, 0x1_0000 | 0o640, HIGH | 0o604, 0x8000_0000 | 0o755, 0x8000 | 0o700] {
        println!("{mode:x}: {} {}", sc!(SYS_chmod, c"a", mode), mode_of(c"a"));
        println!("{mode:x}: {} {}", sc!(SYS_fchmodat, wide(AT_FDCWD), c"a", mode >> 1), mode_of(c"a"));
    }
    t!(SYS_mkdir, c"d", 0x1_0000 | 0o755);
    v!(mode_of(c"d"));
    t!(SYS_mknod, c"n", 0x1_0000 | S_IFREG | 0o644, HIGH);
    v!(mode_of(c"n"));
    t!(SYS_mknodat, wide(AT_FDCWD), c"p", wide((S_IFIFO | 0o600) as i32), HIGH);
    v!(mode_of(c"p"));
    t!(SYS_mknod, c"q", 0x1_0000, 0);
    v!(mode_of(c"q"));
    t!(SYS_access, c"a", HIGH);
    t!(SYS_access, c"a", wide(8));
    t!(SYS_faccessat2, AT_FDCWD, c"a", HIGH, HIGH);
    t!(SYS_faccessat2, AT_FDCWD, c"a", HIGH, wide(AT_EACCESS));
    t!(SYS_umask, HIGH | 0x1_0027);
    t!(SYS_umask, 0);
    must!(SYS_symlink, c"target", c"l");
    let mut buf = [0u8; 16];
    t!(SYS_readlink, c"l", &mut buf, HIGH);
    t!(SYS_readlink, c"l", &mut buf, HIGH | 3);
    t!(SYS_readlink, c"l", &mut buf, HIGH | 0x8000_0000);
    t!(SYS_linkat, AT_FDCWD, c"a", AT_FDCWD, c"b", HIGH);
    t!(SYS_renameat2, AT_FDCWD, c"a", AT_FDCWD, c"b", wide(RENAME_NOREPLACE as i32));
    t!(SYS_renameat2, AT_FDCWD, c"a", AT_FDCWD, c"c", HIGH);
    t!(SYS_unlinkat, AT_FDCWD, c"d", wide(AT_REMOVEDIR));
    t!(SYS_unlinkat, wide(AT_FDCWD), c"b", HIGH);
    t!(SYS_utimensat, AT_FDCWD, c"l", 0, wide(AT_SYMLINK_NOFOLLOW));
    t!(SYS_fchownat, AT_FDCWD, c"l", -1, HIGH | 0xffff_ffff, wide(AT_SYMLINK_NOFOLLOW));
    t!(SYS_chown, c"c", HIGH | 0xffff_ffff, u64::MAX);
}

fn open_flags() {
    for flags in [
        wide(O_CREAT | O_RDWR),
        HUGE | 2,
        0x8000_0002,
        HIGH | 3,
        wide(O_RDWR | O_DIRECTORY),
        wide(O_CREAT | O_EXCL),
    ] {
        println!("{flags:x}: {}", sc!(SYS_open, c"f", flags, HIGH | 0x1_0000 | 0o644).ok());
        println!("{flags:x}: {}", sc!(SYS_openat, wide(AT_FDCWD), c"f", flags, HIGH | 0x1_0000 | 0o644).ok());
    }
    v!(mode_of(c"f"));
    for [flags, mode, resolve] in [
        [0, 0, 0],
        [HIGH, 0, 0],
        [HUGE, 0, 0],
        [O_CREAT as u64, HIGH | 0o644, 0],
        [O_CREAT as u64, 0x1_0000 | 0o644, 0],
        [O_CREAT as u64, 0o644, HIGH],
        [O_CREAT as u64, 0o644, HUGE],
        [0, HIGH, 0],
    ] {
        let ret = sc!(SYS_openat2, wide(AT_FDCWD), c"f", &[flags, mode, resolve], 24);
        println!("{flags:x} {mode:x} {resolve:x}: {}", ret.ok());
    }
    o!(SYS_openat2, AT_FDCWD, c"f", &[0u64; 3], HIGH | 24);
    o!(SYS_openat2, AT_FDCWD, c"f", &[0u64; 3], HUGE);
}

fn file_arguments() {
    let fd = file(c"f", b"text");
    t!(SYS_fallocate, fd, HIGH, 0, 10);
    t!(SYS_fallocate, fd, wide(FALLOC_FL_KEEP_SIZE), 0, 20);
    t!(SYS_fallocate, fd, 0, 0, HUGE);
    t!(SYS_fallocate, fd, 0, 1, HUGE - 1);
    v!(fstat(fd).st_size);
    t!(SYS_fadvise64, fd, 0, HUGE, wide(POSIX_FADV_NORMAL));
    t!(SYS_fadvise64, fd, 0, 0, wide(77));
    t!(SYS_readahead, fd, 0, HUGE);
    t!(SYS_sync_file_range, fd, 0, 1, HIGH);
    t!(SYS_sync_file_range, fd, HUGE, 1, 0);
    t!(SYS_sync_file_range, fd, 1, HUGE - 1, 0);
    t!(SYS_ftruncate, fd, HUGE);
    t!(SYS_truncate, c"f", HUGE);
    let dir = open(c".", O_RDONLY | O_DIRECTORY);
    let page = last_page();
    t!(SYS_getdents64, dir, page, HIGH);
    o!(SYS_getdents64, dir, page, HIGH | 4096);
    let mut st = [0u64; 32];
    t!(SYS_newfstatat, wide(AT_FDCWD), c"f", &mut st, HIGH);
    t!(SYS_statx, AT_FDCWD, c"f", HIGH, HIGH, &mut st);
    t!(SYS_statx, AT_FDCWD, c"f", 0, HIGH | 0x8000_0000, &mut st);
    t!(SYS_statx, AT_FDCWD, c"f", 0, HIGH | 0x7ff, &mut st);
    t!(SYS_setxattr, c"f", c"user.a", c"12", 2, HIGH);
    t!(SYS_setxattr, c"f", c"user.a", c"12", 2, wide(XATTR_CREATE));
    t!(SYS_setxattr, c"f", c"user.a", c"12", HIGH | 2, 0);
    t!(SYS_getxattr, c"f", c"user.a", page, HIGH | 1);
    t!(SYS_getxattr, c"f", c"user.a", page, HUGE);
    t!(SYS_listxattr, c"f", page, HIGH | 1);
}

fn file_objects() {
    let mut value = 0u64;
    let fd = t!(SYS_eventfd2, HIGH | 3, HIGH).fd();
    t!(SYS_read, fd, &mut value, 8);
    v!(value);
    o!(SYS_eventfd2, 0, HIGH | 0x4000_0000);
    o!(SYS_signalfd4, wide(-1), &1u64, 8, HIGH);
    o!(SYS_signalfd4, -1, &1u64, HIGH | 8, 0);
    let poll = must!(SYS_epoll_create1, HIGH).fd();
    o!(SYS_epoll_create, HIGH);
    o!(SYS_epoll_create, HIGH | 1);
    let event = epoll_event { events: EPOLLIN as u32, u64: 0 };
    t!(SYS_epoll_ctl, wide(poll), wide(EPOLL_CTL_ADD), wide(fd), &event);
    t!(SYS_epoll_ctl, poll, HIGH, fd, &event);
    let watch = must!(SYS_inotify_init1, wide(IN_NONBLOCK)).fd();
    t!(SYS_inotify_add_watch, watch, c".", wide(IN_CREATE as i32));
    t!(SYS_inotify_add_watch, watch, c".", HIGH);
    t!(SYS_inotify_rm_watch, watch, wide(1));
}

fn seeks() {
    let fd = file(c"f", b"0123456789");
    t!(SYS_lseek, wide(fd), 3, wide(SEEK_SET));
    t!(SYS_lseek, fd, 3, wide(SEEK_CUR));
    t!(SYS_lseek, fd, 3, wide(SEEK_END));
    t!(SYS_lseek, fd, 3, wide(SEEK_DATA));
    t!(SYS_lseek, fd, 3, wide(SEEK_HOLE));
    t!(SYS_lseek, fd, 3, wide(5));
    t!(SYS_lseek, fd, HUGE, SEEK_SET);
    t!(SYS_lseek, fd, HUGE - 1, SEEK_SET);
    t!(SYS_lseek, fd, 1, SEEK_CUR);
    t!(SYS_lseek, fd, 0, SEEK_SET);
}

// --- memory ---

fn mappings() {
    let fd = file(c"f", &[b'x'; 100]);
    for kind in [0, MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, 4] {
        for more in [0, HIGH, HUGE, 1 << 31, 1 << 21] {
            let flags = more | kind as u64;
            let of_file = sc!(SYS_mmap, 0, PAGE, PROT_READ, flags, fd, 0).ok();
            let anonymous = sc!(SYS_mmap, 0, PAGE, PROT_READ, flags | MAP_ANONYMOUS as u64, -1, 0).ok();
            println!("{flags:x}: {of_file} {anonymous}");
        }
    }
    o!(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, wide(fd), 0);
    let zero = open(c"/dev/zero", O_RDWR);
    for offset in [HUGE, HUGE - 0x1000, HUGE - 0x2000, !0x1fff, !0xfff] {
        let ret = [fd, zero].map(|fd| sc!(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, offset).ok());
        println!("at {offset:x}: {ret:?}");
    }
    o!(SYS_mmap, 0, HIGH | 1, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
}

fn protections() {
    let fd = file(c"f", &[b'x'; 100]);
    for more in [HIGH, HUGE, 1 << 31, 1 << 20, 0x10, 8] {
        let prot = more | PROT_READ as u64;
        for (kind, fd) in [(MAP_PRIVATE | MAP_ANONYMOUS, -1), (MAP_SHARED, fd), (MAP_PRIVATE, fd)] {
            let ret = sc!(SYS_mmap, 0, PAGE, prot, kind, fd, 0);
            let changed = sc!(SYS_mprotect, ret.addr(), PAGE, prot);
            println!("{prot:x} {kind:x}: {} {changed} {:?}", ret.ok(), load(ret.addr()));
        }
    }
    let page = last_page();
    t!(SYS_mprotect, page, PAGE, HIGH);
    t!(SYS_mprotect, page, PAGE, HUGE);
    t!(SYS_mprotect, page, 0, HIGH);
    v!(store(page, 1));
    t!(SYS_pkey_mprotect, page, PAGE, PROT_READ, wide(-1));
    t!(SYS_pkey_mprotect, page, PAGE, HIGH, -1);
}

fn memory_flags() {
    let page = last_page();
    t!(SYS_madvise, page, PAGE, wide(MADV_DONTNEED));
    t!(SYS_madvise, page, PAGE, wide(99));
    t!(SYS_msync, page, PAGE, wide(MS_SYNC));
    t!(SYS_msync, page, PAGE, HIGH);
    o!(SYS_mremap, page, PAGE, PAGE, HIGH);
    o!(SYS_mremap, page, PAGE, 2 * PAGE, wide(MREMAP_MAYMOVE));
    t!(SYS_mlock2, page, PAGE, HIGH);
    t!(SYS_mlock2, page, PAGE, HIGH | 2);
    t!(SYS_mlockall, HIGH);
    t!(SYS_mlockall, wide(MCL_FUTURE));
    t!(SYS_munlockall);
    t!(SYS_pkey_alloc, HIGH, 0);
    t!(SYS_remap_file_pages, page, PAGE, HIGH, 0, 0);
    t!(SYS_mincore, page, HIGH, page);
    t!(SYS_mincore, page, HUGE, page);
    t!(SYS_munmap, page, HUGE);
    t!(SYS_munmap, HUGE, PAGE);
}

// --- processes ---

fn prctl_signals() {
    let mut signal = 0i32;
    for (option, value) in [
        (1, wide(SIGUSR1)),
        (1, HIGH),
        (1, HUGE),
        (1, 65),
        (HIGH | 1, SIGUSR1 as u64),
        (HUGE | 1, SIGUSR2 as u64),
    ] {
        let ret = sc!(SYS_prctl, option, value, 0, 0, 0);
        must!(SYS_prctl, PR_GET_PDEATHSIG, &mut signal, 0, 0, 0);
        println!("{option:x} {value:x}: {ret} {signal}");
    }
}

fn prctl_settings() {
    for option in [
        PR_SET_DUMPABLE,
        PR_SET_KEEPCAPS,
        PR_SET_TIMING,
        PR_SET_NO_NEW_PRIVS,
        PR_CAPBSET_READ,
        PR_CAPBSET_DROP,
        PR_SET_SECUREBITS,
        PR_SET_SECCOMP,
        PR_MCE_KILL,
        PR_SET_VMA,
    ] {
        for value in [HIGH, HIGH | 1, HUGE, HUGE | 1] {
            println!("{option} {value:x}: {}", sc!(SYS_prctl, option, value, 0, 0, 0));
        }
    }
    t!(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
    t!(SYS_prctl, PR_GET_KEEPCAPS, 0, 0, 0, 0);
    t!(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    t!(SYS_prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
    t!(SYS_prctl, wide(PR_GET_DUMPABLE), 0, 0, 0, 0);
    t!(SYS_prctl, HIGH, 0, 0, 0, 0);
    let mut mode = 0i32;
    t!(SYS_prctl, PR_SET_TSC, HIGH | 1, 0, 0, 0);
    t!(SYS_prctl, PR_SET_TSC, HIGH, 0, 0, 0);
    t!(SYS_prctl, PR_GET_TSC, &mut mode, 0, 0, 0);
    v!(mode);
    t!(SYS_prctl, PR_SET_CHILD_SUBREAPER, HIGH, 0, 0, 0);
    t!(SYS_prctl, PR_GET_CHILD_SUBREAPER, &mut mode, 0, 0, 0);
    v!(mode);
    t!(SYS_prctl, PR_SET_THP_DISABLE, HIGH, 0, 0, 0);
    t!(SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
    t!(SYS_prctl, PR_SET_THP_DISABLE, 0, HIGH, 0, 0);
    t!(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, HIGH, 0, 0, 0);
    t!(SYS_arch_prctl, HIGH | 0x1011, 0);
    t!(SYS_personality, HIGH | 0xffff_ffff);
    t!(SYS_personality, HIGH);
}

fn timer_slack() {
    let slack = || sc!(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0).0;
    v!(slack());
    for value in [1u64, HIGH, HIGH | 5, HUGE, u64::MAX, HUGE - 1, 0] {
        println!("{value:x}: {} {:x}", sc!(SYS_prctl, PR_SET_TIMERSLACK, value, 0, 0, 0), slack());
    }
}

fn ambient_capabilities() {
    for (operation, capability, rest) in [
        (PR_CAP_AMBIENT_RAISE as u64, CAP_KILL, 0),
        (wide(PR_CAP_AMBIENT_RAISE), CAP_KILL, 0),
        (wide(PR_CAP_AMBIENT_IS_SET), CAP_KILL, 0),
        (wide(PR_CAP_AMBIENT_LOWER), CAP_KILL, 0),
        (wide(PR_CAP_AMBIENT_CLEAR_ALL), 0, 0),
        (PR_CAP_AMBIENT_IS_SET as u64, HIGH | CAP_KILL, 0),
        (PR_CAP_AMBIENT_IS_SET as u64, CAP_KILL, HIGH),
        (PR_CAP_AMBIENT_CLEAR_ALL as u64, HIGH, 0),
        (PR_CAP_AMBIENT_CLEAR_ALL as u64, 0, HIGH),
    ] {
        let ret = sc!(SYS_prctl, PR_CAP_AMBIENT, operation, capability, rest, 0);
        println!("{operation:x} {capability:x} {rest:x}: {ret}");
    }
}

fn trace_requests() {
    v!(in_child(|| {
        t!(SYS_ptrace, HIGH | u64::from(PTRACE_TRACEME), 0, 0, 0);
        t!(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
    }));
    let pid = spawn(|| {
        must!(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
        must!(SYS_kill, sc!(SYS_getpid).0, SIGSTOP);
        sleep_ms(10_000);
    });
    let mut status = 0i32;
    must!(SYS_wait4, pid, &mut status, 0, 0);
    let mut word = 0u64;
    for request in [PTRACE_CONT, PTRACE_GETEVENTMSG, PTRACE_KILL, PTRACE_INTERRUPT, PTRACE_ATTACH, PTRACE_SEIZE] {
        println!("{request}: {}", sc!(SYS_ptrace, HIGH | u64::from(request), pid, 0, &mut word));
    }
    t!(SYS_ptrace, u64::MAX, pid, 0, 0);
    t!(SYS_ptrace, PTRACE_GETEVENTMSG, wide(pid), 0, &mut word);
    t!(SYS_ptrace, PTRACE_SETOPTIONS, pid, 0, HIGH);
    t!(SYS_ptrace, PTRACE_CONT, pid, 0, wide(SIGUSR1));
    t!(SYS_ptrace, PTRACE_CONT, pid, 0, HUGE);
    t!(SYS_ptrace, PTRACE_PEEKUSER, pid, HIGH, &mut word);
    t!(SYS_ptrace, PTRACE_GETSIGMASK, pid, HIGH | 8, &mut word);
    let mut regs = [0u64; 27];
    let set = iov(&[(regs.as_mut_ptr() as usize, 27 * 8)]);
    t!(SYS_ptrace, PTRACE_GETREGSET, pid, wide(NT_PRSTATUS), &set[0]);
    t!(SYS_ptrace, PTRACE_GETREGSET, pid, HIGH, &set[0]);
    t!(SYS_ptrace, PTRACE_DETACH, pid, 0, HIGH | 65);
    t!(SYS_ptrace, PTRACE_DETACH, pid, 0, HIGH);
    t!(SYS_ptrace, PTRACE_DETACH, pid, 0, 0);
    must!(SYS_kill, wide(pid), SIGKILL);
    v!(reap(pid));
    t!(SYS_ptrace, HIGH | u64::from(PTRACE_ATTACH), i32::MAX, 0, 0);
}

fn file_comparison() {
    let (me, fd) = (sc!(SYS_getpid).0 as i32, file(c"f", b""));
    for (kind, a, b) in [
        (0, wide(fd), fd as u64),
        (0, fd as u64, wide(fd)),
        (HIGH, fd as u64, fd as u64),
        (0, HIGH, 0),
        (0, HIGH | 999, 0),
        (0, u64::MAX, 0),
        (0, HIGH | 0xffff_ffff, 0),
        (1, HIGH, HIGH),
        (HIGH | 1, 0, 0),
        (HIGH | 99, 0, 0),
    ] {
        println!("{kind:x}, {}: {}", a & HIGH, sc!(SYS_kcmp, wide(me), wide(me), kind, a, b));
    }
}

fn futex_values() {
    let word = 7u32;
    let soon = timespec { tv_sec: 0, tv_nsec: 1 };
    let private = (FUTEX_WAIT | FUTEX_PRIVATE_FLAG) as u64;
    t!(SYS_futex, &word, private, HIGH | 6, 0, 0, 0);
    t!(SYS_futex, &word, HIGH | private, HIGH | 7, &soon, 0, 0);
    t!(SYS_futex, &word, FUTEX_WAIT_BITSET, 7, &soon, 0, HIGH);
    t!(SYS_futex, &word, FUTEX_WAKE, HIGH | 1, 0, 0, 0);
    t!(SYS_futex, &word, FUTEX_REQUEUE, 0, HIGH, &word, 0);
    t!(SYS_futex, &word, FUTEX_REQUEUE, 0, HIGH | 0x8000_0000, &word, 0);
    let at = std::ptr::from_ref(&word) as u64;
    for [value, flags] in [[6, 2], [HIGH | 7, 2], [HIGH | 6, 2], [HUGE | 7, 2], [6, HIGH | 2], [6, HUGE | 2]] {
        let ret = sc!(SYS_futex_waitv, &[value, at, flags], 1, 0, 0, 0);
        println!("{value:x} {flags:x}: {ret}");
    }
    t!(SYS_futex_waitv, &[6, at, 2], HIGH | 1, HIGH, 0, HIGH);
    t!(SYS_futex_waitv, &[6, at, 2], HIGH, 0, 0, 0);
    in_child(|| {
        t!(SYS_set_robust_list, 0, HIGH | 24);
    });
}

fn namespaces() {
    let me = must!(SYS_pidfd_open, sc!(SYS_getpid).0, 0).fd();
    let fd = file(c"f", b"");
    t!(SYS_setns, me, HIGH);
    t!(SYS_setns, me, wide(1));
    t!(SYS_setns, fd, wide(CLONE_NEWUTS));
    v!(unprivileged(|| {
        t!(SYS_setns, me, CLONE_NEWUTS);
        t!(SYS_setns, me, wide(CLONE_NEWUTS));
        t!(SYS_setns, wide(me), HUGE | CLONE_NEWUTS as u64);
        t!(SYS_unshare, wide(CLONE_NEWUTS));
    }));
    v!(in_child(|| {
        t!(SYS_unshare, HIGH);
        t!(SYS_unshare, wide(CLONE_FS));
        t!(SYS_unshare, HUGE | CLONE_FILES as u64);
    }));
}

fn children() {
    for flags in [HIGH, HUGE, 1 << 33] {
        let pid = sc!(SYS_clone, flags | SIGCHLD as u64, 0, 0, 0, 0);
        if pid.0 == 0 {
            exit(3);
        }
        println!("{flags:x}: {:?} {:?}", pid.ok(), reap(pid.fd()));
    }
    let mut args = [0u64; 11];
    for (flags, signal) in [(HUGE, 17), (1 << 35, 17), (0, HIGH | 17), (0, HUGE)] {
        (args[0], args[4]) = (flags, signal);
        let pid = sc!(SYS_clone3, &args, 88);
        if pid.0 == 0 {
            exit(4);
        }
        println!("{flags:x} {signal:x}: {:?}", pid.ok());
    }
    let mut status = 0i32;
    let pid = spawn(|| exit(5));
    t!(SYS_waitid, wide(P_PID as i32), wide(pid), 0, wide(WEXITED | WNOWAIT), 0);
    t!(SYS_waitid, P_ALL, 0, 0, HIGH, 0);
    v!(sc!(SYS_wait4, wide(pid), &mut status, HIGH, 0).0 == i64::from(pid));
    t!(SYS_wait4, wide(-1), &mut status, wide(WNOHANG), 0);
    t!(SYS_wait4, -1, &mut status, HIGH | 0x1000, 0);
    t!(SYS_waitid, wide(P_ALL as i32), HIGH, 0, wide(WEXITED | WNOHANG), 0);
    v!(in_child(|| {
        sc!(SYS_exit_group, HIGH | 0x107);
    }));
    let me = sc!(SYS_getpid).0 as i32;
    o!(SYS_pidfd_open, wide(me), HIGH);
    o!(SYS_pidfd_open, me, wide(O_NONBLOCK));
    let fd = must!(SYS_pidfd_open, me, 0).fd();
    o!(SYS_pidfd_getfd, fd, HIGH, 0);
    o!(SYS_pidfd_getfd, fd, 0, HIGH);
    t!(SYS_pidfd_send_signal, fd, HIGH, 0, HIGH);
    t!(SYS_pidfd_send_signal, fd, 0, 0, HUGE);
}

fn signal_numbers() {
    let me = sc!(SYS_getpid).0 as i32;
    catch(SIGUSR1, 0);
    t!(SYS_kill, wide(me), HIGH);
    t!(SYS_kill, wide(me), wide(SIGUSR1));
    t!(SYS_tkill, wide(me), wide(SIGUSR1));
    t!(SYS_tgkill, wide(me), wide(me), wide(SIGUSR1));
    t!(SYS_tgkill, me, HIGH, SIGUSR1);
    t!(SYS_kill, me, wide(99));
    v!(caught(SIGUSR1));
    let mut info: siginfo_t = zeroed();
    info.si_code = SI_QUEUE;
    t!(SYS_rt_sigqueueinfo, wide(me), wide(SIGUSR1), &info);
    v!(caught(SIGUSR1));
    let mut old = [0u64; 4];
    t!(SYS_rt_sigaction, wide(SIGUSR1), 0, &mut old, 8);
    t!(SYS_rt_sigaction, SIGUSR1, 0, &mut old, HIGH | 8);
    t!(SYS_rt_sigprocmask, wide(SIG_BLOCK), &0u64, 0, 8);
    t!(SYS_rt_sigprocmask, SIG_BLOCK, &0u64, 0, HIGH | 8);
    t!(SYS_rt_sigpending, &mut old, HIGH | 8);
    t!(SYS_rt_sigpending, &mut old, HIGH);
    t!(SYS_rt_sigtimedwait, &0u64, 0, &[0u64; 2], HIGH | 8);
}

fn scheduling() {
    t!(SYS_getpriority, HIGH, HIGH);
    in_child(|| {
        t!(SYS_setpriority, HIGH, HIGH, wide(5));
        t!(SYS_getpriority, PRIO_PROCESS, 0);
        t!(SYS_sched_setscheduler, HIGH, wide(SCHED_BATCH), &0i32);
        t!(SYS_sched_getscheduler, HIGH);
        t!(SYS_sched_setparam, HIGH, &0i32);
        t!(SYS_sched_setparam, HIGH | 0x8000_0000, &0i32);
    });
    let mut mask = [0u64; 16];
    o!(SYS_sched_getaffinity, HIGH, HIGH | 128, &mut mask);
    o!(SYS_sched_getaffinity, 0, HIGH, &mut mask);
    o!(SYS_sched_setaffinity, HIGH, HIGH | 128, &mask);
    t!(SYS_sched_setaffinity, 0, HIGH, &mask);
    let mut attr = [0u32; 14];
    t!(SYS_sched_getattr, HIGH, &mut attr, HIGH | 48, HIGH);
    t!(SYS_sched_get_priority_max, wide(SCHED_FIFO));
    t!(SYS_sched_get_priority_max, wide(99));
}

fn io_priorities() {
    for value in [
        0x4005u64,
        0x1_4005,
        0x7fff_4006,
        0x8000_4007,
        HIGH | 0x4004,
        u64::MAX << 16 | 0x6000,
        0x1_0000,
        0x1_0005,
        0x1_a000,
        0x1_4015,
        0x1_2004,
    ] {
        let ret = [sc!(SYS_ioprio_set, wide(1), HIGH, value), sc!(SYS_ioprio_get, wide(1), HIGH)];
        println!("{value:x}: {ret:?}");
    }
    t!(SYS_ioprio_set, 7, 0, 0x1_4005);
}

fn limits_and_ids() {
    let mut pair = [0u64; 2];
    t!(SYS_getrlimit, wide(RLIMIT_NOFILE as i32), &mut pair);
    t!(SYS_getrlimit, HIGH | 16, &mut pair);
    t!(SYS_prlimit64, HIGH, wide(RLIMIT_NOFILE as i32), 0, &mut pair);
    v!(pair[0]);
    let mut usage: rusage = zeroed();
    t!(SYS_getrusage, wide(RUSAGE_SELF), &mut usage);
    t!(SYS_getrusage, wide(RUSAGE_CHILDREN), &mut usage);
    t!(SYS_getrusage, wide(5), &mut usage);
    let me = sc!(SYS_getpid).0 as i32;
    v!(sc!(SYS_getpgid, HIGH) == sc!(SYS_getpgid, wide(me)));
    v!(sc!(SYS_getsid, HIGH) == sc!(SYS_getsid, wide(me)));
    t!(SYS_setpgid, HIGH, HIGH);
    in_child(|| {
        let ids = [sc!(SYS_getuid).0 as i32, sc!(SYS_getgid).0 as i32];
        t!(SYS_setresuid, wide(ids[0]), wide(-1), u64::MAX);
        t!(SYS_setresgid, wide(ids[1]), wide(-1), u64::MAX);
        t!(SYS_setuid, wide(-1));
        t!(SYS_setgid, wide(-1));
        t!(SYS_setgroups, HIGH, 0);
        t!(SYS_getgroups, HIGH | 0x8000_0000, 0);
        o!(SYS_getgroups, HIGH, 0);
    });
}

// --- time ---

fn clocks_and_timers() {
    let mut now = [0u64; 2];
    t!(SYS_clock_gettime, wide(CLOCK_MONOTONIC), &mut now);
    t!(SYS_clock_gettime, wide(99), &mut now);
    t!(SYS_clock_getres, wide(CLOCK_MONOTONIC), &mut now);
    v!(now);
    t!(SYS_clock_nanosleep, wide(CLOCK_MONOTONIC), HIGH, &[0u64, 1], 0);
    t!(SYS_clock_nanosleep, CLOCK_MONOTONIC, wide(TIMER_ABSTIME), &[0u64, 1], 0);
    ignore(SIGALRM);
    let mut id = 0i32;
    t!(SYS_timer_create, wide(CLOCK_MONOTONIC), 0, &mut id);
    let time = [0u64, 0, 1000, 0];
    t!(SYS_timer_settime, wide(id), HIGH, &time, 0);
    t!(SYS_timer_settime, wide(id), wide(TIMER_ABSTIME), &time, 0);
    t!(SYS_timer_gettime, wide(id), &mut [0u64; 4]);
    t!(SYS_timer_getoverrun, wide(id));
    t!(SYS_timer_delete, wide(id));
    t!(SYS_timer_delete, id);
    let fd = must!(SYS_timerfd_create, wide(CLOCK_MONOTONIC), wide(TFD_NONBLOCK)).fd();
    t!(SYS_timerfd_settime, wide(fd), HIGH, &time, 0);
    t!(SYS_timerfd_settime, fd, HIGH | 8, &time, 0);
    o!(SYS_timerfd_create, HIGH | 1, HIGH | 1);
    t!(SYS_getitimer, wide(ITIMER_VIRTUAL), &mut [0u64; 4]);
    t!(SYS_setitimer, wide(ITIMER_VIRTUAL), &[0u64; 4], 0);
    t!(SYS_getitimer, HIGH | 3, &mut [0u64; 4]);
    t!(SYS_alarm, HIGH);
    t!(SYS_alarm, HIGH | 5000);
    v!(sc!(SYS_alarm, 0).0 > 4000);
}

/// What only reads the clock. As another user than root, also what would set it.
fn clock_adjustment() {
    let ask = |modes: u64| {
        let mut timex = [0u64; 26];
        timex[0] = modes;
        let ret = [sc!(SYS_adjtimex, &mut timex), sc!(SYS_clock_adjtime, wide(CLOCK_REALTIME), &mut timex)];
        println!("{modes:x}: {:?} {}", ret.map(Ret::ok), timex[11]);
    };
    for modes in [0, HIGH, HUGE, 0xa001, HIGH | 0xa001, 0xa000, 0x8000, 0xe001, 0xa003, 0x8000_a001] {
        ask(modes);
    }
    v!(unprivileged(|| {
        for modes in [0xa001, 0x8001, 0x2000, 0x2001, 1, 0xa101, 0x8101, 0x8100, 0x100, 0xffff_ffff, 0x8000_0000, HIGH | 1] {
            ask(modes);
        }
    }));
    let mut timex = [0u64; 26];
    t!(SYS_clock_adjtime, CLOCK_MONOTONIC, &mut timex);
    timex[0] = 0xa001;
    t!(SYS_clock_adjtime, CLOCK_MONOTONIC, &mut timex);
}

fn waits() {
    let (r, w) = pipe();
    let mut files = [pollfd { fd: r, events: POLLIN, revents: 0 }];
    t!(SYS_poll, 0, 0, HIGH);
    t!(SYS_poll, &mut files, 1, HIGH);
    t!(SYS_poll, &mut files, HIGH | 1, HIGH | 1);
    t!(SYS_poll, &mut files, HIGH, HIGH);
    t!(SYS_ppoll, &mut files, HIGH | 1, &[0u64; 2], 0, 8);
    t!(SYS_ppoll, &mut files, 1, &[0u64; 2], &0u64, HIGH | 8);
    let mut set = [1u64 << r; 16];
    t!(SYS_select, HIGH, &mut set, 0, 0, &[0u64; 2]);
    t!(SYS_select, wide(r + 1), &mut set, 0, 0, &[0u64; 2]);
    t!(SYS_select, wide(-1), &mut set, 0, 0, &[0u64; 2]);
    t!(SYS_pselect6, wide(r + 1), &mut set, 0, 0, &[0u64; 2], 0);
    let poll = must!(SYS_epoll_create1, 0).fd();
    let event = epoll_event { events: EPOLLIN as u32, u64: 0 };
    must!(SYS_epoll_ctl, poll, EPOLL_CTL_ADD, r, &event);
    let mut events = [event; 4];
    t!(SYS_epoll_wait, poll, &mut events, HIGH, 0);
    t!(SYS_epoll_wait, poll, &mut events, HIGH | 1, HIGH);
    t!(SYS_epoll_wait, poll, &mut events, HIGH | 0x8000_0001, 0);
    t!(SYS_epoll_pwait, poll, &mut events, HIGH | 1, HIGH, 0, HIGH | 8);
    t!(SYS_epoll_pwait, poll, &mut events, 1, 0, &0u64, HIGH | 8);
    put(w, b"x");
    t!(SYS_epoll_wait, poll, &mut events, 1, wide(-1));
    t!(SYS_poll, &mut files, 1, wide(-1));
}

// --- sockets and IPC ---

fn sockets() {
    let fd = must!(SYS_socket, wide(AF_UNIX), wide(SOCK_STREAM), HIGH).fd();
    o!(SYS_socket, HIGH, SOCK_STREAM, 0);
    o!(SYS_socket, HUGE | 1, SOCK_STREAM, 0);
    o!(SYS_socket, AF_UNIX, HIGH, 0);
    o!(SYS_socket, wide(-1), SOCK_STREAM, 0);
    o!(SYS_socket, AF_UNIX, SOCK_STREAM, HIGH | 7);
    let mut ends = [0i32; 2];
    t!(SYS_socketpair, wide(AF_UNIX), wide(SOCK_DGRAM), HIGH, &mut ends);
    let one = 1i32;
    t!(SYS_setsockopt, fd, wide(SOL_SOCKET), wide(SO_PASSCRED), &one, HIGH | 4);
    t!(SYS_setsockopt, fd, SOL_SOCKET, SO_PASSCRED, &one, HIGH);
    t!(SYS_setsockopt, fd, SOL_SOCKET, SO_PASSCRED, &one, HIGH | 0x8000_0000);
    let (mut value, mut len) = (0i32, 4i32);
    t!(SYS_getsockopt, wide(fd), wide(SOL_SOCKET), wide(SO_PASSCRED), &mut value, &mut len);
    v!((value, len));
    let name = b"\x01\0name\0";
    t!(SYS_bind, fd, name, HIGH);
    t!(SYS_bind, fd, name, HIGH | 7);
    t!(SYS_listen, wide(fd), HIGH | 1);
    let other = must!(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0).fd();
    t!(SYS_connect, other, name, HIGH);
    t!(SYS_connect, other, name, HIGH | 7);
    o!(SYS_accept4, fd, 0, 0, wide(SOCK_CLOEXEC));
    t!(SYS_accept4, fd, 0, 0, HIGH | 1);
    t!(SYS_shutdown, other, wide(SHUT_WR));
    t!(SYS_shutdown, other, HIGH | 3);
    t!(SYS_sendto, ends[0], name, 4, 0, name, HIGH);
    t!(SYS_sendto, ends[0], name, 4, 0, name, HIGH | 7);
}

fn ipc_semaphores() {
    let id = must!(SYS_semget, HIGH, HIGH | 2, wide(IPC_CREAT | 0o600)).fd();
    t!(SYS_semctl, wide(id), HIGH | 1, wide(SETVAL), HIGH | 3);
    t!(SYS_semctl, id, 1, GETVAL, 0);
    t!(SYS_semctl, id, 1, SETVAL, HIGH | 0x8000_0000);
    t!(SYS_semctl, id, HIGH | 2, GETVAL, 0);
    t!(SYS_semctl, id, 0, HIGH | 99, 0);
    let operations = [sembuf { sem_num: 0, sem_op: 1, sem_flg: 0 }];
    t!(SYS_semop, wide(id), &operations, HIGH | 1);
    t!(SYS_semop, id, &operations, HIGH);
    t!(SYS_semtimedop, id, &operations, HIGH | 501, 0);
    t!(SYS_semctl, id, 0, wide(GETVAL), 0);
    t!(SYS_semctl, id, 0, wide(IPC_RMID), 0);
    t!(SYS_semctl, id, 0, GETVAL, 0);
}

fn ipc_messages() {
    let id = must!(SYS_msgget, HIGH, wide(IPC_CREAT | 0o600)).fd();
    let mut message = [1u64; 4];
    t!(SYS_msgsnd, wide(id), &message, 8, HIGH);
    t!(SYS_msgsnd, id, &message, HIGH | 8, 0);
    t!(SYS_msgsnd, id, &message, HUGE, 0);
    t!(SYS_msgrcv, id, &mut message, HUGE, 0, 0);
    t!(SYS_msgrcv, id, &mut message, 8, HIGH | 1, wide(IPC_NOWAIT));
    t!(SYS_msgrcv, id, &mut message, HIGH | 8, 1, wide(IPC_NOWAIT));
    message[0] = HUGE;
    t!(SYS_msgsnd, id, &message, 8, 0);
    message[0] = HIGH;
    t!(SYS_msgsnd, id, &message, 8, 0);
    t!(SYS_msgrcv, id, &mut message, 8, -1, IPC_NOWAIT);
    t!(SYS_msgrcv, id, &mut message, 8, HUGE, IPC_NOWAIT);
    v!(message[0]);
    let mut state: msqid_ds = zeroed();
    t!(SYS_msgctl, id, wide(IPC_STAT), &mut state);
    t!(SYS_msgctl, id, HIGH | 99, &mut state);
    t!(SYS_msgctl, wide(id), wide(IPC_RMID), 0);
}

fn ipc_memory() {
    let id = must!(SYS_shmget, HIGH, PAGE, wide(IPC_CREAT | 0o600)).fd();
    o!(SYS_shmget, IPC_PRIVATE, HUGE, IPC_CREAT | 0o600);
    let at = o!(SYS_shmat, wide(id), 0, wide(SHM_RDONLY)).addr();
    v!(store(at, 1));
    let mut state: shmid_ds = zeroed();
    t!(SYS_shmctl, id, wide(IPC_STAT), &mut state);
    v!(state.shm_nattch);
    t!(SYS_shmctl, id, HIGH | 99, &mut state);
    t!(SYS_shmctl, wide(id), wide(IPC_RMID), 0);
}

// --- terminals ---

fn terminal_requests() {
    let (m, s) = pair();
    for fd in [s, m] {
        t!(SYS_ioctl, fd, TCFLSH, HIGH);
        t!(SYS_ioctl, fd, TCFLSH, wide(TCIOFLUSH));
        t!(SYS_ioctl, fd, TCFLSH, HUGE);
        t!(SYS_ioctl, fd, HIGH | TCFLSH, TCIFLUSH);
        t!(SYS_ioctl, fd, TCSBRK, HIGH);
        t!(SYS_ioctl, fd, TCSBRK, HIGH | 1);
        t!(SYS_ioctl, fd, TCSBRKP, HIGH);
        t!(SYS_ioctl, fd, TCSBRKP, HUGE);
    }
    t!(SYS_ioctl, s, TCXONC, HIGH);
    t!(SYS_ioctl, s, TCXONC, wide(TCOON));
    t!(SYS_ioctl, s, TCXONC, HUGE | 1);
    t!(SYS_ioctl, m, TIOCSIG, HIGH);
    t!(SYS_ioctl, m, TIOCSIG, wide(SIGINT));
    t!(SYS_ioctl, s, TIOCSIG, wide(SIGINT));
    t!(SYS_ioctl, m, TIOCSIG, wide(SIGTERM));
    o!(SYS_ioctl, m, TIOCGPTPEER, wide(O_RDWR | O_NOCTTY));
}

fn controlling_terminal() {
    let (_m, s) = pair();
    v!(in_child(|| {
        must!(SYS_setsid);
        t!(SYS_ioctl, s, TIOCSCTTY, HIGH);
        for arg in [HIGH, HIGH | 2, 2, HIGH | 1, HUGE | 1] {
            let stolen = in_child(|| {
                must!(SYS_setsid);
                println!("{arg:x}: {}", sc!(SYS_ioctl, s, TIOCSCTTY, arg));
            });
            v!(stolen);
        }
    }));
}

// --- texts ---

const NUMBERS: &[&str] = &[
    "99999999999",
    "-99999999999",
    "2147483648",
    "-2147483649",
    "18446744073709551616",
    "-9223372036854775809",
    "x",
    "",
    "\n",
    "7x",
    "7 8",
    " 7\n",
    "7\n\n",
    "7\0",
    "+7",
    "-0",
    "--7",
    "0x11",
    "010",
    "09",
    "0x",
];

fn write_number(path: &str, number: &str) -> Ret {
    let fd = open(&c(path), O_WRONLY);
    let ret = sc!(SYS_write, fd, number.as_bytes(), number.len());
    close(fd);
    ret
}

fn write_numbers(name: &str, numbers: &[&str]) {
    let path = format!("/proc/self/{name}");
    for number in numbers {
        println!("{name} {number:?}: {} {:?}", write_number(&path, number), content(&path));
    }
}

fn numbers_of_a_process() {
    // Without the right to undo what makes the process a worse candidate.
    v!(unprivileged(|| {
        must!(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
        for name in ["oom_score_adj", "oom_adj", "timerslack_ns", "coredump_filter"] {
            write_numbers(name, NUMBERS);
        }
        write_numbers("oom_score_adj", &["1001", "-1001", "-1", "0", "1000"]);
        write_numbers("oom_adj", &["16", "-18", "-1", "0", "15"]);
        write_numbers("oom_score_adj", &["0", "-1"]);
    }));
}

/// Numbers that these settings never take, and their own, so that the host keeps what it has.
fn numbers_of_the_system() {
    if !is_root() {
        return println!("only as root");
    }
    for name in ["fs/protected_symlinks", "kernel/pid_max", "vm/overcommit_memory"] {
        let path = format!("/proc/sys/{name}");
        let own: u64 = std::fs::read_to_string(&path).unwrap_or_default().trim().parse().unwrap_or(0);
        let same = [format!("{own}"), format!(" {own}\n\n"), format!("{own:#x}"), format!("0{own:o}"), format!("{own}\0"), format!("+{own}")];
        for number in ["99999999999", "-99999999999", "18446744073709551616", "x", "0x", "-", "+", "--1"] {
            println!("{name} {number}: {}", write_number(&path, number));
        }
        for (form, number) in same.iter().enumerate() {
            println!("{name} form {form}: {}", write_number(&path, number).ok());
        }
    }
}
