//! Guest address spaces: what is mapped where, and the core's own way to it.

use super::fault::{BadAccess, CHUNK};
use super::frames::{Charge, Frames, frame_count};
use super::object::{HostFile, MappedFile, PageSource};
use super::vma::{Backing, Pages, Run, Totals, Vma, VmaFlags, Vmas, page_of, round_up};
use super::window::{Found, GuestWindow, pages_of};
use super::{PAGE, audit};
use crate::lock::KCell;
use crate::sched::model;
use crate::{Errno, Result};
use abi::number::to_usize;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use umlab_host::memory::FileMapping;
use umlab_model::{Mapping, ModelSpace, PAGE_SIZE, PageRange, Prot, Source, When};

/// Lowest address a guest may map (vm.mmap_min_addr).
pub const USER_BOTTOM: u64 = 0x10000;
/// vm.max_map_count, and the most that it can be set to: the host's process has as many.
pub static MAX_MAP_COUNT: AtomicI64 = AtomicI64::new(MAX_AREAS.cast_signed() as i64);
pub const MAX_AREAS: usize = 65530;

pub fn max_areas() -> usize {
    to_usize(MAX_MAP_COUNT.load(Relaxed).cast_unsigned())
}

/// About what a process of the host takes of the host's kernel, with its first page tables.
const HOST_PROCESS: u64 = 64 << 10;

/// A guest address space (Linux's mm).
pub struct AddressSpace {
    /// Tells address spaces apart for good, as in futex keys.
    pub id: u64,
    pub(super) inner: KCell<Inner>,
    pub(super) host: Box<dyn ModelSpace>,
    pub(super) me: Weak<AddressSpace>,
    /// What it is registered for with membarrier(2), in that call's commands.
    pub barriers: KCell<i32>,
    /// What the host needs for it beside the guest's memory.
    pub(super) _host_memory: Charge,
}

#[derive(Default)]
pub struct Inner {
    pub vmas: Vmas,
    pub pages: Pages,
    /// The heap: where it starts, and where it ends now (to the byte).
    pub brk_start: u64,
    pub brk: u64,
    /// Where mmap looks for room, downwards.
    pub mmap_top: u64,
    /// MCL_FUTURE of mlockall(2): how new areas are locked.
    pub new_areas: VmaFlags,
    pub layout: Layout,
    /// Frames taken out that user code on another CPU may still reach; see `collect`.
    pub garbage: Vec<(u64, Run)>,
    /// Rises whenever the host is to map private frames: what was unmapped may be mapped again.
    pub mapped: u64,
    /// Areas taken out likewise, with the sources of their pages. Their files are closed after
    /// that: it may sleep.
    pub retired: Vec<Vma>,
}

/// Where exec put what /proc shows.
#[derive(Clone, Default)]
pub struct Layout {
    pub arguments: (u64, u64),
    pub environment: (u64, u64),
    pub stack_start: u64,
    pub auxv: Vec<u8>,
    pub code: (u64, u64),
    pub data: (u64, u64),
    pub executable: Option<Arc<dyn MappedFile>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What makes two futex addresses the same futex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FutexKey {
    /// Memory of one address space.
    Private { space: u64, addr: u64 },
    /// Memory that others can map too: which object, and where in it.
    Shared { object: u64, offset: u64 },
}

/// By whose rights guest memory is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    /// The address space's own: what its areas allow.
    Own,
    /// A tracer's, who needs no rights to memory that is the address space's own or can become so.
    Tracer,
}

impl Inner {
    /// What an address space begins with.
    pub(super) fn fresh() -> Inner {
        let mut inner = Inner { mmap_top: model().user_top(), ..Inner::default() };
        if let Some(vdso) = model().vdso().filter(|vdso| vdso.end <= model().user_top()) {
            let area = |start, end, name, prot, flags| Vma {
                range: PageRange::new(start, end).expect("the vDSO lies in the guest's part"),
                prot,
                flags,
                backing: Backing::Model(name, prot),
                offset: 0,
                file: None,
            };
            let fixed = VmaFlags::NOWRITE | VmaFlags::NOEXEC;
            inner.vmas.insert(area(vdso.data, vdso.image, "[vvar]", Prot::READ, fixed));
            inner.vmas.insert(area(vdso.image, vdso.end, "[vdso]", Prot::READ | Prot::EXEC, VmaFlags::empty()));
            inner.mmap_top = vdso.data;
        }
        inner
    }
}

