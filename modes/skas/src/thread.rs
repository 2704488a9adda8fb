//! Guest threads: their user-mode state, and the way into user mode and back.
//!
//! A thread's state stays in the stub process it last ran in for as long as no other thread runs
//! there, so a system call moves its arguments out and its result in, and nothing else.

use crate::cpu::{self, count};
use crate::mm_space::{MmSpace, Run};
use crate::space::SkasSpace;
use crate::stub::Loaded;
use std::sync::Arc;
use umlab_host::ptrace::{Regs, Resume, SignalInfo, Status, SyscallEntry, Tracee};
use umlab_host::{Errno, Result};
use umlab_model::lock::KCell;
use umlab_model::{Access, HostTime, ModelSpace, Residence, SyscallAbi, Trap, UserThread};

/// What other threads' comings and goings in a stub process change of a thread.
#[derive(Default)]
pub struct State {
    /// The stub process that holds the extended state, and its CPU.
    on: Option<(Tracee, usize)>,
    /// The stub process holds the newest registers as well.
    stub_has_regs: bool,
    /// The registers as they were when the stub process was put to another use.
    saved: Option<Regs>,
    /// The extended state when no stub process holds it; none for the initial one.
    extended: Option<Vec<u8>>,
    /// Room for the next image, so that a move allocates nothing.
    spare: Vec<u8>,
}

impl State {
    /// Whether this stub process holds it. One that held it may still name it, though it has moved
    /// to another CPU's since.
    pub fn is_on(&self, tracee: Tracee) -> bool {
        self.on.is_some_and(|(on, _)| on == tracee)
    }

    /// Reads the registers from the stub process, if it alone has them, because it is about to lose
    /// them.
    pub fn save_regs(&mut self, tracee: Tracee) -> Result<()> {
        if self.is_on(tracee) && std::mem::take(&mut self.stub_has_regs) {
            count(|c| &c.register_reads, 1);
            self.saved = Some(tracee.regs()?);
        }
        Ok(())
    }

    /// The stub process is gone, and with it what only it knew.
    pub fn forget(&mut self) {
        self.on = None;
        self.stub_has_regs = false;
    }

    /// Brings the state into the core. On the CPU of the stub process that holds it.
    pub fn unload(this: &Arc<KCell<State>>) {
        let mut state = this.borrow_mut();
        let Some((tracee, _)) = state.on else { return };
        count(|c| &c.state_moves, 1);
        // A process that was killed has nothing to save; whoever runs the thread next finds out.
        let _ = state.save_regs(tracee);
        let mut image = std::mem::take(&mut state.spare);
        match tracee.read_extended_state(&mut image) {
            Ok(()) => state.extended = Some(image),
            Err(_) => state.spare = image,
        }
        state.on = None;
    }
}

pub struct SkasThread {
    state: Arc<KCell<State>>,
    regs: Regs,
    /// `regs` is what the thread has; otherwise `state` knows better.
    known: bool,
    /// `regs` was changed by the core since user mode was left.
    changed: bool,
    /// The result register is to be set; the rest is as it was.
    result: Option<u64>,
    timestamps: bool,
}

/// An address space as its threads see it: with a host process on each CPU that they run on.
pub trait UserSpace: ModelSpace {
    /// Sees to it that the current CPU has a process, and that no mapping that was taken away is
    /// met in user mode there, nor the time stamp counter where the thread has none. Returns a trap
    /// in the place of user mode's, if there is one.
    fn prepare(&self, timestamps: bool) -> Result<Option<Trap>>;
    /// Calls `with` with the current CPU's process, and the name of the thread whose state is in
    /// it.
    fn with_process(&self, with: &mut dyn FnMut(Tracee, &mut Loaded) -> Result<()>) -> Result<()>;
    /// User code is about to run: how.
    fn enter(&self) -> Result<Entry>;
    /// It will not run after all.
    fn put_off(&self, entry: Entry);
    /// It has run.
    fn left(&self);
    /// The access at which it last faulted, where the host tells.
    fn access(&self, tracee: Tracee) -> Option<Access>;
    /// The current CPU's process is broken or gone: ends it.
    fn discard(&self);
}

/// How user code is let run.
pub enum Entry {
    Resume,
    /// With changes of the address space, and from another one.
    Run(Run),
}

impl Entry {
    fn go(&mut self, tracee: Tracee) -> Result<()> {
        match self {
            Entry::Resume => tracee.resume(Resume::Sysemu),
            Entry::Run(run) => run.run(tracee),
        }
    }
}

/// What of the registers is to be written before user code runs.
#[derive(Clone, Copy)]
enum Write {
    Nothing,
    /// The result register.
    Result(u64),
    /// All of them, from the thread's `regs`.
    All,
}

