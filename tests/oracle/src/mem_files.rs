//! Mappings of a file that others change meanwhile: what is written to it, and what is cut off.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    cut_takes_private_copies, cut_means_sigbus, cut_of_a_hole, cut_within_a_page, cut_by_open, cut_by_name, cut_by_another,
    cut_after_fork, cut_and_calls, cut_protected, cut_moved, cut_memfd, punched_keeps_private_copies,
    punched_shows_zeros_elsewhere, writes_show_beside_copies, writes_by_map_show, writes_show_after_mprotect,
    writes_show_after_fork, opened_later, grown_file_shows, zeroed_by_fallocate,
    kinds_of_files,
];

/// A file of four pages, each filled with its own letter.
fn lettered() -> i32 {
    file(c"f", &letters())
}

fn letters() -> Vec<u8> {
    "abcd".bytes().flat_map(|letter| [letter; PAGE]).collect()
}

/// The first byte of each page.
fn pages(start: usize) -> Vec<Text> {
    (0..4).map(|page| load(start + page * PAGE)).collect()
}

fn cut_takes_private_copies() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    v!((store(a, b'A'), store(a + PAGE, b'B'), store(a + 3 * PAGE, b'D')));
    must!(SYS_ftruncate, fd, PAGE);
    must!(SYS_ftruncate, fd, 4 * PAGE);
    v!(pages(a));
    v!((store(a + PAGE, b'2'), load(a + PAGE), load(a + PAGE + 1)));
    must!(SYS_ftruncate, fd, 0);
    must!(SYS_ftruncate, fd, 4 * PAGE);
    v!(pages(a));
}

fn cut_means_sigbus() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    fill(a, 4 * PAGE, 1);
    must!(SYS_ftruncate, fd, PAGE + 1);
    v!(pages(a));
    v!((store(a + PAGE, 2), store(a + 2 * PAGE, 2), store(a + 3 * PAGE, 2)));
    must!(SYS_ftruncate, fd, 3 * PAGE);
    v!(pages(a));
}

fn cut_of_a_hole() {
    let fd = open(c"f", O_RDWR | O_CREAT);
    must!(SYS_ftruncate, fd, 4 * PAGE);
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    v!((store(a + PAGE, 1), store(a + 2 * PAGE, 1)));
    must!(SYS_ftruncate, fd, 2 * PAGE);
    v!(pages(a));
    must!(SYS_ftruncate, fd, 4 * PAGE);
    v!(pages(a));
}

fn cut_within_a_page() {
    let fd = lettered();
    let written = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    let looked_at = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    v!((store(written + PAGE, b'B'), load(looked_at + PAGE)));
    must!(SYS_ftruncate, fd, PAGE + 10);
    for a in [written, looked_at] {
        v!((load(a + PAGE), load(a + PAGE + 9), load(a + PAGE + 10), load(a + 2 * PAGE - 1)));
    }
}

fn cut_by_open() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    v!((store(a, b'A'), store(a + 2 * PAGE, b'C')));
    close(open(c"f", O_WRONLY | O_TRUNC));
    v!(pages(a));
    put(fd, &[b'n'; 2 * PAGE]);
    v!(pages(a));
}

fn cut_by_name() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    close(fd);
    fill(a, 4 * PAGE, 1);
    must!(SYS_truncate, c"f", 2 * PAGE);
    v!(pages(a));
    must!(SYS_truncate, c"f", 3 * PAGE);
    v!(pages(a));
}

fn cut_by_another() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    fill(a, 4 * PAGE, 1);
    v!(in_child(|| {
        v!(store(a + 3 * PAGE, 2));
        must!(SYS_ftruncate, fd, 2 * PAGE);
        v!(pages(a));
    }));
    v!(pages(a));
}

fn cut_after_fork() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    fill(a, 4 * PAGE, 1);
    let (r, w) = pipe();
    let child = spawn(|| {
        v!(get(r, 1));
        v!(pages(a));
    });
    must!(SYS_ftruncate, fd, PAGE);
    must!(SYS_ftruncate, fd, 4 * PAGE);
    put(w, b"x");
    v!(reap(child));
    v!(pages(a));
}

