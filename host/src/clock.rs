//! The host's clocks, in nanoseconds.

fn read(clock: libc::clockid_t) -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid place for the result; the clocks named below always exist.
    unsafe { libc::clock_gettime(clock, &raw mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Any clock, by its number; 0 for one that the host does not have.
pub fn get(clock: libc::clockid_t) -> u64 {
    read(clock)
}

/// CLOCK_MONOTONIC: what deadlines are counted in.
pub fn monotonic() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// CLOCK_MONOTONIC_COARSE: a tick old at most, and cheaper.
pub fn monotonic_coarse() -> u64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// CLOCK_REALTIME: nanoseconds since 1970.
pub fn realtime() -> u64 {
    read(libc::CLOCK_REALTIME)
}

/// CLOCK_REALTIME_COARSE: a tick old at most, and cheaper; used for file times, as Linux does.
pub fn realtime_coarse() -> u64 {
    read(libc::CLOCK_REALTIME_COARSE)
}

/// CLOCK_BOOTTIME.
pub fn boottime() -> u64 {
    read(libc::CLOCK_BOOTTIME)
}

/// CPU time used by another host process; None when it is gone.
pub fn process_cputime(pid: i32) -> Option<u64> {
    // How clock_getcpuclockid(3) makes the number of a process's clock.
    const BY_SCHEDULER: i32 = 2;
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid place for the result; a clock that is not there is an error.
    // The vDSO has no such clocks: it would make the call itself, from code that is not ours.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, !pid << 3 | BY_SCHEDULER, &raw mut t) };
    (result == 0).then_some(t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64)
}

/// CPU time used by the calling host thread.
pub fn thread_cputime() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: as in `read`. As above, the vDSO does not have it.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_THREAD_CPUTIME_ID, &raw mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
