//! ELF programs: reading their headers, and mapping them into an address space (elf(5), the x86-64
//! ABI's chapter 5).

use crate::mm::AddressSpace;
use crate::mm::map::MapRequest;
use crate::mm::user::{IoBuf, bytes_of_mut, zeroed};
use crate::vfs::file::OpenFile;
use crate::vfs::notify;
use crate::{Errno, Result};
use abi::number::to_usize;
use object::elf;
use std::sync::Arc;
use umlab_abi::elf::{Header, Segment};
use umlab_model::PAGE_SIZE;

/// Where programs that can be loaded anywhere go when they have an interpreter: as Linux does
/// without randomisation.
const DYN_BASE: u64 = 0x5555_5555_4000;

/// A program's headers.
pub struct Program {
    file: Arc<OpenFile>,
    entry: u64,
    phoff: u64,
    relocatable: bool,
    segments: Vec<Segment>,
    /// PT_INTERP's path.
    pub interpreter: Option<Vec<u8>>,
    /// PT_GNU_STACK asks for an executable stack.
    pub executable_stack: bool,
}

/// Where a program was loaded.
#[derive(Clone, Copy, Debug)]
pub struct Loaded {
    /// What was added to its addresses.
    pub bias: u64,
    pub entry: u64,
    /// Where its program headers are in memory, 0 for nowhere.
    pub headers: u64,
    pub header_count: u64,
    /// One past its last byte.
    pub end: u64,
    pub code: (u64, u64),
    pub data: (u64, u64),
}

/// Reads exactly; ENOEXEC when the file is too short.
fn read_exact(file: &Arc<OpenFile>, offset: u64, out: &mut [u8]) -> Result<()> {
    let mut done = 0;
    while done < out.len() {
        match file.read_at(&mut IoBuf::kernel_mut(&mut out[done..]), offset + done as u64)? {
            0 => return Err(Errno::ENOEXEC),
            n => done += n,
        }
    }
    Ok(())
}

impl Program {
    /// Reads and checks the headers. ENOEXEC for what is no x86-64 program.
    pub fn parse(file: &Arc<OpenFile>) -> Result<Program> {
        let mut header: Header = zeroed();
        read_exact(file, 0, bytes_of_mut(&mut header))?;
        notify::open_file(file, notify::ACCESS);
        let relocatable = header.kind == elf::ET_DYN;
        if header.ident[..4] != elf::ELFMAG
            || header.ident[4] != elf::ELFCLASS64
            || header.machine != elf::EM_X86_64
            || !(relocatable || header.kind == elf::ET_EXEC)
            || header.phentsize as usize != size_of::<Segment>()
            || header.phnum == 0
            || header.phnum as usize * size_of::<Segment>() > 65536
        {
            return Err(Errno::ENOEXEC);
        }
        let mut segments = vec![zeroed::<Segment>(); header.phnum as usize];
        let mut bytes = vec![0u8; header.phnum as usize * size_of::<Segment>()];
        read_exact(file, header.phoff, &mut bytes)?;
        for (segment, bytes) in segments.iter_mut().zip(bytes.chunks_exact(size_of::<Segment>())) {
            bytes_of_mut(segment).copy_from_slice(bytes);
        }
        let mut interpreter = None;
        if let Some(segment) = segments.iter().find(|s| s.kind == elf::PT_INTERP) {
            if !(2..=abi::PATH_MAX as u64).contains(&segment.filesz) {
                return Err(Errno::ENOEXEC);
            }
            let mut path = vec![0u8; to_usize(segment.filesz)];
            read_exact(file, segment.offset, &mut path)?;
            if path.pop() != Some(0) {
                return Err(Errno::ENOEXEC);
            }
            interpreter = Some(path);
        }
        let stack = segments.iter().find(|s| s.kind == elf::PT_GNU_STACK);
        let executable_stack = stack.is_some_and(|s| s.flags & elf::PF_X != 0);
        segments.retain(|s| s.kind == elf::PT_LOAD);
        for segment in &segments {
            let end = segment.vaddr.checked_add(segment.memsz).ok_or(Errno::ENOEXEC)?;
            // No file's pages reach further.
            let file_end =
                segment.offset.checked_add(segment.filesz).and_then(|end| end.checked_next_multiple_of(PAGE_SIZE));
            if file_end.is_none_or(|end| i64::try_from(end).is_err()) {
                return Err(Errno::ENOEXEC);
            }
            let misplaced = segment.vaddr % PAGE_SIZE != segment.offset % PAGE_SIZE;
            if segment.filesz > segment.memsz || misplaced || end > crate::sched::model().user_top() {
                return Err(Errno::EINVAL);
            }
        }
        if segments.is_empty() || segments.windows(2).any(|pair| pair[0].vaddr > pair[1].vaddr) {
            return Err(Errno::ENOEXEC);
        }
        Ok(Program {
            file: file.clone(),
            entry: header.entry,
            phoff: header.phoff,
            relocatable,
            segments,
            interpreter,
            executable_stack,
        })
    }

