//! /proc/sys: the kernel's settings. Those that a guest can change take effect; the others say what
//! holds.

use super::super::pseudo::{Entry, Subject, dir, number, setting, text};
use crate::creds::ALL_CAPS;
use crate::event::inotify;
use crate::ipc::pipe;
use crate::ipc::{mq, msg, sem};
use crate::limits;
use crate::mm::frames;
use crate::task::current;
use crate::task::{core_dump, pid};
use crate::vfs::dentry;
use crate::vfs::permission;
use crate::{Errno, Result, uts};
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use umlab_host::random;

/// A file that always says the same.
macro_rules! fixed {
    ($name:literal, $text:literal) => {
        text($name, |_| Ok(concat!($text, "\n").as_bytes().to_vec()))
    };
}

/// A number that may be written and is kept, within limits; it changes nothing else, because the
/// core has no use for it.
macro_rules! kept {
    ($name:literal, $initial:expr, $range:expr) => {{
        static VALUE: AtomicI64 = AtomicI64::new($initial);
        kept!($name, in VALUE, $range)
    }};
    // One of 64 bits without a sign.
    ($name:literal, wide $initial:expr) => {{
        static VALUE: AtomicU64 = AtomicU64::new($initial);
        setting(
            $name,
            |_| Ok(format!("{}\n", VALUE.load(Relaxed)).into_bytes()),
            |_, bytes| {
                VALUE.store(administrator(bytes)?, Relaxed);
                Ok(())
            },
        )
    }};
    // One that does: it is kept where it is used.
    ($name:literal, in $place:path, $range:expr) => {
        setting(
            $name,
            |_| Ok(format!("{}\n", $place.load(Relaxed)).into_bytes()),
            |_, bytes| {
                let value: i64 = administrator(bytes)?;
                if !$range.contains(&value) {
                    return Err(Errno::EINVAL);
                }
                $place.store(value, Relaxed);
                Ok(())
            },
        )
    };
}

pub const SYS: &[Entry] = &[
    dir("fs", FS),
    dir("kernel", KERNEL),
    dir("user", &[fixed!("max_user_namespaces", "0")]),
    dir("net", &[dir("core", NET_CORE), dir("ipv4", NET_IPV4), dir("unix", &[fixed!("max_dgram_qlen", "512")])]),
    dir("vm", VM),
];

const FS: &[Entry] = &[
    fixed!("aio-max-nr", "65536"),
    fixed!("aio-nr", "0"),
    dir("epoll", &[fixed!("max_user_watches", "1000000")]),
    kept!("file-max", i64::MAX, 0..=i64::MAX),
    text("file-nr", |_| Ok(format!("{}\t0\t{}\n", open_files(), i64::MAX).into_bytes())),
    dir(
        "inotify",
        &[
            kept!("max_queued_events", in inotify::MAX_QUEUED_EVENTS, 0..=i64::from(i32::MAX)),
            kept!("max_user_instances", in inotify::MAX_USER_INSTANCES, 0..=i64::from(i32::MAX)),
            kept!("max_user_watches", in inotify::MAX_USER_WATCHES, 0..=i64::from(i32::MAX)),
        ],
    ),
    fixed!("mount-max", "20000"),
    dir(
        "mqueue",
        &[
            kept!("msg_default", in mq::MSG_DEFAULT, 1..=mq::HARD_MSG_MAX),
            kept!("msg_max", in mq::MSG_MAX, 1..=mq::HARD_MSG_MAX),
            kept!("msgsize_default", in mq::SIZE_DEFAULT, 128..=mq::HARD_SIZE_MAX),
            kept!("msgsize_max", in mq::SIZE_MAX, 128..=mq::HARD_SIZE_MAX),
            kept!("queues_max", in mq::QUEUES_MAX, 0..=i64::from(i32::MAX)),
        ],
    ),
    kept!("nr_open", in limits::NR_OPEN, 64..=limits::MAX_DESCRIPTORS.cast_signed()),
    fixed!("overflowgid", "65534"),
    fixed!("overflowuid", "65534"),
    setting(
        "pipe-max-size",
        |_| Ok(format!("{}\n", pipe::max_size()).into_bytes()),
        |_, bytes| pipe::set_max_size(administrator(bytes)?),
    ),
    fixed!("pipe-user-pages-hard", "0"),
    fixed!("pipe-user-pages-soft", "16384"),
    kept!("protected_hardlinks", in permission::PROTECTED_HARDLINKS, 0..=1),
    kept!("protected_symlinks", in permission::PROTECTED_SYMLINKS, 0..=1),
    fixed!("suid_dumpable", "0"),
];

