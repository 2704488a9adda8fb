//! Host files, for the file systems that show the host's tree: every call is relative to a
//! directory's descriptor and never follows a symbolic link.

use crate::{Errno, Result};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

/// What the host says of a file.
pub type Statx = libc::statx;
/// A time in [`Statx`].
pub type StatxTime = libc::statx_timestamp;

/// A name as a C string; ENOENT for one that holds a NUL, which no file's name does.
fn c_name(name: &[u8]) -> Result<std::ffi::CString> {
    std::ffi::CString::new(name).map_err(|_| Errno::ENOENT)
}

/// Lets this process have as many descriptors as it may, and gives that number. New files get
/// exactly the mode that is asked for.
pub fn prepare_process() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid place for the result, and limits as they were given.
    unsafe {
        libc::umask(0);
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
    }
    limit.rlim_cur
}

/// Opens a file by its path, as this process sees it: the root of a tree that is shown.
pub fn open(path: &Path, flags: i32) -> Result<OwnedFd> {
    let path = c_name(path.as_os_str().as_bytes())?;
    // SAFETY: a C string and flags.
    let fd = Errno::check(i64::from(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0) }))?;
    // SAFETY: the call returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// openat(2); the last component is never followed.
pub fn open_at(dir: BorrowedFd<'_>, name: &[u8], flags: i32, mode: u32) -> Result<OwnedFd> {
    let name = c_name(name)?;
    let flags = flags | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NOCTTY;
    // SAFETY: a valid descriptor, a C string and numbers.
    let fd = Errno::check(i64::from(unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags, mode) }))?;
    // SAFETY: the call returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Opens anew what a descriptor (perhaps an O_PATH one) refers to.
pub fn reopen(fd: BorrowedFd<'_>, flags: i32) -> Result<OwnedFd> {
    open(Path::new(&format!("/proc/self/fd/{}", fd.as_raw_fd())), flags | libc::O_NOCTTY)
}

/// statx(2) of a directory's entry, or of the descriptor itself when the name is empty.
pub fn statx(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Statx> {
    const MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_MNT_ID;
    let name = c_name(name)?;
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH | libc::AT_NO_AUTOMOUNT;
    // SAFETY: all zero is a valid statx.
    let mut out: Statx = unsafe { std::mem::zeroed() };
    // SAFETY: a valid descriptor, C string and place for the result.
    Errno::check(i64::from(unsafe { libc::statx(dir.as_raw_fd(), name.as_ptr(), flags, MASK, &raw mut out) }))?;
    Ok(out)
}

pub fn read_link_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>> {
    let name = c_name(name)?;
    let mut target = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: the buffer is valid for its length.
    let n = unsafe { libc::readlinkat(dir.as_raw_fd(), name.as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    target.truncate(Errno::check(n as i64)? as usize);
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
    const HEADER: usize = 19;
    let mut entries = Vec::new();
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        // SAFETY: the buffer is valid for its length.
        let n = unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), buffer.as_mut_ptr(), buffer.len()) };
        let n = Errno::check(n)? as usize;
        if n == 0 {
            return Ok(entries);
        }
        let mut rest = &buffer[..n];
        while rest.len() > HEADER {
            let ino = u64::from_ne_bytes(rest[0..8].try_into().unwrap_or_default());
            let len = u16::from_ne_bytes([rest[16], rest[17]]) as usize;
            let len = len.clamp(HEADER + 1, rest.len());
            let name = &rest[HEADER..len];
            let name = &name[..name.iter().position(|&b| b == 0).unwrap_or(name.len())];
            if name != b"." && name != b".." {
                entries.push(HostEntry { ino, kind: rest[18], name: name.to_vec() });
            }
            rest = &rest[len..];
        }
    }
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
    let name = c_name(name)?;
    // SAFETY: a valid descriptor and C string.
    Errno::check(i64::from(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode) }))?;
    Ok(())
}

pub fn make_node_at(dir: BorrowedFd<'_>, name: &[u8], mode: u32, device: u64) -> Result<()> {
    let name = c_name(name)?;
    // SAFETY: a valid descriptor and C string.
    Errno::check(i64::from(unsafe { libc::mknodat(dir.as_raw_fd(), name.as_ptr(), mode, device) }))?;
    Ok(())
}

pub fn symlink_at(target: &[u8], dir: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let (target, name) = (c_name(target)?, c_name(name)?);
    // SAFETY: C strings and a valid descriptor.
    Errno::check(i64::from(unsafe { libc::symlinkat(target.as_ptr(), dir.as_raw_fd(), name.as_ptr()) }))?;
    Ok(())
}

/// Gives what a descriptor refers to another name.
pub fn link_at(file: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let old = c_name(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())?;
    let name = c_name(name)?;
    // SAFETY: C strings and a valid descriptor.
    let result =
        unsafe { libc::linkat(libc::AT_FDCWD, old.as_ptr(), dir.as_raw_fd(), name.as_ptr(), libc::AT_SYMLINK_FOLLOW) };
    Errno::check(i64::from(result))?;
    Ok(())
}

/// unlinkat(2); AT_REMOVEDIR or 0.
pub fn unlink_at(dir: BorrowedFd<'_>, name: &[u8], flags: i32) -> Result<()> {
    let name = c_name(name)?;
    // SAFETY: a valid descriptor and C string.
    Errno::check(i64::from(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags) }))?;
    Ok(())
}

