//! What belongs to a task's kernel context, at the same addresses in all processes: an area of
//! shared memory with its kernel stack, its record and a block of thread-local storage for core
//! code; and a slot of its process's own memory, where the host puts the frame of a signal.
//!
//! Areas and slots are found from each other by arithmetic, so code that was just entered by a
//! signal, and knows nothing but its stack pointer, finds the record. An area, from the bottom:
//!
//! | what | |
//! |---|---|
//! | guard page | of the running task's own process |
//! | kernel stack | grows down from below the record |
//! | record | [`Record`] |
//! | extended state | of user code that has called the core |
//! | thread-local storage | of core code on this stack |
//!
//! A slot is the task's alternate signal stack while user code runs, and holds the frame then and
//! until user mode is entered again by a sigreturn from it. All that a task writes at the border
//! between user mode and the core lies there, so that all shared memory can be protected while user
//! code runs. Nothing in a slot is trusted that was not written since user code last ran: threads
//! of one address space can reach each other's. While the core runs there is no alternate stack:
//! its own faults are handled on the kernel stack.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use umlab_host::lock::SharedLock;
use umlab_host::memory::SharedMemory;
use umlab_host::{Errno, Result};

pub const AREA_SHIFT: usize = 19;
pub const AREA: usize = 1 << AREA_SHIFT;
/// Where the record begins within an area.
pub const RECORD_AT: usize = AREA - (32 << 10);
/// In each half there is room for the largest extended state there is today, and for what runs
/// below the frame. The host puts its frames into the upper one, and we make ours in the lower.
pub const SLOT_SHIFT: usize = 16;
pub const SLOT: usize = 1 << SLOT_SHIFT;
/// Where the extended state of user code lies that has called the core.
pub const EXTENDED_AT: usize = RECORD_AT + 1024;
/// Where the thread-local storage may begin.
const TLS_AT: usize = EXTENDED_AT + (12 << 10);
const AREAS: usize = 1 << 16;

/// A task's record. The assembly in `entry.rs` uses some fields; the warden and the tracer read and
/// write others, hence atomics.
#[repr(C)]
pub struct Record {
    /// Where the context left off: callee-saved registers and a return address lie there.
    pub kernel_rsp: AtomicU64,
    /// The thread pointer of core code.
    pub core_fs: AtomicU64,
    /// The thread pointer of user code, while the core runs.
    pub user_fs: AtomicU64,
    /// What the host task sleeps on: 1 when it is to go on.
    pub word: AtomicU32,
    /// It sleeps until another task hands the CPU over.
    pub parked: AtomicU32,
    pub trap_signal: AtomicU64,
    pub trap_info: AtomicU64,
    pub trap_frame: AtomicU64,
    /// The host task's number; the host writes it when it makes the task.
    pub tid: AtomicI32,
    /// The system call that was stopped; written by the tracer, where there is one.
    pub number: AtomicU64,
    pub compat: AtomicU32,
    /// What the task is to the tracer.
    pub mode: AtomicU32,
    /// Core code runs, or the context is switched away from. 0 from the way out of the core until
    /// the handler has left the slot again: who is killed there loses nothing but user mode.
    pub in_core: AtomicU32,
    /// User code has no time stamp counter. The core reads it in the same host task, so the way out
    /// takes it away and the way in brings it back.
    pub without_timestamps: AtomicU32,
    /// User code has called the core: its registers are in `call`, its extended state is behind the
    /// record. Otherwise a signal's frame has them.
    pub called: AtomicU32,
    /// The host delivers kicks while the core runs, as it was called from user mode.
    pub open: AtomicU32,
    /// One has come since user mode was last to be entered.
    pub kicked: AtomicU32,
    pub call: CallRegs,
    /// A thread of `uml`'s own, which no warden watches over.
    pub own: AtomicU32,
    /// The host task was killed by somebody else, and another one took its place.
    pub lost: AtomicU32,
    /// The host task ends, as it should.
    pub ending: AtomicU32,
    /// The host task is gone; nothing runs on the stack.
    pub gone: AtomicU32,
    /// The guest CPU it has, or last had.
    pub cpu: AtomicUsize,
    /// The host CPU the host task is pinned to.
    pub host_cpu: AtomicUsize,
    /// Counts returns to user mode.
    pub left: AtomicU32,
    /// The context; 0 when it was dropped.
    pub context: AtomicUsize,
}

