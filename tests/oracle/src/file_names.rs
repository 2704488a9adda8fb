//! Names: links, renames, directories and how they are read, paths and how they are resolved.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    link_basics, link_errors, symlink_basics, readlink_rules, unlink_rules, rmdir_rules, mkdir_rules, rename_basics,
    rename_over, rename_directories, rename_into_itself, rename_same_inode, rename_noreplace, rename_exchange,
    rename_flags_bad, rename_symlink, rename_dots, rename_open_file, rename_while_inside, getdents_lists,
    getdents_small_buffer, getdents_types, getdents_while_deleting, getdents_rewind, getdents_many, getdents_removed,
    getdents_sees_new, dots_and_slashes, trailing_slashes, symlink_loops, symlink_chain, symlink_in_middle,
    name_too_long, path_too_long, deep_tree, not_directory, odd_names, chdir_fchdir, getcwd_rules, cwd_deleted,
    cwd_renamed, cwd_is_inherited, chroot_basics, chroot_escape, unlink_busy, linkat_flags, system_paths,
];

/// The names in a directory, sorted, without the dots.
fn names(path: &str) -> Vec<String> {
    let mut out: Vec<String> = match std::fs::read_dir(path) {
        Ok(dir) => dir.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect(),
        Err(e) => vec![errno_name(e.raw_os_error().unwrap_or(0))],
    };
    out.sort();
    out
}

fn touch(path: &std::ffi::CStr) {
    close(file(path, path.to_bytes()));
}

fn mkdir(path: &std::ffi::CStr) {
    must!(SYS_mkdir, path, 0o755);
}

fn link_basics() {
    touch(c"a");
    t!(SYS_link, c"a", c"b");
    v!((stat(c"a").st_nlink, stat(c"a").st_ino == stat(c"b").st_ino));
    std::fs::write("b", "changed").expect("write");
    v!(content("a"));
    t!(SYS_unlink, c"a");
    v!((content("b"), stat(c"b").st_nlink, names(".")));
}

fn link_errors() {
    touch(c"a");
    touch(c"b");
    mkdir(c"d");
    t!(SYS_link, c"a", c"b");
    t!(SYS_link, c"absent", c"x");
    t!(SYS_link, c"d", c"x");
    t!(SYS_link, c"a", c"no/x");
    t!(SYS_link, c"a", c"a/x");
    t!(SYS_link, c"a", c"x/");
    t!(SYS_link, c"a/", c"x");
    t!(SYS_link, c"a", c"/proc/x");
    t!(SYS_link, c"a", c"a");
    t!(SYS_linkat, AT_FDCWD, c"a", AT_FDCWD, c"x", 0x4000);
    v!((names("."), stat(c"a").st_nlink));
}

fn linkat_flags() {
    touch(c"a");
    must!(SYS_symlinkat, c"a", AT_FDCWD, c"s");
    t!(SYS_linkat, AT_FDCWD, c"s", AT_FDCWD, c"hard-of-link", 0);
    t!(SYS_linkat, AT_FDCWD, c"s", AT_FDCWD, c"hard-of-file", AT_SYMLINK_FOLLOW);
    v!((stat(c"hard-of-link").st_mode & S_IFMT == S_IFLNK, stat(c"hard-of-file").st_nlink, stat(c"s").st_nlink));
}

fn symlink_basics() {
    touch(c"a");
    t!(SYS_symlink, c"a", c"l");
    v!((content("l"), stat(c"l").st_size));
    t!(SYS_symlink, c"a", c"l");
    t!(SYS_symlink, c"a", c"x/");
    t!(SYS_symlink, c"anything at all/..//", c"free");
    v!(std::fs::read_link("free").map(|p| p.display().to_string()).ok());
    t!(SYS_symlink, c"a", c"no/x");
    let long = c(&"t".repeat(4095));
    t!(SYS_symlink, long.as_c_str(), c"long");
    v!(names(".").len());
    t!(SYS_unlink, c"l");
    v!(content("a"));
}

