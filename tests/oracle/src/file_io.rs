//! Reading, writing, seeking, sizes, holes, and moving data between files without reading it.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    read_write_position, pread_pwrite, vectors, preadv2_flags, negative_offsets, lseek_rules, lseek_unseekable,
    lseek_data_hole, sparse_reads_zero, ftruncate_grow_shrink, truncate_errors, fallocate_modes, fallocate_errors,
    zero_and_collapse, big_offsets, fsize_limit, append_between_processes, sendfile_basics, sendfile_errors,
    sendfile_to_pipe, sendfile_order, sendfile_kinds, no_buffers, copy_range_basics, copy_range_errors, copy_range_overlap, splice_basics, splice_errors,
    tee_basics, vmsplice_basics, sync_family, unlinked_but_open, read_at_end, zero_length, partial_overwrite,
    write_growing_pattern, system_file_three_ways, copy_up, dev_full_and_null, fadvise_readahead, offsets_after_error,
];

fn read_write_position() {
    let fd = file(c"f", b"");
    t!(SYS_write, fd, b"hello world", 11);
    v!(sc!(SYS_lseek, fd, 0, SEEK_CUR));
    t!(SYS_lseek, fd, -5, SEEK_END);
    v!(get(fd, 3));
    t!(SYS_write, fd, b"LD!!", 4);
    v!(content("f"));
    t!(SYS_read, fd, &mut [0u8; 4], 4);
}

fn pread_pwrite() {
    let fd = file(c"f", b"0123456789");
    let mut b = [0u8; 4];
    t!(SYS_pread64, fd, &mut b, 4, 3);
    v!((text(&b), sc!(SYS_lseek, fd, 0, SEEK_CUR)));
    t!(SYS_pwrite64, fd, b"XY", 2, 8);
    t!(SYS_pwrite64, fd, b"Z", 1, 15);
    t!(SYS_pread64, fd, &mut b, 4, 100);
    v!((content("f"), sc!(SYS_lseek, fd, 0, SEEK_CUR)));
    let (r, w) = pipe();
    t!(SYS_pread64, r, &mut b, 4, 0);
    t!(SYS_pwrite64, w, &b, 4, 0);
}

fn vectors() {
    let fd = file(c"f", b"");
    let parts = [b"one".as_slice(), b"", b"two2", b"three"];
    let v = iov(&parts.map(|p| (p.as_ptr() as usize, p.len())));
    t!(SYS_writev, fd, &v[..], 4);
    v!(content("f"));
    let mut buf = [b'.'; 12];
    let base = buf.as_mut_ptr() as usize;
    let v = iov(&[(base + 6, 3), (base, 5), (base + 10, 2)]);
    t!(SYS_preadv, fd, &v[..], 3, 1, 0);
    v!(text(&buf));
    t!(SYS_writev, fd, &v[..], 0);
    t!(SYS_pwritev, fd, &v[..], 1, 20, 0);
    v!(content("f"));
    let many = iov(&[(base, 1); 1024]);
    t!(SYS_writev, fd, &many[..], 1024);
}

fn preadv2_flags() {
    let fd = file(c"f", b"0123456789");
    let mut buf = [0u8; 4];
    let v = iov(&[(buf.as_mut_ptr() as usize, 4)]);
    // An offset of -1 means the file's own position.
    t!(SYS_preadv2, fd, &v[..], 1, -1, -1, 0);
    v!((text(&buf), sc!(SYS_lseek, fd, 0, SEEK_CUR)));
    t!(SYS_preadv2, fd, &v[..], 1, 2, 0, 0);
    v!((text(&buf), sc!(SYS_lseek, fd, 0, SEEK_CUR)));
    t!(SYS_preadv2, fd, &v[..], 1, 0, 0, 0x4000_0000);
    t!(SYS_pwritev2, fd, &v[..], 1, 0, 0, RWF_APPEND);
    v!(content("f"));
    t!(SYS_pwritev2, fd, &v[..], 1, 0, 0, RWF_DSYNC);
    v!(content("f"));
}

