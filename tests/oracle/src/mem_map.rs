//! Creating and removing mappings.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    anonymous_is_zero, rejected_lengths, rejected_flags, validated_flags, low_addresses, rejected_fds, huge_lengths, out_of_memory, fixed_replaces,
    fixed_unaligned, fixed_noreplace, hints, prot_none, populate, noreserve, growsdown, file_private, file_shared,
    file_shared_needs_write, file_write_only, file_offsets, file_outlives_descriptor, beyond_eof, truncated_under_map,
    partial_last_page, private_sees_later_file_writes, private_copy_is_kept, dev_zero, directory_and_pipe,
    munmap_errors, munmap_hole, munmap_partial_file, munmap_many, unmapped_is_gone, brk_grows_and_shrinks,
    brk_refuses, deep_stack, stack_guard, maps_lines, maps_merge, maps_file_line, rlimit_as, rlimit_data,
    write_only_prot, adjacent_requests, map_count, shared_anonymous_zero, unlinked_file_map,
];

fn anonymous_is_zero() {
    let a = map(4 * PAGE, RW, ANON);
    v!(a % PAGE);
    v!(peek(a, 4 * PAGE).iter().all(|&b| b == 0));
    fill(a, 4 * PAGE, 7);
    v!(load(a + 4 * PAGE - 1));
    t!(SYS_munmap, a, 4 * PAGE);
    v!(load(a));
    v!(store(a + PAGE, 1));
}

/// MAP_SHARED_VALIDATE refuses the flags that MAP_SHARED ignores.
fn validated_flags() {
    let memory = file(c"f", &[1; PAGE]);
    let device = must!(SYS_openat, AT_FDCWD, c"/dev/null", O_RDWR).fd();
    let flags = [0, MAP_32BIT, 0x80, MAP_GROWSDOWN, MAP_LOCKED, 0x200, 0x200_0000];
    for kind in [MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE] {
        for fd in [memory, device, -1] {
            let anonymous = if fd == -1 { MAP_ANONYMOUS } else { 0 };
            let answer = |flag| sc!(SYS_mmap, 0x3000_0000, PAGE, PROT_READ, kind | flag | anonymous, fd, 0).ok();
            v!(flags.map(|flag| answer(flag).to_string()));
            sc!(SYS_munmap, 0x3000_0000, PAGE);
        }
    }
}

fn low_addresses() {
    let at = o!(SYS_mmap, 0, PAGE, RW, ANON | MAP_32BIT, -1, 0).addr();
    v!((at < 1 << 31, store(at, 1), load(at)));
}

fn rejected_lengths() {
    t!(SYS_mmap, 0, 0, RW, ANON, -1, 0);
    t!(SYS_mmap, 0, usize::MAX, RW, ANON, -1, 0);
    t!(SYS_mmap, 0, usize::MAX - PAGE, RW, ANON, -1, 0);
    t!(SYS_mmap, 0, usize::MAX - PAGE + 1, RW, ANON, -1, 0);
    let a = o!(SYS_mmap, 0, 1, RW, ANON, -1, 0).addr();
    v!(load(a + PAGE - 1));
    t!(SYS_munmap, a, 1);
    v!(load(a + PAGE - 1));
}

fn rejected_flags() {
    t!(SYS_mmap, 0, PAGE, RW, MAP_ANONYMOUS, -1, 0);
    t!(SYS_mmap, 0, PAGE, RW, 0, -1, 0);
    o!(SYS_mmap, 0, PAGE, RW, MAP_ANONYMOUS | MAP_PRIVATE | MAP_SHARED, -1, 0);
    t!(SYS_mmap, 0, PAGE, RW, ANON, -1, 1);
    t!(SYS_mmap, 0, PAGE, RW, ANON, -1, PAGE / 2);
    o!(SYS_mmap, 0, PAGE, RW, ANON, 12345, 0);
    o!(SYS_mmap, 0, PAGE, RW, ANON, -1, PAGE);
}

