//! Host files, for the file systems that show the host's tree: every call is relative to a
//! directory's descriptor and never follows a symbolic link.

use crate::{Errno, Result};
use rustix::buffer::spare_capacity;
use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, RawDir, SeekFrom, StatxFlags, Timespec, Timestamps, Uid};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

/// What the host says of a file.
pub type Statx = fs::Statx;
/// A time in [`Statx`].
pub type StatxTime = fs::StatxTimestamp;

/// The largest value of an extended attribute, and the longest list of their names.
const XATTR_MAX: usize = 65536;

/// ENOENT for a name that holds a NUL, which no file's name does.
fn valid(name: &[u8]) -> Result<&[u8]> {
    if name.contains(&0) { Err(Errno::ENOENT) } else { Ok(name) }
}

/// A path to what a descriptor (perhaps an O_PATH one) refers to.
pub(crate) fn path_of(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Lets this process have as many descriptors as it may, and gives that number. New files get
/// exactly the mode that is asked for.
pub fn prepare_process() -> u64 {
    rustix::process::umask(Mode::empty());
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Opens a file by its path, as this process sees it: the root of a tree that is shown.
pub fn open(path: &Path, flags: i32) -> Result<OwnedFd> {
    let path = valid(path.as_os_str().as_bytes())?;
    Ok(fs::open(path, OFlags::from_bits_retain(flags as u32) | OFlags::CLOEXEC, Mode::empty())?)
}

/// openat(2); the last component is never followed.
pub fn open_at(dir: BorrowedFd<'_>, name: &[u8], flags: i32, mode: u32) -> Result<OwnedFd> {
    let flags = OFlags::from_bits_retain(flags as u32) | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY;
    Ok(fs::openat(dir, valid(name)?, flags, Mode::from_bits_retain(mode))?)
}

/// Opens anew what a descriptor (perhaps an O_PATH one) refers to.
pub fn reopen(fd: BorrowedFd<'_>, flags: i32) -> Result<OwnedFd> {
    open(Path::new(&path_of(fd)), flags | libc::O_NOCTTY)
}

/// statx(2) of a directory's entry, or of the descriptor itself when the name is empty.
pub fn statx(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Statx> {
    const MASK: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
    Ok(fs::statx(dir, valid(name)?, flags, MASK)?)
}

pub fn read_link_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>> {
    let mut target = Vec::with_capacity(libc::PATH_MAX as usize);
    fs::readlinkat_raw(dir, valid(name)?, spare_capacity(&mut target))?;
    Ok(target)
}

/// An entry of a host directory.
pub struct HostEntry {
    pub ino: u64,
    /// DT_* of readdir(3).
    pub kind: u8,
    pub name: Vec<u8>,
}

/// All entries of an open directory, "." and ".." not among them.
pub fn read_dir(dir: BorrowedFd<'_>) -> Result<Vec<HostEntry>> {
    let mut entries = Vec::new();
    let mut buffer = Vec::with_capacity(64 * 1024);
    let mut reader = RawDir::new(dir, buffer.spare_capacity_mut());
    while let Some(entry) = reader.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            let kind = match entry.file_type() {
                fs::FileType::Unknown => libc::DT_UNKNOWN,
                kind => (kind.as_raw_mode() >> 12) as u8,
            };
            entries.push(HostEntry { ino: entry.ino(), kind, name: name.to_vec() });
        }
    }
    Ok(entries)
}

/// Magic numbers (statfs(2)) of file systems whose files are the kernel's own: they tell of the
/// host, or change it.
const KERNEL_MADE: &[u32] = &[
    0x9fa0,      // proc
    0x9fa1,      // openprom
    0x9fa2,      // usbdevfs
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0x6265_6570, // configfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0xcafe_4a11, // bpf
    0x1cd1,      // devpts
    0x1980_0202, // mqueue
    0x6573_5543, // fusectl
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0x4249_4e4d, // binfmt_misc
    0x0187,      // autofs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x5a3c_69f0, // apparmorfs
    0x6e73_6673, // nsfs
    0x5049_4446, // pidfs
    0x0765_5821, // resctrl
    0xabba_1974, // xenfs
    0x6759_6969, // rpc_pipefs
    0x6e66_7364, // nfsd
    0x6c6f_6f70, // binder
];
const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58f6;

/// Whether what a descriptor (perhaps an O_PATH one) refers to is in a file system of the kernel's
/// own, as /proc, /sys and /dev are, under whatever name it was found.
pub fn is_kernel_made(file: BorrowedFd<'_>) -> Result<bool> {
    let magic = statfs(file)?.f_type as u32;
    if KERNEL_MADE.contains(&magic) {
        return Ok(true);
    }
    // devtmpfs has no number of its own.
    Ok(matches!(magic, TMPFS | RAMFS) && devtmpfs() == Some(device(&statx(file, b"")?)))
}

/// The number of the device that a file is on.
pub fn device(stat: &Statx) -> u64 {
    libc::makedev(stat.stx_dev_major, stat.stx_dev_minor)
}

/// The device number of devtmpfs, of which a kernel has one at most.
fn devtmpfs() -> Option<u64> {
    static KNOWN: OnceLock<u64> = OnceLock::new();
    if let Some(&known) = KNOWN.get() {
        return Some(known);
    }
    let text = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let found = text.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let (major, minor) = before.split(' ').nth(2)?.split_once(':')?;
        let is_devtmpfs = after.split(' ').next() == Some("devtmpfs");
        is_devtmpfs.then_some(libc::makedev(major.parse().ok()?, minor.parse().ok()?))
    })?;
    Some(*KNOWN.get_or_init(|| found))
}