fn readlink_rules() {
    touch(c"f");
    must!(SYS_symlinkat, c"target", AT_FDCWD, c"l");
    let mut b = [b'.'; 10];
    t!(SYS_readlink, c"l", &mut b, 10);
    v!(text(&b));
    b = [b'.'; 10];
    t!(SYS_readlink, c"l", &mut b, 3);
    v!(text(&b));
    t!(SYS_readlink, c"l", &mut b, 0);
    t!(SYS_readlink, c"l", &mut b, -1);
    t!(SYS_readlink, c"f", &mut b, 10);
    t!(SYS_readlink, c".", &mut b, 10);
    t!(SYS_readlink, c"absent", &mut b, 10);
    t!(SYS_readlink, c"l/", &mut b, 10);
    must!(SYS_symlinkat, c".", AT_FDCWD, c"here");
    t!(SYS_readlink, c"here/", &mut b, 10);
    t!(SYS_readlink, c"here/l", &mut b, 10);
}

fn unlink_rules() {
    touch(c"f");
    mkdir(c"d");
    t!(SYS_unlink, c"absent");
    t!(SYS_unlink, c"d");
    t!(SYS_unlink, c"d/");
    t!(SYS_unlink, c".");
    t!(SYS_unlink, c"f/");
    t!(SYS_unlink, c"f/x");
    t!(SYS_unlinkat, AT_FDCWD, c"f", 0x400);
    t!(SYS_unlinkat, AT_FDCWD, c"f", AT_REMOVEDIR);
    t!(SYS_unlink, c"f");
    t!(SYS_unlink, c"f");
}

fn rmdir_rules() {
    touch(c"f");
    mkdir(c"d");
    mkdir(c"d/e");
    must!(SYS_symlinkat, c"d/e", AT_FDCWD, c"l");
    t!(SYS_rmdir, c"d");
    t!(SYS_rmdir, c"f");
    t!(SYS_rmdir, c"l");
    t!(SYS_rmdir, c"l/");
    t!(SYS_rmdir, c"d/e/.");
    t!(SYS_rmdir, c"d/e/..");
    t!(SYS_rmdir, c".");
    t!(SYS_rmdir, c"..");
    t!(SYS_rmdir, c"/");
    t!(SYS_rmdir, c"absent");
    t!(SYS_rmdir, c"d/e/");
    t!(SYS_rmdir, c"d///");
    v!(names("."));
}

fn unlink_busy() {
    t!(SYS_rmdir, c"/proc");
    t!(SYS_unlink, c"/proc");
    t!(SYS_rename, c"/proc", c"/proc2");
    t!(SYS_unlink, c"/proc/self/status");
    t!(SYS_mkdir, c"/proc/newdir", 0o755);
    t!(SYS_rmdir, c"/proc/self");
}

fn mkdir_rules() {
    touch(c"f");
    t!(SYS_mkdir, c"d", 0o755);
    t!(SYS_mkdir, c"d", 0o755);
    t!(SYS_mkdir, c"d/", 0o755);
    t!(SYS_mkdir, c"slash/", 0o755);
    t!(SYS_mkdir, c"slashes///", 0o755);
    t!(SYS_mkdir, c"f", 0o755);
    t!(SYS_mkdir, c"f/x", 0o755);
    t!(SYS_mkdir, c"no/such", 0o755);
    t!(SYS_mkdir, c".", 0o755);
    t!(SYS_mkdir, c"..", 0o755);
    t!(SYS_mkdir, c"/", 0o755);
    t!(SYS_mkdir, c"d/.", 0o755);
    must!(SYS_symlinkat, c"missing", AT_FDCWD, c"l");
    t!(SYS_mkdir, c"l", 0o755);
    t!(SYS_mkdir, c"l/", 0o755);
    v!(names("."));
}

fn rename_basics() {
    touch(c"a");
    t!(SYS_rename, c"a", c"b");
    v!((names("."), content("b")));
    mkdir(c"d");
    t!(SYS_rename, c"b", c"d/c");
    v!((names("."), names("d")));
    t!(SYS_rename, c"absent", c"x");
    t!(SYS_rename, c"d/c", c"no/x");
    t!(SYS_rename, c"d/c/", c"x");
    t!(SYS_rename, c"d/c", c"x/");
    t!(SYS_rename, c"d/c", c"/proc/x");
}

