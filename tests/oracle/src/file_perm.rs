//! Who may do what with a file.

use crate::file_meta::{ts};
use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    access_as_root_or_owner,
    access_unprivileged,
    access_errors,
    faccess_effective,
    perm_read_write_exec,
    perm_directory_search,
    perm_directory_write,
    sticky_directory,
    setgid_directory,
    owner_may_chmod_only,
    group_permission,
    mknod_device,
    chown_unprivileged,
    supplementary_groups,
    capability_loss,
    protected_exec,
    protected_hardlinks,
    protected_symlinks,
    sticky_directory_attributes,
];

fn access_as_root_or_owner() {
    close(file(c"f", b""));
    must!(SYS_chmod, c"f", 0o700);
    v!([F_OK, R_OK, W_OK, X_OK].map(|m| sc!(SYS_access, c"f", m)));
    must!(SYS_chmod, c"f", 0o600);
    v!([F_OK, R_OK, W_OK, X_OK].map(|m| sc!(SYS_access, c"f", m)));
    v!(sc!(SYS_access, c".", X_OK));
}

fn access_unprivileged() {
    must!(SYS_chmod, c".", 0o777);
    v!(unprivileged(|| {
        close(file(c"mine", b""));
        for mode in [0o700, 0o600, 0o400, 0o200, 0o100, 0, 0o077] {
            must!(SYS_chmod, c"mine", mode);
            println!("{mode:03o}: {:?}", [R_OK, W_OK, X_OK, R_OK | W_OK].map(|m| sc!(SYS_access, c"mine", m)));
        }
        v!([F_OK, R_OK, W_OK, X_OK].map(|m| sc!(SYS_access, c"/etc/passwd", m)));
        v!([F_OK, R_OK, W_OK, X_OK].map(|m| sc!(SYS_access, c"/", m)));
    }));
}

fn access_errors() {
    close(file(c"f", b""));
    t!(SYS_access, c"f", 8);
    t!(SYS_access, c"f", -1);
    t!(SYS_access, c"absent", 0);
    t!(SYS_access, c"f/x", 0);
    t!(SYS_faccessat2, AT_FDCWD, c"f", 0, 0x10000);
    must!(SYS_symlinkat, c"gone", AT_FDCWD, c"l");
    t!(SYS_access, c"l", F_OK);
    t!(SYS_faccessat2, AT_FDCWD, c"l", F_OK, AT_SYMLINK_NOFOLLOW);
    t!(SYS_faccessat2, open(c"f", O_RDONLY), c"", R_OK, AT_EMPTY_PATH);
}

fn faccess_effective() {
    if !is_root() {
        println!("skipped");
        return;
    }
    close(file(c"f", b""));
    must!(SYS_chmod, c"f", 0o600);
    v!(in_child(|| {
        // access asks for the real user, AT_EACCESS for the effective one.
        must!(SYS_setresuid, 65534, 0, 0);
        t!(SYS_access, c"f", R_OK);
        t!(SYS_faccessat2, AT_FDCWD, c"f", R_OK, AT_EACCESS);
        o!(SYS_openat, AT_FDCWD, c"f", O_RDONLY);
        must!(SYS_setresuid, 0, 65534, 0);
        t!(SYS_access, c"f", R_OK);
        t!(SYS_faccessat2, AT_FDCWD, c"f", R_OK, AT_EACCESS);
        o!(SYS_openat, AT_FDCWD, c"f", O_RDONLY);
    }));
}

fn perm_read_write_exec() {
    must!(SYS_chmod, c".", 0o777);
    v!(unprivileged(|| {
        close(file(c"f", b"#!/bin/true\n"));
        for mode in [0o700, 0o600, 0o400, 0o200, 0o100, 0, 0o077] {
            must!(SYS_chmod, c"f", mode);
            let r = sc!(SYS_openat, AT_FDCWD, c"f", O_RDONLY).ok();
            let w = sc!(SYS_openat, AT_FDCWD, c"f", O_WRONLY).ok();
            println!("{mode:03o}: {r:?} {w:?} {:?}", sc!(SYS_truncate, c"f", 12));
        }
    }));
}