pub fn make_dir_at(dir: BorrowedFd<'_>, name: &[u8], mode: u32) -> Result<()> {
    Ok(fs::mkdirat(dir, valid(name)?, Mode::from_bits_retain(mode))?)
}

/// mknodat(2); the mode has the file's type.
pub fn make_node_at(dir: BorrowedFd<'_>, name: &[u8], mode: u32, device: u64) -> Result<()> {
    let (kind, mode) = (fs::FileType::from_raw_mode(mode), Mode::from_raw_mode(mode));
    Ok(fs::mknodat(dir, valid(name)?, kind, mode, device)?)
}

pub fn symlink_at(target: &[u8], dir: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    Ok(fs::symlinkat(valid(target)?, dir, valid(name)?)?)
}

/// Gives what a descriptor refers to another name.
pub fn link_at(file: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    Ok(fs::linkat(fs::CWD, path_of(file), dir, valid(name)?, AtFlags::SYMLINK_FOLLOW)?)
}

/// unlinkat(2); AT_REMOVEDIR or 0.
pub fn unlink_at(dir: BorrowedFd<'_>, name: &[u8], flags: i32) -> Result<()> {
    Ok(fs::unlinkat(dir, valid(name)?, AtFlags::from_bits_retain(flags as u32))?)
}

pub fn rename_at(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, new_name: &[u8], flags: u32) -> Result<()> {
    let flags = fs::RenameFlags::from_bits_retain(flags);
    Ok(fs::renameat_with(from, valid(name)?, to, valid(new_name)?, flags)?)
}

pub fn change_mode(file: BorrowedFd<'_>, mode: u32) -> Result<()> {
    Ok(fs::chmod(path_of(file), Mode::from_bits_retain(mode))?)
}

/// chown(2) of what a descriptor (perhaps an O_PATH one) refers to; None leaves an id as it is.
pub fn change_owner(file: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    Ok(fs::chownat(file, c"", uid, gid, AtFlags::EMPTY_PATH)?)
}

/// Sets the times, in nanoseconds since 1970; None leaves one as it is.
pub fn change_times(file: BorrowedFd<'_>, atime: Option<i128>, mtime: Option<i128>) -> Result<()> {
    const SECOND: i128 = 1_000_000_000;
    let spec = |time: Option<i128>| match time {
        Some(t) => Timespec {
            tv_sec: t.div_euclid(SECOND).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64,
            tv_nsec: t.rem_euclid(SECOND) as i64,
        },
        None => Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT },
    };
    let times = Timestamps { last_access: spec(atime), last_modification: spec(mtime) };
    Ok(fs::utimensat(file, c"", &times, AtFlags::EMPTY_PATH)?)
}

pub fn truncate(file: BorrowedFd<'_>, size: u64) -> Result<()> {
    if size > i64::MAX as u64 {
        return Err(Errno::EFBIG);
    }
    Ok(fs::ftruncate(file, size)?)
}

pub fn allocate(file: BorrowedFd<'_>, mode: i32, offset: u64, len: u64) -> Result<()> {
    Ok(fs::fallocate(file, fs::FallocateFlags::from_bits_retain(mode as u32), offset, len)?)
}

pub fn sync(file: BorrowedFd<'_>, data_only: bool) -> Result<()> {
    let result = if data_only { fs::fdatasync(file) } else { fs::fsync(file) };
    Ok(result?)
}

/// lseek(2). Reads and writes never use the descriptor's position.
pub fn seek(file: BorrowedFd<'_>, offset: i64, whence: i32) -> Result<u64> {
    let to = match whence {
        libc::SEEK_SET => SeekFrom::Start(offset as u64),
        libc::SEEK_CUR => SeekFrom::Current(offset),
        libc::SEEK_END => SeekFrom::End(offset),
        libc::SEEK_DATA => SeekFrom::Data(offset as u64),
        libc::SEEK_HOLE => SeekFrom::Hole(offset as u64),
        _ => return Err(Errno::EINVAL),
    };
    Ok(fs::seek(file, to)?)
}

