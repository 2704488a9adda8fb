//! Guest address spaces: the user part of a host address space, which only host tasks that live in
//! it can change. So changes are kept as orders until one of them carries them out: before it
//! enters user mode, or at once when it is the one that runs.

use crate::area::Record;
use crate::call;
use crate::context::{self, TaskContext};
use crate::cpu::{self, count};
use std::any::Any;
use std::ops::Range;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Weak};
use umlab_host::{Errno, Result};
use umlab_model::lock::{self, KCell};
use umlab_model::{BackingFile, HostMap, HostView, Mapping, ModelSpace, PageRange, Prot, Source, When};

/// One past the last address of guests. All of the core lies above: the program itself at the very
/// top, below it what it maps.
pub const USER_TOP: u64 = 0x7000_0000_0000;
/// Where code lies that an interception makes, in reach of what guests have just below. What each
/// process has for itself comes before it.
pub const DETOURS: Range<usize> = USER_TOP as usize + (64 << 10)..FILES_FROM;
/// Where files lie that the core maps for itself.
pub const FILES_FROM: usize = USER_TOP as usize + (64 << 20);

/// A host address space.
pub struct Mm {
    /// Contexts whose host tasks live in it.
    pub tasks: KCell<usize>,
    /// The guest address space whose mappings it holds.
    owner: KCell<Weak<Inner>>,
}

impl Mm {
    pub fn with_one() -> Arc<Mm> {
        Arc::new(Mm { tasks: KCell::new(1), owner: KCell::new(Weak::new()) })
    }

    /// It holds no guest address space any more. Its mappings go; faults would bring them back
    /// elsewhere.
    pub fn disown(&self) {
        if let Some(before) = self.owner.replace(Weak::new()).upgrade() {
            before.mm.set(None);
        }
    }
}

struct Order {
    call: i64,
    start: u64,
    len: u64,
    prot: u64,
    flags: i32,
    fd: i32,
    offset: u64,
    /// Keeps the descriptor open.
    _file: Option<Arc<dyn BackingFile>>,
}

#[derive(Default)]
struct Inner {
    mm: KCell<Option<Arc<Mm>>>,
    orders: KCell<Vec<Order>>,
    /// One of the orders takes something away or was asked for now.
    urgent: KCell<bool>,
    /// Parts of files that cannot change, where they can be executed. Not all of them need be
    /// listed.
    texts: KCell<Vec<Mapping>>,
}

/// A guest address space.
pub struct TaskSpace(Arc<Inner>);

pub fn own(space: &dyn ModelSpace) -> &TaskSpace {
    space.as_any().downcast_ref().expect("the core passes spaces of this model")
}

/// So many parts of files are remembered at most.
const MOST_TEXTS: usize = 64;

/// No more than about so many orders are put off.
const PUT_OFF: usize = 1024;

/// One host call that changes this process's mappings below [`USER_TOP`].
fn call(number: i64, order: &Order) -> Result<i64> {
    // SAFETY: the range lies below the core's memory (checked when the order was given).
    let result = unsafe {
        libc::syscall(
            number,
            order.start,
            order.len,
            order.prot,
            i64::from(order.flags),
            i64::from(order.fd),
            order.offset,
        )
    };
    Errno::check(result)
}

/// Takes all of this process's mappings below [`USER_TOP`] away.
fn empty() -> Result<()> {
    count(|c| &c.spaces_emptied, 1);
    let all = Order { call: 0, start: 0, len: USER_TOP, prot: 0, flags: 0, fd: 0, offset: 0, _file: None };
    call(libc::SYS_munmap, &all).map(drop)
}

/// The file and the offset of a mapping that is a *text*: a part of a file that cannot change, to
/// be executed.
pub fn text_of(mapping: &Mapping) -> Option<(&dyn BackingFile, u64)> {
    let executable = mapping.prot.contains(Prot::EXEC) && !mapping.prot.contains(Prot::WRITE);
    match &mapping.source {
        Source::File { file, offset, shared: false } if executable && file.is_fixed() => Some((&**file, *offset)),
        _ => None,
    }
}

