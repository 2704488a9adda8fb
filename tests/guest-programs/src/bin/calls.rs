//! So many system calls that do nothing, by the C library: `calls NUMBER`.

fn main() {
    let count: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).expect("a number");
    for _ in 0..count {
        // SAFETY: no arguments.
        unsafe { libc::getppid() };
    }
}
