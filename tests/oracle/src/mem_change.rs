//! Changing mappings: protection, size, place, advice, locks.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    mprotect_basic, mprotect_errors, mprotect_hole, mprotect_stops_at_hole, mprotect_exec, mprotect_file_private,
    mprotect_none_keeps_content, mprotect_after_fork, code_can_be_rewritten, code_in_the_place_of_a_files, mremap_grow_in_place,
    mremap_grow_blocked, mremap_moves, mremap_shrink, mremap_fixed, mremap_dontunmap, mremap_errors,
    mremap_file_shared, mremap_part_of_mapping, mremap_shared_duplicate, mremap_spanning, mprotect_grows, move_with_holes, vdso_in_parts, dontneed_private,
    dontneed_file_private, dontneed_shared, dontneed_fork, dontneed_errors, free_keeps_later_writes, willneed,
    remap_pages, remap_pages_refused, remap_pages_of_zeros, madvise_bad, madvise_dontfork, madvise_wipeonfork, madvise_remove, madvise_remove_shared, madvise_remove_refused, msync_all, mincore_errors, mincore_touched, mlock_unlock,
    mlockall_flags, mlock_limit, mlock2_onfault, partial_dontneed_range, madvise_populate, pkey_is_default,
    mprotect_none_leaves_nothing, vdso_in_children, vdso_is_read, holes_move_onto_the_vdso,
];

fn mprotect_basic() {
    let a = map(PAGE, RW, ANON);
    v!(store(a, 1));
    t!(SYS_mprotect, a, PAGE, PROT_READ);
    v!((load(a), store(a, 2)));
    t!(SYS_mprotect, a, PAGE, PROT_NONE);
    v!((load(a), store(a, 2)));
    t!(SYS_mprotect, a, PAGE, RW);
    v!((load(a), store(a, 2), load(a)));
}

fn mprotect_errors() {
    let a = map(2 * PAGE, RW, ANON);
    t!(SYS_mprotect, a + 1, PAGE, PROT_READ);
    t!(SYS_mprotect, a, 0, PROT_READ);
    t!(SYS_mprotect, a, PAGE, 0x4000_0000);
    t!(SYS_mprotect, a, usize::MAX, PROT_READ);
    t!(SYS_mprotect, a, usize::MAX - 2 * PAGE, PROT_READ);
    t!(SYS_mprotect, a, PAGE, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP);
    t!(SYS_mprotect, a, PAGE, PROT_READ | PROT_GROWSDOWN);
    t!(SYS_mprotect, 0, PAGE, PROT_READ);
    v!(store(a, 1));
    t!(SYS_mprotect, a, 1, PROT_READ);
    v!((store(a + PAGE - 1, 1), store(a + PAGE, 1)));
}

fn mprotect_hole() {
    let a = map(3 * PAGE, RW, ANON);
    must!(SYS_munmap, a, 3 * PAGE);
    t!(SYS_mprotect, a, PAGE, PROT_READ);
    t!(SYS_mprotect, a, 3 * PAGE, RW);
}

fn mprotect_stops_at_hole() {
    let a = map(5 * PAGE, RW, ANON);
    must!(SYS_munmap, a + 2 * PAGE, PAGE);
    t!(SYS_mprotect, a, 5 * PAGE, PROT_READ);
    // What lies before the hole has changed, what lies behind it has not.
    v!((store(a, 1), store(a + PAGE, 1), store(a + 3 * PAGE, 1)));
    t!(SYS_mprotect, a + 2 * PAGE, 3 * PAGE, PROT_READ);
    v!(store(a + 3 * PAGE, 1));
}

/// `mov eax, n; ret`
fn put_code(at: usize, n: u8) {
    copy_in(at, &[0xb8, n, 0, 0, 0, 0xc3]);
}

fn call(at: usize) -> i32 {
    // SAFETY: `put_code` put a function with this signature there, or the case means it to fault.
    let f: extern "C" fn() -> i32 = unsafe { std::mem::transmute(at) };
    f()
}

fn mprotect_exec() {
    let a = map(PAGE, RW, ANON);
    put_code(a, 42);
    v!(in_child(|| println!("called: {}", call(a))));
    t!(SYS_mprotect, a, PAGE, PROT_READ | PROT_EXEC);
    v!(call(a));
    v!(store(a, 0));
    t!(SYS_mprotect, a, PAGE, PROT_READ);
    v!(in_child(|| println!("called: {}", call(a))));
}

fn code_can_be_rewritten() {
    let a = map(PAGE, RW | PROT_EXEC, ANON);
    for n in [1, 2, 3] {
        put_code(a, n);
        v!(call(a));
    }
    v!(in_child(|| {
        put_code(a, 9);
        println!("child: {}", call(a));
    }));
    v!(call(a));
    let fd = must!(SYS_memfd_create, c"code", 0).fd();
    must!(SYS_ftruncate, fd, PAGE);
    let w = map_fd(fd, PAGE, RW, MAP_SHARED);
    let x = map_fd(fd, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED);
    for n in [4, 5] {
        put_code(w, n);
        v!(call(x));
    }
}

