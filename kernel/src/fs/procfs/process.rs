//! The directory of a process, and of each of its threads.

use super::super::pseudo::{Entry, Found, Listed, Listing, Node, Subject, dir, integer, link, setting, text, trimmed};
use super::{current, files, inspect_guard, may_inspect, memory, memory_guard, parse_pid, stat};
use crate::limits;
use crate::mm::dump::Filter;
use crate::task::{self, Whom};
use crate::{Errno, Result};
use std::fmt::Write;
use std::sync::Arc;

/// /proc/PID.
pub static PROCESS: Entry = Entry { name: "PID", mode: 0o555, node: Node::Listing(FILES, &OfProcess), guard: None };
/// /proc/PID/task/TID.
static THREAD: Entry = Entry { name: "TID", mode: 0o555, node: Node::Listing(FILES, &OfThread), guard: None };
static CHILDREN: Entry = text("children", children);
static DUMP_FILTER: Entry = setting("coredump_filter", dump_filter, set_dump_filter);
static TASKS: Entry = Entry { name: "task", mode: 0o555, node: Node::Listing(&[], &Threads), guard: None };

const FILES: &[Entry] = &[
    text("auxv", memory::auxv).with_mode(0o400).guarded(memory_guard),
    text("cgroup", |_| Ok(b"0::/\n".to_vec())),
    text("cmdline", memory::cmdline),
    setting("comm", comm, set_comm),
    text("cpuset", |_| Ok(b"/\n".to_vec())),
    files::CWD,
    text("environ", memory::environ).with_mode(0o400).guarded(memory_guard),
    files::EXE,
    files::FD,
    files::FDINFO,
    setting("gid_map", id_map, |_, _| Err(Errno::EPERM)),
    text("io", io).with_mode(0o400).guarded(inspect_guard),
    text("limits", process_limits),
    setting("loginuid", |_| Ok(b"4294967295".to_vec()), |_, _| Err(Errno::EPERM)),
    text("maps", memory::maps).guarded(inspect_guard),
    memory::MEM,
    text("mountinfo", files::mountinfo).guarded(files::mounts_guard),
    text("mounts", files::mounts).guarded(files::mounts_guard),
    text("mountstats", files::mountstats).with_mode(0o400).guarded(files::mounts_guard),
    dir("net", NET),
    dir("ns", NAMESPACES),
    setting("oom_adj", oom_adj, set_oom_adj),
    text("oom_score", oom_score),
    setting("oom_score_adj", oom_score_adj, set_oom_score_adj),
    memory::PAGEMAP,
    text("personality", personality).with_mode(0o400).guarded(inspect_guard),
    setting("projid_map", id_map, |_, _| Err(Errno::EPERM)),
    files::ROOT,
    text("sessionid", |_| Ok(b"4294967295".to_vec())),
    setting("setgroups", |_| Ok(b"allow\n".to_vec()), |_, _| Err(Errno::EPERM)),
    text("smaps", memory::smaps).guarded(inspect_guard),
    text("smaps_rollup", memory::smaps_rollup).guarded(memory_guard),
    text("stat", stat::stat),
    text("statm", stat::statm),
    text("status", stat::status),
    setting("timerslack_ns", timer_slack, set_timer_slack).with_mode(0o666),
    setting("uid_map", id_map, |_, _| Err(Errno::EPERM)),
    text("wchan", wchan),
];

/// What a process's directory has and a thread's has not.
const OF_PROCESS: [&Entry; 2] = [&TASKS, &DUMP_FILTER];
struct OfProcess;

impl Listing for OfProcess {
    fn find(&self, subject: Subject, name: &[u8]) -> Result<Found> {
        let entry = OF_PROCESS.into_iter().find(|entry| entry.name.as_bytes() == name).ok_or(Errno::ENOENT)?;
        Ok(Found { entry, subject })
    }