/// Whether a mapping shows what a text has there.
fn is_part_of(mapping: &Mapping, text: &Mapping) -> bool {
    let (Source::File { file, offset, shared: false }, Source::File { file: of, offset: from, .. }) =
        (&mapping.source, &text.source)
    else {
        return false;
    };
    let (start, first) = (mapping.range.start(), text.range.start());
    let same_place = offset.checked_sub(*from) == start.checked_sub(first);
    text.range.covers(mapping.range) && same_place && mapping.prot == text.prot && Arc::ptr_eq(file, of)
}

impl TaskSpace {
    pub(crate) fn new() -> TaskSpace {
        TaskSpace(Arc::default())
    }

    /// The host address space that holds its mappings, if one does.
    pub(crate) fn mm(&self) -> Option<Arc<Mm>> {
        self.0.mm.cloned()
    }

    /// Sees to it that the running task lives in the space, and that urgent orders are carried out.
    /// `fresh` says that the task has nothing in its slot. ESRCH when the space is elsewhere.
    pub(crate) fn prepare(&self, task: &TaskContext, fresh: bool) -> Result<()> {
        let mine = task.mm.cloned().ok_or(Errno::ESRCH)?;
        match self.mm() {
            Some(mm) if Arc::ptr_eq(&mm, &mine) => {}
            Some(_) => return Err(Errno::ESRCH),
            None => self.settle_in(task, mine, fresh)?,
        }
        if self.0.urgent.get() { self.flush() } else { Ok(()) }
    }

    /// A fresh guest address space takes a host address space for its own: the task's, when nobody
    /// else lives there, else a new one.
    fn settle_in(&self, task: &TaskContext, mine: Arc<Mm>, fresh: bool) -> Result<()> {
        let mm = if mine.tasks.get() == 1 { mine } else { context::rehost(task, fresh)? };
        mm.disown();
        empty()?;
        mm.owner.set(Arc::downgrade(&self.0));
        self.0.mm.set(Some(mm));
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        self.0.urgent.set(false);
        for order in self.0.orders.take() {
            match order.call {
                libc::SYS_mmap => count(|c| &c.host_mmaps, 1),
                libc::SYS_munmap => count(|c| &c.host_munmaps, 1),
                _ => count(|c| &c.host_mprotects, 1),
            }
            let mut result = call(order.call, &order);
            if result == Err(Errno::ENOMEM) && order.call == libc::SYS_mprotect {
                // Parts of the range are not mapped. Faults bring the others back with the new
                // rights.
                result = call(libc::SYS_munmap, &order);
            }
            if result == Err(Errno::ENOMEM) {
                // There may be as many mappings as the host allows one process: then all are taken
                // away, and faults bring back what is used.
                empty()?;
                result = if order.call == libc::SYS_mmap { call(order.call, &order) } else { Ok(0) };
            }
            if let Err(e) = result {
                umlab_model::log_few!(Error, "the host refused to change a guest's mappings: {e}");
                return Err(e);
            }
        }
        Ok(())
    }

    /// The part of a file that cannot change that is mapped there to be executed.
    pub fn text_at(&self, addr: u64) -> Option<Mapping> {
        let texts = self.0.texts.borrow();
        texts.iter().rev().find(|text| text.range.contains(addr)).cloned()
    }

    /// Has a part of a file mapped again, as the interception wants it now.
    pub fn show_again(&self, text: &Mapping) {
        self.map_for(text, true);
    }

    fn map_for(&self, mapping: &Mapping, urgent: bool) {
        let stand_in = crate::interception().stand_in(mapping);
        let HostMap { flags, fd, offset, file } = stand_in.unwrap_or_else(|| mapping.host_map());
        let (start, len, prot) = (mapping.range.start(), mapping.range.len(), u64::from(mapping.prot.bits()));
        let flags = flags | libc::MAP_FIXED;
        self.push(Order { call: libc::SYS_mmap, start, len, prot, flags, fd, offset, _file: file }, urgent);
    }

    /// Keeps the list of texts as it is after a mapping. Whatever else comes to a place of one
    /// takes it off the list.
    fn note_text(&self, mapping: &Mapping) {
        let mut texts = self.0.texts.borrow_mut();
        if texts.iter().any(|text| is_part_of(mapping, text)) {
            return;
        }
        texts.retain(|text| text.range.common(mapping.range).is_none());
        if text_of(mapping).is_some() {
            // Guests can map any number of parts.
            if texts.len() >= MOST_TEXTS {
                texts.remove(0);
            }
            texts.push(Mapping { populate: false, ..mapping.clone() });
        }
    }