fn perm_directory_search() {
    must!(SYS_chmod, c".", 0o777);
    v!(unprivileged(|| {
        must!(SYS_mkdir, c"d", 0o700);
        close(file(c"d/f", b""));
        for mode in [0o700, 0o600, 0o500, 0o400, 0o300, 0o100, 0] {
            must!(SYS_chmod, c"d", mode);
            let list = sc!(SYS_openat, AT_FDCWD, c"d", O_RDONLY | O_DIRECTORY).ok();
            let reach = sc!(SYS_access, c"d/f", F_OK);
            println!("{mode:03o}: list {list:?} reach {reach} enter {}", in_child(|| exit(sc!(SYS_chdir, c"d").0.abs() as i32)).0);
        }
    }));
}

fn perm_directory_write() {
    must!(SYS_chmod, c".", 0o777);
    v!(unprivileged(|| {
        must!(SYS_mkdir, c"d", 0o700);
        close(file(c"d/old", b""));
        for mode in [0o500, 0o200] {
            must!(SYS_chmod, c"d", mode);
            t!(SYS_openat, AT_FDCWD, c"d/new", O_CREAT | O_RDWR, 0o600);
            t!(SYS_mkdir, c"d/new", 0o700);
            t!(SYS_unlink, c"d/old");
            t!(SYS_rename, c"d/old", c"d/new");
            t!(SYS_rename, c"d/old", c"elsewhere");
            t!(SYS_symlink, c"x", c"d/new");
            t!(SYS_mknod, c"d/new", S_IFIFO | 0o600, 0);
            t!(SYS_linkat, AT_FDCWD, c"d/old", AT_FDCWD, c"d/new", 0);
            t!(SYS_mkdir, c"d/old", 0o700);
        }
    }));
}

fn sticky_directory() {
    if !is_root() {
        println!("skipped");
        return;
    }
    must!(SYS_mkdir, c"d", 0o777);
    must!(SYS_chmod, c"d", 0o1777);
    must!(SYS_chmod, c".", 0o755);
    close(file(c"d/root", b""));
    v!(unprivileged(|| {
        close(file(c"d/mine", b""));
        t!(SYS_unlink, c"d/root");
        t!(SYS_rename, c"d/root", c"d/x");
        t!(SYS_rename, c"d/mine", c"d/root");
        t!(SYS_rename, c"d/mine", c"d/mine2");
        t!(SYS_unlink, c"d/mine2");
    }));
    must!(SYS_chmod, c"d", 0o777);
    v!(unprivileged(|| {
        t!(SYS_unlink, c"d/root");
    }));
}

fn setgid_directory() {
    if !is_root() {
        println!("skipped");
        return;
    }
    must!(SYS_mkdir, c"d", 0o755);
    must!(SYS_chown, c"d", -1, 4321);
    close(file(c"d/before", b""));
    must!(SYS_chmod, c"d", 0o2755);
    close(file(c"d/after", b""));
    must!(SYS_mkdir, c"d/sub", 0o755);
    must!(SYS_symlinkat, c"x", AT_FDCWD, c"d/link");
    v!((stat(c"d/before").st_gid, stat(c"d/after").st_gid, stat(c"d/sub").st_gid, stat(c"d/link").st_gid));
    println!("{:o} {:o}", stat(c"d/after").st_mode, stat(c"d/sub").st_mode);
}

fn owner_may_chmod_only() {
    if !is_root() {
        println!("skipped");
        return;
    }
    close(file(c"theirs", b""));
    must!(SYS_chmod, c"theirs", 0o666);
    must!(SYS_chmod, c".", 0o777);
    v!(unprivileged(|| {
        t!(SYS_chmod, c"theirs", 0o777);
        t!(SYS_chown, c"theirs", 65534, -1);
        t!(SYS_utimensat, AT_FDCWD, c"theirs", 0, 0);
        t!(SYS_utimensat, AT_FDCWD, c"theirs", &[ts(1, 1), ts(1, 1)], 0);
        o!(SYS_openat, AT_FDCWD, c"theirs", O_RDWR | O_TRUNC);
        close(file(c"mine", b""));
        t!(SYS_chown, c"mine", 65534, 65534);
        t!(SYS_chown, c"mine", 1, -1);
        t!(SYS_chown, c"mine", -1, 1);
    }));
}

