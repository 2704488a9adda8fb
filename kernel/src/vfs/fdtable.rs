//! File descriptors: the numbers by which a process knows its open files.

use super::file::OpenFile;
use super::locks;
use crate::limits;
use crate::lock::KCell;
use crate::mm::pressure::room_for;
use crate::sched::{current, preempt_point};
use crate::{Errno, Result};
use abi::number::Low;
use std::sync::Arc;

/// So many descriptors are closed or copied between two preemption points.
const BATCH: usize = 256;

/// A process's file descriptors (CLONE_FILES shares them).
#[derive(Default)]
pub struct FdTable {
    slots: KCell<Slots>,
}

#[derive(Default)]
struct Slots {
    entries: Vec<Option<Entry>>,
    /// No number below this is free.
    first_free: usize,
}

#[derive(Clone)]
struct Entry {
    file: Arc<OpenFile>,
    close_on_exec: bool,
}

impl Slots {
    fn lowest_free(&self, from: usize) -> usize {
        let from = from.max(self.first_free);
        let free = self.entries.iter().skip(from).position(Option::is_none);
        free.map_or(self.entries.len().max(from), |at| from + at)
    }

    fn put(&mut self, fd: usize, entry: Entry) -> Option<Entry> {
        if fd >= self.entries.len() {
            self.entries.resize_with(fd + 1, || None);
        }
        if fd == self.first_free {
            self.first_free += 1;
        }
        self.entries[fd].replace(entry)
    }

    fn take(&mut self, fd: usize) -> Option<Entry> {
        let entry = self.entries.get_mut(fd)?.take()?;
        self.first_free = self.first_free.min(fd);
        Some(entry)
    }
}

/// RLIMIT_NOFILE of the current process: no descriptor may be that high.
fn limit() -> usize {
    current().limit(limits::NOFILE).soft.min(1 << 20) as usize
}

impl FdTable {
    pub fn new() -> Arc<FdTable> {
        Arc::default()
    }

    /// The open file of a descriptor; EBADF when there is none.
    pub fn get(&self, fd: i32) -> Result<Arc<OpenFile>> {
        let slots = self.slots.borrow();
        let entry = usize::try_from(fd).ok().and_then(|fd| slots.entries.get(fd)?.as_ref());
        entry.map(|entry| entry.file.clone()).ok_or(Errno::EBADF)
    }

    /// As `get`, but not for descriptors that only name a file (O_PATH), which have no contents to
    /// work with.
    pub fn get_io(&self, fd: i32) -> Result<Arc<OpenFile>> {
        let file = self.get(fd)?;
        if file.flags.get() & abi::O_PATH != 0 { Err(Errno::EBADF) } else { Ok(file) }
    }

    /// Gives an open file the lowest free number; EMFILE at the limit, ENOMEM without memory.
    pub fn install(&self, file: Arc<OpenFile>, close_on_exec: bool) -> Result<i32> {
        self.install_from(0, file, close_on_exec)
    }

    /// EMFILE when `install` would find no number.
    pub fn has_room(&self) -> Result<()> {
        if self.slots.borrow().lowest_free(0) < limit() { Ok(()) } else { Err(Errno::EMFILE) }
    }

    /// As `install`, from `min` on; EINVAL when that is beyond the limit.
    pub fn install_from(&self, min: i32, file: Arc<OpenFile>, close_on_exec: bool) -> Result<i32> {
        let limit = limit();
        let min = usize::try_from(min).map_err(|_| Errno::EINVAL)?;
        if min >= limit && min > 0 {
            return Err(Errno::EINVAL);
        }
        // About what an open file takes.
        self.room_up_to(self.slots.borrow().lowest_free(min), 512)?;
        let mut slots = self.slots.borrow_mut();
        let fd = slots.lowest_free(min);
        if fd >= limit {
            return Err(Errno::EMFILE);
        }
        slots.put(fd, Entry { file, close_on_exec });
        Ok(fd.low_i32())
    }

    /// Gives an open file this number, closing what had it (dup2(2)); EBADF beyond the limit.
    pub fn install_at(&self, fd: i32, file: Arc<OpenFile>, close_on_exec: bool) -> Result<()> {
        let at = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        if at >= limit() {
            return Err(Errno::EBADF);
        }
        self.room_up_to(at, 512)?;
        let old = self.slots.borrow_mut().put(at, Entry { file, close_on_exec });
        if let Some(old) = old {
            closed(self, old);
        }
        Ok(())
    }

