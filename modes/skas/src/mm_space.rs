//! Guest address spaces on a patched host (skas3): descriptors of `/proc/mm`.
//!
//! There is one host address space for each guest's, whatever the CPUs that run its threads, and
//! the core changes it from outside: the host sees to it that no CPU uses what was taken away.
//! Changes are still collected, because one call for many is cheaper, and because most of them can
//! wait until somebody enters user mode there.
//!
//! Collected changes are carried out in their order, under the big lock: if two CPUs did it
//! without, an older mapping could come to lie over a newer one. With a single CPU nobody can be
//! overtaken, and the host does all of it on the way to user mode: changes, hop and resumption in
//! one call.

use crate::cpu::{self, count};
use crate::runner::Runner;
use crate::stub::Loaded;
use crate::thread::{Entry, UserSpace};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use umlab_host::proc_mm::{AddressSpace, FaultInfo, Op, Progress, fault_info};
use umlab_host::ptrace::{Resume, Tracee};
use umlab_host::{Errno, Result};
use umlab_model::lock::KCell;
use umlab_model::{
    Access, BackingFile, CannotRun, HostMap, Mapping, ModelSpace, PageRange, Prot, TASK_SIZE, Trap, When,
};
use umlab_stubs::PUT_OFF;

/// Which of the host's two interfaces is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interface {
    /// As of 2002: a write for each change, a request for the hop, a request for the resumption.
    Write,
    /// Batches, joined with hop and resumption.
    Batch,
}

/// As many changes go into one call at most.
const MOST: usize = 1024;

#[derive(Default)]
pub struct Changes {
    ops: Vec<Op>,
    /// Keeps descriptors open that they name.
    files: Vec<Arc<dyn BackingFile>>,
    /// One of them takes something away or was asked for now.
    urgent: bool,
}

pub struct MmSpace {
    /// Told apart by this from all other spaces of this guest, present and past.
    number: u64,
    handle: Arc<AddressSpace>,
    interface: Interface,
    changes: KCell<Changes>,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

impl MmSpace {
    pub fn new(interface: Interface) -> Result<MmSpace> {
        let handle = Arc::new(AddressSpace::new()?);
        Ok(MmSpace { number: NUMBERS.fetch_add(1, Relaxed), handle, interface, changes: KCell::default() })
    }

    fn push(&self, op: Op, file: Option<Arc<dyn BackingFile>>, urgent: bool) {
        let mut changes = self.changes.borrow_mut();
        changes.ops.push(op);
        changes.files.extend(file);
        changes.urgent |= urgent || changes.ops.len() >= PUT_OFF;
    }

    /// Whether changes can go along into user mode.
    fn joins(&self, changes: &Changes) -> bool {
        self.interface == Interface::Batch && cpu::all().len() == 1 && changes.ops.len() <= MOST
    }

    /// Carries out all changes, in the big lock.
    fn carry_out(&self) -> Result<()> {
        let Changes { mut ops, files: _files, .. } = self.changes.take();
        let mut rest = &mut ops[..];
        while !rest.is_empty() {
            let progress = match self.interface {
                Interface::Batch => {
                    count(|c| &c.mm_calls, 1);
                    self.handle.batch(rest)?
                }
                Interface::Write => {
                    count(|c| &c.mm_calls, rest.len() as u64);
                    self.handle.write(rest)?
                }
            };
            count(|c| &c.orders, progress.done as u64);
            rest = go_on_after(rest, progress)?;
        }
        Ok(())
    }
}

/// What is left to be done, when what failed can be done in another way.
fn go_on_after(ops: &mut [Op], progress: Progress) -> Result<&mut [Op]> {
    let rest = &mut ops[progress.done..];
    if let (Some(error), Some(failed)) = (progress.failed, rest.first_mut()) {
        // Faults bring back what is used, with the new rights.
        let Some(instead) = failed.unmap_instead(error, TASK_SIZE) else {
            umlab_model::log_few!(Error, "the host refused to change a guest's mappings ({failed:x?}): {error}");
            return Err(error);
        };
        *failed = instead;
    }
    Ok(rest)
}

/// A way into user mode that takes along changes and a hop.
pub struct Run {
    handle: Arc<AddressSpace>,
    changes: Changes,
}

impl Run {
    /// Without the big lock.
    pub fn run(&mut self, tracee: Tracee) -> Result<()> {
        let mut rest = &mut self.changes.ops[..];
        loop {
            count(|c| &c.mm_runs, 1);
            let progress = self.handle.run(tracee, rest, Resume::Sysemu)?;
            count(|c| &c.orders, progress.done as u64);
            if progress.failed.is_none() {
                return Ok(());
            }
            rest = go_on_after(rest, progress)?;
        }
    }
}

impl ModelSpace for MmSpace {
    fn reserve(&self) -> Result<()> {
        // The address space is there already, and a CPU's process serves all of them.
        Runner::with(|_| Ok(()))
    }

