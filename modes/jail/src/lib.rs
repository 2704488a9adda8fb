//! tt-jail: [tt](umlab_tt) with the core's memory write-protected while user code runs.
//!
//! On the way out of the core its variables, heap, physmem and kernel stacks become read-only in
//! that address space; the first thing on the way in makes them writable again. (Its text is never
//! writable.) What the way out still writes lies in the slots of the tasks of this address space,
//! which is no other's memory. Guests can read the core. The cost grows with the page-table entries
//! of the core's memory.
//!
//! The rights are those of an address space, so two CPUs in one would undo each other's protection:
//! there is one CPU.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;
use umlab_host::memory::SharedMemory;
use umlab_model::{CannotRun, Isolation, Model, physmem};
use umlab_tasks::area::{self, Record};
use umlab_tasks::{Guard, KNOWN_FAILURES, Tasks, image, probe};
use umlab_tt::Options;

umlab_model::counters! {
    protection_changes protection_remaps protection_ns
}

/// tt-jail as people choose it.
pub static MODELS: &[Model] = &[Model {
    name: "tt-jail",
    description: "tt, with the core's memory write-protected while guests run; one CPU",
    options: &["sysemu=on", "sysemu=off", "forget=on", "forget=off"],
    most_cpus: Some(1),
    isolation: Isolation::ReadOnlyCore,
    known_failures: KNOWN_FAILURES,
    probe: || probe().map(|()| String::new()),
    make: |cpus, options| {
        let forget = !options.contains(&"forget=off");
        Ok(Box::new(make(cpus, Options::of(options), forget)?))
    },
}];

/// `forget` says to keep small what the core has touched of physmem.
fn make(cpus: usize, options: Options, forget: bool) -> Result<Tasks, CannotRun> {
    if cpus > 1 {
        return Err("the core's memory is protected for a whole address space, so its guests have one CPU".into());
    }
    FORGET.store(forget, Relaxed);
    umlab_tt::make("tt-jail", cpus, options, Some(Guard { prepare, leave, enter, counters }))
}

/// The core's memory: address and length of its parts; its variables are the last one. Those of
/// what lies side by side are one.
fn parts() -> &'static [(usize, usize)] {
    static PARTS: OnceLock<Vec<(usize, usize)>> = OnceLock::new();
    PARTS.get_or_init(|| {
        let of = |memory: &SharedMemory| (memory.base() as usize, memory.len());
        let mut all = vec![area::mapping(), of(physmem::memory()), of(umlab_host::arena::heap())];
        all.sort_unstable();
        all.dedup_by(|next, last| {
            let adjacent = last.0 + last.1 == next.0;
            if adjacent {
                last.1 += next.1;
            }
            adjacent
        });
        all.push(image::data());
        all
    })
}

/// Changes the rights of parts of the core's memory. Nothing but the slot is written to: no errno,
/// that is.
fn protect(parts: &[(usize, usize)], prot: i32) {
    for &(start, len) in parts {
        let result: i64;
        // SAFETY: the core's own mappings, which nothing writes to until they are writable again.
        unsafe {
            std::arch::asm!("syscall", inlateout("rax") libc::SYS_mprotect => result, in("rdi") start, in("rsi") len,
                in("rdx") prot, lateout("rcx") _, lateout("r11") _);
        }
        if result != 0 {
            // User code must not run then. The warden sees the task end, and ends the guest.
            // SAFETY: a plain number.
            unsafe { libc::syscall(libc::SYS_exit_group, 1) };
        }
    }
}

/// So often a task maps physmem anew on its way out. What the core touched of it until then has
/// page-table entries that each later change of rights has to walk; a new mapping has none, and the
/// few pages that are used all the time are soon back.
const FORGET_EVERY: u32 = 16;
/// `tt-jail,forget=off` shows what it costs without.
static FORGET: AtomicBool = AtomicBool::new(true);

/// How long the host's memory management kept us, for the counters. The last part of the way out is
/// not in it: the counter lies there.
fn took(since: Instant) {
    count(|c| &c.protection_ns, since.elapsed().as_nanos() as u64);
}

fn prepare(record: &Record) {
    count(|c| &c.protection_changes, 2 * parts().len() as u64);
    let begin = Instant::now();
    // Files that the core has mapped to write to: they are mapped again when they are touched.
    umlab_host::memory::unmap_files();
    if FORGET.load(Relaxed) && record.left.fetch_add(1, Relaxed).is_multiple_of(FORGET_EVERY) {
        count(|c| &c.protection_remaps, 1);
        physmem::memory().map_anew();
    }
    took(begin);
}

extern "C" fn leave(_record: &Record) {
    let (variables, rest) = parts().split_last().expect("there are variables");
    let begin = Instant::now();
    protect(rest, libc::PROT_READ);
    took(begin);
    protect(std::slice::from_ref(variables), libc::PROT_READ);
}

extern "C" fn enter(_record: &Record) {
    let begin = Instant::now();
    protect(parts(), libc::PROT_READ | libc::PROT_WRITE);
    took(begin);
}