fn negative_offsets() {
    let fd = file(c"f", b"abc");
    let mut b = [0u8; 4];
    t!(SYS_pread64, fd, &mut b, 4, -1);
    t!(SYS_pwrite64, fd, &b, 4, -1);
    let v = iov(&[(b.as_mut_ptr() as usize, 4)]);
    t!(SYS_preadv, fd, &v[..], 1, -1, -1);
    t!(SYS_preadv2, fd, &v[..], 1, -2, -1, 0);
    t!(SYS_pread64, fd, &mut b, 4, i64::MAX);
    t!(SYS_pwrite64, fd, &b, 4, i64::MAX);
    t!(SYS_lseek, fd, -1, SEEK_SET);
    t!(SYS_lseek, fd, -4, SEEK_END);
}

fn lseek_rules() {
    let fd = file(c"f", b"0123456789");
    t!(SYS_lseek, fd, 3, SEEK_SET);
    t!(SYS_lseek, fd, 4, SEEK_CUR);
    t!(SYS_lseek, fd, -8, SEEK_CUR);
    t!(SYS_lseek, fd, 0, SEEK_END);
    t!(SYS_lseek, fd, 100, SEEK_CUR);
    v!(get(fd, 5));
    t!(SYS_write, fd, b"!", 1);
    v!(fstat(fd).st_size);
    t!(SYS_lseek, fd, 0, 99);
    t!(SYS_lseek, fd, 0, -1);
    t!(SYS_lseek, 999, 0, SEEK_SET);
    t!(SYS_lseek, fd, 10, SEEK_SET);
    t!(SYS_lseek, fd, i64::MAX, SEEK_CUR);
    t!(SYS_lseek, fd, 0, SEEK_CUR);
}

fn lseek_unseekable() {
    let (r, w) = pipe();
    let (s, _) = socketpair(SOCK_STREAM);
    t!(SYS_lseek, r, 0, SEEK_CUR);
    t!(SYS_lseek, w, 0, SEEK_END);
    t!(SYS_lseek, s, 0, SEEK_SET);
    t!(SYS_lseek, open(c"/dev/null", O_RDONLY), 100, SEEK_SET);
    t!(SYS_lseek, open(c"/dev/zero", O_RDONLY), 100, SEEK_SET);
}

fn lseek_data_hole() {
    let fd = file(c"f", b"");
    const BLOCK: usize = 65536;
    must!(SYS_ftruncate, fd, 4 * BLOCK);
    must!(SYS_pwrite64, fd, &[1u8; BLOCK], BLOCK, BLOCK);
    t!(SYS_lseek, fd, 0, SEEK_DATA);
    t!(SYS_lseek, fd, 0, SEEK_HOLE);
    t!(SYS_lseek, fd, BLOCK + 5, SEEK_DATA);
    t!(SYS_lseek, fd, BLOCK + 5, SEEK_HOLE);
    t!(SYS_lseek, fd, 2 * BLOCK, SEEK_DATA);
    t!(SYS_lseek, fd, 3 * BLOCK, SEEK_HOLE);
    t!(SYS_lseek, fd, 4 * BLOCK, SEEK_HOLE);
    t!(SYS_lseek, fd, 4 * BLOCK, SEEK_DATA);
    t!(SYS_lseek, fd, -1, SEEK_DATA);
}

fn sparse_reads_zero() {
    let fd = file(c"f", b"start");
    must!(SYS_pwrite64, fd, b"end", 3, 1 << 20);
    let all = std::fs::read("f").expect("read");
    v!((all.len(), all.iter().filter(|b| **b != 0).count(), text(&all[1 << 20..])));
    v!(fstat(fd).st_blocks < 1000);
}

fn ftruncate_grow_shrink() {
    let fd = file(c"f", b"0123456789");
    must!(SYS_lseek, fd, 8, SEEK_SET);
    t!(SYS_ftruncate, fd, 4);
    v!((content("f"), sc!(SYS_lseek, fd, 0, SEEK_CUR), get(fd, 1)));
    t!(SYS_ftruncate, fd, 8);
    v!(content("f"));
    put(fd, b"X");
    v!(content("f"));
    t!(SYS_truncate, c"f", 2);
    v!(content("f"));
}

fn truncate_errors() {
    let fd = file(c"f", b"abc");
    t!(SYS_ftruncate, fd, -1);
    t!(SYS_truncate, c"f", -1);
    t!(SYS_truncate, c"absent", 0);
    t!(SYS_truncate, c"f/x", 0);
    let (r, w) = pipe();
    t!(SYS_ftruncate, r, 0);
    t!(SYS_ftruncate, w, 0);
    t!(SYS_ftruncate, open(c"/dev/null", O_RDWR), 0);
    t!(SYS_truncate, c"/dev/null", 0);
    t!(SYS_ftruncate, 999, 0);
    t!(SYS_ftruncate, open(c"f", O_RDONLY), 0);
    v!(content("f"));
}

