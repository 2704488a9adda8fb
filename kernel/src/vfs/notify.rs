//! Who watches which file (inotify(7)): the file layer tells of what it did, and the watches of the
//! inodes concerned hear it.

use super::Path;
use super::dentry::Dentry;
use super::file::OpenFile;
use super::inode::{FileKind, InodeRef};
use crate::lock::KCell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};

pub const ACCESS: u32 = abi::IN_ACCESS;
pub const MODIFY: u32 = abi::IN_MODIFY;
pub const ATTRIB: u32 = abi::IN_ATTRIB;
pub const CLOSE_WRITE: u32 = abi::IN_CLOSE_WRITE;
pub const CLOSE_NOWRITE: u32 = abi::IN_CLOSE_NOWRITE;
pub const OPEN: u32 = abi::IN_OPEN;
pub const CREATE: u32 = abi::IN_CREATE;

/// Who hears what a watch sees: an inotify file.
pub trait Listener: Send + Sync {
    /// An event is to be read: the number of the watch, IN_*, what ties it to another one, a name.
    fn push(&self, watch: i32, mask: u32, cookie: u32, name: &[u8]);
    /// Events were lost.
    fn lose_events(&self);
    /// The watch ends, and its reader is told.
    fn forget(&self, watch: &Arc<Watch>);
}

/// The host's watch behind a guest's watch.
pub trait HostWatch: Send + Sync {
    /// Whether the host tells of this event, also if the guest caused it.
    fn told_by_host(&self, event: u32) -> bool;
}

/// Takes in what the host has told, where files of the host are watched.
static HOST_NEWS: OnceLock<fn()> = OnceLock::new();

/// Files of the host are watched: whoever looks at events, or adds to them, calls `take_in` first.
pub fn listen_to_host(take_in: fn()) {
    let _ = HOST_NEWS.set(take_in);
}

/// Takes in what the host has told.
pub fn take_in() {
    if let Some(take_in) = HOST_NEWS.get() {
        take_in();
    }
}

/// One inotify file's interest in one inode, which lists it: the two hold each other until the
/// inotify file, or the file that is watched, goes away.
pub struct Watch {
    pub owner: Weak<dyn Listener>,
    pub descriptor: i32,
    /// IN_* events, and IN_EXCL_UNLINK and IN_ONESHOT.
    pub mask: KCell<u32>,
    pub inode: InodeRef,
    /// The host's watch, where a file of the host is behind it.
    pub host: KCell<Option<Box<dyn HostWatch>>>,
}

/// All watches there are.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Whether anybody watches anything.
#[inline]
pub fn active() -> bool {
    COUNT.load(Relaxed) > 0
}

pub fn add(watch: &Arc<Watch>) {
    COUNT.fetch_add(1, Relaxed);
    watch.inode.state().watches.borrow_mut().get_or_insert_default().push(watch.clone());
}

pub fn remove(watch: &Arc<Watch>) {
    let mut watches = watch.inode.state().watches.borrow_mut();
    let Some(list) = watches.as_mut() else { return };
    let before = list.len();
    list.retain(|known| !Arc::ptr_eq(known, watch));
    COUNT.fetch_sub(before - list.len(), Relaxed);
    if list.is_empty() {
        *watches = None;
    }
}

fn watches_of(inode: &InodeRef) -> Vec<Arc<Watch>> {
    inode.state().watches.borrow().as_ref().map(|list| list.to_vec()).unwrap_or_default()
}

fn send(inode: &InodeRef, event: u32, cookie: u32, name: &[u8], unlinked: bool) {
    for watch in watches_of(inode) {
        if watch.host.borrow().is_some() {
            // In the order in which it happened.
            take_in();
            if watch.host.borrow().is_none() {
                continue;
            }
        }
        let told = watch.host.borrow().as_ref().is_some_and(|host| host.told_by_host(event));
        let excluded = unlinked && watch.mask.get() & abi::IN_EXCL_UNLINK != 0;
        if !told && !excluded {
            deliver(&watch, event, cookie, name);
        }
    }
}

