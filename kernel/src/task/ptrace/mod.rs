//! ptrace(2): one thread, the tracer, watches another one, its tracee, and has it stop.
//!
//! A tracee's user-mode state belongs to its own kernel context, and only that can reach it. So a
//! tracee that stops leaves a copy in its [`Stop`], where the tracer reads and changes it, and
//! takes over what was changed when it goes on ([`stop`]). A tracer never touches more of a tracee
//! than that, its signals and its memory; nothing here depends on the process model.
//!
//! - `attach`: how a tracer and a tracee come together and part;
//! - `stop`: the stop itself, and what of it the tracer is told;
//! - `events`: the occasions: signals, system calls, job control, fork, exec and exit;
//! - `control`: what a tracer asks of a tracee that is stopped;
//! - `registers`: the copy of the registers, and what of a tracer's changes is taken;
//! - `wait`: news of tracees for wait(2), of those that ended as well.
//!
//! The tracer's process lists its tracees ([`Tracees`]); a tracee has a [`Link`] to its tracer.
//! Both are made and taken away together.

mod attach;
pub mod control;
pub mod events;
pub mod registers;
mod stop;
pub mod wait;

pub use attach::{adopt_child, attach, detach, exec_guard, on_task_exit, renumber, trace_me, undo};
pub use stop::Stop;

use super::{Process, Task};
use crate::Pid;
use crate::lock::KCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};

bitflags::bitflags! {
    /// PTRACE_O_*.
    #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
    pub struct Options: u32 {
        const SYSGOOD = abi::PTRACE_O_TRACESYSGOOD as u32;
        const FORK = abi::PTRACE_O_TRACEFORK as u32;
        const VFORK = abi::PTRACE_O_TRACEVFORK as u32;
        const CLONE = abi::PTRACE_O_TRACECLONE as u32;
        const EXEC = abi::PTRACE_O_TRACEEXEC as u32;
        const VFORK_DONE = abi::PTRACE_O_TRACEVFORKDONE as u32;
        const EXIT = abi::PTRACE_O_TRACEEXIT as u32;
        /// Taken, but there are no filters of system calls that could ask for it.
        const SECCOMP = abi::PTRACE_O_TRACESECCOMP as u32;
        const EXITKILL = abi::PTRACE_O_EXITKILL as u32;
    }
}

/// How a tracee goes on: at what it stops next, beside signals and events.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Pace {
    #[default]
    Free,
    /// At the next beginning or end of a system call.
    Syscall,
    /// After the next instruction.
    Step,
    /// At the next system call, which is not carried out.
    Emulate,
}

/// What ptrace(2) keeps of a thread.
#[derive(Default)]
pub struct Trace {
    /// Whether there is a link: all that the others' system calls look at.
    traced: AtomicBool,
    link: KCell<Option<Link>>,
    stop: KCell<Option<Box<Stop>>>,
    /// The trap flag of the thread is a tracer's doing.
    stepping: AtomicBool,
}

/// A tracee's way to its tracer.
#[derive(Clone)]
struct Link {
    tracer: Weak<Task>,
    /// The tracer may trace programs that have more rights than it has: it had CAP_SYS_PTRACE when
    /// it attached.
    trusted: bool,
    /// By PTRACE_SEIZE.
    seized: bool,
    options: Options,
    pace: Pace,
    /// What PTRACE_GETEVENTMSG gives.
    message: u64,
    /// The number of the system call that the thread is in, or returns from, as orig_rax shows it;
    /// -1 for none.
    call: u64,
}

/// No system call.
const NO_CALL: u64 = u64::MAX;

/// The tracees of a process's threads, by thread id.
pub type Tracees = KCell<BTreeMap<Pid, Traced>>;

/// An entry there.
pub struct Traced {
    /// The thread that traces it.
    tracer: Weak<Task>,
    who: Who,
}

#[derive(Clone)]
enum Who {
    Thread(Arc<Task>),
    /// A first thread that has ended: its status is the process's, which may go on without it.
    Ended(Arc<Process>),
    /// Another thread that has ended.
    Remains(Arc<wait::Remains>),
}

impl Trace {
    #[inline]
    pub fn is_traced(&self) -> bool {
        self.traced.load(Relaxed)
    }

    /// Whether it is stopped for its tracer.
    pub fn is_stopped(&self) -> bool {
        self.is_traced() && self.stop.borrow().as_ref().is_some_and(|stop| stop.let_go.is_none())
    }

    /// The tracer.
    pub fn tracer(&self) -> Option<Arc<Task>> {
        self.link.borrow().as_ref().and_then(|link| link.tracer.upgrade())
    }

    /// Whether a program that it executes must not gain rights: its tracer, who could use them, has
    /// not got them.
    pub fn forbids_set_id(&self) -> bool {
        self.link.borrow().as_ref().is_some_and(|link| !link.trusted)
    }

    /// A value of the link's; none without a tracer.
    fn of_link<T>(&self, get: impl FnOnce(&Link) -> T) -> Option<T> {
        self.link.borrow().as_ref().map(get)
    }

    fn change_link(&self, change: impl FnOnce(&mut Link)) {
        if let Some(link) = &mut *self.link.borrow_mut() {
            change(link);
        }
    }

    fn pace(&self) -> Pace {
        self.of_link(|link| link.pace).unwrap_or_default()
    }
}