fn fallocate_modes() {
    let fd = file(c"f", b"0123456789");
    t!(SYS_fallocate, fd, 0, 5, 10);
    v!((fstat(fd).st_size, content("f")));
    t!(SYS_fallocate, fd, FALLOC_FL_KEEP_SIZE, 0, 100_000);
    v!(fstat(fd).st_size);
    t!(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3);
    v!(content("f"));
    t!(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8, 1_000_000);
    v!(content("f"));
}

fn fallocate_errors() {
    let fd = file(c"f", b"abc");
    t!(SYS_fallocate, fd, 0, 0, 0);
    t!(SYS_fallocate, fd, 0, -1, 10);
    t!(SYS_fallocate, fd, 0, 0, -1);
    t!(SYS_fallocate, fd, 0, i64::MAX, 10);
    t!(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE, 0, 10);
    t!(SYS_fallocate, fd, 0x4000, 0, 10);
    t!(SYS_fallocate, open(c"f", O_RDONLY), 0, 0, 10);
    let (_r, w) = pipe();
    t!(SYS_fallocate, w, 0, 0, 10);
    t!(SYS_fallocate, open(c".", O_RDONLY), 0, 0, 10);
    t!(SYS_fallocate, 999, 0, 0, 10);
}

fn zero_and_collapse() {
    let fd = file(c"f", &[b'x'; 3 * PAGE]);
    t!(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE);
    let all = std::fs::read("f").expect("read");
    v!((all.len(), all.iter().filter(|b| **b == 0).count(), all[PAGE - 1], all[PAGE], all[2 * PAGE]));
    t!(SYS_fallocate, fd, FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE, 0, PAGE);
    t!(SYS_fallocate, fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE, 0, PAGE);
}

fn big_offsets() {
    let fd = file(c"f", b"");
    t!(SYS_pwrite64, fd, b"far", 3, 5usize << 30);
    v!(fstat(fd).st_size);
    let mut b = [9u8; 4];
    t!(SYS_pread64, fd, &mut b, 4, (5usize << 30) - 1);
    v!(text(&b));
    t!(SYS_lseek, fd, 6usize << 30, SEEK_SET);
    t!(SYS_read, fd, &mut b, 4);
    v!(stat(c"f").st_size);
}

fn fsize_limit() {
    let fd = file(c"f", b"");
    // So large that the limit cannot concern the file which collects this output.
    const LIMIT: usize = 1 << 30;
    let lim = rlimit { rlim_cur: LIMIT as u64, rlim_max: RLIM_INFINITY };
    must!(SYS_prlimit64, 0, RLIMIT_FSIZE, &lim, 0);
    catch(SIGXFSZ, 0);
    t!(SYS_pwrite64, fd, &[1u8; 90], 90, LIMIT - 100);
    t!(SYS_pwrite64, fd, &[1u8; 90], 90, LIMIT - 10);
    v!(caught(SIGXFSZ));
    t!(SYS_pwrite64, fd, &[1u8; 90], 90, LIMIT);
    v!(caught(SIGXFSZ));
    t!(SYS_ftruncate, fd, LIMIT + 1);
    v!((caught(SIGXFSZ), fstat(fd).st_size));
    ignore(SIGXFSZ);
    t!(SYS_pwrite64, fd, b"x", 1, LIMIT);
    v!(in_child(|| {
        default(SIGXFSZ);
        sc!(SYS_pwrite64, fd, b"x", 1, LIMIT);
    }));
}

fn append_between_processes() {
    close(file(c"f", b""));
    let kids: Vec<i32> = (0..4u8)
        .map(|n| {
            spawn(move || {
                let fd = open(c"f", O_WRONLY | O_APPEND);
                for _ in 0..100 {
                    put(fd, &[b'a' + n; 10]);
                }
            })
        })
        .collect();
    v!(kids.into_iter().map(reap).collect::<Vec<_>>());
    let all = std::fs::read("f").expect("read");
    v!((all.len(), all.chunks(10).all(|c| c.iter().all(|b| *b == c[0]))));
    v!((0..4).map(|n| all.iter().filter(|b| **b == b'a' + n).count()).collect::<Vec<_>>());
}

