//! Who a process is: user and group ids, supplementary groups, capabilities. As another user than
//! root, most is refused.

use crate::sys::*;

pub const CASES: &[crate::harness::Case] = cases![
    getters, set_uid, set_re_uid, set_res_uid, set_fs_uid, set_gids, groups, caps_read, caps_write, caps_follow_uids,
    keep_caps, bounding_set, ambient, no_new_privs, may_kill, limits_of_others,
];

fn uids() -> [u32; 3] {
    let mut ids = [0u32; 3];
    sc!(SYS_getresuid, &mut ids[0], &mut ids[1], &mut ids[2]);
    ids
}

fn gids() -> [u32; 3] {
    let mut ids = [0u32; 3];
    sc!(SYS_getresgid, &mut ids[0], &mut ids[1], &mut ids[2]);
    ids
}

fn getters() {
    let ids = uids();
    v!(sc!(SYS_getuid).0 == i64::from(ids[0]));
    v!(sc!(SYS_geteuid).0 == i64::from(ids[1]));
    v!(sc!(SYS_getgid).0 == i64::from(gids()[0]));
    v!(sc!(SYS_getegid).0 == i64::from(gids()[1]));
    t!(SYS_getresuid, 16, 16, 16);
    t!(SYS_getresgid, 16, 16, 16);
}

fn set_uid() {
    t!(SYS_setuid, -1);
    in_child(|| {
        t!(SYS_setuid, 1000);
        v!(is_root() || uids() == [1000; 3]);
        t!(SYS_setuid, 0);
        t!(SYS_setuid, 1001);
        t!(SYS_setuid, 1000);
    });
}

fn set_re_uid() {
    if !is_root() {
        return println!("only as root");
    }
    for (start, real, effective) in [
        ([0, 0, 0], 5, 6),
        ([0, 0, 0], -1, 6),
        ([0, 0, 0], 0, 6),
        ([5, 6, 7], -1, 7),
        ([5, 6, 7], -1, 8),
        ([5, 6, 7], 6, 5),
        ([5, 6, 7], 7, -1),
        ([5, 6, 7], 5, -1),
        ([5, 6, 7], -1, 5),
        ([5, 6, 7], -1, -1),
    ] {
        in_child(|| {
            must!(SYS_setresuid, start[0], start[1], start[2]);
            let ret = sc!(SYS_setreuid, real, effective);
            println!("{start:?} {real} {effective}: {ret} {:?}", uids());
        });
    }
}

fn set_res_uid() {
    if !is_root() {
        return println!("only as root");
    }
    for (start, new) in [
        ([0, 0, 0], [5, 6, 7]),
        ([0, 0, 0], [-1, 6, -1]),
        ([5, 6, 7], [7, 5, 6]),
        ([5, 6, 7], [8, 5, 6]),
        ([5, 6, 7], [-1, -1, -1]),
        ([5, 6, 0], [0, 0, 0]),
    ] {
        in_child(|| {
            must!(SYS_setresuid, start[0], start[1], start[2]);
            let ret = sc!(SYS_setresuid, new[0], new[1], new[2]);
            println!("{start:?} {new:?}: {ret} {:?}", uids());
        });
    }
}

fn set_fs_uid() {
    if !is_root() {
        return println!("only as root");
    }
    t!(SYS_setfsuid, 5);
    t!(SYS_setfsuid, -1);
    t!(SYS_setresuid, -1, -1, -1);
    t!(SYS_setfsuid, -1);
    t!(SYS_setfsgid, 5);
    t!(SYS_setfsgid, -1);
    must!(SYS_setresuid, 5, 6, 7);
    t!(SYS_setfsuid, 8);
    t!(SYS_setfsuid, 7);
    t!(SYS_setfsuid, -1);
}

fn set_gids() {
    if !is_root() {
        return println!("only as root");
    }
    t!(SYS_setgid, -1);
    t!(SYS_setresgid, 5, 6, 7);
    t!(SYS_setregid, -1, 9);
    v!(gids());
    t!(SYS_setregid, 4, -1);
    v!(gids());
    must!(SYS_setresgid, 5, 6, 7);
    must!(SYS_setuid, 1000);
    t!(SYS_setgid, 4);
    t!(SYS_setgid, 7);
    v!(gids());
    t!(SYS_setregid, 7, 5);
    v!(gids());
    t!(SYS_setresgid, 6, -1, -1);
}

