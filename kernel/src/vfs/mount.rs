//! Mounts: which file system's tree shows where.
//!
//! There is one tree for the whole guest. A mount shows a directory (or a file) of a file system
//! over a place of another mount.

use super::dentry::Dentry;
use super::inode::InodeRef;
use super::path::Path;
use crate::lock::KCell;
use crate::sched::preempt_point;
use crate::{Errno, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A file system that can be mounted.
pub trait FileSystem: Send + Sync {
    /// As mount(2) and /proc/filesystems name it.
    fn kind(&self) -> &'static str;

    fn root(&self) -> InodeRef;

    fn statfs(&self) -> Result<StatFs>;

    /// Options of its own for /proc/mounts, each with a comma in front.
    fn options(&self) -> String {
        String::new()
    }

    /// Brings changes to what survives the guest (sync(2)).
    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// What statfs(2) tells of a file system; sizes in blocks.
#[derive(Clone, Copy, Default, Debug)]
pub struct StatFs {
    /// The file system's magic number.
    pub magic: u64,
    pub block_size: u64,
    pub blocks: u64,
    pub free: u64,
    /// Free for those without privileges.
    pub available: u64,
    pub files: u64,
    pub files_free: u64,
    pub name_max: u64,
}

bitflags::bitflags! {
    /// MS_* of mount(2) that belong to a mount.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MountFlags: u64 {
        const RDONLY = abi::MS_RDONLY;
        const NOSUID = abi::MS_NOSUID;
        const NODEV = abi::MS_NODEV;
        const NOEXEC = abi::MS_NOEXEC;
        const NOATIME = abi::MS_NOATIME;
        const NODIRATIME = abi::MS_NODIRATIME;
        const RELATIME = abi::MS_RELATIME;
    }
}

pub struct Mount {
    pub id: u32,
    pub fs: Arc<dyn FileSystem>,
    /// What of the file system it shows.
    pub root: Arc<Dentry>,
    /// The device column of /proc/mounts.
    pub source: Vec<u8>,
    flags: KCell<MountFlags>,
    place: KCell<Option<Path>>,
}

#[derive(Default)]
struct Table {
    by_id: BTreeMap<u32, Arc<Mount>>,
    /// By the mount they are on, and the dentry.
    by_place: BTreeMap<(u32, usize), Arc<Mount>>,
    root: Option<Path>,
}

static TABLE: KCell<Table> = KCell::new(Table { by_id: BTreeMap::new(), by_place: BTreeMap::new(), root: None });
static NEXT_ID: AtomicU32 = AtomicU32::new(20);

/// fs.mount-max. A walk over a place passes all the mounts that lie over each other there, in one
/// go.
pub const MOUNT_MAX: usize = 20_000;
/// References the table itself holds on a mount that is attached.
const TABLE_REFERENCES: usize = 2;

impl Mount {
    /// A mount of a whole file system that is nowhere yet.
    pub fn new(fs: Arc<dyn FileSystem>, source: &[u8], flags: MountFlags) -> Arc<Mount> {
        let root = Dentry::root(fs.root());
        Mount::of_dentry(fs, root, source, flags)
    }

    fn of_dentry(fs: Arc<dyn FileSystem>, root: Arc<Dentry>, source: &[u8], flags: MountFlags) -> Arc<Mount> {
        let (flags, place) = (KCell::new(flags), KCell::new(None));
        Arc::new(Mount { id: NEXT_ID.fetch_add(1, Relaxed), fs, root, source: source.to_vec(), flags, place })
    }

    /// A mount that shows what is at `path` a second time.
    pub fn bind(path: &Path) -> Arc<Mount> {
        let mount = &path.mount;
        Mount::of_dentry(mount.fs.clone(), path.dentry.clone(), &mount.source, mount.flags())
    }

    pub fn flags(&self) -> MountFlags {
        self.flags.get()
    }

    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.set(flags);
    }

    pub fn is_read_only(&self) -> bool {
        self.flags().contains(MountFlags::RDONLY)
    }

    /// EROFS when nothing may be changed through this mount.
    pub fn want_write(&self) -> Result<()> {
        if self.is_read_only() { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// What it is mounted on; None for the root, and for what is mounted nowhere.
    pub fn place(&self) -> Option<Path> {
        self.place.cloned()
    }

    pub fn root_path(self: &Arc<Self>) -> Path {
        Path { mount: self.clone(), dentry: self.root.clone() }
    }

    fn children(&self) -> Vec<Arc<Mount>> {
        let table = TABLE.borrow();
        table.by_place.range((self.id, 0)..=(self.id, usize::MAX)).map(|(_, mount)| mount.clone()).collect()
    }
}

impl Drop for Mount {
    /// With the last mount of a file system go the names that are cached of it: they would keep its
    /// files.
    fn drop(&mut self) {
        if Arc::strong_count(&self.fs) > 1 {
            return;
        }
        let mut top = self.root.clone();
        while let Some(parent) = top.parent() {
            top = parent;
        }
        top.prune();
    }
}

fn key(place: &Path) -> (u32, usize) {
    (place.mount.id, Arc::as_ptr(&place.dentry) as usize)
}

/// The mount on a place.
pub fn mounted_at(place: &Path) -> Option<Arc<Mount>> {
    TABLE.borrow().by_place.get(&key(place)).cloned()
}

/// Makes `mount` the root of the tree. Once, at boot.
pub fn set_root(mount: &Arc<Mount>) {
    let mut table = TABLE.borrow_mut();
    table.by_id.insert(mount.id, mount.clone());
    table.root = Some(mount.root_path());
}

/// The root of the tree.
pub fn root() -> Path {
    TABLE.borrow().root.clone().expect("the root was mounted at boot")
}

/// Shows `mount` over `place`.
///
/// # Errors
/// ENOTDIR when one of them is a directory and the other is not; ENOENT when the place was deleted;
/// EINVAL when it is in a mount that is nowhere itself; ENOSPC when there are too many mounts;
/// ENOMEM without memory.
pub fn attach(mount: &Arc<Mount>, place: &Path) -> Result<()> {
    if mount.root.is_dir() != place.is_dir() {
        return Err(Errno::ENOTDIR);
    }
    if place.dentry.is_deleted() {
        return Err(Errno::ENOENT);
    }
    // About what a mount takes.
    crate::mm::pressure::room_for(2048)?;
    let mut place = place.clone();
    place.descend();
    if place.mount.place.borrow().is_none()
        && TABLE.borrow().root.as_ref().is_none_or(|root| root.mount.id != place.mount.id)
    {
        return Err(Errno::EINVAL);
    }
    if TABLE.borrow().by_id.len() >= MOUNT_MAX {
        return Err(Errno::ENOSPC);
    }
    place.dentry.mounts.fetch_add(1, Relaxed);
    mount.place.set(Some(place.clone()));
    let mut table = TABLE.borrow_mut();
    table.by_id.insert(mount.id, mount.clone());
    table.by_place.insert(key(&place), mount.clone());
    Ok(())
}

/// Takes a mount out of the tree.
///
/// # Errors
/// EINVAL for what is not mounted; EBUSY when it is in use and `lazy` does not say to wait for that
/// to end.
pub fn detach(mount: &Arc<Mount>, lazy: bool) -> Result<()> {
    let Some(place) = mount.place() else { return Err(Errno::EINVAL) };
    let children = mount.children();
    if !lazy && (!children.is_empty() || Arc::strong_count(mount) > TABLE_REFERENCES + 1) {
        return Err(Errno::EBUSY);
    }
    take_off(mount, &place);
    // What was mounted on it goes too, however deep. Nothing can be mounted on what was taken off.
    let mut pending = children;
    while let Some(mount) = pending.pop() {
        if let Some(place) = mount.place() {
            take_off(&mount, &place);
            pending.extend(mount.children());
        }
        preempt_point();
    }
    Ok(())
}

fn take_off(mount: &Mount, place: &Path) {
    let mut table = TABLE.borrow_mut();
    let listed = (table.by_id.remove(&mount.id), table.by_place.remove(&key(place)));
    drop(table);
    drop(listed);
    place.dentry.mounts.fetch_sub(1, Relaxed);
    mount.place.set(None);
}

/// All mounts, in the order they were made.
pub fn all() -> Vec<Arc<Mount>> {
    TABLE.borrow().by_id.values().cloned().collect()
}
