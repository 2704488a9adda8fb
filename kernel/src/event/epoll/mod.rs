//! epoll (epoll(7)): waiting for many files at the cost of those that are ready.
//!
//! Each watched file has an [`Item`] that sits in the file's wait queues as a `Wake` callback. When
//! the file wakes its queues, the item puts itself on the ready list; epoll_wait looks only at that
//! list, asks each file on it what really holds, and puts level-triggered ones back.

mod item;
mod nesting;

use crate::lock::KCell;
use crate::sched::killable_point;
use crate::sched::wait::{WaitQueue, wait_exclusive};
use crate::vfs::file::{Events, FileOps, OpenFile};
use crate::{Errno, Result};
use item::Item;
use smallvec::SmallVec;
use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::{Arc, Weak};

/// Most epoll files that watch one file: its wake-ups look at them all in one go.
const MAX_WATCHERS: usize = 8192;
/// Most events that one epoll_wait(2) gives, and most items that it looks at in one go.
const MAX_EVENTS: usize = 4096;

/// The bits that say how, not what.
const MODES: u32 = abi::EPOLLET | abi::EPOLLONESHOT | abi::EPOLLEXCLUSIVE | abi::EPOLLWAKEUP;
const ALWAYS: u32 = Events::ERR.union(Events::HUP).bits();
const EXCLUSIVE_OK: u32 =
    Events::IN.union(Events::OUT).bits() | ALWAYS | abi::EPOLLWAKEUP | abi::EPOLLET | abi::EPOLLEXCLUSIVE;
const READY: u32 = Events::IN.union(Events::RDNORM).bits();

/// By descriptor number and open file: a number may come to mean another file while the first is
/// still open elsewhere.
type Key = (i32, usize);

/// What an epoll file is: the watched files, and those that may be ready.
pub struct Epoll {
    items: KCell<BTreeMap<Key, Arc<Item>>>,
    /// Those of them that are epoll files.
    nested: KCell<BTreeMap<Key, Arc<Item>>>,
    /// The open file that this is, once it watches something.
    file: KCell<Weak<OpenFile>>,
    ready: KCell<VecDeque<Arc<Item>>>,
    /// Who waits for an event, or polls the epoll file itself.
    queue: WaitQueue,
}

/// The operations of an epoll file; the items refer to what is inside.
pub struct EpollFile {
    epoll: Arc<Epoll>,
}

/// One event, as epoll_wait(2) gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    pub events: u32,
    pub data: u64,
}

impl EpollFile {
    pub fn new() -> Arc<EpollFile> {
        let epoll = Epoll {
            items: KCell::default(),
            nested: KCell::default(),
            file: KCell::default(),
            ready: KCell::default(),
            queue: WaitQueue::new(),
        };
        Arc::new(EpollFile { epoll: Arc::new(epoll) })
    }

    pub fn epoll(&self) -> &Arc<Epoll> {
        &self.epoll
    }
}

fn key(fd: i32, file: &Arc<OpenFile>) -> Key {
    (fd, Arc::as_ptr(file) as usize)
}

