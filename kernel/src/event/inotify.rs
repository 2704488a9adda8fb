//! inotify(7): a file from which events of other files are read.

use crate::lock::KCell;
use crate::mm::IoBuf;
use crate::sched::wait::{WaitQueue, wait_on};
use crate::vfs::anon::AnonKind;
use crate::vfs::file::{Events, FileOps, OpenFile};
use crate::vfs::inode::InodeRef;
use crate::vfs::notify::{self, Listener, Watch};
use crate::{Errno, Result};
use abi::number::{Low, saturated_i32, saturated_i64, to_usize};
use smallvec::SmallVec;
use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Settings of proc_sys_fs(5): events that wait in one file, and what one user may have of files
/// and watches.
pub static MAX_QUEUED_EVENTS: AtomicI64 = AtomicI64::new(16384);
pub static MAX_USER_INSTANCES: AtomicI64 = AtomicI64::new(128);
pub static MAX_USER_WATCHES: AtomicI64 = AtomicI64::new(1 << 16);

/// What each user has.
static USED: KCell<BTreeMap<u32, Used>> = KCell::new(BTreeMap::new());

#[derive(Default)]
struct Used {
    instances: i64,
    watches: i64,
}

fn used<T>(uid: u32, change: impl FnOnce(&mut Used) -> T) -> T {
    let mut all = USED.borrow_mut();
    let used = all.entry(uid).or_default();
    let result = change(used);
    if used.instances == 0 && used.watches == 0 {
        all.remove(&uid);
    }
    result
}

/// Counts one more, if there may be.
fn take(count: &mut i64, max: &AtomicI64, refusal: Errno) -> Result<()> {
    if *count >= max.load(Relaxed) {
        return Err(refusal);
    }
    *count += 1;
    Ok(())
}
const HEADER: usize = 16;

pub struct Inotify {
    me: std::sync::Weak<Inotify>,
    /// Whose it is.
    uid: u32,
    queue_max: usize,
    state: KCell<State>,
    readable: WaitQueue,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Event>,
    watches: BTreeMap<i32, Arc<Watch>>,
    last: i32,
}

#[derive(PartialEq, Eq)]
struct Event {
    watch: i32,
    mask: u32,
    cookie: u32,
    name: Vec<u8>,
}

impl Event {
    /// The name's length as it is read: with at least one NUL, and aligned.
    fn name_len(&self) -> usize {
        if self.name.is_empty() { 0 } else { (self.name.len() + 1).next_multiple_of(HEADER) }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.name_len());
        for word in [self.watch.cast_unsigned(), self.mask, self.cookie, self.name_len().low_u32()] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.extend_from_slice(&self.name);
        bytes.resize(HEADER + self.name_len(), 0);
        bytes
    }
}

impl Inotify {
    /// inotify_init1(2).
    pub fn open(nonblock: bool) -> Result<Arc<OpenFile>> {
        let uid = crate::task::current().creds().uid;
        used(uid, |used| take(&mut used.instances, &MAX_USER_INSTANCES, Errno::EMFILE))?;
        let ops = Arc::new_cyclic(|me| Inotify {
            me: me.clone(),
            uid,
            queue_max: to_usize(MAX_QUEUED_EVENTS.load(Relaxed).cast_unsigned()),
            state: KCell::default(),
            readable: WaitQueue::new(),
        });
        let flags = if nonblock { abi::O_NONBLOCK } else { 0 };
        Ok(OpenFile::anonymous(AnonKind::Other("inotify"), ops, flags | abi::O_RDONLY))
    }

    /// inotify_add_watch(2).
    pub fn watch(&self, inode: &InodeRef, mask: u32) -> Result<i32> {
        const KEPT: u32 = abi::IN_ALL_EVENTS | abi::IN_EXCL_UNLINK | abi::IN_ONESHOT;
        let known = {
            let state = self.state.borrow();
            state.watches.values().find(|watch| Arc::ptr_eq(&watch.inode, inode)).cloned()
        };
        if let Some(known) = known {
            if mask & abi::IN_MASK_CREATE != 0 {
                return Err(Errno::EEXIST);
            }
            let old = if mask & abi::IN_MASK_ADD != 0 { known.mask.get() } else { 0 };
            known.mask.set(old | mask & KEPT);
            return Ok(known.descriptor);
        }
        crate::mm::pressure::room_for(256)?;
        let mut state = self.state.borrow_mut();
        state.last = state.last.checked_add(1).ok_or(Errno::ENOSPC)?;
        let descriptor = state.last;
        let mask = KCell::new(mask & KEPT);
        let host = KCell::new(None);
        let watch = Arc::new(Watch { owner: self.me.clone(), descriptor, mask, inode: inode.clone(), host });
        drop(state);
        used(self.uid, |used| take(&mut used.watches, &MAX_USER_WATCHES, Errno::ENOSPC))?;
        if let Err(e) = inode.watch_host(&watch) {
            used(self.uid, |used| used.watches -= 1);
            return Err(e);
        }
        self.state.borrow_mut().watches.insert(descriptor, watch.clone());
        notify::add(&watch);
        Ok(descriptor)
    }