const KERNEL: &[Entry] = &[
    text("cap_last_cap", |_| Ok(format!("{}\n", ALL_CAPS.count_ones() - 1).into_bytes())),
    setting("core_pattern", |_| Ok(line(core_dump::pattern())), set_core_pattern),
    kept!("core_uses_pid", in core_dump::USES_PID, 0..=i64::from(i32::MAX)),
    fixed!("dmesg_restrict", "1"),
    setting("domainname", |_| Ok(line(uts::domainname())), |_, name| set_name(name, uts::set_domainname)),
    setting("hostname", |_| Ok(line(uts::hostname())), |_, name| set_name(name, uts::set_hostname)),
    fixed!("kptr_restrict", "1"),
    kept!("msgmax", in msg::MAX_LEN, 0..=1 << 24),
    kept!("msgmnb", in msg::MAX_BYTES, 0..=i64::from(i32::MAX)),
    kept!("msgmni", in msg::MOST, 0..=1 << 15),
    fixed!("ngroups_max", "65536"),
    setting(
        "ns_last_pid",
        |_| Ok(format!("{}\n", pid::last_pid()).into_bytes()),
        |_, bytes| pid::set_last_pid(administrator(bytes)?),
    )
    .with_mode(0o666),
    text("osrelease", |_| Ok(line(uts::RELEASE.into()))),
    text("ostype", |_| Ok(line(uts::SYSNAME.into()))),
    fixed!("overflowgid", "65534"),
    fixed!("overflowuid", "65534"),
    fixed!("panic", "0"),
    fixed!("perf_event_paranoid", "3"),
    setting(
        "pid_max",
        |_| Ok(format!("{}\n", pid::pid_max()).into_bytes()),
        |_, bytes| pid::set_pid_max(administrator(bytes)?),
    ),
    fixed!("printk", "4\t4\t1\t7"),
    dir(
        "pty",
        &[
            text("max", |_| Ok(format!("{}\n", crate::tty::pty::MAX).into_bytes())),
            text("nr", |_| Ok(format!("{}\n", crate::tty::pty::pairs().len()).into_bytes())),
        ],
    ),
    dir(
        "random",
        &[
            text("boot_id", boot_id),
            fixed!("entropy_avail", "256"),
            fixed!("poolsize", "256"),
            fixed!("urandom_min_reseed_secs", "60"),
            text("uuid", |_| Ok(line(uuid().into_bytes()))),
            fixed!("write_wakeup_threshold", "256"),
        ],
    ),
    // Guests' addresses are not randomised.
    kept!("randomize_va_space", 0, 0..=2),
    kept!("sched_autogroup_enabled", 0, 0..=1),
    fixed!("sched_child_runs_first", "0"),
    kept!("sched_rr_timeslice_ms", 100, 1..=i64::from(i32::MAX)),
    fixed!("sched_rt_period_us", "1000000"),
    fixed!("sched_rt_runtime_us", "950000"),
    setting(
        "sem",
        |_| Ok(line(sem::LIMITS.each_ref().map(|limit| limit.load(Relaxed).to_string()).join("\t").into())),
        set_sem,
    ),
    kept!("shmall", wide 18_446_744_073_692_774_399),
    kept!("shmmax", wide 18_446_744_073_692_774_399),
    kept!("shmmni", 4096, 0..=1 << 24),
    fixed!("tainted", "0"),
    setting(
        "threads-max",
        |_| Ok(format!("{}\n", pid::max_tasks()).into_bytes()),
        |_, bytes| pid::change_max_tasks(administrator(bytes)?),
    ),
    fixed!("unprivileged_bpf_disabled", "2"),
    text("version", |_| Ok(line(uts::VERSION.into()))),
];

