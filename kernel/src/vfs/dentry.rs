//! The dentry cache: the tree of names as far as it was looked at, names that do not exist
//! included.
//!
//! Nearly all work of a build is asking for names, most of which do not exist. So every answer of a
//! file system is kept: a directory's dentry holds what is known of each name. The file system says
//! with [`Inode::names_version`] whether that still holds: a number that changes when names changed
//! without the core's doing (on the host, say).
//!
//! A dentry is a name that exists, and its inode never changes; a name that does not exist is only
//! an entry of its parent.
//! [`Inode::names_version`]: super::inode::Inode::names_version

use super::inode::{FileKind, InodeRef};
use super::notify;
use crate::lock::KCell;
use crate::mm::frames;
use crate::{Errno, Result};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};

/// No more dentries than this are kept when nobody uses them.
const KEPT: usize = 1 << 16;
/// No more names that do not exist than this are remembered in all directories together.
const ABSENT_KEPT_TOTAL: usize = 1 << 18;
/// A directory remembers at most so many names that do not exist.
const ABSENT_KEPT: usize = 4096;
/// A small guest keeps less: for each of either there are so many bytes of its memory.
const MEMORY_FOR_ONE: u64 = 8192;
/// How many dentries are looked at when one more is remembered than are kept.
const LOOKS: usize = 2;

/// One name of one file, in a directory (but for the root of a file system, which has neither).
pub struct Dentry {
    pub inode: InodeRef,
    place: KCell<Place>,
    children: KCell<Children>,
    /// How many mounts cover it.
    pub mounts: AtomicU32,
    /// Used since eviction last looked.
    used: AtomicBool,
}

#[derive(Default)]
struct Place {
    parent: Option<Arc<Dentry>>,
    name: Arc<[u8]>,
    deleted: bool,
}

#[derive(Default)]
struct Children {
    by_name: HashMap<Arc<[u8]>, Child, BuildHasherDefault<NameHasher>>,
    absent: usize,
    /// The directory is in `ABSENT`.
    listed: bool,
}

struct Child {
    /// None: the name does not exist.
    dentry: Option<Arc<Dentry>>,
    /// The directory's `names_version` when this was found.
    version: u64,
}

static CACHE: KCell<VecDeque<Weak<Dentry>>> = KCell::new(VecDeque::new());
/// The directories that remember names that do not exist, those longest here first, and how many
/// names that are.
static ABSENT: KCell<(VecDeque<Weak<Dentry>>, usize)> = KCell::new((VecDeque::new(), 0));

/// How many of either a guest of this size keeps, of which it keeps `most` at most.
fn kept(most: usize) -> usize {
    static AFFORDED: OnceLock<usize> = OnceLock::new();
    (*AFFORDED.get_or_init(|| ((frames::limit() / MEMORY_FOR_ONE) as usize).max(ABSENT_KEPT))).min(most)
}

impl Dentry {
    /// The root of a file system, or a file that never had a name.
    pub fn root(inode: InodeRef) -> Arc<Dentry> {
        Dentry::new(inode, Place::default())
    }

    /// A file without a name that is shown with one all the same (memfd, O_TMPFILE): deleted from
    /// the beginning.
    pub fn nameless(inode: InodeRef, parent: Option<Arc<Dentry>>, name: &[u8]) -> Arc<Dentry> {
        Dentry::new(inode, Place { parent, name: name.into(), deleted: true })
    }

    fn new(inode: InodeRef, place: Place) -> Arc<Dentry> {
        Arc::new(Dentry {
            inode,
            place: KCell::new(place),
            children: KCell::default(),
            mounts: AtomicU32::new(0),
            used: AtomicBool::new(false),
        })
    }