fn rejected_fds() {
    t!(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, -1, 0);
    t!(SYS_mmap, 0, PAGE, PROT_READ, MAP_SHARED, 999, 0);
    let fd = file(c"f", b"abc");
    t!(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 100);
    t!(SYS_mmap, 0, 0, PROT_READ, MAP_PRIVATE, fd, 0);
    t!(SYS_mmap, 0, PAGE, PROT_READ, 0, fd, 0);
    let path = must!(SYS_openat, AT_FDCWD, c"f", O_PATH).fd();
    t!(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, path, 0);
    close(fd);
    t!(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
}

fn huge_lengths() {
    t!(SYS_mmap, 0, 1usize << 47, PROT_NONE, ANON, -1, 0);
    t!(SYS_mmap, 0, 1usize << 62, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    t!(SYS_mmap, 0, 1usize << 63, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    t!(SYS_mmap, PAGE * 32, 1usize << 62, PROT_NONE, ANON | MAP_NORESERVE | MAP_FIXED, -1, 0);
    t!(SYS_mmap, 0x8000_0000_0000usize, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    t!(SYS_mmap, usize::MAX - 2 * PAGE + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    t!(SYS_mmap, usize::MAX - PAGE + 1, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0);
    let fd = file(c"f", b"abc");
    t!(SYS_mmap, 0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, usize::MAX - PAGE + 1);
}

fn out_of_memory() {
    t!(SYS_mmap, 0, 100usize << 40, RW, ANON, -1, 0);
    t!(SYS_mmap, 0, 100usize << 40, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    t!(SYS_mmap, 0, 200usize << 40, PROT_NONE, ANON, -1, 0);
    let a = o!(SYS_mmap, 0, PAGE, RW, ANON, -1, 0).addr();
    v!(store(a, 1));
}

fn fixed_replaces() {
    let a = map(3 * PAGE, RW, ANON);
    fill(a, 3 * PAGE, 5);
    v!(sc!(SYS_mmap, a + PAGE, PAGE, PROT_READ, ANON | MAP_FIXED, -1, 0).addr() == a + PAGE);
    v!((load(a), load(a + PAGE), load(a + 2 * PAGE)));
    v!((store(a, 1), store(a + PAGE, 1), store(a + 2 * PAGE, 1)));
    let fd = file(c"f", b"hello");
    must!(SYS_mmap, a, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    v!(peek_text(a, 8));
    v!(load(a + 2 * PAGE));
}

fn fixed_unaligned() {
    let a = map(2 * PAGE, RW, ANON);
    t!(SYS_mmap, a + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    t!(SYS_mmap, a + PAGE / 2, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    let b = o!(SYS_mmap, a + 100, PAGE, RW, ANON, -1, 0).addr();
    v!(b % PAGE);
}

fn fixed_noreplace() {
    let a = map(3 * PAGE, RW, ANON);
    must!(SYS_munmap, a + PAGE, PAGE);
    t!(SYS_mmap, a, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    t!(SYS_mmap, a + PAGE, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    v!(sc!(SYS_mmap, a + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0).addr() == a + PAGE);
    t!(SYS_mmap, a + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
}

fn hints() {
    let a = map(4 * PAGE, RW, ANON);
    must!(SYS_munmap, a, 4 * PAGE);
    v!(sc!(SYS_mmap, a + PAGE, PAGE, RW, ANON, -1, 0).addr() == a + PAGE);
    let taken = sc!(SYS_mmap, a + PAGE, PAGE, RW, ANON, -1, 0).addr();
    v!(taken != a + PAGE);
    v!(sc!(SYS_mmap, 0xffff_8000_0000_0000usize, PAGE, RW, ANON, -1, 0).is_ok());
}

fn prot_none() {
    let a = map(PAGE, PROT_NONE, ANON);
    v!(load(a));
    v!(store(a + 5, 1));
    must!(SYS_mprotect, a, PAGE, RW);
    v!(load(a));
}

fn populate() {
    let a = map(8 * PAGE, RW, ANON | MAP_POPULATE);
    let mut vec = [0u8; 8];
    t!(SYS_mincore, a, 8 * PAGE, &mut vec);
    v!(vec);
    let fd = file(c"f", &[b'x'; PAGE]);
    let b = map_fd(fd, PAGE, PROT_READ, MAP_PRIVATE | MAP_POPULATE);
    v!(load(b));
    o!(SYS_mmap, 0, PAGE, PROT_NONE, ANON | MAP_POPULATE, -1, 0);
}

fn noreserve() {
    let len = 64usize << 30;
    let a = o!(SYS_mmap, 0, len, RW, ANON | MAP_NORESERVE, -1, 0).addr();
    v!(store(a, 1));
    v!(store(a + len / 2, 2));
    v!(store(a + len - 1, 3));
    v!((load(a), load(a + len / 2), load(a + len - 1), load(a + len / 4)));
    t!(SYS_munmap, a, len);
}

fn growsdown() {
    let top = map(1024 * PAGE, PROT_NONE, ANON) + 1024 * PAGE;
    // Room enough that the gap which a stack must keep to the next mapping plays no part.
    must!(SYS_munmap, top - 1024 * PAGE, 1024 * PAGE);
    must!(SYS_mmap, top - PAGE, PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
    v!(store(top - PAGE, 1));
    v!(store(top - PAGE - 1, 2));
    v!(store(top - 9 * PAGE, 3));
    v!((load(top - PAGE - 1), load(top - 5 * PAGE), load(top - 9 * PAGE)));
}

fn file_private() {
    let fd = file(c"f", b"hello world");
    let a = map_fd(fd, PAGE, RW, MAP_PRIVATE);
    v!(peek_text(a, 13));
    copy_in(a, b"JELLO");
    v!(peek_text(a, 11));
    v!(content("f"));
}

fn file_shared() {
    let fd = file(c"f", b"hello world");
    let a = map_fd(fd, PAGE, RW, MAP_SHARED);
    copy_in(a, b"JELLO");
    v!(content("f"));
    must!(SYS_pwrite64, fd, b"WORLD", 5, 6);
    v!(peek_text(a, 11));
    let b = map_fd(fd, PAGE, PROT_READ, MAP_SHARED);
    copy_in(a + 5, b"_");
    v!(peek_text(b, 11));
    copy_in(a + 11, b"tail");
    v!(content("f"));
}

fn file_shared_needs_write() {
    close(file(c"f", b"abc"));
    let fd = open(c"f", O_RDONLY);
    t!(SYS_mmap, 0, PAGE, RW, MAP_SHARED, fd, 0);
    o!(SYS_mmap, 0, PAGE, RW, MAP_PRIVATE, fd, 0);
    let a = o!(SYS_mmap, 0, PAGE, PROT_READ, MAP_SHARED, fd, 0).addr();
    t!(SYS_mprotect, a, PAGE, RW);
    v!(store(a, 1));
    v!(load(a));
}

fn file_write_only() {
    close(file(c"f", b"abc"));
    let fd = open(c"f", O_WRONLY);
    t!(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    t!(SYS_mmap, 0, PAGE, PROT_WRITE, MAP_SHARED, fd, 0);
    t!(SYS_mmap, 0, PAGE, PROT_NONE, MAP_PRIVATE, fd, 0);
    let append = open(c"f", O_RDWR | O_APPEND);
    o!(SYS_mmap, 0, PAGE, RW, MAP_SHARED, append, 0);
}

fn file_offsets() {
    let fd = file(c"f", &[b'a'; PAGE]);
    must!(SYS_pwrite64, fd, &[b'b'; PAGE], PAGE, PAGE);
    must!(SYS_pwrite64, fd, b"c", 1, 2 * PAGE);
    let a = must!(SYS_mmap, 0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, PAGE).addr();
    v!((load(a), load(a + PAGE - 1), load(a + PAGE), load(a + PAGE + 1)));
    let b = must!(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 2 * PAGE).addr();
    v!((load(b), load(b + 1)));
}

fn file_outlives_descriptor() {
    let fd = file(c"f", b"kept");
    let a = map_fd(fd, PAGE, RW, MAP_SHARED);
    close(fd);
    v!(peek_text(a, 4));
    copy_in(a, b"K");
    v!(content("f"));
}

fn beyond_eof() {
    let fd = file(c"f", b"short");
    let a = map_fd(fd, 3 * PAGE, RW, MAP_SHARED);
    v!((load(a), load(a + PAGE - 1)));
    v!(load(a + PAGE));
    v!(store(a + 2 * PAGE + 9, 1));
    must!(SYS_ftruncate, fd, 2 * PAGE);
    v!((load(a + PAGE), load(a + 2 * PAGE)));
    let empty = file(c"e", b"");
    let b = map_fd(empty, PAGE, RW, MAP_PRIVATE);
    v!((load(b), store(b, 1)));
}

fn truncated_under_map() {
    let fd = file(c"f", &[b'x'; 2 * PAGE]);
    let shared = map_fd(fd, 2 * PAGE, RW, MAP_SHARED);
    let private = map_fd(fd, 2 * PAGE, RW, MAP_PRIVATE);
    v!(store(private + PAGE, b'p'));
    v!(load(shared + PAGE));
    must!(SYS_ftruncate, fd, 10);
    v!((load(shared + 9), load(shared + 10), load(shared + PAGE)));
    v!((load(private + 9), load(private + PAGE)));
    must!(SYS_ftruncate, fd, 2 * PAGE);
    v!((load(shared + 10), load(shared + PAGE)));
}

fn partial_last_page() {
    let fd = file(c"f", b"12345");
    let a = map_fd(fd, PAGE, RW, MAP_SHARED);
    copy_in(a + 5, b"beyond");
    v!(content("f"));
    v!(fstat(fd).st_size);
    must!(SYS_pwrite64, fd, b"!", 1, 20);
    v!(peek(a + 20, 1));
    v!(fstat(fd).st_size);
}

fn private_sees_later_file_writes() {
    let fd = file(c"f", b"aaaa");
    let a = map_fd(fd, PAGE, RW, MAP_PRIVATE);
    v!(peek_text(a, 4));
    must!(SYS_pwrite64, fd, b"bb", 2, 0);
    v!(peek_text(a, 4));
}

fn private_copy_is_kept() {
    let fd = file(c"f", &[b'a'; 2 * PAGE]);
    let a = map_fd(fd, 2 * PAGE, RW, MAP_PRIVATE);
    copy_in(a + 100, b"mine");
    must!(SYS_pwrite64, fd, &[b'z'; 2 * PAGE], 2 * PAGE, 0);
    v!(peek_text(a + 98, 8));
    v!(peek_text(a + PAGE, 4));
}

fn dev_zero() {
    let fd = open(c"/dev/zero", O_RDWR);
    let a = o!(SYS_mmap, 0, 2 * PAGE, RW, MAP_PRIVATE, fd, 0).addr();
    v!((load(a), store(a, 9), load(a)));
    let b = o!(SYS_mmap, 0, 2 * PAGE, RW, MAP_SHARED, fd, 0).addr();
    v!(load(b + PAGE));
    v!(in_child(|| fill(b, PAGE, 3)));
    v!(load(b));
    let again = map_fd(fd, PAGE, PROT_READ, MAP_SHARED);
    v!(load(again));
    let null = open(c"/dev/null", O_RDWR);
    t!(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, null, 0);
}

fn directory_and_pipe() {
    let dir = open(c".", O_RDONLY | O_DIRECTORY);
    t!(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, dir, 0);
    let (r, _w) = pipe();
    t!(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, r, 0);
    let (s, _) = socketpair(SOCK_STREAM);
    t!(SYS_mmap, 0, PAGE, PROT_READ, MAP_SHARED, s, 0);
    // The place is cleared before a socket refuses; a pipe and a number that is none refuse before.
    let at = map(3 * PAGE, RW, ANON);
    for fd in [r, s, 999] {
        t!(SYS_mmap, at + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
        t!(SYS_mmap, at + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 1);
        t!(SYS_mprotect, at, 3 * PAGE, PROT_READ);
    }
    t!(SYS_mprotect, at, 0, 0x1000);
    t!(SYS_mprotect, at, 3 * PAGE, 0x1000);
    let event = must!(SYS_eventfd2, 0, 0).fd();
    t!(SYS_mmap, 0, PAGE, PROT_READ, MAP_SHARED, event, 0);
}

fn munmap_errors() {
    let a = map(PAGE, RW, ANON);
    t!(SYS_munmap, a + 1, PAGE);
    t!(SYS_munmap, a, 0);
    t!(SYS_munmap, a, usize::MAX);
    t!(SYS_munmap, 0xffff_8000_0000_0000usize, PAGE);
    t!(SYS_munmap, 1usize << 63, PAGE);
    v!(load(a));
    t!(SYS_munmap, a, PAGE);
    t!(SYS_munmap, a, PAGE);
}

fn munmap_hole() {
    let a = map(5 * PAGE, RW, ANON);
    fill(a, 5 * PAGE, 8);
    t!(SYS_munmap, a + 2 * PAGE, PAGE);
    v!((0..5).map(|i| load(a + i * PAGE)).collect::<Vec<_>>());
    t!(SYS_munmap, a, 5 * PAGE);
    v!((0..5).map(|i| load(a + i * PAGE)).collect::<Vec<_>>());
}

fn munmap_partial_file() {
    let fd = file(c"f", &[b'a'; PAGE]);
    must!(SYS_pwrite64, fd, &[b'b'; PAGE], PAGE, PAGE);
    must!(SYS_pwrite64, fd, &[b'c'; PAGE], PAGE, 2 * PAGE);
    let a = map_fd(fd, 3 * PAGE, RW, MAP_SHARED);
    t!(SYS_munmap, a, PAGE);
    v!((load(a), load(a + PAGE), load(a + 2 * PAGE)));
    t!(SYS_munmap, a + 2 * PAGE, 1);
    v!((load(a + PAGE), load(a + 2 * PAGE)));
    v!(store(a + PAGE, b'B'));
    let mut byte = [0u8];
    must!(SYS_pread64, fd, &mut byte, 1, PAGE);
    v!(text(&byte));
}

fn munmap_many() {
    let a = map(64 * PAGE, RW, ANON);
    fill(a, 64 * PAGE, 1);
    for i in (0..64).step_by(2) {
        must!(SYS_munmap, a + i * PAGE, PAGE);
    }
    v!((0..64).filter(|i| load(a + i * PAGE) == "1").count());
    t!(SYS_munmap, a + PAGE, 40 * PAGE);
    v!((0..64).filter(|i| load(a + i * PAGE) == "1").collect::<Vec<_>>());
    must!(SYS_mmap, a, 64 * PAGE, RW, ANON | MAP_FIXED, -1, 0);
    v!((0..64).filter(|i| load(a + i * PAGE) == "0").count());
}

fn unmapped_is_gone() {
    let a = map(2 * PAGE, RW, ANON);
    fill(a, 2 * PAGE, 77);
    must!(SYS_munmap, a, 2 * PAGE);
    let fd = open(c"/dev/zero", O_RDONLY);
    t!(SYS_read, fd, a, 10);
    v!(sc!(SYS_mmap, a, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0).addr() == a);
    v!(load(a + PAGE));
}

fn brk_grows_and_shrinks() {
    let start = must!(SYS_brk, 0).addr();
    v!(sc!(SYS_brk, start + 3 * PAGE).addr() == start + 3 * PAGE);
    let page = start.next_multiple_of(PAGE);
    v!((load(page), store(page + PAGE, 4)));
    v!(sc!(SYS_brk, page + PAGE).addr() == page + PAGE);
    v!((load(page), load(page + PAGE)));
    v!(sc!(SYS_brk, page + 2 * PAGE).addr() == page + 2 * PAGE);
    v!(load(page + PAGE));
    v!(sc!(SYS_brk, page + 2 * PAGE + 5).addr() == page + 2 * PAGE + 5);
    v!(load(page + 3 * PAGE - 1));
}

fn brk_refuses() {
    let start = must!(SYS_brk, 0).addr();
    v!(sc!(SYS_brk, 1).addr() == start);
    v!(sc!(SYS_brk, usize::MAX).addr() == start);
    v!(sc!(SYS_brk, start + (100 << 40)).addr() == start);
    let page = start.next_multiple_of(PAGE) + 4 * PAGE;
    must!(SYS_mmap, page, PAGE, PROT_READ, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    v!(sc!(SYS_brk, page + PAGE).addr() == start);
    v!(in_child(|| {
        v!(sc!(SYS_brk, start + PAGE).addr() == start + PAGE);
    }));
    v!(sc!(SYS_brk, 0).addr() == start);
}

#[inline(never)]
fn recurse(depth: usize) -> usize {
    let mut frame = [0u8; 1000];
    std::hint::black_box(&mut frame);
    if depth == 0 { frame[3] as usize } else { 1 + recurse(depth - 1) + frame[7] as usize }
}

fn deep_stack() {
    v!(recurse(4000));
    let here = 0u8;
    let sp = std::ptr::from_ref(&here) as usize;
    v!(store(sp - (5 << 20), 1));
    v!(load(sp - (5 << 20)));
}

fn stack_guard() {
    let lim = rlimit { rlim_cur: 256 << 10, rlim_max: RLIM_INFINITY };
    v!(in_child(|| {
        must!(SYS_prlimit64, 0, RLIMIT_STACK, &lim, 0);
        recurse(100);
        println!("shallow is fine");
        let stack = map(16 * PAGE, RW, ANON);
        let alt = stack_t { ss_sp: stack as *mut _, ss_flags: 0, ss_size: 16 * PAGE };
        must!(SYS_sigaltstack, &alt, 0);
        must!(SYS_rt_sigaction, SIGSEGV, &[0usize; 4], 0, 8);
        recurse(4000);
        println!("deep should not be reached");
    }));
}

/// The mappings that cover `range`, as permissions, offset and path; the address relative to the
/// range in pages.
fn maps_in(start: usize, len: usize) -> Vec<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    let mut out = Vec::new();
    for line in maps.lines() {
        let mut col = line.split_whitespace();
        let (from, to) = col.next().and_then(|r| r.split_once('-')).expect("range");
        let (from, to) = (usize::from_str_radix(from, 16).expect("hex"), usize::from_str_radix(to, 16).expect("hex"));
        if to <= start || from >= start + len {
            continue;
        }
        let (from, to) = (from.max(start), to.min(start + len));
        let (perms, offset) = (col.next().expect("perms"), col.next().expect("offset"));
        let path = col.nth(2).unwrap_or("").rsplit('/').next().unwrap_or("");
        out.push(format!("{}+{} {perms} {offset} {path}", (from - start) / PAGE, (to - from) / PAGE));
    }
    out
}

fn maps_lines() {
    let a = map(6 * PAGE, RW, ANON);
    must!(SYS_mprotect, a + PAGE, PAGE, PROT_READ);
    must!(SYS_mprotect, a + 2 * PAGE, PAGE, PROT_NONE);
    must!(SYS_munmap, a + 3 * PAGE, PAGE);
    must!(SYS_mprotect, a + 4 * PAGE, PAGE, PROT_READ | PROT_EXEC);
    for line in maps_in(a, 6 * PAGE) {
        println!("{line}");
    }
}

fn maps_merge() {
    let a = map(6 * PAGE, RW, ANON);
    fill(a, 6 * PAGE, 1);
    v!(maps_in(a, 6 * PAGE));
    must!(SYS_mprotect, a + 2 * PAGE, PAGE, PROT_READ);
    v!(maps_in(a, 6 * PAGE).len());
    must!(SYS_mprotect, a + 2 * PAGE, PAGE, RW);
    v!(maps_in(a, 6 * PAGE));
    must!(SYS_mprotect, a, 6 * PAGE, PROT_READ);
    v!(maps_in(a, 6 * PAGE));
}

fn maps_file_line() {
    let fd = file(c"mapped", &[1; 4 * PAGE]);
    let region = map(8 * PAGE, PROT_NONE, ANON);
    must!(SYS_mmap, region, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, PAGE);
    must!(SYS_mmap, region + 3 * PAGE, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 2 * PAGE);
    for line in maps_in(region, 8 * PAGE) {
        println!("{line}");
    }
    must!(SYS_munmap, region + 3 * PAGE, PAGE);
    must!(SYS_unlinkat, AT_FDCWD, c"mapped", 0);
    for line in maps_in(region, 8 * PAGE) {
        println!("{line}");
    }
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    v!(maps.lines().any(|l| l.ends_with("/mapped (deleted)")));
    v!(maps.lines().filter(|l| l.ends_with("[stack]") && l.contains(" rw-p ")).count());
}

fn rlimit_as() {
    let lim = rlimit { rlim_cur: 1 << 30, rlim_max: RLIM_INFINITY };
    must!(SYS_prlimit64, 0, RLIMIT_AS, &lim, 0);
    t!(SYS_mmap, 0, 2usize << 30, RW, ANON, -1, 0);
    t!(SYS_mmap, 0, 2usize << 30, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    let a = o!(SYS_mmap, 0, 16 * PAGE, RW, ANON, -1, 0).addr();
    t!(SYS_mremap, a, 16 * PAGE, 2usize << 30, MREMAP_MAYMOVE);
}

fn rlimit_data() {
    let lim = rlimit { rlim_cur: 1 << 20, rlim_max: RLIM_INFINITY };
    must!(SYS_prlimit64, 0, RLIMIT_DATA, &lim, 0);
    let start = must!(SYS_brk, 0).addr();
    v!(sc!(SYS_brk, start + (64 << 20)).addr() == start);
}

fn write_only_prot() {
    let a = map(PAGE, PROT_WRITE, ANON);
    v!(store(a, 65));
    v!(load(a));
    let fd = file(c"f", b"x");
    t!(SYS_write, fd, a, 1);
    let b = map(PAGE, PROT_EXEC, ANON);
    v!(store(b, 1));
}

fn adjacent_requests() {
    let a = map(8 * PAGE, PROT_NONE, ANON);
    for i in 0..8 {
        must!(SYS_mmap, a + i * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
        v!(store(a + i * PAGE, i as u8));
    }
    v!(maps_in(a, 8 * PAGE));
    // One call may span mappings that were made one by one.
    let fd = file(c"f", b"");
    t!(SYS_write, fd, a, 8 * PAGE);
}

fn map_count() {
    let a = map(2000 * PAGE, RW, ANON);
    for i in (0..2000).step_by(2) {
        must!(SYS_mprotect, a + i * PAGE, PAGE, PROT_READ);
    }
    v!(maps_in(a, 2000 * PAGE).len());
    v!((store(a + 999 * PAGE, 1), store(a + 1000 * PAGE, 1)));
    t!(SYS_mprotect, a, 2000 * PAGE, RW);
    v!(store(a + 1000 * PAGE, 1));
}

fn shared_anonymous_zero() {
    let a = map(2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS);
    v!((load(a), store(a + PAGE, 6), load(a + PAGE)));
    let perms = maps_in(a, 2 * PAGE);
    v!(perms[0].contains("rw-s"));
}

fn unlinked_file_map() {
    let fd = file(c"f", b"ghost");
    let a = map_fd(fd, PAGE, RW, MAP_SHARED);
    must!(SYS_unlinkat, AT_FDCWD, c"f", 0);
    copy_in(a, b"G");
    let mut buf = [0u8; 5];
    t!(SYS_pread64, fd, &mut buf, 5, 0);
    v!(text(&buf));
    close(file(c"f", b"other"));
    v!(peek_text(a, 5));
}
