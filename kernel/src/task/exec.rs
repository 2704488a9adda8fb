//! execve(2): replacing a process's program.

use super::elf::{Loaded, Program};
use super::setid::{self, ProgramFile};
use super::{Task, clone, exit};
use crate::creds::Creds;
use crate::limits;
use crate::mm::user::IoBuf;
use crate::mm::vma::{Backing, Vma, VmaFlags};
use crate::mm::{AddressSpace, PAGE_SIZE, PageRange};
use crate::sched::model;
use crate::vfs::file::OpenFile;
use crate::vfs::notify;
use crate::{Errno, Result};
use abi::number::to_usize;
use std::sync::Arc;
use umlab_model::{Prot, UserThread};

/// Longest single argument or variable (MAX_ARG_STRLEN).
const MAX_STRING: usize = 32 * to_usize(PAGE_SIZE);
/// Longest `#!` line Linux looks at.
const SCRIPT_LINE: usize = 256;
/// How many interpreters may stand for each other.
const MAX_SCRIPTS: usize = 5;
/// The part of the stack that is mapped at once, below what the new program finds there.
const STACK_START: u64 = 32 * PAGE_SIZE;
/// The word that lies above everything else on the stack.
const STACK_END: u64 = 8;

/// What to run.
pub struct Image {
    pub file: Arc<OpenFile>,
    /// As the caller named it: AT_EXECFN, and what a script's interpreter is given.
    pub path: Vec<u8>,
    pub arguments: Vec<Vec<u8>>,
    pub environment: Vec<Vec<u8>>,
}

/// A program that is loaded but not started.
pub struct Prepared {
    pub space: Arc<AddressSpace>,
    pub entry: u64,
    pub stack: u64,
    /// The name for /proc/PID/comm.
    pub name: Vec<u8>,
    /// The credentials it runs with: set-id bits of the file done.
    pub creds: Creds,
}

/// Copies a NULL-terminated array of strings from guest memory.
pub fn read_strings(space: &AddressSpace, array: u64, budget: &mut usize) -> Result<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    if array == 0 {
        return Ok(strings);
    }
    loop {
        let pointer: u64 = space.read(array.wrapping_add(8 * strings.len() as u64))?;
        if pointer == 0 {
            return Ok(strings);
        }
        let string = space.read_string(pointer, MAX_STRING, Errno::E2BIG)?;
        *budget = budget.checked_sub(string.len() + 1 + 8).ok_or(Errno::E2BIG)?;
        strings.push(string);
    }
}

/// Bytes of arguments and environment a process may be given: a quarter of the stack limit, at most
/// 6 MiB.
pub fn argument_budget(task: &Task) -> usize {
    let stack = task.process.limit(limits::STACK);
    (stack / 4).clamp(32 * PAGE_SIZE, 6 << 20) as usize
}

/// Loads a program, or the interpreter of a script, into a new address space. Nothing of the task
/// changes.
pub fn prepare(task: &Arc<Task>, mut image: Image) -> Result<Prepared> {
    let name = image.path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let name = name[..name.len().min(15)].to_vec();
    let path = image.path.clone();
    for _ in 0..MAX_SCRIPTS {
        let mut start = [0u8; SCRIPT_LINE];
        let n = image.file.read_at(&mut IoBuf::kernel_mut(&mut start), 0)?;
        notify::open_file(&image.file, notify::ACCESS);
        if !start[..n].starts_with(b"#!") {
            let program = Program::parse(&image.file)?;
            return load(task, &image, &path, &program, name);
        }
        let (interpreter, argument) = script_line(&start[..n])?;
        let mut arguments = vec![interpreter.clone()];
        arguments.extend(argument);
        arguments.push(image.path.clone());
        arguments.extend(image.arguments.into_iter().skip(1));
        image.arguments = arguments;
        image.file = crate::vfs::exec::open(task, &interpreter)?;
        image.path = interpreter;
    }
    Err(Errno::ELOOP)
}

/// The interpreter and its one argument of a `#!` line.
fn script_line(start: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let line_end = start.iter().position(|&b| b == b'\n');
    let line = &start[2..line_end.unwrap_or(start.len())];
    let line = &line[line.iter().position(|b| !blank(b)).unwrap_or(line.len())..];
    let end = line.iter().position(|b| blank(b) || *b == 0);
    // A name that may have been cut off is not used.
    if line.is_empty() || (line_end.is_none() && end.is_none() && start.len() == SCRIPT_LINE) {
        return Err(Errno::ENOEXEC);
    }
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    let first = rest.iter().position(|b| !blank(b) && *b != 0).unwrap_or(rest.len());
    let last = rest.iter().rposition(|b| !blank(b) && *b != 0).map_or(first, |i| i + 1);
    let argument = &rest[first..last.max(first)];
    if name.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    Ok((name.to_vec(), (!argument.is_empty()).then(|| argument.to_vec())))
}