fn cut_and_calls() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    fill(a, 4 * PAGE, b'1');
    must!(SYS_ftruncate, fd, PAGE);
    let (r, w) = pipe();
    t!(SYS_write, w, a + PAGE, 10);
    t!(SYS_write, w, a + PAGE - 5, 5);
    t!(SYS_read, r, a + 2 * PAGE, 5);
    t!(SYS_read, r, a, 5);
    v!(peek_text(a, 6));
}

fn cut_protected() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    fill(a, 4 * PAGE, 1);
    must!(SYS_mprotect, a, 4 * PAGE, PROT_NONE);
    must!(SYS_ftruncate, fd, PAGE);
    must!(SYS_ftruncate, fd, 3 * PAGE);
    v!(load(a + PAGE));
    must!(SYS_mprotect, a, 4 * PAGE, PROT_READ);
    v!(pages(a));
}

fn cut_moved() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    fill(a, 4 * PAGE, 1);
    // The last two pages at another place.
    let b = map(4 * PAGE, PROT_NONE, ANON);
    must!(SYS_mremap, a + 2 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, b);
    must!(SYS_ftruncate, fd, 3 * PAGE);
    v!((load(a), load(a + PAGE), load(b), load(b + PAGE)));
}

fn cut_memfd() {
    let fd = must!(SYS_memfd_create, c"x", 0).fd();
    put(fd, &letters());
    let private = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    let shared = map_fd(fd, 4 * PAGE, RW, MAP_SHARED);
    v!((store(private + PAGE, 1), store(private + 3 * PAGE, 1)));
    must!(SYS_ftruncate, fd, 2 * PAGE);
    v!((pages(private), pages(shared)));
    must!(SYS_ftruncate, fd, 4 * PAGE);
    v!((pages(private), pages(shared)));
}

fn punched_keeps_private_copies() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    v!(store(a + PAGE, b'B'));
    must!(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 2 * PAGE);
    v!(pages(a));
    v!((load(a + PAGE + 1), store(a + 2 * PAGE, 1), load(a + 2 * PAGE + 1)));
}

fn punched_shows_zeros_elsewhere() {
    let fd = lettered();
    let private = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    let shared = map_fd(fd, 4 * PAGE, RW, MAP_SHARED);
    v!((pages(private), pages(shared)));
    must!(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE / 2, 2 * PAGE);
    v!((load(private + PAGE / 2 - 1), load(private + PAGE / 2), load(shared + PAGE / 2)));
    v!((pages(private), pages(shared)));
}

fn writes_show_beside_copies() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    v!(store(a + PAGE, b'B'));
    must!(SYS_pwrite64, fd, &[b'n'; 4 * PAGE], 4 * PAGE, 0);
    v!(pages(a));
    v!((load(a + PAGE + 1), store(a + 3 * PAGE, 1), load(a + 3 * PAGE + 1)));
    t!(SYS_read, file(c"g", b"read"), a + 2 * PAGE, 4);
    must!(SYS_pwrite64, fd, &[b'm'; 4 * PAGE], 4 * PAGE, 0);
    v!((pages(a), load(a + 2 * PAGE + 5)));
}

fn writes_by_map_show() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    let shared = map_fd(fd, 4 * PAGE, RW, MAP_SHARED);
    v!(store(a, b'A'));
    fill(shared, 4 * PAGE, b's');
    v!(pages(a));
}

fn writes_show_after_mprotect() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, PROT_READ, MAP_PRIVATE);
    must!(SYS_mprotect, a, 4 * PAGE, RW);
    v!((load(a), store(a + PAGE, 1)));
    must!(SYS_pwrite64, fd, &[b'n'; 4 * PAGE], 4 * PAGE, 0);
    v!(pages(a));
    must!(SYS_mprotect, a, 4 * PAGE, PROT_READ);
    must!(SYS_pwrite64, fd, &[b'm'; 4 * PAGE], 4 * PAGE, 0);
    v!(pages(a));
}