fn sendfile_basics() {
    let from = file(c"a", b"0123456789");
    let to = file(c"b", b"");
    t!(SYS_sendfile, to, from, 0, 4);
    v!((content("b"), sc!(SYS_lseek, from, 0, SEEK_CUR)));
    let mut off = 6i64;
    t!(SYS_sendfile, to, from, &mut off, 100);
    v!((content("b"), off, sc!(SYS_lseek, from, 0, SEEK_CUR)));
    t!(SYS_sendfile, to, from, &mut off, 100);
    t!(SYS_sendfile, to, from, 0, 0);
}

/// What can be read without user memory, and what can take it.
fn sendfile_kinds() {
    let (_, to_pipe) = pipe();
    let (from_pipe, w) = pipe();
    put(w, b"in a pipe");
    let mut pair = [0; 2];
    must!(SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, &mut pair);
    put(pair[1], b"in a socket");
    let inputs = [
        ("regular", file(c"f", b"in a file")),
        ("pipe", from_pipe),
        ("socket", pair[0]),
        ("/dev/null", open(c"/dev/null", O_RDONLY)),
        ("/dev/zero", open(c"/dev/zero", O_RDONLY)),
        ("directory", open(c".", O_RDONLY)),
        ("epoll", must!(SYS_epoll_create1, 0).fd()),
        ("eventfd", must!(SYS_eventfd2, 1, EFD_NONBLOCK).fd()),
        ("terminal", open(c"/dev/ptmx", O_RDWR | O_NONBLOCK | O_NOCTTY)),
    ];
    let outputs = [
        ("regular", open(c"out", O_RDWR | O_CREAT)),
        ("appended", open(c"appended", O_RDWR | O_CREAT | O_APPEND)),
        ("pipe", to_pipe),
        ("socket", pair[0]),
        ("eventfd", must!(SYS_eventfd2, 0, EFD_NONBLOCK).fd()),
    ];
    for (to, out) in outputs {
        for (from, input) in inputs {
            sc!(SYS_lseek, input, 0, SEEK_SET);
            println!("{from} to {to}: {} and {}", sc!(SYS_sendfile, out, input, 0, 0), sc!(SYS_sendfile, out, input, 0, 3));
        }
    }
}

fn sendfile_errors() {
    let from = file(c"a", b"data");
    let to = file(c"b", b"");
    let (r, w) = pipe();
    t!(SYS_sendfile, to, 999, 0, 4);
    t!(SYS_sendfile, 999, from, 0, 4);
    t!(SYS_sendfile, open(c"b", O_RDONLY), from, 0, 4);
    t!(SYS_sendfile, to, open(c"b", O_WRONLY), 0, 4);
    put(w, b"pipe");
    t!(SYS_sendfile, to, r, &mut 0i64, 4);
    t!(SYS_sendfile, open(c"b", O_WRONLY | O_APPEND), from, 0, 4);
    t!(SYS_sendfile, to, from, &mut -1i64, 4);
    t!(SYS_sendfile, to, open(c".", O_RDONLY), 0, 4);
}

fn sendfile_to_pipe() {
    let from = file(c"a", &[b'z'; 100_000]);
    let (r, w) = pipe();
    t!(SYS_sendfile, w, from, 0, 3000);
    t!(SYS_read, r, &mut [0u8; 5000], 5000);
    let (s, d) = socketpair(SOCK_STREAM);
    t!(SYS_sendfile, s, from, &mut 99_990i64, 50);
    v!(get(d, 50));
    must!(SYS_lseek, from, 0, SEEK_SET);
    // As much as there is room for, also where a write would wait for more.
    t!(SYS_sendfile, w, from, 0, 100_000);
    v!(sc!(SYS_lseek, from, 0, SEEK_CUR));
    must!(SYS_read, r, &mut [0u8; 100], 100);
    must!(SYS_fcntl, w, F_SETFL, O_NONBLOCK);
    t!(SYS_sendfile, w, from, 0, 100);
    must!(SYS_read, r, &mut [0u8; 5000], 5000);
    t!(SYS_sendfile, w, from, 0, 9000);
    must!(SYS_read, r, &mut [0u8; 65536], 65536);
    // A write does not join what a file gave.
    t!(SYS_sendfile, w, from, &mut 0i64, 5);
    for _ in 0..16 {
        t!(SYS_write, w, b"abc", 3);
    }
    let (other, _to) = pipe();
    t!(SYS_sendfile, w, other, 0, 5);
    close(r);
    t!(SYS_sendfile, w, from, 0, 5);
    t!(SYS_sendfile, w, from, 0, 0);
}

