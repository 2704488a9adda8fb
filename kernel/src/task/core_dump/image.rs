//! The core file itself: an ELF file of the kind ET_CORE, with the notes and a segment for each
//! area of the address space.

use super::notes::{self, MappedFiles, ThreadState};
use crate::limits;
use crate::mm::dump::{Contents, Segment};
use crate::mm::pressure::room_for;
use crate::mm::space::MAX_AREAS;
use crate::mm::user::bytes_of;
use crate::mm::{AddressSpace, IoBuf, PAGE_SIZE, PageRange};
use crate::sched::killable_point;
use crate::task::Task;
use crate::task::signal::SigInfo;
use crate::vfs::attributes;
use crate::vfs::display;
use crate::vfs::file::OpenFile;
use crate::vfs::inode::SetAttr;
use crate::vfs::mapped;
use crate::vfs::notify;
use crate::{Errno, Result};
use abi::number::{Low, to_usize};
use object::elf;
use std::sync::Arc;
use umlab_abi::elf::{Header, Segment as ProgramHeader};
use umlab_model::Prot;

/// Areas that are looked at, and headers that are written, in one go.
const BATCH: usize = 128;
/// Bytes that are copied in one go.
const STEP: usize = 256 << 10;

const HEADER: u64 = size_of::<Header>() as u64;
const PROGRAM_HEADER: u64 = size_of::<ProgramHeader>() as u64;

// One header more, for the notes, is still counted in the file's own.
const _: () = assert!(MAX_AREAS + 1 < elf::PN_XNUM as usize);

/// An area as its header gives it.
struct Place {
    range: PageRange,
    prot: Prot,
    kept: u64,
}

/// What will be written.
pub struct Image {
    space: Arc<AddressSpace>,
    places: Vec<Place>,
    notes: Vec<u8>,
}

impl Image {
    pub fn of(task: &Arc<Task>, threads: &[ThreadState], info: &SigInfo) -> Result<Image> {
        let space = task.space();
        let filter = task.process.settings.borrow().dumped;
        let (mut places, mut files) = (Vec::new(), MappedFiles::default());
        let mut from = 0;
        loop {
            room_for(BATCH * size_of::<Place>() + MappedFiles::MOST / 8)?;
            let batch = space.segments(from, BATCH, filter);
            let Some(last) = batch.last() else { break };
            from = last.range.end();
            for Segment { range, prot, kept, file } in batch {
                if let Some((file, offset)) = file
                    && let Some(file) = mapped::open_file(&file)
                {
                    files.add((range.start(), range.end()), offset, &display::file(&file, task));
                }
                places.push(Place { range, prot, kept });
            }
            // Others who share the address space may change it meanwhile, and endlessly.
            if places.len() > MAX_AREAS {
                return Err(Errno::EAGAIN);
            }
            killable_point()?;
        }
        let notes = notes::all(task, threads, info, &files)?;
        Ok(Image { space, places, notes })
    }

    fn header(&self) -> Header {
        let mut ident = [0; 16];
        ident[..4].copy_from_slice(&elf::ELFMAG);
        ident[4..7].copy_from_slice(&[elf::ELFCLASS64, elf::ELFDATA2LSB, elf::EV_CURRENT]);
        Header {
            ident,
            kind: elf::ET_CORE,
            machine: elf::EM_X86_64,
            version: u32::from(elf::EV_CURRENT),
            entry: 0,
            phoff: HEADER,
            shoff: 0,
            flags: 0,
            ehsize: HEADER.low_u16(),
            phentsize: PROGRAM_HEADER.low_u16(),
            phnum: self.places.len().low_u16() + 1,
            shentsize: 0,
            shnum: 0,
            shstrndx: 0,
        }
    }

    /// Where the notes begin, and where the areas' contents do.
    fn offsets(&self) -> (u64, u64) {
        let notes = HEADER + (self.places.len() as u64 + 1) * PROGRAM_HEADER;
        (notes, (notes + self.notes.len() as u64).next_multiple_of(PAGE_SIZE))
    }

    /// Writes all of it, or as much as there is room for.
    ///
    /// # Errors
    /// What ended it early: EFBIG at a limit of the process, EINTR for SIGKILL, or what the file
    /// system says.
    pub fn write_to(&self, file: &Arc<OpenFile>, task: &Task) -> Result<()> {
        let limit = |which| task.process.limit(which);
        let mut out = Output { file, at: 0, room: limit(limits::CORE), end: limit(limits::FSIZE) };
        let result = self.write_parts(&mut out);
        notify::open_file(file, notify::MODIFY);
        result
    }