fn groups() {
    t!(SYS_setgroups, -1, 0);
    t!(SYS_getgroups, -1, 0);
    let list = [30u32, 10, 20];
    t!(SYS_setgroups, 65537, &list);
    t!(SYS_setgroups, 3, 16);
    t!(SYS_setgroups, 3, &list);
    if is_root() {
        let mut got = [0u32; 4];
        t!(SYS_getgroups, 0, 0);
        t!(SYS_getgroups, 2, &mut got);
        t!(SYS_getgroups, 4, 16);
        t!(SYS_getgroups, 4, &mut got);
        v!(got);
        t!(SYS_setgroups, 0, 0);
        t!(SYS_getgroups, 4, &mut got);
    }
}

const VERSION: u32 = 0x2008_0522;

fn caps() -> [u32; 6] {
    let mut data = [0u32; 6];
    sc!(SYS_capget, &[VERSION, 0], &mut data);
    data
}

/// Effective and permitted: none, some, or what the case began with.
fn caps_text(all: [u32; 6]) -> String {
    let now = caps();
    let word = |i: usize| match now[i] {
        0 => "none",
        n if n == all[i] => "all",
        _ => "some",
    };
    format!("effective {} permitted {}", word(0), word(1))
}

fn caps_read() {
    let mut data = [0u32; 6];
    let mut header = [1u32, 0];
    t!(SYS_capget, &mut header, &mut data);
    println!("{:#x}", header[0]);
    header = [1, 0];
    t!(SYS_capget, &mut header, 0);
    t!(SYS_capget, 16, 0);
    header = [VERSION, -1i32 as u32];
    t!(SYS_capget, &header, &mut data);
    header[1] = i32::MAX as u32;
    t!(SYS_capget, &header, &mut data);
    for version in [0x1998_0330, 0x2007_1026, VERSION] {
        let mut data = [7u32; 6];
        println!("{version:#x}: {} {}", sc!(SYS_capget, &[version, 0], &mut data), data[3] == 7);
    }
    t!(SYS_capget, &[VERSION, 0], 16);
    unprivileged(|| v!(caps()));
}

fn caps_write() {
    let all = caps();
    t!(SYS_capset, &[VERSION, 1], &all);
    t!(SYS_capset, &[1, 0], &all);
    t!(SYS_capset, &[VERSION, 0], 16);
    let mut less = all;
    less[0] &= !1;
    t!(SYS_capset, &[VERSION, 0], &less);
    t!(SYS_capset, &[VERSION, 0], &all);
    less = all;
    (less[0], less[1]) = (all[0] & !1, all[1] & !1);
    t!(SYS_capset, &[VERSION, 0], &less);
    v!(caps() == less);
    if is_root() {
        t!(SYS_capset, &[VERSION, 0], &all);
    }
    unprivileged(|| {
        let mut more = caps();
        more[1] |= 1;
        t!(SYS_capset, &[VERSION, 0], &more);
        more = caps();
        more[0] |= 1;
        t!(SYS_capset, &[VERSION, 0], &more);
        t!(SYS_capset, &[VERSION, 0], &caps());
    });
}