/// A function of a file that makes a system call, then one in memory at the same place: a kernel
/// that changes code which traps has to notice.
fn code_in_the_place_of_a_files() {
    // mov eax, n; syscall; ret
    let function = |n: i64| [0xb8, n as u8, 0, 0, 0, 0x0f, 0x05, 0xc3];
    let in_libc: unsafe extern "C" fn() -> i32 = libc::getppid;
    std::hint::black_box(in_libc);
    let fd = open(c"/proc/self/exe", O_RDONLY);
    let len = (fstat(fd).st_size as usize).next_multiple_of(PAGE);
    let a = map_fd(fd, len, PROT_READ | PROT_EXEC, MAP_PRIVATE);
    let wanted = function(SYS_getppid);
    let bytes = peek(a, fstat(fd).st_size as usize);
    let at = a + bytes.windows(wanted.len()).position(|some| some == wanted).expect("the C library has it");
    // SAFETY: no arguments.
    let (own, parent) = unsafe { (libc::getpid(), libc::getppid()) };
    v!((0..3).filter(|_| call(at) == parent).count());
    must!(SYS_munmap, a, len);
    must!(SYS_mmap, a, len, RW | PROT_EXEC, ANON | MAP_FIXED, -1, 0);
    fill(a, PAGE, b'x');
    copy_in(at, &function(SYS_getpid));
    v!((0..100).filter(|_| call(at) == own).count());
    v!(peek(a, PAGE).iter().filter(|byte| **byte == b'x').count());
    // Back again, where code of the file may have been changed meanwhile.
    must!(SYS_mmap, a, len, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
    v!((0..100).filter(|_| call(at) == parent).count());
    must!(SYS_mmap, a, len, RW | PROT_EXEC, ANON | MAP_FIXED, -1, 0);
    copy_in(at, &function(SYS_getpid));
    v!((0..100).filter(|_| call(at) == own).count());
}

fn mprotect_file_private() {
    close(file(c"f", b"abc"));
    let fd = open(c"f", O_RDONLY);
    let a = map_fd(fd, PAGE, PROT_READ, MAP_PRIVATE);
    t!(SYS_mprotect, a, PAGE, RW);
    v!((store(a, b'A'), peek_text(a, 3), content("f")));
}

fn mprotect_none_keeps_content() {
    let a = map(4 * PAGE, RW, ANON);
    fill(a, 4 * PAGE, 9);
    must!(SYS_mprotect, a, 4 * PAGE, PROT_NONE);
    v!(in_child(|| {
        v!(load(a));
        must!(SYS_mprotect, a, 4 * PAGE, PROT_READ);
        v!(load(a + 3 * PAGE));
    }));
    v!(load(a));
    must!(SYS_mprotect, a + PAGE, PAGE, PROT_READ);
    v!((load(a), load(a + PAGE), load(a + 2 * PAGE)));
}

fn mprotect_after_fork() {
    let a = map(2 * PAGE, RW, ANON);
    fill(a, 2 * PAGE, 1);
    v!(in_child(|| {
        must!(SYS_mprotect, a, PAGE, PROT_READ);
        v!((store(a, 5), store(a + PAGE, 5)));
        must!(SYS_mprotect, a, PAGE, RW);
        v!((store(a, 6), load(a)));
    }));
    v!((load(a), load(a + PAGE), store(a, 7), load(a)));
}

fn mremap_grow_in_place() {
    let a = map(4 * PAGE, RW, ANON);
    must!(SYS_munmap, a + PAGE, 3 * PAGE);
    v!(store(a, 3));
    v!(sc!(SYS_mremap, a, PAGE, 4 * PAGE, 0).addr() == a);
    v!((load(a), load(a + 3 * PAGE), store(a + 3 * PAGE, 1)));
}

fn mremap_grow_blocked() {
    let a = map(3 * PAGE, RW, ANON);
    must!(SYS_mprotect, a + PAGE, PAGE, PROT_READ);
    t!(SYS_mremap, a, PAGE, 2 * PAGE, 0);
    v!(store(a, 4));
    let b = o!(SYS_mremap, a, PAGE, 3 * PAGE, MREMAP_MAYMOVE).addr();
    v!((b != a, load(b), load(b + 2 * PAGE)));
    v!((load(a), load(a + PAGE)));
}

fn mremap_moves() {
    let a = map(16 * PAGE, RW, ANON);
    for i in 0..16 {
        fill(a + i * PAGE, PAGE, i as u8 + 1);
    }
    let b = o!(SYS_mremap, a, 16 * PAGE, 4096 * PAGE, MREMAP_MAYMOVE).addr();
    v!((0..17).map(|i| load(b + i * PAGE)).collect::<Vec<_>>());
    v!(store(b + 4095 * PAGE, 1));
    let c = o!(SYS_mremap, b, 4096 * PAGE, 2 * PAGE, MREMAP_MAYMOVE).addr();
    v!((c == b, load(c + PAGE), load(c + 2 * PAGE)));
}

fn mremap_shrink() {
    let a = map(4 * PAGE, RW, ANON);
    fill(a, 4 * PAGE, 2);
    v!(sc!(SYS_mremap, a, 4 * PAGE, PAGE, 0).addr() == a);
    v!((load(a), load(a + PAGE), load(a + 3 * PAGE)));
    v!(sc!(SYS_mremap, a, PAGE, PAGE, 0).addr() == a);
    v!(load(a));
}

fn mremap_fixed() {
    let from = map(2 * PAGE, RW, ANON);
    let to = map(4 * PAGE, RW, ANON);
    fill(from, 2 * PAGE, 1);
    fill(to, 4 * PAGE, 2);
    v!(sc!(SYS_mremap, from, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + PAGE).addr() == to + PAGE);
    v!((0..4).map(|i| load(to + i * PAGE)).collect::<Vec<_>>());
    v!(load(from));
    t!(SYS_mremap, to, 2 * PAGE, 2 * PAGE, MREMAP_FIXED, from);
    t!(SYS_mremap, to, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, from + 1);
    t!(SYS_mremap, to, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + PAGE);
}

fn mremap_dontunmap() {
    let a = map(2 * PAGE, RW, ANON);
    fill(a, 2 * PAGE, 6);
    let b = o!(SYS_mremap, a, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0).addr();
    v!((b != a, load(a), load(b), store(a, 1), load(b)));
    t!(SYS_mremap, a, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
    t!(SYS_mremap, a, 2 * PAGE, 2 * PAGE, MREMAP_DONTUNMAP, 0);
}

fn mremap_errors() {
    let a = map(3 * PAGE, RW, ANON);
    must!(SYS_munmap, a + PAGE, PAGE);
    t!(SYS_mremap, a + 1, PAGE, PAGE, 0);
    t!(SYS_mremap, a, PAGE, 0, MREMAP_MAYMOVE);
    t!(SYS_mremap, a, PAGE, PAGE, 0x100);
    t!(SYS_mremap, a + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    t!(SYS_mremap, a, 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    v!(sc!(SYS_mremap, a, PAGE, usize::MAX - PAGE, MREMAP_MAYMOVE).is_ok());
    v!(sc!(SYS_mremap, a, PAGE, 1usize << 47, MREMAP_MAYMOVE).is_ok());
    t!(SYS_mremap, a, 0, PAGE, MREMAP_MAYMOVE);
    v!((load(a), load(a + 2 * PAGE)));
}

fn mremap_file_shared() {
    let fd = file(c"f", &[b'a'; 3 * PAGE]);
    let guard = map(4 * PAGE, PROT_NONE, ANON);
    let a = must!(SYS_mmap, guard, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, PAGE).addr();
    let b = o!(SYS_mremap, a, PAGE, 3 * PAGE, MREMAP_MAYMOVE).addr();
    v!((load(b), load(b + PAGE), load(b + 2 * PAGE)));
    v!(store(b + PAGE, b'!'));
    let mut byte = [0u8];
    must!(SYS_pread64, fd, &mut byte, 1, 2 * PAGE);
    v!(text(&byte));
}

fn mremap_part_of_mapping() {
    let a = map(5 * PAGE, RW, ANON);
    for i in 0..5 {
        fill(a + i * PAGE, PAGE, i as u8 + 10);
    }
    let b = o!(SYS_mremap, a + PAGE, 2 * PAGE, 6 * PAGE, MREMAP_MAYMOVE).addr();
    v!((0..6).map(|i| load(b + i * PAGE)).collect::<Vec<_>>());
    v!((0..5).map(|i| load(a + i * PAGE)).collect::<Vec<_>>());
}

fn mremap_shared_duplicate() {
    let a = map(2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    fill(a, 2 * PAGE, 5);
    // An old size of zero makes a second view of a shared mapping.
    let b = o!(SYS_mremap, a, 0, 2 * PAGE, MREMAP_MAYMOVE).addr();
    v!((load(b), store(b + PAGE, 8), load(a + PAGE)));
    // A second mapping in the place of the first: there is nothing to make it of any more.
    let c = map(2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    t!(SYS_mremap, c, 0, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, c);
    v!(load(c));
}

fn mremap_spanning() {
    let a = map(2 * PAGE, RW, ANON);
    must!(SYS_mprotect, a + PAGE, PAGE, PROT_READ);
    t!(SYS_mremap, a, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    v!((store(a, 1), load(a + PAGE)));
    // Nothing moves: the range may reach over several areas, and over holes.
    v!(sc!(SYS_mremap, a, 2 * PAGE, 2 * PAGE, 0).addr() == a);
    must!(SYS_munmap, a + PAGE, PAGE);
    v!(sc!(SYS_mremap, a, 3 * PAGE, PAGE, MREMAP_MAYMOVE).addr() == a);
    let b = map(4 * PAGE, RW, ANON);
    must!(SYS_mprotect, b + PAGE, PAGE, PROT_READ);
    v!(sc!(SYS_mremap, b, 3 * PAGE, PAGE, 0).addr() == b);
    v!((0..4).map(|i| load(b + i * PAGE)).collect::<Vec<_>>());
}

/// Several areas with holes between and behind them are moved: what is at the target stays there
/// where nothing comes from.
fn move_with_holes() {
    for hole in 0..4 {
        let from = map(5 * PAGE, RW, ANON);
        let to = map(5 * PAGE, RW, ANON);
        for page in 0..5 {
            fill(from + page * PAGE, PAGE, 10 + page as u8);
            fill(to + page * PAGE, PAGE, 20 + page as u8);
        }
        must!(SYS_mprotect, from + 2 * PAGE, PAGE, PROT_READ);
        must!(SYS_munmap, from + (hole + 1) * PAGE, PAGE);
        v!(sc!(SYS_mremap, from, 5 * PAGE, 5 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to).addr() == to);
        v!((0..5).map(|page| load(to + page * PAGE)).collect::<Vec<_>>());
        v!((0..5).map(|page| load(from + page * PAGE)).collect::<Vec<_>>());
    }
}

fn mprotect_grows() {
    let a = map(2 * PAGE, RW, ANON);
    must!(SYS_munmap, a + PAGE, PAGE);
    for grows in [PROT_GROWSDOWN, PROT_GROWSUP, PROT_GROWSDOWN | PROT_GROWSUP] {
        t!(SYS_mprotect, a, PAGE, RW | grows);
        t!(SYS_mprotect, a + PAGE, PAGE, RW | grows);
        t!(SYS_mprotect, a, 0, RW | grows);
        t!(SYS_mprotect, a + PAGE, 0, RW | grows);
    }
    // A hole before an area: it might grow over it.
    let b = map(3 * PAGE, RW, ANON);
    must!(SYS_munmap, b, PAGE);
    for grows in [PROT_GROWSDOWN, PROT_GROWSUP] {
        t!(SYS_mprotect, b, PAGE, RW | grows);
        t!(SYS_mprotect, b, 2 * PAGE, RW | grows);
    }
    t!(SYS_mprotect, b + PAGE, PAGE, 0x100_0000_0003_u64);
}

/// System calls read the vDSO as any other memory.
fn vdso_is_read() {
    // SAFETY: no memory is passed.
    let vdso = unsafe { getauxval(AT_SYSINFO_EHDR) } as usize;
    let (reader, writer) = pipe();
    // Some models have none.
    if vdso != 0 && (sc!(SYS_write, writer, vdso, 4).0 != 4 || get(reader, 4) != text(b"\x7fELF")) {
        println!("it is not");
    }
}

/// The vDSO and its data can be taken away or protected whole, not in parts.
fn vdso_in_parts() {
    for name in ["[vdso]", "[vvar]"] {
        // Some models have their vDSO where guests cannot see it.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let Some(line) = maps.lines().find(|line| line.ends_with(name)) else { continue };
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let (start, end) = (usize::from_str_radix(start, 16).unwrap(), usize::from_str_radix(end, 16).unwrap());
        if end - start < 2 * PAGE {
            continue;
        }
        // Locks leave it alone, and do not cut it.
        sc!(SYS_mlock, start + PAGE, PAGE);
        let refused = [
            sc!(SYS_munmap, start, PAGE),
            sc!(SYS_mprotect, start, PAGE, PROT_NONE),
            sc!(SYS_mmap, start + PAGE, PAGE, PROT_NONE, ANON | MAP_FIXED, -1, 0),
            sc!(SYS_mremap, start + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, 0x3000_0000),
            sc!(SYS_madvise, start, PAGE, MADV_DONTFORK),
        ];
        let expected = Ret(i64::from(-EINVAL));
        if refused.iter().any(|&ret| ret != expected) {
            println!("{name}: {}", refused.map(|ret| ret.to_string()).join(", "));
        }
        for prot in [RW, PROT_READ | PROT_EXEC] {
            if name == "[vvar]" && sc!(SYS_mprotect, start, end - start, prot) != Ret(i64::from(-EACCES)) {
                println!("{name} takes the rights {prot}");
            }
        }
    }
    println!("looked at");
}

/// The first byte of each of eight pages.
fn firsts(a: usize) -> Vec<Text> {
    (0..8).map(|i| load(a + i * PAGE)).collect()
}

/// Eight pages, shared, which begin with 1 to 8.
fn numbered(fd: i32) -> usize {
    let a = must!(SYS_mmap, 0, 8 * PAGE, RW, MAP_SHARED | if fd < 0 { MAP_ANONYMOUS } else { 0 }, fd, 0).addr();
    (0..8).for_each(|i| fill(a + i * PAGE, PAGE, i as u8 + 1));
    a
}

fn remap_pages() {
    let fd = file(c"pages", &[0; 8 * PAGE]);
    for fd in [fd, -1] {
        let a = numbered(fd);
        t!(SYS_remap_file_pages, a, 3 * PAGE, 0, 5, 0);
        v!(firsts(a));
        t!(SYS_remap_file_pages, a + 4 * PAGE + 77, PAGE + 99, 0, 0, MAP_NONBLOCK);
        v!(firsts(a));
        v!(store(a, 77));
        v!(firsts(a));
        // Over what is mapped in parts now.
        t!(SYS_remap_file_pages, a, 8 * PAGE, 0, 0, 0);
        v!(firsts(a));
        t!(SYS_remap_file_pages, a, PAGE, 0, 20, 0);
        v!(load(a));
        v!(in_child(|| v!(firsts(a))));
        t!(SYS_mlock, a + PAGE, PAGE);
        t!(SYS_remap_file_pages, a, 2 * PAGE, 0, 1, 0);
        t!(SYS_remap_file_pages, a + PAGE, PAGE, 0, 6, 0);
        v!(firsts(a));
        t!(SYS_munmap, a, 8 * PAGE);
    }
}

fn remap_pages_refused() {
    let (fd, read_only) = (file(c"pages", &[7; 8 * PAGE]), open(c"pages", O_RDONLY));
    let a = numbered(fd);
    t!(SYS_remap_file_pages, a, PAGE, PROT_READ, 1, 0);
    t!(SYS_remap_file_pages, a, 0, 0, 1, 0);
    t!(SYS_remap_file_pages, a, PAGE - 1, 0, 1, 0);
    t!(SYS_remap_file_pages, a, usize::MAX, 0, 1, 0);
    t!(SYS_remap_file_pages, a, 9 * PAGE, 0, 1, 0);
    t!(SYS_remap_file_pages, a, PAGE, 0, usize::MAX, 0);
    t!(SYS_remap_file_pages, a, PAGE, 0, usize::MAX - 1, 0);
    t!(SYS_remap_file_pages, a, PAGE, 0, 1usize << 52, 0);
    t!(SYS_remap_file_pages, 8 * PAGE, PAGE, 0, 1, 0);
    t!(SYS_remap_file_pages, 1usize << 47, PAGE, 0, 1, 0);
    t!(SYS_mprotect, a + PAGE, PAGE, PROT_READ);
    t!(SYS_remap_file_pages, a, 2 * PAGE, 0, 1, 0);
    t!(SYS_remap_file_pages, a + PAGE, PAGE, 0, 3, 0);
    v!((load(a + PAGE), store(a + PAGE, 1)));
    let other = must!(SYS_mmap, a + 6 * PAGE, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0).addr();
    t!(SYS_remap_file_pages, a + 4 * PAGE, 3 * PAGE, 0, 1, 0);
    t!(SYS_remap_file_pages, other, 2 * PAGE, 0, 1, 0);
    for (fd, flags) in [(read_only, MAP_SHARED), (fd, MAP_PRIVATE), (-1, ANON)] {
        let at = map_fd(fd, 2 * PAGE, PROT_READ, flags);
        t!(SYS_remap_file_pages, at, PAGE, 0, 1, 0);
    }
}

fn remap_pages_of_zeros() {
    let a = numbered(open(c"/dev/zero", O_RDWR));
    t!(SYS_remap_file_pages, a, 3 * PAGE, 0, 4, 0);
    v!(firsts(a));
}

fn dontneed_private() {
    let a = map(4 * PAGE, RW, ANON);
    fill(a, 4 * PAGE, 1);
    t!(SYS_madvise, a + PAGE, 2 * PAGE, MADV_DONTNEED);
    v!((0..4).map(|i| load(a + i * PAGE)).collect::<Vec<_>>());
    v!((store(a + PAGE, 3), load(a + PAGE)));
}

fn dontneed_file_private() {
    let fd = file(c"f", &[b'f'; 2 * PAGE]);
    let a = map_fd(fd, 2 * PAGE, RW, MAP_PRIVATE);
    v!((store(a, b'm'), load(a)));
    must!(SYS_pwrite64, fd, b"n", 1, 0);
    t!(SYS_madvise, a, 2 * PAGE, MADV_DONTNEED);
    v!((load(a), load(a + 1)));
}

fn dontneed_shared() {
    let a = map(PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    fill(a, PAGE, 4);
    t!(SYS_madvise, a, PAGE, MADV_DONTNEED);
    v!(load(a));
    let fd = file(c"f", b"abc");
    let b = map_fd(fd, PAGE, RW, MAP_SHARED);
    copy_in(b, b"xyz");
    t!(SYS_madvise, b, PAGE, MADV_DONTNEED);
    v!((peek_text(b, 3), content("f")));
}

fn dontneed_fork() {
    let a = map(2 * PAGE, RW, ANON);
    fill(a, 2 * PAGE, 1);
    v!(in_child(|| {
        t!(SYS_madvise, a, PAGE, MADV_DONTNEED);
        v!((load(a), load(a + PAGE)));
    }));
    v!((load(a), load(a + PAGE)));
}

fn dontneed_errors() {
    let a = map(3 * PAGE, RW, ANON);
    fill(a, 3 * PAGE, 1);
    t!(SYS_madvise, a + 1, PAGE, MADV_DONTNEED);
    t!(SYS_madvise, a, 0, MADV_DONTNEED);
    t!(SYS_madvise, a, usize::MAX, MADV_DONTNEED);
    must!(SYS_munmap, a + PAGE, PAGE);
    t!(SYS_madvise, a, 3 * PAGE, MADV_DONTNEED);
    // A hole is reported, and yet the advice applies around it.
    v!((load(a), load(a + 2 * PAGE)));
}

fn free_keeps_later_writes() {
    let a = map(PAGE, RW, ANON);
    fill(a, PAGE, 1);
    t!(SYS_madvise, a, PAGE, MADV_FREE);
    v!((store(a, 2), load(a)));
    let s = map(PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    t!(SYS_madvise, s, PAGE, MADV_FREE);
}

fn willneed() {
    let fd = file(c"f", b"abc");
    let a = map_fd(fd, PAGE, PROT_READ, MAP_PRIVATE);
    for advice in [MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTDUMP, MADV_DODUMP] {
        t!(SYS_madvise, a, PAGE, advice);
    }
    v!(peek_text(a, 3));
    must!(SYS_munmap, a, PAGE);
    t!(SYS_madvise, a, PAGE, MADV_WILLNEED);
    t!(SYS_madvise, a, PAGE, MADV_NORMAL);
}

fn madvise_bad() {
    let a = map(PAGE, RW, ANON);
    for advice in [-1, 5, 6, 7, 13000, 99] {
        t!(SYS_madvise, a, PAGE, advice);
    }
    t!(SYS_madvise, a, 0, 99);
}

fn madvise_dontfork() {
    let a = map(3 * PAGE, RW, ANON);
    fill(a, 3 * PAGE, 1);
    t!(SYS_madvise, a + PAGE, PAGE, MADV_DONTFORK);
    v!(in_child(|| {
        v!((load(a), load(a + PAGE), load(a + 2 * PAGE)));
    }));
    t!(SYS_madvise, a + PAGE, PAGE, MADV_DOFORK);
    v!(in_child(|| {
        v!(load(a + PAGE));
    }));
}

fn madvise_wipeonfork() {
    let a = map(2 * PAGE, RW, ANON);
    fill(a, 2 * PAGE, 1);
    t!(SYS_madvise, a, PAGE, MADV_WIPEONFORK);
    v!(in_child(|| {
        v!((load(a), load(a + PAGE)));
    }));
    v!(load(a));
    t!(SYS_madvise, a, PAGE, MADV_KEEPONFORK);
    v!(in_child(|| {
        v!(load(a));
    }));
    let s = map(PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    t!(SYS_madvise, s, PAGE, MADV_WIPEONFORK);
}

fn madvise_remove() {
    let fd = must!(SYS_memfd_create, c"m", 0).fd();
    must!(SYS_ftruncate, fd, 2 * PAGE);
    let a = map_fd(fd, 2 * PAGE, RW, MAP_SHARED);
    fill(a, 2 * PAGE, 1);
    t!(SYS_madvise, a, PAGE, MADV_REMOVE);
    v!((load(a), load(a + PAGE), fstat(fd).st_size));
    let p = map(PAGE, RW, ANON);
    t!(SYS_madvise, p, PAGE, MADV_REMOVE);
}

/// The hole is in what is mapped, for everybody who maps it.
fn madvise_remove_shared() {
    let a = map(4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    fill(a, 4 * PAGE, 1);
    v!(in_child(|| {
        t!(SYS_madvise, a + PAGE, 2 * PAGE, MADV_REMOVE);
        store(a + 2 * PAGE, 5);
    }));
    v!((0..4).map(|i| load(a + i * PAGE)).collect::<Vec<_>>());
    must!(SYS_munmap, a + PAGE, PAGE);
    t!(SYS_madvise, a, 3 * PAGE, MADV_REMOVE);
    v!([0, 2, 3].map(|i| load(a + i * PAGE)));

    let fd = must!(SYS_memfd_create, c"m", MFD_ALLOW_SEALING).fd();
    must!(SYS_ftruncate, fd, 4 * PAGE);
    let s = map_fd(fd, 4 * PAGE, RW, MAP_SHARED);
    let p = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    let r = map_fd(fd, 4 * PAGE, PROT_READ, MAP_SHARED);
    fill(s, 4 * PAGE, 2);
    store(p + PAGE, 3);
    let blocks = fstat(fd).st_blocks;
    t!(SYS_madvise, p, PAGE, MADV_REMOVE);
    t!(SYS_madvise, r, PAGE, MADV_REMOVE);
    t!(SYS_madvise, s + PAGE, 2 * PAGE, MADV_REMOVE);
    v!((0..4).map(|i| (load(s + i * PAGE), load(p + i * PAGE), load(r + i * PAGE))).collect::<Vec<_>>());
    v!((fstat(fd).st_size, blocks - fstat(fd).st_blocks));
    // Of the file's end, what is mapped.
    let off = map(PAGE, RW, ANON);
    must!(SYS_mmap, off, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 3 * PAGE);
    store(off, 7);
    t!(SYS_madvise, off, PAGE, MADV_REMOVE);
    v!((load(s), load(s + 3 * PAGE)));
    must!(SYS_fcntl, fd, F_ADD_SEALS, 0x10);
    t!(SYS_madvise, s, PAGE, MADV_REMOVE);
}

fn madvise_remove_refused() {
    close(file(c"f", &[b'f'; 2 * PAGE]));
    let fd = open(c"f", O_RDONLY);
    let r = map_fd(fd, PAGE, PROT_READ, MAP_SHARED);
    t!(SYS_madvise, r, PAGE, MADV_REMOVE);
    let p = map_fd(fd, PAGE, RW, MAP_PRIVATE);
    t!(SYS_madvise, p, PAGE, MADV_REMOVE);
    let a = map(PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    store(a, 1);
    must!(SYS_mlock, a, PAGE);
    t!(SYS_madvise, a, PAGE, MADV_REMOVE);
    must!(SYS_munlock, a, PAGE);
    t!(SYS_mprotect, a, PAGE, PROT_READ);
    t!(SYS_madvise, a, PAGE, MADV_REMOVE);
    v!(load(a));
    let zero = open(c"/dev/zero", O_RDWR);
    let z = map_fd(zero, 2 * PAGE, RW, MAP_SHARED);
    fill(z, 2 * PAGE, 4);
    t!(SYS_madvise, z, PAGE, MADV_REMOVE);
    v!((load(z), load(z + PAGE)));
    let id = must!(SYS_shmget, IPC_PRIVATE, 2 * PAGE, IPC_CREAT | 0o600).fd();
    let m = must!(SYS_shmat, id, 0, 0).addr();
    must!(SYS_shmctl, id, IPC_RMID, 0);
    fill(m, 2 * PAGE, 4);
    t!(SYS_madvise, m + PAGE, PAGE, MADV_REMOVE);
    v!((load(m), load(m + PAGE)));
}

fn msync_all() {
    let fd = file(c"f", b"abc");
    let a = map_fd(fd, PAGE, RW, MAP_SHARED);
    copy_in(a, b"X");
    for flags in [MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE, 0, MS_SYNC | MS_ASYNC, 0x100] {
        t!(SYS_msync, a, PAGE, flags);
    }
    t!(SYS_msync, a + 1, PAGE, MS_SYNC);
    t!(SYS_msync, a, 0, MS_SYNC);
    t!(SYS_msync, a, usize::MAX, MS_SYNC);
    v!(content("f"));
    must!(SYS_munmap, a, PAGE);
    t!(SYS_msync, a, PAGE, MS_SYNC);
    let anon = map(PAGE, RW, ANON);
    t!(SYS_msync, anon, PAGE, MS_SYNC);
}

fn mincore_errors() {
    let a = map(3 * PAGE, RW, ANON);
    must!(SYS_munmap, a + 2 * PAGE, PAGE);
    let mut vec = [9u8; 4];
    fill(a, PAGE, 1);
    t!(SYS_mincore, a, 2 * PAGE, &mut vec);
    // The page beside it may have come with it.
    v!((vec[0] & 1, vec[1] & !1, vec[2]));
    t!(SYS_mincore, a + 1, PAGE, &mut vec);
    t!(SYS_mincore, a, 3 * PAGE, &mut vec);
    t!(SYS_mincore, a, PAGE, 0);
    t!(SYS_mincore, a, 0, &mut vec);
    t!(SYS_mincore, a, usize::MAX, &mut vec);
}

/// Of much memory, only what was touched is there; in steps so large that nothing brings in the one
/// with the other.
fn mincore_touched() {
    const STEP: usize = 8 << 20;
    let a = map(8 * STEP, RW, ANON);
    let there = || -> Vec<u8> {
        let mut byte = [9u8];
        (0..8).map(|i| {
            must!(SYS_mincore, a + i * STEP + STEP / 2, PAGE, &mut byte);
            byte[0]
        }).collect()
    };
    v!(there());
    for i in [1, 4, 5] {
        store(a + i * STEP + STEP / 2, 1);
    }
    v!(there());
    must!(SYS_munmap, a + STEP, STEP);
    t!(SYS_mincore, a + STEP / 2, STEP, &mut [0u8; STEP / PAGE]);
    must!(SYS_mmap, a + STEP, STEP, RW, ANON | MAP_FIXED, -1, 0);
    v!(there());
}

fn mlock_unlock() {
    let a = map(3 * PAGE, RW, ANON);
    t!(SYS_mlock, a, 2 * PAGE);
    let mut vec = [0u8; 3];
    must!(SYS_mincore, a, 3 * PAGE, &mut vec);
    v!((vec[0] & 1, vec[1] & 1));
    t!(SYS_madvise, a, PAGE, MADV_DONTNEED);
    t!(SYS_munlock, a, 2 * PAGE);
    t!(SYS_madvise, a, PAGE, MADV_DONTNEED);
    t!(SYS_mlock, a + 100, 1);
    must!(SYS_munmap, a + PAGE, PAGE);
    t!(SYS_mlock, a, 3 * PAGE);
    t!(SYS_munlock, a + PAGE, PAGE);
    t!(SYS_mlock, a, usize::MAX);
}

fn mlockall_flags() {
    t!(SYS_mlockall, 0);
    t!(SYS_mlockall, 8);
    t!(SYS_mlockall, MCL_ONFAULT);
    t!(SYS_munlockall);
}

fn mlock_limit() {
    v!(unprivileged(|| {
        let lim = rlimit { rlim_cur: 4 * PAGE as u64, rlim_max: 4 * PAGE as u64 };
        must!(SYS_prlimit64, 0, RLIMIT_MEMLOCK, &lim, 0);
        let a = map(8 * PAGE, RW, ANON);
        t!(SYS_mlock, a, 3 * PAGE);
        t!(SYS_mlock, a, 8 * PAGE);
        let none = rlimit { rlim_cur: 0, rlim_max: 0 };
        must!(SYS_munlock, a, 8 * PAGE);
        must!(SYS_prlimit64, 0, RLIMIT_MEMLOCK, &none, 0);
        t!(SYS_mlock, a, PAGE);
        t!(SYS_mmap, 0, PAGE, RW, ANON | MAP_LOCKED, -1, 0);
    }));
}

fn mlock2_onfault() {
    let a = map(2 * PAGE, RW, ANON);
    t!(SYS_mlock2, a, 2 * PAGE, MLOCK_ONFAULT);
    v!((store(a, 1), load(a + PAGE)));
    t!(SYS_mlock2, a, PAGE, 2);
    t!(SYS_munlock, a, 2 * PAGE);
}

fn partial_dontneed_range() {
    let a = map(64 * PAGE, RW, ANON);
    fill(a, 64 * PAGE, 1);
    for i in (0..64).step_by(3) {
        must!(SYS_madvise, a + i * PAGE, PAGE, MADV_DONTNEED);
    }
    v!((0..64).filter(|i| load(a + i * PAGE) == "0").count());
    must!(SYS_madvise, a + 10 * PAGE, 1, MADV_DONTNEED);
    v!((load(a + 10 * PAGE), load(a + 11 * PAGE)));
}

fn madvise_populate() {
    let a = map(2 * PAGE, RW, ANON);
    t!(SYS_madvise, a, 2 * PAGE, MADV_POPULATE_WRITE);
    let mut vec = [0u8; 2];
    must!(SYS_mincore, a, 2 * PAGE, &mut vec);
    v!(vec);
    must!(SYS_mprotect, a, PAGE, PROT_READ);
    t!(SYS_madvise, a, 2 * PAGE, MADV_POPULATE_WRITE);
    t!(SYS_madvise, a, 2 * PAGE, MADV_POPULATE_READ);
}

fn pkey_is_default() {
    let a = map(PAGE, RW, ANON);
    t!(SYS_pkey_mprotect, a, PAGE, PROT_READ, -1);
    v!(store(a, 1));
    t!(SYS_pkey_mprotect, a, PAGE, RW, 16);
    let b = o!(SYS_mmap, 0, PAGE, RW, ANON | MAP_STACK, -1, 0).addr();
    v!(store(b, 1));
}

fn mprotect_none_leaves_nothing() {
    let a = map(64 * PAGE, RW, ANON);
    fill(a, 64 * PAGE, 1);
    must!(SYS_mprotect, a, 64 * PAGE, PROT_NONE);
    must!(SYS_munmap, a, 64 * PAGE);
    must!(SYS_mmap, a, 64 * PAGE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    for prot in [RW, PROT_READ, RW] {
        must!(SYS_mprotect, a, 64 * PAGE, prot);
        v!((0..64).filter(|i| load(a + i * PAGE) == "0").count());
    }
}

/// Where the vDSO's code is, and its length.
fn vdso() -> (usize, usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("our mappings");
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).expect("a vDSO");
    let (start, end) = line.split_once(' ').and_then(|(range, _)| range.split_once('-')).expect("a range");
    let number = |text| usize::from_str_radix(text, 16).expect("an address");
    (number(start), number(end) - number(start))
}

fn vdso_in_children() {
    let (a, len) = vdso();
    let shown = || in_child(|| println!("{:?}", load(a)));
    for prot in [PROT_READ | PROT_EXEC, PROT_READ, PROT_NONE, PROT_READ] {
        must!(SYS_mprotect, a, len, prot);
        v!((load(a), shown()));
    }
    for advice in [MADV_DONTFORK, MADV_DOFORK] {
        must!(SYS_madvise, a, len, advice);
        v!((load(a), shown()));
    }
    must!(SYS_munmap, a, len);
    v!((load(a), shown()));
    must!(SYS_mmap, a, len, RW, ANON | MAP_FIXED, -1, 0);
    v!((load(a), store(a, 7), shown()));
}

/// Pages with holes between are moved onto the vDSO: those cannot be moved that would cut it, even
/// if the whole range covers it.
fn holes_move_onto_the_vdso() {
    let (vdso, len) = vdso();
    let pages = len / PAGE;
    // Behind its end the last page of the range is free.
    let from = map(len + PAGE, RW, ANON);
    must!(SYS_munmap, from + PAGE, len - PAGE);
    fill(from, PAGE, 1);
    fill(from + len, PAGE, 2);
    let moved = || sc!(SYS_mremap, from, len + PAGE, len + PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, vdso);
    if pages > 1 {
        v!(moved());
        v!((load(vdso), load(from), load(from + len)));
        // Nothing is lost of what would have become shorter, either.
        let three = map(3 * PAGE, RW, ANON);
        t!(SYS_mremap, three, 3 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, vdso);
        v!((0..3).map(|page| load(three + page * PAGE)).collect::<Vec<_>>());
    }
    // A hole lies above it.
    must!(SYS_munmap, from, PAGE);
    let above = map(PAGE, RW, ANON);
    must!(SYS_mremap, above, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, vdso + len);
    must!(SYS_munmap, vdso, len);
    must!(SYS_mmap, from, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    fill(from, PAGE, 3);
    v!(moved().addr() == vdso);
    v!((load(vdso), load(vdso + len), load(from)));
}
