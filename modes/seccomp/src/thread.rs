//! Guest threads: their user-mode state, and the way into user mode and back.
//!
//! A thread's state stays in the runner that it last ran in for as long as no other thread needs
//! that. The runner goes along to another CPU, so nothing has to be moved then.

use crate::cpu::{self, count};
use crate::process::Process;
use crate::runner::{Answer, Event, Report, Runner};
use crate::space::SeccompSpace;
use std::sync::{Arc, Weak};
use umlab_host::notify::Call;
use umlab_host::{Result, xstate};
use umlab_model::lock::KCell;
use umlab_model::thread::make_harmless;
use umlab_model::{HostTime, ModelSpace, Regs, SyscallAbi, Trap, UserThread};

/// Where a thread's state is.
#[derive(Default)]
pub struct State {
    /// The runner that holds it.
    on: Option<Seat>,
    /// Without one: the registers as they were when the runner was put to another use.
    saved: Option<Regs>,
    /// Without one: the extended state; none for the initial one.
    extended: Option<Vec<u8>>,
    /// Room for the next image, so that a move allocates nothing.
    spare: Vec<u8>,
}

/// A runner, and its process.
#[derive(Clone)]
struct Seat {
    process: Arc<Process>,
    runner: Arc<Runner>,
}

impl Seat {
    /// The registers, which are in the frame afterwards.
    fn regs(&self) -> Result<Regs> {
        self.runner.settle(&self.process)?;
        self.runner.regs(&self.process)
    }

    fn is(&self, process: &Arc<Process>, timestamps: bool) -> bool {
        Arc::ptr_eq(&self.process, process) && self.runner.timestamps == timestamps
    }
}

impl State {
    /// Brings the state into the core.
    pub fn unload(this: &Arc<KCell<State>>) -> Result<()> {
        let Some(seat) = this.borrow().on.clone() else { return Ok(()) };
        count(|c| &c.state_moves, 1);
        let regs = seat.regs()?;
        let mut state = this.borrow_mut();
        let mut image = std::mem::take(&mut state.spare);
        seat.runner.read_extended_state(&seat.process, &mut image)?;
        (state.on, state.saved, state.extended) = (None, Some(regs), Some(image));
        seat.runner.now.borrow_mut().loaded = Weak::new();
        Ok(())
    }

    /// The thread whose state is in a runner, if there is one, has none there from now on.
    pub fn forget_in(runner: &Runner) {
        let holder = std::mem::take(&mut runner.now.borrow_mut().loaded).upgrade();
        if let Some(holder) = holder {
            holder.borrow_mut().on = None;
        }
    }

    /// It has no runner any more, which another thread can have.
    fn leave(&mut self) {
        if let Some(seat) = self.on.take() {
            seat.runner.now.borrow_mut().loaded = Weak::new();
        }
    }
}

pub struct SeccompThread {
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

impl Drop for SeccompThread {
    fn drop(&mut self) {
        self.state.borrow_mut().leave();
    }
}

impl SeccompThread {
    pub fn new() -> SeccompThread {
        SeccompThread::with(Regs::fresh(), None, true)
    }

    fn with(regs: Regs, extended: Option<Vec<u8>>, timestamps: bool) -> SeccompThread {
        let state = Arc::new(KCell::new(State { extended, ..State::default() }));
        SeccompThread { state, regs, known: true, changed: true, result: None, timestamps }
    }

    /// Puts the thread's state into a runner of the process, if it is in none yet, and writes what
    /// was changed of it.
    fn load(&mut self, space: &SeccompSpace, process: &Arc<Process>) -> Result<(Arc<Runner>, Answer)> {
        let seat = self.state.borrow().on.clone().filter(|seat| seat.is(process, self.timestamps));
        let runner = match seat {
            Some(seat) => seat.runner,
            None => self.take_seat(space, process)?,
        };
        let result = if self.changed {
            self.fetch();
            self.regs.rax = self.result.take().unwrap_or(self.regs.rax);
            make_harmless(&mut self.regs);
            runner.settle(process)?;
            runner.set_regs(process, &self.regs)?;
            self.changed = false;
            None
        } else {
            self.result.take()
        };
        let answer = runner.answer(process, result)?;
        self.known = false;
        Ok((runner, answer))
    }

    fn take_seat(&mut self, space: &SeccompSpace, process: &Arc<Process>) -> Result<Arc<Runner>> {
        // It may still lie in another space's (a vfork child's parent's, before an exec).
        State::unload(&self.state)?;
        let runner = space.make_room(process, self.timestamps)?;
        count(|c| &c.state_moves, 1);
        let mut state = self.state.borrow_mut();
        runner.set_extended_state(process, state.extended.as_deref())?;
        if let Some(extended) = state.extended.take() {
            state.spare = extended;
        }
        drop(state);
        self.fetch();
        self.changed = true;
        runner.now.borrow_mut().loaded = Arc::downgrade(&self.state);
        self.state.borrow_mut().on = Some(Seat { process: process.clone(), runner: runner.clone() });
        Ok(runner)
    }

    /// Makes `regs` what the thread has, but for a result that is still to be set.
    fn fetch(&mut self) {
        if self.known {
            return;
        }
        let seat = self.state.borrow().on.clone();
        let regs = match seat {
            // An error means that the process is gone; the next run says so.
            Some(seat) => seat.regs().ok(),
            None => self.state.borrow_mut().saved.take(),
        };
        self.regs = regs.unwrap_or(self.regs);
        self.known = true;
    }

