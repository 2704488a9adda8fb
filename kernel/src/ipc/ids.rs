//! The numbers of a family's objects.
//!
//! A number is an index and a count of how often the indices went round: one that was removed is
//! not soon another object's.

use super::Object;
use crate::creds::Creds;
use crate::{Errno, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Indices, by which numbers of the same index differ.
const INDICES: u32 = 1 << 15;
/// How often the indices go round before numbers come again.
const ROUNDS: u32 = 1 << 16;

enum Slot<T> {
    Kept(Arc<T>),
    /// Removed, but still in use: it is there for as long as it is used.
    Doomed(Weak<T>),
}

impl<T> Slot<T> {
    fn get(&self) -> Option<Arc<T>> {
        match self {
            Slot::Kept(object) => Some(object.clone()),
            Slot::Doomed(object) => object.upgrade(),
        }
    }
}

pub struct Ids<T> {
    slots: BTreeMap<u32, (i32, Slot<T>)>,
    /// Where the search for a free index begins, and the round it is.
    next: u32,
    round: u32,
}

impl<T: Object> Ids<T> {
    pub const fn empty() -> Ids<T> {
        Ids { slots: BTreeMap::new(), next: 0, round: 0 }
    }

    /// Numbers an object; ENOSPC when there are `limit` already.
    pub fn insert(&mut self, object: Arc<T>, limit: usize) -> Result<i32> {
        self.slots.retain(|_, (_, slot)| !matches!(slot, Slot::Doomed(object) if object.strong_count() == 0));
        if self.slots.len() >= limit.min(INDICES as usize) {
            return Err(Errno::ENOSPC);
        }
        let index = loop {
            let index = self.next;
            self.next = (index + 1) % INDICES;
            if self.next == 0 {
                self.round = (self.round + 1) % ROUNDS;
            }
            if !self.slots.contains_key(&index) {
                break index;
            }
        };
        let id = (self.round << 15 | index).cast_signed();
        self.slots.insert(index, (id, Slot::Kept(object)));
        Ok(id)
    }

    /// The object with this number; EINVAL when there is none (any more).
    pub fn get(&self, id: i32) -> Result<Arc<T>> {
        let index = u32::try_from(id).map_err(|_| Errno::EINVAL)? % INDICES;
        self.at(index).filter(|&(found, _)| found == id).map(|(_, object)| object).ok_or(Errno::EINVAL)
    }

    /// The object with this number, for those who may do what `wanted` says; else EACCES.
    pub fn permitted(&self, id: i32, wanted: u32, creds: &Creds) -> Result<Arc<T>> {
        let object = self.get(id)?;
        object.perm().check(wanted, creds)?;
        Ok(object)
    }

    /// The object with this number, for those who may change and remove it; else EPERM.
    pub fn owned(&self, id: i32, creds: &Creds) -> Result<Arc<T>> {
        let object = self.get(id)?;
        object.perm().check_owner(creds)?;
        Ok(object)
    }

    /// The number of the object that shmget(2) and its like ask for; None if one is to be made.
    /// `fits` judges what the family wants of it.
    pub fn known(
        &self,
        key: i32,
        flags: i32,
        creds: &Creds,
        fits: impl FnOnce(&T) -> Result<()>,
    ) -> Result<Option<i32>> {
        if key == abi::IPC_PRIVATE {
            return Ok(None);
        }
        let Some((id, object)) = self.find(key) else {
            return if flags & abi::IPC_CREAT == 0 { Err(Errno::ENOENT) } else { Ok(None) };
        };
        if flags & abi::IPC_CREAT != 0 && flags & abi::IPC_EXCL != 0 {
            return Err(Errno::EEXIST);
        }
        fits(&object)?;
        object.perm().check(flags.cast_unsigned(), creds)?;
        Ok(Some(id))
    }

    /// The number and the object at an index.
    pub fn at(&self, index: u32) -> Option<(i32, Arc<T>)> {
        let (id, slot) = self.slots.get(&index)?;
        Some((*id, slot.get()?))
    }

    /// The object with this key, which is not 0.
    fn find(&self, key: i32) -> Option<(i32, Arc<T>)> {
        let mut kept = self.slots.values().filter_map(|(id, slot)| Some((*id, slot.get()?)));
        kept.find(|(_, object)| object.perm().key == key)
    }

    /// Takes the number from an object that is not kept any more, and gives it back. It is found as
    /// long as somebody else uses it.
    pub fn doom(&mut self, id: i32) -> Option<Arc<T>> {
        let (_, slot) = self.slots.get_mut(&(id.cast_unsigned() % INDICES)).filter(|(found, _)| *found == id)?;
        let object = slot.get()?;
        *slot = Slot::Doomed(Arc::downgrade(&object));
        Some(object)
    }

    /// Takes an object out, whoever still uses it.
    pub fn remove(&mut self, id: i32) -> Option<Arc<T>> {
        let object = self.get(id).ok()?;
        self.slots.remove(&(id.cast_unsigned() % INDICES));
        Some(object)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// All objects, by index.
    pub fn all(&self) -> Vec<(i32, Arc<T>)> {
        self.slots.values().filter_map(|(id, slot)| Some((*id, slot.get()?))).collect()
    }

    /// The highest index in use.
    pub fn highest(&self) -> u32 {
        self.slots.keys().next_back().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Perm;
    use super::*;

    struct Thing;

    impl Object for Thing {
        fn perm(&self) -> Perm {
            Perm { key: 7, uid: 0, gid: 0, creator_uid: 0, creator_gid: 0, mode: 0 }
        }
    }

    #[test]
    fn a_removed_object_lives_as_long_as_it_is_used() {
        let mut ids = Ids::empty();
        let id = ids.insert(Arc::new(Thing), 2).unwrap();
        let user = ids.get(id).unwrap();
        drop(ids.doom(id));
        assert!(ids.get(id).is_ok());
        drop(user);
        assert_eq!(ids.get(id).err(), Some(Errno::EINVAL));
        assert!(ids.find(7).is_none());
    }

    #[test]
    fn numbers_are_bounded_and_do_not_come_again_soon() {
        let mut ids = Ids::empty();
        let first = ids.insert(Arc::new(Thing), 1).unwrap();
        assert_eq!(ids.insert(Arc::new(Thing), 1).err(), Some(Errno::ENOSPC));
        for _ in 0..INDICES {
            let last = ids.all()[0].0;
            drop(ids.doom(last));
            assert_ne!(ids.insert(Arc::new(Thing), 1).unwrap(), first);
        }
        assert_eq!(ids.get(-1).err(), Some(Errno::EINVAL));
    }
}
