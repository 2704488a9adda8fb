//! Work and depth by the guest's numbers: chains and layers of epoll files, nested mounts, one call
//! over terabytes, transfers without end.

use crate::Verdict;
use crate::tools::*;
use std::time::{Duration, Instant};

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// As many descriptors as there may be.
fn many_descriptors() {
    // SAFETY: a structure of numbers.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        must("getrlimit", i64::from(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit)));
        limit.rlim_cur = limit.rlim_max;
        must("setrlimit", i64::from(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)));
    }
}

fn epoll() -> i32 {
    // SAFETY: a number.
    must("epoll_create1", i64::from(unsafe { libc::epoll_create1(0) })) as i32
}

/// 0 or the error's number.
fn watch(watcher: i32, watched: i32) -> i32 {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    // SAFETY: the event is a structure of ours.
    if unsafe { libc::epoll_ctl(watcher, libc::EPOLL_CTL_ADD, watched, &raw mut event) } == 0 { 0 } else { errno() }
}

fn pipe() -> [i32; 2] {
    let mut ends = [0; 2];
    // SAFETY: two ints.
    must("pipe", i64::from(unsafe { libc::pipe(ends.as_mut_ptr()) }));
    ends
}

/// A chain of epoll files, built from its top and from its bottom: no longer than five, and woken
/// from its end.
pub fn epoll_chain() -> Verdict {
    many_descriptors();
    for from_top in [true, false] {
        let mut files = vec![epoll()];
        while files.len() < 3000 {
            let (last, next) = (files[files.len() - 1], epoll());
            match if from_top { watch(last, next) } else { watch(next, last) } {
                0 => files.push(next),
                libc::ELOOP => break,
                other => return Err(format!("error {other} in the place of ELOOP")),
            }
        }
        if files.len() != 5 {
            return Err(format!("a chain of {} epoll files", files.len()));
        }
        if !from_top {
            files.reverse();
        }
        let [reader, writer] = pipe();
        if watch(files[4], reader) != 0 {
            return Err("the last of a chain watches nothing".into());
        }
        // SAFETY: a byte of ours, and an event of ours.
        unsafe {
            must("write", libc::write(writer, [1u8].as_ptr().cast(), 1) as i64);
            let mut event: libc::epoll_event = std::mem::zeroed();
            if libc::epoll_wait(files[0], &raw mut event, 1, 0) != 1 {
                return Err("the first of a chain was not woken".into());
            }
        }
    }
    Ok(())
}

/// Layers of epoll files, each watching all of the next layer: a file must not wake the top in
/// thousands of ways.
pub fn epoll_layers() -> Verdict {
    const WIDTH: usize = 40;
    many_descriptors();
    let [reader, _writer] = pipe();
    let layers: Vec<Vec<i32>> = (0..3).map(|_| (0..WIDTH).map(|_| epoll()).collect()).collect();
    for pair in layers.windows(2) {
        for (&above, &below) in pair[0].iter().flat_map(|above| pair[1].iter().map(move |below| (above, below))) {
            if watch(above, below) != 0 {
                return Err(format!("error {} where no file is woken yet", errno()));
            }
        }
    }
    let refused = layers[2].iter().filter(|&&bottom| watch(bottom, reader) == libc::EINVAL).count();
    if refused == 0 { Err("a file wakes the top in 64,000 ways".into()) } else { Ok(()) }
}