/// Which of two errors there is.
fn sendfile_order() {
    let from = file(c"a", b"data");
    let (r, _w) = pipe();
    let written = open(c"b", O_WRONLY | O_CREAT);
    t!(SYS_sendfile, 999, from, &mut -4i64, 4);
    t!(SYS_sendfile, from, 999, &mut -4i64, 4);
    t!(SYS_sendfile, from, written, &mut -4i64, 4);
    t!(SYS_sendfile, 999, r, &mut 0i64, 4);
    t!(SYS_sendfile, 999, 999, 8, 4);
    t!(SYS_pread64, r, 8, 4, 0);
    t!(SYS_preadv, r, 8, 4, 0, 0);
    t!(SYS_preadv, r, 0, 0, 0, 0);
    t!(SYS_preadv, written, 8, 4, 0, 0);
    t!(SYS_pwritev, r, 8, 4, 0, 0);
    t!(SYS_pwritev, r, 0, 0, 0, 0);
    t!(SYS_pwritev, from, 8, 4, 0, 0);
}

/// A read of no buffers is an access.
fn no_buffers() {
    let fd = file(c"a", b"data");
    let watch = must!(SYS_inotify_init1, IN_NONBLOCK).fd();
    must!(SYS_inotify_add_watch, watch, c".", IN_ALL_EVENTS);
    t!(SYS_read, fd, 0, 0);
    t!(SYS_write, fd, 0, 0);
    t!(SYS_writev, fd, 0, 0);
    t!(SYS_read, watch, &mut [0u8; 64], 64);
    t!(SYS_readv, fd, 0, 0);
    t!(SYS_read, watch, &mut [0u8; 64], 64);
    t!(SYS_preadv, fd, 0, 0, 0, 0);
    t!(SYS_read, watch, &mut [0u8; 64], 64);
}

fn copy_range_basics() {
    let from = file(c"a", b"0123456789");
    let to = file(c"b", b"..........");
    t!(SYS_copy_file_range, from, 0, to, 0, 4, 0);
    v!((content("b"), sc!(SYS_lseek, from, 0, SEEK_CUR), sc!(SYS_lseek, to, 0, SEEK_CUR)));
    let (mut i, mut o) = (7i64, 8i64);
    t!(SYS_copy_file_range, from, &mut i, to, &mut o, 100, 0);
    v!((content("b"), i, o));
    t!(SYS_copy_file_range, from, &mut i, to, &mut o, 100, 0);
}

fn copy_range_errors() {
    let from = file(c"a", b"0123456789");
    let to = file(c"b", b"");
    t!(SYS_copy_file_range, from, 0, to, 0, 4, 1);
    t!(SYS_copy_file_range, from, 0, open(c"b", O_RDONLY), 0, 4, 0);
    t!(SYS_copy_file_range, open(c"a", O_WRONLY), 0, to, 0, 4, 0);
    t!(SYS_copy_file_range, from, 0, open(c"b", O_WRONLY | O_APPEND), 0, 4, 0);
    t!(SYS_copy_file_range, open(c".", O_RDONLY), 0, to, 0, 4, 0);
    let (r, w) = pipe();
    t!(SYS_copy_file_range, r, 0, to, 0, 4, 0);
    t!(SYS_copy_file_range, from, 0, w, 0, 4, 0);
    t!(SYS_copy_file_range, 999, 0, to, 0, 4, 0);
}

fn copy_range_overlap() {
    let fd = file(c"a", b"0123456789");
    t!(SYS_copy_file_range, fd, &mut 0i64, fd, &mut 3i64, 5, 0);
    t!(SYS_copy_file_range, fd, &mut 0i64, fd, &mut 5i64, 5, 0);
    v!(content("a"));
    t!(SYS_copy_file_range, fd, &mut 2i64, fd, &mut 20i64, 3, 0);
    v!(content("a"));
}

fn splice_basics() {
    let from = file(c"a", b"0123456789");
    let to = file(c"b", b"");
    let (r, w) = pipe();
    t!(SYS_splice, from, 0, w, 0, 6, 0);
    v!(sc!(SYS_lseek, from, 0, SEEK_CUR));
    t!(SYS_splice, r, 0, to, 0, 4, 0);
    v!((content("b"), get(r, 10)));
    let mut off = 8i64;
    t!(SYS_splice, from, &mut off, w, 0, 100, 0);
    v!((off, get(r, 10)));
    let (r2, w2) = pipe();
    put(w, b"between");
    t!(SYS_splice, r, 0, w2, 0, 4, 0);
    v!((get(r, 10), get(r2, 10)));
    close(w);
    t!(SYS_splice, r, 0, to, 0, 4, 0);
}