    /// inotify_rm_watch(2).
    pub fn unwatch(&self, descriptor: i32) -> Result<()> {
        let watch = self.state.borrow().watches.get(&descriptor).cloned().ok_or(Errno::EINVAL)?;
        self.forget(&watch);
        Ok(())
    }

    fn is_empty(&self) -> bool {
        notify::take_in();
        self.state.borrow().queue.is_empty()
    }

    /// Bytes that can be read, for FIONREAD.
    fn pending(&self) -> usize {
        notify::take_in();
        self.state.borrow().queue.iter().map(|event| HEADER + event.name_len()).sum()
    }
}

impl Listener for Inotify {
    fn push(&self, watch: i32, mask: u32, cookie: u32, name: &[u8]) {
        {
            let queue = &mut self.state.borrow_mut().queue;
            let mut event = Event { watch, mask, cookie, name: name.to_vec() };
            // Whoever does what is told here has no part in the memory it takes: without any, the
            // reader hears that it missed something.
            if queue.len() >= self.queue_max || crate::mm::frames::check_room(128 + name.len() as u64).is_err() {
                event = Event { watch: -1, mask: abi::IN_Q_OVERFLOW, cookie: 0, name: Vec::new() };
            }
            // The same thing happening twice in a row is told once.
            if queue.back() == Some(&event) {
                return;
            }
            queue.push_back(event);
        }
        self.readable.wake(Events::IN.bits());
    }

    fn lose_events(&self) {
        self.push(-1, abi::IN_Q_OVERFLOW, 0, b"");
    }

    fn forget(&self, watch: &Arc<Watch>) {
        notify::remove(watch);
        let known = self.state.borrow_mut().watches.remove(&watch.descriptor);
        if known.is_some() {
            used(self.uid, |used| used.watches -= 1);
            self.push(watch.descriptor, abi::IN_IGNORED, 0, b"");
        }
    }
}

impl FileOps for Inotify {
    fn read(&self, file: &OpenFile, buf: &mut IoBuf<'_>, _offset: u64) -> Result<usize> {
        if self.is_empty() {
            if file.nonblocking() {
                return Err(Errno::EAGAIN);
            }
            wait_on(&self.readable, || (!self.state.borrow().queue.is_empty()).then_some(()))?;
        }
        let mut done = 0;
        loop {
            let bytes = match self.state.borrow().queue.front() {
                Some(event) => event.bytes(),
                None => return Ok(done),
            };
            if bytes.len() > buf.remaining() {
                return if done > 0 { Ok(done) } else { Err(Errno::EINVAL) };
            }
            // It has been read, whether it arrives or not.
            self.state.borrow_mut().queue.pop_front();
            buf.put_all(&bytes)?;
            done += bytes.len();
            if crate::sched::killable_point().is_err() {
                return Ok(done);
            }
        }
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        if self.is_empty() { Events::empty() } else { Events::IN | Events::RDNORM }
    }

    fn describe(&self, _file: &OpenFile) -> String {
        let watches: Vec<Arc<Watch>> = self.state.borrow().watches.values().rev().cloned().collect();
        let mut out = String::new();
        for watch in watches {
            let Ok(attr) = watch.inode.attr() else { continue };
            // As the kernel keeps device numbers.
            let device = u64::from(abi::major(attr.dev)) << 20 | u64::from(abi::minor(attr.dev));
            let (descriptor, mask) = (watch.descriptor, watch.mask.get());
            let _ = writeln!(
                out,
                "inotify wd:{descriptor:x} ino:{:x} sdev:{device:x} mask:{mask:x} ignored_mask:0 ",
                attr.ino
            );
        }
        out
    }

    fn poll_queues(&self) -> Option<SmallVec<[&WaitQueue; 2]>> {
        Some(SmallVec::from_slice(&[&self.readable]))
    }

    fn ioctl(&self, _file: &OpenFile, command: u32, arg: u64) -> Result<u64> {
        let task = &crate::task::current();
        if command != abi::FIONREAD {
            return Err(Errno::ENOTTY);
        }
        task.space().write(arg, &saturated_i32(self.pending()))?;
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        let watches = self.state.take().watches;
        used(self.uid, |used| {
            used.watches -= saturated_i64(watches.len() as u64);
            used.instances -= 1;
        });
        for watch in watches.into_values() {
            notify::remove(&watch);
        }
    }
}