/// The registers of user code that has called the core. rcx is where it goes on, r11 the flags.
#[repr(C)]
#[derive(Default)]
pub struct CallRegs {
    pub rip: AtomicU64,
    pub rsp: AtomicU64,
    pub flags: AtomicU64,
    pub rax: AtomicU64,
    pub rbx: AtomicU64,
    pub rdx: AtomicU64,
    pub rsi: AtomicU64,
    pub rdi: AtomicU64,
    pub rbp: AtomicU64,
    pub r8: AtomicU64,
    pub r9: AtomicU64,
    pub r10: AtomicU64,
    pub r12: AtomicU64,
    pub r13: AtomicU64,
    pub r14: AtomicU64,
    pub r15: AtomicU64,
}

const _: () = assert!(size_of::<Record>() <= EXTENDED_AT - RECORD_AT);

impl Record {
    /// The bottom of the area.
    pub fn base(&self) -> usize {
        std::ptr::from_ref::<Record>(self) as usize - RECORD_AT
    }

    /// Where the slot begins.
    pub fn slot(&self) -> usize {
        let areas = areas();
        areas.slots + areas.number_of(self) * SLOT
    }
}

struct Areas {
    memory: SharedMemory,
    /// Areas are taken from here downwards: the heap lies above, so what is used of both has page
    /// tables in common.
    end: usize,
    slots: usize,
    used: AtomicUsize,
    lock: SharedLock,
    /// Bit by bit: areas whose contexts were dropped; used again when their host tasks are gone.
    dropped: Vec<AtomicU64>,
    template: Vec<u8>,
    /// How much of the template lies below the thread pointer.
    below: usize,
}

static AREAS_OF_ALL: OnceLock<Areas> = OnceLock::new();

/// Reserves address space for all areas, and keeps the calling thread's thread-local storage as
/// what new ones begin with.
pub fn init() -> Result<()> {
    let memory = SharedMemory::new(c"umlab-stacks", AREAS * AREA)?;
    let end = (memory.base() as usize + memory.len()) & !(AREA - 1);
    let (prot, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
    // SAFETY: new memory, which the host fills as it is touched.
    let slots = unsafe { libc::mmap(std::ptr::null_mut(), AREAS * SLOT, prot, flags, -1, 0) };
    if slots == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    let slots = slots as usize;
    let (template, below) = tls_template()?;
    let dropped = (0..AREAS / 64).map(|_| AtomicU64::new(0)).collect();
    let areas =
        Areas { memory, end, slots, used: AtomicUsize::new(0), lock: SharedLock::new(), dropped, template, below };
    crate::entry::set_places(end, slots, AREAS * SLOT);
    let _ = AREAS_OF_ALL.set(areas);
    Ok(())
}

fn areas() -> &'static Areas {
    AREAS_OF_ALL.get().expect("the model was made")
}

/// The addresses of all areas that were ever used.
fn range() -> (usize, usize) {
    let areas = areas();
    (areas.end - areas.used.load(Relaxed) * AREA, areas.end)
}

/// The record of the area that an address lies in, if in any.
pub fn record_at(address: usize) -> Option<&'static Record> {
    let (start, end) = range();
    // SAFETY: areas stay mapped; records are valid from their first use on.
    (start..end).contains(&address).then(|| unsafe { &*(((address & !(AREA - 1)) + RECORD_AT) as *const Record) })
}

/// All records that were ever used.
pub fn all() -> impl Iterator<Item = &'static Record> {
    let (start, end) = range();
    (start..end).step_by(AREA).filter_map(record_at)
}

/// An area for a new context.
pub fn take() -> Result<&'static Record> {
    let areas = areas();
    areas.lock.lock();
    let number = areas.reusable().or_else(|| {
        let used = areas.used.load(Relaxed);
        // One is lost to alignment.
        (used < AREAS - 1).then(|| {
            areas.used.store(used + 1, Relaxed);
            used
        })
    });
    areas.lock.unlock();
    let base = areas.base(number.ok_or(Errno::EAGAIN)?);
    let at = (base + AREA - (areas.template.len() - areas.below)) & !63;
    assert!(at - areas.below >= base + TLS_AT, "the thread-local storage has its room");
    // SAFETY: the area is nobody else's now; everything written lies within it. The thread control
    // block begins with pointers to itself, at bytes 0 and 16.
    unsafe {
        std::ptr::copy_nonoverlapping(areas.template.as_ptr(), (at - areas.below) as *mut u8, areas.template.len());
        *(at as *mut usize) = at;
        *((at + 16) as *mut usize) = at;
        let record = (base + RECORD_AT) as *mut Record;
        std::ptr::write_bytes(record, 0, 1);
        (*record).core_fs = AtomicU64::new(at as u64);
        (*record).in_core = AtomicU32::new(1);
        Ok(&*record)
    }
}

