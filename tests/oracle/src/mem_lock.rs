//! Locked memory: what is locked, how it is shown, and its limits.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    locked_and_unlocked, locked_by_mmap, locked_all, locked_in_future, lock_errors, lock_on_fault, locks_bring_in,
    locks_end_with_maps, locks_and_fork, locks_and_mremap, lock_limit, lock_limit_zero, lock_limit_of_future_areas,
    advice_on_locked,
];

const MLOCK_ONFAULT: i32 = 1;

fn locked_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(usize::MAX)
}

/// Whether any mapping is shown as locked, and whether any is flagged so.
fn shown() -> (bool, bool) {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let locked = |line: &str| line.starts_with("Locked:") && !line.trim_end().ends_with(" 0 kB");
    let flagged = |line: &str| line.starts_with("VmFlags:") && line.contains(" lo ");
    (smaps.lines().any(locked), smaps.lines().any(flagged))
}

fn resident(start: usize, pages: usize) -> Vec<u8> {
    let mut vec = vec![0u8; pages];
    must!(SYS_mincore, start, pages * PAGE, &mut vec[..]);
    vec.iter().map(|byte| byte & 1).collect()
}

fn limit(bytes: u64) {
    let limit = rlimit { rlim_cur: bytes, rlim_max: bytes };
    must!(SYS_prlimit64, 0, RLIMIT_MEMLOCK, &limit, 0);
}

fn locked_and_unlocked() {
    let a = map(16 * PAGE, RW, ANON);
    v!((locked_kb(), shown()));
    t!(SYS_mlock, a, 16 * PAGE);
    v!((locked_kb(), shown()));
    t!(SYS_mlock, a + 1, PAGE);
    v!(locked_kb());
    t!(SYS_munlock, a + PAGE + 1, 1);
    t!(SYS_munlock, a + 4 * PAGE, 2 * PAGE);
    v!(locked_kb());
    t!(SYS_munlock, a, 16 * PAGE);
    v!((locked_kb(), shown()));
}