fn caps_follow_uids() {
    if !is_root() {
        return println!("only as root");
    }
    let all = caps();
    t!(SYS_setresuid, -1, 1000, -1);
    println!("{}", caps_text(all));
    t!(SYS_setresuid, -1, 0, -1);
    println!("{}", caps_text(all));
    sc!(SYS_setfsuid, 1000);
    println!("{}", caps_text(all));
    sc!(SYS_setfsuid, 0);
    println!("{}", caps_text(all));
    t!(SYS_setresuid, 1000, 1000, 0);
    println!("{}", caps_text(all));
    t!(SYS_setresuid, 1000, 1000, 1000);
    println!("{}", caps_text(all));
    t!(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
}

fn keep_caps() {
    t!(SYS_prctl, PR_GET_KEEPCAPS, 0, 0, 0, 0);
    t!(SYS_prctl, PR_SET_KEEPCAPS, 2, 0, 0, 0);
    t!(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
    t!(SYS_prctl, PR_GET_KEEPCAPS, 0, 0, 0, 0);
    if is_root() {
        let all = caps();
        t!(SYS_setuid, 1000);
        println!("{}", caps_text(all));
    }
    t!(SYS_prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
}

fn bounding_set() {
    t!(SYS_prctl, PR_CAPBSET_READ, 64, 0, 0, 0);
    t!(SYS_prctl, PR_CAPBSET_READ, 0, 0, 0, 0);
    unprivileged(|| { t!(SYS_prctl, PR_CAPBSET_DROP, 0, 0, 0, 0); });
    if is_root() {
        t!(SYS_prctl, PR_CAPBSET_DROP, 64, 0, 0, 0);
        t!(SYS_prctl, PR_CAPBSET_DROP, 0, 0, 0, 0);
        t!(SYS_prctl, PR_CAPBSET_READ, 0, 0, 0, 0);
    }
}

fn ambient() {
    t!(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 100, 0, 0);
    t!(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 1, 0);
    t!(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0);
    t!(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0);
    t!(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0);
    t!(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    t!(SYS_prctl, PR_CAP_AMBIENT, 9, 0, 0, 0);
    if is_root() {
        let mut data = caps();
        data[2] |= 1;
        t!(SYS_capset, &[VERSION, 0], &data);
        t!(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0);
        t!(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0);
        data[2] = 0;
        t!(SYS_capset, &[VERSION, 0], &data);
        t!(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0);
    }
}

fn no_new_privs() {
    t!(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    t!(SYS_prctl, PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0);
    t!(SYS_prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
    t!(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0);
    t!(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    t!(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    v!(in_child(|| { t!(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }));
}

fn may_kill() {
    if !is_root() {
        return println!("only as root");
    }
    let me = sc!(SYS_getpid).0;
    unprivileged(|| {
        t!(SYS_kill, 1, 0);
        t!(SYS_kill, me, 0);
        t!(SYS_kill, me, SIGCONT);
        t!(SYS_kill, i32::MAX, 0);
        t!(SYS_setpriority, 0, me, 5);
        t!(SYS_getpriority, 0, me);
        t!(SYS_sched_setscheduler, me, SCHED_OTHER, &0);
        t!(SYS_sched_setaffinity, me, 8, &1u64);
        t!(SYS_process_vm_readv, me, 0, 0, 0, 0, 0);
        let (mut byte, part) = ([0u8; 4], iov(&[(me as usize, 4)]));
        let own = iov(&[(&raw mut byte as usize, 4)]);
        t!(SYS_process_vm_readv, me, own.as_slice().as_ptr() as usize, 1, part.as_ptr() as usize, 1, 0);
        t!(SYS_kcmp, me, me, 1, 0, 0);
        let mut list = [0usize; 2];
        t!(SYS_get_robust_list, me, &mut list[0], 16);
        t!(SYS_sethostname, c"x".as_ptr() as usize, 1);
        t!(SYS_unshare, CLONE_NEWNS);
        t!(SYS_unshare, 1);
        t!(SYS_unshare, CLONE_FS | CLONE_FILES);
    });
}

fn limits_of_others() {
    if !is_root() {
        return println!("only as root");
    }
    let me = sc!(SYS_getpid).0;
    let mut old = [0u64; 2];
    t!(SYS_prlimit64, i32::MAX, RLIMIT_CORE, 0, &mut old);
    t!(SYS_prlimit64, 0, 16, 0, &mut old);
    let pid = spawn(|| {
        loop {
            sleep_ms(1000);
        }
    });
    t!(SYS_prlimit64, pid, RLIMIT_NOFILE, &[50u64, 60], &mut old);
    v!(old[0]);
    t!(SYS_prlimit64, pid, RLIMIT_NOFILE, 0, &mut old);
    v!(old);
    unprivileged(|| {
        let mut old = [0u64; 2];
        t!(SYS_prlimit64, me, RLIMIT_CORE, 0, &mut old);
        t!(SYS_prlimit64, 0, RLIMIT_CORE, &[1u64, 2], 0);
        t!(SYS_prlimit64, 0, RLIMIT_NOFILE, &[10u64, 20], 0);
        t!(SYS_prlimit64, 0, RLIMIT_NOFILE, &[10u64, 21], 0);
    });
    sc!(SYS_kill, pid, SIGKILL);
    reap(pid);
}