    fn map(&self, mapping: Mapping, when: When) {
        count(|c| &c.maps, 1);
        let HostMap { flags, fd, offset, file } = mapping.host_map();
        let op = Op::map(mapping.range.start(), mapping.range.len(), mapping.prot.bits(), flags, fd, offset);
        self.push(op, file, when != When::Lazy);
    }

    fn unmap(&self, range: PageRange) {
        count(|c| &c.unmaps, 1);
        self.push(Op::unmap(range.start(), range.len()), None, true);
    }

    fn protect(&self, range: PageRange, prot: Prot) {
        count(|c| &c.protects, 1);
        self.push(Op::protect(range.start(), range.len(), prot.bits()), None, true);
    }

    fn sync(&self) {
        // A single CPU is in the core now, and carries the changes out before user code runs there
        // again.
        if cpu::all().len() == 1 || !self.changes.borrow().urgent {
            return;
        }
        if self.carry_out().is_err() {
            // Nothing of it may be used any more: without mappings every access is a fault.
            let _ = self.handle.write(&[Op::unmap(0, TASK_SIZE)]);
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl UserSpace for MmSpace {
    fn prepare(&self, timestamps: bool) -> Result<Option<Trap>> {
        let now = {
            let changes = self.changes.borrow();
            changes.urgent && !self.joins(&changes)
        };
        if now {
            self.carry_out()?;
        }
        // There is a runner, or it cannot be made.
        Runner::provide(timestamps)?;
        Ok(None)
    }

    fn with_process(&self, with: &mut dyn FnMut(Tracee, &mut Loaded) -> Result<()>) -> Result<()> {
        Runner::with(|runner| with(runner.tracee, &mut runner.loaded))
    }

    fn enter(&self) -> Result<Entry> {
        Runner::with(|runner| {
            let hop = std::mem::replace(&mut runner.space, self.number) != self.number;
            if hop {
                count(|c| &c.mm_switches, 1);
            }
            let urgent = self.changes.borrow().urgent;
            match self.interface {
                Interface::Batch if hop || urgent => {
                    // What can wait goes along, so that nothing older is ever carried out later.
                    let changes = if urgent { self.changes.take() } else { Changes::default() };
                    Ok(Entry::Run(Run { handle: self.handle.clone(), changes }))
                }
                Interface::Write if hop => {
                    self.handle.switch_to(runner.tracee)?;
                    Ok(Entry::Resume)
                }
                _ => Ok(Entry::Resume),
            }
        })
    }

    fn put_off(&self, entry: Entry) {
        let Entry::Run(mut run) = entry else { return };
        // The hop was not made.
        if let Some(runner) = &mut *cpu::this().runner.borrow_mut() {
            runner.space = 0;
        }
        let mut changes = self.changes.borrow_mut();
        run.changes.ops.append(&mut changes.ops);
        run.changes.files.append(&mut changes.files);
        run.changes.urgent |= changes.urgent;
        *changes = run.changes;
    }

    fn left(&self) {}

    fn access(&self, tracee: Tracee) -> Option<Access> {
        let info = fault_info(tracee).ok().filter(|info| info.trap == FaultInfo::PAGE_FAULT)?;
        Some(match info.error_code {
            code if code & FaultInfo::WRITE != 0 => Access::Write,
            code if code & FaultInfo::FETCH != 0 => Access::Exec,
            _ => Access::Read,
        })
    }

    fn discard(&self) {
        let runner = cpu::this().runner.take();
        if let Some(runner) = runner {
            if let Some(state) = runner.loaded.as_ref().filter(|state| state.borrow().is_on(runner.tracee)) {
                state.borrow_mut().forget();
            }
            runner.end();
        }
    }
}

/// Whether the host has it, and if not why.
pub fn probe() -> std::result::Result<(), CannotRun> {
    let handle = AddressSpace::new().map_err(|error| match error {
        Errno::ENOENT => "the host's kernel has no /proc/mm (see host-patch/)".into(),
        error => CannotRun::failed("cannot open /proc/mm", error),
    })?;
    let tracee = crate::stub::fork_runner(true)
        .map_err(|e| CannotRun::failed("cannot trace a child process with ptrace(2)", e))?;
    let result = handle.switch_to(tracee).map_err(|e| CannotRun::failed("PTRACE_SWITCH_MM fails", e));
    Runner { tracee, loaded: None, space: 0, timestamps: true }.end();
    result
}