    fn write_parts(&self, out: &mut Output<'_>) -> Result<()> {
        let (notes, contents) = self.offsets();
        out.put(bytes_of(&self.header()))?;
        let (kind, filesz) = (elf::PT_NOTE, self.notes.len() as u64);
        out.put(bytes_of(&ProgramHeader {
            kind,
            flags: 0,
            offset: notes,
            vaddr: 0,
            paddr: 0,
            filesz,
            memsz: 0,
            align: 4,
        }))?;
        let mut offset = contents;
        for batch in self.places.chunks(BATCH) {
            let mut headers = Vec::new();
            for place in batch {
                headers.extend(bytes_of(&place.header(offset)));
                offset += place.kept;
            }
            out.put(&headers)?;
        }
        out.put(&self.notes)?;
        out.at = contents;
        room_for(STEP)?;
        let mut buffer = vec![0; STEP];
        for place in self.places.iter().filter(|place| place.kept > 0) {
            let end = place.range.start() + place.kept;
            out.put_memory(&self.space, (place.range.start(), end), &mut buffer)?;
        }
        out.finish()
    }
}

impl Place {
    fn header(&self, offset: u64) -> ProgramHeader {
        let flag = |prot, flag| if self.prot.contains(prot) { flag } else { 0 };
        ProgramHeader {
            kind: elf::PT_LOAD,
            flags: flag(Prot::READ, elf::PF_R) | flag(Prot::WRITE, elf::PF_W) | flag(Prot::EXEC, elf::PF_X),
            offset,
            vaddr: self.range.start(),
            paddr: 0,
            filesz: self.kept,
            memsz: self.range.len(),
            align: PAGE_SIZE,
        }
    }
}

/// The file, written from its start to its end, with holes.
struct Output<'a> {
    file: &'a Arc<OpenFile>,
    at: u64,
    /// What RLIMIT_CORE leaves. Holes do not count: they take no room.
    room: u64,
    /// RLIMIT_FSIZE, where they do.
    end: u64,
}

impl Output<'_> {
    /// Writes bytes, as many as the limits allow, with preemption points.
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let allowed = to_usize(self.room.min(self.end.saturating_sub(self.at)).min(bytes.len() as u64));
        for step in bytes[..allowed].chunks(STEP) {
            let mut buf = IoBuf::kernel(step);
            while !buf.is_empty() {
                let done = buf.done();
                self.file.write_at(&mut buf, self.at)?;
                let written = (buf.done() - done) as u64;
                if written == 0 {
                    return Err(Errno::ENOSPC);
                }
                self.at += written;
                self.room -= written;
            }
            killable_point()?;
        }
        if allowed < bytes.len() { Err(Errno::EFBIG) } else { Ok(()) }
    }

    /// Writes the memory between two addresses, with holes where nothing is.
    fn put_memory(&mut self, space: &AddressSpace, (start, end): (u64, u64), buffer: &mut [u8]) -> Result<()> {
        let mut addr = start;
        while let Some(range) = PageRange::new(addr, end) {
            let (len, hole) = match space.contents(range, (STEP as u64 / PAGE_SIZE).low_u32()) {
                Contents::Nothing(len) => (0, len),
                Contents::Bytes(window) => match window.get().read(buffer) {
                    Ok(len) if len > 0 => (len, 0),
                    // A host file may have been cut; what is left of it is found page by page.
                    _ => match window.get().read(&mut buffer[..to_usize(PAGE_SIZE)]) {
                        Ok(len) if len > 0 => (len, 0),
                        _ => (0, PAGE_SIZE),
                    },
                },
            };
            self.put(&buffer[..len])?;
            // A file may end within a page.
            let rest = (len as u64).next_multiple_of(PAGE_SIZE) - len as u64 + hole;
            self.at += rest;
            addr += len as u64 + rest;
            killable_point()?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        let size = self.at.min(self.end);
        if self.file.inode.attr()?.size < size {
            let change = SetAttr { size: Some(size), ..SetAttr::default() };
            attributes::change(&self.file.inode, self.file.path.as_ref(), &change)?;
        }
        Ok(())
    }
}