/// Why user code stopped.
enum Stop {
    Syscall(SyscallEntry),
    Alarm,
    Signal(SignalInfo, Option<Access>),
    /// The stub process has ended.
    Gone,
}

struct SkasResidence(Arc<KCell<State>>);

impl Residence for SkasResidence {
    fn evict(&self) {
        State::unload(&self.0);
    }
}

impl SkasThread {
    pub fn new() -> SkasThread {
        SkasThread::with(Regs::fresh(), None)
    }

    fn with(regs: Regs, extended: Option<Vec<u8>>) -> SkasThread {
        let state = Arc::new(KCell::new(State { extended, ..State::default() }));
        SkasThread { state, regs, known: true, changed: true, result: None, timestamps: true }
    }

    /// Puts the thread's state into the current CPU's process of the space, and whoever's was there
    /// out of it. What is still to be written of the registers is returned: that needs no lock.
    fn load(&mut self, tracee: Tracee, loaded: &mut Loaded) -> Result<Write> {
        let cpu = cpu::current();
        let named = loaded.as_ref().is_some_and(|loaded| Arc::ptr_eq(loaded, &self.state));
        if !named || !self.state.borrow().is_on(tracee) {
            let other = loaded.take().filter(|other| other.borrow().is_on(tracee));
            if let Some(other) = other {
                State::unload(&other);
            }
            // It may still lie in a stub process of another space (a vfork child's parent's, before
            // an exec).
            State::unload(&self.state);
            count(|c| &c.state_moves, 1);
            let mut state = self.state.borrow_mut();
            match &state.extended {
                Some(extended) => tracee.set_extended_state(extended)?,
                None => tracee.reset_extended_state()?,
            }
            if let Some(extended) = state.extended.take() {
                state.spare = extended;
            }
            state.on = Some((tracee, cpu));
            drop(state);
            *loaded = Some(self.state.clone());
        }
        let write = if self.changed || !self.state.borrow().stub_has_regs {
            self.fetch_regs();
            if let Some(result) = self.result.take() {
                self.regs.rax = result;
            }
            umlab_model::thread::make_harmless(&mut self.regs);
            self.changed = false;
            Write::All
        } else {
            self.result.take().map_or(Write::Nothing, Write::Result)
        };
        let mut state = self.state.borrow_mut();
        state.stub_has_regs = true;
        state.saved = None;
        self.known = false;
        Ok(write)
    }

    /// Lets user code run until it stops. Without the big lock.
    fn run_until_stop(&self, space: &dyn UserSpace, tracee: Tracee, write: Write, entry: &mut Entry) -> Result<Stop> {
        match write {
            Write::All => {
                count(|c| &c.register_writes, 1);
                tracee.set_regs(&self.regs)?;
            }
            Write::Result(value) => {
                count(|c| &c.result_writes, 1);
                tracee.set_rax(value)?;
            }
            Write::Nothing => {}
        }
        entry.go(tracee)?;
        // The alarm, which interrupts this, has stopped user code itself.
        Ok(match tracee.wait_through_signals()? {
            Status::Syscall => Stop::Syscall(tracee.syscall_entry()?),
            Status::Signal(libc::SIGALRM) => Stop::Alarm,
            Status::Signal(libc::SIGSEGV) => Stop::Signal(tracee.signal_info()?, space.access(tracee)),
            Status::Signal(_) => Stop::Signal(tracee.signal_info()?, None),
            Status::Exited(_) | Status::Killed(_) => Stop::Gone,
        })
    }

    /// Makes `regs` what the thread has, but for a result that is still to be set.
    fn fetch_regs(&mut self) {
        if self.known {
            return;
        }
        let mut state = self.state.borrow_mut();
        if let Some(saved) = state.saved.take() {
            self.regs = saved;
        } else if state.stub_has_regs
            && let Some((tracee, _)) = state.on
        {
            count(|c| &c.register_reads, 1);
            // An error means that the process is gone; the next run says so.
            if let Ok(regs) = tracee.regs() {
                self.regs = regs;
            }
        }
        self.known = true;
    }

    fn try_run(&mut self, space: &dyn UserSpace) -> Result<Trap> {
        if let Some(trap) = space.prepare(self.timestamps)? {
            return Ok(trap);
        }
        let mut ready = Err(Errno::ESRCH);
        space.with_process(&mut |tracee, loaded| {
            ready = self.load(tracee, loaded).map(|write| (tracee, write));
            Ok(())
        })?;
        let (tracee, write) = ready?;
        let mut entry = space.enter()?;
        let cpu = umlab_threads::this();
        let stop = match cpu.run_user(tracee, || self.run_until_stop(space, tracee, write, &mut entry)) {
            Some(stop) => {
                // What it held on to ends under the lock.
                drop(entry);
                stop
            }
            None => {
                self.put_off(write);
                space.put_off(entry);
                Ok(Stop::Alarm)
            }
        };
        space.left();
        match stop? {
            Stop::Syscall(entry) => {
                count(|c| &c.syscall_stops, 1);
                let abi = if entry.compat { SyscallAbi::I386 } else { SyscallAbi::X64 };
                Ok(Trap::Syscall { number: entry.number, args: entry.args, abi })
            }
            Stop::Alarm => {
                count(|c| &c.interrupt_stops, 1);
                cpu.answer_kicks();
                Ok(Trap::Interrupt)
            }
            Stop::Signal(info, access) => Ok(self.exception(info, access)),
            Stop::Gone => Ok(Trap::Lost),
        }
    }

