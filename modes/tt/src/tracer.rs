//! The tracing thread: the warden traces all guest tasks.
//!
//! User code runs with its system calls intercepted. At one, the host is made to do nothing, and
//! the task is let go on with a signal, untraced but for signals: the handler is the core. A task
//! that wants to leave the core signals itself, which is blocked there, and makes the sigreturn
//! into user code, which lets the signal through: that is where interception is switched on again.
//! Three stops, then: the call, the signal's delivery, the task's own signal. (As first built, the
//! signal came before the sigreturn, which then was intercepted too and had to be let through: a
//! fourth stop.)

use crate::{count, placement};
use std::sync::atomic::{AtomicBool, Ordering::*};
use umlab_host::placement::Guest;
use umlab_host::ptrace::{Resume, Status, Tracee};
use umlab_host::{Errno, Result, thread};
use umlab_model::{SyscallAbi, Trap};
use umlab_tasks::area::{self, Record};
use umlab_tasks::entry::{FAULTS, KICK_SIGNAL};
use umlab_tasks::warden::{fatal, on_end, record_of, refused};
use umlab_tasks::{Frame, Interception, compat_arguments, native_arguments};

/// Core code runs; nothing is intercepted. What a new record has.
const CORE: u32 = 0;
/// User code runs, system calls are intercepted.
const USER: u32 = 2;
/// The call was changed to another one, which is being carried out (without PTRACE_SYSEMU).
const CANCELLED: u32 = 4;
/// Made by the tracer, and not seen yet.
const SEED: u32 = 6;

/// A task's signal to itself: it wants to leave the core.
const LEAVE_SIGNAL: i32 = libc::SIGUSR1;
/// The tracer's signal to a task that made a system call: its handler is the core's entry.
const ENTRY_SIGNAL: i32 = libc::SIGUSR2;

/// Whether system calls are intercepted by PTRACE_SYSEMU, or as in 2002 by changing them to getpid.
static SYSEMU: AtomicBool = AtomicBool::new(true);

pub fn use_sysemu(on: bool) {
    SYSEMU.store(on, SeqCst);
}

/// By a thread that traces; the warden's.
pub struct Tracing;

impl Interception for Tracing {
    fn clone_flags(&self) -> u64 {
        libc::CLONE_PTRACE as u64
    }

    fn signals(&self) -> &'static [i32] {
        &[ENTRY_SIGNAL]
    }

    fn leave_signal(&self) -> Option<i32> {
        Some(LEAVE_SIGNAL)
    }

    fn before_seed(&self, record: &Record) {
        record.mode.store(SEED, SeqCst);
    }

    /// Others are traced from their birth. The stop lets the tracer set its options.
    fn first_steps(&self) {
        // SAFETY: no arguments that are looked at.
        unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0usize, 0usize) };
        let own = std::process::id() as i32;
        thread::interrupt(own, own, libc::SIGSTOP);
    }

    fn watch(&self) {
        placement::begin();
        match Table::new() {
            Ok(records) => Tracer { records }.serve(),
            Err(e) => refused("the tracer has no memory", e),
        }
    }

    fn call_of(&self, record: &Record, signal: i32, _info: &libc::siginfo_t, frame: &mut Frame) -> Option<Trap> {
        if signal != ENTRY_SIGNAL {
            return None;
        }
        let number = record.number.load(Relaxed);
        Some(match record.compat.load(Relaxed) {
            0 => Trap::Syscall { number, args: native_arguments(frame), abi: SyscallAbi::X64 },
            _ => Trap::Syscall { number, args: compat_arguments(frame), abi: SyscallAbi::I386 },
        })
    }

    fn entering(&self) {
        placement::follow();
    }

    fn busy(&self, cpu: usize, busy: bool) {
        placement::set_busy(cpu, busy);
    }

    fn placement(&self) -> Guest {
        placement::GUEST
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        crate::counters()
    }
}

/// Records by the numbers of their host tasks. Not on the core's heap: whoever is killed may hold
/// its lock.
struct Table(*mut *const Record);

const MAX_PID: usize = 1 << 22;

impl Table {
    fn new() -> Result<Table> {
        let (prot, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
        // SAFETY: new memory; the host fills it as it is touched.
        unsafe {
            let at = libc::mmap(std::ptr::null_mut(), MAX_PID * 8, prot, flags, -1, 0);
            if at == libc::MAP_FAILED {
                return Err(Errno::last());
            }
            libc::madvise(at, MAX_PID * 8, libc::MADV_DONTFORK);
            Ok(Table(at.cast()))
        }
    }

    fn get(&self, pid: i32) -> Option<&'static Record> {
        // SAFETY: the index is within the table; records stay.
        (0..MAX_PID as i32).contains(&pid).then(|| unsafe { (*self.0.add(pid as usize)).as_ref() })?
    }

    fn set(&mut self, pid: i32, record: Option<&'static Record>) {
        if (0..MAX_PID as i32).contains(&pid) {
            let record = record.map_or(std::ptr::null(), std::ptr::from_ref::<Record>);
            // SAFETY: as above.
            unsafe { *self.0.add(pid as usize) = record };
        }
    }
}

