//! The global allocator of `uml`: a heap on a shared memory object.
//!
//! Core state must be shareable between host processes (tt has the core in every guest's process),
//! so nothing that the core allocates may lie in memory that only one process has. The heap is one
//! long mapping of one memory object, which keeps its address; a model that runs the core in
//! several processes maps the same object at the same place in each. The lock works between
//! processes.

use crate::limits;
use crate::lock::SharedLock;
use crate::memory::{PAGE, SharedMemory};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use talc::{OomHandler, Span, Talc, Talck};

/// Address space of the heap. Memory is used only for what was allocated.
const CAPACITY: usize = 1 << 36;
/// The heap grows by at least as much.
const STEP: usize = 1 << 20;

struct RawSharedLock(SharedLock);

// SAFETY: SharedLock excludes, whoever calls.
unsafe impl lock_api::RawMutex for RawSharedLock {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: RawSharedLock = RawSharedLock(SharedLock::new());
    type GuardMarker = lock_api::GuardSend;

    fn lock(&self) {
        self.0.lock();
    }

    fn try_lock(&self) -> bool {
        self.0.try_lock()
    }

    unsafe fn unlock(&self) {
        self.0.unlock();
    }
}

/// Grows the heap within the mapping.
struct Grow {
    used: usize,
    heap: Span,
}

fn memory() -> &'static SharedMemory {
    static MEMORY: OnceLock<SharedMemory> = OnceLock::new();
    MEMORY.get_or_init(|| {
        limits::raise();
        SharedMemory::new(c"umlab-core", CAPACITY)
            .unwrap_or_else(|e| limits::give_up("cannot have address space for the guest kernel's memory", e))
    })
}

/// The heap's memory: for models that share it between processes.
pub fn heap() -> &'static SharedMemory {
    memory()
}

impl OomHandler for Grow {
    fn handle_oom(talc: &mut Talc<Self>, layout: Layout) -> Result<(), ()> {
        let memory = memory();
        // Room for the allocator's own bookkeeping, too.
        let wanted = layout.size().saturating_add(layout.align()).saturating_add(PAGE);
        let step = wanted.max(STEP).next_multiple_of(PAGE);
        let used = talc.oom_handler.used;
        if step > CAPACITY - used {
            return Err(());
        }
        let base = memory.base();
        let (start, end) = (base.wrapping_add(used), base.wrapping_add(used + step));
        talc.oom_handler.used += step;
        HELD.store(talc.oom_handler.used, Relaxed);
        let old = talc.oom_handler.heap;
        // SAFETY: the memory lies in the mapping, which stays for good, and nobody else uses it.
        talc.oom_handler.heap = unsafe {
            if old.is_empty() { talc.claim(Span::new(start, end))? } else { talc.extend(old, Span::new(base, end)) }
        };
        Ok(())
    }
}

/// The allocator; `#[global_allocator] static HEAP: SharedHeap = SharedHeap::new();`
pub struct SharedHeap(Talck<RawSharedLock, Grow>);

impl SharedHeap {
    pub const fn new() -> SharedHeap {
        SharedHeap(Talck::new(Talc::new(Grow { used: 0, heap: Span::empty() })))
    }
}

impl Default for SharedHeap {
    fn default() -> Self {
        SharedHeap::new()
    }
}

/// Bytes that are allocated now, of all heaps of this process: there is but one outside of tests.
static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// Bytes of the heap that were ever allocated, which stay its own: likewise of all heaps.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// How long the heap has grown, in bytes.
pub fn held() -> usize {
    HELD.load(Relaxed)
}

/// Bytes of the heap that are allocated now.
pub fn in_use() -> usize {
    IN_USE.load(Relaxed)
}

// SAFETY: Talck is an allocator; this only passes calls on, and counts.
unsafe impl GlobalAlloc for SharedHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is Talck's.
        let at = unsafe { self.0.alloc(layout) };
        if !at.is_null() {
            IN_USE.fetch_add(layout.size(), Relaxed);
        }
        at
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's contract is Talck's.
        unsafe { self.0.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's contract is Talck's.
        let new = unsafe { self.0.realloc(at, layout, size) };
        if !new.is_null() {
            // The difference, also when it is negative.
            IN_USE.fetch_add(size.wrapping_sub(layout.size()), Relaxed);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_and_takes_back() {
        let heap = SharedHeap::new();
        let mut blocks = Vec::new();
        for i in 1..2000usize {
            let layout = Layout::from_size_align(i * 37 % 9000 + 1, 1 << (i % 8)).unwrap();
            // SAFETY: the layout's size is not zero; what was given is written within its size and
            // given back once.
            unsafe {
                let block = heap.alloc(layout);
                assert!(!block.is_null() && (block as usize).is_multiple_of(layout.align()));
                block.write_bytes(i as u8, layout.size());
                blocks.push((block, layout, i as u8));
            }
        }
        for (block, layout, value) in blocks {
            // SAFETY: as above.
            unsafe {
                assert_eq!(*block.add(layout.size() - 1), value);
                heap.dealloc(block, layout);
            }
        }
    }
}
