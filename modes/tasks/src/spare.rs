//! Spare host processes. One whose guest process has ended is kept, with no guest mappings, for the
//! next guest process: to clone a host process, to end it, and to have the core's memory mapped
//! page by page in each new one costs more than the guest's fork does.

use crate::area::Record;
use crate::cpu::count;
use crate::{entry, space, warden};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use umlab_host::lock::futex_wake;

/// A place for a spare process. The assembly in `entry.rs` uses some fields.
#[repr(C)]
pub struct Spare {
    /// What it sleeps on: 1 when it is wanted.
    pub word: AtomicU32,
    pub state: AtomicU32,
    pub tid: AtomicI32,
    /// The host CPU it is pinned to.
    host_cpu: AtomicUsize,
    /// Whose host process it becomes.
    pub record: AtomicUsize,
    /// The segment selectors of the running task, which user code finds again: ds, es, fs and gs,
    /// from the lowest 16 bits on.
    pub selectors: AtomicU64,
    /// The host process that ends when this one takes its context over.
    pub leaver: AtomicI32,
}

impl Spare {
    const fn none() -> Spare {
        Spare {
            word: AtomicU32::new(0),
            state: AtomicU32::new(NONE),
            tid: AtomicI32::new(0),
            host_cpu: AtomicUsize::new(0),
            record: AtomicUsize::new(0),
            selectors: AtomicU64::new(0),
            leaver: AtomicI32::new(0),
        }
    }

    /// What it is pinned to.
    pub fn host_cpu(&self) -> usize {
        self.host_cpu.load(SeqCst)
    }

    /// Has it go on as the host process of this record: with its born function, and a wait for the
    /// record's turn.
    pub fn wake(&self) {
        self.word.store(1, SeqCst);
        futex_wake(&self.word, 1);
    }
}

/// The place is free.
pub const NONE: u32 = 0;
/// Of a process that has the CPU still.
const LEAVING: u32 = 1;
/// A process waits there, or is about to.
pub const WAITS: u32 = 2;
/// It has a record, and has not yet left the place.
const HIRED: u32 = 3;

/// More are not kept: each has page tables for the core's memory.
const MOST: usize = 8;

/// Those who leave and those who hire have the big lock. The warden has not, and takes no lock that
/// a task which was killed may hold.
static SPARES: [Spare; MOST] = [const { Spare::none() }; MOST];

/// A place for the running process, which has no task but the one of this record, which ends. None
/// if it is not to be kept. The caller goes there by [`entry::umlab_task_retire`], where it empties
/// the guest's part. Until then, it must not touch memory that is mapped when it is missing: all
/// signals are blocked.
pub fn place(record: &Record, mm: &space::Mm) -> Option<&'static Spare> {
    if warden::is_stopping() {
        return None;
    }
    let spare = SPARES.iter().find(|spare| spare.state.load(SeqCst) == NONE)?;
    mm.disown();
    count(|c| &c.spaces_emptied, 1);
    // Others would keep them, and the files, for as long as the process lives.
    umlab_host::memory::unmap_files();
    // Whoever has its stack and its slot next must not find a signal's frame there.
    entry::block_signals();
    entry::no_alternate_stack();
    spare.word.store(0, SeqCst);
    spare.leaver.store(0, SeqCst);
    spare.host_cpu.store(record.host_cpu.load(SeqCst), SeqCst);
    spare.tid.store(record.tid.load(SeqCst), SeqCst);
    spare.state.store(LEAVING, SeqCst);
    // From here on the process is the place's, and the stack nobody's: it is used again when the
    // context is dropped, for which the CPU has to be handed over.
    record.tid.store(0, SeqCst);
    Some(spare)
}

/// Core code uses none of them: they are user code's.
fn selectors() -> u64 {
    let (ds, es, fs, gs): (u64, u64, u64, u64);
    // SAFETY: the registers are only read.
    unsafe {
        std::arch::asm!("mov {:e}, ds", "mov {:e}, es", "mov {:e}, fs", "mov {:e}, gs",
            out(reg) ds, out(reg) es, out(reg) fs, out(reg) gs, options(nomem, nostack, preserves_flags));
    }
    ds | es << 16 | fs << 32 | gs << 48
}

/// A spare process for this record, which is not yet to be woken. For a context that has not begun
/// its number is the record's at once; otherwise it enters that itself.
pub fn hire(record: &Record, begins: bool) -> Option<&'static Spare> {
    let found = SPARES.iter().filter(|spare| spare.state.load(SeqCst) == WAITS).find(|spare| {
        spare.record.store(std::ptr::from_ref(record).addr(), SeqCst);
        spare.selectors.store(selectors(), SeqCst);
        if begins {
            record.tid.store(spare.tid.load(SeqCst), SeqCst);
        }
        // It may have been killed.
        spare.state.compare_exchange(WAITS, HIRED, SeqCst, SeqCst).is_ok()
    });
    match found {
        Some(spare) => {
            count(|c| &c.host_processes_reused, 1);
            if begins {
                record.host_cpu.store(spare.host_cpu(), SeqCst);
            }
        }
        None if begins => record.tid.store(0, SeqCst),
        None => {}
    }
    found
}

/// Sees to the end of a spare process, and of one that a spare one takes over from. False if it was
/// neither.
pub fn on_end(pid: i32) -> bool {
    if warden::is_stopping() {
        return numbers().any(|number| number == pid);
    }
    for spare in &SPARES {
        let ended = || spare.tid.load(SeqCst) == pid;
        if spare.state.load(SeqCst) == WAITS
            && ended()
            && spare.state.compare_exchange(WAITS, NONE, SeqCst, SeqCst).is_ok()
        {
            return true;
        }
        match spare.state.load(SeqCst) {
            LEAVING if ended() => {
                warden::fatal("a host process was killed when it had ended a task: the guest ends");
            }
            HIRED if spare.leaver.load(SeqCst) == pid => {
                // It may not have come to that.
                spare.wake();
                return true;
            }
            HIRED if ended() => {
                let record = crate::area::record_at(spare.record.load(SeqCst));
                if record.is_none_or(|record| record.tid.load(SeqCst) != pid) {
                    warden::fatal("a host process was killed while it took over from another: the guest ends");
                }
                // A context that has not begun gets another host process.
                spare.state.store(NONE, SeqCst);
                return false;
            }
            _ => {}
        }
    }
    false
}

/// The numbers of all that wait.
pub fn numbers() -> impl Iterator<Item = i32> {
    SPARES.iter().filter(|spare| spare.state.load(SeqCst) != NONE).map(|spare| spare.tid.load(SeqCst))
}
