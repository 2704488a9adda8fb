//! Names of the kernel's own files, and what is written to them.

use super::Maker;
use crate::program::Value;

/// Below /proc/PID and below its task/TID.
const OF_A_PROCESS: &[&str] = &[
    "auxv",
    "cgroup",
    "children",
    "cmdline",
    "comm",
    "coredump_filter",
    "cpuset",
    "environ",
    "exe",
    "fd",
    "fdinfo",
    "fdinfo/0",
    "fdinfo/4",
    "fdinfo/9",
    "fdinfo/14",
    "fdinfo/20",
    "gid_map",
    "io",
    "limits",
    "loginuid",
    "map_files",
    "maps",
    "mem",
    "mountinfo",
    "mounts",
    "mountstats",
    "net",
    "net/dev",
    "net/route",
    "net/unix",
    "ns",
    "oom_adj",
    "oom_score",
    "oom_score_adj",
    "pagemap",
    "personality",
    "projid_map",
    "root",
    "sessionid",
    "setgroups",
    "smaps",
    "smaps_rollup",
    "stat",
    "statm",
    "status",
    "syscall",
    "task",
    "timers",
    "timerslack_ns",
    "uid_map",
    "wchan",
];

const OF_THE_SYSTEM: &[&str] = &[
    "/",
    "/dev",
    "/dev/kmsg",
    "/dev/pts",
    "/dev/shm",
    "/dev/urandom",
    "/etc",
    "/fuzz",
    "/fuzz/canary",
    "/proc",
    "/proc/cmdline",
    "/proc/cpuinfo",
    "/proc/devices",
    "/proc/diskstats",
    "/proc/filesystems",
    "/proc/interrupts",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/misc",
    "/proc/partitions",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys",
    "/proc/sys/fs/file-nr",
    "/proc/sys/kernel",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/random/uuid",
    "/proc/sys/kernel/sem",
    "/proc/sys/vm",
    "/proc/sysvipc",
    "/proc/sysvipc/msg",
    "/proc/sysvipc/sem",
    "/proc/sysvipc/shm",
    "/proc/tty/drivers",
    "/proc/uptime",
    "/proc/version",
    "/proc/vmstat",
    "/sys",
    "/sys/devices/system/cpu",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/node",
    "/usr/bin",
];

/// Those that a process changes for itself; the leader must go on.
const OWN_SETTINGS: &[&str] = &[
    "clear_refs",
    "comm",
    "coredump_filter",
    "gid_map",
    "loginuid",
    "mem",
    "oom_adj",
    "oom_score_adj",
    "setgroups",
    "timerslack_ns",
    "uid_map",
];

const SETTINGS: &[&str] = &[
    "fs/mount-max",
    "fs/nr_open",
    "fs/pipe-max-size",
    "fs/pipe-user-pages-soft",
    "fs/protected_symlinks",
    "fs/suid_dumpable",
    "kernel/core_pattern",
    "kernel/core_uses_pid",
    "kernel/dmesg_restrict",
    "kernel/domainname",
    "kernel/hostname",
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/ns_last_pid",
    "kernel/osrelease",
    "kernel/printk",
    "kernel/randomize_va_space",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "vm/drop_caches",
    "vm/legacy_va_layout",
    "vm/swappiness",
];

pub fn state_file(maker: &mut Maker) -> Value {
    if maker.one_in(3) {
        return Value::Text(maker.pick(OF_THE_SYSTEM).into());
    }
    let name = maker.pick(OF_A_PROCESS);
    // The program's processes have the first numbers of a guest.
    let number = 1 + maker.below(9);
    Value::Text(match maker.below(5) {
        0 => format!("/proc/{number}/{name}"),
        1 => format!("/proc/{number}/task/{number}/{name}"),
        2 => format!("/proc/thread-self/{name}"),
        _ => format!("/proc/self/{name}"),
    })
}

pub fn setting(maker: &mut Maker) -> Value {
    let (folder, name) = match maker.one_in(2) {
        true => ("/proc/self", maker.pick(OWN_SETTINGS)),
        false => ("/proc/sys", maker.pick(SETTINGS)),
    };
    Value::Text(format!("{folder}/{name}"))
}

pub fn setting_text(maker: &mut Maker) -> Value {
    const TEXTS: &[&str] = &[
        "0",
        "1",
        "2",
        "3",
        "-1",
        "17",
        "1000",
        "-1000",
        "65536",
        "4294967296",
        "99999999999999999999",
        "0x33",
        "1 2 3",
        "250 32000 32 128",
        "0 0 1",
        "0 65534 1",
        "allow",
        "deny",
        "name",
        "/work/core.%p",
        "|/bin/true",
        "",
        "5 6 7",
    ];
    Value::Text(maker.pick(TEXTS).into())
}
