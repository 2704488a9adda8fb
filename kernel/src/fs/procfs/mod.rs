//! /proc: processes, and what the kernel tells about itself.
//!
//! Everything is honest about this guest: its processes, its memory, its CPUs. What describes the
//! machine and cannot be the guest's own (the CPU's features) is the host's.

mod files;
mod memory;
mod process;
mod root;
mod stat;
mod sys;
mod sysvipc;

pub use stat::cpu_list;

use super::pseudo::{self, Entry, Found, Listed, Listing, Node, PseudoFs, Subject, Tree, dir, link, text};
use crate::Pid;
use crate::task::{self, Process, Task, current, pid};
use crate::vfs::device;
use crate::vfs::file::OpenFile;
use crate::vfs::mount::FileSystem;
use crate::{Errno, Result};
use std::sync::Arc;

const MAGIC: u64 = 0x9fa0;

/// The file system, for mounting on /proc.
pub fn file_system() -> Arc<dyn FileSystem> {
    Arc::new(PseudoFs { kind: "proc", magic: MAGIC, tree: &TREE })
}

static TREE: Tree = Tree {
    dev: device::number(0, 22),
    root: Entry { name: "", mode: 0o555, node: Node::Listing(ROOT, &Processes), guard: None },
    owner: process::owner,
    lookups_fail: true,
};

const ROOT: &[Entry] = &[
    link("self", |_| Ok(current().pid().to_string().into_bytes())),
    link("thread-self", |_| Ok(format!("{}/task/{}", current().pid(), current().tid()).into_bytes())),
    dir("bus", &[]),
    text("cmdline", root::cmdline),
    text("cpuinfo", root::cpuinfo),
    text("devices", root::devices),
    text("diskstats", |_| Ok(Vec::new())),
    dir("driver", &[]),
    text("filesystems", root::filesystems),
    dir("fs", &[]),
    text("interrupts", root::interrupts),
    dir("irq", &[]),
    text("loadavg", root::loadavg),
    text("locks", root::locks),
    text("meminfo", root::meminfo),
    text("misc", |_| Ok(Vec::new())),
    link("mounts", |_| Ok(b"self/mounts".to_vec())),
    link("net", |_| Ok(b"self/net".to_vec())),
    text("partitions", |_| Ok(b"major minor  #blocks  name\n\n".to_vec())),
    text("softirqs", root::softirqs),
    text("stat", root::stat),
    text("swaps", |_| Ok(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_vec())),
    dir("sys", sys::SYS),
    dir("sysvipc", sysvipc::FILES),
    dir("tty", &[text("drivers", root::tty_drivers)]),
    text("uptime", root::uptime),
    text("version", root::version),
    text("vmstat", root::vmstat),
];

/// The directories of processes, and of threads for those who know their number.
struct Processes;

impl Listing for Processes {
    fn find(&self, _subject: Subject, name: &[u8]) -> Result<Found> {
        let number = parse_pid(name).ok_or(Errno::ENOENT)?;
        // A thread's own number leads to its process's directory, seen from that thread.
        let known = task::find_process(number).is_some() || task::find(number).is_some();
        if known { Ok(process_directory(number)) } else { Err(Errno::ENOENT) }
    }

    fn list(&self, _subject: Subject) -> Result<Vec<Listed>> {
        let listed = pid::processes().into_iter().map(|process| Listed {
            key: process.pid.cast_unsigned(),
            name: process.pid.to_string().into_bytes(),
            found: process_directory(process.pid),
        });
        Ok(listed.collect())
    }

    fn directories(&self, _subject: Subject) -> usize {
        pid::processes().len()
    }
}

/// The process whose directory in /proc a file is. ESRCH when it is gone.
pub fn process_of(file: &OpenFile) -> Option<Result<Arc<Process>>> {
    let (subject, found) = pseudo::subject_of(&file.inode, &process::PROCESS)?;
    let process = task::find_process(subject.id).filter(|process| process.start_time <= found);
    Some(process.ok_or(Errno::ESRCH))
}

fn process_directory(pid: Pid) -> Found {
    Found { entry: &process::PROCESS, subject: Subject { id: pid, sub: 0 } }
}

/// A decimal number as Linux writes it: no sign, no leading zero.
fn parse_pid(name: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(name).ok()?;
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

impl Subject {
    /// The thread that a file in a process's or a thread's directory is about. ESRCH when it is
    /// gone, or a zombie.
    fn task(self) -> Result<Arc<Task>> {
        if self.sub > 0 {
            return task::find(self.sub).ok_or(Errno::ESRCH);
        }
        match task::find_process(self.id) {
            Some(process) => process.main_thread().ok_or(Errno::ESRCH),
            None => task::find(self.id).ok_or(Errno::ESRCH),
        }
    }

    /// Whether it is about a first thread that has ended, alone or with its process.
    fn is_ended_first_thread(self) -> bool {
        (self.sub == 0 || self.sub == self.id) && self.process().is_ok_and(|process| process.first_thread_ended())
    }

    /// The thread with the number `id`.
    fn thread(self) -> Result<Arc<Task>> {
        task::find(self.id).ok_or(Errno::ESRCH)
    }

    /// The process it is about, which may be a zombie.
    fn process(self) -> Result<Arc<Process>> {
        match task::find_process(self.id) {
            Some(process) => Ok(process),
            None => Ok(task::find(self.id).ok_or(Errno::ESRCH)?.process.clone()),
        }
    }
}

/// Whether the current task may look into this one's memory and files (ptrace(2)'s access check):
/// the same user throughout, and not made undumpable, or the capability.
fn may_inspect(target: &Task) -> bool {
    let task = current();
    if Arc::ptr_eq(&task.process, &target.process) {
        return true;
    }
    let (own, other) = (task.creds(), target.creds());
    let same = [other.uid, other.euid, other.suid].iter().all(|&uid| uid == own.fsuid)
        && [other.gid, other.egid, other.sgid].iter().all(|&gid| gid == own.fsgid);
    let dumpable = target.process.settings.borrow().dumpable == 1;
    same && dumpable && other.permitted & !own.permitted == 0 || own.capable(abi::CAP_SYS_PTRACE)
}

/// A guard for files that only those who could trace the process may use.
fn inspect_guard(subject: Subject) -> Result<()> {
    match subject.task() {
        Ok(task) if !may_inspect(&task) => Err(Errno::EACCES),
        // A zombie's files are empty, and everyone may see that.
        _ => Ok(()),
    }
}

/// A guard as [`inspect_guard`] for files that cannot be opened without memory to look at.
fn memory_guard(subject: Subject) -> Result<()> {
    if subject.process()?.ended() { Err(Errno::ESRCH) } else { inspect_guard(subject) }
}
