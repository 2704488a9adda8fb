//! Guest threads: their user-mode state, which lies in the frame on the kernel stack, and the way
//! into user mode and back.

use crate::context;
use crate::cpu;
use crate::entry::{self, ENTRY_SIGNAL, FAULTS, KICK_SIGNAL};
use crate::frame::{self, Frame, FrameAt};
use crate::placement;
use crate::space;
use std::sync::Arc;
use std::sync::atomic::Ordering::*;
use umlab_host::Result;
use umlab_model::{Access, Fault, HostTime, ModelSpace, Regs, Residence, SyscallAbi, Trap, UserThread, lock};

pub struct TtThread {
    /// The frame of the last trap; none before the thread first ran.
    at: Option<FrameAt>,
    regs: Regs,
    /// `regs` is what the thread has; otherwise the frame is.
    known: bool,
    changed: bool,
    /// The extended state of a thread that never ran; none for the initial one.
    extended: Option<Vec<u8>>,
    timestamps: bool,
}

// SAFETY: the frame lies in the area of the task that owns the thread, and is only reached by it.
unsafe impl Send for TtThread {}

struct Nowhere;

impl Residence for Nowhere {
    /// The host task moves as it is.
    fn evict(&self) {}
}

const PAGE_FAULT: u64 = 14;
const TASK_SIZE: u64 = 0x7fff_ffff_f000;

impl TtThread {
    pub fn new() -> TtThread {
        TtThread { at: None, regs: fresh_regs(), known: true, changed: true, extended: None, timestamps: true }
    }

    fn frame(&mut self) -> Option<&mut Frame> {
        // SAFETY: it stays where it is until user mode is entered from it.
        self.at.map(|at| unsafe { &mut *at.frame })
    }

    /// Puts everything where the way to user mode takes it from.
    fn store(&mut self) -> Result<usize> {
        let record = cpu::record();
        let at = match self.at {
            Some(at) => at,
            None => {
                // SAFETY: our own slot; a thread that never ran has no frame there.
                let mut at = unsafe { FrameAt::first(record.slot()) };
                if let Some(image) = self.extended.take() {
                    at.set_extended_image(&image)?;
                }
                *self.at.insert(at)
            }
        };
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
        Ok(at.frame as usize)
    }

    fn try_run(&mut self, space: &dyn ModelSpace) -> Result<Trap> {
        let task = context::current();
        let record = task.record;
        if record.lost.load(SeqCst) != 0 {
            return Ok(Trap::Lost);
        }
        space::own(space).prepare(task)?;
        let frame = self.store()?;
        let own_cpu = cpu::this();
        record.without_timestamps.store(u32::from(!self.timestamps), Relaxed);
        own_cpu.user.store(record.tid.load(SeqCst), SeqCst);
        if own_cpu.kicks.take() {
            own_cpu.user.store(0, SeqCst);
            return Ok(Trap::Interrupt);
        }
        context::place(record, cpu::current());
        placement::follow();
        lock::without(|| {
            // SAFETY: the frame is complete, and lies where nothing else is written while user code
            // runs but the next frame.
            unsafe { entry::umlab_tt_leave(record, frame) };
            own_cpu.user.store(0, SeqCst);
        });
        if record.lost.load(SeqCst) != 0 {
            return Ok(Trap::Lost);
        }
        self.at = FrameAt::left(record.slot(), record.trap_frame.load(Relaxed) as *mut Frame);
        if self.at.is_none() {
            return Ok(Trap::Lost);
        }
        self.known = false;
        Ok(self.decode(record.trap_signal.load(Relaxed) as i32))
    }

