//! The warden: the thread of `uml`'s process that is the parent of all guest tasks, makes the first
//! of them, and learns of their ends.
//!
//! A host task can end when it should not: somebody on the host kills it. If user code ran there,
//! or its context was switched away from, the context is whole, since its stack lies in shared
//! memory: a new host task goes on with it. If core code ran there, the guest ends.

use crate::area::{self, Record};
use crate::{context, cpu, entry, interception, spare};
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::*};
use umlab_host::lock::{SharedLock, futex_wait, futex_wake};
use umlab_host::{Errno, Result, child, process, rseq, seccomp, terminal, thread};

static STOPPING: AtomicBool = AtomicBool::new(false);
/// Held while an ended task's number is given back, and while tasks are killed by their numbers.
static NUMBERS: SharedLock = SharedLock::new();
/// The record that the first host task is wanted for; NONE and FAILED otherwise.
static REQUEST: AtomicUsize = AtomicUsize::new(NONE);
/// Counts changes of the request.
static CHANGES: AtomicU32 = AtomicU32::new(0);
const NONE: usize = 0;
const FAILED: usize = 1;
const QUIT: usize = 2;

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

/// Has the warden make the first host task, for this record; all others are clones of it.
pub fn make_first(record: &Record) -> Result<()> {
    set_request(std::ptr::from_ref::<Record>(record) as usize);
    match await_request(|request| request == NONE || request == FAILED) {
        NONE => Ok(()),
        _ => Err(Errno::EAGAIN),
    }
}

/// Ends all guest tasks. The warden's thread ends with the last of them.
pub fn stop() {
    STOPPING.store(true, SeqCst);
    set_request(QUIT);
    with_numbers(|| {
        for record in area::all() {
            let tid = record.tid.load(SeqCst);
            if tid > 0 && record.own.load(SeqCst) == 0 && record.gone.load(SeqCst) == 0 {
                child::kill(tid);
            }
        }
        spare::numbers().for_each(child::kill);
    });
}

pub fn is_stopping() -> bool {
    STOPPING.load(SeqCst)
}

/// The numbers of tasks that have ended stay theirs meanwhile.
pub fn with_numbers<T>(body: impl FnOnce() -> T) -> T {
    NUMBERS.lock();
    let result = body();
    NUMBERS.unlock();
    result
}

/// The warden's thread.
pub fn main() {
    let request = await_request(|request| request > FAILED);
    let Some(record) = area::record_at(request) else { return };
    note_rseq_area();
    if seed(record).is_err() {
        return set_request(FAILED);
    }
    set_request(NONE);
    interception().watch();
    // All guest tasks have ended as they should; `on_end` saw to those that did not.
    await_request(|request| request == QUIT);
}

fn seed(record: &Record) -> Result<()> {
    interception().before_seed(record);
    context::seed(record, first_steps)
}

/// What the first host task does, on its own kernel stack: all others inherit it, but for what
/// [`Interception::born`](crate::Interception::born) does.
extern "C" fn first_steps(record: &Record) {
    end_with_parent();
    unregister_rseq();
    catch_vsyscalls();
    thread::set_name(c"guest");
    // The one of the warden's thread is not ours.
    entry::no_alternate_stack();
    entry::install_handlers(interception().signals());
    interception().first_steps();
    if let Some(born) = interception().born() {
        born(record);
    }
}

/// Has the calling task killed when the warden's thread ends.
pub fn end_with_parent() {
    // SAFETY: plain numbers. The second line is for a parent that ended before the first.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        if libc::getppid() != process::main_id() {
            libc::_exit(0);
        }
    }
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

/// The C library registered a restartable-sequence area for the warden's thread. The copy of it
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

/// The host task with this number has ended.
pub fn on_end(pid: i32) {
    if spare::on_end(pid) {
        return;
    }
    // None for one whose context went on in another one.
    let Some(record) = record_of(pid) else { return };
    if record.ending.load(SeqCst) != 0 || STOPPING.load(SeqCst) {
        record.gone.store(1, SeqCst);
        return;
    }
    let in_user = record.in_core.load(SeqCst) == 0;
    if !in_user && record.parked.load(SeqCst) == 0 {
        fatal("a host process was killed or crashed while the guest kernel ran in it: the guest ends");
    }
    // The kernel context is whole: its stack lies in shared memory. A new host task goes on there,
    // and finds that user mode is lost.
    record.lost.store(1, SeqCst);
    if in_user {
        record.in_core.store(1, SeqCst);
        record.word.store(1, SeqCst);
    }
    if seed(record).is_err() {
        fatal("a host process was killed, and the host gives no other one: the guest ends");
    }
    // Whether it sleeps or not, the guest's process is killed now.
    umlab_model::kernel::get().context_lost();
    for number in 0..cpu::all().len() {
        cpu::kick(number);
    }
}

/// The record whose host task has this number.
pub fn record_of(pid: i32) -> Option<&'static Record> {
    area::all().find(|record| {
        let alive = record.own.load(SeqCst) == 0 && record.gone.load(SeqCst) == 0;
        alive && record.tid.load(SeqCst) == pid
    })
}

/// Ends the guest, with all its processes: the host kills them when the warden ends. Takes no lock
/// and allocates nothing, since what was killed may have held whatever there is.
pub fn fatal(message: &str) -> ! {
    terminal::restore();
    for part in ["uml: ", message, "\n"] {
        // SAFETY: bytes of a string.
        unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
    }
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(umlab_host::limits::STATUS_OWN) }
}

/// As [`fatal`], for what the host refused.
pub fn refused(what: &str, e: Errno) -> ! {
    let mut text = [0u8; 160];
    let mut rest = &mut text[..];
    let _ = write!(rest, "{what}: {e}");
    let left = rest.len();
    let len = text.len() - left;
    fatal(std::str::from_utf8(&text[..len]).unwrap_or(what))
}
