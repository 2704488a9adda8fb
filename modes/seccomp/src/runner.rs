//! Runners: the threads of stub processes that run user code.
//!
//! While the core works for it, a runner sleeps in a call that the core was notified of and has not
//! answered. That is a call of user code, with the registers in the host's hands; or the report of
//! the stub's handler, with the registers in the signal frame in the runner's slot, where the core
//! reads and writes them. A signal turns the first into the second ([`Runner::settle`]).

use crate::code::{self, Hand, SEGMENTS, Segments};
use crate::cpu::{self, count};
use crate::pace::Way;
use crate::process::{Place, Process};
use crate::thread::State;
use std::collections::BTreeSet;
use std::mem::{ManuallyDrop, offset_of};
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use umlab_abi::signal::SI_KERNEL;
use umlab_abi::ucontext::UContext;
use umlab_host::memory::Window;
use umlab_host::notify::{self, Call, CallId, Listener};
use umlab_host::ptrace::SignalInfo;
use umlab_host::{Errno, Result, seccomp, thread, xstate};
use umlab_model::lock::KCell;
use umlab_model::{Access, Regs};
use umlab_stubs::{SLOT, SLOTS};
use umlab_threads::UserTask;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// A thread that runs user code.
pub struct Runner {
    pub task: UserTask,
    /// Whether `rdtsc` works there.
    pub timestamps: bool,
    /// The number of its slot.
    slot: usize,
    listener: Listed,
    place: Place,
    pub now: KCell<Now>,
}

/// What a runner does.
pub struct Now {
    /// The call in which it sleeps.
    at: At,
    /// It runs user code at this moment.
    pub in_user: bool,
    /// The guest CPU that it was last in user mode for.
    pub cpu: usize,
    /// Whose state it holds.
    pub loaded: Weak<KCell<State>>,
}

/// The call in which a runner sleeps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Of user code. Its answer is the result.
    Call(CallId),
    /// The handler's report. Its answer is the frame to go on from.
    Report(CallId),
    /// As `Report`, but it has posted the report in its slot and looks there for the answer, for a
    /// while: then it makes the call. Only a call proves that it does.
    Posted,
}

/// What a runner has done when the core hears of it.
#[derive(Clone, Copy)]
pub enum Event {
    Call(Call),
    Report(Report),
    /// The process has ended.
    Gone,
}

/// What the stub's handler reports. It may be a forgery, which harms only who made it.
#[derive(Clone, Copy)]
pub struct Report {
    at: At,
    pub info: SignalInfo,
    /// For SIGSYS: it came by the 32-bit interface.
    pub compat: bool,
    /// The address of the frame.
    frame: u64,
    error: u64,
    trap: u64,
}

impl Report {
    fn of(at: At, words: [u64; 6]) -> Report {
        let [what, frame, addr, syscall, error, trap] = words;
        let [signal, code] = [what as i32, (what >> 32) as i32];
        let info = SignalInfo { signal, code, addr, syscall: syscall as i32 };
        Report { at, info, compat: (syscall >> 32) as u32 == seccomp::I386, frame, error, trap }
    }

    /// The access that was refused, if that was it.
    pub fn access(&self) -> Option<Access> {
        const PAGE_FAULT: u64 = 14;
        // Bits of the error code (Intel SDM, volume 3, 4.7).
        const WRITE: u64 = 2;
        const FETCH: u64 = 16;
        if self.info.signal != libc::SIGSEGV || self.trap != PAGE_FAULT {
            return None;
        }
        Some(match self.error {
            error if error & FETCH != 0 => Access::Exec,
            error if error & WRITE != 0 => Access::Write,
            _ => Access::Read,
        })
    }
}

/// Where in a slot the host puts the frame of a signal that comes in user code, and the extended
/// state: always there.
#[derive(Clone, Copy)]
struct Places {
    frame: usize,
    extended: usize,
}

static PLACES: OnceLock<Places> = OnceLock::new();

fn places() -> Places {
    *PLACES.get().expect("there was a first report")
}