pub fn rename_at(from: BorrowedFd<'_>, name: &[u8], to: BorrowedFd<'_>, new_name: &[u8], flags: u32) -> Result<()> {
    let (name, new_name) = (c_name(name)?, c_name(new_name)?);
    // SAFETY: valid descriptors and C strings.
    let result = unsafe { libc::renameat2(from.as_raw_fd(), name.as_ptr(), to.as_raw_fd(), new_name.as_ptr(), flags) };
    Errno::check(i64::from(result))?;
    Ok(())
}

pub fn change_mode(file: BorrowedFd<'_>, mode: u32) -> Result<()> {
    let path = c_name(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())?;
    // SAFETY: a C string and a number.
    Errno::check(i64::from(unsafe { libc::chmod(path.as_ptr(), mode) }))?;
    Ok(())
}

/// chown(2) of what a descriptor (perhaps an O_PATH one) refers to; None leaves an id as it is.
pub fn change_owner(file: BorrowedFd<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    let (uid, gid) = (uid.unwrap_or(u32::MAX), gid.unwrap_or(u32::MAX));
    // SAFETY: a valid descriptor, an empty C string and numbers.
    let result = unsafe { libc::fchownat(file.as_raw_fd(), c"".as_ptr(), uid, gid, libc::AT_EMPTY_PATH) };
    Errno::check(i64::from(result))?;
    Ok(())
}

/// Sets the times, in nanoseconds since 1970; None leaves one as it is.
pub fn change_times(file: BorrowedFd<'_>, atime: Option<i128>, mtime: Option<i128>) -> Result<()> {
    const SECOND: i128 = 1_000_000_000;
    let spec = |time: Option<i128>| match time {
        Some(t) => libc::timespec {
            tv_sec: t.div_euclid(SECOND).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64,
            tv_nsec: t.rem_euclid(SECOND) as i64,
        },
        None => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
    };
    let times = [spec(atime), spec(mtime)];
    // SAFETY: a valid descriptor, an empty C string and two times.
    let result = unsafe { libc::utimensat(file.as_raw_fd(), c"".as_ptr(), times.as_ptr(), libc::AT_EMPTY_PATH) };
    Errno::check(i64::from(result))?;
    Ok(())
}

pub fn truncate(file: BorrowedFd<'_>, size: u64) -> Result<()> {
    let size = i64::try_from(size).map_err(|_| Errno::EFBIG)?;
    // SAFETY: a valid descriptor and a number.
    Errno::check(i64::from(unsafe { libc::ftruncate(file.as_raw_fd(), size) }))?;
    Ok(())
}

pub fn allocate(file: BorrowedFd<'_>, mode: i32, offset: u64, len: u64) -> Result<()> {
    // SAFETY: a valid descriptor and numbers.
    Errno::check(i64::from(unsafe { libc::fallocate(file.as_raw_fd(), mode, offset as i64, len as i64) }))?;
    Ok(())
}

pub fn sync(file: BorrowedFd<'_>, data_only: bool) -> Result<()> {
    // SAFETY: a valid descriptor.
    let result = unsafe { if data_only { libc::fdatasync(file.as_raw_fd()) } else { libc::fsync(file.as_raw_fd()) } };
    Errno::check(i64::from(result))?;
    Ok(())
}

/// lseek(2). Reads and writes never use the descriptor's position.
pub fn seek(file: BorrowedFd<'_>, offset: i64, whence: i32) -> Result<u64> {
    // SAFETY: a valid descriptor and numbers.
    Ok(Errno::check(unsafe { libc::lseek(file.as_raw_fd(), offset, whence) })? as u64)
}

pub fn statfs(file: BorrowedFd<'_>) -> Result<libc::statfs> {
    // SAFETY: all zero is a valid statfs.
    let mut out: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a valid descriptor and place for the result.
    Errno::check(i64::from(unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut out) }))?;
    Ok(out)
}

/// An extended attribute of what a descriptor (perhaps an O_PATH one) refers to.
pub fn xattr(file: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>> {
    let path = c_name(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())?;
    let name = c_name(name)?;
    let mut value = vec![0u8; 65536];
    // SAFETY: C strings, and a buffer valid for its length.
    let n = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(Errno::check(n as i64)? as usize);
    Ok(value)
}

pub fn set_xattr(file: BorrowedFd<'_>, name: &[u8], value: &[u8], flags: i32) -> Result<()> {
    let path = c_name(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())?;
    let name = c_name(name)?;
    // SAFETY: C strings, and a value valid for its length.
    let result = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) };
    Errno::check(i64::from(result))?;
    Ok(())
}

pub fn remove_xattr(file: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let path = c_name(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())?;
    let name = c_name(name)?;
    // SAFETY: C strings.
    Errno::check(i64::from(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) }))?;
    Ok(())
}

pub fn list_xattrs(file: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let path = c_name(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())?;
    let mut names = vec![0u8; 65536];
    // SAFETY: a C string, and a buffer valid for its length.
    let n = unsafe { libc::listxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(Errno::check(n as i64)? as usize);
    Ok(names)
}