fn rename_over() {
    touch(c"a");
    touch(c"b");
    let old = open(c"b", O_RDONLY);
    t!(SYS_rename, c"a", c"b");
    v!((content("b"), get(old, 5), fstat(old).st_nlink, names(".")));
    mkdir(c"d");
    t!(SYS_rename, c"b", c"d");
    t!(SYS_rename, c"d", c"b");
    must!(SYS_symlinkat, c"d", AT_FDCWD, c"l");
    t!(SYS_rename, c"b", c"l");
    v!((names("."), content("l")));
}

fn rename_directories() {
    mkdir(c"a");
    touch(c"a/in");
    mkdir(c"b");
    t!(SYS_rename, c"a", c"b");
    v!((names("."), names("b")));
    mkdir(c"c");
    t!(SYS_rename, c"c", c"b");
    t!(SYS_rename, c"b/", c"moved/");
    v!(names("moved"));
    mkdir(c"x");
    t!(SYS_rename, c"moved", c"x/deeper");
    v!(stat(c"x/deeper/..").st_ino == stat(c"x").st_ino);
}

fn rename_into_itself() {
    mkdir(c"d");
    mkdir(c"d/e");
    t!(SYS_rename, c"d", c"d/x");
    t!(SYS_rename, c"d", c"d/e/x");
    t!(SYS_rename, c"d", c"d/e");
    t!(SYS_rename, c"d/e", c"d");
    t!(SYS_rename, c"d", c"d");
    v!(names("d"));
}

fn rename_same_inode() {
    touch(c"a");
    must!(SYS_link, c"a", c"b");
    // Both names mean the same file: nothing happens, and both stay.
    t!(SYS_rename, c"a", c"b");
    v!(names("."));
    t!(SYS_rename, c"a", c"a");
    v!(content("a"));
}

fn rename_noreplace() {
    touch(c"a");
    touch(c"b");
    t!(SYS_renameat2, AT_FDCWD, c"a", AT_FDCWD, c"b", RENAME_NOREPLACE);
    t!(SYS_renameat2, AT_FDCWD, c"a", AT_FDCWD, c"c", RENAME_NOREPLACE);
    t!(SYS_renameat2, AT_FDCWD, c"b", AT_FDCWD, c"b", RENAME_NOREPLACE);
    must!(SYS_symlinkat, c"nowhere", AT_FDCWD, c"l");
    t!(SYS_renameat2, AT_FDCWD, c"b", AT_FDCWD, c"l", RENAME_NOREPLACE);
    v!((names("."), content("c")));
}

fn rename_exchange() {
    touch(c"a");
    touch(c"b");
    mkdir(c"d");
    touch(c"d/in");
    t!(SYS_renameat2, AT_FDCWD, c"a", AT_FDCWD, c"b", RENAME_EXCHANGE);
    v!((content("a"), content("b")));
    t!(SYS_renameat2, AT_FDCWD, c"a", AT_FDCWD, c"d", RENAME_EXCHANGE);
    v!((names("a"), content("d")));
    t!(SYS_renameat2, AT_FDCWD, c"a", AT_FDCWD, c"absent", RENAME_EXCHANGE);
    t!(SYS_renameat2, AT_FDCWD, c"absent", AT_FDCWD, c"a", RENAME_EXCHANGE);
    t!(SYS_renameat2, AT_FDCWD, c"a", AT_FDCWD, c"a/in", RENAME_EXCHANGE);
    t!(SYS_renameat2, AT_FDCWD, c"a/in", AT_FDCWD, c"a", RENAME_EXCHANGE);
}

fn rename_flags_bad() {
    touch(c"a");
    touch(c"b");
    t!(SYS_renameat2, AT_FDCWD, c"a", AT_FDCWD, c"b", RENAME_EXCHANGE | RENAME_NOREPLACE);
    t!(SYS_renameat2, AT_FDCWD, c"a", AT_FDCWD, c"b", 0x100);
    t!(SYS_renameat2, 999, c"a", AT_FDCWD, c"b", 0);
    t!(SYS_renameat2, AT_FDCWD, c"a", open(c"a", O_RDONLY), c"b", 0);
    v!((content("a"), content("b")));
}

