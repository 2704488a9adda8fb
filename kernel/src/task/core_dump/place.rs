//! Where core files go: the pattern of their names, and the rules by which one is made.

use crate::limits;
use crate::lock::KCell;
use crate::task::Task;
use crate::vfs::display;
use crate::vfs::file::OpenFile;
use crate::vfs::inode::FileKind;
use crate::vfs::mapped;
use crate::vfs::namei;
use crate::vfs::open;
use crate::vfs::walk::Walk;
use crate::{Errno, Result, time, uts};
use abi::number::extended;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// kernel.core_uses_pid: the PID is appended to names that do not hold it.
pub static USES_PID: AtomicI64 = AtomicI64::new(0);

/// kernel.core_pattern, as it was set last.
static PATTERN: KCell<Option<Vec<u8>>> = KCell::new(None);

/// The longest pattern; more is cut off.
const LONGEST: usize = 127;

pub fn pattern() -> Vec<u8> {
    PATTERN.cloned().unwrap_or_else(|| b"core".to_vec())
}

/// EINVAL for a pattern that wants a program to be started: that is not done here, and nobody
/// should wait for it.
pub fn set_pattern(pattern: &[u8]) -> Result<()> {
    if pattern.first() == Some(&b'|') {
        umlab_model::log!(Info, "kernel.core_pattern: core dumps are not piped to programs");
        return Err(Errno::EINVAL);
    }
    PATTERN.set(Some(pattern[..pattern.len().min(LONGEST)].to_vec()));
    Ok(())
}

/// Makes the file of a task's process: a new one, in the place of an old one of that name. It is
/// for its owner alone, and never a file that somebody else has prepared.
pub fn make(task: &Arc<Task>, signal: i32) -> Result<Arc<OpenFile>> {
    let name = name(task, signal)?;
    // If it cannot be removed, it is in the way.
    let _ = namei::remove(task, abi::AT_FDCWD, &name, false);
    let flags = abi::O_CREAT | abi::O_EXCL | abi::O_WRONLY | abi::O_NOFOLLOW;
    let file = open::open(task, abi::AT_FDCWD, &name, flags, 0o600, Walk::empty())?;
    let owner = file.inode.owner()?;
    // A file system may have ideas of its own about owners and modes, and the umask may be strange.
    let ours = owner.uid == task.creds().fsuid && owner.mode & 0o677 == 0o600;
    if file.inode.kind() == FileKind::Regular && ours { Ok(file) } else { Err(Errno::EPERM) }
}

/// The name by the pattern. ENOENT when there is to be none.
fn name(task: &Task, signal: i32) -> Result<Vec<u8>> {
    let pattern = pattern();
    let uses_pid = USES_PID.load(Relaxed) != 0;
    if pattern.is_empty() && !uses_pid {
        return Err(Errno::ENOENT);
    }
    let mut has_pid = false;
    let mut name = Vec::new();
    let mut bytes = pattern.into_iter();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            name.push(byte);
            continue;
        }
        let Some(what) = bytes.next() else { break };
        has_pid |= what == b'p';
        name.extend(expansion(task, signal, what));
    }
    if uses_pid && !has_pid {
        name.extend(format!(".{}", task.pid()).into_bytes());
    }
    Ok(name)
}

/// What a letter after a percent sign stands for; nothing if it has no meaning.
fn expansion(task: &Task, signal: i32, what: u8) -> Vec<u8> {
    let creds = task.creds();
    let number: u64 = match what {
        b'%' => return b"%".to_vec(),
        b'e' => return component(task.name.cloned()),
        b'f' => return component(executable(task).rsplit(|&b| b == b'/').next().unwrap_or_default().to_vec()),
        b'E' => return component(executable(task)),
        b'h' => return component(uts::hostname()),
        b'c' => task.process.limit(limits::CORE),
        b'd' => u64::from(task.process.settings.borrow().dumpable),
        b'g' => u64::from(creds.gid),
        b'u' => u64::from(creds.uid),
        // There is one namespace of PIDs.
        b'i' | b'I' => extended(task.tid()),
        b'p' | b'P' => extended(task.pid()),
        b's' => extended(signal),
        b't' => time::realtime() / 1_000_000_000,
        _ => return Vec::new(),
    };
    number.to_string().into_bytes()
}

/// The path of the program.
fn executable(task: &Task) -> Vec<u8> {
    let file = task.space.cloned().and_then(|space| space.layout().executable);
    file.as_ref().and_then(mapped::open_file).map(|file| display::file(&file, task)).unwrap_or_default()
}

/// A text that cannot lead to another directory.
fn component(mut text: Vec<u8>) -> Vec<u8> {
    text.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = b'!');
    if matches!(&text[..], b"" | b"." | b"..") {
        text = vec![b'!'; text.len().max(1)];
    }
    text
}
