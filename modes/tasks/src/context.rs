//! Kernel contexts: host tasks, made by cloning the one that runs, and the hand-over between them.

use crate::area::{self, Record};
use crate::cpu::{self, count};
use crate::entry;
use crate::space::{Mm, TaskSpace};
use crate::spare;
use crate::warden;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;
use umlab_host::{Errno, Result};
use umlab_model::lock::KCell;
use umlab_model::{Context, ContextMain, ModelSpace};

/// Descriptors and the working directory are the core's own, whichever process it runs in; children
/// are children of `uml`, and the host puts their number into the record.
const SHARED: u64 = (libc::CLONE_FILES | libc::CLONE_FS | libc::CLONE_PARENT_SETTID | libc::CLONE_SETTLS) as u64;

/// Of what a guest task clones.
fn flags() -> u64 {
    SHARED | libc::CLONE_PARENT as u64 | crate::interception().clone_flags() | libc::SIGCHLD as u64
}

pub struct TaskContext {
    pub record: &'static Record,
    /// The host address space it lives in; none for the threads that idle.
    pub mm: KCell<Option<Arc<Mm>>>,
    start: KCell<Option<ContextMain>>,
}

impl TaskContext {
    fn make(main: Option<ContextMain>) -> Result<Arc<TaskContext>> {
        let record = area::take()?;
        let context = Arc::new(TaskContext { record, mm: KCell::new(None), start: KCell::new(main) });
        record.context.store(Arc::as_ptr(&context) as usize, SeqCst);
        Ok(context)
    }

    /// The context of a thread that idles for a CPU.
    pub fn of_cpu(number: usize) -> Result<Arc<TaskContext>> {
        let context = TaskContext::make(None)?;
        let record = context.record;
        record.tid.store(umlab_host::thread::id(), SeqCst);
        record.cpu.store(number, SeqCst);
        record.host_cpu.store(cpu::all()[number].host_cpu.load(SeqCst), SeqCst);
        record.own.store(1, SeqCst);
        Ok(context)
    }

    pub fn with_main(space: Option<&dyn ModelSpace>, main: ContextMain) -> Result<Arc<dyn Context>> {
        let context = TaskContext::make(Some(main))?;
        entry::prepare(context.record, context_main, Arc::as_ptr(&context) as usize);
        let own = current();
        let own_mm = own.mm.cloned();
        context.record.host_cpu.store(own.record.host_cpu.load(Relaxed), SeqCst);
        let shared = space.map(crate::space::own).and_then(TaskSpace::mm);
        let result = match (own_mm, shared) {
            // The first one of all.
            (None, _) => {
                context.mm.set(Some(Mm::with_one()));
                warden::make_first(context.record)
            }
            (Some(mm), Some(shared)) if Arc::ptr_eq(&mm, &shared) => {
                count(|c| &c.host_tasks_made, 1);
                mm.tasks.set(mm.tasks.get() + 1);
                context.mm.set(Some(mm));
                clone(context.record, libc::CLONE_VM as u64)
            }
            _ => {
                context.mm.set(Some(Mm::with_one()));
                match spare::hire(context.record, true) {
                    Some(spare) => {
                        spare.wake();
                        Ok(())
                    }
                    None => {
                        count(|c| &c.host_processes_made, 1);
                        clone(context.record, 0)
                    }
                }
            }
        };
        match result {
            Ok(()) => Ok(context),
            Err(e) => {
                context.leave_mm();
                context.record.gone.store(1, SeqCst);
                Err(e)
            }
        }
    }

    /// Returns the address space if nobody else lives there.
    fn leave_mm(&self) -> Option<Arc<Mm>> {
        let mm = self.mm.take()?;
        mm.tasks.set(mm.tasks.get() - 1);
        (mm.tasks.get() == 0).then_some(mm)
    }
}

impl Drop for TaskContext {
    fn drop(&mut self) {
        self.record.context.store(0, SeqCst);
        area::give_back(self.record);
    }
}

impl Context for TaskContext {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is_lost(&self) -> bool {
        self.record.lost.load(SeqCst) != 0
    }
}