fn splice_errors() {
    let a = file(c"a", b"data");
    let b = file(c"b", b"");
    let (r, w) = pipe();
    t!(SYS_splice, a, 0, b, 0, 4, 0);
    t!(SYS_splice, r, 0, b, 0, 4, SPLICE_F_NONBLOCK);
    t!(SYS_splice, w, 0, b, 0, 4, 0);
    t!(SYS_splice, a, 0, r, 0, 4, 0);
    t!(SYS_splice, r, &mut 0i64, b, 0, 4, 0);
    t!(SYS_splice, a, 0, w, 0, 4, 0x100);
    t!(SYS_splice, 999, 0, w, 0, 4, 0);
    t!(SYS_splice, a, 0, w, 0, 0, 0);
    put(w, b"loop");
    t!(SYS_splice, r, 0, w, 0, 4, 0);
    let append = open(c"b", O_WRONLY | O_APPEND);
    t!(SYS_splice, r, 0, append, 0, 4, 0);
}

fn tee_basics() {
    let (r, w) = pipe();
    let (r2, w2) = pipe();
    put(w, b"twice");
    t!(SYS_tee, r, w2, 3, 0);
    v!((get(r, 10), get(r2, 10)));
    t!(SYS_tee, r, w2, 3, SPLICE_F_NONBLOCK);
    t!(SYS_tee, r, w, 3, 0);
    t!(SYS_tee, file(c"f", b"x"), w, 3, 0);
    close(w);
    t!(SYS_tee, r, w2, 3, 0);
}

fn vmsplice_basics() {
    let (r, w) = pipe();
    let data = b"from memory";
    let v = iov(&[(data.as_ptr() as usize, 4), (data.as_ptr() as usize + 5, 6)]);
    t!(SYS_vmsplice, w, &v[..], 2, 0);
    v!(get(r, 20));
    put(w, b"to memory");
    let mut buf = [0u8; 9];
    let v = iov(&[(buf.as_mut_ptr() as usize, 9)]);
    t!(SYS_vmsplice, r, &v[..], 1, 0);
    v!(text(&buf));
    t!(SYS_vmsplice, file(c"f", b""), &v[..], 1, 0);
}

fn sync_family() {
    let fd = file(c"f", b"x");
    let (r, _w) = pipe();
    t!(SYS_fsync, fd);
    t!(SYS_fdatasync, fd);
    t!(SYS_fsync, open(c".", O_RDONLY));
    t!(SYS_fsync, r);
    t!(SYS_fdatasync, open(c"/dev/null", O_RDWR));
    t!(SYS_fsync, 999);
    t!(SYS_syncfs, 999);
    t!(SYS_sync_file_range, fd, 0, 10, 0);
    t!(SYS_sync_file_range, fd, 0, 10, 0x100);
    t!(SYS_sync_file_range, fd, -1, 10, 0);
    t!(SYS_sync_file_range, r, 0, 10, 0);
}

fn unlinked_but_open() {
    let fd = file(c"f", b"still");
    must!(SYS_unlinkat, AT_FDCWD, c"f", 0);
    v!((fstat(fd).st_nlink, sc!(SYS_access, c"f", 0)));
    must!(SYS_lseek, fd, 0, SEEK_END);
    put(fd, b" here");
    must!(SYS_lseek, fd, 0, SEEK_SET);
    v!(get(fd, 20));
    close(file(c"f", b"new"));
    v!((content("f"), fstat(fd).st_size));
    t!(SYS_ftruncate, fd, 2);
    t!(SYS_fchmod, fd, 0o600);
}

fn read_at_end() {
    let fd = file(c"f", b"abc");
    v!((get(fd, 2), get(fd, 2), get(fd, 2), get(fd, 2)));
    let w = open(c"f", O_WRONLY | O_APPEND);
    put(w, b"more");
    v!(get(fd, 10));
}

