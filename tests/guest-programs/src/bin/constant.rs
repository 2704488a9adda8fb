//! Writes a constant to standard output, straight from the mapping of its own program file: once,
//! and once more in a child process. With a name it then reads the file of that name into a shared
//! mapping of NAME.copy, and writes that mapping to standard output.

use std::os::fd::AsRawFd;

static TEXT: [u8; 8] = *b"constant";

fn write(bytes: *const u8, len: usize) {
    // SAFETY: the callers' bytes, which are read only.
    let n = unsafe { libc::write(1, bytes.cast(), len) };
    assert_eq!(n, len as isize, "{}", std::io::Error::last_os_error());
}

fn through_a_mapping(name: &str) {
    let from = std::fs::File::open(name).expect("the file is there");
    let len = from.metadata().expect("it has a length").len() as usize;
    let mut options = std::fs::OpenOptions::new();
    let to = options.read(true).write(true).create(true).truncate(true).open(format!("{name}.copy")).expect("a copy");
    to.set_len(len as u64).expect("it gets its length");
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new mapping, of a file of this length, that only system calls use.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), len, prot, flags, to.as_raw_fd(), 0);
        assert_ne!(at, libc::MAP_FAILED);
        libc::sched_yield();
        assert_eq!(libc::read(from.as_raw_fd(), at, len), len as isize, "{}", std::io::Error::last_os_error());
        libc::sched_yield();
        write(at.cast(), len);
    }
}

fn main() {
    write(TEXT.as_ptr(), TEXT.len());
    // SAFETY: the child only writes and ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            write(TEXT.as_ptr(), TEXT.len());
            libc::_exit(0);
        }
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    if let Some(name) = std::env::args().nth(1) {
        through_a_mapping(&name);
    }
}
