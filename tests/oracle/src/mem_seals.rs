//! Seals of memory files: every way to write one that must fail, and what seals need of mappings
//! that are there already.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    sealed_map_stays_read_only, future_write_map_stays_read_only, copies_of_a_sealed_map, private_map_of_a_sealed_file,
    read_only_map_forbids_seal, read_only_descriptor_allows_seal, old_map_outlives_future_write, map_of_a_child,
    sealed_against_calls, sealed_against_pages, seals_added_at_once, sealed_execution, reopened_for_writing,
];

const FILE_SEAL_EXEC: i32 = 0x20;

fn sealed(seals: i32) -> i32 {
    let fd = must!(SYS_memfd_create, c"x", MFD_ALLOW_SEALING).fd();
    must!(SYS_ftruncate, fd, 4 * PAGE);
    must!(SYS_fcntl, fd, F_ADD_SEALS, seals);
    fd
}

fn first_byte(fd: i32) -> u8 {
    let mut byte = [0u8];
    must!(SYS_pread64, fd, &mut byte, 1, 0);
    byte[0]
}

fn sealed_map_stays_read_only() {
    let fd = sealed(F_SEAL_WRITE);
    let a = o!(SYS_mmap, 0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0).addr();
    v!(load(a));
    t!(SYS_mprotect, a, PAGE, RW);
    t!(SYS_mprotect, a, 2 * PAGE, PROT_WRITE);
    t!(SYS_mprotect, a, PAGE, PROT_NONE);
    t!(SYS_mprotect, a, PAGE, PROT_WRITE);
    t!(SYS_mprotect, a, 2 * PAGE, PROT_READ);
    v!((store(a, 7), store(a + PAGE, 7), first_byte(fd)));
    t!(SYS_read, open(c"/dev/zero", O_RDONLY), a, 10);
    let none = o!(SYS_mmap, 0, PAGE, PROT_NONE, MAP_SHARED, fd, 0).addr();
    t!(SYS_mprotect, none, PAGE, RW);
    t!(SYS_mmap, 0, PAGE, RW, MAP_SHARED, fd, 0);
    t!(SYS_mmap, 0, PAGE, PROT_WRITE, MAP_SHARED_VALIDATE, fd, 0);
}

fn future_write_map_stays_read_only() {
    let fd = sealed(F_SEAL_FUTURE_WRITE);
    let a = o!(SYS_mmap, 0, PAGE, PROT_READ, MAP_SHARED, fd, 0).addr();
    t!(SYS_mprotect, a, PAGE, RW);
    v!((store(a, 7), first_byte(fd)));
    // It is no mapping that could be written, so it is in nobody's way.
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
}

fn copies_of_a_sealed_map() {
    let fd = sealed(F_SEAL_WRITE);
    let a = must!(SYS_mmap, 0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0).addr();
    let b = o!(SYS_mremap, a, 0, PAGE, MREMAP_MAYMOVE).addr();
    t!(SYS_mprotect, b, PAGE, RW);
    let c = o!(SYS_mremap, a, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE).addr();
    t!(SYS_mprotect, c, 3 * PAGE, RW);
    t!(SYS_mprotect, c + 2 * PAGE, PAGE, RW);
    v!(in_child(|| {
        t!(SYS_mprotect, b, PAGE, RW);
        v!(store(c, 1));
    }));
    v!(first_byte(fd));
}

fn private_map_of_a_sealed_file() {
    let fd = sealed(F_SEAL_WRITE);
    let a = o!(SYS_mmap, 0, PAGE, RW, MAP_PRIVATE, fd, 0).addr();
    v!((store(a, 7), load(a), first_byte(fd)));
    let b = o!(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0).addr();
    t!(SYS_mprotect, b, PAGE, RW);
    v!((store(b, 8), load(b), first_byte(fd)));
}

fn read_only_map_forbids_seal() {
    let fd = sealed(0);
    let a = map_fd(fd, PAGE, PROT_READ, MAP_SHARED);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW);
    t!(SYS_fcntl, fd, F_GET_SEALS);
    t!(SYS_mprotect, a, PAGE, RW);
    v!((store(a, 7), first_byte(fd)));
    must!(SYS_mprotect, a, PAGE, PROT_NONE);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
    must!(SYS_munmap, a, PAGE);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
}

fn read_only_descriptor_allows_seal() {
    let fd = sealed(0);
    let reader = open(&c(&format!("/proc/self/fd/{fd}")), O_RDONLY);
    let a = map_fd(reader, PAGE, PROT_READ, MAP_SHARED);
    t!(SYS_fcntl, reader, F_ADD_SEALS, F_SEAL_WRITE);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
    t!(SYS_mprotect, a, PAGE, RW);
    let private = map_fd(reader, PAGE, RW, MAP_PRIVATE);
    v!((store(private, 1), first_byte(fd)));
}

fn old_map_outlives_future_write() {
    let fd = sealed(0);
    let a = map_fd(fd, PAGE, PROT_READ, MAP_SHARED);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
    t!(SYS_mprotect, a, PAGE, RW);
    v!((store(a, 7), first_byte(fd)));
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
    t!(SYS_pwrite64, fd, b"x", 1, 0);
}

