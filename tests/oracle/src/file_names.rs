//! Names: links, renames, paths and how they are resolved.

use crate::file_dirs::{cwd_tail};
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    link_basics,
    link_errors,
    symlink_basics,
    readlink_rules,
    unlink_rules,
    rmdir_rules,
    mkdir_rules,
    rename_basics,
    rename_over,
    rename_directories,
    rename_into_itself,
    rename_same_inode,
    rename_noreplace,
    rename_exchange,
    rename_flags_bad,
    rename_symlink,
    rename_dots,
    rename_open_file,
    rename_while_inside,
    dots_and_slashes,
    trailing_slashes,
    symlink_loops,
    symlink_chain,
    symlink_in_middle,
    name_too_long,
    path_too_long,
    not_directory,
    odd_names,
    unlink_busy,
    linkat_flags,
    system_paths,
];

/// The names in a directory, sorted, without the dots.
pub fn names(path: &str) -> Vec<String> {
    let mut out: Vec<String> = match std::fs::read_dir(path) {
        Ok(dir) => dir.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect(),
        Err(e) => vec![errno_name(e.raw_os_error().unwrap_or(0))],
    };
    out.sort();
    out
}

pub fn touch(path: &std::ffi::CStr) {
    close(file(path, path.to_bytes()));
}

pub fn mkdir(path: &std::ffi::CStr) {
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

fn system_paths() {
    for path in [c"/", c"/etc", c"/etc/passwd", c"/usr/bin", c"/tmp", c"/proc", c"/dev", c"/bin/sh", c"/nonexistent"] {
        println!("{path:?}: {} {}", sc!(SYS_access, path, F_OK), sc!(SYS_access, path, R_OK));
    }
    v!(names("/").iter().any(|n| n == "etc"));
    v!(std::fs::read_to_string("/etc/passwd").expect("passwd").lines().next().map(str::to_string));
}