impl Epoll {
    /// EPOLL_CTL_ADD, for `own`, which is the epoll file.
    ///
    /// # Errors
    /// EPERM for files that are always ready, EEXIST, EINVAL for itself, wrong use of
    /// EPOLLEXCLUSIVE or when a file would wake epoll files in too many ways, ELOOP when epoll
    /// files would watch each other in a circle or too deep, ENOSPC when too many watch the file.
    pub fn add(
        self: &Arc<Self>,
        own: &Arc<OpenFile>,
        fd: i32,
        file: &Arc<OpenFile>,
        events: u32,
        data: u64,
    ) -> Result<()> {
        let nested = file.ops_as::<EpollFile>();
        if file.poll_queues().is_none() {
            return Err(Errno::EPERM);
        }
        if nested.is_some_and(|n| Arc::ptr_eq(&n.epoll, self)) {
            return Err(Errno::EINVAL);
        }
        if events & abi::EPOLLEXCLUSIVE != 0 && (nested.is_some() || events & !EXCLUSIVE_OK != 0) {
            return Err(Errno::EINVAL);
        }
        let key = key(fd, file);
        if self.file.borrow().strong_count() == 0 {
            self.file.set(Arc::downgrade(own));
        }
        let turn = if nested.is_some() || !own.watchers.is_empty() { Some(nesting::Turn::take()?) } else { None };
        if let (Some(turn), Some(nested)) = (&turn, nested) {
            if nested.epoll.file.borrow().strong_count() == 0 {
                nested.epoll.file.set(Arc::downgrade(file));
            }
            nesting::check_depth(turn, self, &nested.epoll)?;
        }
        if self.items.borrow().contains_key(&key) {
            return Err(Errno::EEXIST);
        }
        if file.watchers.len() >= MAX_WATCHERS {
            return Err(Errno::ENOSPC);
        }
        crate::mm::pressure::room_for(256)?;
        let item = Item::new(self, file, key, events | ALWAYS, data);
        self.items.borrow_mut().insert(key, item.clone());
        if nested.is_some() {
            self.nested.borrow_mut().insert(key, item.clone());
        }
        item.register(file);
        if let Some(turn) = &turn
            && let Err(e) = nesting::check_ways(turn, file)
        {
            // Somebody else may have removed it already.
            let _ = self.remove(fd, file);
            return Err(e);
        }
        self.check(&item, file);
        Ok(())
    }

    /// EPOLL_CTL_MOD.
    pub fn modify(&self, fd: i32, file: &Arc<OpenFile>, events: u32, data: u64) -> Result<()> {
        if events & abi::EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        let item = self.items.borrow().get(&key(fd, file)).cloned().ok_or(Errno::ENOENT)?;
        if item.events() & abi::EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        item.change(events | ALWAYS, data);
        self.check(&item, file);
        Ok(())
    }

    /// EPOLL_CTL_DEL.
    pub fn remove(&self, fd: i32, file: &Arc<OpenFile>) -> Result<()> {
        let item = self.take_item(&key(fd, file)).ok_or(Errno::ENOENT)?;
        item.unregister(file);
        self.forget(&item);
        Ok(())
    }

    /// Puts an item on the ready list if its file has something for it now.
    fn check(&self, item: &Arc<Item>, file: &OpenFile) {
        if item.pending(file) != 0 {
            self.make_ready(item.clone());
        }
    }

    /// An item's file has something, perhaps.
    fn make_ready(&self, item: Arc<Item>) {
        if item.set_listed(true) {
            self.ready.borrow_mut().push_back(item);
        }
        self.queue.wake_one(READY);
    }

    fn forget(&self, item: &Arc<Item>) {
        if item.set_listed(false) {
            self.ready.borrow_mut().retain(|i| !Arc::ptr_eq(i, item));
        }
    }

    /// The watched file is gone: `key` is the item's.
    fn file_closed(&self, key: Key) {
        if let Some(item) = self.take_item(&key) {
            self.forget(&item);
        }
    }

    fn take_item(&self, key: &Key) -> Option<Arc<Item>> {
        let item = self.items.borrow_mut().remove(key)?;
        let nested = self.nested.borrow_mut().remove(key);
        drop(nested);
        Some(item)
    }