impl AddressSpace {
    /// An empty address space, but for the model's vDSO.
    pub fn new() -> Result<Arc<AddressSpace>> {
        let _host_memory = Charge::new(HOST_PROCESS)?;
        let host = model().new_space()?;
        let (id, inner) = (NEXT_ID.fetch_add(1, Ordering::Relaxed), KCell::new(Inner::fresh()));
        let barriers = KCell::new(0);
        let space = Arc::new_cyclic(|me| AddressSpace { id, inner, host, me: me.clone(), barriers, _host_memory });
        audit::register(space.me.clone());
        Ok(space)
    }

    /// The host's side, for entering user mode.
    pub fn host(&self) -> &dyn ModelSpace {
        &*self.host
    }

    pub fn layout(&self) -> Layout {
        self.inner.borrow().layout.clone()
    }

    pub fn set_layout(&self, change: impl FnOnce(&mut Layout)) {
        change(&mut self.inner.borrow_mut().layout);
    }

    /// The core's own way to the guest memory at `addr`: as many of `len` bytes as lie together, at
    /// least one (none if `len` is 0). With `write` the guest must be able to write there; copies
    /// on write are made first. EFAULT otherwise.
    ///
    /// A copy on write leaves behind what other CPUs' user code may still read. It becomes garbage,
    /// and whoever writes to another process's memory has to [`AddressSpace::collect`] it; a task's
    /// own is collected before it sleeps or goes back to user mode.
    pub fn window(&self, addr: u64, len: usize, write: bool) -> Result<GuestWindow> {
        if write {
            self.find_to_write(addr, len, Rights::Own, |found| found.keep())
        } else {
            self.find_to_read(addr, len, Rights::Own, |found| found.keep())
        }
    }

    /// Copies from the guest memory at `addr`: as many bytes as lie together, at least one. As
    /// through a window, but that nothing is held on to.
    pub(super) fn copy_in(&self, addr: u64, out: &mut [u8], rights: Rights) -> Result<usize> {
        self.find_to_read(addr, out.len(), rights, |found| found.get().read(out))?
    }

    /// As `copy_in`, in the other direction.
    pub(super) fn copy_out(&self, addr: u64, bytes: &[u8], rights: Rights) -> Result<usize> {
        self.find_to_write(addr, bytes.len(), rights, |found| found.get().write(bytes))?
    }

    /// Hands what is found to `then`, which must not look at the address space.
    #[inline]
    fn find_to_read<T>(&self, addr: u64, len: usize, rights: Rights, then: impl FnOnce(Found) -> T) -> Result<T> {
        if len == 0 {
            return Ok(then(Found::Window(GuestWindow::zeros(0, 0))));
        }
        let inner = &mut *self.inner.borrow_mut();
        let vma = match inner.vmas.find(addr) {
            Some(vma) => vma,
            // The model's own vDSO is in no list.
            None if addr >= model().user_top() => {
                return vdso_window(addr, len).map(|window| then(Found::Window(window)));
            }
            None => {
                self.reach(inner, addr)?;
                inner.vmas.find(addr).ok_or(Errno::EFAULT)?
            }
        };
        if vma.prot.is_empty() && rights == Rights::Own {
            return Err(Errno::EFAULT);
        }
        let len = len.min(to_usize(vma.end() - addr));
        let page = page_of(addr);
        let within = (addr % PAGE_SIZE) as usize;
        if let Some((first, run)) = inner.pages.find(page) {
            return Ok(then(Found::Frames(&run.frames, to_usize((page - first) * PAGE_SIZE) + within, len)));
        }
        // Up to the next private page, what is behind the area shows.
        let room = inner.pages.next_after(page).map_or(u64::MAX, |next| next * PAGE_SIZE - addr);
        let len = len.min(to_usize(room));
        let window = match &vma.backing {
            Backing::Anonymous => GuestWindow::zeros(within, len),
            Backing::Host(file) => host_window(file, vma.offset_of(addr), len)?,
            Backing::Pages(pages) => {
                let frames = source_frames(pages, page_of(vma.offset_of(addr)), pages_of(within, len), false)?;
                GuestWindow::of_frames(&frames.ok_or(Errno::EFAULT)?, within, len)
            }
            Backing::Model(..) => vdso_window(addr, len)?,
        };
        Ok(then(Found::Window(window)))
    }

    /// Sees to it that an area is at `addr`: a system call's access makes a stack grow as user
    /// code's own does, though no other process's.
    #[cold]
    fn reach(&self, inner: &mut Inner, addr: u64) -> Result<()> {
        let own = crate::sched::acting().and_then(|thread| thread.space_id());
        if own != Some(self.id) {
            return Err(Errno::EFAULT);
        }
        self.grow_down(inner, addr).map_err(|_| Errno::EFAULT)
    }

