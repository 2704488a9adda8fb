//! Directories: names of their own, names that hide lower ones, and the lower directory's that show
//! through.

use super::inode::MemInode;
use super::timestamp;
use crate::mm::pressure::room_for;
use crate::vfs::file::DirEntry;
use crate::vfs::inode::{FileKind, Inode, InodeRef};
use crate::{Errno, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What Linux's tmpfs counts for a name.
const ENTRY_SIZE: u64 = 20;
/// About what an entry takes of the core's memory, with its dentry, beside the name.
const ENTRY_BYTES: usize = 384;
/// So many entries are listed at a time.
const BATCH: usize = 128;

#[derive(Default)]
pub(super) struct Dir {
    entries: BTreeMap<Box<[u8]>, Entry>,
    /// Entries that are directories.
    subdirs: u32,
}

struct Entry {
    /// None: the name does not exist, whatever the lower directory says.
    node: Option<Arc<MemInode>>,
    /// The lower directory has the name, too.
    over_lower: bool,
}

impl Dir {
    pub fn apparent_size(&self) -> u64 {
        (self.entries.len() as u64 + 2) * ENTRY_SIZE
    }

    pub fn into_nodes(self) -> impl Iterator<Item = Arc<MemInode>> {
        self.entries.into_values().filter_map(|entry| entry.node)
    }

    fn put(&mut self, name: &[u8], node: Arc<MemInode>, over_lower: bool) {
        self.subdirs += u32::from(node.kind() == FileKind::Directory);
        let old = self.entries.insert(name.into(), Entry { node: Some(node), over_lower });
        if let Some(Entry { node: Some(old), .. }) = old {
            self.subdirs -= u32::from(old.kind() == FileKind::Directory);
        }
    }

    /// Takes a name out; a lower one of that name stays hidden.
    fn take(&mut self, name: &[u8], from_lower: bool) {
        let old = self.entries.remove(name);
        let over_lower = old.as_ref().map_or(from_lower, |entry| entry.over_lower);
        if let Some(Entry { node: Some(old), .. }) = old {
            self.subdirs -= u32::from(old.kind() == FileKind::Directory);
        }
        if over_lower {
            self.entries.insert(name.into(), Entry { node: None, over_lower });
        }
    }

    /// The next names after `last`, some of which may only hide lower ones.
    fn batch_after(&self, last: Option<&[u8]>) -> Vec<(Box<[u8]>, Option<Arc<MemInode>>)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let entries = self.entries.range::<[u8], _>((last.map_or(Unbounded, Excluded), Unbounded));
        entries.take(BATCH).map(|(name, entry)| (name.clone(), entry.node.clone())).collect()
    }

    fn hides_lower(&self, name: &[u8]) -> bool {
        self.entries.get(name).is_some_and(|entry| entry.over_lower)
    }
}

impl MemInode {
    /// The entry `name`.
    pub(super) fn entry(&self, name: &[u8]) -> Result<Arc<MemInode>> {
        let dir = self.dir()?;
        if let Some(entry) = dir.borrow().entries.get(name) {
            return entry.node.clone().ok_or(Errno::ENOENT);
        }
        let lower = self.lower.as_ref().ok_or(Errno::ENOENT)?.lookup(name)?;
        Ok(self.fs.stand_in(lower, Some((self.arc(), name))))
    }

    /// The lower directory, where it alone shows.
    pub(super) fn shown_lower_dir(&self) -> Option<&InodeRef> {
        self.lower.as_ref().filter(|_| self.dir().is_ok_and(|dir| dir.borrow().entries.is_empty()))
    }

    /// Whether the lower directory's entry of this name is seen, with its contents or its
    /// attributes.
    pub(super) fn entry_shows_lower(&self, name: &[u8]) -> bool {
        let Ok(dir) = self.dir() else { return false };
        match dir.borrow().entries.get(name) {
            None => self.lower.is_some(),
            Some(entry) => entry.node.as_ref().is_some_and(|node| node.lower.is_some() && node.shows_lower()),
        }
    }

    /// Holds an entry that was only found in the lower directory: it is about to differ from that.
    pub(super) fn hold(&self, name: &[u8], node: &Arc<MemInode>) -> Result<()> {
        let mut dir = self.dir()?.borrow_mut();
        if !dir.entries.contains_key(name) {
            dir.put(name, node.clone(), true);
        }
        Ok(())
    }

    /// A new name. The caller knows that it is free.
    pub(super) fn add_entry(&self, name: &[u8], node: &Arc<MemInode>) -> Result<()> {
        let dir = self.dir()?;
        if dir.borrow().entries.get(name).is_some_and(|entry| entry.node.is_some()) {
            return Err(Errno::EEXIST);
        }
        room_for(ENTRY_BYTES + 2 * name.len()).map_err(|_| Errno::ENOSPC)?;
        self.touch()?;
        self.keep();
        let mut dir = dir.borrow_mut();
        let over_lower = dir.hides_lower(name);
        dir.put(name, node.clone(), over_lower);
        drop(dir);
        self.count_subdirs()
    }

    fn count_subdirs(&self) -> Result<()> {
        let subdirs = self.dir()?.borrow().subdirs;
        self.change(|meta| {
            if meta.nlink > 0 {
                meta.nlink = subdirs.saturating_add(2);
            }
        })
    }

