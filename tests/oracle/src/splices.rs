//! splice, tee and vmsplice at their borders: full pipes, vectors that are only partly there,
//! nobody at the other end.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    vmsplice_takes_what_fits,
    vmsplice_waits_for_first_room,
    vmsplice_unaligned,
    vmsplice_half_mapped,
    vmsplice_vectors,
    vmsplice_wrong_files,
    vmsplice_reads_until_empty,
    vmsplice_reads_half_mapped,
    vmsplice_no_reader,
    vmsplice_no_writer,
    vmsplice_from_packets,
    splice_full_pipes,
    splice_nothing_at_the_ends,
    splice_more_than_a_pipe,
    splice_half_a_buffer,
    splice_wrong_kinds,
    splice_waits,
    splice_size_limit,
    tee_partial,
    tee_nothing_at_the_ends,
];

fn tiny_pipe() -> (i32, i32) {
    let (r, w) = pipe();
    must!(SYS_fcntl, w, F_SETPIPE_SZ, 2 * PAGE);
    (r, w)
}

fn nonblock(fd: i32) {
    must!(SYS_fcntl, fd, F_SETFL, O_NONBLOCK);
}

fn waiting(fd: i32) -> i32 {
    let mut n = 0;
    must!(SYS_ioctl, fd, FIONREAD, &mut n);
    n
}

/// Pages of memory with a hole: the second of three is not there.
fn holed() -> usize {
    let at = map(3 * PAGE, RW, ANON);
    fill(at, PAGE, b'a');
    fill(at + 2 * PAGE, PAGE, b'c');
    must!(SYS_munmap, at + PAGE, PAGE);
    at
}

fn vmsplice_takes_what_fits() {
    let (r, w) = pipe();
    let at = map(128 << 10, RW, ANON);
    let v = iov(&[(at, 128 << 10)]);
    t!(SYS_vmsplice, w, &v[..], 1, 0);
    v!(waiting(r));
    t!(SYS_vmsplice, w, &v[..], 1, SPLICE_F_NONBLOCK);
    let (r, w) = tiny_pipe();
    let v = iov(&[(at, 100), (at, 100), (at, 100)]);
    t!(SYS_vmsplice, w, &v[..], 3, 0);
    v!(waiting(r));
    nonblock(w);
    t!(SYS_vmsplice, w, &v[..], 3, SPLICE_F_NONBLOCK);
}

fn vmsplice_waits_for_first_room() {
    let (r, w) = tiny_pipe();
    let at = map(4 * PAGE, RW, ANON);
    put(w, &[1; 2 * PAGE]);
    let kid = spawn(|| {
        let v = iov(&[(at, 4 * PAGE)]);
        t!(SYS_vmsplice, w, &v[..], 1, 0);
    });
    until_sleeping(kid);
    must!(SYS_read, r, &mut [0u8; PAGE], PAGE);
    v!(reap(kid));
    v!(waiting(r));
    // The file's own flag does not matter to it.
    nonblock(w);
    let kid = spawn(|| {
        let v = iov(&[(at, 1)]);
        t!(SYS_vmsplice, w, &v[..], 1, 0);
    });
    until_sleeping(kid);
    must!(SYS_read, r, &mut [0u8; PAGE], PAGE);
    v!(reap(kid));
}

fn vmsplice_unaligned() {
    let at = map(4 * PAGE, RW, ANON);
    fill(at, 4 * PAGE, b'u');
    // A page's rest takes a buffer too.
    for (offset, len) in [(100, 2 * PAGE), (PAGE - 1, 2), (PAGE - 1, 2 * PAGE), (0, 2 * PAGE), (1, PAGE)] {
        let (r, w) = tiny_pipe();
        let v = iov(&[(at + offset, len)]);
        t!(SYS_vmsplice, w, &v[..], 1, 0);
        v!((waiting(r), crate::pipes::poll1(w, POLLOUT)));
    }
}

fn vmsplice_half_mapped() {
    let at = holed();
    for parts in [
        vec![(at, 2 * PAGE)],
        vec![(at + PAGE - 5, 10)],
        vec![(at + PAGE, 10)],
        vec![(at, 10), (at + PAGE, 10), (at + 2 * PAGE, 10)],
        vec![(at + PAGE, 0), (at, 10)],
        vec![(at, 10), (usize::MAX, 10)],
        vec![(at, 10), (at, usize::MAX)],
    ] {
        let (r, w) = pipe();
        let v = iov(&parts);
        t!(SYS_vmsplice, w, &v[..], v.len(), 0);
        v!(waiting(r));
    }
}

