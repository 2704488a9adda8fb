//! The tracing thread: it traces all guest tasks, and is the only one that waits for them.
//!
//! User code runs with its system calls intercepted. At one, the host is made to do nothing, and
//! the task is let go on with a signal, untraced but for signals: the handler is the core. A task
//! that wants to leave the core signals itself, which is blocked there, and makes the sigreturn
//! into user code, which lets the signal through: that is where interception is switched on again.
//! Three stops, then: the call, the signal's delivery, the task's own signal. (As first built, the
//! signal came before the sigreturn, which then was intercepted too and had to be let through: a
//! fourth stop.)

use crate::area::{self, Record};
use crate::context;
use crate::cpu::{self, count};
use crate::entry::{self, ENTRY_SIGNAL, FAULTS, KICK_SIGNAL, LEAVE_SIGNAL};
use crate::placement;
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::*};
use umlab_host::lock::{futex_wait, futex_wake};
use umlab_host::ptrace::{Resume, Status, Tracee};
use umlab_host::{Errno, Result, process, rseq, seccomp, terminal, thread};

/// A thread of `uml`'s own process.
pub const UNTRACED: u32 = 0;
/// Core code runs; nothing is intercepted.
const CORE: u32 = 1;
/// User code runs, system calls are intercepted.
const USER: u32 = 2;
/// The call was changed to another one, which is being carried out (without PTRACE_SYSEMU).
const CANCELLED: u32 = 4;
/// Made by the tracer, and not seen yet.
const SEED: u32 = 6;

/// Whether system calls are intercepted by PTRACE_SYSEMU, or as in 2002 by changing them to getpid.
static SYSEMU: AtomicBool = AtomicBool::new(true);
static STOPPING: AtomicBool = AtomicBool::new(false);
/// The record that the first host task is wanted for; NONE and FAILED otherwise.
static REQUEST: AtomicUsize = AtomicUsize::new(NONE);
/// Counts changes of the request.
static CHANGES: AtomicU32 = AtomicU32::new(0);
const NONE: usize = 0;
const FAILED: usize = 1;
const QUIT: usize = 2;

pub fn use_sysemu(on: bool) {
    SYSEMU.store(on, SeqCst);
}

fn set_request(request: usize) {
    REQUEST.store(request, SeqCst);
    CHANGES.fetch_add(1, SeqCst);
    futex_wake(&CHANGES, i32::MAX as u32);
}

/// Waits until the request is one that `done` wants.
fn await_request(done: impl Fn(usize) -> bool) -> usize {
    loop {
        let changes = CHANGES.load(SeqCst);
        let request = REQUEST.load(SeqCst);
        if done(request) {
            return request;
        }
        futex_wait(&CHANGES, changes, None);
    }
}

/// Has the tracer make the first host task, for this record; all others are clones of it.
pub fn make_first(record: &Record) -> Result<()> {
    set_request(std::ptr::from_ref::<Record>(record) as usize);
    match await_request(|request| request == NONE || request == FAILED) {
        NONE => Ok(()),
        _ => Err(Errno::EAGAIN),
    }
}

/// Ends all guest tasks. The tracer's thread ends with the last of them.
pub fn stop() {
    STOPPING.store(true, SeqCst);
    set_request(QUIT);
    for record in area::all() {
        let tid = record.tid.load(SeqCst);
        if tid > 0 && record.mode.load(SeqCst) != UNTRACED && record.gone.load(SeqCst) == 0 {
            Tracee(tid).kill();
        }
    }
}

/// The tracer's thread.
pub fn main() {
    placement::begin();
    let request = await_request(|request| request > FAILED);
    let Some(record) = area::record_at(request) else { return };
    note_rseq_area();
    record.mode.store(SEED, SeqCst);
    if context::seed(record, first_steps).is_err() {
        return set_request(FAILED);
    }
    set_request(NONE);
    let mut tracer = match Table::new() {
        Ok(records) => Tracer { records },
        Err(e) => refused("the tracer has no memory", e),
    };
    tracer.serve();
}

/// What the first host task does, on its own kernel stack: all others inherit it.
extern "C" fn first_steps(_record: &Record) {
    // Until the tracer has set its options, its end would not be ours.
    // SAFETY: plain numbers. The second line is for a tracer that ended before the first.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        if libc::getppid() != process::main_id() {
            libc::_exit(0);
        }
    }
    unregister_rseq();
    catch_vsyscalls();
    thread::set_name(c"guest");
    // SAFETY: all-zero is a valid stack_t. The one of the tracer's thread is not ours; user code's
    // comes with the first frame.
    unsafe {
        let mut none: libc::stack_t = std::mem::zeroed();
        none.ss_flags = libc::SS_DISABLE;
        libc::sigaltstack(&raw const none, std::ptr::null_mut());
    }
    // SAFETY: no arguments that are looked at. The stop lets the tracer set its options.
    unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0usize, 0usize) };
    entry::install_handlers();
    let own = std::process::id() as i32;
    thread::interrupt(own, own, libc::SIGSTOP);
}

