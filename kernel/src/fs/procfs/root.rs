//! The files of /proc about the whole guest.

use super::super::pseudo::Subject;
use crate::mm::frames;
use crate::sched::{self, killable_point};
use crate::task::pid;
use crate::vfs::locks::{self, Family, Kind};
use crate::{Result, uts};
use std::fmt::Write;
use std::sync::OnceLock;
use umlab_host::{clock, info};

/// Clock ticks a second (USER_HZ).
const HZ: u64 = 100;

pub fn cmdline(_: Subject) -> Result<Vec<u8>> {
    Ok(format!("umlab mem={}K\n", frames::limit() >> 10).into_bytes())
}

/// The host's own lines, for as many CPUs as the guest has.
pub fn cpuinfo(_: Subject) -> Result<Vec<u8>> {
    static HOST: OnceLock<String> = OnceLock::new();
    let host = HOST.get_or_init(|| String::from_utf8_lossy(&info::read_file("/proc/cpuinfo")).into_owned());
    let blocks: Vec<&str> = host.split("\n\n").filter(|b| b.contains("processor")).collect();
    let count = sched::cpu_count();
    let mut out = String::new();
    for cpu in 0..count {
        let Some(block) = blocks.get(cpu).or(blocks.last()) else {
            let _ = writeln!(out, "processor\t: {cpu}\nvendor_id\t: unknown\n");
            continue;
        };
        for line in block.lines() {
            let name = line.split(':').next().unwrap_or("").trim();
            let _ = match name {
                "processor" | "core id" | "apicid" | "initial apicid" => {
                    let key = line.split(':').next().unwrap_or("");
                    writeln!(out, "{key}: {cpu}")
                }
                "siblings" | "cpu cores" => {
                    let key = line.split(':').next().unwrap_or("");
                    writeln!(out, "{key}: {count}")
                }
                _ => writeln!(out, "{line}"),
            };
        }
        out.push('\n');
    }
    Ok(out.into_bytes())
}

pub fn devices(_: Subject) -> Result<Vec<u8>> {
    Ok(b"Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n128 ptm\n136 pts\n\nBlock devices:\n"
        .to_vec())
}

pub fn filesystems(_: Subject) -> Result<Vec<u8>> {
    Ok(crate::fs::types::names().map(|name| format!("nodev\t{name}\n")).collect::<String>().into_bytes())
}

pub fn interrupts(_: Subject) -> Result<Vec<u8>> {
    let mut out = String::from("    ");
    for cpu in 0..sched::cpu_count() {
        let _ = write!(out, "       CPU{cpu:<4}");
    }
    out.push('\n');
    Ok(out.into_bytes())
}

pub fn loadavg(_: Subject) -> Result<Vec<u8>> {
    let [a, b, c] = sched::load_average();
    let (running, all, last) = (sched::runnable(), pid::task_count(), pid::last_pid());
    Ok(format!("{a:.2} {b:.2} {c:.2} {running}/{all} {last}\n").into_bytes())
}