    /// User mode is not entered after all: what `load` wanted written is still to be written.
    fn put_off(&mut self, write: Write) {
        match write {
            Write::All => {
                self.changed = true;
                self.known = true;
                self.state.borrow_mut().stub_has_regs = false;
            }
            Write::Result(value) => self.result = Some(value),
            Write::Nothing => {}
        }
    }

    fn exception(&mut self, info: SignalInfo, access: Option<Access>) -> Trap {
        let trap = Trap::of_signal(info, access, || *self.regs());
        match trap {
            Trap::Fault(_) => count(|c| &c.fault_stops, 1),
            Trap::Syscall { .. } => count(|c| &c.syscall_stops, 1),
            Trap::Exception { .. } => count(|c| &c.exception_stops, 1),
            _ => {}
        }
        trap
    }
}

fn own(space: &dyn ModelSpace) -> &dyn UserSpace {
    let any = space.as_any();
    match any.downcast_ref::<SkasSpace>() {
        Some(space) => space,
        None => any.downcast_ref::<MmSpace>().expect("the core passes spaces of this model"),
    }
}

impl UserThread for SkasThread {
    fn host_time(&self) -> Option<HostTime> {
        let (tracee, _) = self.state.borrow().on?;
        let given = umlab_host::clock::process_cputime(tracee.0)?;
        Some(HostTime { of: tracee.0 as u64, given })
    }

    fn run(&mut self, space: &dyn ModelSpace) -> Trap {
        let space = own(space);
        match self.try_run(space) {
            Err(e) => {
                umlab_model::log!(Warn, "a stub process cannot go on: {e}");
                space.discard();
                Trap::Lost
            }
            Ok(Trap::Lost) => {
                space.discard();
                Trap::Lost
            }
            Ok(trap) => trap,
        }
    }

    fn regs(&mut self) -> &Regs {
        self.fetch_regs();
        if let Some(result) = self.result {
            self.regs.rax = result;
        }
        &self.regs
    }

    fn regs_mut(&mut self) -> &mut Regs {
        self.regs();
        self.result = None;
        self.changed = true;
        &mut self.regs
    }

    fn set_result(&mut self, value: u64) {
        self.result = Some(value);
    }

    fn read_extended_state(&mut self, image: &mut Vec<u8>) {
        let state = self.state.borrow();
        match (state.on, &state.extended) {
            (Some((tracee, _)), _) => {
                if tracee.read_extended_state(image).is_err() {
                    image.clear();
                }
            }
            (None, Some(extended)) => image.clone_from(extended),
            (None, None) => {
                image.clear();
                image.extend_from_slice(umlab_host::ptrace::initial_extended_state());
            }
        }
    }

    fn set_extended_state(&mut self, xsave: &[u8]) -> Result<()> {
        let mut state = self.state.borrow_mut();
        match state.on {
            Some((tracee, _)) => tracee.set_extended_state(xsave),
            None => {
                state.extended = Some(xsave.to_vec());
                Ok(())
            }
        }
    }

    fn reset_extended_state(&mut self) {
        let mut state = self.state.borrow_mut();
        state.extended = None;
        if let Some((tracee, _)) = state.on {
            // A process that was killed has no state; whoever runs the thread next finds out.
            let _ = tracee.reset_extended_state();
        }
    }

    fn timestamps(&self) -> bool {
        self.timestamps
    }

    fn set_timestamps(&mut self, on: bool) {
        self.timestamps = on;
    }

    fn reset(&mut self) {
        // The state object stays, because others hold it; the stub process that held the old state
        // has nothing to save.
        self.state.set(State::default());
        let fresh = SkasThread::new();
        *self = SkasThread { state: self.state.clone(), timestamps: self.timestamps, ..fresh };
    }

    fn duplicate(&mut self) -> Box<dyn UserThread> {
        let regs = *self.regs();
        let extended = self.extended_state();
        let copy = SkasThread::with(regs, (!extended.is_empty()).then_some(extended));
        Box::new(SkasThread { timestamps: self.timestamps, ..copy })
    }

    fn residence(&self) -> Option<Arc<dyn Residence>> {
        Some(Arc::new(SkasResidence(self.state.clone())))
    }
}