    fn decode(&mut self, signal: i32) -> Trap {
        let record = cpu::record();
        let frame = self.frame().expect("a trap left it");
        if signal == ENTRY_SIGNAL {
            let args = [frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9];
            let compat = record.compat.load(Relaxed) != 0;
            let number = record.number.load(Relaxed);
            if compat {
                let args = [frame.rbx, frame.rcx, frame.rdx, frame.rsi, frame.rdi, frame.rbp];
                return Trap::Syscall { number, args, abi: SyscallAbi::I386 };
            }
            return Trap::Syscall { number, args, abi: SyscallAbi::X64 };
        }
        let info = record.trap_info.load(Relaxed) as *const libc::siginfo_t;
        // SAFETY: the host's, in the frame.
        let (code, addr) = unsafe { ((*info).si_code, (*info).si_addr() as u64) };
        // Signals that somebody on the host sent are not the guest's.
        if signal == KICK_SIGNAL || code <= 0 || !FAULTS.contains(&signal) {
            cpu::this().kicks.take();
            return Trap::Interrupt;
        }
        if signal == libc::SIGSYS {
            // The vsyscall page. The call's number follows its address in siginfo.
            // SAFETY: siginfo_t is 128 bytes; byte 24 is within.
            let number = unsafe { *info.cast::<u8>().add(24).cast::<i32>() };
            let frame = self.frame().expect("a trap left it");
            let args = [frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9];
            return Trap::Syscall { number: number as u64, args, abi: SyscallAbi::Vsyscall };
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
        let mut regs = match self.frame() {
            Some(frame) => frame.regs(),
            None => fresh_regs(),
        };
        regs.fs_base = record.user_fs.load(Relaxed);
        // SAFETY: core code does not use the register, so it is still the guest's.
        unsafe { std::arch::asm!("rdgsbase {}", out(reg) regs.gs_base) };
        self.regs = regs;
        self.known = true;
    }
}

fn fresh_regs() -> Regs {
    // SAFETY: all-zero is a valid register set.
    let mut regs: Regs = unsafe { std::mem::zeroed() };
    regs.cs = u64::from(frame::USER_CS);
    regs.ss = 0x2b;
    regs.eflags = 0x202;
    regs.orig_rax = u64::MAX;
    regs
}

impl UserThread for TtThread {
    fn host_time(&self) -> Option<HostTime> {
        // User code runs on the host thread of the task's context, as the core does.
        let of = std::ptr::from_ref(cpu::record()).addr() as u64;
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
        if let Some(frame) = self.frame() {
            frame.rax = value;
        }
    }

    fn extended_state(&mut self) -> Vec<u8> {
        match &mut self.at {
            Some(at) => at.extended_image(),
            None => self.extended.clone().unwrap_or_else(frame::initial_image),
        }
    }

    fn set_extended_state(&mut self, xsave: &[u8]) -> Result<()> {
        match &mut self.at {
            Some(at) => at.set_extended_image(xsave),
            None => {
                frame::check_image(xsave)?;
                self.extended = Some(xsave.to_vec());
                Ok(())
            }
        }
    }

    fn timestamps(&self) -> bool {
        self.timestamps
    }

    fn set_timestamps(&mut self, on: bool) {
        self.timestamps = on;
    }

    fn reset(&mut self) {
        *self = TtThread { timestamps: self.timestamps, ..TtThread::new() };
    }

    fn duplicate(&mut self) -> Box<dyn UserThread> {
        let regs = *self.regs();
        let extended = Some(self.extended_state());
        Box::new(TtThread { at: None, regs, known: true, changed: true, extended, timestamps: self.timestamps })
    }

    fn residence(&self) -> Arc<dyn Residence> {
        Arc::new(Nowhere)
    }
}

/// Why the model does not work here, if it does not: it reads and writes segment bases by
/// instructions that the host must have allowed.
pub fn probe() -> std::result::Result<(), String> {
    const HWCAP2_FSGSBASE: u64 = 2;
    if umlab_host::auxv::get(libc::AT_HWCAP2) & HWCAP2_FSGSBASE == 0 {
        return Err("the CPU or the host kernel does not have the instruction wrfsbase".into());
    }
    Ok(())
}