fn vmsplice_vectors() {
    let (r, w) = pipe();
    let v = iov(&[(1, 0), (2, 0)]);
    t!(SYS_vmsplice, w, &v[..], 2, 0);
    t!(SYS_vmsplice, w, &v[..], 0, 0);
    t!(SYS_vmsplice, w, 0, 0, 0);
    t!(SYS_vmsplice, w, 0, 1, 0);
    t!(SYS_vmsplice, w, &v[..], 1025, 0);
    t!(SYS_vmsplice, w, &v[..], 1, 0x100);
    t!(SYS_vmsplice, r, &v[..], 1, 0);
    v!(waiting(r));
}

fn vmsplice_wrong_files() {
    let byte = [0u8; 1];
    let v = iov(&[(byte.as_ptr() as usize, 1)]);
    let f = file(c"f", b"x");
    t!(SYS_vmsplice, f, &v[..], 1, 0);
    t!(SYS_vmsplice, f, &v[..], 0, 0);
    t!(SYS_vmsplice, f, 0, 1, 0);
    t!(SYS_vmsplice, f, 0, 0, 0);
    t!(SYS_vmsplice, -1, 0, 1, 0x100);
    t!(SYS_vmsplice, -1, 0, 1, 0);
    t!(SYS_vmsplice, open(c"f", O_PATH), &v[..], 1, 0);
    t!(SYS_vmsplice, socketpair(SOCK_STREAM).0, &v[..], 1, 0);
}

fn vmsplice_reads_until_empty() {
    let (r, w) = pipe();
    let at = map(4 * PAGE, RW, ANON);
    put(w, b"first");
    put(w, &[b'x'; 3 * PAGE]);
    let v = iov(&[(at, 3), (at + 100, 0), (at + PAGE, PAGE)]);
    t!(SYS_vmsplice, r, &v[..], 3, 0);
    v!((peek_text(at, 4), peek_text(at + PAGE, 4), waiting(r)));
    let v = iov(&[(at, 4 * PAGE)]);
    t!(SYS_vmsplice, r, &v[..], 1, 0);
    t!(SYS_vmsplice, r, &v[..], 1, SPLICE_F_NONBLOCK);
    nonblock(r);
    put(w, b"again");
    t!(SYS_vmsplice, r, &v[..], 1, SPLICE_F_NONBLOCK);
}

fn vmsplice_reads_half_mapped() {
    let at = holed();
    let (r, w) = pipe();
    put(w, &[b'x'; 3 * PAGE]);
    let v = iov(&[(at + PAGE, 10)]);
    t!(SYS_vmsplice, r, &v[..], 1, 0);
    v!(waiting(r));
    let v = iov(&[(at + PAGE - 10, 100)]);
    t!(SYS_vmsplice, r, &v[..], 1, 0);
    v!(waiting(r));
    let v = iov(&[(at, 3 * PAGE)]);
    t!(SYS_vmsplice, r, &v[..], 1, 0);
    v!(waiting(r));
}

fn vmsplice_no_reader() {
    let (r, w) = pipe();
    close(r);
    let byte = [0u8; 1];
    let v = iov(&[(byte.as_ptr() as usize, 1)]);
    v!(in_child(|| {
        sc!(SYS_vmsplice, w, &v[..], 1, 0);
    }));
    ignore(SIGPIPE);
    t!(SYS_vmsplice, w, &v[..], 1, 0);
    t!(SYS_vmsplice, w, &v[..], 0, 0);
    let v = iov(&[(8, 1)]);
    t!(SYS_vmsplice, w, &v[..], 1, 0);
}

fn vmsplice_no_writer() {
    let (r, w) = pipe();
    put(w, b"rest");
    close(w);
    let at = map(PAGE, RW, ANON);
    let v = iov(&[(at, PAGE)]);
    t!(SYS_vmsplice, r, &v[..], 1, 0);
    t!(SYS_vmsplice, r, &v[..], 1, 0);
}

fn vmsplice_from_packets() {
    let mut p = [0i32; 2];
    must!(SYS_pipe2, &mut p, O_DIRECT);
    put(p[1], b"hello");
    put(p[1], b"world");
    let at = map(PAGE, RW, ANON);
    let v = iov(&[(at, 7)]);
    t!(SYS_vmsplice, p[0], &v[..], 1, 0);
    v!((peek_text(at, 8), waiting(p[0])));
    v!(get(p[0], 100));
}