impl Runner {
    /// Takes over a runner that the mapper has just made.
    pub fn await_first_report(process: &Process, slot: usize, timestamps: bool) -> Result<Runner> {
        let listener = find_listener(process, slot)?;
        // For speed only.
        let _ = listener.wake_on_same_cpu(true);
        // A thread of the guest that the core does not know of could keep it from reporting.
        if !listener.is_ready_within(FIRST_REPORT) {
            return Err(Errno::ESRCH);
        }
        let receive = || receive(&listener);
        let call = cpu::this().wait(&process.watched, receive)?.ok_or(Errno::ESRCH)?;
        let report = Report::of(At::Report(call.id), call.args);
        let task = UserTask { process: process.watched.pid, thread: call.thread, placed: true };
        let runner = Runner {
            task,
            timestamps,
            slot,
            listener,
            place: Place::here(),
            now: KCell::new(Now { at: report.at, in_user: false, cpu: 0, loaded: Weak::new() }),
        };
        let frame = report.frame.wrapping_sub(runner.base()) as usize;
        if PLACES.get().is_none() {
            // The first runner there is: no guest can have written there.
            let mut word = [0; 8];
            process.slot(slot).slice(frame + offset_of!(UContext, extended), 8).read(&mut word)?;
            let extended = u64::from_ne_bytes(word).wrapping_sub(runner.base()) as usize;
            if frame + size_of::<UContext>() > extended || extended + xstate::image_len() > code::STACK {
                return Err(Errno::EOPNOTSUPP);
            }
            let _ = PLACES.set(Places { frame, extended });
        }
        // The number may have been that of another process's new listener.
        let own = thread::is_of(process.watched.pid, call.thread);
        if call.ip != code::reported() || frame != places().frame || !own {
            return Err(Errno::EIO);
        }
        Ok(runner)
    }

    /// The address of its slot.
    fn base(&self) -> u64 {
        SLOTS + (self.slot * SLOT) as u64
    }