fn own(context: &dyn Context) -> &TaskContext {
    context.as_any().downcast_ref().expect("the core passes contexts of this model")
}

/// The context that runs. Valid until the task switches away for good.
pub fn current<'a>() -> &'a TaskContext {
    // SAFETY: whoever runs keeps its context alive, and stored it there.
    unsafe { &*(cpu::record().context.load(Relaxed) as *const TaskContext) }
}

fn clone(record: &Record, flags: u64) -> Result<()> {
    // SAFETY: the record's area is prepared for its first turn.
    Errno::check_raw(unsafe { entry::umlab_task_clone(self::flags() | flags, record) })?;
    Ok(())
}

/// A host task that no other guest task clones, as a child of the warden.
pub fn seed(record: &Record, first: extern "C" fn(&Record)) -> Result<()> {
    // SAFETY: as above.
    let pid = Errno::check_raw(unsafe { entry::umlab_task_seed(SHARED | libc::SIGCHLD as u64, record, first) })?;
    // The warden runs on several CPUs. For speed only.
    let _ = umlab_host::thread::allow(pid as i32, [record.host_cpu.load(SeqCst)]);
    Ok(())
}

/// Goes on in another host process, with a host address space of its own: a spare one where the
/// task has nothing in its slot (`fresh`), or a new one, which is a copy of this one.
pub fn rehost(context: &TaskContext, fresh: bool) -> Result<Arc<Mm>> {
    let record = context.record;
    match fresh.then(|| spare::hire(record, false)).flatten() {
        Some(spare) => {
            let host_cpu = record.host_cpu.load(Relaxed);
            if spare.host_cpu() != host_cpu {
                let _ = umlab_host::thread::allow(spare.tid.load(SeqCst), [host_cpu]);
            }
            // SAFETY: the stack is in shared memory; the process that is left does not touch it
            // once the other one goes on.
            unsafe { entry::umlab_task_take_over(record, spare) };
        }
        None => {
            count(|c| &c.host_processes_replaced, 1);
            // SAFETY: as above.
            Errno::check_raw(unsafe { entry::umlab_task_rehost(flags(), record) })?;
            if let Some(born) = crate::interception().born() {
                born(record);
            }
        }
    }
    area::guard(record);
    context.leave_mm();
    let mm = Mm::with_one();
    context.mm.set(Some(mm.clone()));
    Ok(mm)
}

/// Gives the CPU of the context that runs to another one.
fn hand_cpu_to(to: &Record) {
    count(|c| &c.handovers, 1);
    let number = cpu::current();
    to.cpu.store(number, SeqCst);
    place(to, number);
}

/// Has a record's host task run where the guest CPU does. For speed only.
pub fn place(record: &Record, number: usize) {
    let host_cpu = cpu::all()[number].host_cpu.load(Relaxed);
    if record.host_cpu.load(Relaxed) != host_cpu {
        record.host_cpu.store(host_cpu, SeqCst);
        let _ = umlab_host::thread::allow(record.tid.load(SeqCst), [host_cpu]);
    }
}

pub fn switch(from: &dyn Context, to: &dyn Context) {
    let (from, to) = (own(from).record, own(to).record);
    hand_cpu_to(to);
    // SAFETY: `from` is what runs; `to` waits for its turn, and its task keeps it alive.
    unsafe { entry::umlab_task_switch(from, to) };
}

extern "C" fn context_main(argument: usize) -> ! {
    // SAFETY: the scheduler keeps the context alive while it runs.
    let context = unsafe { &*(argument as *const TaskContext) };
    area::guard(context.record);
    let main = context.start.replace(None).expect("a context starts once");
    let next = main();
    let to = own(&*next).record;
    drop(next);
    let record = context.record;
    let spare = context.leave_mm().and_then(|mm| spare::place(record, &mm));
    hand_cpu_to(to);
    record.ending.store(1, SeqCst);
    // SAFETY: whoever is switched to is held by its task or its CPU.
    unsafe {
        match spare {
            Some(spare) => {
                record.gone.store(1, SeqCst);
                entry::umlab_task_retire(to, spare)
            }
            None => entry::umlab_task_finish(to),
        }
    }
}
