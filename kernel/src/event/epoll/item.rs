//! One watched file of an epoll file.

use super::{Epoll, MODES};
use crate::lock::KCell;
use crate::sched::wait::{Wake, WakeReason};
use crate::vfs::file::OpenFile;
use crate::vfs::watchers::Watcher;
use smallvec::SmallVec;
use std::any::Any;
use std::sync::{Arc, Weak};

pub struct Item {
    /// Itself, to put on the ready list from a wake-up.
    this: Weak<Item>,
    epoll: Weak<Epoll>,
    file: Weak<OpenFile>,
    key: (i32, usize),
    state: KCell<State>,
}

struct State {
    events: u32,
    data: u64,
    /// It is on the ready list.
    listed: bool,
    /// Its places in the file's wait queues.
    places: SmallVec<[u64; 2]>,
}

impl Item {
    pub fn new(epoll: &Arc<Epoll>, file: &Arc<OpenFile>, key: (i32, usize), events: u32, data: u64) -> Arc<Item> {
        Arc::new_cyclic(|this| Item {
            this: this.clone(),
            epoll: Arc::downgrade(epoll),
            file: Arc::downgrade(file),
            key,
            state: KCell::new(State { events, data, listed: false, places: SmallVec::new() }),
        })
    }

    pub fn file(&self) -> Option<Arc<OpenFile>> {
        self.file.upgrade()
    }

    pub fn epoll(&self) -> Option<Arc<Epoll>> {
        self.epoll.upgrade()
    }

    pub fn events(&self) -> u32 {
        self.state.borrow().events
    }

    pub fn data(&self) -> u64 {
        self.state.borrow().data
    }

    pub fn change(&self, events: u32, data: u64) {
        let mut state = self.state.borrow_mut();
        state.events = events;
        state.data = data;
    }

    /// After a one-shot event: nothing is reported until it is changed.
    pub fn disable(&self) {
        let mut state = self.state.borrow_mut();
        state.events &= MODES;
    }

    /// What it has to report now.
    pub fn pending(&self, file: &OpenFile) -> u32 {
        let events = self.events() & !MODES;
        if events == 0 {
            return 0;
        }
        file.poll().bits() & events
    }

    /// Says whether it is on the ready list; tells whether that is new.
    pub fn set_listed(&self, listed: bool) -> bool {
        std::mem::replace(&mut self.state.borrow_mut().listed, listed) != listed
    }

    /// Enters it in the file's wait queues.
    pub fn register(self: &Arc<Self>, file: &OpenFile) {
        let queues = file.poll_queues().unwrap_or_default();
        let places = queues.iter().map(|queue| queue.add(self.clone())).collect();
        self.state.borrow_mut().places = places;
        let watcher: Arc<dyn Watcher> = self.clone();
        file.watchers.add(&watcher);
    }

    pub fn unregister(&self, file: &OpenFile) {
        self.leave_queues(file);
        file.watchers.remove(self);
    }

    fn leave_queues(&self, file: &OpenFile) {
        let places = std::mem::take(&mut self.state.borrow_mut().places);
        let queues = file.poll_queues().unwrap_or_default();
        for (queue, place) in queues.iter().zip(places) {
            queue.remove(place);
        }
    }
}

impl Wake for Item {
    fn wake(&self, reason: WakeReason) {
        let wanted = self.events();
        if wanted & !MODES == 0 {
            // A one-shot that has fired.
            debug_assert!(wanted & abi::EPOLLONESHOT != 0);
            return;
        }
        if let WakeReason::Event(events) = reason
            && events != 0
            && events & wanted == 0
        {
            return;
        }
        if let (Some(epoll), Some(item)) = (self.epoll.upgrade(), self.this.upgrade()) {
            epoll.make_ready(item);
        }
    }
}

impl Watcher for Item {
    fn file_closed(&self, file: &OpenFile) {
        self.leave_queues(file);
        if let Some(epoll) = self.epoll.upgrade() {
            epoll.file_closed(self.key);
        }
    }
}

/// The epoll file that a watcher of a file belongs to.
pub fn epoll_above(watcher: Arc<dyn Watcher>) -> Option<Arc<Epoll>> {
    let item: Arc<dyn Any + Send + Sync> = watcher;
    item.downcast::<Item>().ok()?.epoll()
}