    /// The next items in the order of their keys, `max` at most, with their keys.
    fn items_after(&self, key: Option<Key>, max: usize) -> Vec<(Key, Arc<Item>)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let items = self.items.borrow();
        let range = items.range((key.map_or(Unbounded, Excluded), Unbounded));
        range.take(max).map(|(key, item)| (*key, item.clone())).collect()
    }

    /// Waits for events and takes at most `max` of them; none when `deadline` (CLOCK_MONOTONIC, ns)
    /// passed.
    ///
    /// # Errors
    /// EINTR when a signal came first.
    pub fn wait(&self, max: usize, deadline: Option<u64>) -> Result<Vec<Event>> {
        let max = max.min(MAX_EVENTS);
        loop {
            let (events, more) = self.collect(max);
            if !events.is_empty() {
                return Ok(events);
            }
            if more {
                // Those looked at had nothing; they are off the list.
                killable_point()?;
                continue;
            }
            if deadline == Some(0) {
                return Ok(events);
            }
            let ready = || (!self.ready.borrow().is_empty()).then_some(());
            match wait_exclusive(&self.queue, deadline, ready) {
                Ok(()) => {}
                Err(Errno::ETIMEDOUT) => return Ok(self.collect(max).0),
                Err(_) => return Err(Errno::EINTR),
            }
        }
    }

    /// Takes what is ready now, and tells whether items are left that were not looked at.
    /// Level-triggered items go to the end of the list again.
    fn collect(&self, max: usize) -> (Vec<Event>, bool) {
        let mut out = Vec::new();
        let mut scan = self.ready.take();
        let mut again = VecDeque::new();
        let mut looks = 0;
        while out.len() < max
            && looks < MAX_EVENTS
            && let Some(item) = scan.pop_front()
        {
            looks += 1;
            item.set_listed(false);
            let Some(file) = item.file() else { continue };
            let events = item.pending(&file);
            if events == 0 {
                continue;
            }
            out.push(Event { events, data: item.data() });
            let mode = item.events();
            if mode & abi::EPOLLONESHOT != 0 {
                item.disable();
            } else if mode & abi::EPOLLET == 0 && item.set_listed(true) {
                again.push_back(item);
            }
        }
        let left = !scan.is_empty();
        // Those not looked at come first next time, then what was reported (polling may have woken
        // more: last).
        scan.append(&mut again);
        let mut ready = self.ready.borrow_mut();
        scan.append(&mut ready);
        *ready = scan;
        let more = !ready.is_empty();
        drop(ready);
        if more {
            self.queue.pass_on();
        }
        (out, left)
    }

    /// Whether epoll_wait would give an event now. Items that have none leave the ready list, so
    /// that none is looked at in vain twice.
    fn has_event(&self) -> bool {
        loop {
            let Some(item) = self.ready.borrow().front().cloned() else { return false };
            if item.file().is_some_and(|file| item.pending(&file) != 0) {
                return true;
            }
            let mut ready = self.ready.borrow_mut();
            if ready.front().is_some_and(|front| Arc::ptr_eq(front, &item)) {
                ready.pop_front();
                drop(ready);
                item.set_listed(false);
            }
        }
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        self.nested.take();
        let items = self.items.take();
        for item in items.into_values() {
            if let Some(file) = item.file() {
                item.unregister(&file);
            }
        }
    }
}

impl FileOps for EpollFile {
    fn poll(&self, _file: &OpenFile) -> Events {
        if self.epoll.has_event() { Events::IN | Events::RDNORM } else { Events::empty() }
    }

    fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        Some(SmallVec::from_slice(&[&self.epoll.queue]))
    }

    fn describe(&self, _file: &OpenFile) -> String {
        let items: Vec<(i32, Arc<Item>)> =
            self.epoll.items.borrow().iter().map(|(&(fd, _), item)| (fd, item.clone())).collect();
        let mut out = String::new();
        for (fd, item) in items {
            let Some(file) = item.file() else { continue };
            let (ino, dev) = file.inode.attr().map_or((0, 0), |attr| (attr.ino, attr.dev));
            let device = u64::from(abi::major(dev)) << 20 | u64::from(abi::minor(dev));
            let (events, data, position) = (item.events(), item.data(), file.position.get());
            let _ = writeln!(
                out,
                "tfd: {fd:8} events: {events:8x} data: {data:16x}  pos:{position} ino:{ino:x} sdev:{device:x}"
            );
        }
        out
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
