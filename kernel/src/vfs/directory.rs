//! Open directories: what getdents64(2) reads, the same for every file system.
//!
//! The entries are taken once, when reading starts, so positions stay what they were while names
//! come and go.

use super::file::{DirEntry, FileOps, OpenFile};
use super::path::Path;
use crate::lock::KCell;
use crate::mm::IoBuf;
use crate::mm::pressure::room_for;
use crate::sched::killable_point;
use crate::{Errno, Result};
use std::any::Any;
use std::sync::Arc;

pub struct Directory {
    path: Path,
    entries: KCell<Option<Arc<Entries>>>,
}

#[derive(Default)]
struct Entries {
    list: Vec<(u64, u8, std::ops::Range<usize>)>,
    names: Vec<u8>,
}

impl Directory {
    pub fn new(path: Path) -> Arc<Directory> {
        Arc::new(Directory { path, entries: KCell::new(None) })
    }

    fn read_entries(&self) -> Result<Arc<Entries>> {
        let mut entries = Entries::default();
        let (mut allowed, mut result) = (0, Ok(()));
        self.path.inode().read_dir(0, &mut |entry| {
            if entries.list.len() >= allowed {
                // The list is kept as long as the directory is open: room for the next part of it.
                allowed += BATCH;
                result = room_for(BATCH * ENTRY).and_then(|()| killable_point());
                if result.is_err() {
                    return false;
                }
            }
            let start = entries.names.len();
            entries.names.extend_from_slice(entry.name);
            entries.list.push((entry.ino, entry.kind, start..entries.names.len()));
            true
        })?;
        result.map(|()| Arc::new(entries))
    }
}

/// So many entries are read between two preemption points, and about what one takes.
const BATCH: usize = 256;
const ENTRY: usize = 64;

/// "." and "..".
const DOTS: u64 = 2;

impl FileOps for Directory {
    fn read(&self, _file: &OpenFile, _buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn seekable(&self) -> bool {
        true
    }

    fn seek_special(&self, _file: &OpenFile, offset: i64, whence: i32) -> Result<u64> {
        self.path.inode().seek_dir(offset, whence)
    }

    fn fsync(&self, _file: &OpenFile, _data_only: bool) -> Result<()> {
        Ok(())
    }

    fn read_dir(&self, file: &OpenFile, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> Result<()> {
        if self.path.dentry.is_deleted() {
            return Err(Errno::ENOENT);
        }
        let from = file.position.get();
        let entries = match self.entries.cloned() {
            Some(entries) if from != 0 => entries,
            _ => {
                let entries = self.read_entries()?;
                self.entries.set(Some(entries.clone()));
                entries
            }
        };
        const DIR: u8 = abi::DT_DIR;
        if from == 0 {
            let ino = self.path.inode().attr()?.ino;
            if !emit(&DirEntry { ino, next: 1, kind: DIR, name: b"." }) {
                return Ok(());
            }
        }
        if from <= 1 {
            let mut parent = self.path.clone();
            parent.ascend(None);
            let ino = parent.inode().attr()?.ino;
            if !emit(&DirEntry { ino, next: DOTS, kind: DIR, name: b".." }) {
                return Ok(());
            }
        }
        let skip = usize::try_from(from.saturating_sub(DOTS)).unwrap_or(usize::MAX);
        for (i, (ino, kind, name)) in entries.list.iter().enumerate().skip(skip) {
            let entry =
                DirEntry { ino: *ino, next: i as u64 + DOTS + 1, kind: *kind, name: &entries.names[name.clone()] };
            if !emit(&entry) {
                break;
            }
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
