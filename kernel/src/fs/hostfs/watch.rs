//! What happens to the host's files while the guest watches them (inotify(7)): the host tells,
//! whoever did it.
//!
//! For a file of a shared tree the host's word is the only one: what the guest itself does there
//! comes back from the host, at once, because whoever is about to look at a guest's inotify file or
//! to add to it takes in first what the host has to tell ([`take_in`]). So nothing is told twice.
//! Opening, reading and closing are told by the core alone: when the host's file is opened and
//! closed for a guest is the core's affair, and the host's readers are of no interest. For a file
//! of an overlay the core tells what the guest does, and the host what happens below, as long as
//! that shows through.

use super::HostInode;
use crate::lock::KCell;
use crate::sched::events::{HostReady, Watch as HostWatch};
use crate::vfs::notify::{self, Watch};
use crate::{Errno, Result};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use umlab_host::inotify as host;

/// What the guest does in a shared tree, and the host tells.
pub const TOLD_BY_HOST: u32 = abi::IN_MODIFY
    | abi::IN_ATTRIB
    | abi::IN_CREATE
    | abi::IN_DELETE
    | abi::IN_DELETE_SELF
    | abi::IN_MOVE
    | abi::IN_MOVE_SELF;
const ASKED_OF_HOST: u32 = TOLD_BY_HOST | abi::IN_CLOSE_WRITE;
/// Bits that come with events.
const PASSED_ON: u32 = ASKED_OF_HOST | abi::IN_ISDIR | abi::IN_UNMOUNT;
/// How often the host is asked for more in a row. What then is left comes with its next notice.
const PATIENCE: usize = 256;
/// Descriptors that wait to be closed until something else is to be done.
const CLOSING_MAX: usize = 16;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static INSTANCE: KCell<Option<Arc<Instance>>> = KCell::new(None);
static FOLLOWED: KCell<BTreeMap<i32, Vec<Followed>>> = KCell::new(BTreeMap::new());
static CLOSING: KCell<Vec<Arc<OwnedFd>>> = KCell::new(Vec::new());
static BUSY: AtomicBool = AtomicBool::new(false);

struct Instance {
    host: host::Inotify,
    notice: KCell<Option<HostWatch>>,
}

/// A guest's watch, and the inode of the host's file that it concerns.
#[derive(Clone)]
struct Followed {
    watch: Weak<Watch>,
    inode: Arc<HostInode>,
}

/// The host's watch behind a guest's watch.
pub struct Following {
    number: i32,
    inode: Arc<HostInode>,
    /// The guest's file is the host's.
    direct: bool,
}

impl notify::HostWatch for Following {
    fn told_by_host(&self, event: u32) -> bool {
        self.direct && event & TOLD_BY_HOST != 0
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.inode.watchers.fetch_sub(1, Relaxed);
        let last = COUNT.fetch_sub(1, Relaxed) == 1;
        let mut gone = Vec::new();
        let mut followed = FOLLOWED.borrow_mut();
        let mut forgotten = false;
        if let Some(list) = followed.get_mut(&self.number) {
            let is_gone = |followed: &mut Followed| followed.watch.strong_count() == 0;
            gone.extend(list.extract_if(.., is_gone));
            forgotten = list.is_empty();
        }
        if forgotten {
            followed.remove(&self.number);
        }
        drop(followed);
        if forgotten && let Some(instance) = INSTANCE.cloned() {
            instance.host.remove(self.number);
        }
        if last {
            CLOSING.take();
        }
    }
}

impl HostReady for Instance {
    fn ready(&self, _events: u32) {
        take_in();
        self.arm();
    }
}

impl Instance {
    fn get() -> Result<Arc<Instance>> {
        if let Some(instance) = INSTANCE.cloned() {
            return Ok(instance);
        }
        let instance = Arc::new(Instance { host: host::Inotify::new()?, notice: KCell::new(None) });
        let target: Arc<dyn HostReady> = instance.clone();
        instance.notice.set(Some(HostWatch::new(&target)));
        instance.arm();
        INSTANCE.set(Some(instance.clone()));
        Ok(instance)
    }

    fn arm(&self) {
        if let Some(notice) = &*self.notice.borrow() {
            // Without notices what happens is still seen when somebody looks.
            let _ = notice.arm(self.host.as_fd(), abi::EPOLLIN);
        }
    }
}

/// Whether any file of the host is watched.
#[inline]
pub fn active() -> bool {
    COUNT.load(Relaxed) > 0
}

