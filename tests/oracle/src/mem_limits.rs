//! How much memory a process may have: its stack, resource limits, and the number of mappings.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] =
    cases![stack_limits, stack_limits_and_arguments, long_arguments, calls_grow_the_stack, calls_respect_the_stack_limit, address_space_and_brk, address_space_and_mmap, address_space_and_mremap, address_space_and_stack, limits_of_a_vfork_child, data_and_mmap, data_and_brk, too_many_areas, room_for_few_areas, contents_of_many_areas, room_among_many_areas,];

fn set(which: u32, soft: u64) {
    let limit = rlimit { rlim_cur: soft, rlim_max: RLIM_INFINITY };
    must!(SYS_prlimit64, 0, which, &limit, 0);
}

/// Runs /bin/true with these arguments, none of which is longer than one may be.
fn run_true(arguments: &[std::ffi::CString]) -> Text {
    let mut argv: Vec<usize> = arguments.iter().map(|a| a.as_ptr() as usize).collect();
    argv.push(0);
    in_child(|| {
        let error = sc!(SYS_execve, c"/bin/true", &argv[..], &[0usize]);
        println!("{error}");
    })
}

fn stack_limits() {
    const GIB: u64 = 1 << 30;
    const HALF: u64 = 1 << 46;
    for limit in [
        (64 << 10) + 1,
        (132 << 10) - 1,
        (8193 << 10) + 1,
        (128 << 20) + 1,
        GIB + 4097,
        HALF + 1,
        2 * HALF,
        2 * HALF + 4097,
        u64::MAX - 1,
        u64::MAX,
    ] {
        let end = in_child(|| {
            set(RLIMIT_STACK, limit);
            v!(run_true(&[c("true")]));
        });
        println!("{limit:#x}: {end:?}");
    }
}

fn stack_limits_and_arguments() {
    for limit in [0, 1 << 12, 1 << 14, 1 << 17, 1 << 18] {
        let end = in_child(|| {
            set(RLIMIT_STACK, limit);
            v!(run_true(&[c("true"), c(&"a".repeat(60_000))]));
        });
        println!("{limit:#x}: {end:?}");
    }
}

fn long_arguments() {
    v!(run_true(&vec![c(&"a".repeat((128 << 10) - 1)); 4]));
    v!(run_true(&[c(&"a".repeat(128 << 10))]));
    v!(run_true(&vec![c("1"); 100_000]));
    v!(run_true(&vec![c("1"); 300_000]));
    // The limit's quarter, or 6 MiB.
    set(RLIMIT_STACK, 64 << 20);
    v!(run_true(&vec![c("1"); 300_000]));
    v!(run_true(&vec![c("1"); 700_000]));
}

fn below_the_stack(distance: usize) -> usize {
    let here = 0u8;
    std::ptr::from_ref(&here) as usize - distance
}

fn calls_grow_the_stack() {
    let (r, w) = pipe();
    put(w, b"x");
    t!(SYS_write, w, below_the_stack(1 << 20), 100);
    v!(get(r, 1));
    t!(SYS_read, r, below_the_stack(3 << 20), 100);
    v!(load(below_the_stack(3 << 20)));
    o!(SYS_getcwd, below_the_stack(5 << 20), 4096);
    t!(SYS_getcwd, below_the_stack(50 << 20), 4096);
}

fn calls_respect_the_stack_limit() {
    let (r, w) = pipe();
    put(w, b"x");
    set(RLIMIT_STACK, (1 << 20) + 1);
    t!(SYS_read, r, below_the_stack(2 << 20), 1);
    t!(SYS_read, r, below_the_stack(1 << 19), 1);
    set(RLIMIT_STACK, (4 << 20) - 1);
    o!(SYS_getcwd, below_the_stack(2 << 20), 4096);
    v!(store(below_the_stack(3 << 20), 1));
    v!(store(below_the_stack(5 << 20), 1));
}

// --- address space and data ---

const MIB: usize = 1 << 20;

