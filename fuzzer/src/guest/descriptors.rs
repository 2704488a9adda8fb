//! The descriptors of a process by kind, those that it begins with and those that its calls made.
//!
//! One that was closed stays here: using it again is what a hostile program does.

use anyhow::{Result, bail};
use std::ffi::CStr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::Relaxed};
use umlab_fuzzer::program::FdKind;

const KINDS: usize = FdKind::ALL.len();
const EACH: usize = 6;

/// How many of a kind there were, and the last of them; the first stays.
static MADE: [AtomicU32; KINDS] = [const { AtomicU32::new(0) }; KINDS];
static TABLE: [[AtomicI32; EACH]; KINDS] = [const { [const { AtomicI32::new(-1) }; EACH] }; KINDS];

pub fn add(kind: FdKind, descriptor: i64) {
    if descriptor < 0 {
        return;
    }
    let n = MADE[kind as usize].fetch_add(1, Relaxed) as usize;
    let slot = if n < EACH { n } else { 1 + n % (EACH - 1) };
    TABLE[kind as usize][slot].store(descriptor as i32, Relaxed);
}

pub fn find(kind: FdKind, n: u8) -> i32 {
    match (MADE[kind as usize].load(Relaxed) as usize).min(EACH) {
        0 => -1,
        filled => TABLE[kind as usize][usize::from(n) % filled].load(Relaxed),
    }
}

/// Opens those that all processes begin with, in the current directory, which is made for it. A
/// kernel that lacks some of them is asked with the others. Returns the file to map.
pub fn begin(compared: bool) -> Result<i32> {
    use libc::*;
    // SAFETY: strings are constants, pointers are to locals that are large enough.
    unsafe {
        let path = |path: &'static CStr| path.as_ptr();
        umask(0o022);
        for (name, size) in [(c"a", 5000), (c"b", 300), (c"m", 6 * 4096 + 2048)] {
            let file = open(path(name), O_RDWR | O_CREAT | O_TRUNC, 0o666);
            if file < 0 {
                bail!("no files: {}", std::io::Error::last_os_error());
            }
            let contents: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
            write(file, contents.as_ptr().cast(), contents.len());
            fchmod(file, 0o666);
            close(file);
        }
        mkdir(path(c"d"), 0o777);
        mkdir(path(c"d/e"), 0o777);
        chmod(path(c"d"), 0o777);
        link(path(c"a"), path(c"d/x"));
        symlink(path(c"a"), path(c"link"));
        symlink(path(c"loop"), path(c"loop"));
        mknod(path(c"pipe"), S_IFIFO | 0o666, 0);

        let file = open(path(c"m"), O_RDWR);
        add(FdKind::File, open(path(c"a"), O_RDWR).into());
        add(FdKind::File, open(path(c"b"), O_RDWR | O_APPEND).into());
        add(FdKind::File, file.into());
        add(FdKind::Dir, open(path(c"."), O_RDONLY).into());
        add(FdKind::Dir, open(path(c"d"), O_RDONLY).into());
        add(FdKind::Place, open(path(c"d"), O_PATH).into());
        add(FdKind::Device, open(path(c"/dev/zero"), O_RDWR).into());
        add(FdKind::Device, open(path(c"/dev/null"), O_RDWR).into());
        // Of each pair one that blocks, unless nobody would interrupt it.
        for flags in [O_NONBLOCK, if compared { O_NONBLOCK } else { 0 }] {
            let mut ends = [-1; 2];
            pipe2(ends.as_mut_ptr(), flags);
            add(FdKind::PipeRead, ends[0].into());
            add(FdKind::PipeWrite, ends[1].into());
            for (kind, style) in [(FdKind::Stream, SOCK_STREAM), (FdKind::Datagram, SOCK_DGRAM)] {
                let mut ends = [-1; 2];
                socketpair(AF_UNIX, style | flags, 0, ends.as_mut_ptr());
                ends.into_iter().for_each(|end| add(kind, end.into()));
            }
        }
        let listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        let address = sockaddr_un {
            sun_family: AF_UNIX as u16,
            sun_path: std::array::from_fn(|n| if n < 3 { b'l' as i8 } else { 0 }),
        };
        let len = std::mem::size_of::<sockaddr_un>() as u32;
        bind(listener, (&raw const address).cast(), len);
        listen(listener, 4);
        let caller = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(caller, (&raw const address).cast(), len);
        add(FdKind::Listener, listener.into());
        add(FdKind::Stream, caller.into());
        add(FdKind::Event, eventfd(3, EFD_NONBLOCK).into());
        let epoll = epoll_create1(0);
        add(FdKind::Epoll, epoll.into());
        add(FdKind::Epoll, epoll_create1(0).into());
        let mut event = epoll_event { events: (EPOLLIN | EPOLLET) as u32, u64: 7 };
        epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &raw mut event);
        add(FdKind::Timer, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK).into());
        let mut set: sigset_t = std::mem::zeroed();
        sigaddset(&raw mut set, SIGUSR1);
        add(FdKind::Signal, signalfd(-1, &raw const set, SFD_NONBLOCK).into());
        let memory = memfd_create(path(c"memory"), MFD_ALLOW_SEALING);
        write(memory, [7_u8; 3 * 4096 + 1000].as_ptr().cast(), 3 * 4096 + 1000);
        add(FdKind::Memory, memory.into());
        let inotify = inotify_init1(IN_NONBLOCK);
        // Moves have a number that the whole machine counts on.
        let moves = if compared { IN_MOVE } else { 0 };
        inotify_add_watch(inotify, path(c"."), IN_ALL_EVENTS & !moves);
        add(FdKind::Inotify, inotify.into());
        if !compared {
            let master = open(path(c"/dev/ptmx"), O_RDWR | O_NONBLOCK | O_NOCTTY);
            add(FdKind::Master, master.into());
            unlockpt(master);
            let mut name = [0; 64];
            if ptsname_r(master, name.as_mut_ptr(), name.len()) == 0 {
                add(FdKind::Terminal, open(name.as_ptr(), O_RDWR | O_NOCTTY | O_NONBLOCK).into());
            }
        }
        Ok(file)
    }
}
