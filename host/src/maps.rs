//! What a process of the host has mapped, as its `/proc/PID/maps` lists it.

use crate::{Errno, Result};
use std::sync::OnceLock;

/// One mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    pub start: u64,
    pub end: u64,
    /// PROT_READ, PROT_WRITE and PROT_EXEC of mmap(2).
    pub prot: u32,
    pub shared: bool,
    pub offset: u64,
    /// The device and inode of the file; zeros for none.
    pub file: FileId,
    /// A path, or the host's own name in brackets.
    pub name: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FileId {
    pub device: u64,
    pub inode: u64,
}

impl FileId {
    /// Of an open file.
    pub fn of(fd: i32) -> Result<FileId> {
        // SAFETY: all-zero is a valid stat; the call fills it.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: a number and a valid place.
        Errno::check(i64::from(unsafe { libc::fstat(fd, &raw mut stat) }))?;
        Ok(FileId { device: stat.st_dev, inode: stat.st_ino })
    }
}

/// The mappings of a process, in order. Empty when it has ended.
pub fn of_process(pid: i32) -> Result<Vec<Mapping>> {
    let text = std::fs::read(format!("/proc/{pid}/maps"))?;
    String::from_utf8_lossy(&text).lines().map(|line| parse(line).ok_or(Errno::EIO)).collect()
}

/// The page of the oldest system calls at a fixed address (vsyscall), which the host gives every
/// process that it runs; none if it was told not to.
pub fn vsyscall() -> Option<&'static Mapping> {
    static FOUND: OnceLock<Option<Mapping>> = OnceLock::new();
    let find = || of_process(std::process::id() as i32).ok()?.into_iter().find(|mapping| mapping.name == "[vsyscall]");
    FOUND.get_or_init(find).as_ref()
}

/// START-END rwxp OFFSET MAJOR:MINOR INODE NAME
fn parse(line: &str) -> Option<Mapping> {
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let rights = fields.next()?.as_bytes();
    let offset = hex(fields.next()?)?;
    let (major, minor) = fields.next()?.split_once(':')?;
    let device = libc::makedev(hex(major)? as u32, hex(minor)? as u32);
    let inode = fields.next()?.parse().ok()?;
    let name = fields.next().unwrap_or_default().trim_start().to_string();
    let bit = |at: usize, bit: i32| if rights.get(at).is_some_and(|&right| right != b'-') { bit as u32 } else { 0 };
    let prot = bit(0, libc::PROT_READ) | bit(1, libc::PROT_WRITE) | bit(2, libc::PROT_EXEC);
    let shared = *rights.get(3)? == b's';
    Some(Mapping { start: hex(start)?, end: hex(end)?, prot, shared, offset, file: FileId { device, inode }, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_kinds() {
        let mapping =
            parse("7f0000000000-7f0000002000 rw-s 00003000 00:01 42                         /memfd:a b (deleted)");
        let file = FileId { device: 1, inode: 42 };
        let (start, end, prot) = (0x7f00_0000_0000, 0x7f00_0000_2000, 3);
        let expected =
            Mapping { start, end, prot, shared: true, offset: 0x3000, file, name: "/memfd:a b (deleted)".into() };
        assert_eq!(mapping, Some(expected));
        let nothing = parse("10000-11000 ---p 00000000 00:00 0 ").expect("an anonymous one");
        assert_eq!((nothing.prot, nothing.file, nothing.name.as_str()), (0, FileId::default(), ""));
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn a_mapping_of_ours() {
        let memory = crate::memory::SharedMemory::new(c"maps-test", 3 * crate::memory::PAGE).unwrap();
        use std::os::fd::AsRawFd;
        let id = FileId::of(memory.fd().as_raw_fd()).unwrap();
        let found = of_process(std::process::id() as i32).unwrap();
        let mapping = found.iter().find(|mapping| mapping.file == id).expect("it is listed");
        assert_eq!((mapping.start, mapping.end - mapping.start), (memory.base() as u64, memory.len() as u64));
        assert!(mapping.shared && mapping.prot == 3 && mapping.name.starts_with("/memfd:maps-test"));
    }
}