    fn forget_texts(&self, range: PageRange) {
        self.0.texts.borrow_mut().retain(|text| text.range.common(range).is_none());
    }

    fn push(&self, order: Order, urgent: bool) {
        let end = order.start.checked_add(order.len);
        assert!(end.is_some_and(|end| end <= USER_TOP), "the core maps in the guest's part only");
        let put_off = {
            let mut orders = self.0.orders.borrow_mut();
            orders.push(order);
            orders.len()
        };
        // A guest may give orders without end that nobody has to carry out yet.
        if urgent || put_off >= PUT_OFF {
            self.0.urgent.set(true);
        }
    }

    fn range(&self, call: i64, range: PageRange, prot: u64) {
        let (start, len) = (range.start(), range.len());
        self.push(Order { call, start, len, prot, flags: 0, fd: 0, offset: 0, _file: None }, true);
    }

    /// The CPU, other than the current one, whose user code runs in the space.
    fn runs_elsewhere(&self) -> Option<usize> {
        let mm = self.mm()?;
        let own = cpu::current();
        (0..cpu::all().len()).find(|&number| {
            let user = cpu::all()[number].user.load(SeqCst);
            number != own && user != 0 && lives_in(user, number, &mm)
        })
    }
}

/// Whether the host task that is in user mode on a CPU lives in `mm`.
fn lives_in(tid: i32, cpu: usize, mm: &Arc<Mm>) -> bool {
    tasks_in(mm).any(|record| record.tid.load(SeqCst) == tid && record.cpu.load(SeqCst) == cpu)
}

/// The records of the host tasks that live in `mm`.
fn tasks_in(mm: &Arc<Mm>) -> impl Iterator<Item = &'static Record> {
    crate::area::all().filter(|record| {
        record.context.load(SeqCst) != 0 && {
            // SAFETY: contexts are dropped under the lock that we hold, and take their address out
            // before.
            let context = unsafe { &*(record.context.load(SeqCst) as *const TaskContext) };
            context.mm.borrow().as_ref().is_some_and(|other| Arc::ptr_eq(other, mm))
        }
    })
}

impl ModelSpace for TaskSpace {
    /// The host process of a fork's child is made with its context, which is refused when the host
    /// has none.
    fn reserve(&self) -> Result<()> {
        Ok(())
    }

    fn map(&self, mapping: Mapping, when: When) {
        self.map_for(&mapping, when != When::Lazy);
        if call::is_allowed() {
            self.note_text(&mapping);
        }
    }

    fn unmap(&self, range: PageRange) {
        self.forget_texts(range);
        self.range(libc::SYS_munmap, range, 0);
    }

    fn protect(&self, range: PageRange, prot: Prot) {
        self.forget_texts(range);
        self.range(libc::SYS_mprotect, range, u64::from(prot.bits()));
    }

    fn sync(&self) {
        let own = context::current();
        let mine = own.mm.cloned();
        if let (Some(mine), Some(mm)) = (mine, self.mm())
            && Arc::ptr_eq(&mine, &mm)
        {
            // The host stops the use of old mappings everywhere before the calls return.
            if self.0.urgent.get() {
                let _ = self.flush();
            }
            return;
        }
        let mut kicked = false;
        while self.0.urgent.get()
            && let Some(other) = self.runs_elsewhere()
        {
            if !kicked {
                count(|c| &c.shootdowns, 1);
                cpu::kick(other);
                kicked = true;
            }
            lock::without(std::thread::yield_now);
        }
    }

    fn audit(&self) -> Vec<HostView> {
        let mut view = match self.mm() {
            Some(mm) => {
                let task = tasks_in(&mm).next().map(|record| record.tid.load(SeqCst));
                let Some(view) = task.and_then(|tid| HostView::of_process(tid, USER_TOP)) else { return Vec::new() };
                view
            }
            None => HostView::default(),
        };
        for order in self.0.orders.borrow().iter() {
            let prot = Prot::from_bits_truncate(order.prot as u32);
            match order.call {
                libc::SYS_mmap => {
                    view.map(order.start, order.len, prot, order.flags, order.fd, order.offset);
                }
                libc::SYS_munmap => view.unmap(order.start, order.len),
                _ => view.protect(order.start, order.len, prot),
            }
        }
        crate::interception().name_stand_ins(&mut view);
        vec![view]
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