fn splice_full_pipes() {
    let (r, w) = tiny_pipe();
    let (r2, w2) = tiny_pipe();
    put(w, &[1; 2 * PAGE]);
    put(w2, &[2; 2 * PAGE]);
    t!(SYS_splice, r, 0, w2, 0, 100, SPLICE_F_NONBLOCK);
    t!(SYS_tee, r, w2, 100, SPLICE_F_NONBLOCK);
    let f = file(c"f", &[3; PAGE]);
    t!(SYS_splice, f, 0, w2, 0, 100, SPLICE_F_NONBLOCK);
    must!(SYS_read, r2, &mut [0u8; PAGE], PAGE);
    t!(SYS_splice, r, 0, w2, 0, 2 * PAGE, SPLICE_F_NONBLOCK);
    v!((waiting(r), waiting(r2)));
    nonblock(w2);
    t!(SYS_splice, r, 0, w2, 0, 100, 0);
    nonblock(r2);
    must!(SYS_read, r2, &mut [0u8; 4 * PAGE], 4 * PAGE);
    t!(SYS_splice, r2, 0, f, 0, 100, 0);
}

fn splice_nothing_at_the_ends() {
    ignore(SIGPIPE);
    let f = file(c"f", b"content");
    let (r, w) = pipe();
    close(r);
    t!(SYS_splice, f, 0, w, 0, 4, 0);
    t!(SYS_lseek, f, 0, SEEK_CUR);
    let (r2, w2) = pipe();
    t!(SYS_splice, r2, 0, w, 0, 4, SPLICE_F_NONBLOCK);
    put(w2, b"some");
    t!(SYS_splice, r2, 0, w, 0, 4, 0);
    t!(SYS_tee, r2, w, 4, 0);
    v!(waiting(r2));
    close(w2);
    t!(SYS_splice, r2, 0, f, 0, 100, 0);
    t!(SYS_splice, r2, 0, f, 0, 100, 0);
    t!(SYS_lseek, f, 0, SEEK_END);
    t!(SYS_splice, f, 0, pipe().1, 0, 4, 0);
    default(SIGPIPE);
    v!(in_child(|| {
        sc!(SYS_splice, f, &mut 0i64, w, 0, 4, 0);
    }));
}

fn splice_more_than_a_pipe() {
    let f = file(c"f", &[7; 128 << 10]);
    let (r, w) = pipe();
    t!(SYS_splice, f, 0, w, 0, 128 << 10, 0);
    v!(waiting(r));
    t!(SYS_lseek, f, 0, SEEK_CUR);
    let to = file(c"to", b"");
    t!(SYS_splice, r, 0, to, 0, 128 << 10, 0);
    let mut off = 100i64;
    t!(SYS_splice, f, &mut off, w, 0, usize::MAX, 0);
    v!((off, waiting(r)));
    t!(SYS_splice, r, 0, to, 0, usize::MAX, 0);
    v!(fstat(to).st_size);
}

fn splice_half_a_buffer() {
    let (r, w) = pipe();
    let (r2, w2) = tiny_pipe();
    put(w, b"one");
    must!(SYS_splice, r, 0, w2, 0, 2, 0);
    put(w2, b"-");
    v!((get(r2, 10), get(r, 10)));
    // Buffers move as they are, so a pipe can be full with little in it.
    for text in [b"aa", b"bb", b"cc"] {
        let v = iov(&[(text.as_ptr() as usize, 2)]);
        must!(SYS_vmsplice, w, &v[..], 1, 0);
    }
    t!(SYS_splice, r, 0, w2, 0, 100, 0);
    v!((waiting(r), waiting(r2), crate::pipes::poll1(w2, POLLOUT)));
    must!(SYS_read, r2, &mut [0u8; 1], 1);
    t!(SYS_splice, r, 0, w2, 0, 100, SPLICE_F_NONBLOCK);
    must!(SYS_read, r2, &mut [0u8; 1], 1);
    t!(SYS_splice, r, 0, w2, 0, 100, SPLICE_F_NONBLOCK);
    v!(get(r2, 100));
}

