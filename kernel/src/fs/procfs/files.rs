//! What /proc shows of a process's files: descriptors, working directory, root, program, mounts.

use super::super::pseudo::{Entry, Found, Listed, Listing, Node, Show, Subject, text};
use super::{current, inspect_guard, parse_pid};
use crate::sched::preempt_point;
use crate::task::Task;
use crate::vfs::Path;
use crate::vfs::dentry::Dentry;
use crate::vfs::display;
use crate::vfs::file::OpenFile;
use crate::vfs::inode::InodeRef;
use crate::vfs::mapped;
use crate::vfs::mount::{self, FileSystem, Mount, MountFlags, StatFs};
use crate::{Errno, Result};
use std::fmt::Write;
use std::sync::Arc;

pub const FD: Entry =
    Entry { name: "fd", mode: 0o500, node: Node::Listing(&[], &Descriptors(&FD_LINK)), guard: Some(inspect_guard) };
pub const FDINFO: Entry =
    Entry { name: "fdinfo", mode: 0o555, node: Node::Listing(&[], &Descriptors(&FD_INFO)), guard: Some(inspect_guard) };
pub const CWD: Entry = magic("cwd", |s| shown(cwd(s)), cwd, None);
pub const ROOT: Entry = magic("root", |s| shown(root(s)), root, None);
pub const EXE: Entry = magic("exe", |s| executable(s).map(|file| describe(&file)), |s| place(&*executable(s)?), None);

static FD_LINK: Entry =
    magic("FD", |s| descriptor(s).map(|d| describe(&d.0)), |s| place(&descriptor(s)?.0), Some(access_mode));
static FD_INFO: Entry = text("FD", fd_info).with_mode(0o400);

const fn magic(
    name: &'static str,
    show: Show,
    follow: fn(Subject) -> Result<Path>,
    mode: Option<fn(Subject) -> u32>,
) -> Entry {
    Entry { name, mode: 0o777, node: Node::MagicLink { show, follow, mode }, guard: Some(inspect_guard) }
}

/// The mode of a descriptor's link says how it is open.
fn access_mode(subject: Subject) -> u32 {
    descriptor(subject).map_or(0o700, |(file, ..)| {
        0o100 | if file.readable() { 0o400 } else { 0 } | if file.writable() { 0o200 } else { 0 }
    })
}

/// The directories of descriptors. What they hold is about a thread and a descriptor.
struct Descriptors(&'static Entry);

/// A subject for a descriptor: the thread, and the descriptor counted from 1, negative so that no
/// thread is meant.
fn of_descriptor(task: &Task, fd: i32) -> Subject {
    Subject { id: task.tid(), sub: -1 - fd }
}

fn descriptor(subject: Subject) -> Result<(Arc<OpenFile>, i32, bool)> {
    let task = subject.thread()?;
    let files = task.files.cloned().ok_or(Errno::ENOENT)?;
    let fd = -1 - subject.sub;
    let gone = |_| Errno::ENOENT;
    Ok((files.get(fd).map_err(gone)?, fd, files.close_on_exec(fd).map_err(gone)?))
}

impl Listing for Descriptors {
    fn find(&self, subject: Subject, name: &[u8]) -> Result<Found> {
        let fd = parse_pid(name).ok_or(Errno::ENOENT)?;
        let task = subject.task().map_err(|_| Errno::ENOENT)?;
        let subject = of_descriptor(&task, fd);
        descriptor(subject)?;
        Ok(Found { entry: self.0, subject })
    }

    fn list(&self, subject: Subject) -> Result<Vec<Listed>> {
        let Ok(task) = subject.task() else { return Ok(Vec::new()) };
        let Some(files) = task.files.cloned() else { return Ok(Vec::new()) };
        let listed = files.numbers().into_iter().map(|fd| Listed {
            key: fd.cast_unsigned(),
            name: fd.to_string().into_bytes(),
            found: Found { entry: self.0, subject: of_descriptor(&task, fd) },
        });
        Ok(listed.collect())
    }
}

/// A place, as the current task would name it.
fn shown(path: Result<Path>) -> Result<Vec<u8>> {
    display::path(&path?, &current())
}

/// The name of an open file, as links and maps show it.
pub fn describe(file: &OpenFile) -> Vec<u8> {
    display::file(file, &current())
}

/// Where following the link of an open file leads: its own place, or one that nothing else leads
/// to.
fn place(file: &OpenFile) -> Result<Path> {
    if let Some(path) = &file.path {
        return Ok(path.clone());
    }
    let dentry = Dentry::nameless(file.inode.clone(), None, &describe(file));
    Ok(Path { mount: Mount::new(Arc::new(Nowhere(file.inode.clone())), b"none", MountFlags::empty()), dentry })
}

/// The file system of a file without a name, for as long as somebody follows a link to it.
struct Nowhere(InodeRef);

impl FileSystem for Nowhere {
    fn kind(&self) -> &'static str {
        "anon_inodefs"
    }

    fn root(&self) -> InodeRef {
        self.0.clone()
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { magic: 0x0904_1934, block_size: 4096, name_max: 255, ..StatFs::default() })
    }
}