    pub(super) fn link_entry(&self, name: &[u8], target: &InodeRef) -> Result<()> {
        let target = MemInode::of(target)?;
        if !Arc::ptr_eq(&target.fs, &self.fs) {
            return Err(Errno::EXDEV);
        }
        room_for(ENTRY_BYTES + 2 * name.len()).map_err(|_| Errno::ENOSPC)?;
        target.own_meta()?;
        let now = timestamp();
        target.change(|meta| {
            if meta.nlink == 0 && !meta.linkable {
                return Err(Errno::ENOENT);
            }
            meta.nlink = meta.nlink.checked_add(1).ok_or(Errno::EMLINK)?;
            meta.ctime = now;
            Ok(())
        })??;
        self.add_entry(name, &target)
    }

    /// Whether no name is left.
    fn is_empty(&self) -> Result<bool> {
        let mut empty = true;
        self.list(0, &mut |_| {
            empty = false;
            false
        })?;
        Ok(empty)
    }

    pub(super) fn unlink_entry(&self, name: &[u8], directory: bool) -> Result<()> {
        let node = self.entry(name)?;
        match (directory, node.kind() == FileKind::Directory) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            (true, true) if !node.is_empty()? => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        // A name that stays as a mark over the lower one's takes memory.
        if self.lower.is_some() {
            room_for(ENTRY_BYTES + name.len()).map_err(|_| Errno::ENOSPC)?;
        }
        node.drop_name()?;
        self.touch()?;
        self.keep();
        self.dir()?.borrow_mut().take(name, true);
        self.count_subdirs()
    }

    /// One name less.
    fn drop_name(&self) -> Result<()> {
        let now = timestamp();
        let is_dir = self.kind() == FileKind::Directory;
        self.own_meta()?;
        self.change(|meta| {
            meta.nlink = if is_dir { 0 } else { meta.nlink.saturating_sub(1) };
            meta.ctime = now;
        })
    }

    pub(super) fn rename_entry(&self, name: &[u8], to: &MemInode, new_name: &[u8], flags: u32) -> Result<()> {
        if flags & abi::RENAME_WHITEOUT != 0 {
            return Err(Errno::EINVAL);
        }
        if !Arc::ptr_eq(&to.fs, &self.fs) {
            return Err(Errno::EXDEV);
        }
        let node = self.entry(name)?;
        let target = match to.entry(new_name) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(e) => return Err(e),
        };
        // Errors first: nothing may be half done.
        node.own_meta()?;
        self.touch()?;
        to.touch()?;
        if let Some(target) = &target {
            target.own_meta()?;
        }
        self.keep();
        to.keep();
        if flags & abi::RENAME_EXCHANGE != 0 {
            let target = target.ok_or(Errno::ENOENT)?;
            let hidden = self.covers(name, true)?;
            self.dir()?.borrow_mut().put(name, target.clone(), hidden);
            let hidden = to.covers(new_name, true)?;
            to.dir()?.borrow_mut().put(new_name, node.clone(), hidden);
            target.touch_ctime()?;
        } else {
            if let Some(target) = &target {
                if target.kind() == FileKind::Directory && !target.is_empty()? {
                    return Err(Errno::ENOTEMPTY);
                }
                target.drop_name()?;
            }
            let hidden = to.covers(new_name, target.is_some())?;
            self.dir()?.borrow_mut().take(name, true);
            to.dir()?.borrow_mut().put(new_name, node.clone(), hidden);
        }
        self.count_subdirs()?;
        to.count_subdirs()?;
        node.touch_ctime()
    }

    /// Whether an entry of this name covers a lower one; `exists` says whether the name was found,
    /// here or there.
    fn covers(&self, name: &[u8], exists: bool) -> Result<bool> {
        let dir = self.dir()?.borrow();
        Ok(dir.entries.get(name).map_or(exists, |entry| entry.over_lower))
    }

    fn touch_ctime(&self) -> Result<()> {
        let now = timestamp();
        self.change(|meta| meta.ctime = now)
    }

    /// All names: those held here, then what shows through.
    pub(super) fn list(&self, from: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        let mut position = 0;
        let mut full = false;
        let mut give = |ino: u64, kind: u8, name: &[u8]| {
            position += 1;
            if position > from && !full {
                full = !emit(&DirEntry { ino, next: position, kind, name });
            }
            !full
        };
        let mut last: Option<Box<[u8]>> = None;
        loop {
            let batch = self.dir()?.borrow().batch_after(last.as_deref());
            let Some((name, _)) = batch.last() else { break };
            last = Some(name.clone());
            for (name, node) in &batch {
                let Some(node) = node else { continue };
                if !give(node.attr()?.ino, node.kind().dirent_type(), name) {
                    return Ok(());
                }
            }
        }
        let Some(lower) = &self.lower else { return Ok(()) };
        let dev = lower.attr()?.dev;
        lower.read_dir(0, &mut |entry| {
            if self.dir().is_ok_and(|dir| dir.borrow().entries.contains_key(entry.name)) {
                return true;
            }
            give(self.fs.map_ino(dev, entry.ino), entry.kind, entry.name)
        })
    }
}
