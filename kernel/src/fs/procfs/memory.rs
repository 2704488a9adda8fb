//! What /proc shows of a process's memory: maps, smaps, arguments and environment, and the memory
//! itself.

use super::super::pseudo::{Entry, Node, Subject};
use super::files::describe;
use super::memory_guard;
use crate::mm::maps::MapsLine;
use crate::mm::{AddressSpace, IoBuf, PAGE, PAGE_SIZE};
use crate::sched::killable_point;
use crate::vfs::file::{FileOps, OpenFile};
use crate::vfs::mapped;
use crate::{Errno, Result};
use abi::number::to_usize;
use std::any::Any;
use std::fmt::Write;
use std::sync::Arc;
use umlab_host::maps;
use umlab_model::Prot;

/// /proc/PID/mem.
pub const MEM: Entry = Entry { name: "mem", mode: 0o600, node: Node::Special(open_mem), guard: Some(memory_guard) };

/// /proc/PID/pagemap.
pub const PAGEMAP: Entry =
    Entry { name: "pagemap", mode: 0o400, node: Node::Special(open_pagemap), guard: Some(memory_guard) };

/// The most of its arguments or environment that is shown: they may be as long as the stack is.
const TEXT_MAX: u64 = 2 << 20;

/// None for a zombie, and for PID 1, which has none.
fn space(subject: Subject) -> Result<Option<Arc<AddressSpace>>> {
    subject.process()?;
    Ok(subject.task().ok().and_then(|task| task.space.cloned()))
}

fn range(space: &AddressSpace, (start, end): (u64, u64)) -> Vec<u8> {
    let len = end.saturating_sub(start).min(TEXT_MAX) as usize;
    let mut bytes = vec![0; len];
    if space.read_bytes(start, &mut bytes).is_err() {
        // The process has unmapped it.
        bytes.clear();
    }
    bytes
}

pub fn cmdline(subject: Subject) -> Result<Vec<u8>> {
    let Some(space) = space(subject)? else { return Ok(Vec::new()) };
    let layout = space.layout();
    let mut bytes = range(&space, layout.arguments);
    // A program that overwrote its arguments with one long title (setproctitle) used the
    // environment's room too.
    if bytes.last().is_some_and(|&b| b != 0) {
        bytes.extend(range(&space, layout.environment));
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
    }
    Ok(bytes)
}

pub fn environ(subject: Subject) -> Result<Vec<u8>> {
    Ok(space(subject)?.map_or_else(Vec::new, |space| range(&space, space.layout().environment)))
}

pub fn auxv(subject: Subject) -> Result<Vec<u8>> {
    Ok(space(subject)?.map_or_else(Vec::new, |space| space.layout().auxv))
}

fn write_line(out: &mut Vec<u8>, line: &MapsLine) {
    let flag = |prot, letter| if line.prot.contains(prot) { letter } else { '-' };
    let file = line.file.as_ref().and_then(mapped::open_file);
    let attr = file.as_ref().and_then(|file| file.inode.attr().ok());
    let (dev, ino) = attr.map_or((0, 0), |a| (a.dev, a.ino));
    let mut text = format!(
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {ino} ",
        line.start,
        line.end,
        flag(Prot::READ, 'r'),
        flag(Prot::WRITE, 'w'),
        flag(Prot::EXEC, 'x'),
        if line.shared { 's' } else { 'p' },
        line.offset,
        abi::major(dev),
        abi::minor(dev),
    );
    let name = match (&file, line.name) {
        (Some(file), _) => describe(file),
        (None, Some(name)) => name.as_bytes().to_vec(),
        (None, None) => Vec::new(),
    };
    if !name.is_empty() {
        // Names stand in a column of their own.
        while text.len() < 73 {
            text.push(' ');
        }
    }
    out.extend(text.into_bytes());
    for byte in name {
        if byte == b'\n' { out.extend(b"\\012") } else { out.push(byte) }
    }
    out.push(b'\n');
}

/// All areas, and the page of the host's that every process has behind them.
fn lines(space: &AddressSpace) -> Vec<MapsLine> {
    let mut lines = space.maps();
    lines.extend(maps::vsyscall().map(|page| MapsLine {
        start: page.start,
        end: page.end,
        prot: Prot::from_bits_truncate(page.prot),
        shared: page.shared,
        offset: page.offset,
        file: None,
        name: Some("[vsyscall]"),
        locked: false,
        resident: 0,
    }));
    lines
}

pub fn maps(subject: Subject) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for line in space(subject)?.map_or_else(Vec::new, |space| lines(&space)) {
        write_line(&mut out, &line);
    }
    Ok(out)
}

/// Resident bytes of an area: private pages, or, where there are none, what is mapped of a file.
struct Resident {
    file: u64,
    anonymous: u64,
    locked: u64,
}

fn resident(line: &MapsLine) -> Resident {
    let len = line.end - line.start;
    let anonymous = line.resident.min(len);
    let file = if line.file.is_some() && anonymous == 0 { len } else { 0 };
    let locked = if line.locked { file + anonymous } else { 0 };
    Resident { file, anonymous, locked }
}