    /// As `find_to_read`, for memory that is to be written to.
    #[inline]
    fn find_to_write<T>(&self, addr: u64, len: usize, rights: Rights, then: impl FnOnce(Found) -> T) -> Result<T> {
        if len == 0 {
            return Ok(then(Found::Window(GuestWindow::zeros(0, 0))));
        }
        let inner = &mut *self.inner.borrow_mut();
        let vma = match inner.vmas.find(addr) {
            Some(vma) => vma,
            None => {
                self.reach(inner, addr)?;
                inner.vmas.find(addr).ok_or(Errno::EFAULT)?
            }
        };
        let can_be_own = rights == Rights::Tracer && !vma.is_shared() && !matches!(vma.backing, Backing::Model(..));
        if !vma.prot.contains(Prot::WRITE) && !can_be_own {
            return Err(Errno::EFAULT);
        }
        let len = len.min(to_usize(vma.end() - addr));
        if vma.is_shared() {
            return shared_window(vma, addr, len).map(|window| then(Found::Window(window)));
        }
        let page = page_of(addr);
        if let Some((frames, offset, len)) = inner.pages.unshared(addr, len) {
            return Ok(then(Found::Frames(frames, offset, len)));
        }
        let vma = vma.clone();
        self.make_private(inner, &vma, page).map_err(|_| Errno::EFAULT)?;
        let (frames, offset, len) = inner.pages.unshared(addr, len).ok_or(Errno::EFAULT)?;
        Ok(then(Found::Frames(frames, offset, len)))
    }

    /// Fills new frames with what is behind the pages [from, to) of a private file area: fewer
    /// where the file ends before.
    pub(super) fn copy_of_backing(
        &self,
        vma: &Vma,
        (from, to): (u64, u64),
        mut frames: Frames,
    ) -> std::result::Result<Frames, BadAccess> {
        let len = to_usize((to - from) * PAGE_SIZE);
        let window = frames.window(0, len);
        let offset = vma.offset_of(from * PAGE_SIZE);
        let mut done = 0;
        match &vma.backing {
            Backing::Host(file) => {
                use std::os::fd::AsFd;
                while done < len {
                    match window.slice(done, len).read_from(file.fd.as_fd(), Some(offset + done as u64)) {
                        Ok(0) => break,
                        Ok(n) => done += n,
                        Err(Errno::EINTR) => {}
                        Err(_) => return Err(BadAccess::PastEnd),
                    }
                }
            }
            Backing::Pages(pages) => {
                while done < len {
                    let at = offset + done as u64;
                    let count = frame_count((len - done) / PAGE);
                    let old = source_frames(pages, page_of(at), count, false).map_err(|_| BadAccess::OutOfMemory)?;
                    let Some(old) = old else { break };
                    let copied = window.slice(done, len).copy_from(&old.window(0, len - done));
                    done += copied.map_err(|_| BadAccess::PastEnd)?;
                }
            }
            Backing::Anonymous | Backing::Model(..) => {}
        }
        let pages = frame_count(done.div_ceil(PAGE));
        if pages == 0 {
            return Err(BadAccess::PastEnd);
        }
        window.slice(done, pages as usize * PAGE - done).zero();
        if pages < frames.count() {
            drop(frames.split_off(pages));
        }
        Ok(frames)
    }

    /// Puts frames of its own at `page` and has the host map them, the first `populate` of them
    /// brought in at once.
    pub(super) fn put_pages(&self, inner: &mut Inner, vma: &Vma, page: u64, frames: Frames, when: When, populate: u64) {
        let count = u64::from(frames.count());
        let offset = frames.offset();
        inner.pages.insert(page, Run { frames, host_ro: false });
        if vma.prot.is_empty() {
            return;
        }
        inner.mapped += 1;
        let map = |from: u64, to: u64, populate| {
            if let Some(range) = PageRange::of_pages(page + from, page + to) {
                let source = Source::Physmem { offset: offset + from * PAGE_SIZE };
                self.host.map(Mapping { range, prot: vma.prot, source, populate }, when);
            }
        };
        let populate = populate.min(count);
        map(0, populate, true);
        map(populate, count, false);
    }

