//! /dev: the devices every program counts on.

use crate::proc_files::{link, me};
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    null_and_zero,
    full_device,
    random_devices,
    tty_without,
    standard_links,
    shm_usable,
    dev_fd_opens,
    device_errors,
];

fn null_and_zero() {
    let (null, zero) = (open(c"/dev/null", O_RDWR), open(c"/dev/zero", O_RDWR));
    v!((get(null, 10), get(zero, 4)));
    t!(SYS_write, null, &[1u8; 1000], 1000);
    t!(SYS_write, zero, &[1u8; 1000], 1000);
    t!(SYS_lseek, zero, 100, SEEK_SET);
    v!([c"/dev/null", c"/dev/zero", c"/dev/full", c"/dev/random", c"/dev/urandom", c"/dev/tty", c"/dev/ptmx"].map(|p| {
        let mut st: libc::stat = zeroed();
        must!(SYS_stat, p, &mut st);
        (libc::major(st.st_rdev), libc::minor(st.st_rdev), st.st_mode & S_IFMT == S_IFCHR)
    }));
}

fn full_device() {
    let full = open(c"/dev/full", O_RDWR);
    v!(get(full, 3));
    t!(SYS_write, full, b"x", 1);
    t!(SYS_write, full, b"", 0);
    t!(SYS_pwrite64, full, b"x", 1, 10);
}

fn random_devices() {
    for path in [c"/dev/random", c"/dev/urandom"] {
        let fd = open(path, O_RDWR);
        let (mut a, mut b) = ([0u8; 32], [0u8; 32]);
        t!(SYS_read, fd, &mut a, 32);
        t!(SYS_read, fd, &mut b, 32);
        v!((a != b, a != [0; 32]));
        t!(SYS_write, fd, b"seed", 4);
    }
    let mut c = [0u8; 16];
    t!(SYS_getrandom, &mut c, 16, 0);
    t!(SYS_getrandom, &mut c, 16, GRND_NONBLOCK);
    t!(SYS_getrandom, &mut c, 16, 0x100);
    t!(SYS_getrandom, &mut c, 0, 0);
    v!(c != [0; 16]);
}

fn tty_without() {
    v!(in_child(|| {
        must!(SYS_setsid);
        o!(SYS_openat, AT_FDCWD, c"/dev/tty", O_RDWR);
        o!(SYS_openat, AT_FDCWD, c"/dev/tty", O_RDONLY | O_NONBLOCK);
        o!(SYS_openat, AT_FDCWD, c"/dev/tty", O_PATH);
    }));
}

fn standard_links() {
    v!([link("/dev/stdin"), link("/dev/stdout"), link("/dev/stderr")]);
    let (r, w) = pipe();
    put(w, b"by way of stdin");
    must!(SYS_dup2, r, 0);
    let fd = o!(SYS_openat, AT_FDCWD, c"/dev/stdin", O_RDONLY).fd();
    v!(get(fd, 20));
}

fn shm_usable() {
    let name = c(&format!("/dev/shm/oracle-{}", me()));
    let fd = o!(SYS_openat, AT_FDCWD, name.as_c_str(), O_CREAT | O_EXCL | O_RDWR, 0o600).fd();
    must!(SYS_ftruncate, fd, 2 * PAGE);
    let a = map_fd(fd, 2 * PAGE, RW, MAP_SHARED);
    v!(in_child(|| {
        let b = map_fd(open(&name, O_RDWR), 2 * PAGE, RW, MAP_SHARED);
        fill(b + PAGE, PAGE, 3);
    }));
    v!((load(a), load(a + PAGE)));
    println!("{:o}", stat(c"/dev/shm").st_mode);
    t!(SYS_unlink, name.as_c_str());
}

fn dev_fd_opens() {
    let fd = file(c"f", b"abcdef");
    get(fd, 3);
    let again = o!(SYS_openat, AT_FDCWD, c(&format!("/dev/fd/{fd}")).as_c_str(), O_RDONLY).fd();
    v!((get(again, 10), get(fd, 10)));
    o!(SYS_openat, AT_FDCWD, c"/dev/fd/999", O_RDONLY);
    let (r, w) = pipe();
    let again = o!(SYS_openat, AT_FDCWD, c(&format!("/dev/fd/{r}")).as_c_str(), O_RDONLY).fd();
    put(w, b"pipe");
    v!(get(again, 10));
}

fn device_errors() {
    o!(SYS_openat, AT_FDCWD, c"/dev/null", O_RDWR | O_DIRECTORY);
    o!(SYS_openat, AT_FDCWD, c"/dev/null/x", O_RDWR);
    o!(SYS_openat, AT_FDCWD, c"/dev/null", O_RDWR | O_TRUNC | O_CREAT, 0o600);
    t!(SYS_ftruncate, open(c"/dev/zero", O_RDWR), 0);
    t!(SYS_openat, AT_FDCWD, c"/dev/nonexistent-device", O_RDWR);
    t!(SYS_getdents64, open(c"/dev/null", O_RDWR), &mut [0u8; 64], 64);
}