fn rename_symlink() {
    touch(c"f");
    must!(SYS_symlinkat, c"f", AT_FDCWD, c"l");
    t!(SYS_rename, c"l", c"m");
    v!((stat(c"m").st_mode & S_IFMT == S_IFLNK, names(".")));
    t!(SYS_rename, c"m", c"f");
    v!((names("."), content("f")));
}

fn rename_dots() {
    mkdir(c"d");
    t!(SYS_rename, c".", c"x");
    t!(SYS_rename, c"d/.", c"x");
    t!(SYS_rename, c"d/..", c"x");
    t!(SYS_rename, c"d", c".");
    t!(SYS_rename, c"d", c"..");
}

fn rename_open_file() {
    let fd = file(c"a", b"content");
    mkdir(c"d");
    must!(SYS_rename, c"a", c"d/b");
    v!(get(fd, 3));
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).expect("link");
    v!(link.ends_with("d/b"));
    must!(SYS_unlink, c"d/b");
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).expect("link");
    v!(link.to_string_lossy().ends_with("/d/b (deleted)"));
}

fn rename_while_inside() {
    mkdir(c"d");
    mkdir(c"e");
    must!(SYS_chdir, c"d");
    must!(SYS_rename, c"../d", c"../e/moved");
    touch(c"made");
    v!((names("."), names("../../e/moved"), cwd_tail(2)));
}

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

fn dots_and_slashes() {
    mkdir(c"d");
    touch(c"d/f");
    for path in [c"d/../d/f", c"d/./f", c"d//f", c"./d/f", c"d/.././d/../d/f", c"d/f/../f", c"d/f/.", c"absent/../d/f"] {
        println!("{path:?}: {}", sc!(SYS_access, path, 0));
    }
    for path in [c"/..", c"/../..", c"/.", c"//", c"/../etc/passwd", c"/proc/..", c"/proc/../etc"] {
        println!("{path:?}: {}", sc!(SYS_access, path, 0));
    }
}

fn trailing_slashes() {
    touch(c"f");
    mkdir(c"d");
    must!(SYS_symlinkat, c"f", AT_FDCWD, c"lf");
    must!(SYS_symlinkat, c"d", AT_FDCWD, c"ld");
    must!(SYS_symlinkat, c"none", AT_FDCWD, c"ln");
    let mut st: libc::stat = zeroed();
    for path in [c"f/", c"d/", c"lf/", c"ld/", c"ln/", c"none/", c"d//", c"ld/."] {
        println!("{path:?}: {} {}", sc!(SYS_stat, path, &mut st), sc!(SYS_lstat, path, &mut st));
    }
    t!(SYS_unlink, c"ld/");
    t!(SYS_unlink, c"lf/");
    t!(SYS_rename, c"ld/", c"x");
    t!(SYS_rename, c"d", c"y/");
    t!(SYS_rename, c"f", c"z/");
    v!(names("."));
}

fn symlink_loops() {
    must!(SYS_symlinkat, c"self", AT_FDCWD, c"self");
    must!(SYS_symlinkat, c"b", AT_FDCWD, c"a");
    must!(SYS_symlinkat, c"a", AT_FDCWD, c"b");
    t!(SYS_access, c"self", 0);
    t!(SYS_access, c"a", 0);
    t!(SYS_access, c"a/x", 0);
    t!(SYS_openat, AT_FDCWD, c"self", O_CREAT | O_RDWR, 0o600);
    t!(SYS_chdir, c"a");
    t!(SYS_execve, c"self", 0, 0);
    t!(SYS_rename, c"self", c"renamed");
    t!(SYS_access, c"renamed", 0);
    t!(SYS_unlink, c"a");
    t!(SYS_access, c"b", 0);
}

fn symlink_chain() {
    touch(c"l0");
    for i in 1..=45 {
        must!(SYS_symlinkat, c(&format!("l{}", i - 1)).as_c_str(), AT_FDCWD, c(&format!("l{i}")).as_c_str());
    }
    let reach = |i: usize| sc!(SYS_access, c(&format!("l{i}")).as_c_str(), 0);
    v!((reach(1), reach(39), reach(40), reach(41), reach(45)));
}