fn zero_length() {
    let fd = file(c"f", b"abc");
    let (r, w) = pipe();
    t!(SYS_read, fd, 0, 0);
    t!(SYS_write, fd, 0, 0);
    t!(SYS_read, r, 0, 0);
    t!(SYS_write, w, 0, 0);
    t!(SYS_pwrite64, fd, 0, 0, 100);
    v!(fstat(fd).st_size);
    t!(SYS_read, 999, 0, 0);
    t!(SYS_write, open(c"f", O_RDONLY), 0, 0);
}

fn partial_overwrite() {
    let fd = file(c"f", &[b'a'; 3 * PAGE]);
    must!(SYS_pwrite64, fd, &[b'b'; 100], 100, PAGE - 50);
    must!(SYS_pwrite64, fd, &[b'c'; PAGE], PAGE, 2 * PAGE - 1);
    let all = std::fs::read("f").expect("read");
    v!((b'a'..=b'c').map(|c| all.iter().filter(|b| **b == c).count()).collect::<Vec<_>>());
    v!((all.len(), text(&all[PAGE - 51..PAGE - 48]), text(&all[3 * PAGE - 2..])));
}

fn write_growing_pattern() {
    let fd = file(c"f", b"");
    let mut sum = 0u64;
    for i in 0..300usize {
        let chunk = vec![i as u8; i * 7 % 1000 + 1];
        put(fd, &chunk);
        sum += chunk.iter().map(|b| u64::from(*b)).sum::<u64>();
    }
    let all = std::fs::read("f").expect("read");
    v!((all.len(), all.iter().map(|b| u64::from(*b)).sum::<u64>() == sum));
}

fn system_file_three_ways() {
    for path in [c"/etc/passwd", c"/bin/sh", c"/proc/self/exe"] {
        let fd = open(path, O_RDONLY);
        let size = fstat(fd).st_size as usize;
        let read = std::fs::read(path.to_str().expect("utf-8")).expect("read");
        let mapped = map_fd(fd, size, PROT_READ, MAP_PRIVATE);
        // SAFETY: mapped just now and as long as the file.
        let mapped = unsafe { std::slice::from_raw_parts(mapped as *const u8, size) };
        let out = file(c"sent", b"");
        while sc!(SYS_sendfile, out, fd, 0, 1 << 20).0 > 0 {}
        v!((read.len() == size, read == mapped, std::fs::read("sent").expect("read") == read));
    }
}

fn copy_up() {
    // A private mapping of a system file may be written; a file of the system may not change by it.
    let before = std::fs::read("/etc/passwd").expect("read");
    let fd = open(c"/etc/passwd", O_RDONLY);
    let a = map_fd(fd, PAGE, RW, MAP_PRIVATE);
    copy_in(a, b"changed");
    v!(peek_text(a, 7));
    v!(std::fs::read("/etc/passwd").expect("read") == before);
    std::fs::copy("/etc/passwd", "passwd").expect("copy");
    let copy = open(c"passwd", O_RDWR);
    must!(SYS_pwrite64, copy, b"X", 1, 0);
    let now = std::fs::read("passwd").expect("read");
    v!((now.len() == before.len(), now[0], now[1..] == before[1..]));
    t!(SYS_write, fd, b"x", 1);
}

fn dev_full_and_null() {
    let full = open(c"/dev/full", O_RDWR);
    t!(SYS_write, full, b"x", 1);
    v!(get(full, 2));
    let null = open(c"/dev/null", O_RDWR);
    t!(SYS_write, null, b"xyz", 3);
    v!(get(null, 2));
}

fn fadvise_readahead() {
    let fd = file(c"f", b"abc");
    for advice in 0..6 {
        t!(SYS_fadvise64, fd, 0, 0, advice);
    }
    t!(SYS_fadvise64, fd, 0, 0, 77);
    t!(SYS_fadvise64, fd, 0, -1, 0);
    let (r, _) = pipe();
    t!(SYS_fadvise64, r, 0, 0, 0);
    t!(SYS_readahead, fd, 0, 10);
    t!(SYS_readahead, r, 0, 10);
    t!(SYS_readahead, 999, 0, 10);
}

fn offsets_after_error() {
    let fd = file(c"f", b"abc");
    must!(SYS_lseek, fd, 1, SEEK_SET);
    t!(SYS_lseek, fd, -5, SEEK_CUR);
    t!(SYS_write, open(c"f", O_RDONLY), b"x", 1);
    v!(sc!(SYS_lseek, fd, 0, SEEK_CUR));
    v!((get(fd, 1), content("f")));
}
