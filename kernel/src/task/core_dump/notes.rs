//! The notes of a core file: what there is to know of a process and its threads beside its memory
//! (core(5), and elf.h).

use crate::Pid;
use crate::Result;
use crate::mm::pressure::room_for;
use crate::mm::user::bytes_of;
use crate::task::signal::SigInfo;
use crate::task::usage::{Usage, timeval};
use crate::task::{Process, Task};
use abi::number::{Low, to_usize};
use object::elf;
use std::sync::Arc;
use umlab_model::{Regs, UserThread};

/// FXSAVE's image, with which extended state begins.
const LEGACY: usize = 512;
/// Of pr_fname and pr_psargs.
const NAME_MAX: usize = 16;
const ARGUMENTS_MAX: usize = 80;

/// What a thread was doing.
pub struct ThreadState {
    tid: Pid,
    pending: u64,
    mask: u64,
    usage: Usage,
    regs: Regs,
    extended: Vec<u8>,
}

impl ThreadState {
    /// About what one takes, here or in a note.
    pub const BYTES: usize = 16 << 10;

    /// Of the current thread, in its trap loop.
    pub fn of(task: &Task, user: &mut dyn UserThread) -> ThreadState {
        let (pending, mask) = {
            let signals = task.signals.borrow();
            (signals.pending.set().0, signals.mask.0)
        };
        // The first thread stands for its process here.
        let usage = if task.tid() == task.pid() { task.process.usage.get() } else { task.usage.get() };
        ThreadState { tid: task.tid(), pending, mask, usage, regs: *user.regs(), extended: user.extended_state() }
    }

    /// struct elf_prstatus.
    fn status(&self, process: &Process, signal: i32) -> Vec<u8> {
        let mut out = Vec::new();
        // pr_info (the signal, nothing of its code and error), and pr_cursig.
        out.extend(bytes_of(&[signal, 0, 0, signal]));
        out.extend(bytes_of(&[self.pending, self.mask]));
        out.extend(bytes_of(&ids(process, self.tid)));
        let children = process.children_usage.get();
        for time in [self.usage.user, self.usage.system, children.user, children.system] {
            out.extend(bytes_of(&timeval(time)));
        }
        out.extend(bytes_of(&self.regs));
        // pr_fpvalid, and padding.
        out.extend(bytes_of(&[1, 0]));
        out
    }
}

/// The four numbers of a thread: its own, its parent's, its group's and its session's.
fn ids(process: &Process, own: Pid) -> [i32; 4] {
    let group = process.group();
    [own, process.parent_pid(), group.pgid, group.session.sid]
}

/// struct elf_prpsinfo, as of a process that runs.
fn process_info(task: &Task) -> Vec<u8> {
    let (process, creds) = (&task.process, task.creds());
    let nice = task.attributes.borrow().nice.low_u8();
    let mut out = vec![0, b'R', 0, nice];
    // Padding, and flags of the kernel's own.
    out.resize(16, 0);
    out.extend(bytes_of(&[creds.uid, creds.gid]));
    out.extend(bytes_of(&ids(process, process.pid)));
    let mut name = task.name.cloned();
    name.resize(NAME_MAX, 0);
    out.extend(name);
    let mut arguments = arguments(task);
    arguments.resize(ARGUMENTS_MAX, 0);
    out.extend(arguments);
    out
}

/// The beginning of the arguments, with spaces between them.
fn arguments(task: &Task) -> Vec<u8> {
    let Some(space) = task.space.cloned() else { return Vec::new() };
    let (start, end) = space.layout().arguments;
    let mut bytes = vec![0; to_usize(end.saturating_sub(start)).min(ARGUMENTS_MAX - 1)];
    if space.read_bytes(start, &mut bytes).is_err() {
        bytes.clear();
    }
    bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
    bytes
}

/// The parts of a file that are mapped, for NT_FILE.
#[derive(Default)]
pub struct MappedFiles {
    places: Vec<[u64; 3]>,
    names: Vec<u8>,
}

impl MappedFiles {
    /// More than this is not written: debuggers do without.
    pub const MOST: usize = 4 << 20;
    const PAGE: u64 = crate::mm::PAGE_SIZE;

    pub fn add(&mut self, (start, end): (u64, u64), offset: u64, name: &[u8]) {
        if self.len() <= MappedFiles::MOST {
            self.places.push([start, end, offset / MappedFiles::PAGE]);
            self.names.extend(name);
            self.names.push(0);
        }
    }

    fn len(&self) -> usize {
        self.places.len() * size_of::<[u64; 3]>() + self.names.len()
    }

    fn note(&self) -> Option<Vec<u8>> {
        if self.places.is_empty() || self.len() > MappedFiles::MOST {
            return None;
        }
        let mut out = bytes_of(&[self.places.len() as u64, MappedFiles::PAGE]).to_vec();
        self.places.iter().for_each(|place| out.extend(bytes_of(place)));
        out.extend(&self.names);
        Some(out)
    }
}

/// Appends one note.
fn put(out: &mut Vec<u8>, owner: &[u8], kind: u32, contents: &[u8]) {
    out.extend(bytes_of(&[owner.len().low_u32(), contents.len().low_u32(), kind]));
    for part in [owner, contents] {
        out.extend(part);
        out.resize(out.len().next_multiple_of(4), 0);
    }
}

/// All notes. The first thread is the one that took the signal.
pub fn all(task: &Arc<Task>, threads: &[ThreadState], info: &SigInfo, files: &MappedFiles) -> Result<Vec<u8>> {
    const CORE: &[u8] = b"CORE\0";
    const LINUX: &[u8] = b"LINUX\0";
    room_for(threads.len() * ThreadState::BYTES + 2 * files.len())?;
    let process = &task.process;
    let mut out = Vec::new();
    for (index, thread) in threads.iter().enumerate() {
        put(&mut out, CORE, abi::NT_PRSTATUS, &thread.status(process, info.signal()));
        if index == 0 {
            put(&mut out, CORE, elf::NT_PRPSINFO, &process_info(task));
            put(&mut out, CORE, elf::NT_SIGINFO, info.bytes());
            put(&mut out, CORE, elf::NT_AUXV, &task.space().layout().auxv);
            if let Some(files) = files.note() {
                put(&mut out, CORE, elf::NT_FILE, &files);
            }
        }
        if let Some(legacy) = thread.extended.get(..LEGACY) {
            put(&mut out, CORE, abi::NT_PRFPREG, legacy);
            put(&mut out, LINUX, abi::NT_X86_XSTATE, &thread.extended);
        }
    }
    Ok(out)
}