/// The context was dropped. The area is used again when its host task is gone.
pub fn give_back(record: &'static Record) {
    let areas = areas();
    let number = areas.number_of(record);
    areas.dropped[number / 64].fetch_or(1 << (number % 64), SeqCst);
}

impl Areas {
    fn base(&self, number: usize) -> usize {
        self.end - (number + 1) * AREA
    }

    fn number_of(&self, record: &Record) -> usize {
        (self.end - record.base()) / AREA - 1
    }

    fn reusable(&self) -> Option<usize> {
        let words = self.used.load(Relaxed).div_ceil(64);
        for (index, word) in self.dropped[..words].iter().enumerate() {
            let mut bits = word.load(SeqCst);
            while bits != 0 {
                let number = index * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let record = record_at(self.base(number));
                if record.is_some_and(|record| record.gone.load(SeqCst) != 0) {
                    word.fetch_and(!(1 << (number % 64)), SeqCst);
                    return Some(number);
                }
            }
        }
        None
    }
}

/// The mapping that all areas lie in: address and length.
pub fn mapping() -> (usize, usize) {
    let memory = &areas().memory;
    (memory.base() as usize, memory.len())
}

/// Has the calling process fault where the stack ends, if the host can do that without splitting
/// the mapping (Linux 6.15). Elsewhere the next area's storage lies there; it takes core code some
/// hundred kilobytes to get so far. Returns whether the host can.
pub fn guard(record: &Record) -> bool {
    const MADV_GUARD_INSTALL: i32 = 102;
    // SAFETY: the last page of a stack that nothing has used so far.
    unsafe { libc::madvise(record.base() as *mut _, umlab_host::memory::PAGE, MADV_GUARD_INSTALL) == 0 }
}

/// A copy of the calling thread's thread-local storage with its control block, and how much of it
/// lies below the thread pointer.
fn tls_template() -> Result<(Vec<u8>, usize)> {
    /// More than the C library's thread control block has.
    const CONTROL_BLOCK: usize = 2304;
    let header = program_headers().find(|header| header.p_type == libc::PT_TLS).ok_or(Errno::ENOEXEC)?;
    let below = (header.p_memsz as usize).next_multiple_of((header.p_align as usize).max(64));
    let thread_pointer: usize;
    // SAFETY: the first word of the control block is its own address, by the ABI.
    unsafe { std::arch::asm!("mov {}, fs:0", out(reg) thread_pointer) };
    let mut template = vec![0u8; below + CONTROL_BLOCK];
    let size = header.p_memsz as usize;
    // SAFETY: the storage lies directly below the thread pointer, the control block from there on.
    unsafe {
        let from = (thread_pointer - size) as *const u8;
        std::ptr::copy_nonoverlapping(from, template.as_mut_ptr().add(below - size), size + CONTROL_BLOCK);
    }
    Ok((template, below))
}

/// The program's own headers.
pub fn program_headers() -> impl Iterator<Item = libc::Elf64_Phdr> {
    let at = umlab_host::auxv::get(libc::AT_PHDR) as *const libc::Elf64_Phdr;
    let count = umlab_host::auxv::get(libc::AT_PHNUM) as usize;
    // SAFETY: the host says that so many headers lie there.
    (0..count).map(move |i| unsafe { *at.add(i) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use umlab_host::memory::PAGE;

    /// How a child process ends that writes to a byte of an area whose stack it guards.
    fn end_of_a_write(record: &Record, at: usize) -> i32 {
        // SAFETY: the child only makes system calls and writes to shared memory that is nobody
        // else's.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::signal(libc::SIGSEGV, libc::SIG_DFL);
                let guarded = guard(record);
                ((record.base() + at) as *mut u8).write_volatile(1);
                libc::_exit(if guarded { 0 } else { 77 });
            }
            let mut status = 0;
            libc::waitpid(child, &raw mut status, 0);
            status
        }
    }

    #[test]
    fn areas_are_found_and_their_stacks_end_in_a_fault() {
        init().unwrap();
        areas().memory.inherit();
        let (one, other) = (take().unwrap(), take().unwrap());
        assert_eq!(one.base() - other.base(), AREA);
        assert_eq!(other.slot() - one.slot(), SLOT);
        for record in [one, other] {
            assert!(std::ptr::eq(record_at(record.base() + 12345).unwrap(), record));
        }
        assert!(record_at(one.base() + AREA).is_none());
        let status = end_of_a_write(one, PAGE);
        if libc::WEXITSTATUS(status) == 77 {
            return eprintln!("this host has no guard pages");
        }
        assert_eq!(status, 0, "above the guard");
        assert_eq!(libc::WTERMSIG(end_of_a_write(one, PAGE - 1)), libc::SIGSEGV);
    }
}