    pub fn is_dir(&self) -> bool {
        self.inode.kind() == FileKind::Directory
    }

    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.place.borrow().parent.clone()
    }

    pub fn name(&self) -> Arc<[u8]> {
        self.place.borrow().name.clone()
    }

    /// Whether the name is gone, while something still uses the file.
    pub fn is_deleted(&self) -> bool {
        self.place.borrow().deleted
    }

    /// Whether `other` is this dentry or lies above it.
    pub fn is_within(self: &Arc<Self>, other: &Arc<Dentry>) -> bool {
        let mut at = Some(self.clone());
        while let Some(dentry) = at {
            if Arc::ptr_eq(&dentry, other) {
                return true;
            }
            at = dentry.parent();
        }
        false
    }

    /// The entry `name` of this directory; None when there is none.
    ///
    /// # Errors
    /// ENOTDIR when this is no directory, and what else the file system says.
    pub fn child(self: &Arc<Self>, name: &[u8]) -> Result<Option<Arc<Dentry>>> {
        let version = self.inode.names_version();
        if let Some(version) = version
            && let Some(child) = self.children.borrow().by_name.get(name)
            && child.version == version
        {
            if let Some(dentry) = &child.dentry {
                dentry.used.store(true, Relaxed);
            }
            return Ok(child.dentry.clone());
        }
        match self.inode.lookup(name) {
            Ok(inode) => {
                let version = version.unwrap_or(0);
                if let Some(child) = self.children.borrow_mut().by_name.get_mut(name)
                    && let Some(dentry) = &child.dentry
                    // What is mounted on a directory stays there, whatever became of the name.
                    && (Arc::ptr_eq(&dentry.inode, &inode) || dentry.mounts.load(Relaxed) > 0)
                {
                    child.version = version;
                    return Ok(Some(dentry.clone()));
                }
                Ok(Some(self.insert(name, inode, version)))
            }
            Err(Errno::ENOENT) => {
                match version {
                    Some(version) => self.set_absent(name, version),
                    None => self.forget(name),
                }
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// A new entry was made by the core.
    pub fn add(self: &Arc<Self>, name: &[u8], inode: InodeRef) -> Arc<Dentry> {
        self.insert(name, inode, self.inode.names_version().unwrap_or(0))
    }

    fn insert(self: &Arc<Self>, name: &[u8], inode: InodeRef, version: u64) -> Arc<Dentry> {
        let name: Arc<[u8]> = name.into();
        let dentry = Dentry::new(inode, Place { parent: Some(self.clone()), name: name.clone(), deleted: false });
        self.put(name, Child { dentry: Some(dentry.clone()), version });
        remember(&dentry);
        dentry
    }

    fn put(&self, name: Arc<[u8]>, child: Child) -> Option<Arc<Dentry>> {
        let mut children = self.children.borrow_mut();
        let absent = child.dentry.is_none();
        let old = children.by_name.insert(name, child);
        children.absent += usize::from(absent);
        ABSENT.borrow_mut().1 += usize::from(absent);
        match old {
            Some(Child { dentry: None, .. }) => {
                children.absent -= 1;
                ABSENT.borrow_mut().1 -= 1;
                None
            }
            Some(old) => old.dentry,
            None => None,
        }
    }

    fn set_absent(self: &Arc<Self>, name: &[u8], version: u64) {
        if self.children.borrow().absent >= ABSENT_KEPT {
            self.forget_absent();
        }
        let dropped = self.put(name.into(), Child { dentry: None, version });
        drop(dropped);
        if !std::mem::replace(&mut self.children.borrow_mut().listed, true) {
            ABSENT.borrow_mut().0.push_back(Arc::downgrade(self));
        }
        if ABSENT.borrow().1 > kept(ABSENT_KEPT_TOTAL) {
            forget_absent_of_oldest();
        }
    }

    /// Forgets which names do not exist.
    fn forget_absent(&self) {
        let mut children = self.children.borrow_mut();
        if children.absent > 0 {
            children.by_name.retain(|_, child| child.dentry.is_some());
            children.by_name.shrink_to_fit();
            ABSENT.borrow_mut().1 -= std::mem::take(&mut children.absent);
        }
    }

    fn forget(&self, name: &[u8]) {
        let old = {
            let mut children = self.children.borrow_mut();
            let old = children.by_name.remove(name);
            if matches!(old, Some(Child { dentry: None, .. })) {
                children.absent -= 1;
                ABSENT.borrow_mut().1 -= 1;
            }
            old
        };
        drop(old);
    }

    /// The core removed this dentry's name.
    pub fn removed(self: &Arc<Self>) {
        let (parent, name) = {
            let mut place = self.place.borrow_mut();
            place.deleted = true;
            (place.parent.clone(), place.name.clone())
        };
        let Some(parent) = parent else { return };
        match parent.inode.names_version() {
            Some(version) => parent.set_absent(&name, version),
            None => parent.forget(&name),
        }
    }

    /// The core moved this dentry to a new name. What had that name was removed, or, with
    /// `exchange`, comes to the old place.
    pub fn moved(self: &Arc<Self>, to: &Arc<Dentry>, name: &[u8], exchange: Option<&Arc<Dentry>>) {
        let name: Arc<[u8]> = name.into();
        let (from, old_name) = {
            let place = self.place.borrow();
            (place.parent.clone(), place.name.clone())
        };
        let Some(from) = from else { return };
        from.forget(&old_name);
        to.forget(&name);
        for (dentry, parent, name) in
            [Some((self, to, &name)), exchange.map(|other| (other, &from, &old_name))].into_iter().flatten()
        {
            let old = dentry.place.replace(Place { parent: Some(parent.clone()), name: name.clone(), deleted: false });
            drop(old);
            let version = parent.inode.names_version().unwrap_or(0);
            parent.put(name.clone(), Child { dentry: Some(dentry.clone()), version });
        }
        if exchange.is_none()
            && let Some(version) = from.inode.names_version()
            && !(Arc::ptr_eq(&from, to) && old_name == name)
        {
            from.set_absent(&old_name, version);
        }
    }

    /// Nobody uses it any more. Returns the parent, which it held.
    fn end(&self) -> Option<Arc<Dentry>> {
        let place = self.place.take();
        if place.deleted {
            notify::unused(&self.inode);
        }
        place.parent
    }

    /// Forgets what is cached below, where nobody uses it.
    pub fn prune(self: &Arc<Self>) {
        let mut pending = vec![self.clone()];
        while let Some(dentry) = pending.pop() {
            dentry.forget_absent();
            let children = std::mem::take(&mut dentry.children.borrow_mut().by_name);
            pending.extend(children.into_values().filter_map(|child| child.dentry));
        }
    }

    /// Drops it from its parent if nothing but the cache holds it. `self` is one of the two
    /// references it then has.
    fn evict(self: &Arc<Self>) -> bool {
        let unused =
            Arc::strong_count(self) == 2 && !self.used.swap(false, Relaxed) && self.mounts.load(Relaxed) == 0 && {
                let children = self.children.borrow();
                children.by_name.len() == children.absent
            };
        if unused && let Some(parent) = self.parent() {
            parent.forget(&self.name());
        }
        unused
    }
}

/// Keeps a new dentry in the cache, at the cost of one that was not used for long.
fn remember(dentry: &Arc<Dentry>) {
    let mut candidates: [Option<Arc<Dentry>>; LOOKS] = [None, None];
    {
        let mut cache = CACHE.borrow_mut();
        cache.push_back(Arc::downgrade(dentry));
        if cache.len() > kept(KEPT) {
            candidates = std::array::from_fn(|_| cache.pop_front().and_then(|weak| weak.upgrade()));
        }
    }
    for candidate in candidates.iter().flatten() {
        if !candidate.is_deleted() && !candidate.evict() {
            CACHE.borrow_mut().push_back(Arc::downgrade(candidate));
        }
    }
}

/// Too many names that do not exist are remembered: the directory that has done so for longest
/// begins anew.
fn forget_absent_of_oldest() {
    let oldest = ABSENT.borrow_mut().0.pop_front();
    if let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade()) {
        oldest.children.borrow_mut().listed = false;
        oldest.forget_absent();
    }
}

/// Forgets all names that nobody uses: memory is short.
pub fn shrink() {
    let directories = ABSENT.borrow().0.len();
    (0..directories).for_each(|_| forget_absent_of_oldest());
    let cached = CACHE.take();
    let mut kept = VecDeque::new();
    // The youngest first: what is in a directory is younger than the directory.
    for weak in cached.into_iter().rev() {
        let Some(dentry) = weak.upgrade() else { continue };
        dentry.used.store(false, Relaxed);
        if !dentry.is_deleted() && !dentry.evict() {
            kept.push_front(weak);
        }
    }
    // What was dropped may have remembered others.
    CACHE.borrow_mut().extend(kept);
}

impl Drop for Dentry {
    /// Drops the dentries above that only this one held, one after the other: a guest may nest
    /// directories deeper than a kernel stack.
    fn drop(&mut self) {
        self.forget_absent();
        let mut next = self.end();
        while let Some(dentry) = next.and_then(Arc::into_inner) {
            next = dentry.end();
        }
    }
}

/// A quick hash for file names. A guest that makes names collide slows down its own lookups.
#[derive(Default)]
pub struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hash = self.0;
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
        }
        self.0 = hash;
    }

    fn write_u8(&mut self, _: u8) {}

    fn write_usize(&mut self, n: usize) {
        self.write(&(n as u64).to_le_bytes());
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}