    fn list(&self, subject: Subject) -> Result<Vec<Listed>> {
        let listed = (0..).zip(OF_PROCESS).map(|(key, entry)| Listed {
            key,
            name: entry.name.as_bytes().to_vec(),
            found: Found { entry, subject },
        });
        Ok(listed.collect())
    }

    fn directories(&self, _subject: Subject) -> usize {
        1
    }
}

struct Threads;

impl Listing for Threads {
    fn find(&self, subject: Subject, name: &[u8]) -> Result<Found> {
        let tid = parse_pid(name).ok_or(Errno::ENOENT)?;
        let process = subject.process().map_err(|_| Errno::ENOENT)?;
        let known = tid == process.pid || task::find(tid).is_some_and(|t| t.process.pid == process.pid);
        if !known {
            return Err(Errno::ENOENT);
        }
        Ok(Found { entry: &THREAD, subject: Subject { id: process.pid, sub: tid } })
    }

    fn list(&self, subject: Subject) -> Result<Vec<Listed>> {
        let process = subject.process().map_err(|_| Errno::ENOENT)?;
        // The first thread is there for as long as its process is.
        let first = process.first_thread_ended().then_some(process.pid);
        let tids = first.into_iter().chain(process.threads().into_iter().map(|thread| thread.tid()));
        let listed = tids.map(|tid| Listed {
            key: tid.cast_unsigned(),
            name: tid.to_string().into_bytes(),
            found: Found { entry: &THREAD, subject: Subject { id: process.pid, sub: tid } },
        });
        Ok(listed.collect())
    }

    fn directories(&self, subject: Subject) -> usize {
        subject.process().map_or(0, |process| process.threads().len())
    }
}

/// What a thread's directory has and a process's has not.
struct OfThread;

impl Listing for OfThread {
    fn find(&self, subject: Subject, name: &[u8]) -> Result<Found> {
        if name == b"children" { Ok(Found { entry: &CHILDREN, subject }) } else { Err(Errno::ENOENT) }
    }

    fn list(&self, subject: Subject) -> Result<Vec<Listed>> {
        Ok(vec![Listed { key: 0, name: b"children".to_vec(), found: Found { entry: &CHILDREN, subject } }])
    }
}

/// The children that this thread made and that are still there.
fn children(subject: Subject) -> Result<Vec<u8>> {
    let (process, thread) = (subject.process()?, subject.sub);
    let mut out = String::new();
    for child in process.children() {
        // Those of a thread that ended are the first one's.
        let maker = child.parent_thread();
        let maker = if task::find(maker).is_some() { maker } else { process.pid };
        if maker == thread {
            let _ = write!(out, "{} ", child.pid);
        }
    }
    Ok(out.into_bytes())
}

/// There is one namespace of each kind; its links name it and lead nowhere.
const NAMESPACES: &[Entry] = &[
    link("cgroup", |_| Ok(b"cgroup:[4026531835]".to_vec())).guarded(inspect_guard),
    link("ipc", |_| Ok(b"ipc:[4026531839]".to_vec())).guarded(inspect_guard),
    link("mnt", |_| Ok(b"mnt:[4026531841]".to_vec())).guarded(inspect_guard),
    link("net", |_| Ok(b"net:[4026531840]".to_vec())).guarded(inspect_guard),
    link("pid", |_| Ok(b"pid:[4026531836]".to_vec())).guarded(inspect_guard),
    link("time", |_| Ok(b"time:[4026531834]".to_vec())).guarded(inspect_guard),
    link("user", |_| Ok(b"user:[4026531837]".to_vec())).guarded(inspect_guard),
    link("uts", |_| Ok(b"uts:[4026531838]".to_vec())).guarded(inspect_guard),
];