fn chown_unprivileged() {
    must!(SYS_chmod, c".", 0o777);
    v!(unprivileged(|| {
        close(file(c"mine", b""));
        t!(SYS_chown, c"mine", -1, -1);
        t!(SYS_chown, c"mine", sc!(SYS_geteuid).0, sc!(SYS_getegid).0);
        t!(SYS_chown, c"mine", 0, -1);
        t!(SYS_chown, c"/etc/passwd", -1, -1);
        t!(SYS_chroot, c".");
        t!(SYS_mknod, c"dev", S_IFCHR | 0o600, 0x103);
    }));
}

fn group_permission() {
    if !is_root() {
        println!("skipped");
        return;
    }
    close(file(c"f", b"x"));
    must!(SYS_chown, c"f", 1, 777);
    for (mode, gid) in [(0o040, 777), (0o004, 777), (0o040, 5), (0o004, 5)] {
        must!(SYS_chmod, c"f", mode);
        let how = in_child(|| {
            must!(SYS_setgroups, 0, 0);
            must!(SYS_setresgid, gid, gid, gid);
            must!(SYS_setresuid, 65534, 65534, 65534);
            must!(SYS_access, c"f", F_OK);
            exit(i32::from(sc!(SYS_access, c"f", R_OK).is_ok()));
        });
        // The class that applies decides alone: a group member is not helped by what others may do.
        println!("{mode:03o} as group {gid}: {how:?}");
    }
}

fn supplementary_groups() {
    if !is_root() {
        println!("skipped");
        return;
    }
    close(file(c"f", b"x"));
    must!(SYS_chown, c"f", 1, 777);
    must!(SYS_chmod, c"f", 0o040);
    must!(SYS_chmod, c".", 0o755);
    v!(in_child(|| {
        must!(SYS_setgroups, 3, &[5u32, 777, 9]);
        must!(SYS_setresgid, 65534, 65534, 65534);
        must!(SYS_setresuid, 65534, 65534, 65534);
        o!(SYS_openat, AT_FDCWD, c"f", O_RDONLY);
        o!(SYS_openat, AT_FDCWD, c"f", O_WRONLY);
        let mut g = [0u32; 8];
        t!(SYS_getgroups, 8, &mut g);
        v!(g);
        t!(SYS_setgroups, 0, 0);
        t!(SYS_getgroups, 2, &mut g);
        t!(SYS_getgroups, 0, 0);
    }));
}

fn capability_loss() {
    if !is_root() {
        println!("skipped");
        return;
    }
    close(file(c"f", b"x"));
    must!(SYS_chmod, c"f", 0);
    v!(in_child(|| {
        o!(SYS_openat, AT_FDCWD, c"f", O_RDWR);
        must!(SYS_setresuid, -1, 65534, -1);
        o!(SYS_openat, AT_FDCWD, c"f", O_RDWR);
        must!(SYS_setresuid, -1, 0, -1);
        o!(SYS_openat, AT_FDCWD, c"f", O_RDWR);
        must!(SYS_setfsuid, 65534);
        o!(SYS_openat, AT_FDCWD, c"f", O_RDWR);
    }));
}

fn protected_exec() {
    let argv = [c"f".as_ptr() as usize, 0];
    close(file(c"f", b"not a program"));
    // Even root needs one execute bit.
    must!(SYS_chmod, c"f", 0o666);
    t!(SYS_execve, c"./f", &argv, 0);
    must!(SYS_chmod, c"f", 0o001);
    v!(in_child(|| {
        t!(SYS_execve, c"./f", &argv, 0);
    }));
    must!(SYS_chmod, c"f", 0o755);
    t!(SYS_execve, c"./f", &argv, 0);
    t!(SYS_execve, c"./f/x", &argv, 0);
}

fn mknod_device() {
    v!(unprivileged(|| {
        t!(SYS_mknod, c"/dev/null", S_IFCHR | 0o666, 0x103);
        t!(SYS_mknod, c"null", S_IFCHR | 0o666, 0x103);
        t!(SYS_mknod, c"blk", S_IFBLK | 0o666, 0x700);
    }));
}

