//! Guest threads: their user-mode state, which lies in the frame on the kernel stack, and the way
//! into user mode and back.

use crate::area::{CallRegs, Record};
use crate::call;
use crate::context;
use crate::cpu;
use crate::entry::{self, FAULTS, KICK_SIGNAL};
use crate::frame::{Frame, FrameAt};
use crate::space;
use crate::{Original, guard, interception};
use std::sync::atomic::Ordering::*;
use umlab_host::{Result, xstate};
use umlab_model::{Access, Fault, HostTime, ModelSpace, Regs, SyscallAbi, Trap, UserThread, lock};

pub struct TaskThread {
    at: At,
    regs: Regs,
    /// `regs` is what the thread has; otherwise the frame is.
    known: bool,
    changed: bool,
    /// The extended state of a thread that never ran; none for the initial one.
    extended: Option<Vec<u8>>,
    timestamps: bool,
}

/// Where a thread's state is.
#[derive(Clone, Copy)]
enum At {
    /// It never ran.
    Nowhere,
    /// In the frame of the last trap.
    Frame(FrameAt),
    /// In the task's record: user code has called the core.
    Record,
}

/// How user mode is entered.
enum Way {
    /// From the frame at this address.
    Frame(usize),
    /// As from a call.
    Call,
}

// SAFETY: the frame lies in the area of the task that owns the thread, and is only reached by it.
unsafe impl Send for TaskThread {}

const PAGE_FAULT: u64 = 14;
const TASK_SIZE: u64 = 0x7fff_ffff_f000;

impl TaskThread {
    pub fn new() -> TaskThread {
        TaskThread {
            at: At::Nowhere,
            regs: Regs::fresh(),
            known: true,
            changed: true,
            extended: None,
            timestamps: true,
        }
    }

    fn frame(&mut self) -> Option<&mut Frame> {
        match self.at {
            // SAFETY: it stays where it is until user mode is entered from it.
            At::Frame(at) => Some(unsafe { &mut *at.frame }),
            _ => None,
        }
    }

    /// Puts all state into a frame, if it is in none.
    fn make_frame(&mut self) -> Result<FrameAt> {
        if let At::Frame(at) = self.at {
            return Ok(at);
        }
        self.fetch();
        let record = cpu::record();
        // SAFETY: our own slot; a thread whose state is in no frame has none there.
        let mut at = unsafe { FrameAt::make(record.slot()) };
        match self.at {
            At::Record => call::read_extended(record, at.extended()),
            _ => {
                if let Some(image) = self.extended.take() {
                    at.set_extended_image(&image)?;
                }
            }
        }
        (self.at, self.changed) = (At::Frame(at), true);
        Ok(at)
    }

    /// Puts everything where the way to user mode takes it from.
    fn store(&mut self) -> Result<Way> {
        let record = cpu::record();
        if matches!(self.at, At::Record) && !self.changed && self.timestamps && call::can_return(record) {
            return Ok(Way::Call);
        }
        let at = self.make_frame()?;
        at.seal();
        if std::mem::take(&mut self.changed) {
            let regs = self.regs;
            let base = |base: u64| if base >= TASK_SIZE { 0 } else { base };
            self.frame().expect("made above").set_regs(&regs);
            record.user_fs.store(base(regs.fs_base), Relaxed);
            // SAFETY: core code does not use the register; the value is one that user code may
            // have.
            unsafe { std::arch::asm!("wrgsbase {}", in(reg) base(regs.gs_base)) };
        }
        Ok(Way::Frame(at.frame as usize))
    }