/// A guest without a network has an empty one.
const NET: &[Entry] = &[
    text("dev", |_| {
        Ok(b"Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n".to_vec())
    }),
    text("route", |_| {
        Ok(b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n".to_vec())
    }),
    text("unix", |_| Ok(b"Num       RefCount Protocol Flags    Type St Inode Path\n".to_vec())),
];

/// The files of the root belong to root, those of a process to its user, unless it was made
/// undumpable.
pub fn owner(subject: Subject) -> Result<(u32, u32)> {
    if subject.id == 0 {
        return Ok((0, 0));
    }
    let process = subject.process()?;
    if subject.sub > 0 && !subject.is_ended_first_thread() {
        subject.task()?;
    }
    let creds = process.creds();
    let dumpable = process.settings.borrow().dumpable == 1;
    Ok(if dumpable { (creds.euid, creds.egid) } else { (0, 0) })
}

/// The name of the thread, or of a zombie.
pub fn name(subject: Subject) -> Result<Vec<u8>> {
    match subject.task() {
        Ok(task) => Ok(task.name.cloned()),
        Err(_) => Ok(subject.process()?.name()),
    }
}

fn comm(subject: Subject) -> Result<Vec<u8>> {
    let mut name = name(subject)?;
    name.push(b'\n');
    Ok(name)
}

fn set_comm(subject: Subject, name: &[u8]) -> Result<()> {
    let task = subject.task()?;
    // Only a thread of the same process may rename one.
    if task.process.pid != current().process.pid {
        return Err(Errno::EINVAL);
    }
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len()).min(15);
    task.name.set(name[..end].to_vec());
    Ok(())
}

/// There is one user namespace, where every number is itself; it cannot be changed.
fn id_map(subject: Subject) -> Result<Vec<u8>> {
    subject.process()?;
    Ok(format!("{:>10} {:>10} {:>10}\n", 0, 0, u32::MAX).into_bytes())
}

fn timer_slack(subject: Subject) -> Result<Vec<u8>> {
    let task = subject.task()?;
    if !Arc::ptr_eq(&task, &current()) && !current().creds().capable(abi::CAP_SYS_NICE) {
        return Err(Errno::EPERM);
    }
    Ok(format!("{}\n", task.attributes.borrow().timer_slack).into_bytes())
}

/// Zero is the value that the thread began with.
fn set_timer_slack(subject: Subject, bytes: &[u8]) -> Result<()> {
    let task = subject.task()?;
    if !Arc::ptr_eq(&task, &current()) && !current().creds().capable(abi::CAP_SYS_NICE) {
        return Err(Errno::EPERM);
    }
    let value: u64 = integer(bytes, true)?;
    let mut attributes = task.attributes.borrow_mut();
    attributes.timer_slack = if value == 0 { attributes.default_timer_slack } else { value };
    Ok(())
}

fn wchan(subject: Subject) -> Result<Vec<u8>> {
    subject.process()?;
    Ok(b"0".to_vec())
}

fn personality(subject: Subject) -> Result<Vec<u8>> {
    let number = if subject.sub == 0 { subject.process()?.pid } else { subject.sub };
    let attributes = Whom::find(number).ok_or(Errno::ESRCH)?.attributes();
    Ok(format!("{:08x}\n", attributes.personality).into_bytes())
}

fn io(subject: Subject) -> Result<Vec<u8>> {
    let usage = subject.process()?.usage.get();
    let (read, written) = (usage.blocks_in * 512, usage.blocks_out * 512);
    Ok(format!(
        "rchar: {read}\nwchar: {written}\nsyscr: 0\nsyscw: 0\nread_bytes: {read}\nwrite_bytes: {written}\ncancelled_write_bytes: 0\n"
    )
    .into_bytes())
}