fn map_of_a_child() {
    let fd = sealed(0);
    let (r, w) = pipe();
    let child = spawn(|| {
        let a = map_fd(fd, PAGE, RW, MAP_SHARED);
        put(w, b"mapped");
        until(|| load(a) == "1");
    });
    v!(get(r, 6));
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
    must!(SYS_pwrite64, fd, &[1u8], 1, 0);
    v!(reap(child));
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
}

fn sealed_against_calls() {
    for seal in [F_SEAL_WRITE, F_SEAL_FUTURE_WRITE] {
        let fd = sealed(seal);
        let source = must!(SYS_memfd_create, c"y", 0).fd();
        put(source, b"source");
        let (r, w) = pipe();
        put(w, b"through a pipe");
        t!(SYS_write, fd, b"x", 1);
        t!(SYS_write, fd, b"x", 0);
        t!(SYS_pwritev, fd, &iov(&[(b"xy".as_ptr() as usize, 2)])[..], 1, 0, 0);
        t!(SYS_sendfile, fd, source, &mut 0i64, 6);
        t!(SYS_copy_file_range, source, &mut 0i64, fd, 0, 6, 0);
        t!(SYS_splice, r, 0, fd, 0, 6, 0);
        t!(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE);
        t!(SYS_fallocate, fd, 0, 0, PAGE);
        t!(SYS_ftruncate, fd, 5 * PAGE);
        t!(SYS_ftruncate, fd, PAGE);
        v!(first_byte(fd));
    }
}

/// Pages that are given to a pipe stay the file's.
fn sealed_against_pages() {
    let fd = must!(SYS_memfd_create, c"x", MFD_ALLOW_SEALING).fd();
    put(fd, b"before");
    let (r, w) = pipe();
    must!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE);
    let mut at = 0i64;
    t!(SYS_splice, fd, &mut at, w, 0, 6, 0);
    v!(get(r, 10));
    let a = map_fd(fd, PAGE, PROT_READ, MAP_SHARED);
    t!(SYS_vmsplice, w, &iov(&[(a, 6)])[..], 1, 0);
    v!(get(r, 10));
}

fn seals_added_at_once() {
    let fd = sealed(F_SEAL_GROW | F_SEAL_SHRINK);
    t!(SYS_ftruncate, fd, 0);
    t!(SYS_ftruncate, fd, 4 * PAGE);
    t!(SYS_pwrite64, fd, b"xy", 2, 4 * PAGE - 1);
    t!(SYS_pwrite64, fd, b"xy", 2, 4 * PAGE - 2);
    t!(SYS_pwrite64, fd, b"x", 1, 4 * PAGE);
    t!(SYS_fallocate, fd, 0, 0, 5 * PAGE);
    t!(SYS_fallocate, fd, FALLOC_FL_KEEP_SIZE, 0, 5 * PAGE);
    t!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_WRITE);
    t!(SYS_fcntl, fd, F_GET_SEALS);
    t!(SYS_fcntl, fd, F_ADD_SEALS, 0);
}

fn sealed_execution() {
    let fd = must!(SYS_memfd_create, c"x", MFD_ALLOW_SEALING).fd();
    t!(SYS_fcntl, fd, F_ADD_SEALS, FILE_SEAL_EXEC);
    t!(SYS_fcntl, fd, F_GET_SEALS);
    t!(SYS_fchmod, fd, 0o600);
    t!(SYS_fchmod, fd, 0o755);
    t!(SYS_fchmod, fd, 0o733);
    t!(SYS_pwrite64, fd, b"x", 1, 0);
    let plain = must!(SYS_memfd_create, c"x", MFD_NOEXEC_SEAL).fd();
    t!(SYS_fcntl, plain, F_GET_SEALS);
    t!(SYS_fchmod, plain, 0o755);
    t!(SYS_fchmod, plain, 0o600);
    t!(SYS_pwrite64, plain, b"x", 1, 0);
    let mapped = must!(SYS_memfd_create, c"x", MFD_ALLOW_SEALING).fd();
    must!(SYS_ftruncate, mapped, PAGE);
    map_fd(mapped, PAGE, RW, MAP_SHARED);
    t!(SYS_fcntl, mapped, F_ADD_SEALS, FILE_SEAL_EXEC);
    t!(SYS_fcntl, mapped, F_GET_SEALS);
}

fn reopened_for_writing() {
    let fd = sealed(F_SEAL_WRITE);
    let path = c(&format!("/proc/self/fd/{fd}"));
    let again = o!(SYS_openat, AT_FDCWD, path.as_c_str(), O_RDWR).fd();
    t!(SYS_write, again, b"x", 1);
    t!(SYS_mmap, 0, PAGE, RW, MAP_SHARED, again, 0);
    let a = map_fd(again, PAGE, PROT_READ, MAP_SHARED);
    t!(SYS_mprotect, a, PAGE, RW);
    o!(SYS_openat, AT_FDCWD, path.as_c_str(), O_RDWR | O_TRUNC);
    v!(fstat(fd).st_size);
    must!(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK);
    o!(SYS_openat, AT_FDCWD, path.as_c_str(), O_RDWR | O_TRUNC);
}
