//! Where the address space of a guest process ends: maps the highest page there can be on x86-64
//! and writes to it, shows that the next one cannot be had, prints its mappings, and then computes
//! for as many seconds as it is told, so that it can be looked at from outside.

const END: usize = 0x7fff_ffff_f000;
const PAGE: usize = 4096;

fn map(at: usize) -> std::io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: nothing that is mapped is replaced.
    let got = unsafe { libc::mmap(at as *mut _, PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    match got {
        libc::MAP_FAILED => Err(std::io::Error::last_os_error()),
        _ if got as usize != at => Err(std::io::Error::other("it is elsewhere")),
        _ => Ok(()),
    }
}

fn main() {
    let seconds: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let last = END - PAGE;
    match map(last) {
        // SAFETY: it was mapped for us just now.
        Ok(()) => unsafe { (last as *mut u64).write_volatile(1) },
        Err(e) => println!("the last page: {e}"),
    }
    match map(END) {
        Ok(()) => println!("beyond the last page: mapped"),
        Err(e) => println!("beyond the last page: {e}"),
    }
    print!("{}", std::fs::read_to_string("/proc/self/maps").expect("our mappings"));
    println!("end of mappings");
    let start = std::time::Instant::now();
    while start.elapsed().as_secs() < seconds {}
}