    fn frame<'p>(&self, process: &'p Process) -> Window<'p> {
        process.slot(self.slot).slice(places().frame, size_of::<UContext>())
    }

    /// The segments that belong to a frame of this slot, at such an offset.
    fn segments<'p>(&self, process: &'p Process, frame: usize) -> Window<'p> {
        process.slot(self.slot).slice(frame - SEGMENTS, size_of::<Segments>())
    }

    fn extended<'p>(&self, process: &'p Process) -> Window<'p> {
        process.slot(self.slot).slice(places().extended, xstate::image_len())
    }

    // ---- The state in it: with the registers in the frame ---------------------------------------

    /// Whether it holds no thread's state.
    pub fn is_free(&self) -> bool {
        let now = self.now.borrow();
        !now.in_user && now.loaded.strong_count() == 0
    }

    /// Whether its registers are in its frame.
    pub fn is_settled(&self) -> bool {
        matches!(self.now.borrow().at, At::Report(_) | At::Posted)
    }

    /// Brings the registers into the frame: ends the call of user code with a signal, whose handler
    /// reports. The call's result is zero, until another one is set.
    pub fn settle(&self, process: &Process) -> Result<()> {
        let at = self.now.borrow().at;
        if !matches!(at, At::Call(_)) {
            return Ok(());
        }
        count(|c| &c.settlings, 1);
        thread::interrupt(self.task.process, self.task.thread, libc::SIGALRM);
        match self.go(process, Answer { at, value: 0 }, Way::TOGETHER)? {
            Event::Report(report) => {
                self.now.borrow_mut().at = report.at;
                Ok(())
            }
            Event::Call(_) | Event::Gone => Err(Errno::ESRCH),
        }
    }

    /// The registers, which are in the frame.
    pub fn regs(&self, process: &Process) -> Result<Regs> {
        count(|c| &c.frame_reads, 1);
        let (mut frame, mut segments) = ([0; size_of::<UContext>()], [0; size_of::<Segments>()]);
        self.frame(process).read(&mut frame)?;
        self.segments(process, places().frame).read(&mut segments)?;
        let frame = UContext::read_from_bytes(&frame).map_err(|_| Errno::EIO)?;
        let Segments { fs_base, gs_base, ds, es, fs, gs, .. } =
            Segments::read_from_bytes(&segments).map_err(|_| Errno::EIO)?;
        Ok(Regs { fs_base, gs_base, ds: ds.into(), es: es.into(), fs: fs.into(), gs: gs.into(), ..frame.regs() })
    }

    /// Replaces all registers, which are harmless.
    pub fn set_regs(&self, process: &Process, regs: &Regs) -> Result<()> {
        count(|c| &c.frame_writes, 1);
        let mut frame = UContext::new_zeroed();
        frame.set_regs(regs);
        frame.extended = self.base() + places().extended as u64;
        let [ds, es, fs, gs] = [regs.ds, regs.es, regs.fs, regs.gs].map(|selector| selector as u16);
        let segments = Segments { fs_base: regs.fs_base, gs_base: regs.gs_base, ds, es, fs, gs, changed: 1 };
        self.frame(process).write(frame.as_bytes())?;
        self.segments(process, places().frame).write(segments.as_bytes())?;
        Ok(())
    }

    /// Sets the result register in the frame.
    fn set_rax(&self, process: &Process, value: u64) -> Result<()> {
        self.frame(process).slice(offset_of!(UContext, rax), 8).write(&value.to_ne_bytes())?;
        Ok(())
    }

    /// Makes `image` the extended state.
    pub fn read_extended_state(&self, process: &Process, image: &mut Vec<u8>) -> Result<()> {
        let mut state = std::mem::take(image);
        state.resize(xstate::image_len(), 0);
        self.extended(process).read(&mut state)?;
        xstate::name_features(&mut state);
        *image = state;
        Ok(())
    }

    /// Replaces the extended state; none for the initial one.
    pub fn set_extended_state(&self, process: &Process, image: Option<&[u8]>) -> Result<()> {
        let initial = xstate::initial();
        self.extended(process).write(&initial[..xstate::image_len()])?;
        if let Some(image) = image {
            let (legacy, rest) = image.split_at(image.len().min(xstate::SOFTWARE.start));
            self.extended(process).write(legacy)?;
            let rest = rest.get(xstate::SOFTWARE.len()..).unwrap_or_default();
            self.extended(process).slice(xstate::SOFTWARE.end, rest.len()).write(rest)?;
        }
        Ok(())
    }

    // ---- User code ------------------------------------------------------------------------------

    /// How the runner can be let go on: with this result, if one is to be set.
    pub fn answer(&self, process: &Process, result: Option<u64>) -> Result<Answer> {
        let at = self.now.borrow().at;
        if let At::Call(_) = at {
            // What the host itself gives for a call that it did not carry out.
            return Ok(Answer { at, value: result.unwrap_or(-i64::from(libc::ENOSYS) as u64) });
        }
        if let Some(value) = result {
            self.set_rax(process, value)?;
        }
        Ok(Answer { at, value: self.frame_address() })
    }

    /// Takes note of where it sleeps now.
    pub fn note(&self, event: &Event) {
        let mut now = self.now.borrow_mut();
        match event {
            Event::Call(call) => now.at = At::Call(call.id),
            Event::Report(report) => now.at = report.at,
            Event::Gone => {}
        }
    }

    /// Lets user code run until it is the core's turn. With or without the big lock.
    pub fn go(&self, process: &Process, answer: Answer, way: Way) -> Result<Event> {
        let hand = process.hand(self.slot);
        self.place.put(self.task.thread, way.host_cpu());
        hand.core_sleeps.store(u32::from(way.core_looks == 0), SeqCst);
        match self.give(process, hand, answer)? {
            Given::Yes => {}
            Given::Interrupted(report) => return Ok(Event::Report(report)),
            Given::Gone => return Ok(Event::Gone),
        }
        let report = match self.await_next(process, hand, way)? {
            Next::Report(report) => report,
            Next::Call(call) => return Ok(Event::Call(call)),
            Next::Nothing => return Ok(Event::Gone),
        };
        if report.frame == self.frame_address() {
            return Ok(Event::Report(report));
        }
        self.nested(process, hand, report).map(Event::Report)
    }

    /// What it comes to that a signal was sent to the stub itself. Its frame lies below that of the
    /// signal that the stub works for, and there may be more of them, each below the one that it
    /// interrupted. The thread goes on from the outermost, where its registers are.
    fn nested(&self, process: &Process, hand: &Hand, report: Report) -> Result<Report> {
        let mut answered = hand.answer.swap(0, SeqCst) != 0;
        let (mut at, mut signal) = (report.frame, report.info.signal);
        // The frame below which segments lie that are surely saved.
        let mut saved = at;
        loop {
            let offset = at.wrapping_sub(self.base()) as usize;
            let (frame, _) = self.read_frame(process, offset)?;
            let interrupt = signal == libc::SIGALRM;
            let entering = code::entering().contains(&frame.rip);
            if code::leaving().contains(&frame.rip) || entering && answered {
                // The outermost frame was answered, and nothing of it is lost: it is as if the
                // signal had come before. An exception comes of what was to be restored.
                let exception = SignalInfo { signal: libc::SIGSEGV, code: SI_KERNEL, addr: 0, syscall: 0 };
                return Ok(if interrupt { report } else { Report { info: exception, trap: 0, ..report } });
            }
            // Where the handler has the frame that it works for.
            let outer = if frame.rip == code::entry() { frame.rdx } else { frame.rbx };
            if !entering || !interrupt || outer <= at {
                umlab_model::log_few!(Warn, "a guest thread has its stack among the stub's: it is ended");
                return Err(Errno::EFAULT);
            }
            if !code::saving().contains(&frame.rip) {
                saved = outer;
            }
            if outer == self.frame_address() {
                // Its report has not come yet. The kick is kept.
                self.keep_segments(process, saved)?;
                return self.pending(process, report.at);
            }
            let (_, info) = self.read_frame(process, outer.wrapping_sub(self.base()) as usize)?;
            (at, signal, answered) = (outer, info[0] as i32, false);
        }
    }

    /// The frame at such an offset in the slot, and the first words of its siginfo.
    fn read_frame(&self, process: &Process, offset: usize) -> Result<(UContext, [u64; 4])> {
        const LEN: usize = size_of::<UContext>();
        const INFO: usize = size_of::<[u64; 4]>();
        if !(SEGMENTS..code::STACK - LEN - INFO).contains(&offset) {
            return Err(Errno::EFAULT);
        }
        let mut bytes = [0; LEN + INFO];
        process.slot(self.slot).slice(offset, LEN + INFO).read(&mut bytes)?;
        let (frame, info) = bytes.split_at(LEN);
        let frame = UContext::read_from_bytes(frame).map_err(|_| Errno::EIO)?;
        Ok((frame, <[u64; 4]>::read_from_bytes(info).map_err(|_| Errno::EIO)?))
    }

    /// Makes the segments that are saved below another frame those of the outermost.
    fn keep_segments(&self, process: &Process, of: u64) -> Result<()> {
        let frame = of.wrapping_sub(self.base()) as usize;
        if frame != places().frame {
            let mut segments = [0; size_of::<Segments>()];
            self.segments(process, frame).read(&mut segments)?;
            self.segments(process, places().frame).write(&segments)?;
        }
        Ok(())
    }

    /// The report of the outermost frame, whose handler has not made it yet.
    fn pending(&self, process: &Process, at: At) -> Result<Report> {
        let (frame, info) = self.read_frame(process, places().frame)?;
        // siginfo: the signal and, behind an error number, its code; two words for most kinds.
        let what = info[0] & 0xffff_ffff | info[1] << 32;
        Ok(Report::of(at, [what, self.frame_address(), info[2], info[3], frame.error, frame.trap]))
    }

    /// Gives an answer.
    fn give(&self, process: &Process, hand: &Hand, answer: Answer) -> Result<Given> {
        let id = match answer.at {
            At::Call(id) | At::Report(id) => id,
            At::Posted => {
                hand.answer.store(answer.value, SeqCst);
                if hand.word.compare_exchange(code::POSTED, code::ANSWERED, SeqCst, SeqCst).is_ok() {
                    count(|c| &c.posts, 1);
                    return Ok(Given::Yes);
                }
                // It looks no longer: its call comes, or is there.
                count(|c| &c.late_answers, 1);
                hand.answer.store(0, SeqCst);
                let Some(call) = self.receive(process)? else { return Ok(Given::Gone) };
                let report = Report::of(At::Report(call.id), call.args);
                if call.ip != code::reported() {
                    return Err(Errno::EFAULT);
                }
                if report.frame != self.frame_address() && report.info.signal == libc::SIGALRM {
                    // An interrupt made it stop looking. The answer is in the frame.
                    return Ok(Given::Interrupted(report));
                }
                call.id
            }
        };
        count(|c| &c.notifications, 1);
        hand.word.store(code::RUNNING, SeqCst);
        self.listener.answer(id, Ok(answer.value))?;
        Ok(Given::Yes)
    }

    /// Waits for what the runner does next.
    fn await_next(&self, process: &Process, hand: &Hand, way: Way) -> Result<Next> {
        let posted = || Next::Report(Report::of(At::Posted, hand.report.each_ref().map(|word| word.load(SeqCst))));
        if way.core_looks > 0 {
            for _ in 0..way.core_looks {
                match hand.word.load(SeqCst) {
                    code::POSTED => return Ok(posted()),
                    code::ASLEEP => break,
                    _ => std::hint::spin_loop(),
                }
            }
            // Told first, then looked once more: the runner does it the other way round.
            count(|c| &c.late_reports, 1);
            hand.core_sleeps.store(1, SeqCst);
            if hand.word.load(SeqCst) == code::POSTED {
                return Ok(posted());
            }
        }
        Ok(match self.receive(process)? {
            Some(call) if call.ip == code::reported() => Next::Report(Report::of(At::Report(call.id), call.args)),
            Some(call) => Next::Call(call),
            None => Next::Nothing,
        })
    }

    /// Sleeps until the runner makes a call. None if the process has ended.
    fn receive(&self, process: &Process) -> Result<Option<Call>> {
        cpu::this().wait(&process.watched, || receive(&self.listener))
    }

    /// The address of the frame of a signal that comes in user code.
    fn frame_address(&self) -> u64 {
        self.base() + places().frame as u64
    }
}