pub fn statfs(file: BorrowedFd<'_>) -> Result<fs::StatFs> {
    Ok(fs::fstatfs(file)?)
}

/// An extended attribute of what a descriptor (perhaps an O_PATH one) refers to.
pub fn xattr(file: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>> {
    let mut value = Vec::with_capacity(XATTR_MAX);
    fs::getxattr(path_of(file), valid(name)?, spare_capacity(&mut value))?;
    Ok(value)
}

pub fn set_xattr(file: BorrowedFd<'_>, name: &[u8], value: &[u8], flags: i32) -> Result<()> {
    let flags = fs::XattrFlags::from_bits_retain(flags as u32);
    Ok(fs::setxattr(path_of(file), valid(name)?, value, flags)?)
}

pub fn remove_xattr(file: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    Ok(fs::removexattr(path_of(file), valid(name)?)?)
}

pub fn list_xattrs(file: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let mut names = Vec::with_capacity(XATTR_MAX);
    fs::listxattr(path_of(file), spare_capacity(&mut names))?;
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn names_and_numbers_that_are_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let dir = open(folder.path(), libc::O_PATH).unwrap();
        let dir = dir.as_fd();
        symlink_at(b"target", dir, b"link").unwrap();
        assert_eq!(read_link_at(dir, b"link").unwrap(), b"target");
        assert_eq!(open_at(dir, b"link", libc::O_RDWR | libc::O_CREAT, 0o600).err(), Some(Errno::ELOOP));
        assert_eq!(open_at(dir, b"a\0b", 0, 0).err(), Some(Errno::ENOENT));
        assert_eq!(make_dir_at(dir, b"a\0b", 0o700), Err(Errno::ENOENT));
        let file = open_at(dir, b"file", libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o600).unwrap();
        let file = file.as_fd();
        assert_eq!(truncate(file, 1 << 63), Err(Errno::EFBIG));
        assert_eq!(seek(file, 0, 99), Err(Errno::EINVAL));
        assert_eq!(seek(file, -1, libc::SEEK_SET), Err(Errno::EINVAL));
        assert_eq!(seek(file, 5, libc::SEEK_CUR), Ok(5));
        assert_eq!(unlink_at(dir, b"file", libc::AT_REMOVEDIR), Err(Errno::ENOTDIR));
    }

    #[test]
    fn entries_have_kinds() {
        let folder = tempfile::tempdir().unwrap();
        let dir = open(folder.path(), libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
        let dir = dir.as_fd();
        make_dir_at(dir, b"directory", 0o700).unwrap();
        make_node_at(dir, b"fifo", libc::S_IFIFO | 0o600, 0).unwrap();
        symlink_at(b"target", dir, b"link").unwrap();
        let mut entries: Vec<_> = read_dir(dir).unwrap().into_iter().map(|e| (e.name, e.kind)).collect();
        entries.sort_unstable();
        let kinds = [(&b"directory"[..], libc::DT_DIR), (b"fifo", libc::DT_FIFO), (b"link", libc::DT_LNK)];
        assert_eq!(entries, kinds.map(|(name, kind)| (name.to_vec(), kind)));
        assert_eq!(u32::from(statx(dir, b"link").unwrap().stx_mode) & libc::S_IFMT, libc::S_IFLNK);
    }

    #[test]
    fn what_a_descriptor_refers_to_changes() {
        let folder = tempfile::tempdir().unwrap();
        let dir = open(folder.path(), libc::O_PATH).unwrap();
        let dir = dir.as_fd();
        drop(open_at(dir, b"file", libc::O_WRONLY | libc::O_CREAT, 0o600).unwrap());
        let handle = open_at(dir, b"file", libc::O_PATH, 0).unwrap();
        let handle = handle.as_fd();
        change_mode(handle, 0o4640).unwrap();
        change_owner(handle, None, None).unwrap();
        change_times(handle, None, Some(-1)).unwrap();
        link_at(handle, dir, b"other").unwrap();
        let stat = statx(handle, b"").unwrap();
        assert_eq!((u32::from(stat.stx_mode) & 0o777, stat.stx_nlink), (0o640, 2));
        assert_eq!((stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec), (-1, 999_999_999));
        assert_eq!(rename_at(dir, b"file", dir, b"other", libc::RENAME_NOREPLACE), Err(Errno::EEXIST));
        assert!(reopen(handle, libc::O_RDWR).is_ok());
    }
}