fn writes_show_after_fork() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    v!(store(a, b'A'));
    v!(in_child(|| {
        v!(store(a + PAGE, b'B'));
        must!(SYS_pwrite64, fd, &[b'n'; 4 * PAGE], 4 * PAGE, 0);
        v!(pages(a));
    }));
    v!(pages(a));
}

fn opened_later() {
    close(lettered());
    let fd = open(c"f", O_RDONLY);
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    close(fd);
    v!((store(a + PAGE, b'B'), load(a + 2 * PAGE)));
    let writer = open(c"f", O_WRONLY);
    put(writer, &[b'n'; 4 * PAGE]);
    v!(pages(a));
}

fn grown_file_shows() {
    let fd = file(c"f", &[b'a'; 10]);
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    v!(pages(a));
    must!(SYS_pwrite64, fd, &[b'n'; 2 * PAGE], 2 * PAGE, PAGE);
    v!(pages(a));
    v!((store(a + PAGE, 1), store(a + 3 * PAGE, 1)));
    v!(pages(a));
}

fn zeroed_by_fallocate() {
    let fd = lettered();
    let a = map_fd(fd, 4 * PAGE, RW, MAP_PRIVATE);
    v!(store(a + PAGE, b'B'));
    must!(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4 * PAGE);
    must!(SYS_fallocate, fd, 0, 0, 8 * PAGE);
    v!((pages(a), fstat(fd).st_size));
}

/// Which files can be mapped, with which rights, and how the others are refused.
fn kinds_of_files() {
    close(file(c"f", &[b'a'; PAGE]));
    let (r, w) = pipe();
    let proc = |path| open(path, O_RDONLY);
    let files = [
        ("read and write", open(c"f", O_RDWR)),
        ("read", open(c"f", O_RDONLY)),
        ("write", open(c"f", O_WRONLY)),
        ("name", open(c"f", O_PATH)),
        ("directory", open(c".", O_RDONLY)),
        ("pipe", r),
        ("pipe's other end", w),
        ("eventfd", must!(SYS_eventfd2, 0, 0).fd()),
        ("epoll", must!(SYS_epoll_create1, 0).fd()),
        ("timerfd", must!(SYS_timerfd_create, CLOCK_MONOTONIC, 0).fd()),
        ("inotify", must!(SYS_inotify_init1, 0).fd()),
        ("socket", must!(SYS_socket, AF_UNIX, SOCK_STREAM, 0).fd()),
        ("memfd", must!(SYS_memfd_create, c"m", 0).fd()),
        ("proc", proc(c"/proc/self/status")),
        ("proc's directory", proc(c"/proc/self")),
        ("null", open(c"/dev/null", O_RDWR)),
        ("zero", open(c"/dev/zero", O_RDWR)),
    ];
    for (name, fd) in files {
        for prot in [PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC, PROT_READ | PROT_EXEC] {
            let kinds = [MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE, 0, MAP_PRIVATE | MAP_GROWSDOWN];
            let maps = kinds.map(|kind| {
                let a = sc!(SYS_mmap, 0, PAGE, prot, kind, fd, 0);
                // Whether it may become executable.
                if a.0 > 0 { format!("mapped, {}", sc!(SYS_mprotect, a.0, PAGE, PROT_EXEC)) } else { a.to_string() }
            });
            println!("{name} {prot}: {}", maps.join("; "));
        }
    }
    let fd = open(c"f", O_RDWR);
    const HUGE: i32 = MAP_HUGE_2MB | MAP_HUGE_1GB;
    for flags in [MAP_HUGETLB, HUGE, MAP_SYNC, MAP_FIXED_NOREPLACE, MAP_STACK | MAP_POPULATE] {
        for kind in [MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE] {
            o!(SYS_mmap, 1usize << 32, PAGE, PROT_READ, kind | flags, fd, 0);
        }
    }
    // The place comes first.
    for (address, len) in [(1, PAGE), (PAGE, 0), (usize::MAX & !0xfff, PAGE)] {
        t!(SYS_mmap, address, len, PROT_READ, MAP_PRIVATE | MAP_FIXED, r, 0);
    }
}
