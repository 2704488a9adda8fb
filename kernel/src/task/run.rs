//! The trap loop: what a task's kernel context runs.

use super::{Call, Task, core_dump, exit, oom, ptrace, upcall, user_dispatch};
use crate::mm::fault::BadAccess;
use crate::sched::{self, machine};
use crate::task::signal::{self, AfterSignals, SyscallOutcome};
use crate::{Errno, Result};
use abi::number::extended;
use std::sync::Arc;
use umlab_model::{Access, Fault, SyscallAbi, Trap, UserThread};

/// Makes the kernel context of a task, whose main runs the trap loop, and starts it.
pub fn spawn(task: &Arc<Task>, user: Box<dyn UserThread>) -> Result<()> {
    spawn_with(task, user, Box::new(|_, _| {}))
}

/// What a task does in the core before it first enters user mode.
pub type Prologue = Box<dyn FnOnce(&Arc<Task>, &mut dyn UserThread) + Send>;

/// As [`spawn`], with something to do first in the new context.
pub fn spawn_with(task: &Arc<Task>, mut user: Box<dyn UserThread>, prologue: Prologue) -> Result<()> {
    if let Some(residence) = user.residence() {
        task.sched.set_residence(residence);
    }
    let weak = Arc::downgrade(task);
    let space = task.space.cloned();
    let main = Box::new(move || {
        sched::finish_switch();
        if let Some(task) = weak.upgrade() {
            prologue(&task, &mut *user);
            run(task, user);
        }
        sched::end_current()
    });
    let context = machine().new_context(space.as_ref().map(|space| space.host()), main)?;
    task.sched.set_context(context);
    if task.is_vfork_child() {
        sched::start_here(task);
    } else {
        sched::start(task);
    }
    Ok(())
}

/// Enter user, get a trap, handle it, again; until the task ends.
fn run(task: Arc<Task>, mut user: Box<dyn UserThread>) {
    let user = &mut *user;
    let mut outcome = None;
    while signal::on_user_return(&task, user, outcome.take()) == AfterSignals::Continue {
        let space = task.space();
        space.collect();
        crate::mm::audit::after_trap(&space);
        task.enter_user(user);
        let trap = user.run(space.host());
        task.leave_user(user, &trap);
        drop(space);
        if task.trace.is_traced() {
            ptrace::events::left_user(&task, &trap);
        }
        match trap {
            Trap::Syscall { number, args, abi } => outcome = system_call(&task, user, number, args, abi),
            Trap::Fault(fault) => page_fault(&task, user, &fault),
            Trap::Exception { signal, code, .. } if ptrace::events::is_left_over_step(&task, user, signal, code) => {}
            Trap::Exception { signal, code, addr } => {
                let instruction = code_at_rip(&task, user);
                signal::exception(&task, (signal, code, addr), &instruction, user.regs());
            }
            Trap::Interrupt => sched::on_trap_exit(true),
            Trap::Migrate { cpu } => sched::move_to(cpu),
            Trap::Lost => {
                umlab_model::log!(Warn, "process {} lost its host process and is killed", task.process.pid);
                exit::exit_group(&task, exit::killed_by(abi::SIGKILL, false));
            }
        }
        sched::obey_priorities();
    }
    core_dump::take_part(&task, user);
    if task.trace.is_traced() {
        ptrace::events::exiting(&task, user);
    }
    exit::finish(&task);
}

/// A system call, with its stops if a tracer wants them.
fn system_call(
    task: &Arc<Task>,
    user: &mut dyn UserThread,
    mut number: u64,
    mut args: [u64; 6],
    abi: SyscallAbi,
) -> Option<SyscallOutcome> {
    if !user_dispatch::lets_through(task, user, number, abi) {
        return None;
    }
    // What the vsyscall page stands for is no call to a tracer.
    let stops = abi != SyscallAbi::Vsyscall;
    let wanted = !(stops && task.trace.is_traced()) || ptrace::events::call_begins(task, user, &mut number, &mut args);
    let outcome = if wanted { carry_out(task, user, number, args, abi) } else { None };
    if stops && task.trace.is_traced() { ptrace::events::call_ends(task, user, outcome) } else { outcome }
}

