//! Reading directories, and being in one: getdents, the working directory, the root directory.

use crate::file_names::{mkdir, names, touch};
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    getdents_lists,
    getdents_small_buffer,
    getdents_types,
    getdents_while_deleting,
    getdents_rewind,
    lseek_places,
    getdents_many,
    getdents_removed,
    getdents_sees_new,
    deep_tree,
    chdir_fchdir,
    getcwd_rules,
    cwd_deleted,
    cwd_renamed,
    cwd_is_inherited,
    chroot_basics,
    chroot_escape,
];

/// Directory entries as (name, type), read with a buffer of this size.
fn dents(fd: i32, size: usize) -> Result<Vec<(String, u8)>, Ret> {
    let mut buf = vec![0u64; size / 8];
    let n = sc!(SYS_getdents64, fd, &mut buf[..], size);
    if !n.is_ok() {
        return Err(n);
    }
    let bytes: Vec<u8> = buf.iter().flat_map(|w| w.to_ne_bytes()).take(n.0 as usize).collect();
    let (mut at, mut out) = (0, Vec::new());
    while at < bytes.len() {
        let len = u16::from_ne_bytes([bytes[at + 16], bytes[at + 17]]) as usize;
        let name = bytes[at + 19..at + len].split(|b| *b == 0).next().expect("name");
        out.push((String::from_utf8_lossy(name).into_owned(), bytes[at + 18]));
        at += len;
    }
    Ok(out)
}

fn all_dents(fd: i32, size: usize) -> Vec<(String, u8)> {
    let mut all = Vec::new();
    while let Ok(more) = dents(fd, size) {
        if more.is_empty() {
            break;
        }
        all.extend(more);
    }
    all.sort();
    all
}

fn getdents_lists() {
    for name in [c"b", c"a", c"c"] {
        touch(name);
    }
    let fd = open(c".", O_RDONLY);
    v!(all_dents(fd, 4096).into_iter().map(|d| d.0).collect::<Vec<_>>());
    v!(dents(fd, 4096).map(|d| d.len()).ok());
    t!(SYS_getdents64, file(c"f", b""), &mut [0u8; 512], 512);
    t!(SYS_getdents64, pipe().0, &mut [0u8; 512], 512);
}

fn getdents_small_buffer() {
    touch(c"a-rather-long-name-for-a-file");
    let fd = open(c".", O_RDONLY);
    v!(dents(fd, 8).err());
    v!(all_dents(fd, 64).len());
    t!(SYS_getdents64, fd, &mut [0u8; 8], 0);
}

fn getdents_types() {
    touch(c"file");
    mkdir(c"dir");
    must!(SYS_symlinkat, c"x", AT_FDCWD, c"link");
    must!(SYS_mknod, c"fifo", S_IFIFO | 0o600, 0);
    must!(SYS_mknod, c"sock", S_IFSOCK | 0o600, 0);
    v!(all_dents(open(c".", O_RDONLY), 4096));
}

fn getdents_while_deleting() {
    for i in 0..200 {
        close(file(&c(&format!("file{i:03}")), b""));
    }
    let fd = open(c".", O_RDONLY);
    let mut seen = 0;
    loop {
        let part = dents(fd, 512).expect("getdents");
        if part.is_empty() {
            break;
        }
        for (name, _) in part.iter().filter(|d| d.0.starts_with("file")) {
            must!(SYS_unlink, c(name).as_c_str());
            seen += 1;
        }
    }
    v!((seen, names(".").len()));
}

fn getdents_rewind() {
    for i in 0..50 {
        close(file(&c(&format!("n{i}")), b""));
    }
    let fd = open(c".", O_RDONLY);
    let first = all_dents(fd, 1024);
    t!(SYS_lseek, fd, 0, SEEK_SET);
    v!((all_dents(fd, 512) == first, first.len()));
    // A position taken between two reads leads back to where it was taken.
    must!(SYS_lseek, fd, 0, SEEK_SET);
    dents(fd, 512).expect("getdents");
    let here = must!(SYS_lseek, fd, 0, SEEK_CUR);
    let rest = all_dents(fd, 512);
    must!(SYS_lseek, fd, here.0, SEEK_SET);
    v!(all_dents(fd, 2048) == rest);
}

fn lseek_places() {
    for path in [c"/dev/shm", c"/proc", c"/proc/self/fd", c"/proc/sys", c"/sys", c"/usr"] {
        let fd = open(path, O_RDONLY);
        for whence in [SEEK_END, SEEK_DATA, SEEK_HOLE] {
            for offset in [0, 5, -5] {
                t!(SYS_lseek, fd, offset, whence);
            }
        }
        close(fd);
    }
}

fn getdents_many() {
    for i in 0..1000 {
        close(file(&c(&format!("entry-{i}")), b""));
    }
    let all = all_dents(open(c".", O_RDONLY), 4096);
    let mut unique = all.clone();
    unique.dedup();
    v!((all.len(), unique.len()));
    for i in (0..1000).step_by(2) {
        must!(SYS_unlink, c(&format!("entry-{i}")).as_c_str());
    }
    v!(all_dents(open(c".", O_RDONLY), 4096).len());
}

fn getdents_removed() {
    mkdir(c"d");
    let fd = open(c"d", O_RDONLY);
    must!(SYS_rmdir, c"d");
    t!(SYS_getdents64, fd, &mut [0u8; 512], 512);
    o!(SYS_openat, fd, c"x", O_RDWR | O_CREAT, 0o600);
    t!(SYS_mkdirat, fd, c"x", 0o700);
    mkdir(c"d");
    t!(SYS_getdents64, fd, &mut [0u8; 512], 512);
}