/// Has the host tell of what a guest's new watch is to hear of the host's file behind it.
///
/// # Errors
/// ENOSPC when the host lets this process watch no more files.
pub(super) fn follow(inode: &Arc<HostInode>, watch: &Arc<Watch>) -> Result<()> {
    if inode.is_hidden() {
        return Ok(());
    }
    notify::listen_to_host(take_in);
    // A file that is gone, or that the host does not let us read, has nothing to tell.
    let Ok(handle) = inode.handle() else { return Ok(()) };
    let added = Instance::get().and_then(|instance| instance.host.add(handle.as_fd(), ASKED_OF_HOST));
    let number = match added {
        Ok(number) => number,
        Err(Errno::EACCES | Errno::ENOENT | Errno::ENOSYS) => return Ok(()),
        Err(_) => return Err(Errno::ENOSPC),
    };
    inode.fs.doubt();
    let direct = watch.inode.as_any().is::<HostInode>();
    COUNT.fetch_add(1, Relaxed);
    inode.watchers.fetch_add(1, Relaxed);
    let followed = Followed { watch: Arc::downgrade(watch), inode: inode.clone() };
    FOLLOWED.borrow_mut().entry(number).or_default().push(followed);
    watch.host.set(Some(Box::new(Following { number, inode: inode.clone(), direct })));
    Ok(())
}

/// Takes in what the host has to tell.
pub fn take_in() {
    if !active() {
        return;
    }
    collect(0);
    let closing = CLOSING.take();
    if !closing.is_empty() {
        drop(closing);
        collect(abi::IN_CLOSE_WRITE);
    }
}

/// Does something to a host file, of which the host is to tell nothing: `events` are known or no
/// business of the guest's.
pub fn quietly<T>(events: u32, act: impl FnOnce() -> T) -> T {
    if !active() {
        return act();
    }
    take_in();
    let result = act();
    collect(events);
    result
}

/// A descriptor for writing is not needed any more. Its end is not the moment at which the guest
/// closed the file.
pub fn close_later(file: Arc<OwnedFd>) {
    if active() {
        CLOSING.borrow_mut().push(file);
    }
}

/// Closes the descriptors that are waiting for it; called now and then.
pub fn close_waiting() {
    if active() && !CLOSING.borrow().is_empty() {
        take_in();
    }
}

/// Closes descriptors if many are waiting for it. Where that is called, no core data is borrowed.
pub fn close_some() {
    if active() && CLOSING.borrow().len() >= CLOSING_MAX {
        take_in();
    }
}

fn collect(quiet: u32) {
    // What follows from an event may ask for more of them.
    if BUSY.swap(true, Relaxed) {
        return;
    }
    for _ in 0..PATIENCE {
        let Some(instance) = INSTANCE.cloned() else { break };
        let events = instance.host.read();
        if events.is_empty() {
            break;
        }
        for event in events {
            pass_on(&event, quiet);
        }
    }
    BUSY.store(false, Relaxed);
}

fn pass_on(event: &host::Event, quiet: u32) {
    if event.mask & abi::IN_Q_OVERFLOW != 0 {
        let all: Vec<Followed> = FOLLOWED.borrow().values().flatten().cloned().collect();
        for owner in all.iter().filter_map(|followed| followed.watch.upgrade()?.owner.upgrade()) {
            owner.lose_events();
        }
        return;
    }
    let ended = event.mask & abi::IN_IGNORED != 0;
    let followed = {
        let mut followed = FOLLOWED.borrow_mut();
        if ended { followed.remove(&event.watch) } else { followed.get(&event.watch).cloned() }
    };
    for Followed { watch, inode } in followed.unwrap_or_default() {
        inode.told(event.mask, &event.name);
        let Some(watch) = watch.upgrade() else { continue };
        let direct = watch.host.borrow().as_ref().is_some_and(|host| host.told_by_host(TOLD_BY_HOST));
        let shows = direct || watch.inode.shows_host(&event.name);
        if ended {
            watch.host.take();
            if shows && let Some(owner) = watch.owner.upgrade() {
                owner.forget(&watch);
            }
        } else if shows && event.mask & quiet == 0 {
            notify::deliver(&watch, event.mask & PASSED_ON, cookie(event.cookie), &event.name);
        }
    }
}

/// A cookie of the guest's for one of the host's: the two halves of a rename get the same.
fn cookie(of_host: u32) -> u32 {
    static RECENT: KCell<VecDeque<(u32, u32)>> = KCell::new(VecDeque::new());
    const KEPT: usize = 16;
    if of_host == 0 {
        return 0;
    }
    let mut recent = RECENT.borrow_mut();
    if let Some(&(_, cookie)) = recent.iter().find(|(host, _)| *host == of_host) {
        return cookie;
    }
    let cookie = notify::new_cookie();
    recent.truncate(KEPT - 1);
    recent.push_front((of_host, cookie));
    cookie
}