fn write_sizes(out: &mut Vec<u8>, size: Option<u64>, sum: &Resident) {
    let mut text = String::new();
    let mut row = |name: &str, bytes: u64| {
        let _ = writeln!(text, "{:<16}{:>8} kB", format!("{name}:"), bytes >> 10);
    };
    if let Some(size) = size {
        row("Size", size);
        row("KernelPageSize", PAGE_SIZE);
        row("MMUPageSize", PAGE_SIZE);
    }
    let all = sum.file + sum.anonymous;
    row("Rss", all);
    row("Pss", all);
    row("Pss_Dirty", sum.anonymous);
    row("Shared_Clean", 0);
    row("Shared_Dirty", 0);
    row("Private_Clean", sum.file);
    row("Private_Dirty", sum.anonymous);
    row("Referenced", all);
    row("Anonymous", sum.anonymous);
    for name in [
        "LazyFree",
        "AnonHugePages",
        "ShmemPmdMapped",
        "FilePmdMapped",
        "Shared_Hugetlb",
        "Private_Hugetlb",
        "Swap",
        "SwapPss",
    ] {
        row(name, 0);
    }
    row("Locked", sum.locked);
    out.extend(text.into_bytes());
}

pub fn smaps(subject: Subject) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for line in space(subject)?.map_or_else(Vec::new, |space| lines(&space)) {
        write_line(&mut out, &line);
        write_sizes(&mut out, Some(line.end - line.start), &resident(&line));
        let mut flags = String::from("VmFlags:");
        for (prot, name) in [(Prot::READ, " rd"), (Prot::WRITE, " wr"), (Prot::EXEC, " ex")] {
            if line.prot.contains(prot) {
                flags.push_str(name);
            }
        }
        flags.push_str(if line.shared { " sh mr mw me" } else { " mr mw me" });
        flags.push_str(if line.locked { " lo \n" } else { " \n" });
        out.extend(flags.into_bytes());
    }
    Ok(out)
}

pub fn smaps_rollup(subject: Subject) -> Result<Vec<u8>> {
    let Some(space) = space(subject)? else { return Err(Errno::ESRCH) };
    let lines = space.maps();
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(Vec::new()) };
    let mut sum = Resident { file: 0, anonymous: 0, locked: 0 };
    for line in &lines {
        let part = resident(line);
        sum.file += part.file;
        sum.anonymous += part.anonymous;
        sum.locked += part.locked;
    }
    let mut out = format!("{:08x}-{:08x} ---p 00000000 00:00 0 ", first.start, last.end).into_bytes();
    out.resize(73, b' ');
    out.extend(b"[rollup]\n");
    write_sizes(&mut out, None, &sum);
    Ok(out)
}

fn open_mem(subject: Subject) -> Result<Arc<dyn FileOps>> {
    Ok(Arc::new(Mem(space(subject)?)))
}

/// The memory of the process as it was when the file was opened: after exec it is empty, not
/// another program's.
struct Mem(Option<Arc<AddressSpace>>);

impl Mem {
    fn copy(&self, buf: &mut IoBuf<'_>, offset: u64, write: bool) -> Result<usize> {
        let Some(space) = &self.0 else { return Ok(0) };
        let mut page = [0; PAGE];
        while !buf.is_empty() {
            let at = offset.wrapping_add(buf.done() as u64);
            let n = buf.remaining().min(to_usize(PAGE_SIZE - at % PAGE_SIZE));
            let page = &mut page[..n];
            let step = if write {
                buf.take(page).and_then(|n| space.poke(at, &page[..n]))
            } else {
                space.peek(at, page).and_then(|()| buf.put(page).map(|_| ()))
            };
            match step {
                Ok(()) => {}
                Err(_) if buf.done() > 0 && !write => break,
                Err(_) => return Err(Errno::EIO),
            }
            space.collect();
        }
        Ok(buf.done())
    }
}

impl FileOps for Mem {
    fn read(&self, _file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        self.copy(buf, offset, false)
    }

    fn write(&self, _file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        self.copy(buf, offset, true)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn open_pagemap(subject: Subject) -> Result<Arc<dyn FileOps>> {
    Ok(Arc::new(PageMap(space(subject)?)))
}

/// Eight bytes for each page of the address space, by its number. Where a page is in memory is not
/// told.
struct PageMap(Option<Arc<AddressSpace>>);

impl FileOps for PageMap {
    fn read(&self, _file: &OpenFile, buf: &mut IoBuf<'_>, offset: u64) -> Result<usize> {
        /// So many pages are looked at in one go.
        const STEP: u64 = 512;
        let Some(space) = &self.0 else { return Ok(0) };
        if !offset.is_multiple_of(8) || !buf.remaining().is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        while !buf.is_empty() {
            let page = (offset + buf.done() as u64) / 8;
            let count = STEP.min(buf.remaining() as u64 / 8);
            let words = space.page_map(page, count);
            if words.is_empty() {
                break;
            }
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let put = buf.put_all(&bytes);
            if put.is_err() && buf.done() > 0 {
                break;
            }
            put?;
            killable_point()?;
        }
        Ok(buf.done())
    }

    fn seekable(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