    /// ENOMEM when there is no memory for `more` bytes and what the table grows by to hold `fd`.
    fn room_up_to(&self, fd: usize, more: usize) -> Result<()> {
        let growth = (fd + 1).saturating_sub(self.slots.borrow().entries.len());
        room_for(growth * size_of::<Option<Entry>>() + more)
    }

    /// close(2).
    pub fn close(&self, fd: i32) -> Result<()> {
        let entry = usize::try_from(fd).ok().and_then(|fd| self.slots.borrow_mut().take(fd));
        closed(self, entry.ok_or(Errno::EBADF)?);
        Ok(())
    }

    /// Closes all descriptors from `first` to `last`.
    pub fn close_range(&self, first: u32, last: u32) {
        let end = self.slots.borrow().entries.len().min((last as usize).saturating_add(1));
        for fd in first as usize..end {
            let entry = self.slots.borrow_mut().take(fd);
            if let Some(entry) = entry {
                closed(self, entry);
            }
            if fd % BATCH == BATCH - 1 {
                preempt_point();
            }
        }
    }

    pub fn close_on_exec(&self, fd: i32) -> Result<bool> {
        let slots = self.slots.borrow();
        let entry = usize::try_from(fd).ok().and_then(|fd| slots.entries.get(fd)?.as_ref());
        entry.map(|entry| entry.close_on_exec).ok_or(Errno::EBADF)
    }

    pub fn set_close_on_exec(&self, fd: i32, close_on_exec: bool) -> Result<()> {
        let mut slots = self.slots.borrow_mut();
        let entry = usize::try_from(fd).ok().and_then(|fd| slots.entries.get_mut(fd)?.as_mut());
        entry.ok_or(Errno::EBADF)?.close_on_exec = close_on_exec;
        Ok(())
    }

    /// CLOSE_RANGE_CLOEXEC.
    pub fn set_range_close_on_exec(&self, first: u32, last: u32) {
        let mut slots = self.slots.borrow_mut();
        let count = (last as usize).saturating_sub(first as usize).saturating_add(1);
        for entry in slots.entries.iter_mut().skip(first as usize).take(count).flatten() {
            entry.close_on_exec = true;
        }
    }

    /// What execve(2) does: closes the descriptors that are marked for it.
    pub fn exec(&self) {
        let marked: Vec<usize> = {
            let slots = self.slots.borrow();
            let entries = slots.entries.iter().enumerate();
            entries.filter(|(_, e)| e.as_ref().is_some_and(|e| e.close_on_exec)).map(|(fd, _)| fd).collect()
        };
        for (i, fd) in marked.into_iter().enumerate() {
            let entry = self.slots.borrow_mut().take(fd);
            if let Some(entry) = entry {
                closed(self, entry);
            }
            if i % BATCH == BATCH - 1 {
                preempt_point();
            }
        }
    }

    /// A table of its own with the same open files; ENOMEM without memory.
    pub fn duplicate(&self) -> Result<Arc<FdTable>> {
        room_for(self.len() * size_of::<Option<Entry>>())?;
        Ok(self.copy())
    }

    /// As `duplicate`, where it is too late for an error.
    pub fn copy(&self) -> Arc<FdTable> {
        let mut entries = Vec::with_capacity(self.len());
        loop {
            {
                let from = self.slots.borrow();
                let end = from.entries.len().min(entries.len() + BATCH);
                if entries.len() >= end {
                    let slots = Slots { entries, first_free: from.first_free };
                    return Arc::new(FdTable { slots: KCell::new(slots) });
                }
                entries.extend_from_slice(&from.entries[entries.len()..end]);
            }
            preempt_point();
        }
    }

    /// Closes everything, for the last user of the table.
    pub fn clear(&self) {
        self.close_range(0, u32::MAX);
    }

    /// The descriptors in use, in order.
    pub fn numbers(&self) -> Vec<i32> {
        let slots = self.slots.borrow();
        (0..).zip(&slots.entries).filter(|(_, e)| e.is_some()).map(|(fd, _)| fd).collect()
    }

    /// The most descriptors it had so far: all are below.
    pub fn len(&self) -> usize {
        self.slots.borrow().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A descriptor of `table` is gone: gives up the process's record locks, tells the file, and
/// perhaps drops it.
fn closed(table: &FdTable, entry: Entry) {
    locks::descriptor_closed(table, &entry.file);
    entry.file.ops.descriptor_closed(&entry.file);
}

impl Drop for FdTable {
    fn drop(&mut self) {
        let slots = self.slots.take();
        for entry in slots.entries.into_iter().flatten() {
            closed(self, entry);
        }
    }
}