    /// Maps it. `main`: it is the program itself, not its interpreter.
    pub fn load(&self, space: &AddressSpace, main: bool) -> Result<Loaded> {
        let low = self.segments[0].vaddr & !(PAGE_SIZE - 1);
        let last = self.segments.last().expect("checked by parse");
        let end = last.vaddr + last.memsz;
        let bias = if !self.relocatable {
            0
        } else if main && self.interpreter.is_some() {
            DYN_BASE.wrapping_sub(low)
        } else {
            let len = (end - low).next_multiple_of(PAGE_SIZE);
            let align = self.segments.iter().map(|s| s.align).filter(|a| a.is_power_of_two()).max().unwrap_or(0);
            let room = space.find_room(len.checked_add(align).ok_or(Errno::ENOMEM)?)?;
            let base = if align > PAGE_SIZE { room.next_multiple_of(align) } else { room };
            base.wrapping_sub(low)
        };
        let mut loaded = Loaded {
            bias,
            entry: self.entry.wrapping_add(bias),
            headers: 0,
            header_count: 0,
            end: 0,
            code: (u64::MAX, 0),
            data: (0, 0),
        };
        for segment in &self.segments {
            self.load_segment(space, segment, bias)?;
            let start = segment.vaddr.wrapping_add(bias);
            if segment.flags & elf::PF_X != 0 {
                loaded.code = (loaded.code.0.min(start), loaded.code.1.max(start + segment.filesz));
            }
            loaded.data = (start, start + segment.filesz);
            loaded.end = loaded.end.max(start + segment.memsz);
            if (segment.offset..segment.offset + segment.filesz).contains(&self.phoff) {
                loaded.headers = start + (self.phoff - segment.offset);
            }
        }
        loaded.header_count = self.header_count()?;
        Ok(loaded)
    }

    fn header_count(&self) -> Result<u64> {
        let mut count = [0u8; 2];
        read_exact(&self.file, std::mem::offset_of!(Header, phnum) as u64, &mut count)?;
        Ok(u64::from(u16::from_le_bytes(count)))
    }

    fn load_segment(&self, space: &AddressSpace, segment: &Segment, bias: u64) -> Result<()> {
        let mut prot = 0;
        for (flag, bit) in [(elf::PF_R, abi::PROT_READ), (elf::PF_W, abi::PROT_WRITE), (elf::PF_X, abi::PROT_EXEC)] {
            if segment.flags & flag != 0 {
                prot |= bit.cast_unsigned();
            }
        }
        let start = segment.vaddr.wrapping_add(bias);
        let base = start & !(PAGE_SIZE - 1);
        let file_end = start + segment.filesz;
        let end = start + segment.memsz;
        let mut zero_from = base;
        if segment.filesz > 0 {
            space.mmap(&MapRequest {
                addr: base,
                len: file_end - base,
                prot,
                flags: abi::MAP_PRIVATE | abi::MAP_FIXED | abi::MAP_EXECUTABLE,
                file: Some(self.file.clone()),
                offset: segment.offset & !(PAGE_SIZE - 1),
            })?;
            zero_from = file_end.next_multiple_of(PAGE_SIZE);
            // To the end of the page: the loader of shared libraries takes its first memory there.
            if segment.memsz > segment.filesz && segment.flags & elf::PF_W != 0 {
                let tail = zero_from - file_end;
                space.write_bytes(file_end, &vec![0; to_usize(tail)])?;
            }
        }
        if end > zero_from {
            space.mmap(&MapRequest {
                addr: zero_from,
                len: end - zero_from,
                prot,
                flags: abi::MAP_PRIVATE | abi::MAP_FIXED | abi::MAP_ANONYMOUS,
                file: None,
                offset: 0,
            })?;
        }
        Ok(())
    }
}