const NET_CORE: &[Entry] = &[
    fixed!("somaxconn", "4096"),
    fixed!("rmem_default", "212992"),
    fixed!("rmem_max", "212992"),
    fixed!("wmem_default", "212992"),
    fixed!("wmem_max", "212992"),
];

const NET_IPV4: &[Entry] =
    &[fixed!("ip_local_port_range", "32768\t60999"), fixed!("ip_unprivileged_port_start", "1024")];

const VM: &[Entry] = &[
    setting("drop_caches", |_| Err(Errno::EACCES), drop_caches).with_mode(0o200),
    fixed!("legacy_va_layout", "0"),
    kept!("max_map_count", in crate::mm::space::MAX_MAP_COUNT, 0..=crate::mm::space::MAX_AREAS.cast_signed() as i64),
    text("min_free_kbytes", |_| Ok(format!("{}\n", (frames::limit() >> 20).max(64)).into_bytes())),
    text("mmap_min_addr", |_| Ok(format!("{}\n", crate::mm::space::USER_BOTTOM).into_bytes())),
    fixed!("nr_hugepages", "0"),
    kept!("overcommit_memory", 1, 0..=2),
    kept!("overcommit_ratio", 50, 0..=i64::from(i32::MAX)),
    fixed!("panic_on_oom", "0"),
    kept!("swappiness", 60, 0..=200),
    kept!("vfs_cache_pressure", 100, 0..=i64::from(i32::MAX)),
];

fn line(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.push(b'\n');
    bytes
}

/// A number that only the administrator may write.
fn administrator<T: TryFrom<i128>>(bytes: &[u8]) -> Result<T> {
    if !current().creds().capable(abi::CAP_SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    number(bytes)
}

fn set_core_pattern(_: Subject, bytes: &[u8]) -> Result<()> {
    if !current().creds().capable(abi::CAP_SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let end = bytes.iter().position(|&b| b == b'\n' || b == 0).unwrap_or(bytes.len());
    core_dump::set_pattern(&bytes[..end])
}

/// There are caches of names only: 1 (the pages of files) has nothing to drop.
fn drop_caches(_: Subject, bytes: &[u8]) -> Result<()> {
    match administrator::<i64>(bytes)? {
        1 | 4 => Ok(()),
        2 | 3 => {
            dentry::shrink();
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// As many of the four numbers as are given; none may be raised above what it is at first.
fn set_sem(_: Subject, bytes: &[u8]) -> Result<()> {
    let words = bytes.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let values: Vec<i64> = words.map(administrator).collect::<Result<_>>()?;
    if values.len() > sem::MOST.len() || values.iter().zip(sem::MOST).any(|(value, most)| !(0..=most).contains(value)) {
        return Err(Errno::EINVAL);
    }
    for (limit, value) in sem::LIMITS.iter().zip(values) {
        limit.store(value, Relaxed);
    }
    Ok(())
}

fn set_name(name: &[u8], set: fn(&[u8])) -> Result<()> {
    if !current().creds().capable(abi::CAP_SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let end = name.iter().position(|&b| b == b'\n' || b == 0).unwrap_or(name.len());
    set(&name[..end]);
    Ok(())
}

/// Descriptors of all processes: what shares a description is counted more than once.
fn open_files() -> usize {
    pid::processes().iter().filter_map(|p| p.main_thread()?.files.cloned()).map(|files| files.numbers().len()).sum()
}

/// A random UUID (version 4).
fn uuid() -> String {
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut out = String::new();
    for (i, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&i) {
            out.push('-');
        }
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn boot_id(_: Subject) -> Result<Vec<u8>> {
    static ID: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    Ok(line(ID.get_or_init(uuid).clone().into_bytes()))
}
