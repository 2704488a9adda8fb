//! Traps in the midst of full registers: routines that load every register there is, do one thing,
//! and store every register again.

use crate::registers::{Area, RSP, Registers, parts};
use crate::tools::{PAGE, map};
use crate::verdict::Not;
use std::mem::offset_of;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

/// What a routine works on. The stack pointer points to it while the registers are full, and a
/// stack lies below it.
#[repr(C, align(64))]
pub struct Work {
    pub before: Registers,
    pub after: Registers,
    /// Which parts of the extended state there are.
    parts: u64,
    /// Whether user code may change the bases by itself.
    bases: u64,
    /// Where [`SPIN`] goes on, again and again; at first to itself.
    pub resume: AtomicU64,
    /// The first instruction after what was to be done.
    pub exit: AtomicU64,
    /// [`SPIN`] has begun.
    pub started: AtomicU64,
    /// Always zero.
    zero: u64,
    own_rsp: u64,
    own_fs: u64,
    own_gs: u64,
    own_ds: u64,
    own_es: u64,
    own: Area,
}

/// Where [`Work::exit`] lies, from the stack pointer.
pub const EXIT: usize = offset_of!(Work, exit);

pub type Routine = unsafe extern "C" fn(*mut Work);

macro_rules! routines {
    ($($(#[$doc:meta])* $constant:ident $name:ident [$($instruction:literal),*];)*) => {
        $(
            std::arch::global_asm!(
                concat!(".global ", stringify!($name)),
                concat!(stringify!($name), ":"),
                "push rbx",
                "push rbp",
                "push r12",
                "push r13",
                "push r14",
                "push r15",
                "pushfq",
                "mov [rdi + {own_rsp}], rsp",
                "mov rsp, rdi",
                "mov word ptr [rsp + {own_ds}], ds",
                "mov word ptr [rsp + {own_es}], es",
                "mov qword ptr [rsp + {zero}], 0",
                "mov qword ptr [rsp + {started}], 0",
                "lea rax, [rip + 8f]",
                "mov [rsp + {resume}], rax",
                "lea rax, [rip + 7f]",
                "mov [rsp + {exit}], rax",
                "mov eax, [rsp + {parts}]",
                "xor edx, edx",
                "xsave64 [rsp + {own}]",
                "xrstor64 [rsp + {before} + {extended}]",
                "cmp qword ptr [rsp + {bases}], 0",
                "je 2f",
                "rdfsbase rax",
                "mov [rsp + {own_fs}], rax",
                "rdgsbase rax",
                "mov [rsp + {own_gs}], rax",
                "mov rax, [rsp + {before} + {fs_base}]",
                "wrfsbase rax",
                "mov rax, [rsp + {before} + {gs_base}]",
                "wrgsbase rax",
                "2:",
                "mov ds, word ptr [rsp + {before} + {ds}]",
                "mov es, word ptr [rsp + {before} + {es}]",
                "mov rax, [rsp + {before}]",
                "mov rbx, [rsp + {before} + 8]",
                "mov rcx, [rsp + {before} + 16]",
                "mov rdx, [rsp + {before} + 24]",
                "mov rsi, [rsp + {before} + 32]",
                "mov rdi, [rsp + {before} + 40]",
                "mov rbp, [rsp + {before} + 48]",
                "mov r8, [rsp + {before} + 64]",
                "mov r9, [rsp + {before} + 72]",
                "mov r10, [rsp + {before} + 80]",
                "mov r11, [rsp + {before} + 88]",
                "mov r12, [rsp + {before} + 96]",
                "mov r13, [rsp + {before} + 104]",
                "mov r14, [rsp + {before} + 112]",
                "mov r15, [rsp + {before} + 120]",
                "push qword ptr [rsp + {before} + {flags}]",
                "popfq",
                "8:",
                $($instruction,)*
                "7:",
                "mov [rsp + {after}], rax",
                "mov [rsp + {after} + 8], rbx",
                "mov [rsp + {after} + 16], rcx",
                "mov [rsp + {after} + 24], rdx",
                "mov [rsp + {after} + 32], rsi",
                "mov [rsp + {after} + 40], rdi",
                "mov [rsp + {after} + 48], rbp",
                "mov [rsp + {after} + 56], rsp",
                "mov [rsp + {after} + 64], r8",
                "mov [rsp + {after} + 72], r9",
                "mov [rsp + {after} + 80], r10",
                "mov [rsp + {after} + 88], r11",
                "mov [rsp + {after} + 96], r12",
                "mov [rsp + {after} + 104], r13",
                "mov [rsp + {after} + 112], r14",
                "mov [rsp + {after} + 120], r15",
                "pushfq",
                "pop qword ptr [rsp + {after} + {flags}]",
                "push 0x202",
                "popfq",
                "mov word ptr [rsp + {after} + {ds}], ds",
                "mov word ptr [rsp + {after} + {es}], es",
                "mov ds, word ptr [rsp + {own_ds}]",
                "mov es, word ptr [rsp + {own_es}]",
                "cmp qword ptr [rsp + {bases}], 0",
                "je 2f",
                "rdfsbase rax",
                "mov [rsp + {after} + {fs_base}], rax",
                "rdgsbase rax",
                "mov [rsp + {after} + {gs_base}], rax",
                "mov rax, [rsp + {own_fs}]",
                "wrfsbase rax",
                "mov rax, [rsp + {own_gs}]",
                "wrgsbase rax",
                "2:",
                "mov eax, [rsp + {parts}]",
                "xor edx, edx",
                "xsave64 [rsp + {after} + {extended}]",
                "xrstor64 [rsp + {own}]",
                "mov rsp, [rsp + {own_rsp}]",
                "popfq",
                "pop r15",
                "pop r14",
                "pop r13",
                "pop r12",
                "pop rbp",
                "pop rbx",
                "ret",
                before = const offset_of!(Work, before),
                after = const offset_of!(Work, after),
                flags = const offset_of!(Registers, flags),
                fs_base = const offset_of!(Registers, fs_base),
                gs_base = const offset_of!(Registers, gs_base),
                ds = const offset_of!(Registers, ds),
                es = const offset_of!(Registers, es),
                extended = const offset_of!(Registers, extended),
                parts = const offset_of!(Work, parts),
                bases = const offset_of!(Work, bases),
                zero = const offset_of!(Work, zero),
                started = const offset_of!(Work, started),
                resume = const offset_of!(Work, resume),
                exit = const offset_of!(Work, exit),
                own_rsp = const offset_of!(Work, own_rsp),
                own_fs = const offset_of!(Work, own_fs),
                own_gs = const offset_of!(Work, own_gs),
                own_ds = const offset_of!(Work, own_ds),
                own_es = const offset_of!(Work, own_es),
                own = const offset_of!(Work, own),
            );
            unsafe extern "C" {
                fn $name(work: *mut Work);
            }
            $(#[$doc])*
            pub const $constant: Routine = $name;
        )*
    };
}

routines! {
    /// No trap at all.
    NOTHING conform_nothing [];
    SYSCALL conform_syscall ["syscall"];
    INT80 conform_int80 ["int 0x80"];
    /// Writes to where rdi points.
    STORE conform_store_rdi ["mov byte ptr [rdi], 0x5a"];
    BREAKPOINT conform_breakpoint ["int3"];
    /// Instructions to step through.
    STEPS conform_steps ["nop", "nop", "nop", "nop"];
    UNDEFINED conform_undefined ["ud2"];
    /// Divides by the zero in [`Work`].
    DIVIDE conform_divide ["div dword ptr [rsp + {zero}]"];
    /// Writes where it is not aligned.
    UNALIGNED conform_unaligned ["mov dword ptr [rsp - 15], eax"];
    /// Goes round until [`Work::resume`] says otherwise.
    SPIN conform_spin ["mov qword ptr [rsp + {started}], 1", "jmp qword ptr [rsp + {resume}]"];
}

/// A stack with a [`Work`] above it.
pub struct Machine {
    work: *mut Work,
    /// The processor keeps the x87's pointers, whatever happens.
    pointers: bool,
}

/// What lies below the work: room for whatever a signal leaves there.
const STACK: usize = 64 << 10;

// SAFETY: the memory belongs to the machine alone, and has no thread.
unsafe impl Send for Machine {}

impl Machine {
    /// In memory of this process, or shared with its children.
    pub fn new(shared: bool) -> Result<Machine, Not> {
        let size = STACK + size_of::<Work>();
        let block = map(size.div_ceil(PAGE), crate::tools::WRITE, shared)?;
        let mut machine = Machine { work: (block + STACK) as *mut Work, pointers: false };
        if parts() & 3 != 3 {
            return Err(Not::Skipped("the processor has no XSAVE, or the kernel does not use it".into()));
        }
        /// Of AT_HWCAP2: user code may use the instructions for the bases.
        const FSGSBASE: u64 = 2;
        // SAFETY: a number; and the memory is there, all zero, and nobody else's.
        unsafe {
            (*machine.work).bases = libc::getauxval(libc::AT_HWCAP2) & FSGSBASE;
            (*machine.work).parts = parts();
        }
        let work = machine.run(1, NOTHING, |_| ());
        machine.pointers = work.after.difference(&work.before, parts(), true).is_none();
        Ok(machine)
    }

    pub fn work(&mut self) -> &mut Work {
        // SAFETY: the memory is there as long as the process.
        unsafe { &mut *self.work }
    }

    /// For another thread, while this one runs.
    pub fn handle(&self) -> Handle {
        Handle(self.work)
    }

    /// Fills the registers by a seed and what `prepare` changes, and lets the routine run.
    pub fn run(&mut self, seed: u64, routine: Routine, prepare: impl FnOnce(&mut Registers)) -> &mut Work {
        let at = self.work;
        let work = self.work();
        work.before.fill(seed, work.parts);
        prepare(&mut work.before);
        work.before.general[RSP] = at as u64;
        if work.bases == 0 {
            (work.before.fs_base, work.before.gs_base) = (0, 0);
        }
        // The header of the image.
        work.after.extended.0[512..576].fill(0);
        // SAFETY: the routine gets the stack and the memory that it wants, and puts back all of
        // what this code has in registers. What it is to do, and what it finds in the registers
        // then, is the caller's choice.
        unsafe { routine(at) };
        self.work()
    }

    /// Whether all is as it was before, but for what `expect` changes.
    pub fn judge(&mut self, expect: impl FnOnce(&mut Registers, &Work)) -> Result<(), String> {
        let pointers = self.pointers;
        let work = self.work();
        let mut expected = work.before.clone();
        expect(&mut expected, work);
        let difference = work.after.difference(&expected, work.parts, pointers);
        difference.map_or(Ok(()), Err)
    }
}

/// What other threads and processes may have of a machine that runs.
#[derive(Clone, Copy)]
pub struct Handle(*mut Work);

// SAFETY: only the atomics are touched by it.
unsafe impl Send for Handle {}

impl Handle {
    fn atomics(&self) -> (&AtomicU64, &AtomicU64, &AtomicU64) {
        // SAFETY: the memory is there as long as the process.
        unsafe { (&(*self.0).resume, &(*self.0).exit, &(*self.0).started) }
    }

    pub fn has_started(&self) -> bool {
        self.atomics().2.load(SeqCst) == 1
    }

    /// Lets [`SPIN`] end.
    pub fn stop(&self) {
        let (resume, exit, _) = self.atomics();
        resume.store(exit.load(SeqCst), SeqCst);
    }
}
