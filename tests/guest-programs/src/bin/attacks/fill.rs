//! Fillers of memory: each asks for more and more of one thing, until it is refused or has had
//! enough. The test looks at what the host had to give for it.

use crate::Verdict;
use crate::tools::*;
use std::ffi::CString;

fn path(text: String) -> CString {
    CString::new(text).expect("a path without NUL")
}

/// Calls `more` with rising numbers until it fails, at most `enough` times. Fails unless that was
/// for lack of something.
fn fill(enough: u64, mut more: impl FnMut(u64) -> i64) -> Verdict {
    for i in 0..enough {
        if more(i) < 0 {
            let error = std::io::Error::last_os_error();
            let expected =
                [libc::ENOSPC, libc::ENOMEM, libc::EMFILE, libc::ENFILE, libc::EAGAIN, libc::ENOLCK, libc::ENOBUFS];
            return match expected.contains(&error.raw_os_error().unwrap_or(0)) {
                true => Ok(()),
                false => Err(format!("refused after {i} with {error}")),
            };
        }
    }
    Ok(())
}

fn in_new_directory(name: &str) {
    std::fs::create_dir_all(name).expect("a new directory");
    std::env::set_current_dir(name).expect("a directory of ours");
}

/// Names of one file.
pub fn links() -> Verdict {
    in_new_directory("/tmp/links");
    std::fs::write("f", b"").map_err(|e| e.to_string())?;
    // SAFETY: strings that end with NUL; likewise below.
    fill(2_000_000, |i| i64::from(unsafe { libc::link(c"f".as_ptr(), path(format!("{i:0240}")).as_ptr()) }))
}

/// Symbolic links.
pub fn symlinks() -> Verdict {
    in_new_directory("/tmp/symlinks");
    let target = path("x".repeat(4000));
    // SAFETY: as above.
    fill(2_000_000, |i| i64::from(unsafe { libc::symlink(target.as_ptr(), path(format!("{i}")).as_ptr()) }))
}

/// Directories, each with many names that do not exist.
pub fn absent_names() -> Verdict {
    fill(300, |i| {
        in_new_directory(&format!("/tmp/absent{i}"));
        for k in 0..2000 {
            // SAFETY: as above.
            unsafe { libc::access(path(format!("{k:0200}")).as_ptr(), libc::F_OK) };
        }
        0
    })
}

/// Extended attributes, by names: no descriptor is needed.
pub fn attributes() -> Verdict {
    in_new_directory("/tmp/attributes");
    let value = vec![1u8; 60_000];
    fill(200_000, |i| {
        let name = path(format!("{i}"));
        // SAFETY: as above, and a buffer of ours.
        unsafe {
            match libc::mkdir(name.as_ptr(), 0o700) {
                0 => {
                    i64::from(libc::setxattr(name.as_ptr(), c"user.a".as_ptr(), value.as_ptr().cast(), value.len(), 0))
                }
                _ => -1,
            }
        }
    })
}

/// One large directory, opened and read from many times.
pub fn open_directories() -> Verdict {
    in_new_directory("/tmp/open");
    for i in 0..2000 {
        std::fs::write(format!("{i:0200}"), b"").map_err(|e| e.to_string())?;
    }
    let mut buffer = [0u8; 512];
    fill(5000, |_| {
        // SAFETY: a string that ends with NUL, and a buffer of ours.
        unsafe {
            match libc::open(c".".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY) {
                -1 => -1,
                fd => libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()),
            }
        }
    })
}

/// Watches of files that all exist.
pub fn watches() -> Verdict {
    in_new_directory("/tmp/watches");
    let names: Vec<CString> = (0..500).map(|i| path(format!("{i}"))).collect();
    for i in 0..names.len() {
        std::fs::write(format!("{i}"), b"").map_err(|e| e.to_string())?;
    }
    // SAFETY: numbers.
    let readers: Vec<i32> = (0..1000).map(|_| unsafe { libc::inotify_init() }).filter(|fd| *fd >= 0).collect();
    fill((readers.len() * names.len()) as u64, |i| {
        let (reader, name) = (readers[i as usize / names.len()], &names[i as usize % names.len()]);
        // SAFETY: a string that ends with NUL.
        unsafe { i64::from(libc::inotify_add_watch(reader, name.as_ptr(), libc::IN_ALL_EVENTS)) }
    })
}

/// Tables of descriptors with one high number, in many processes.
pub fn descriptor_tables() -> Verdict {
    // SAFETY: numbers, and a structure of numbers.
    unsafe {
        let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
        must("setrlimit", i64::from(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)));
        let children = std::cell::RefCell::new(Vec::new());
        let verdict = fill(400, |_| {
            let child = libc::fork();
            match child {
                -1 => return -1,
                0 => {
                    libc::dup2(0, (1 << 20) - 1);
                    libc::pause();
                    exit(0);
                }
                _ => children.borrow_mut().push(child),
            }
            0
        });
        for child in children.into_inner() {
            libc::kill(child, libc::SIGKILL);
            wait_for(child);
        }
        verdict
    }
}

/// Mappings that are all small enough to be given frames at once, and then touched whole: the
/// process that does it is killed.
pub fn touched_late() -> Verdict {
    const LEN: usize = 256 << 10;
    in_child(|| {
        let mut places = Vec::new();
        for _ in 0..4000 {
            let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            // SAFETY: a new mapping, which nothing else uses.
            let at = unsafe { libc::mmap(std::ptr::null_mut(), LEN, prot, flags, -1, 0) };
            if at == libc::MAP_FAILED {
                break;
            }
            places.push(at as usize);
        }
        for at in places.iter().flat_map(|at| (*at..at + LEN).step_by(PAGE)) {
            store(at, 1);
        }
        Ok(())
    });
    Ok(())
}

/// Memory of forks, each writing to its copy.
pub fn forked_copies() -> Verdict {
    const LEN: usize = 4 << 20;
    let mut bytes = vec![1u8; LEN];
    let mut children = Vec::new();
    for _ in 0..64 {
        // SAFETY: the program has one thread.
        match unsafe { libc::fork() } {
            -1 => break,
            0 => {
                (0..LEN).step_by(PAGE).for_each(|at| bytes[at] += 1);
                // SAFETY: nothing is passed.
                unsafe { libc::pause() };
                exit(0);
            }
            child => children.push(child),
        }
    }
    std::thread::sleep(std::time::Duration::from_secs(2));
    for child in children {
        // SAFETY: numbers.
        unsafe { libc::kill(child, libc::SIGKILL) };
        wait_for(child);
    }
    Ok(())
}