fn load(task: &Arc<Task>, image: &Image, path: &[u8], program: &Program, name: Vec<u8>) -> Result<Prepared> {
    let attr = image.file.inode.attr()?;
    let file =
        ProgramFile { mode: attr.mode, uid: attr.uid, gid: attr.gid, set_id_allowed: !task.trace.forbids_set_id() };
    let (creds, secure) = setid::for_exec(&task.creds(), &file);
    let interpreter = match &program.interpreter {
        Some(path) => {
            let file = crate::vfs::exec::open(task, path)?;
            Some(Program::parse(&file).map_err(|e| if e == Errno::ENOEXEC { Errno::ELIBBAD } else { e })?)
        }
        None => None,
    };
    let space = AddressSpace::new()?;
    let stack_limit = task.process.limit(limits::STACK) & !(PAGE_SIZE - 1);
    let used = stack_use(image, path, stack_limit)?;
    let stack_top = make_stack(&space, used, stack_limit, program.executable_stack);
    let main = program.load(&space, true)?;
    let base = match &interpreter {
        Some(interpreter) => Some(interpreter.load(&space, false)?),
        None => None,
    };
    space.set_brk_start(main.end.next_multiple_of(PAGE_SIZE));
    let stack = fill_stack(&space, image, path, (&creds, secure), (&main, base.as_ref()), stack_top)?;
    space.set_layout(|layout| {
        layout.code = main.code;
        layout.data = main.data;
        layout.executable = Some(image.file.clone());
    });
    let entry = base.map_or(main.entry, |base| base.entry);
    Ok(Prepared { space, entry, stack, name, creds })
}

/// Bytes at the top of the stack that `fill_stack` writes, in whole pages. E2BIG when the strings
/// alone exceed the stack's limit.
fn stack_use(image: &Image, path: &[u8], limit: u64) -> Result<u64> {
    /// The platform's name, random bytes, the auxiliary vector, the ends of the other vectors, and
    /// what aligning them takes.
    const REST: u64 = 1024;
    let lists = image.arguments.iter().chain(&image.environment);
    let (mut strings, mut count) = (path.len() as u64 + 1, 1);
    for string in lists {
        strings += string.len() as u64 + 1;
        count += 1;
    }
    if (STACK_END + strings).next_multiple_of(PAGE_SIZE) > limit.max(PAGE_SIZE) {
        return Err(Errno::E2BIG);
    }
    Ok((STACK_END + strings + 8 * count + REST).next_multiple_of(PAGE_SIZE))
}

/// Maps the stack, `used` bytes of which are filled before the program starts; returns its top.
/// `limit` is RLIMIT_STACK, in whole pages.
fn make_stack(space: &AddressSpace, used: u64, limit: u64, executable: bool) -> u64 {
    let top = model().vdso().map_or(u64::MAX, |vdso| vdso.data).min(model().user_top()) - PAGE_SIZE;
    let prot = Prot::READ | Prot::WRITE | if executable { Prot::EXEC } else { Prot::empty() };
    let bottom = top - (used + STACK_START).min(limit).max(used);
    let stack = Vma {
        range: PageRange::new(bottom, top).expect("arguments are bounded, and begin within the guest's part"),
        prot,
        flags: VmaFlags::GROWSDOWN,
        backing: Backing::Anonymous,
        offset: 0,
        file: None,
    };
    // The stack may grow to its limit before it meets what mmap places; at least 128 MiB, at most
    // 5/6 of the space.
    let gap = (limit.clamp(128 << 20, top / 6 * 5) + 256 * PAGE_SIZE).next_multiple_of(PAGE_SIZE);
    space.add_stack(stack, top - gap);
    top
}