    /// Has the host map the private runs within a range of `vma`; shared ones without write
    /// permission.
    pub(super) fn map_private(&self, inner: &mut Inner, vma: &Vma, range: PageRange, when: When) {
        if vma.prot.is_empty() {
            return;
        }
        inner.mapped += 1;
        for (first, run) in inner.pages.within_mut(range.first_page(), range.end_page()) {
            run.host_ro = vma.prot.contains(Prot::WRITE) && run.frames.is_shared();
            // Memory that may only be written can be read too on this CPU, and the first write must
            // fault.
            let prot = if run.host_ro { (vma.prot - Prot::WRITE).union(Prot::READ) } else { vma.prot };
            self.host.map(
                Mapping {
                    range: run_range(first, run),
                    prot,
                    source: Source::Physmem { offset: run.frames.offset() },
                    populate: false,
                },
                when,
            );
        }
    }

    /// Has the host map what is behind a range of `vma`, where there are no private frames. Returns
    /// one past the last page that is mapped now, which may lie before the range's end or after it.
    pub(super) fn map_backing(&self, vma: &Vma, range: PageRange, when: When) -> std::result::Result<u64, BadAccess> {
        if vma.prot.is_empty() {
            return Ok(range.first_page());
        }
        let prot = match vma.is_shared() {
            true => vma.prot,
            // As for private runs.
            false => (vma.prot - Prot::WRITE).union(Prot::READ),
        };
        let (from, to) = (range.first_page(), range.end_page());
        let offset = vma.offset_of(range.start());
        match &vma.backing {
            Backing::Host(file) => {
                // One order for the whole range, whichever page was asked for.
                let source = Source::File { file: file.clone(), offset, shared: vma.is_shared() };
                let (range, source) = if vma.is_shared() {
                    (vma.range, Source::File { file: file.clone(), offset: vma.offset, shared: true })
                } else {
                    (range, source)
                };
                self.host.map(Mapping { range, prot, source, populate: false }, when);
                Ok(range.end_page())
            }
            Backing::Pages(pages) => {
                // Around the page asked for, as far as the source gives it together.
                let write = vma.is_shared() && vma.prot.contains(Prot::WRITE);
                let mut page = from;
                let last = to.max(from + if vma.is_shared() { CHUNK } else { 0 }).min(vma.range.end_page());
                while page < last {
                    let at = page_of(vma.offset_of(page * PAGE_SIZE));
                    let most = u32::try_from(last - page).unwrap_or(u32::MAX);
                    let frames = match source_frames(pages, at, most, write) {
                        Ok(Some(frames)) => frames,
                        _ if page > from => return Ok(page),
                        Ok(None) => return Err(BadAccess::PastEnd),
                        Err(_) => return Err(BadAccess::OutOfMemory),
                    };
                    let count = u64::from(frames.count()).min(last - page);
                    let source = Source::Physmem { offset: frames.offset() };
                    let range = PageRange::of_pages(page, page + count).expect("within the area");
                    self.host.map(Mapping { range, prot, source, populate: false }, when);
                    page += count;
                }
                Ok(page)
            }
            Backing::Anonymous | Backing::Model(..) => Err(BadAccess::Refused),
        }
    }

    /// Lets go of what was taken out: not before no CPU's user code can reach it. The trap loop
    /// calls this before user code runs again, and the scheduler before a task sleeps. The big lock
    /// may be dropped meanwhile, so nothing of the core is borrowed.
    pub fn collect(&self) {
        let garbage = {
            let mut inner = self.inner.borrow_mut();
            if inner.garbage.is_empty() && inner.retired.is_empty() {
                return;
            }
            (std::mem::take(&mut inner.garbage), std::mem::take(&mut inner.retired))
        };
        self.host.sync();
        drop(garbage);
    }

    /// The futex at `addr`; `private` says that the caller looks for no other process's.
    pub fn futex_key(&self, addr: u64, private: bool) -> Result<FutexKey> {
        let own = FutexKey::Private { space: self.id, addr };
        if private {
            return Ok(own);
        }
        let inner = self.inner.borrow();
        let vma = inner.vmas.find(addr).ok_or(Errno::EFAULT)?;
        // The file's own page, which a private mapping shows too until it is written to.
        let of_file = vma.is_shared() || inner.pages.find(page_of(addr)).is_none();
        let object = match &vma.backing {
            Backing::Pages(pages) if of_file => Arc::as_ptr(pages).cast::<()>() as u64,
            Backing::Host(file) if of_file => Arc::as_ptr(file) as u64,
            // The caller's own page, which it must be able to write.
            _ if vma.prot.contains(Prot::WRITE) => return Ok(own),
            _ => return Err(Errno::EFAULT),
        };
        Ok(FutexKey::Shared { object, offset: vma.offset_of(addr) })
    }

