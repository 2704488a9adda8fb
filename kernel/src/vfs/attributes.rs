//! Changes of a file's attributes, whichever call asks for them: the change itself, and the event
//! that watches get.

use super::Path;
use super::inode::{FileKind, InodeRef, SetAttr};
use super::notify;
use crate::Result;
use crate::creds::Creds;

/// Changes attributes of a file, which was found at `path` if it has a name.
///
/// # Errors
/// The file system's.
pub fn change(inode: &InodeRef, path: Option<&Path>, change: &SetAttr) -> Result<()> {
    inode.set_attr(change)?;
    let event = event_of(change);
    if event != 0 {
        notify::path(path, event);
    }
    Ok(())
}

/// A time that changes alone is one of reading or writing; both change when somebody sets them
/// (utimensat(2)).
fn event_of(change: &SetAttr) -> u32 {
    let owner = change.mode.or(change.uid).or(change.gid).map_or(0, |_| notify::ATTRIB);
    let size = change.size.map_or(0, |_| notify::MODIFY);
    let times = match (change.atime, change.mtime) {
        (Some(_), Some(_)) => notify::ATTRIB,
        (Some(_), None) => notify::ACCESS,
        (None, Some(_)) => notify::MODIFY,
        (None, None) => 0,
    };
    owner | size | times
}

/// The mode without the bits that give a program another identity, which a new owner or new
/// contents take from it. None when there are none to take.
pub fn without_set_ids(creds: &Creds, inode: &InodeRef) -> Result<Option<u32>> {
    if inode.kind() != FileKind::Regular {
        return Ok(None);
    }
    let owner = inode.owner()?;
    let mut kept = owner.mode & !abi::S_ISUID;
    // Without the right to execute, the group's bit once meant something else: it stays for those
    // who may set it.
    if owner.mode & abi::S_IXGRP != 0 || !creds.in_group(owner.gid) && !creds.capable(abi::CAP_FSETID) {
        kept &= !abi::S_ISGID;
    }
    Ok((kept != owner.mode).then_some(kept))
}

/// As [`without_set_ids`], for new contents: the privileged leave a program its identity.
pub fn without_set_ids_for_write(creds: &Creds, inode: &InodeRef) -> Result<Option<u32>> {
    if creds.capable(abi::CAP_FSETID) { Ok(None) } else { without_set_ids(creds, inode) }
}

/// Takes those bits from a file that the current task writes to.
pub fn drop_set_ids(inode: &InodeRef, path: Option<&Path>) -> Result<()> {
    // Most files have none.
    if inode.owner()?.mode & (abi::S_ISUID | abi::S_ISGID) == 0 {
        return Ok(());
    }
    match without_set_ids_for_write(&crate::sched::current().creds(), inode)? {
        None => Ok(()),
        mode => change(inode, path, &SetAttr { mode, ..SetAttr::default() }),
    }
}
