//! stat, statm and status of a process or thread: what ps and top read.

use super::super::pseudo::Subject;
use super::process::{name, shows_addresses};
use crate::limits;
use crate::mm::{AddressSpace, PAGE_SIZE};
use crate::sched::RunState;
use crate::task::group::ControllingTty;
use crate::task::signal::{Charge, SigSet};
use crate::task::usage::{Usage, ticks};
use crate::task::{Process, Task};
use crate::{Result, sched, time};
use std::fmt::Write;
use std::sync::Arc;
use umlab_host::clock;

/// The state's letter and word.
fn state(task: Option<&Arc<Task>>, process: &Process) -> (char, &'static str) {
    let Some(task) = task else { return ('Z', "zombie") };
    if task.trace.is_stopped() {
        return ('t', "tracing stop");
    }
    if process.job.borrow().stopped.is_some() || task.signals.borrow().stopped {
        return ('T', "stopped");
    }
    match task.sched.run_state() {
        // PID 1 has no code of its own and waits for children for ever.
        RunState::Runnable if process.is_init() => ('S', "sleeping"),
        RunState::Runnable => ('R', "running"),
        RunState::Blocked => ('S', "sleeping"),
        RunState::Ended => ('X', "dead"),
    }
}

/// CLOCK_MONOTONIC as time since boot: they differ by what the host has slept.
fn since_boot(monotonic: u64) -> u64 {
    monotonic + clock::boottime().saturating_sub(time::now())
}

struct Memory {
    size: u64,
    resident: u64,
    file: u64,
    shared: u64,
    text: u64,
    library: u64,
    data: u64,
    stack: u64,
    locked: u64,
}

/// Sizes in bytes. What the host maps from files is counted as resident where it is code.
fn memory(space: Option<&Arc<AddressSpace>>) -> Memory {
    let mut sum =
        Memory { size: 0, resident: 0, file: 0, shared: 0, text: 0, library: 0, data: 0, stack: 0, locked: 0 };
    let Some(space) = space else { return sum };
    sum.locked = space.totals().locked;
    let code = space.layout().code;
    for line in space.maps() {
        let len = line.end - line.start;
        sum.size += len;
        sum.resident += line.resident;
        let executable = line.prot.contains(umlab_model::Prot::EXEC);
        if line.file.is_some() && line.resident == 0 {
            sum.file += len;
        }
        if line.shared && line.file.is_none() {
            sum.shared += line.resident;
        }
        if executable && line.file.is_some() {
            let own = line.start < code.1 && code.0 < line.end;
            *(if own { &mut sum.text } else { &mut sum.library }) += len;
        }
        if line.name == Some("[stack]") {
            sum.stack += len;
        } else if !line.shared && line.prot.contains(umlab_model::Prot::WRITE) {
            sum.data += len;
        }
    }
    sum.resident += sum.file;
    sum
}

pub fn stat(subject: Subject) -> Result<Vec<u8>> {
    let process = subject.process()?;
    let task = subject.task().ok();
    let ended = subject.is_ended_first_thread();
    if subject.sub != 0 && task.is_none() && !ended {
        return Err(crate::Errno::ESRCH);
    }
    let whole = subject.sub == 0;
    let usage = match &task {
        Some(task) if !whole => task.usage.get(),
        _ => process.usage.get(),
    };
    let children: Usage = process.children_usage.get();
    let group = process.group();
    let tty = crate::tty::job::controlling_tty(&process);
    let space = task.as_ref().and_then(|t| t.space.cloned());
    let memory = memory(space.as_ref());
    let layout = space.as_ref().map(|s| s.layout()).filter(|_| shows_addresses(subject)).unwrap_or_default();
    let attributes = task.as_ref().map(|t| t.attributes.cloned()).unwrap_or_default();
    let (pending, blocked, ignored, caught) = task.as_ref().map_or_else(Default::default, signal_sets);
    let number = if whole { process.pid } else { subject.sub };
    let start = task.as_ref().filter(|_| !whole).map_or(process.start_time, |t| t.start_time);
    let priority = if attributes.priority > 0 { -1 - attributes.priority } else { 20 + attributes.nice };
    let cpu = task.as_ref().map_or(0, |t| t.sched.cpu());
    let mut out = format!("{number} (").into_bytes();
    out.extend(name(subject)?);
    let rest = format!(
        ") {} {} {} {} {} {} 4194304 {} {} {} {} {} {} {} {} {priority} {} {} 0 {} {} {} {} {} {} {} 0 0 {} {} {} {} {} 0 0 {} {cpu} {} {} 0 0 0 {} {} {} {} {} {} {} {}\n",
        state(task.as_ref().filter(|_| !ended), &process).0,
        process.parent_pid(),
        group.pgid,
        group.session.sid,
        tty.as_ref().map_or(0, |t| encode_device(t.device)),
        tty.as_ref().map_or(-1, |t| t.foreground()),
        usage.minor_faults,
        children.minor_faults,
        usage.major_faults,
        children.major_faults,
        ticks(usage.user),
        ticks(usage.system),
        ticks(children.user),
        ticks(children.system),
        attributes.nice,
        process.thread_count(),
        ticks(since_boot(start)),
        memory.size,
        memory.resident / PAGE_SIZE,
        process.limit(limits::RSS),
        layout.code.0,
        layout.code.1,
        layout.stack_start,
        pending.0 & 0x7fff_ffff,
        blocked.0 & 0x7fff_ffff,
        ignored.0 & 0x7fff_ffff,
        caught.0 & 0x7fff_ffff,
        0,
        process.exit_signal(),
        attributes.priority,
        attributes.policy,
        layout.data.0,
        layout.data.1,
        0,
        layout.arguments.0,
        layout.arguments.1,
        layout.environment.0,
        layout.environment.1,
        process.exit_status().filter(|_| shows_addresses(subject) || task.is_none()).unwrap_or(0),
    );
    out.extend(rest.into_bytes());
    Ok(out)
}