    fn try_run(&mut self, space: &dyn ModelSpace) -> Result<Trap> {
        let task = context::current();
        let record = task.record;
        if record.lost.load(SeqCst) != 0 {
            return Ok(Trap::Lost);
        }
        space::own(space).prepare(task, matches!(self.at, At::Nowhere))?;
        let way = self.store()?;
        let own_cpu = cpu::this();
        record.without_timestamps.store(u32::from(!self.timestamps), Relaxed);
        record.kicked.store(0, SeqCst);
        own_cpu.user.store(record.tid.load(SeqCst), SeqCst);
        if own_cpu.kicks.take() {
            own_cpu.user.store(0, SeqCst);
            return Ok(Trap::Interrupt);
        }
        context::place(record, cpu::current());
        interception().entering();
        call::name(record, self.timestamps);
        lock::without(|| {
            match way {
                Way::Frame(frame) => {
                    if record.open.load(Relaxed) != 0 {
                        call::close();
                    }
                    if let Some(guard) = guard() {
                        (guard.prepare)(record);
                    }
                    // SAFETY: the frame is complete, and lies where nothing else is written while
                    // user code runs but the next frame.
                    unsafe { entry::umlab_task_leave(record, frame) };
                }
                // SAFETY: the record has the state of user code that has called.
                Way::Call => unsafe { call::leave(record) },
            }
            own_cpu.user.store(0, SeqCst);
        });
        if record.lost.load(SeqCst) != 0 {
            return Ok(Trap::Lost);
        }
        self.known = false;
        if record.called.load(Relaxed) != 0 {
            self.at = At::Record;
            return Ok(called(record));
        }
        cpu::count(|c| &c.signals_delivered, 1);
        let Some(at) = FrameAt::left(record.slot(), record.trap_frame.load(Relaxed) as *mut Frame) else {
            return Ok(Trap::Lost);
        };
        self.at = At::Frame(at);
        let trap = self.decode(record.trap_signal.load(Relaxed) as i32);
        if let Trap::Syscall { abi: SyscallAbi::X64, .. } = trap {
            // SAFETY: as in `frame`.
            interception().trapped(space::own(space), unsafe { &*at.frame });
        }
        Ok(trap)
    }

    fn decode(&mut self, signal: i32) -> Trap {
        let record = cpu::record();
        let frame = self.frame().expect("a trap left it");
        // SAFETY: the host's, which it has put where it puts each: behind the frame.
        let info = unsafe { &*(record.trap_info.load(Relaxed) as *const libc::siginfo_t) };
        if call::put_back(frame) {
            return Trap::Interrupt;
        }
        match interception().original(frame.rip) {
            None => {}
            // Who steps through the program is not told of an instruction that was not executed:
            // the next step goes on.
            Some(Original::First(_)) if signal == libc::SIGTRAP => return Trap::Interrupt,
            Some(Original::First(ip) | Original::Next(ip)) => frame.rip = ip,
            // What happens there does not happen to the program (an alignment check, a step): the
            // call itself traps.
            Some(Original::Call(ip)) => {
                frame.rip = ip;
                return Trap::Interrupt;
            }
        }
        if let Some(call) = interception().call_of(record, signal, info, frame) {
            return call;
        }
        // SAFETY: siginfo_t is plain words.
        let (code, addr) = unsafe { (info.si_code, info.si_addr() as u64) };
        // Signals that somebody on the host sent are not the guest's.
        if signal == KICK_SIGNAL || code <= 0 || !FAULTS.contains(&signal) {
            cpu::this().kicks.take();
            return Trap::Interrupt;
        }
        if signal == libc::SIGSYS {
            // The vsyscall page.
            let frame = self.frame().expect("a trap left it");
            let number = SyscallInfo::of(info).number as u64;
            return Trap::Syscall { number, args: native_arguments(frame), abi: SyscallAbi::Vsyscall };
        }
        const SEGV_ACCERR: i32 = 2;
        if signal == libc::SIGSEGV && frame.trap == PAGE_FAULT {
            let access = match frame.error {
                e if e & 16 != 0 => Access::Exec,
                e if e & 2 != 0 => Access::Write,
                _ => Access::Read,
            };
            return Trap::Fault(Fault { addr, present: code == SEGV_ACCERR, access: Some(access) });
        }
        Trap::Exception { signal, code, addr }
    }

    fn fetch(&mut self) {
        if self.known {
            return;
        }
        let record = cpu::record();
        let mut regs = match self.at {
            // SAFETY: as in `frame`.
            At::Frame(at) => unsafe { (*at.frame).regs() },
            At::Record => regs_of(&record.call),
            At::Nowhere => Regs::fresh(),
        };
        regs.fs_base = record.user_fs.load(Relaxed);
        // SAFETY: core code does not use the register, so it is still the guest's.
        unsafe { std::arch::asm!("rdgsbase {}", out(reg) regs.gs_base) };
        self.regs = regs;
        self.known = true;
    }
}

/// The trap of user code that has called the core, or was kicked when it was about to go on.
fn called(record: &Record) -> Trap {
    if record.trap_signal.load(Relaxed) != 0 {
        cpu::this().kicks.take();
        return Trap::Interrupt;
    }
    cpu::count(|c| &c.calls_direct, 1);
    let call = &record.call;
    let args = [&call.rdi, &call.rsi, &call.rdx, &call.r10, &call.r8, &call.r9].map(|reg| reg.load(Relaxed));
    Trap::Syscall { number: call.rax.load(Relaxed), args, abi: SyscallAbi::X64 }
}