fn getdents_sees_new() {
    let fd = open(c".", O_RDONLY);
    v!(all_dents(fd, 512).len());
    touch(c"new");
    must!(SYS_lseek, fd, 0, SEEK_SET);
    v!(all_dents(fd, 512).len());
    must!(SYS_rename, c"new", c"newer");
    must!(SYS_lseek, fd, 0, SEEK_SET);
    v!(all_dents(fd, 512));
}

fn deep_tree() {
    let name = c(&"d".repeat(200));
    for _ in 0..30 {
        must!(SYS_mkdir, name.as_c_str(), 0o755);
        must!(SYS_chdir, name.as_c_str());
    }
    // Deeper than a path can say: relative names work, and the way up is open.
    touch(c"leaf");
    v!(content("leaf"));
    t!(SYS_getcwd, &mut [0u8; 4096], 4096);
    for _ in 0..30 {
        sc!(SYS_unlink, c"leaf");
        must!(SYS_chdir, c"..");
        must!(SYS_rmdir, name.as_c_str());
    }
    v!(names("."));
}

/// The last components of the working directory as the kernel reports it.
pub fn cwd_tail(n: usize) -> String {
    let mut b = vec![0u8; 4096];
    let len = sc!(SYS_getcwd, &mut b[..], 4096);
    if !len.is_ok() {
        return len.to_string();
    }
    let path = String::from_utf8_lossy(&b[..len.0 as usize - 1]).into_owned();
    let parts: Vec<&str> = path.rsplitn(n + 1, '/').take(n).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

fn chdir_fchdir() {
    mkdir(c"d");
    mkdir(c"d/e");
    let back = open(c".", O_DIRECTORY);
    t!(SYS_chdir, c"d/e");
    v!(cwd_tail(2));
    t!(SYS_chdir, c"..");
    v!(cwd_tail(1));
    t!(SYS_fchdir, back);
    v!(names("."));
    t!(SYS_chdir, c"absent");
    t!(SYS_fchdir, 999);
    t!(SYS_fchdir, file(c"f", b""));
    t!(SYS_chdir, c"/");
    v!(sc!(SYS_getcwd, &mut [0u8; 10], 10));
}

fn getcwd_rules() {
    mkdir(c"somewhere");
    must!(SYS_chdir, c"somewhere");
    let mut b = [0u8; 4096];
    let n = must!(SYS_getcwd, &mut b, 4096).0 as usize;
    v!((b[n - 1], b[0], text(&b[n - 10..n - 1])));
    t!(SYS_getcwd, &mut b, n - 1);
    v!(sc!(SYS_getcwd, &mut b, n).0 as usize == n);
    t!(SYS_getcwd, &mut b, 0);
    t!(SYS_getcwd, &mut b, 1);
}

fn cwd_deleted() {
    mkdir(c"d");
    must!(SYS_chdir, c"d");
    must!(SYS_rmdir, c"../d");
    t!(SYS_getcwd, &mut [0u8; 4096], 4096);
    t!(SYS_access, c".", 0);
    t!(SYS_access, c"x", 0);
    t!(SYS_openat, AT_FDCWD, c"x", O_CREAT | O_RDWR, 0o600);
    t!(SYS_mkdir, c"x", 0o755);
    v!(names("."));
    let link = std::fs::read_link("/proc/self/cwd").expect("link");
    v!(link.to_string_lossy().ends_with("/d (deleted)"));
    t!(SYS_chdir, c"..");
    v!(names("."));
}

fn cwd_renamed() {
    mkdir(c"old");
    must!(SYS_chdir, c"old");
    must!(SYS_rename, c"../old", c"../new");
    v!(cwd_tail(1));
    t!(SYS_rmdir, c"../new");
}

fn cwd_is_inherited() {
    mkdir(c"d");
    v!(in_child(|| {
        must!(SYS_chdir, c"d");
        v!(in_child(|| {
            v!(cwd_tail(1));
        }));
    }));
    v!(names("."));
}

fn chroot_basics() {
    if !is_root() {
        println!("skipped");
        return;
    }
    mkdir(c"new");
    mkdir(c"new/sub");
    touch(c"new/f");
    must!(SYS_symlinkat, c"/f", AT_FDCWD, c"new/abs");
    let outside = open(c".", O_DIRECTORY);
    v!(in_child(|| {
        t!(SYS_chroot, c"new");
        must!(SYS_chdir, c"/");
        v!((names("/"), names("/..")));
        v!((content("/f"), content("/abs"), content("/sub/../../f")));
        v!(cwd_tail(1));
        must!(SYS_chdir, c"/sub");
        v!(cwd_tail(1));
        t!(SYS_access, c"/etc/passwd", 0);
        // A descriptor from before still leads out.
        v!(sc!(SYS_openat, outside, c"new/f", O_RDONLY).ok());
    }));
    t!(SYS_chroot, c"absent");
    v!(names("new"));
}

fn chroot_escape() {
    if !is_root() {
        println!("skipped");
        return;
    }
    mkdir(c"jail");
    touch(c"outside");
    v!(in_child(|| {
        // The classic: chroot does not change the working directory.
        must!(SYS_chroot, c"jail");
        v!(sc!(SYS_access, c"outside", 0));
        v!(sc!(SYS_access, c"../..", 0));
        v!(sc!(SYS_access, c"/outside", 0));
        let mut b = [0u8; 64];
        let n = sc!(SYS_getcwd, &mut b, 64);
        v!(if n.is_ok() { text(&b[..13]) } else { Text(n.to_string()) });
    }));
}
