//! Programs: the input is a file that is executed, and can be its own interpreter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use object::LittleEndian;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use std::sync::Arc;
use umlab_fuzz_targets::guest::{self, task};
use umlab_kernel::mm::{AddressSpace, IoBuf, PAGE_SIZE};
use umlab_kernel::task::exec::{self, Image, Prepared};
use umlab_kernel::vfs::{file::OpenFile, open, walk::Walk};
use umlab_kernel::{Errno, Result, vfs};
use umlab_model::TASK_SIZE;

/// What is executed, and a program that it may name as its interpreter.
const PROGRAM: &[u8] = b"/program";
const INTERPRETER: &[u8] = b"/ld";
static INTERPRETER_FILE: &[u8] = include_bytes!("../corpus/elf/interpreter");

fuzz_target!(|data: &[u8]| {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| write(INTERPRETER, INTERPRETER_FILE).expect("the interpreter"));
    write(PROGRAM, data).expect("the program");
    match execute() {
        Ok(prepared) => judge(data, &prepared),
        Err(error) => assert!(allowed(error), "execve(2) does not give {error:?}"),
    }
    guest::settle();
});

fn write(path: &[u8], bytes: &[u8]) -> Result<()> {
    // What was executed may still be mapped there: a new file each time.
    let _ = vfs::namei::remove(task(), libc::AT_FDCWD, path, false);
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
    let file: Arc<OpenFile> = open::open(task(), libc::AT_FDCWD, path, flags, 0o755, Walk::empty())?;
    let mut written = 0;
    while written < bytes.len() {
        written += file.write_at(&mut IoBuf::kernel(&bytes[written..]), written as u64)?;
    }
    Ok(())
}

fn execute() -> Result<Prepared> {
    let file = vfs::exec::open(task(), PROGRAM)?;
    let (arguments, environment) = (vec![b"argument".to_vec()], vec![b"A=B".to_vec()]);
    exec::prepare(task(), Image { file, path: PROGRAM.to_vec(), arguments, environment })
}

/// The errors of execve(2) that a file can be the reason of, in a guest with memory.
fn allowed(error: Errno) -> bool {
    let of_names = [Errno::ENOENT, Errno::ENOTDIR, Errno::EACCES, Errno::ELOOP, Errno::ENAMETOOLONG];
    let of_contents = [Errno::ENOEXEC, Errno::EINVAL, Errno::ELIBBAD, Errno::ENOMEM, Errno::EFAULT, Errno::EPERM];
    of_names.contains(&error) || of_contents.contains(&error)
}

fn judge(data: &[u8], prepared: &Prepared) {
    let space = &prepared.space;
    let mut end = 0;
    for area in space.maps() {
        assert!(end <= area.start && area.start < area.end && area.end <= TASK_SIZE, "areas overlap or lie outside");
        end = area.end;
    }
    assert!(prepared.stack.is_multiple_of(16));
    if data.starts_with(b"#!") {
        return;
    }
    assert_eq!(space.read::<u64>(prepared.stack), Ok(1), "the number of arguments");
    // Linux looks at no more of the identification than the magic number.
    let mut whole = data.to_vec();
    whole[4..7].copy_from_slice(&[elf::ELFCLASS64, elf::ELFDATA2LSB, elf::EV_CURRENT]);
    let header =
        FileHeader64::<LittleEndian>::parse(&whole[..]).expect("another reader of ELF takes what was executed");
    assert_eq!(header.e_machine.get(LittleEndian), elf::EM_X86_64);
    // Headers at an odd place are not for this reader.
    let Ok(segments) = header.program_headers(LittleEndian, &whole[..]) else { return };
    let loaded: Vec<_> = segments.iter().filter(|s| s.p_type(LittleEndian) == elf::PT_LOAD).collect();
    let Some(last) = loaded.last() else {
        // Headers at the file's beginning stand for none with the other reader.
        assert_eq!(header.e_phoff.get(LittleEndian), 0);
        return;
    };
    check_contents(space, data, last, prepared.stack);
}

/// The last segment is there as it is in the file: nothing of the program was loaded over it, and
/// the interpreter lies where there was room.
fn check_contents(space: &AddressSpace, data: &[u8], last: &ProgramHeader64<LittleEndian>, stack: u64) {
    let (start, end) = space.layout().data;
    let size = last.p_filesz(LittleEndian);
    assert_eq!(end - start, size);
    // What exec puts on the stack may lie over it, where a program is linked so high.
    let over_stack = start.saturating_add(last.p_memsz(LittleEndian)) > stack & !(PAGE_SIZE - 1);
    if over_stack {
        return;
    }
    let offset = last.p_offset(LittleEndian) as usize;
    let there = data.get(offset..).unwrap_or_default();
    let there = &there[..there.len().min(size as usize)];
    let mut seen = vec![0; there.len()];
    match space.read_bytes(start, &mut seen) {
        Ok(()) => assert!(seen == there, "a segment is not the file's"),
        Err(error) => assert_eq!(error, Errno::EFAULT),
    }
    // Zeros follow on the last page, for who may write there.
    let zeros = last.p_memsz(LittleEndian).saturating_sub(size).min(PAGE_SIZE - (start + size) % PAGE_SIZE);
    if last.p_flags(LittleEndian) & elf::PF_W != 0 && there.len() as u64 == size {
        let mut rest = vec![1; zeros as usize];
        if space.read_bytes(start + size, &mut rest).is_ok() {
            assert!(rest.iter().all(|&byte| byte == 0), "memory beyond a file's part of a segment is not zero");
        }
    }
}