/// All but the segment bases.
fn regs_of(call: &CallRegs) -> Regs {
    let get = |reg: &std::sync::atomic::AtomicU64| reg.load(Relaxed);
    let (rip, eflags) = (get(&call.rip), get(&call.flags));
    Regs {
        rip,
        eflags,
        rcx: rip,
        r11: eflags,
        rsp: get(&call.rsp),
        rax: get(&call.rax),
        rbx: get(&call.rbx),
        rdx: get(&call.rdx),
        rsi: get(&call.rsi),
        rdi: get(&call.rdi),
        rbp: get(&call.rbp),
        r8: get(&call.r8),
        r9: get(&call.r9),
        r10: get(&call.r10),
        r12: get(&call.r12),
        r13: get(&call.r13),
        r14: get(&call.r14),
        r15: get(&call.r15),
        ..Regs::fresh()
    }
}

/// What siginfo has of a call for which the host sends SIGSYS (sigaction(2)).
pub struct SyscallInfo {
    pub code: i32,
    /// Behind the instruction that made it.
    pub address: u64,
    pub number: i32,
    /// An AUDIT_ARCH_ constant.
    pub arch: u32,
}

impl SyscallInfo {
    pub fn of(info: &libc::siginfo_t) -> SyscallInfo {
        // SAFETY: siginfo_t is 128 bytes of plain words, aligned to 8.
        let words = unsafe { &*std::ptr::from_ref(info).cast::<[u32; 32]>() };
        let address = u64::from(words[4]) | u64::from(words[5]) << 32;
        SyscallInfo { code: info.si_code, address, number: words[6] as i32, arch: words[7] }
    }
}

/// A call's arguments, by the interface of x86-64 and by the 32-bit one.
pub fn native_arguments(frame: &Frame) -> [u64; 6] {
    [frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9]
}

pub fn compat_arguments(frame: &Frame) -> [u64; 6] {
    [frame.rbx, frame.rcx, frame.rdx, frame.rsi, frame.rdi, frame.rbp]
}

impl UserThread for TaskThread {
    fn host_time(&self) -> Option<HostTime> {
        // User code runs on the host thread of the task's context, as the core does.
        let of = cpu::record().tid.load(Relaxed) as u64;
        Some(HostTime { of, given: umlab_host::clock::thread_cputime() })
    }

    fn run(&mut self, space: &dyn ModelSpace) -> Trap {
        self.try_run(space).unwrap_or_else(|e| {
            umlab_model::log!(Warn, "a guest's host process cannot go on: {e}");
            Trap::Lost
        })
    }

    fn regs(&mut self) -> &Regs {
        self.fetch();
        &self.regs
    }

    fn regs_mut(&mut self) -> &mut Regs {
        self.fetch();
        self.changed = true;
        &mut self.regs
    }

    fn set_result(&mut self, value: u64) {
        self.regs.rax = value;
        match self.at {
            // SAFETY: as in `frame`.
            At::Frame(at) => unsafe { (*at.frame).rax = value },
            At::Record => cpu::record().call.rax.store(value, Relaxed),
            At::Nowhere => {}
        }
    }

    fn read_extended_state(&mut self, image: &mut Vec<u8>) {
        if matches!(self.at, At::Record) {
            // It is made from what is there, so it cannot fail.
            let _ = self.make_frame();
        }
        match (&mut self.at, &self.extended) {
            (At::Frame(at), _) => at.read_image(image),
            (_, Some(extended)) => image.clone_from(extended),
            (_, None) => xstate::read_initial_image(image),
        }
    }

    fn set_extended_state(&mut self, xsave: &[u8]) -> Result<()> {
        if matches!(self.at, At::Nowhere) {
            xstate::check_image(xsave)?;
            self.extended = Some(xsave.to_vec());
            return Ok(());
        }
        self.make_frame()?.set_extended_image(xsave)
    }

    fn reset_extended_state(&mut self) {
        if matches!(self.at, At::Nowhere) {
            self.extended = None;
        } else if let Ok(mut at) = self.make_frame() {
            at.reset_image();
        }
    }

    fn timestamps(&self) -> bool {
        self.timestamps
    }

    fn set_timestamps(&mut self, on: bool) {
        self.timestamps = on;
    }

    fn reset(&mut self) {
        *self = TaskThread { timestamps: self.timestamps, ..TaskThread::new() };
    }

    fn duplicate(&mut self) -> Box<dyn UserThread> {
        let regs = *self.regs();
        let extended = Some(self.extended_state());
        Box::new(TaskThread {
            at: At::Nowhere,
            regs,
            known: true,
            changed: true,
            extended,
            timestamps: self.timestamps,
        })
    }
}
