//! Who watches an open file for longer than one call: epoll.

use super::file::OpenFile;
use crate::lock::KCell;
use std::any::Any;
use std::sync::{Arc, Weak};

pub trait Watcher: Any + Send + Sync {
    /// The file's last descriptor was closed. It is on no list any more.
    fn file_closed(&self, file: &OpenFile);
}

/// An open file's list of them. When the file goes, they are told.
#[derive(Default)]
pub struct Watchers(KCell<Vec<Weak<dyn Watcher>>>);

impl Watchers {
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub fn add(&self, watcher: &Arc<dyn Watcher>) {
        self.0.borrow_mut().push(Arc::downgrade(watcher));
    }

    pub fn remove(&self, watcher: &dyn Watcher) {
        self.0.borrow_mut().retain(|known| !std::ptr::addr_eq(known.as_ptr(), watcher));
    }

    /// At most `count` of them from the `from`th on, those that are gone left out; none at the end
    /// of the list.
    pub fn batch(&self, from: usize, count: usize) -> Option<Vec<Arc<dyn Watcher>>> {
        let all = self.0.borrow();
        let part = all.get(from..)?;
        if part.is_empty() {
            return None;
        }
        Some(part.iter().take(count).filter_map(Weak::upgrade).collect())
    }

    pub(super) fn file_closed(&self, file: &OpenFile) {
        if !self.is_empty() {
            self.0.take().iter().filter_map(Weak::upgrade).for_each(|watcher| watcher.file_closed(file));
        }
    }
}