fn symlink_in_middle() {
    mkdir(c"real");
    touch(c"real/f");
    mkdir(c"other");
    must!(SYS_symlinkat, c"../real", AT_FDCWD, c"other/link");
    v!((content("other/link/f"), sc!(SYS_access, c"other/link/../other", 0)));
    // Dot-dot behind a link is the target's parent.
    t!(SYS_access, c"other/link/../real/f", 0);
    must!(SYS_chdir, c"other/link");
    v!(cwd_tail(1));
    must!(SYS_symlinkat, c"/proc/self/cwd/f", AT_FDCWD, c"abs");
    v!(content("abs"));
}

fn name_too_long() {
    let fits = c(&"n".repeat(255));
    let long = c(&"n".repeat(256));
    o!(SYS_openat, AT_FDCWD, fits.as_c_str(), O_CREAT | O_RDWR, 0o600);
    t!(SYS_openat, AT_FDCWD, long.as_c_str(), O_CREAT | O_RDWR, 0o600);
    t!(SYS_access, long.as_c_str(), 0);
    t!(SYS_mkdir, long.as_c_str(), 0o755);
    t!(SYS_symlink, c"x", long.as_c_str());
    t!(SYS_rename, fits.as_c_str(), long.as_c_str());
    t!(SYS_unlink, long.as_c_str());
    let inside = c(&format!("{}/x", "n".repeat(256)));
    t!(SYS_access, inside.as_c_str(), 0);
    t!(SYS_unlink, fits.as_c_str());
}

fn path_too_long() {
    let slashes = |n: usize| c(&format!("{}f", "./".repeat(n)));
    touch(c"f");
    t!(SYS_access, slashes(100).as_c_str(), 0);
    t!(SYS_access, slashes(2047).as_c_str(), 0);
    t!(SYS_access, slashes(2048).as_c_str(), 0);
    t!(SYS_openat, AT_FDCWD, slashes(3000).as_c_str(), O_RDONLY);
    let exact = c(&"/".repeat(4095));
    t!(SYS_access, exact.as_c_str(), 0);
    let over = c(&"/".repeat(4096));
    t!(SYS_access, over.as_c_str(), 0);
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

fn not_directory() {
    touch(c"f");
    t!(SYS_chdir, c"f");
    t!(SYS_access, c"f/", 0);
    t!(SYS_access, c"f/..", 0);
    t!(SYS_openat, open(c"f", O_RDONLY), c".", O_RDONLY);
    t!(SYS_chroot, c"f");
    t!(SYS_rename, c"f", c"f/x");
    t!(SYS_access, c"/dev/null/x", 0);
}

fn odd_names() {
    for name in [" ", "a b", "new\nline", "-rf", "ünïcödé", "\u{1}\u{7f}", "...", ".hidden", "*?[", "\\"] {
        close(must!(SYS_openat, AT_FDCWD, c(name).as_c_str(), O_CREAT | O_EXCL | O_RDWR, 0o600).fd());
    }
    let raw = std::ffi::CString::new([0xff, 0xfe, 0x80]).expect("name");
    close(must!(SYS_openat, AT_FDCWD, raw.as_c_str(), O_CREAT | O_EXCL | O_RDWR, 0o600).fd());
    v!(names("."));
    touch(c"Case");
    t!(SYS_access, c"case", 0);
}

/// The last components of the working directory as the kernel reports it.
fn cwd_tail(n: usize) -> String {
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

fn system_paths() {
    for path in [c"/", c"/etc", c"/etc/passwd", c"/usr/bin", c"/tmp", c"/proc", c"/dev", c"/bin/sh", c"/nonexistent"] {
        println!("{path:?}: {} {}", sc!(SYS_access, path, F_OK), sc!(SYS_access, path, R_OK));
    }
    v!(names("/").iter().any(|n| n == "etc"));
    v!(std::fs::read_to_string("/etc/passwd").expect("passwd").lines().next().map(str::to_string));
}