/// A device number as stat shows it: the older, 32-bit encoding.
fn encode_device(device: u64) -> u32 {
    let (major, minor) = (abi::major(device), abi::minor(device));
    minor & 0xff | (major & 0xfff) << 8 | (minor & !0xff) << 12
}

/// Pending (of the thread), blocked, ignored and caught signals.
fn signal_sets(task: &Arc<Task>) -> (SigSet, SigSet, SigSet, SigSet) {
    let actions = task.actions.cloned();
    let (ignored, caught) = actions.borrow().ignored_and_caught();
    let signals = task.signals.borrow();
    (signals.pending.set(), signals.mask, ignored, caught)
}

pub fn statm(subject: Subject) -> Result<Vec<u8>> {
    subject.process()?;
    let space = subject.task().ok().and_then(|t| t.space.cloned());
    let m = memory(space.as_ref());
    let pages = |bytes: u64| bytes / PAGE_SIZE;
    let (size, resident, shared) = (pages(m.size), pages(m.resident), pages(m.file + m.shared));
    Ok(format!("{size} {resident} {shared} {} 0 {} 0\n", pages(m.text), pages(m.data + m.stack)).into_bytes())
}

pub fn status(subject: Subject) -> Result<Vec<u8>> {
    let process = subject.process()?;
    let task = subject.task().ok();
    let number = if subject.sub == 0 { process.pid } else { subject.sub };
    let creds = task.as_ref().map_or_else(|| process.creds(), |t| t.creds());
    let (letter, word) = state(task.as_ref().filter(|_| !subject.is_ended_first_thread()), &process);
    let (group, mut out) = (process.group(), b"Name:\t".to_vec());
    for byte in name(subject)? {
        // A name may hold anything, and must not look like another line.
        match byte {
            b'\n' => out.extend(b"\\n"),
            b'\\' => out.extend(b"\\\\"),
            _ => out.push(byte),
        }
    }
    let mut text = String::from("\n");
    let umask = task.as_ref().map(|t| t.fs.borrow().umask.get());
    if let Some(umask) = umask {
        let _ = writeln!(text, "Umask:\t{umask:04o}");
    }
    let _ = writeln!(text, "State:\t{letter} ({word})\nTgid:\t{}\nNgid:\t0\nPid:\t{number}", process.pid);
    let tracer = task.as_ref().and_then(|t| t.trace.tracer()).map_or(0, |tracer| tracer.pid());
    let _ = writeln!(text, "PPid:\t{}\nTracerPid:\t{tracer}", process.parent_pid());
    let _ = writeln!(text, "Uid:\t{}\t{}\t{}\t{}", creds.uid, creds.euid, creds.suid, creds.fsuid);
    let _ = writeln!(text, "Gid:\t{}\t{}\t{}\t{}", creds.gid, creds.egid, creds.sgid, creds.fsgid);
    let slots = task.as_ref().and_then(|t| t.files.cloned()).map_or(0, |f| f.len().next_power_of_two().max(64));
    let groups: String = creds.groups.iter().map(|g| format!("{g} ")).collect();
    let _ = writeln!(text, "FDSize:\t{slots}\nGroups:\t{groups}");
    let _ = writeln!(text, "NStgid:\t{}\nNSpid:\t{number}\nNSpgid:\t{}", process.pid, group.pgid);
    let _ = writeln!(text, "NSsid:\t{}", group.session.sid);
    let space = task.as_ref().and_then(|t| t.space.cloned());
    if space.is_some() {
        write_memory(&mut text, &memory(space.as_ref()), &process);
    }
    if let Some(task) = &task {
        write_signals(&mut text, task, &process, creds.uid);
    }
    let set = |bits: u64| format!("{bits:016x}");
    let _ = writeln!(text, "CapInh:\t{}\nCapPrm:\t{}", set(creds.inheritable), set(creds.permitted));
    let _ = writeln!(text, "CapEff:\t{}\nCapBnd:\t{}", set(creds.effective), set(creds.bounding));
    let _ = writeln!(text, "CapAmb:\t{}\nNoNewPrivs:\t{}", set(creds.ambient), u8::from(creds.no_new_privs));
    text.push_str("Seccomp:\t0\nSeccomp_filters:\t0\n");
    let all = u64::MAX >> (64 - sched::cpu_count().clamp(1, 64));
    let cpus = task.as_ref().map_or(all, |t| t.attributes.borrow().affinity & all);
    let _ = writeln!(text, "Cpus_allowed:\t{cpus:x}\nCpus_allowed_list:\t{}", cpu_list(cpus));
    text.push_str("Mems_allowed:\t1\nMems_allowed_list:\t0\n");
    let usage = task.as_ref().map_or_else(|| process.usage.get(), |t| t.usage.get());
    let _ = writeln!(text, "voluntary_ctxt_switches:\t{}", usage.voluntary_switches);
    let _ = writeln!(text, "nonvoluntary_ctxt_switches:\t{}", usage.involuntary_switches);
    out.extend(text.into_bytes());
    Ok(out)
}

