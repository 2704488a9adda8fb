//! A guest that asks for the host's interface to other address spaces: `/proc/mm`, and the requests
//! that the patch in `host-patch/` adds to ptrace. It prints the answers, which must be the guest
//! kernel's own: it has ptrace, but neither of those.

use std::ffi::CStr;

fn answer(result: i64) -> String {
    if result < 0 { std::io::Error::last_os_error().to_string() } else { format!("done ({result})") }
}

fn main() {
    let names: [(&CStr, i32); 3] = [
        (c"/proc/mm", libc::O_RDWR),
        (c"/proc/mm", libc::O_WRONLY | libc::O_CREAT),
        (c"/proc/../proc/mm", libc::O_PATH),
    ];
    for (name, flags) in names {
        // SAFETY: a string that ends with a zero byte.
        let opened = unsafe { libc::open(name.as_ptr(), flags, 0o600) };
        println!("open {}: {}", name.to_string_lossy(), answer(opened.into()));
    }
    let requests = [
        ("TRACEME", 0),
        ("ATTACH", 16),
        ("SEIZE", 0x4206),
        ("FAULTINFO", 52),
        ("SIGPENDING", 53),
        ("LDT", 54),
        ("SWITCH_MM", 55),
        ("MM_RUN", 56),
    ];
    // A child is stopped, and nobody who started us.
    // SAFETY: the child only waits for a signal.
    let child = unsafe { libc::fork() };
    if child == 0 {
        loop {
            // SAFETY: no arguments.
            unsafe { libc::pause() };
        }
    }
    for (name, request) in requests {
        // SAFETY: a request that is carried out takes a number at most, and null where it takes an
        // address.
        let result = unsafe { libc::syscall(libc::SYS_ptrace, request, child, 0, 0) };
        println!("ptrace {name}: {}", answer(result));
        if name == "ATTACH" {
            // SAFETY: nothing is to be stored. The other requests are for a tracee that is stopped.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        }
    }
    // SAFETY: our own child.
    unsafe { libc::kill(child, libc::SIGKILL) };
}