    /// A free range of `len` bytes where mmap would place one.
    pub fn find_room(&self, len: u64) -> Result<u64> {
        let inner = self.inner.borrow();
        let len = round_up(len).ok_or(Errno::ENOMEM)?;
        inner.vmas.find_gap(USER_BOTTOM, inner.mmap_top, len).ok_or(Errno::ENOMEM)
    }

    /// Adds the stack at exec; mmap places nothing at or above `mmap_top` while there is room
    /// below.
    pub fn add_stack(&self, stack: Vma, mmap_top: u64) {
        let mut inner = self.inner.borrow_mut();
        inner.mmap_top = mmap_top;
        inner.vmas.insert(stack);
    }

    /// Whether user code may read at `addr`.
    pub fn is_readable(&self, addr: u64) -> bool {
        self.inner.borrow().vmas.find(addr).is_some_and(|vma| !vma.prot.is_empty())
    }

    /// Resident pages, as far as the core counts them: private ones.
    pub fn resident_pages(&self) -> u64 {
        self.inner.borrow().pages.count()
    }

    /// About how many bytes of the core's memory its areas and runs of pages take.
    pub fn bookkeeping(&self) -> usize {
        let inner = self.inner.borrow();
        2 * (inner.vmas.len() * size_of::<Vma>() + inner.pages.runs() * size_of::<(u64, Run)>())
    }

    /// The sums over all areas.
    pub fn totals(&self) -> Totals {
        self.inner.borrow().vmas.totals()
    }
}

/// Frames of a source, as [`PageSource::frames`] gives them. User code will reach them as long as
/// the area is there, so the source must keep them.
fn source_frames(pages: &Arc<dyn PageSource>, index: u64, max: u32, write: bool) -> Result<Option<Frames>> {
    let frames = pages.frames(index, max, write)?;
    if let Some(frames) = &frames {
        let kept = (0..frames.count()).all(|index| frames.is_shared_at(index));
        assert!(kept, "a source of pages gave frames away that it does not keep");
    }
    Ok(frames)
}

/// Bytes of a shared area, to be written to.
fn shared_window(vma: &Vma, addr: u64, len: usize) -> Result<GuestWindow> {
    match &vma.backing {
        Backing::Pages(pages) => {
            let within = (addr % PAGE_SIZE) as usize;
            let frames = source_frames(pages, page_of(vma.offset_of(addr)), pages_of(within, len), true)?;
            Ok(GuestWindow::of_frames(&frames.ok_or(Errno::EFAULT)?, within, len))
        }
        Backing::Host(file) => {
            let mut mapping = file.writable.borrow_mut();
            let mapping = match &*mapping {
                Some(mapping) => mapping.clone(),
                None => mapping.insert(Arc::new(FileMapping::shared(&file.fd)?)).clone(),
            };
            let window = GuestWindow::of_file(mapping, to_usize(vma.offset_of(addr)), len);
            if window.is_empty() { Err(Errno::EFAULT) } else { Ok(window) }
        }
        Backing::Anonymous | Backing::Model(..) => Err(Errno::EFAULT),
    }
}

/// The addresses of a run whose first page is `first`.
pub(super) fn run_range(first: u64, run: &Run) -> PageRange {
    PageRange::of_pages(first, first + u64::from(run.frames.count())).expect("runs lie in areas")
}

/// The vDSO's image, which every address space has at one place; its data pages cannot be looked
/// at.
fn vdso_window(addr: u64, len: usize) -> Result<GuestWindow> {
    let vdso = model().vdso().filter(|vdso| (vdso.image..vdso.end).contains(&addr)).ok_or(Errno::EFAULT)?;
    let offset = to_usize(addr - vdso.image);
    if offset >= umlab_host::vdso::image().len() {
        return Err(Errno::EFAULT);
    }
    Ok(GuestWindow::of_image(umlab_host::vdso::image(), offset, len))
}

/// The core's own view of a host file's bytes, cut to the file's length.
pub(super) fn host_window(file: &Arc<HostFile>, offset: u64, len: usize) -> Result<GuestWindow> {
    let mut mapping = file.mapping.borrow_mut();
    let end = to_usize(offset.saturating_add(1));
    let mapping = match &*mapping {
        Some(mapping) if mapping.len() >= end => mapping.clone(),
        _ => mapping.insert(Arc::new(FileMapping::private(&file.fd)?)).clone(),
    };
    let window = GuestWindow::of_file(mapping, to_usize(offset), len);
    if window.is_empty() { Err(Errno::EFAULT) } else { Ok(window) }
}