/// Gives an event to a watch that asks for its kind.
pub fn deliver(watch: &Arc<Watch>, event: u32, cookie: u32, name: &[u8]) {
    let mask = watch.mask.get();
    if mask & event & abi::IN_ALL_EVENTS == 0 && event & abi::IN_UNMOUNT == 0 {
        return;
    }
    if let Some(owner) = watch.owner.upgrade() {
        owner.push(watch.descriptor, event, cookie, name);
        if mask & abi::IN_ONESHOT != 0 {
            owner.forget(watch);
        }
    }
}

/// A number that ties the two halves of a rename together.
pub fn new_cookie() -> u32 {
    static COOKIE: AtomicU32 = AtomicU32::new(1);
    COOKIE.fetch_add(1, Relaxed)
}

fn dir_bit(is_dir: bool) -> u32 {
    if is_dir { abi::IN_ISDIR } else { 0 }
}

/// Something happened to the entry `name` of a directory.
pub fn entry(dir: &Arc<Dentry>, event: u32, name: &[u8], is_dir: bool) {
    if active() {
        send(&dir.inode, event | dir_bit(is_dir), 0, name, false);
    }
}

/// Something happened to a file: its own watches and its directory's hear it.
pub fn file(dentry: &Arc<Dentry>, event: u32) {
    if active() {
        let event = event | dir_bit(dentry.is_dir());
        if let Some(parent) = dentry.parent() {
            send(&parent.inode, event, 0, &dentry.name(), dentry.is_deleted());
        }
        send(&dentry.inode, event, 0, b"", false);
    }
}

/// A file has another number of names: only its own watches hear it.
pub fn links_changed(dentry: &Arc<Dentry>) {
    if active() {
        send(&dentry.inode, ATTRIB | dir_bit(dentry.is_dir()), 0, b"", false);
    }
}

/// As `file`, for what was found at `path`. A file without a name has no watches.
#[inline]
pub fn path(path: Option<&Path>, event: u32) {
    if active()
        && let Some(path) = path
    {
        file(&path.dentry, event);
    }
}

/// As `path`, for an open file.
#[inline]
pub fn open_file(open: &OpenFile, event: u32) {
    path(open.path.as_ref(), event);
}

/// An open file is closed for good.
#[inline]
pub fn closed(open: &OpenFile) {
    if active() && open.flags.get() & abi::O_PATH == 0 {
        open_file(open, if open.writable() { CLOSE_WRITE } else { CLOSE_NOWRITE });
    }
}

/// A name was removed, that of `dentry`, which the caller is done with: if nobody else uses the
/// file, its watches end first.
pub fn removed(dir: &Arc<Dentry>, dentry: Arc<Dentry>, name: &[u8]) {
    if !active() {
        return;
    }
    let is_dir = dentry.is_dir();
    if !is_dir {
        links_changed(&dentry);
    }
    drop(dentry);
    entry(dir, abi::IN_DELETE, name, is_dir);
}

/// Nobody uses a name that was removed. If the file has no other name, its watches end.
pub fn unused(inode: &InodeRef) {
    if !active() || inode.kind() != FileKind::Directory && inode.attr().is_ok_and(|attr| attr.nlink > 0) {
        return;
    }
    send(inode, abi::IN_DELETE_SELF, 0, b"", false);
    for watch in watches_of(inode) {
        // The host says when a file of its own is gone.
        let told = watch.host.borrow().as_ref().is_some_and(|host| host.told_by_host(abi::IN_DELETE_SELF));
        if !told && let Some(owner) = watch.owner.upgrade() {
            owner.forget(&watch);
        }
    }
}

/// A name was moved.
pub fn moved(from: &Arc<Dentry>, old: &[u8], to: &Arc<Dentry>, new: &[u8], dentry: &Arc<Dentry>) {
    if !active() {
        return;
    }
    let cookie = new_cookie();
    let bit = dir_bit(dentry.is_dir());
    send(&from.inode, abi::IN_MOVED_FROM | bit, cookie, old, false);
    send(&to.inode, abi::IN_MOVED_TO | bit, cookie, new, false);
    send(&dentry.inode, abi::IN_MOVE_SELF, 0, b"", false);
}