/// The host carries out calls through the vsyscall page without any stop; a filter turns them into
/// SIGSYS. Core code makes none. Where the host takes no filter, those three calls tell a guest the
/// host's time.
fn catch_vsyscalls() {
    // The upper half of the instruction pointer tells that page. All other calls are let through by
    // number, which the host remembers.
    let filter = [
        seccomp::load(seccomp::NUMBER),
        seccomp::skip_if(libc::SYS_gettimeofday as u32, 3, 0),
        seccomp::skip_if(libc::SYS_time as u32, 2, 0),
        seccomp::skip_if(libc::SYS_getcpu as u32, 1, 0),
        seccomp::ALLOW,
        seccomp::load(seccomp::POINTER_HIGH),
        seccomp::skip_if(u32::MAX, 0, 1),
        seccomp::TRAP,
        seccomp::ALLOW,
    ];
    let program = seccomp::program(&filter);
    // SAFETY: a filter that outlives the call.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            &raw const program,
        );
    }
}

/// The C library registered a restartable-sequence area for the tracer's thread. The copy of it
/// here is nobody's.
fn unregister_rseq() {
    let Some((area, lengths)) = RSEQ_AREA.get() else { return };
    for len in lengths {
        // SAFETY: a registration of our own; the host checks it.
        let result = unsafe { libc::syscall(libc::SYS_rseq, *area, *len, rseq::FLAG_UNREGISTER, rseq::SIGNATURE) };
        if result == 0 {
            break;
        }
    }
}

/// Where that area is, and how long it may be.
static RSEQ_AREA: OnceLock<(u64, [u64; 2])> = OnceLock::new();

fn note_rseq_area() {
    if let Some(area) = rseq::area() {
        let _ = RSEQ_AREA.set(area);
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
                // All guest tasks have ended as they should; `on_end` saw to those that did not.
                Err(Errno::ECHILD) => {
                    await_request(|request| request == QUIT);
                    return;
                }
                Err(e) => refused("cannot wait for the guest's host processes", e),
            }
        }
    }

    fn on_event(&mut self, tracee: Tracee, status: Status) -> Result<()> {
        let record = match (self.records.get(tracee.0), status) {
            (Some(record), _) => record,
            (None, Status::Exited(_) | Status::Killed(_)) => {
                match area::all().find(|record| record.tid.load(SeqCst) == tracee.0) {
                    Some(record) => record,
                    None => return Ok(()),
                }
            }
            (None, _) => return self.on_birth(tracee),
        };
        match status {
            Status::Exited(_) | Status::Killed(_) => {
                self.records.set(tracee.0, None);
                on_end(record, tracee.0);
                Ok(())
            }
            Status::Syscall => on_syscall(record, tracee),
            Status::Signal(signal) => on_signal(record, tracee, signal),
        }
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
            count(|c| &c.signals_delivered, 1);
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
            count(|c| &c.signals_delivered, 1);
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

fn on_end(record: &'static Record, pid: i32) {
    // A context that went on in another process has left this one.
    if record.tid.load(SeqCst) != pid {
        return;
    }
    if record.ending.load(SeqCst) != 0 || STOPPING.load(SeqCst) {
        record.gone.store(1, SeqCst);
        return;
    }
    let in_user = matches!(record.mode.load(SeqCst), USER | CANCELLED);
    if !in_user && record.parked.load(SeqCst) == 0 {
        fatal("a host process was killed or crashed while the guest kernel ran in it: the guest ends");
    }
    // The kernel context is whole: its stack lies in shared memory. A new host task goes on there,
    // and finds that user mode is lost.
    record.lost.store(1, SeqCst);
    if in_user {
        record.word.store(1, SeqCst);
    }
    record.mode.store(SEED, SeqCst);
    if context::seed(record, first_steps).is_err() {
        fatal("a host process was killed, and the host gives no other one: the guest ends");
    }
    // Whether it sleeps or not, the guest's process is killed now.
    umlab_model::kernel::get().context_lost();
    for number in 0..cpu::all().len() {
        cpu::kick(number);
    }
}

/// Ends the guest, with all its processes: the host kills them when their tracer ends. Takes no
/// lock and allocates nothing, since what was killed may have held whatever there is.
fn fatal(message: &str) -> ! {
    terminal::restore();
    for part in ["uml: ", message, "\n"] {
        // SAFETY: bytes of a string.
        unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
    }
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(umlab_host::limits::STATUS_OWN) }
}

/// As [`fatal`], for what the host refused.
fn refused(what: &str, e: Errno) -> ! {
    let mut text = [0u8; 160];
    let mut rest = &mut text[..];
    let _ = write!(rest, "{what}: {e}");
    let left = rest.len();
    let len = text.len() - left;
    fatal(std::str::from_utf8(&text[..len]).unwrap_or(what))
}