fn carry_out(
    task: &Arc<Task>,
    user: &mut dyn UserThread,
    number: u64,
    args: [u64; 6],
    abi: SyscallAbi,
) -> Option<SyscallOutcome> {
    oom::keep_ahead();
    let mut call = Call { task, user, number, args };
    let result = match abi {
        SyscallAbi::X64 | SyscallAbi::Vsyscall => loop {
            let result = (upcall::get().dispatch)(&mut call);
            if result != Err(Errno::ENOMEM) || !oom::await_dying() {
                break result;
            }
        },
        // A kernel without the 32-bit interface, as far as programs can tell.
        SyscallAbi::I386 => Err(Errno::ENOSYS),
    };
    if abi == SyscallAbi::Vsyscall && result == Err(Errno::EFAULT) {
        bad_vsyscall(task, &args);
        return None;
    }
    if number == abi::SYS_rt_sigreturn as u64 && abi == SyscallAbi::X64 && result.is_ok() {
        // The frame has set all registers.
        return None;
    }
    if (number == abi::SYS_execve as u64 || number == abi::SYS_execveat as u64) && result.is_ok() {
        return None;
    }
    user.set_result(match result {
        Ok(value) => value,
        Err(e) => extended(-e.raw()),
    });
    Some(SyscallOutcome { number, result })
}

/// A call in the vsyscall page was given a bad address: as if user code had written there itself.
fn bad_vsyscall(task: &Arc<Task>, args: &[u64; 6]) {
    let space = task.space();
    let bad = args[..2].iter().find(|&&addr| addr != 0 && space.window(addr, 1, true).is_err());
    signal::page_fault(task, abi::SIGSEGV, abi::SEGV_MAPERR, bad.copied().unwrap_or(0), true, false);
}

fn page_fault(task: &Arc<Task>, user: &mut dyn UserThread, fault: &Fault) {
    let bad = match task.space().fault(fault, &mut task.last_refusal.borrow_mut()) {
        Ok(()) => {
            task.count_fault();
            return crate::stats::count_fault(false);
        }
        Err(bad) => bad,
    };
    crate::stats::count_fault(true);
    let (signal, code) = match bad {
        BadAccess::Unmapped => (abi::SIGSEGV, abi::SEGV_MAPERR),
        BadAccess::Refused => (abi::SIGSEGV, abi::SEGV_ACCERR),
        BadAccess::PastEnd => (abi::SIGBUS, abi::BUS_ADRERR),
        BadAccess::OutOfMemory => return oom::relieve(task),
    };
    umlab_model::log!(
        Debug,
        "process {} ({}): {bad:?} at {:#x}, rip {:#x}",
        task.process.pid,
        name_of(task),
        fault.addr,
        user.regs().rip
    );
    let exec = match fault.access {
        Some(access) => access == Access::Exec,
        None => user.regs().rip == fault.addr,
    };
    let write = match fault.access {
        Some(access) => access == Access::Write,
        None if exec => false,
        None => signal::access::writes_at(&code_at_rip(task, user), user.regs(), fault.addr)
            // A refused access to readable memory must have been a write.
            .unwrap_or_else(|| bad == BadAccess::Refused && task.space().is_readable(fault.addr)),
    };
    signal::page_fault(task, signal, code, fault.addr, write, exec);
}

/// The bytes of the next instruction, as far as they can be read.
fn code_at_rip(task: &Task, user: &mut dyn UserThread) -> Vec<u8> {
    let rip = user.regs().rip;
    let space = task.space();
    let mut code = vec![0; signal::access::MAX_INSTRUCTION];
    while !code.is_empty() && space.read_bytes(rip, &mut code).is_err() {
        code.pop();
    }
    code
}

fn name_of(task: &Task) -> String {
    String::from_utf8_lossy(&task.name.borrow()).into_owned()
}
