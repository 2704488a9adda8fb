//! memfd_create(2): memory files without a name, and their seals.

use super::MemFs;
use super::file::MemFile;
use super::inode::MemInode;
use crate::creds::Creds;
use crate::mm::page_cache::Contents;
use crate::vfs::dentry::Dentry;
use crate::vfs::file::OpenFile;
use crate::vfs::inode::Inode;
use crate::vfs::mount::{Mount, MountFlags};
use crate::vfs::path::Path;
use crate::{Errno, Result};
use std::sync::{Arc, OnceLock};

/// F_SEAL_EXEC, newer than libc's list.
pub(super) const SEAL_EXEC: u32 = 0x20;
/// Seals that forbid any change of the contents.
const SEAL_CHANGES: u32 = (abi::F_SEAL_SHRINK | abi::F_SEAL_GROW | abi::F_SEAL_WRITE | abi::F_SEAL_FUTURE_WRITE) as u32;
const SEAL_ALL: u32 = abi::F_SEAL_SEAL as u32 | SEAL_CHANGES | SEAL_EXEC;

/// The mount that such files belong to: shown nowhere.
fn mount() -> &'static (Arc<MemFs>, Arc<Mount>) {
    static MOUNT: OnceLock<(Arc<MemFs>, Arc<Mount>)> = OnceLock::new();
    MOUNT.get_or_init(|| {
        let fs = MemFs::new(Some(crate::mm::frames::limit()), 0o777, 0, 0);
        (fs.clone(), Mount::new(fs, b"tmpfs", MountFlags::empty()))
    })
}

/// A new memory file; `sealable` says whether seals can be added, `exec` whether it may be
/// executed.
pub fn memfd(name: &[u8], creds: &Creds, sealable: bool, exec: bool) -> Result<Arc<OpenFile>> {
    let (fs, mount) = mount();
    let inode = MemInode::new_detached(&fs.instance, if exec { 0o777 } else { 0o666 }, creds)?;
    let regular = inode.regular()?;
    if sealable {
        regular.borrow_mut().seals = if exec { 0 } else { SEAL_EXEC };
    }
    let contents = inode.own_contents()?;
    let dentry = Dentry::nameless(inode.clone(), None, &[b"memfd:", name].concat());
    let ops = MemFile::new(&inode, contents);
    Ok(OpenFile::at(ops, Path { mount: mount.clone(), dentry }, abi::O_RDWR | crate::vfs::open::LARGEFILE))
}

/// Memory that is no file anywhere, though areas that map it are said to map one of that name, at
/// that path.
pub fn nameless(name: &[u8], size: u64, creds: &Creds) -> Result<(Arc<Contents>, Path)> {
    let (fs, mount) = mount();
    let inode = MemInode::new_detached(&fs.instance, 0o777, creds)?;
    let contents = inode.own_contents()?;
    contents.truncate(size);
    Ok((contents, Path { mount: mount.clone(), dentry: Dentry::nameless(inode, None, name) }))
}

fn inode_of(file: &OpenFile) -> Result<&MemInode> {
    let inode = file.inode.as_any().downcast_ref::<MemInode>().ok_or(Errno::EINVAL)?;
    inode.regular()?;
    Ok(inode)
}

/// F_GET_SEALS.
pub fn seals(file: &OpenFile) -> Result<u32> {
    Ok(inode_of(file)?.regular()?.borrow().seals)
}

/// F_ADD_SEALS.
pub fn add_seals(file: &OpenFile, mut seals: u32) -> Result<()> {
    let inode = inode_of(file)?;
    if !file.writable() {
        return Err(Errno::EPERM);
    }
    if seals & !SEAL_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    let mut regular = inode.regular()?.borrow_mut();
    if regular.seals & abi::F_SEAL_SEAL as u32 != 0 {
        return Err(Errno::EPERM);
    }
    // A file that stays executable is not written either.
    if seals & SEAL_EXEC != 0 && inode.owner()?.mode & 0o111 != 0 {
        seals |= SEAL_CHANGES;
    }
    let writing = regular.contents.as_ref().is_some_and(|contents| contents.is_mapped_writable());
    if seals & abi::F_SEAL_WRITE as u32 != 0 && writing {
        return Err(Errno::EBUSY);
    }
    regular.seals |= seals;
    Ok(())
}