/// How a runner is let go on.
#[derive(Clone, Copy)]
pub struct Answer {
    at: At,
    value: u64,
}

impl Answer {
    /// The result that it was to give and that nothing else holds, if it was one.
    pub fn result(&self) -> Option<u64> {
        matches!(self.at, At::Call(_)).then_some(self.value)
    }
}

/// What became of an answer.
enum Given {
    Yes,
    /// It is as if an interrupt had come before user code went on.
    Interrupted(Report),
    /// The process has ended.
    Gone,
}

/// What a runner did.
enum Next {
    Call(Call),
    Report(Report),
    /// The process has ended.
    Nothing,
}

/// Receives a call. EINTR when there was none after all.
fn receive(listener: &Listener) -> Result<Call> {
    match listener.receive() {
        Err(Errno::ENOENT) if listener.is_over() => Err(Errno::ESRCH),
        Err(Errno::ENOENT) => Err(Errno::EINTR),
        result => result,
    }
}

/// The descriptors of all listeners. A number that a slot holds may be a forgery of other threads
/// of the guest: the listener of a new runner is one, and not known yet.
static LISTENERS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// A listener that is in the list as long as it is open.
struct Listed(ManuallyDrop<Listener>);

impl Drop for Listed {
    fn drop(&mut self) {
        let mut listeners = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.remove(&self.0.as_fd().as_raw_fd());
        // SAFETY: it is not used any more.
        unsafe { ManuallyDrop::drop(&mut self.0) };
    }
}