fn cwd(subject: Subject) -> Result<Path> {
    Ok(subject.task().map_err(|_| Errno::ENOENT)?.fs.borrow().cwd.cloned())
}

fn root(subject: Subject) -> Result<Path> {
    Ok(subject.task().map_err(|_| Errno::ENOENT)?.fs.borrow().root.cloned())
}

fn executable(subject: Subject) -> Result<Arc<OpenFile>> {
    let task = subject.task().map_err(|_| Errno::ENOENT)?;
    let space = task.space.cloned().ok_or(Errno::ENOENT)?;
    space.layout().executable.as_ref().and_then(mapped::open_file).ok_or(Errno::ENOENT)
}

fn fd_info(subject: Subject) -> Result<Vec<u8>> {
    let (file, _, close_on_exec) = descriptor(subject)?;
    let flags = file.flags.get() | if close_on_exec { abi::O_CLOEXEC } else { 0 };
    let mount = file.path.as_ref().map_or(0, |p| p.mount.id);
    let ino = file.inode.attr().map_or(0, |a| a.ino);
    let mut out =
        format!("pos:\t{}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t{ino}\n", file.position.get()).into_bytes();
    out.extend(file.describe().into_bytes());
    Ok(out)
}

/// Blanks and backslashes in names would look like columns.
fn escape(name: &[u8]) -> String {
    let mut out = Vec::new();
    for &byte in name {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => out.extend(format!("\\{byte:03o}").into_bytes()),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn flags_text(flags: MountFlags) -> String {
    let mut out = String::from(if flags.contains(MountFlags::RDONLY) { "ro" } else { "rw" });
    for (flag, name) in [
        (MountFlags::NOSUID, ",nosuid"),
        (MountFlags::NODEV, ",nodev"),
        (MountFlags::NOEXEC, ",noexec"),
        (MountFlags::NOATIME, ",noatime"),
        (MountFlags::NODIRATIME, ",nodiratime"),
        (MountFlags::RELATIME, ",relatime"),
    ] {
        if flags.contains(flag) {
            out.push_str(name);
        }
    }
    out
}

/// A process that has ended is in no mount namespace.
pub fn mounts_guard(subject: Subject) -> Result<()> {
    if subject.process()?.ended() { Err(Errno::EINVAL) } else { Ok(()) }
}

/// All mounts below the process's root, with the name of their place from there.
fn visible(subject: Subject) -> Result<Vec<(Arc<Mount>, String)>> {
    let task = subject.task().map_err(|_| Errno::EINVAL)?;
    let root = task.fs.borrow().root.cloned();
    let mut out = Vec::new();
    for mount in mount::all() {
        preempt_point();
        let (name, reachable) = mount.root_path().name_below(&root);
        if reachable {
            out.push((mount, escape(&name)));
        }
    }
    Ok(out)
}

pub fn mounts(subject: Subject) -> Result<Vec<u8>> {
    let mut out = String::new();
    for (mount, place) in visible(subject)? {
        let (flags, own) = (flags_text(mount.flags()), mount.fs.options());
        let _ = writeln!(out, "{} {place} {} {flags}{own} 0 0", escape(&mount.source), mount.fs.kind());
    }
    Ok(out.into_bytes())
}

pub fn mountstats(subject: Subject) -> Result<Vec<u8>> {
    let mut out = String::new();
    for (mount, place) in visible(subject)? {
        let _ = writeln!(out, "device {} mounted on {place} with fstype {}", escape(&mount.source), mount.fs.kind());
    }
    Ok(out.into_bytes())
}

pub fn mountinfo(subject: Subject) -> Result<Vec<u8>> {
    let mut out = String::new();
    for (mount, place) in visible(subject)? {
        let parent = mount.place().map_or(1, |p| p.mount.id);
        let dev = mount.root.inode.attr().map_or(0, |a| a.dev);
        let top = mount.root_path().name_in_fs();
        let (flags, own) = (flags_text(mount.flags()), mount.fs.options());
        let rw = if mount.is_read_only() { "ro" } else { "rw" };
        let _ = writeln!(
            out,
            "{} {parent} {}:{} {} {place} {flags} - {} {} {rw}{own}",
            mount.id,
            abi::major(dev),
            abi::minor(dev),
            escape(&top),
            mount.fs.kind(),
            escape(&mount.source),
        );
    }
    Ok(out.into_bytes())
}