/// What `/proc/self/status` has of a size, in kB.
fn status_kb(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Room for so much more address space than is mapped now.
fn leave(bytes: usize) {
    set(RLIMIT_AS, (status_kb("VmSize") * 1024 + bytes) as u64);
}

fn brk_grows(by: usize) -> bool {
    let now = must!(SYS_brk, 0).addr();
    sc!(SYS_brk, now + by).addr() == now + by
}

fn address_space_and_brk() {
    leave(4 * MIB);
    v!(brk_grows(8 * MIB));
    v!(brk_grows(2 * MIB));
    v!(brk_grows(3 * MIB));
    let now = must!(SYS_brk, 0).addr();
    v!(sc!(SYS_brk, now - 2 * MIB).addr() == now - 2 * MIB);
    v!(brk_grows(3 * MIB));
}

fn address_space_and_mmap() {
    let a = map(16 * MIB, PROT_NONE, ANON);
    must!(SYS_munmap, a, 16 * MIB);
    leave(4 * MIB);
    t!(SYS_mmap, 0, 8 * MIB, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    o!(SYS_mmap, a, 3 * MIB, RW, ANON | MAP_FIXED, -1, 0);
    t!(SYS_mmap, 0, 2 * MIB, RW, ANON, -1, 0);
    // What is replaced does not count twice.
    o!(SYS_mmap, a, 3 * MIB, PROT_READ, ANON | MAP_FIXED, -1, 0);
    t!(SYS_mmap, a + MIB, 4 * MIB, PROT_READ, ANON | MAP_FIXED, -1, 0);
    must!(SYS_munmap, a, 3 * MIB);
    let fd = must!(SYS_memfd_create, c"x", 0).fd();
    must!(SYS_ftruncate, fd, 8 * MIB);
    t!(SYS_mmap, 0, 8 * MIB, PROT_READ, MAP_SHARED, fd, 0);
    o!(SYS_mmap, 0, 2 * MIB, PROT_READ, MAP_SHARED, fd, 0);
}

fn address_space_and_mremap() {
    let a = map(8 * MIB, PROT_NONE, ANON);
    must!(SYS_munmap, a + 2 * MIB, 6 * MIB);
    leave(2 * MIB);
    t!(SYS_mremap, a, 2 * MIB, 6 * MIB, 0);
    t!(SYS_mremap, a, 2 * MIB, 6 * MIB, MREMAP_MAYMOVE);
    v!(sc!(SYS_mremap, a, 2 * MIB, 3 * MIB, 0).addr() == a);
    t!(SYS_mremap, a, 3 * MIB, 3 * MIB, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
    o!(SYS_mremap, a, 3 * MIB, MIB, 0);
    o!(SYS_mremap, a, MIB, 3 * MIB, MREMAP_MAYMOVE);
}

fn address_space_and_stack() {
    leave(MIB);
    v!(store(below_the_stack(256 << 10), 1));
    v!(store(below_the_stack(4 << 20), 1));
    t!(SYS_getcwd, below_the_stack(3 << 20), 4096);
    v!(in_child(|| v!(store(below_the_stack(512 << 10), 1))));
}

fn limits_of_a_vfork_child() {
    extern "C" fn child(_: *mut c_void) -> i32 {
        let limit = rlimit { rlim_cur: 0, rlim_max: RLIM_INFINITY };
        sc!(SYS_prlimit64, 0, RLIMIT_AS, &limit, 0);
        sc!(SYS_prlimit64, 0, RLIMIT_STACK, &limit, 0);
        i32::from(sc!(SYS_mmap, 0, PAGE, RW, ANON, -1, 0).is_ok())
    }
    let stack = map(16 * PAGE, RW, ANON) + 16 * PAGE - 64;
    // SAFETY: the child runs on a stack of its own while the parent waits for it.
    let pid = unsafe { clone(child, stack as *mut _, CLONE_VM | CLONE_VFORK | SIGCHLD, std::ptr::null_mut()) };
    v!(reap(pid));
    o!(SYS_mmap, 0, PAGE, RW, ANON, -1, 0);
    v!(store(below_the_stack(4 << 20), 1));
}

fn data_and_mmap() {
    set(RLIMIT_DATA, (status_kb("VmData") * 1024 + 4 * MIB) as u64);
    t!(SYS_mmap, 0, 8 * MIB, RW, ANON, -1, 0);
    let a = o!(SYS_mmap, 0, 8 * MIB, PROT_READ, ANON, -1, 0).addr();
    o!(SYS_mmap, 0, 8 * MIB, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    t!(SYS_mprotect, a, 8 * MIB, RW);
    t!(SYS_mprotect, a, 3 * MIB, RW);
    t!(SYS_mprotect, a, 2 * MIB, RW);
    t!(SYS_mmap, 0, 2 * MIB, RW, ANON, -1, 0);
    t!(SYS_mprotect, a + 4 * MIB, 2 * MIB, RW);
    t!(SYS_mprotect, a, 3 * MIB, PROT_READ);
    let fd = must!(SYS_memfd_create, c"x", 0).fd();
    must!(SYS_ftruncate, fd, 8 * MIB);
    t!(SYS_mmap, 0, 8 * MIB, RW, MAP_PRIVATE, fd, 0);
    let b = o!(SYS_mmap, 0, 2 * MIB, RW, MAP_PRIVATE, fd, 0).addr();
    t!(SYS_mremap, b, 2 * MIB, 8 * MIB, MREMAP_MAYMOVE);
}

fn data_and_brk() {
    let data = status_kb("VmData") * 1024;
    set(RLIMIT_DATA, (data + 4 * MIB) as u64);
    v!(brk_grows(16 * MIB));
    v!(brk_grows(2 * MIB));
    t!(SYS_mmap, 0, 3 * MIB, RW, ANON, -1, 0);
    set(RLIMIT_DATA, 0);
    v!(brk_grows(MIB));
    o!(SYS_mmap, 0, MIB, RW, ANON, -1, 0);
}

// --- number of mappings ---

/// Maps pages one by one until that is refused, then leaves room for `spare` more areas.
fn fill_up(spare: usize) -> usize {
    const AT: usize = 0x10_0000_0000;
    let mut count = 0;
    let refused = loop {
        let at = AT + count * 2 * PAGE;
        let made = sc!(SYS_mmap, at, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
        if !made.is_ok() || count == 70_000 {
            break made;
        }
        count += 1;
    };
    println!("{refused} after about {},000", (count + 500) / 1000);
    for i in 0..spare {
        must!(SYS_munmap, AT + i * 2 * PAGE, PAGE);
    }
    AT
}

fn too_many_areas() {
    let a = map(8 * PAGE, RW, ANON);
    let first = fill_up(0);
    v!(store(first + 1000 * PAGE, 1));
    t!(SYS_mmap, 0, PAGE, PROT_READ, ANON, -1, 0);
    t!(SYS_munmap, a + PAGE, PAGE);
    t!(SYS_mprotect, a + PAGE, PAGE, PROT_READ);
    t!(SYS_mprotect, a, PAGE, PROT_READ);
    t!(SYS_madvise, a + PAGE, PAGE, MADV_DONTFORK);
    t!(SYS_mlock, a + PAGE, PAGE);
    t!(SYS_mremap, a, 8 * PAGE, 16 * PAGE, MREMAP_MAYMOVE);
    o!(SYS_mremap, a, 8 * PAGE, PAGE, 0);
    t!(SYS_mprotect, a, PAGE, PROT_READ);
    t!(SYS_munmap, a, PAGE);
    o!(SYS_mmap, 0, PAGE, PROT_READ, ANON, -1, 0);
    v!(store(first + 2000 * PAGE, 1));
}

fn room_for_few_areas() {
    let a = map(8 * PAGE, RW, ANON);
    fill(a, 8 * PAGE, 3);
    fill_up(3);
    t!(SYS_mprotect, a + PAGE, PAGE, PROT_READ);
    t!(SYS_mprotect, a + 3 * PAGE, PAGE, PROT_READ);
    t!(SYS_munmap, a + 5 * PAGE, PAGE);
    // What joins its neighbour takes no room.
    t!(SYS_mprotect, a + 2 * PAGE, PAGE, PROT_READ);
    t!(SYS_mprotect, a, 8 * PAGE, RW);
    v!(peek(a, 8 * PAGE).iter().all(|&byte| byte == 3));
}

fn contents_of_many_areas() {
    const COUNT: usize = 66_000;
    let a = map(COUNT * PAGE, RW, ANON);
    (0..COUNT).for_each(|i| fill(a + i * PAGE, 1, i as u8));
    let refused = (0..COUNT).step_by(2).find(|i| !sc!(SYS_mprotect, a + i * PAGE, PAGE, PROT_READ).is_ok());
    v!(refused.map(|i| (i + 500) / 1000));
    v!((0..COUNT).all(|i| peek(a + i * PAGE, 1) == [i as u8]));
    v!((store(a + 10 * PAGE, 1), store(a + 11 * PAGE, 1)));
    t!(SYS_mprotect, a, 100 * PAGE, RW);
    v!((0..COUNT).all(|i| i == 11 || peek(a + i * PAGE, 1) == [i as u8]));
}

fn room_among_many_areas() {
    let fd = must!(SYS_memfd_create, c"x", 0).fd();
    must!(SYS_ftruncate, fd, PAGE);
    for _ in 0..30_000 {
        must!(SYS_mmap, 0, PAGE, RW, MAP_SHARED, fd, 0);
    }
    let a = map(3 * PAGE, RW, ANON);
    must!(SYS_munmap, a + PAGE, PAGE);
    v!(map(PAGE, RW, ANON) == a + PAGE);
}