/// Thousands of mounts, each in the one before, taken off at once.
pub fn nested_mounts() -> Verdict {
    const DEPTH: usize = 3000;
    let mount = |place: &std::ffi::CStr| {
        // SAFETY: strings that end with NUL.
        unsafe { libc::mount(c"none".as_ptr(), place.as_ptr(), c"tmpfs".as_ptr(), 0, c"size=64k".as_ptr().cast()) }
    };
    std::fs::create_dir_all("/tmp/nest").map_err(|e| e.to_string())?;
    must("mount", i64::from(mount(c"/tmp/nest")));
    std::env::set_current_dir("/tmp/nest").map_err(|e| e.to_string())?;
    for _ in 0..DEPTH {
        std::fs::create_dir("d").map_err(|e| e.to_string())?;
        must("mount", i64::from(mount(c"d")));
        std::env::set_current_dir("d").map_err(|e| e.to_string())?;
    }
    // What shows them all must not grow with the square of the depth.
    let shown = std::fs::read("/proc/self/mountinfo").map_err(|e| e.to_string())?.len();
    std::env::set_current_dir("/").map_err(|e| e.to_string())?;
    // SAFETY: a string that ends with NUL.
    must("umount2", i64::from(unsafe { libc::umount2(c"/tmp/nest".as_ptr(), libc::MNT_DETACH) }));
    let left = std::fs::read_to_string("/proc/self/mounts").map_err(|e| e.to_string())?;
    match left.contains("/tmp/nest") {
        true => Err("mounts are left".into()),
        false if shown > DEPTH * 5000 => Err(format!("{shown} bytes of text")),
        false => Ok(()),
    }
}

/// mincore(2) over terabytes, into memory that is not there.
pub fn huge_mincore() -> Verdict {
    for bits in (30..46).rev() {
        let len = 1usize << bits;
        let (prot, flags) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
        // SAFETY: a new mapping, which nothing else uses; mincore is given an address that is not
        // mapped.
        unsafe {
            let at = libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0);
            if at == libc::MAP_FAILED {
                continue;
            }
            let result = libc::mincore(at, len, 0x1000 as *mut u8);
            return match (result, errno()) {
                (-1, libc::EFAULT) => Ok(()),
                other => Err(format!("{other:?} in the place of EFAULT")),
            };
        }
    }
    Err("nothing can be mapped".into())
}

fn open(path: &std::ffi::CStr, flags: i32) -> i32 {
    // SAFETY: a string that ends with NUL.
    must("open", i64::from(unsafe { libc::open(path.as_ptr(), flags | libc::O_NOCTTY) })) as i32
}

/// One call that moves gigabytes: others run meanwhile, and SIGKILL ends it.
pub fn long_transfers() -> Verdict {
    const ALL: usize = 0x7fff_f000;
    let send = |to: &std::ffi::CStr, from: &std::ffi::CStr| {
        let (to, from) = (open(to, libc::O_RDWR), open(from, libc::O_RDONLY));
        // SAFETY: numbers.
        unsafe { libc::sendfile(to, from, std::ptr::null_mut(), ALL) };
    };
    let vector = |path: &std::ffi::CStr, write: bool| {
        let file = open(path, if write { libc::O_WRONLY } else { libc::O_RDONLY });
        let mut bytes = vec![0u8; 2 << 20];
        let segment = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let segments = vec![segment; 1023];
        // SAFETY: the segments are all of a buffer of ours, in which nobody looks.
        unsafe {
            match write {
                true => libc::writev(file, segments.as_ptr(), 1023),
                false => libc::readv(file, segments.as_ptr(), 1023),
            }
        };
    };
    let transfers: [&dyn Fn(); 4] = [
        &|| send(c"/dev/ptmx", c"/dev/zero"),
        &|| send(c"/dev/null", c"/dev/urandom"),
        &|| vector(c"/dev/urandom", false),
        &|| vector(c"/dev/random", true),
    ];
    for (number, transfer) in transfers.iter().enumerate() {
        let child = start_child(|| {
            transfer();
            Ok(())
        });
        std::thread::sleep(Duration::from_millis(100));
        // SAFETY: numbers.
        must("kill", i64::from(unsafe { libc::kill(child, libc::SIGKILL) }));
        let killed = Instant::now();
        wait_for(child);
        // Far more than it takes, and far less than the transfer does.
        if killed.elapsed() > Duration::from_secs(3) {
            return Err(format!("transfer {number} went on for {:?} after SIGKILL", killed.elapsed()));
        }
    }
    Ok(())
}