fn locked_by_mmap() {
    let a = o!(SYS_mmap, 0, 8 * PAGE, RW, ANON | MAP_LOCKED, -1, 0).addr();
    v!((locked_kb(), resident(a, 8)));
    o!(SYS_mmap, a + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    v!(locked_kb());
    let fd = file(c"f", &[1u8; 2 * PAGE]);
    o!(SYS_mmap, 0, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_LOCKED, fd, 0);
    v!(locked_kb());
}

fn locked_all() {
    t!(SYS_mlockall, MCL_CURRENT);
    v!((locked_kb() > 100, shown()));
    let before = locked_kb();
    map(4 * PAGE, RW, ANON);
    v!(locked_kb() - before);
    t!(SYS_munlockall);
    v!((locked_kb(), shown()));
}

fn locked_in_future() {
    let early = map(4 * PAGE, RW, ANON);
    t!(SYS_mlockall, MCL_FUTURE);
    v!(locked_kb());
    let a = map(4 * PAGE, RW, ANON);
    v!((locked_kb(), resident(a, 4), resident(early, 1).len()));
    let brk = must!(SYS_brk, 0).addr();
    must!(SYS_brk, brk + 4 * PAGE);
    v!(locked_kb());
    t!(SYS_mlockall, MCL_CURRENT);
    let before = locked_kb();
    map(4 * PAGE, RW, ANON);
    v!((before > 16, locked_kb() - before));
    t!(SYS_mlockall, MCL_FUTURE | MCL_ONFAULT);
    let on_fault = map(1000 * PAGE, RW, ANON);
    v!((locked_kb() - before, resident(on_fault + 900 * PAGE, 2)));
    t!(SYS_munlockall);
    map(4 * PAGE, RW, ANON);
    v!(locked_kb());
}

fn lock_errors() {
    let a = map(8 * PAGE, RW, ANON);
    must!(SYS_munmap, a + 4 * PAGE, PAGE);
    t!(SYS_mlock, a, 8 * PAGE);
    v!(locked_kb());
    t!(SYS_munlock, a, 8 * PAGE);
    v!(locked_kb());
    t!(SYS_mlock, a, 0);
    t!(SYS_mlock, a + 4 * PAGE, 0);
    t!(SYS_mlock, a, usize::MAX);
    t!(SYS_mlock, a, usize::MAX - a - PAGE);
    t!(SYS_mlock2, a, PAGE, 2);
    t!(SYS_mlockall, 0);
    t!(SYS_mlockall, 8);
    t!(SYS_mlockall, MCL_ONFAULT);
    let none = map(2 * PAGE, PROT_NONE, ANON);
    t!(SYS_mlock, none, 2 * PAGE);
    v!(locked_kb());
    let fd = file(c"f", b"short");
    let past = map_fd(fd, 2 * PAGE, PROT_READ, MAP_SHARED);
    t!(SYS_mlock, past, 2 * PAGE);
    t!(SYS_mlock, past, PAGE);
}

fn lock_on_fault() {
    let a = map(1000 * PAGE, RW, ANON);
    v!(store(a, 1));
    t!(SYS_mlock2, a, 1000 * PAGE, MLOCK_ONFAULT);
    v!((locked_kb(), resident(a + 900 * PAGE, 2)));
    t!(SYS_mlock2, a + 900 * PAGE, PAGE, 0);
    v!((locked_kb(), resident(a + 900 * PAGE, 1)));
    let none = map(PAGE, PROT_NONE, ANON);
    t!(SYS_mlock2, none, PAGE, MLOCK_ONFAULT);
}

fn locks_bring_in() {
    let a = map(300 * PAGE, RW, ANON);
    must!(SYS_mlock, a, 300 * PAGE);
    v!(resident(a, 300).iter().all(|&byte| byte == 1));
    let fd = file(c"f", &[7u8; 4 * PAGE]);
    let private = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    must!(SYS_mlock, private, 4 * PAGE);
    must!(SYS_pwrite64, fd, &[9u8], 1, 0);
    v!((load(private), resident(private, 4)));
}

fn locks_end_with_maps() {
    let a = map(8 * PAGE, RW, ANON);
    must!(SYS_mlock, a, 8 * PAGE);
    must!(SYS_munmap, a + 2 * PAGE, 2 * PAGE);
    v!(locked_kb());
    must!(SYS_mprotect, a, PAGE, PROT_READ);
    v!(locked_kb());
    must!(SYS_munmap, a, 8 * PAGE);
    v!(locked_kb());
}

fn locks_and_fork() {
    let a = map(8 * PAGE, RW, ANON);
    must!(SYS_mlock, a, 8 * PAGE);
    must!(SYS_mlockall, MCL_FUTURE);
    v!(in_child(|| {
        v!((locked_kb(), shown()));
        map(8 * PAGE, RW, ANON);
        v!(locked_kb());
    }));
    v!(locked_kb());
}

fn locks_and_mremap() {
    let a = map(16 * PAGE, RW, ANON);
    must!(SYS_munmap, a + 8 * PAGE, 8 * PAGE);
    must!(SYS_mlock, a, 8 * PAGE);
    let b = must!(SYS_mremap, a, 8 * PAGE, 12 * PAGE, MREMAP_MAYMOVE).addr();
    v!(locked_kb());
    must!(SYS_mremap, b, 12 * PAGE, 4 * PAGE, 0);
    v!(locked_kb());
}

fn lock_limit() {
    limit(8 * PAGE as u64 + 100);
    v!(unprivileged(|| {
        let a = map(16 * PAGE, RW, ANON);
        t!(SYS_mlock, a, 9 * PAGE);
        t!(SYS_mlock, a, 8 * PAGE);
        t!(SYS_mlock, a + 4 * PAGE, 4 * PAGE);
        t!(SYS_mlock, a + 4 * PAGE, 5 * PAGE);
        t!(SYS_mmap, 0, PAGE, RW, ANON | MAP_LOCKED, -1, 0);
        // The limit is looked at before the file.
        let (reader, _) = pipe();
        t!(SYS_mmap, 0, PAGE, RW, MAP_PRIVATE | MAP_LOCKED, reader, 0);
        t!(SYS_mmap, 0, PAGE, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
        // And before the kind of mapping, but after the place.
        t!(SYS_mmap, 0, PAGE, RW, MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
        t!(SYS_mmap, a, PAGE, RW, MAP_FIXED | MAP_LOCKED, reader, 0);
        t!(SYS_mmap, a + 1, PAGE, RW, MAP_FIXED | MAP_LOCKED, reader, 0);
        t!(SYS_mmap, a, PAGE, RW, ANON | MAP_FIXED_NOREPLACE | MAP_LOCKED, -1, 0);
        t!(SYS_mmap, a, PAGE, RW, MAP_FIXED_NOREPLACE, reader, 0);
        t!(SYS_mmap, a + 1, PAGE, RW, MAP_FIXED, reader, 0);
        t!(SYS_mremap, a, 8 * PAGE, 32 * PAGE, MREMAP_MAYMOVE);
        t!(SYS_munlock, a, 4 * PAGE);
        o!(SYS_mmap, 0, 4 * PAGE, RW, ANON | MAP_LOCKED, -1, 0);
        t!(SYS_mlock2, a, PAGE, MLOCK_ONFAULT);
        t!(SYS_mlockall, MCL_CURRENT);
        v!(locked_kb());
    }));
}

fn lock_limit_zero() {
    limit(0);
    v!(unprivileged(|| {
        let a = map(PAGE, RW, ANON);
        t!(SYS_mlock, a, PAGE);
        t!(SYS_mlock, a, 0);
        t!(SYS_mlock2, a, PAGE, MLOCK_ONFAULT);
        t!(SYS_mlockall, MCL_FUTURE);
        t!(SYS_munlock, a, PAGE);
        t!(SYS_munlockall);
        t!(SYS_mmap, 0, PAGE, RW, ANON | MAP_LOCKED, -1, 0);
    }));
}

fn lock_limit_of_future_areas() {
    limit(8 * PAGE as u64);
    v!(unprivileged(|| {
        t!(SYS_mlockall, MCL_FUTURE);
        o!(SYS_mmap, 0, 4 * PAGE, RW, ANON, -1, 0);
        t!(SYS_mmap, 0, 5 * PAGE, PROT_NONE, ANON, -1, 0);
        let brk = must!(SYS_brk, 0).addr();
        v!(sc!(SYS_brk, brk + 16 * PAGE).addr() == brk);
        t!(SYS_munlockall);
        o!(SYS_mmap, 0, 100 * PAGE, RW, ANON, -1, 0);
    }));
}

fn advice_on_locked() {
    let a = map(4 * PAGE, RW, ANON);
    fill(a, 4 * PAGE, 1);
    must!(SYS_mlock, a + PAGE, PAGE);
    t!(SYS_madvise, a, 4 * PAGE, MADV_DONTNEED);
    v!((load(a), load(a + PAGE), load(a + 2 * PAGE)));
    t!(SYS_msync, a, 4 * PAGE, MS_INVALIDATE);
    must!(SYS_munlock, a, 4 * PAGE);
    t!(SYS_madvise, a, 4 * PAGE, MADV_DONTNEED);
    v!((load(a), load(a + PAGE)));
}