fn write_memory(out: &mut String, m: &Memory, process: &Process) {
    let peak = (process.usage.borrow().max_resident << 10).max(m.resident);
    let rows = [
        ("VmPeak", m.size),
        ("VmSize", m.size),
        ("VmLck", m.locked),
        ("VmPin", 0),
        ("VmHWM", peak),
        ("VmRSS", m.resident),
        ("RssAnon", m.resident - m.file - m.shared.min(m.resident - m.file)),
        ("RssFile", m.file),
        ("RssShmem", m.shared),
        ("VmData", m.data),
        ("VmStk", m.stack),
        ("VmExe", m.text),
        ("VmLib", m.library),
        ("VmPTE", 0),
        ("VmSwap", 0),
    ];
    for (name, bytes) in rows {
        let _ = writeln!(out, "{name}:\t{:>8} kB", bytes >> 10);
    }
    let _ = writeln!(out, "CoreDumping:\t{}\nTHP_enabled:\t0", u8::from(process.is_dumping()));
}

fn write_signals(out: &mut String, task: &Arc<Task>, process: &Process, uid: u32) {
    let (pending, blocked, ignored, caught) = signal_sets(task);
    let shared = process.signals.borrow().pending.set();
    let limit = process.limit(limits::SIGPENDING);
    let _ = writeln!(out, "Threads:\t{}\nSigQ:\t{}/{limit}", process.thread_count(), Charge::count(uid));
    let sets = [("SigPnd", pending), ("ShdPnd", shared), ("SigBlk", blocked), ("SigIgn", ignored), ("SigCgt", caught)];
    for (name, set) in sets {
        let _ = writeln!(out, "{name}:\t{:016x}", set.0);
    }
}

/// A set of CPUs as "0-3,5".
pub fn cpu_list(bits: u64) -> String {
    let mut out = String::new();
    let mut cpu = 0;
    while cpu < 64 {
        if bits >> cpu & 1 == 0 {
            cpu += 1;
            continue;
        }
        let first = cpu;
        while cpu < 64 && bits >> cpu & 1 != 0 {
            cpu += 1;
        }
        let comma = if out.is_empty() { "" } else { "," };
        let _ = match cpu - 1 {
            last if last == first => write!(out, "{comma}{first}"),
            last => write!(out, "{comma}{first}-{last}"),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists() {
        for (bits, text) in [(0b1u64, "0"), (0b11, "0-1"), (0b101101, "0,2-3,5"), (u64::MAX, "0-63"), (0, "")] {
            assert_eq!(cpu_list(bits), text);
        }
    }

    #[test]
    fn devices() {
        assert_eq!(encode_device(abi::makedev(136, 0)), 34816);
        assert_eq!(encode_device(abi::makedev(5, 1)), 1281);
    }
}