/// Whether a call fails with `errno` if the setting is on, and succeeds if it is off.
fn as_set(setting: &str, result: Ret, errno: i32) -> bool {
    let on = std::fs::read(format!("/proc/sys/fs/{setting}")).is_ok_and(|text| text.starts_with(b"1"));
    if on { result.0 == -i64::from(errno) } else { result.is_ok() }
}

fn protected_hardlinks() {
    if !is_root() {
        println!("skipped");
        return;
    }
    must!(SYS_mkdir, c"d", 0o777);
    must!(SYS_chmod, c"d", 0o777);
    must!(SYS_chmod, c".", 0o755);
    let strangers = [(c"readable", 0o644), (c"open", 0o666), (c"suid", 0o4666), (c"sgid", 0o2666), (c"sgid_program", 0o2676)];
    for (name, mode) in strangers {
        close(file(name, b""));
        must!(SYS_chmod, name, mode);
    }
    must!(SYS_mknod, c"fifo", S_IFIFO | 0o666, 0);
    must!(SYS_chmod, c"fifo", 0o666);
    must!(SYS_symlinkat, c"open", AT_FDCWD, c"symlink");
    v!(unprivileged(|| {
        close(file(c"d/mine", b""));
        must!(SYS_chmod, c"d/mine", 0o4000);
        t!(SYS_linkat, AT_FDCWD, c"d/mine", AT_FDCWD, c"d/mine2", 0);
        t!(SYS_linkat, AT_FDCWD, c"open", AT_FDCWD, c"d/open", 0);
        t!(SYS_linkat, AT_FDCWD, c"sgid", AT_FDCWD, c"d/sgid", 0);
        for name in [c"readable", c"suid", c"sgid_program", c"fifo", c"symlink"] {
            let result = sc!(SYS_linkat, AT_FDCWD, name, AT_FDCWD, c"d/linked", 0);
            println!("{name:?}: {}", as_set("protected_hardlinks", result, libc::EPERM));
            sc!(SYS_unlink, c"d/linked");
        }
    }));
}

fn protected_symlinks() {
    if !is_root() {
        println!("skipped");
        return;
    }
    close(file(c"f", b"x"));
    must!(SYS_chmod, c".", 0o755);
    must!(SYS_mkdir, c"d", 0o777);
    for mode in [0o1777, 0o1775, 0o777] {
        must!(SYS_chmod, c"d", 0o777);
        v!(unprivileged(|| {
            must!(SYS_symlinkat, c"../f", AT_FDCWD, c"d/theirs");
            must!(SYS_symlinkat, c"..", AT_FDCWD, c"d/dir");
        }));
        must!(SYS_symlinkat, c"../f", AT_FDCWD, c"d/roots");
        must!(SYS_chmod, c"d", mode);
        let follows = sc!(SYS_openat, AT_FDCWD, c"d/theirs", O_RDONLY);
        let may = if mode == 0o1777 { as_set("protected_symlinks", follows, libc::EACCES) } else { follows.is_ok() };
        println!("{mode:o}: {may}");
        o!(SYS_openat, AT_FDCWD, c"d/roots", O_RDONLY);
        // Only the last link of a path counts.
        o!(SYS_openat, AT_FDCWD, c"d/dir/f", O_RDONLY);
        v!(unprivileged(|| {
            o!(SYS_openat, AT_FDCWD, c"d/theirs", O_RDONLY);
            o!(SYS_openat, AT_FDCWD, c"d/roots", O_RDONLY);
        }));
        for name in [c"d/theirs", c"d/dir", c"d/roots"] {
            must!(SYS_unlink, name);
        }
    }
}

fn sticky_directory_attributes() {
    if !is_root() {
        println!("skipped");
        return;
    }
    must!(SYS_mkdir, c"d", 0o777);
    must!(SYS_chmod, c".", 0o755);
    for mode in [0o777, 0o1777] {
        must!(SYS_chmod, c"d", mode);
        v!(unprivileged(|| {
            t!(SYS_setxattr, c"d", c"user.a", c"1", 1, 0);
            t!(SYS_getxattr, c"d", c"user.a", 0, 0);
            t!(SYS_removexattr, c"d", c"user.a");
        }));
    }
}