    fn try_run(&mut self, space: &SeccompSpace) -> Result<Trap> {
        let process = space.prepare()?;
        let (runner, answer) = self.load(space, &process)?;
        {
            let mut now = runner.now.borrow_mut();
            (now.in_user, now.cpu) = (true, umlab_threads::current());
        }
        let cpu = umlab_threads::this();
        let go = || cpu::this().run(runner.task.thread, |way| runner.go(&process, answer, way));
        let event = cpu.run_user(runner.task, go);
        runner.now.borrow_mut().in_user = false;
        let Some(event) = event else {
            // User mode was not entered: a result that no frame holds is still to be given.
            self.result = answer.result();
            cpu.answer_kicks();
            return Ok(Trap::Interrupt);
        };
        let event = event?;
        runner.note(&event);
        Ok(match event {
            Event::Call(call) => {
                count(|c| &c.calls, 1);
                of_call(&call)
            }
            Event::Report(report) => {
                count(|c| &c.reports, 1);
                self.of_report(&report)
            }
            Event::Gone => Trap::Lost,
        })
    }

    fn of_report(&mut self, report: &Report) -> Trap {
        /// The page of the vsyscall calls' instructions.
        const VSYSCALL: u64 = 0xffff_ffff_ff60_0000;
        let info = report.info;
        if info.signal == libc::SIGSYS && info.code > 0 {
            count(|c| &c.calls, 1);
            let regs = *self.regs();
            let number = i64::from(info.syscall) as u64;
            if report.compat {
                let args = [regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp].map(|arg| arg & 0xffff_ffff);
                return Trap::Syscall { number, args, abi: SyscallAbi::I386 };
            }
            let abi = if info.addr & !0xfff == VSYSCALL { SyscallAbi::Vsyscall } else { SyscallAbi::X64 };
            let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
            return Trap::Syscall { number, args, abi };
        }
        if info.signal == libc::SIGALRM {
            umlab_threads::this().answer_kicks();
        }
        let trap = Trap::of_signal(info, report.access(), Regs::fresh);
        match trap {
            Trap::Fault(_) => count(|c| &c.fault_reports, 1),
            Trap::Exception { .. } => count(|c| &c.exception_reports, 1),
            Trap::Interrupt => count(|c| &c.interrupt_reports, 1),
            _ => {}
        }
        trap
    }
}

fn of_call(call: &Call) -> Trap {
    let abi = if call.compat { SyscallAbi::I386 } else { SyscallAbi::X64 };
    Trap::Syscall { number: i64::from(call.number) as u64, args: call.args, abi }
}

impl UserThread for SeccompThread {
    fn host_time(&self) -> Option<HostTime> {
        let state = self.state.borrow();
        let process = &state.on.as_ref()?.process;
        // The host gives the time of one thread to its own process only.
        if process.runners.borrow().len() > 1 {
            return None;
        }
        let pid = process.watched.pid;
        Some(HostTime { of: pid as u64, given: umlab_host::clock::process_cputime(pid)? })
    }

    fn run(&mut self, space: &dyn ModelSpace) -> Trap {
        let space = space.as_any().downcast_ref::<SeccompSpace>().expect("the core passes spaces of this model");
        let trap = self.try_run(space).unwrap_or_else(|error| {
            umlab_model::log!(Warn, "a stub process cannot go on: {error}");
            Trap::Lost
        });
        if trap == Trap::Lost {
            let process = self.state.borrow().on.as_ref().map(|seat| seat.process.clone());
            space.discard(process.as_ref());
        }
        trap
    }

    fn regs(&mut self) -> &Regs {
        self.fetch();
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
        let seat = self.state.borrow().on.clone();
        if let Some(Seat { process, runner }) = seat {
            let read = runner.settle(&process).and_then(|()| runner.read_extended_state(&process, image));
            if read.is_err() {
                image.clear();
            }
            return;
        }
        match &self.state.borrow().extended {
            Some(extended) => image.clone_from(extended),
            None => xstate::read_initial_image(image),
        }
    }

    fn set_extended_state(&mut self, xsave: &[u8]) -> Result<()> {
        xstate::check_image(xsave)?;
        let seat = self.state.borrow().on.clone();
        match seat {
            Some(Seat { process, runner }) => {
                runner.settle(&process)?;
                runner.set_extended_state(&process, Some(xsave))
            }
            None => {
                self.state.borrow_mut().extended = Some(xsave.to_vec());
                Ok(())
            }
        }
    }

    fn reset_extended_state(&mut self) {
        let seat = self.state.borrow().on.clone();
        match seat {
            Some(Seat { process, runner }) => {
                // A process that was killed has no state; whoever runs the thread next finds out.
                let _ = runner.settle(&process).and_then(|()| runner.set_extended_state(&process, None));
            }
            None => self.state.borrow_mut().extended = None,
        }
    }

    fn timestamps(&self) -> bool {
        self.timestamps
    }

    fn set_timestamps(&mut self, on: bool) {
        self.timestamps = on;
    }

    fn reset(&mut self) {
        *self = SeccompThread::with(Regs::fresh(), None, self.timestamps);
    }

    fn duplicate(&mut self) -> Box<dyn UserThread> {
        let regs = *self.regs();
        let extended = self.extended_state();
        Box::new(SeccompThread::with(regs, (!extended.is_empty()).then_some(extended), self.timestamps))
    }
}