pub fn meminfo(_: Subject) -> Result<Vec<u8>> {
    let total = frames::limit() >> 10;
    let used = (frames::used() >> 10).min(total);
    let free = total - used;
    let mut out = String::new();
    let rows: &[(&str, u64)] = &[
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapCached", 0),
        ("Active", used),
        ("Inactive", 0),
        ("Active(anon)", used),
        ("Inactive(anon)", 0),
        ("Active(file)", 0),
        ("Inactive(file)", 0),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", used),
        ("Mapped", 0),
        ("Shmem", 0),
        ("KReclaimable", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("KernelStack", 0),
        ("PageTables", 0),
        ("NFS_Unstable", 0),
        ("Bounce", 0),
        ("WritebackTmp", 0),
        ("CommitLimit", total),
        ("Committed_AS", used),
        ("VmallocTotal", 0),
        ("VmallocUsed", 0),
        ("VmallocChunk", 0),
        ("HugePages_Total", 0),
        ("HugePages_Free", 0),
        ("HugePages_Rsvd", 0),
        ("HugePages_Surp", 0),
        ("Hugepagesize", 2048),
    ];
    for (name, value) in rows {
        let unit = if name.starts_with("HugePages") { "" } else { " kB" };
        let _ = writeln!(out, "{:<16}{value:>8}{unit}", format!("{name}:"));
    }
    Ok(out.into_bytes())
}

pub fn stat(_: Subject) -> Result<Vec<u8>> {
    let ticks = |ns: u64| ns / (1_000_000_000 / HZ);
    let times = sched::cpu_times();
    let mut out = String::new();
    let mut line = |name: &str, user: u64, system: u64, idle: u64| {
        let (user, system, idle) = (ticks(user), ticks(system), ticks(idle));
        let _ = writeln!(out, "{name} {user} 0 {system} {idle} 0 0 0 0 0 0");
    };
    let sum = |f: fn(&sched::CpuTimes) -> u64| times.iter().map(f).sum::<u64>();
    line("cpu ", sum(|t| t.user), sum(|t| t.system), sum(|t| t.idle));
    for (cpu, t) in times.iter().enumerate() {
        line(&format!("cpu{cpu}"), t.user, t.system, t.idle);
    }
    let boot = (clock::realtime() - clock::boottime()) / 1_000_000_000;
    let (switches, made) = (sched::switch_count(), crate::task::process::made());
    let _ = writeln!(out, "intr 0\nctxt {switches}\nbtime {boot}\nprocesses {made}");
    let _ = writeln!(out, "procs_running {}\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0", sched::runnable());
    Ok(out.into_bytes())
}

pub fn uptime(_: Subject) -> Result<Vec<u8>> {
    let idle: u64 = sched::cpu_times().iter().map(|t| t.idle).sum();
    let hundredths = |ns: u64| format!("{}.{:02}", ns / 1_000_000_000, ns / 10_000_000 % 100);
    Ok(format!("{} {}\n", hundredths(clock::boottime()), hundredths(idle)).into_bytes())
}

pub fn version(_: Subject) -> Result<Vec<u8>> {
    Ok(format!("{} version {} (umlab) {}\n", uts::SYSNAME, uts::RELEASE, uts::VERSION).into_bytes())
}

pub fn vmstat(_: Subject) -> Result<Vec<u8>> {
    let pages = |bytes: u64| bytes / crate::mm::PAGE_SIZE;
    let (used, limit) = (frames::used().min(frames::limit()), frames::limit());
    let mut out = String::new();
    let _ = writeln!(out, "nr_free_pages {}\nnr_anon_pages {}", pages(limit - used), pages(used));
    for name in
        ["nr_mapped", "nr_file_pages", "nr_dirty", "pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault"]
    {
        let _ = writeln!(out, "{name} 0");
    }
    Ok(out.into_bytes())
}

pub fn tty_drivers(_: Subject) -> Result<Vec<u8>> {
    let rows = [
        ("/dev/tty", "/dev/tty", 5, "0", "system:/dev/tty"),
        ("/dev/console", "/dev/console", 5, "1", "system:console"),
        ("/dev/ptmx", "/dev/ptmx", 5, "2", "system"),
        ("pty_slave", "/dev/pts", 136, "0-1048575", "pty:slave"),
        ("pty_master", "/dev/ptm", 128, "0-1048575", "pty:master"),
    ];
    let mut out = String::new();
    for (name, path, major, minors, kind) in rows {
        let _ = writeln!(out, "{name:<20} {path:<12} {major:>3} {minors} {kind}");
    }
    Ok(out.into_bytes())
}

/// Locks that are held; who waits for one is not shown.
pub fn locks(_: Subject) -> Result<Vec<u8>> {
    /// So many lines are written between two preemption points.
    const BATCH: usize = 256;
    let mut out = String::new();
    let mut number = 0;
    for file in locks::locked_files() {
        for held in locks::held(file) {
            number += 1;
            let family = match held.family {
                Family::Process => "POSIX",
                Family::OpenFile => "OFDLCK",
                Family::Flock => "FLOCK",
            };
            let kind = if held.kind == Kind::Read { "READ" } else { "WRITE" };
            let ((device, inode), pid, start) = (held.file, held.pid, held.start);
            let (major, minor) = (abi::major(device), abi::minor(device));
            let _ =
                write!(out, "{number}: {family:<6} ADVISORY  {kind} {pid} {major:02x}:{minor:02x}:{inode} {start} ");
            let _ = match held.end {
                locks::END => writeln!(out, "EOF"),
                end => writeln!(out, "{end}"),
            };
            if number % BATCH == 0 {
                killable_point()?;
            }
        }
    }
    Ok(out.into_bytes())
}

/// There are none.
pub fn softirqs(_: Subject) -> Result<Vec<u8>> {
    let mut out = " ".repeat(20);
    for cpu in 0..sched::cpu_count() {
        let _ = write!(out, "CPU{cpu:<8}");
    }
    out.push('\n');
    Ok(out.into_bytes())
}