fn process_limits(subject: Subject) -> Result<Vec<u8>> {
    const ROWS: [(&str, usize, &str); limits::COUNT] = [
        ("Max cpu time", limits::CPU, "seconds"),
        ("Max file size", limits::FSIZE, "bytes"),
        ("Max data size", limits::DATA, "bytes"),
        ("Max stack size", limits::STACK, "bytes"),
        ("Max core file size", limits::CORE, "bytes"),
        ("Max resident set", limits::RSS, "bytes"),
        ("Max processes", limits::NPROC, "processes"),
        ("Max open files", limits::NOFILE, "files"),
        ("Max locked memory", limits::MEMLOCK, "bytes"),
        ("Max address space", limits::AS, "bytes"),
        ("Max file locks", limits::LOCKS, "locks"),
        ("Max pending signals", limits::SIGPENDING, "signals"),
        ("Max msgqueue size", limits::MSGQUEUE, "bytes"),
        ("Max nice priority", limits::NICE, ""),
        ("Max realtime priority", limits::RTPRIO, ""),
        ("Max realtime timeout", limits::RTTIME, "us"),
    ];
    let limits = subject.process()?.limits.get();
    let show = |value: u64| if value == limits::INFINITY { "unlimited".to_string() } else { value.to_string() };
    let mut out = format!("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (name, which, unit) in ROWS {
        let limit = limits.get(which);
        let _ = write!(out, "{name:<25} {:<20} {:<20} ", show(limit.soft), show(limit.hard));
        let _ = if unit.is_empty() { writeln!(out) } else { writeln!(out, "{unit:<10}") };
    }
    Ok(out.into_bytes())
}

/// A process without memory has none.
fn dump_filter(subject: Subject) -> Result<Vec<u8>> {
    let process = subject.process()?;
    if subject.task().is_err() {
        return Ok(Vec::new());
    }
    let filter = process.settings.borrow().dumped;
    Ok(format!("{:08x}\n", filter.bits()).into_bytes())
}

/// Bits without a meaning are not kept.
fn set_dump_filter(subject: Subject, bytes: &[u8]) -> Result<()> {
    let bits = integer(bytes, false)?;
    subject.task()?.process.settings.borrow_mut().dumped = Filter::from_bits_truncate(bits);
    Ok(())
}

fn oom_score(subject: Subject) -> Result<Vec<u8>> {
    let share = task::oom::badness(&*subject.process()?).unwrap_or(-1000);
    Ok(format!("{}\n", ((1000 + share) * 2 / 3).max(0)).into_bytes())
}

fn oom_score_adj(subject: Subject) -> Result<Vec<u8>> {
    Ok(format!("{}\n", subject.process()?.settings.borrow().oom_score_adj).into_bytes())
}

fn set_oom_score_adj(subject: Subject, bytes: &[u8]) -> Result<()> {
    let value: i32 = integer(trimmed(bytes), false)?;
    if !(-1000..=1000).contains(&value) {
        return Err(Errno::EINVAL);
    }
    let process = subject.process()?;
    let mut settings = process.settings.borrow_mut();
    if current().creds().capable(abi::CAP_SYS_RESOURCE) {
        settings.oom_score_adj_min = value;
    } else if value < settings.oom_score_adj_min {
        return Err(Errno::EACCES);
    }
    settings.oom_score_adj = value;
    Ok(())
}

/// The older scale, -17 (never) to 15.
fn oom_adj(subject: Subject) -> Result<Vec<u8>> {
    let value = subject.process()?.settings.borrow().oom_score_adj;
    let scaled = if value == 1000 { 15 } else { value * 17 / 1000 };
    Ok(format!("{scaled}\n").into_bytes())
}

fn set_oom_adj(subject: Subject, bytes: &[u8]) -> Result<()> {
    let value: i32 = integer(trimmed(bytes), false)?;
    if !(-17..=15).contains(&value) {
        return Err(Errno::EINVAL);
    }
    let value = if value == 15 { 1000 } else { value * 1000 / 17 };
    let process = subject.process()?;
    let mut settings = process.settings.borrow_mut();
    // Anyone may volunteer, but on this scale only the administrator may take it back.
    if value < settings.oom_score_adj && !current().creds().capable(abi::CAP_SYS_RESOURCE) {
        return Err(Errno::EACCES);
    }
    settings.oom_score_adj = value;
    Ok(())
}

/// Whether numbers that tell where a process's memory lies are shown to the current task.
pub fn shows_addresses(subject: Subject) -> bool {
    subject.task().is_ok_and(|task| may_inspect(&task))
}