/// Writes arguments, environment and auxiliary vector; returns the stack pointer.
fn fill_stack(
    space: &AddressSpace,
    image: &Image,
    path: &[u8],
    (creds, secure): (&Creds, bool),
    (main, interpreter): (&Loaded, Option<&Loaded>),
    top: u64,
) -> Result<u64> {
    // From the top: an empty word, the file's name, environment, arguments; then the platform,
    // random bytes, and the vectors.
    let mut strings: Vec<u8> = Vec::new();
    let mut offsets = Vec::new();
    let empty: Vec<Vec<u8>> = vec![Vec::new()];
    // A program without argv[0] is given an empty one, as Linux does.
    let arguments = if image.arguments.is_empty() { &empty } else { &image.arguments };
    let strings_of = arguments.iter().chain(&image.environment).map(Vec::as_slice).chain([path]);
    for string in strings_of {
        offsets.push(strings.len() as u64);
        strings.extend_from_slice(string);
        strings.push(0);
    }
    let strings_at = top - STACK_END - strings.len() as u64;
    space.write_bytes(strings_at, &strings)?;
    let at = |i: usize| strings_at + offsets[i];
    let (argc, envc) = (arguments.len(), image.environment.len());
    let platform = (strings_at - 7) & !15;
    space.write_bytes(platform, b"x86_64\0")?;
    let random = platform - 16;
    let mut seed = [0u8; 16];
    umlab_host::random::fill(&mut seed);
    space.write_bytes(random, &seed)?;
    let host = umlab_host::auxv::get;
    let auxv = [
        (abi::AT_SYSINFO_EHDR, model().vdso().map_or(0, |v| v.image)),
        (abi::AT_HWCAP, host(abi::AT_HWCAP)),
        (abi::AT_PAGESZ, PAGE_SIZE),
        (abi::AT_CLKTCK, 100),
        (abi::AT_PHDR, main.headers),
        (abi::AT_PHENT, 56),
        (abi::AT_PHNUM, main.header_count),
        (abi::AT_BASE, interpreter.map_or(0, |i| i.bias)),
        (abi::AT_FLAGS, 0),
        (abi::AT_ENTRY, main.entry),
        (abi::AT_UID, u64::from(creds.uid)),
        (abi::AT_EUID, u64::from(creds.euid)),
        (abi::AT_GID, u64::from(creds.gid)),
        (abi::AT_EGID, u64::from(creds.egid)),
        (abi::AT_SECURE, u64::from(secure)),
        (abi::AT_RANDOM, random),
        (abi::AT_HWCAP2, host(abi::AT_HWCAP2)),
        (abi::AT_EXECFN, at(argc + envc)),
        (abi::AT_PLATFORM, platform),
        (abi::AT_MINSIGSTKSZ, host(abi::AT_MINSIGSTKSZ)),
        (abi::AT_NULL, 0),
    ];
    let mut words: Vec<u64> = vec![argc as u64];
    words.extend((0..argc).map(at));
    words.push(0);
    words.extend((argc..argc + envc).map(at));
    words.push(0);
    let auxv: Vec<u64> = auxv
        .iter()
        .filter(|(key, value)| *key != abi::AT_SYSINFO_EHDR || *value != 0)
        .flat_map(|&(k, v)| [k, v])
        .collect();
    words.extend(&auxv);
    let bytes = |words: &[u64]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let sp = (random - 8 * words.len() as u64) & !15;
    space.write_bytes(sp, &bytes(&words))?;
    space.set_layout(|layout| {
        layout.arguments = (at(0), at(argc));
        layout.environment = (at(argc), at(argc + envc));
        layout.stack_start = sp;
        layout.auxv = bytes(&auxv);
    });
    Ok(sp)
}

/// Puts a prepared program into the task. Its other threads are ended first. From then on there is
/// no way back.
pub fn commit(task: &Arc<Task>, user: &mut dyn UserThread, prepared: Prepared) -> Result<()> {
    exit::become_only_thread(task)?;
    crate::task::signal::on_exec(task);
    exit::leave_space(task);
    let old = task.space.replace(Some(prepared.space));
    let crowded = crate::sched::is_crowded();
    clone::release_vfork_parent(task);
    start(user, prepared.entry, prepared.stack);
    task.name.set(prepared.name);
    drop(old);
    setid::commit_exec(task, prepared.creds);
    task.user_dispatch.set(None);
    close_files(task);
    task.process.set_did_exec();
    if crowded {
        // Nothing of it is on this CPU's host side yet.
        crate::sched::move_to_idle_cpu();
    }
    Ok(())
}

/// Closes what is to be closed at exec; a shared table becomes the task's own first.
fn close_files(task: &Task) {
    if let Some(files) = task.files.cloned() {
        let own = if Arc::strong_count(&files) > 2 { files.copy() } else { files };
        own.exec();
        task.files.set(Some(own));
    }
}

/// Registers as a new program finds them.
pub fn start(user: &mut dyn UserThread, entry: u64, stack: u64) {
    user.reset();
    let regs = user.regs_mut();
    regs.rip = entry;
    regs.rsp = stack;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_lines() {
        let line = |text: &str| script_line(text.as_bytes());
        assert_eq!(line("#!/bin/sh\necho"), Ok((b"/bin/sh".to_vec(), None)));
        assert_eq!(line("#! \t/bin/sh  -e  -x \n"), Ok((b"/bin/sh".to_vec(), Some(b"-e  -x".to_vec()))));
        assert_eq!(line("#!/bin/sh"), Ok((b"/bin/sh".to_vec(), None)));
        assert_eq!(line("#!  \n"), Err(Errno::ENOEXEC));
        assert_eq!(line(&format!("#!/{}", "x".repeat(253))), Err(Errno::ENOEXEC));
    }
}