fn splice_wrong_kinds() {
    let (r, w) = pipe();
    put(w, b"some");
    t!(SYS_splice, r, 0, r, 0, 4, 0);
    t!(SYS_splice, w, 0, w, 0, 4, 0);
    t!(SYS_splice, r, 0, w, &mut 0i64, 4, 0);
    let f = file(c"f", b"x");
    t!(SYS_splice, r, 0, f, &mut -1i64, 4, 0);
    t!(SYS_splice, f, &mut -1i64, w, 0, 4, 0);
    t!(SYS_splice, f, 8, w, 0, 4, 0);
    t!(SYS_splice, r, 0, open(c".", O_RDONLY), 0, 4, 0);
    t!(SYS_splice, open(c".", O_RDONLY), 0, w, 0, 4, 0);
    t!(SYS_splice, r, 0, open(c"f", O_RDONLY), 0, 4, 0);
    t!(SYS_splice, open(c"f", O_WRONLY), 0, w, 0, 4, 0);
    t!(SYS_splice, open(c"f", O_PATH), 0, w, 0, 4, 0);
    t!(SYS_splice, -1, 8, -1, 8, 4, 0x100);
    t!(SYS_splice, -1, 8, -1, 8, 0, 0x100);
    let (a, b) = socketpair(SOCK_STREAM);
    t!(SYS_splice, r, 0, a, &mut 0i64, 4, 0);
    t!(SYS_splice, r, 0, a, 0, 2, 0);
    v!((get(b, 10), waiting(r)));
    t!(SYS_splice, b, 0, w, 0, 4, SPLICE_F_NONBLOCK);
    put(a, b"back");
    t!(SYS_splice, b, 0, w, 0, 100, 0);
    v!(waiting(r));
    let event = must!(SYS_eventfd2, 3, 0).fd();
    t!(SYS_splice, event, 0, w, 0, 8, SPLICE_F_NONBLOCK);
    t!(SYS_splice, r, 0, event, 0, 8, SPLICE_F_NONBLOCK);
    let memory = must!(SYS_memfd_create, c"m", 0).fd();
    t!(SYS_splice, r, 0, memory, 0, 1, 0);
    t!(SYS_tee, a, w, 4, 0);
    t!(SYS_tee, r, r, 4, 0);
    t!(SYS_tee, -1, w, 4, 0);
    t!(SYS_tee, -1, w, 0, 0);
    t!(SYS_tee, -1, -1, 4, 0x100);
}

/// RLIMIT_FSIZE holds for it too.
fn splice_size_limit() {
    ignore(SIGXFSZ);
    let (fd, (r, w)) = (file(c"f", b""), pipe());
    put(w, b"0123456789");
    let mut before = [0u64; 2];
    must!(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &mut before);
    must!(SYS_prlimit64, 0, RLIMIT_FSIZE, &[8, before[1]], 0);
    let done = [4i64, 8, 2].map(|mut at| sc!(SYS_splice, r, 0, fd, &mut at, 10, 0));
    // Our own output may be a file.
    must!(SYS_prlimit64, 0, RLIMIT_FSIZE, &before, 0);
    v!(done);
    println!("{:?}", String::from_utf8_lossy(&std::fs::read("f").expect("read")));
}

fn splice_waits() {
    let (r, w) = pipe();
    let (r2, w2) = tiny_pipe();
    let kid = spawn(|| {
        let all = [100, 3 * PAGE, 3 * PAGE].map(|len| sc!(SYS_splice, r, 0, w2, 0, len, 0));
        v!(all);
    });
    until_sleeping(kid);
    put(w, b"one");
    v!(get(r2, 10));
    until_sleeping(kid);
    put(w, &[1; 4 * PAGE]);
    until_sleeping(kid);
    v!((waiting(r), waiting(r2)));
    must!(SYS_read, r2, &mut [0u8; 2 * PAGE], 2 * PAGE);
    v!(reap(kid));
    v!((waiting(r), waiting(r2)));
}

fn tee_partial() {
    let (r, w) = pipe();
    let (r2, w2) = tiny_pipe();
    put(w, &[b'x'; 4 * PAGE]);
    t!(SYS_tee, r, w2, 4 * PAGE, 0);
    t!(SYS_tee, r, w2, 4 * PAGE, SPLICE_F_NONBLOCK);
    v!((waiting(r), waiting(r2)));
    v!(get(r2, 3));
    must!(SYS_read, r2, &mut [0u8; 2 * PAGE], 2 * PAGE);
    t!(SYS_tee, r, w2, 5, 0);
    put(w2, b"-");
    v!(get(r2, 10));
}

fn tee_nothing_at_the_ends() {
    let (r, w) = pipe();
    let (_r2, w2) = pipe();
    t!(SYS_tee, r, w2, 4, SPLICE_F_NONBLOCK);
    nonblock(r);
    t!(SYS_tee, r, w2, 4, 0);
    close(w);
    t!(SYS_tee, r, w2, 4, 0);
    t!(SYS_tee, r, w2, 4, SPLICE_F_NONBLOCK);
}
