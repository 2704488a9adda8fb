//! tt-jail: [tt](umlab_tt) with the core's memory write-protected while user code runs.
//!
//! On the way out of the core its variables, heap, physmem and all kernel stacks but the current one become read-only in
//! that address space; the first thing on the way in makes them writable again. (Its text is never writable.) What the way out still writes
//! lies in the current task's area. Guests can read the core. The cost grows with the page-table entries of the core's memory.
//!
//! The rights are those of an address space, so two CPUs in one would undo each other's protection: there is one CPU.

use std::sync::Arc;
use umlab_kernel::mm::frames;
use umlab_kernel::model::{Context, ContextMain, ModelSpace, ProcessModel, UserThread, Vdso};
use umlab_tt::area::{self, AREA, Record};
use umlab_tt::guard::{self, Guard};
use umlab_tt::{Options, Tt, image};

pub struct Jail(Tt);

impl Jail {
    pub fn new(cpus: usize, options: Options) -> Result<Jail, String> {
        if cpus > 1 {
            return Err(
                "it has one CPU (say --cpus 1): the core's memory is protected for a whole address space, while \
                        another CPU could be in the core there"
                    .into(),
            );
        }
        let tt = Tt::new("tt-jail", cpus, options)?;
        guard::set(Guard { leave, enter });
        Ok(Jail(tt))
    }
}

/// The core's memory: address and length of each part, the kernel stacks below and above the current one among them.
fn parts(record: &Record) -> [(usize, usize); 5] {
    let own = record.base();
    let (stacks, end) = area::range();
    let physmem = frames::memory();
    let heap = umlab_host::arena::heap().map_or((0, 0), |heap| (heap.base() as usize, heap.len()));
    [
        image::data(),
        heap,
        (physmem.base() as usize, physmem.len()),
        (stacks, own - stacks),
        (own + AREA, end.saturating_sub(own + AREA)),
    ]
}

/// No more than system calls: when `prot` is to read, part of what could be written is read-only already.
fn protect(record: &Record, prot: i32) {
    for (start, len) in parts(record) {
        if len > 0 {
            // SAFETY: the core's own mappings; nothing of them but the current area is written until they are writable again.
            unsafe { libc::mprotect(start as *mut _, len, prot) };
        }
    }
}

fn leave(record: &Record) {
    umlab_tt::count(|c| &c.jail_mprotects, 2 * parts(record).iter().filter(|part| part.1 > 0).count() as u64);
    protect(record, libc::PROT_READ);
}

fn enter(record: &Record) {
    protect(record, libc::PROT_READ | libc::PROT_WRITE);
}

impl ProcessModel for Jail {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn user_top(&self) -> u64 {
        self.0.user_top()
    }
    fn vdso(&self) -> Option<Vdso> {
        self.0.vdso()
    }
    fn new_space(&self) -> umlab_host::Result<Box<dyn ModelSpace>> {
        self.0.new_space()
    }
    fn new_thread(&self) -> Box<dyn UserThread> {
        self.0.new_thread()
    }
    fn new_context(&self, space: Option<&dyn ModelSpace>, main: ContextMain) -> umlab_host::Result<Arc<dyn Context>> {
        self.0.new_context(space, main)
    }
    fn switch(&self, from: &dyn Context, to: &dyn Context) {
        self.0.switch(from, to)
    }
    fn run_cpus(&self, count: usize, main: &(dyn Fn(usize, Arc<dyn Context>) + Sync)) {
        self.0.run_cpus(count, main)
    }
    fn current_cpu(&self) -> usize {
        self.0.current_cpu()
    }
    fn kick(&self, cpu: usize) {
        self.0.kick(cpu)
    }
    fn idle(&self, deadline: Option<u64>) {
        self.0.idle(deadline)
    }
    fn set_alarm(&self, deadline: Option<u64>) {
        self.0.set_alarm(deadline)
    }
    fn counters(&self) -> Vec<(&'static str, u64)> {
        self.0.counters()
    }
}