impl Deref for Listed {
    type Target = Listener;

    fn deref(&self) -> &Listener {
        &self.0
    }
}

/// A new runner takes some tens of microseconds; this long on a host that has no time for it.
const FIRST_REPORT: Duration = Duration::from_secs(10);

/// Waits until a new runner has a listener, and takes it over.
fn find_listener(process: &Process, slot: usize) -> Result<Listed> {
    let deadline = Instant::now() + FIRST_REPORT;
    let fd = loop {
        match process.hand(slot).listener.load(SeqCst) {
            0 if process.watched.is_over() || Instant::now() > deadline => return Err(Errno::ESRCH),
            0 => std::thread::yield_now(),
            error if error < 0 => return Err(Errno::from_raw(error.wrapping_neg() as i32)),
            fd => break fd as i32,
        }
    };
    let mut listeners = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: a listener that is not in the list is the new runner's, and nobody's yet.
    let adopted = if listeners.contains(&fd) { Err(Errno::EIO) } else { unsafe { Listener::adopt(fd) } };
    match adopted {
        Ok(listener) => {
            listeners.insert(fd);
            Ok(Listed(ManuallyDrop::new(listener)))
        }
        // The number was forged. The listener is somewhere else, and is closed when the next number
        // is found to be one: by then its process has ended.
        Err(error) => {
            // SAFETY: one that has ended is in no list because nobody took it over.
            unsafe { notify::close_ended_but(&listeners) };
            Err(error)
        }
    }
}