struct Tracer {
    records: Table,
}

impl Tracer {
    fn serve(&mut self) {
        loop {
            match Tracee::wait_any() {
                Ok((tracee, status)) => match self.on_event(tracee, status) {
                    // A task that was killed while it was stopped: its end is still to come.
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(e) => refused("cannot trace a guest's host process", e),
                },
                Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return,
                Err(e) => refused("cannot wait for the guest's host processes", e),
            }
        }
    }

    fn on_event(&mut self, tracee: Tracee, status: Status) -> Result<()> {
        match status {
            Status::Exited(_) | Status::Killed(_) => {
                self.records.set(tracee.0, None);
                on_end(tracee.0);
                Ok(())
            }
            Status::Syscall => self.on_stop(tracee, on_syscall),
            Status::Signal(signal) => self.on_stop(tracee, |record, tracee| on_signal(record, tracee, signal)),
        }
    }

    /// A stop is for the record that the task has now, if it is not its first.
    fn on_stop(&mut self, tracee: Tracee, then: impl FnOnce(&Record, Tracee) -> Result<()>) -> Result<()> {
        let pid = tracee.0;
        let Some(mut record) = self.records.get(pid) else { return self.on_birth(tracee) };
        if record.tid.load(SeqCst) != pid {
            // It has ended one task and waits for the next one, or has that.
            let Some(next) = record_of(pid) else { return tracee.resume_with(Resume::Cont, 0) };
            self.records.set(pid, Some(next));
            record = next;
        }
        then(record, tracee)
    }

    /// A new task is on its kernel stack, and stopped by the host before it did anything.
    fn on_birth(&mut self, tracee: Tracee) -> Result<()> {
        count(|c| &c.birth_stops, 1);
        let Some(record) = area::record_at(tracee.regs()?.rsp as usize) else {
            fatal("an unknown process is traced");
        };
        self.records.set(tracee.0, Some(record));
        if record.mode.swap(CORE, SeqCst) == SEED {
            tracee.set_options()?;
        }
        tracee.resume_with(Resume::Cont, 0)
    }
}

fn on_syscall(record: &Record, tracee: Tracee) -> Result<()> {
    match record.mode.load(SeqCst) {
        USER => {
            count(|c| &c.syscall_stops, 1);
            let entry = tracee.syscall_entry()?;
            record.number.store(entry.number, SeqCst);
            record.compat.store(u32::from(entry.compat), SeqCst);
            if SYSEMU.load(Relaxed) {
                return enter_core(record, tracee, ENTRY_SIGNAL);
            }
            // Another call is made in its place; its end is one more stop.
            tracee.set_orig_rax(libc::SYS_getpid as u64)?;
            record.mode.store(CANCELLED, SeqCst);
            tracee.resume_with(Resume::Syscall, 0)
        }
        CANCELLED => {
            count(|c| &c.cancelled_stops, 1);
            enter_core(record, tracee, ENTRY_SIGNAL)
        }
        _ => fatal("a system call was intercepted in the guest kernel"),
    }
}

/// Lets a task go into the core, by a signal.
fn enter_core(record: &Record, tracee: Tracee, signal: i32) -> Result<()> {
    record.mode.store(CORE, SeqCst);
    tracee.resume_with(Resume::Cont, signal)
}

fn on_signal(record: &Record, tracee: Tracee, signal: i32) -> Result<()> {
    let mode = record.mode.load(SeqCst);
    match (mode, signal) {
        (CORE, ENTRY_SIGNAL) => {
            count(|c| &c.entry_stops, 1);
            tracee.resume_with(Resume::Cont, signal)
        }
        // It is blocked in the core, so user code is what comes next.
        (CORE, LEAVE_SIGNAL) => {
            count(|c| &c.leave_stops, 1);
            record.mode.store(USER, SeqCst);
            tracee.resume_with(if SYSEMU.load(Relaxed) { Resume::Sysemu } else { Resume::Syscall }, 0)
        }
        // A fault of the core's own, or its end.
        (CORE, _) if FAULTS.contains(&signal) || signal == libc::SIGABRT => {
            count(|c| &c.other_stops, 1);
            tracee.resume_with(Resume::Cont, signal)
        }
        (USER, _) if FAULTS.contains(&signal) || signal == KICK_SIGNAL => {
            match signal {
                KICK_SIGNAL => count(|c| &c.kick_stops, 1),
                libc::SIGSYS => count(|c| &c.syscall_stops, 1),
                _ => count(|c| &c.fault_stops, 1),
            }
            enter_core(record, tracee, signal)
        }
        // The terminal's signals go to all processes; the guest hears of them through `uml`.
        _ => {
            count(|c| &c.other_stops, 1);
            let how = match mode {
                USER if SYSEMU.load(Relaxed) => Resume::Sysemu,
                USER | CANCELLED => Resume::Syscall,
                _ => Resume::Cont,
            };
            tracee.resume_with(how, 0)
        }
    }
}
