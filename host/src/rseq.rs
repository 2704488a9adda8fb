//! Restartable sequences: the C library registers an area for each thread (rseq(2), glibc 2.35). A
//! copy of the thread in another process must give it up, since the host would kill the process for
//! an area that is not there.

pub const FLAG_UNREGISTER: u64 = 1;
/// What the C library registers areas with, on x86.
pub const SIGNATURE: u64 = 0x5305_3053;

unsafe extern "C" {
    static __rseq_offset: isize;
    static __rseq_size: u32;
}

/// Where the calling thread's area is, and the lengths that it may have been registered with: the
/// host takes the right one only. None if the library registered none.
pub fn area() -> Option<(u64, [u64; 2])> {
    // SAFETY: constants of the library.
    let (offset, size) = unsafe { (__rseq_offset, __rseq_size) };
    let thread_pointer: u64;
    // SAFETY: by the ABI, the first word there is its own address.
    unsafe { std::arch::asm!("mov {}, fs:0", out(reg) thread_pointer) };
    (size != 0).then_some((thread_pointer.wrapping_add(offset as u64), [32, u64::from(size)]))
}
