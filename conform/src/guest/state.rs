//! Nothing that user code has in registers is lost or changed by a trap, nor by a switch or a move
//! to another CPU: general registers, flags, segment bases, and the whole extended state.

use crate::guarded::{caught_of, use_signal_stack};
use crate::registers::{ALIGNMENT, IDENTIFICATION, R11, RAX, RCX, RDI, RDX, RSI, RSP, Registers, TRAP_FLAG};
use crate::routines::*;
use crate::tools::*;
use crate::verdict::{Verdict, ensure};
use std::ffi::c_void;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

/// So often each trap is made, with other values each time: what is lost now and then shows.
const TIMES: u64 = 300;

/// Makes a trap again and again. `prepare` sets what it needs, and `expect` says what it changes.
fn each(
    routine: Routine,
    mut prepare: impl FnMut(&mut Registers, u64),
    mut expect: impl FnMut(&mut Registers, &Work),
) -> Verdict {
    let mut machine = Machine::new(false)?;
    for time in 0..TIMES {
        machine.run(time, routine, |registers| prepare(registers, time));
        machine.judge(&mut expect).map_err(|reason| format!("time {time}: {reason}"))?;
    }
    Ok(())
}

/// A system call returns to rcx with the flags of r11.
fn returned(expected: &mut Registers, work: &Work, result: u64) {
    expected.general[RAX] = result;
    expected.general[RCX] = work.exit.load(Relaxed);
    expected.general[R11] = expected.flags;
}

pub fn syscall() -> Verdict {
    let parent = call(libc::SYS_getppid, [0; 4]) as u64;
    each(
        SYSCALL,
        |registers, _| registers.general[RAX] = libc::SYS_getppid as u64,
        |expected, work| returned(expected, work, parent),
    )
}

pub fn sleeping_syscall() -> Verdict {
    let time = libc::timespec { tv_sec: 0, tv_nsec: 20_000 };
    each(
        SYSCALL,
        |registers, _| {
            registers.general[RAX] = libc::SYS_nanosleep as u64;
            registers.general[RDI] = &raw const time as u64;
            registers.general[RSI] = 0;
        },
        |expected, work| returned(expected, work, 0),
    )
}

pub fn int80() -> Verdict {
    const GETPID: u64 = 20;
    crate::traps::int80_result()?;
    let own = u64::from(std::process::id());
    each(
        INT80,
        |registers, _| registers.general[RAX] = GETPID,
        |expected, work| {
            let found = work.after.general[RAX];
            let missing = i64::from(-libc::ENOSYS) as u64;
            expected.general[RAX] = if found == missing { missing } else { own };
        },
    )
}

pub fn demand_fault() -> Verdict {
    let pages = map(TIMES as usize, WRITE, false)? as u64;
    each(STORE, |registers, time| registers.general[RDI] = pages + time * PAGE as u64, |_, _| ())
}

pub fn copy_fault() -> Verdict {
    let pages = map(TIMES as usize, WRITE, false)?;
    // SAFETY: the memory that was just made.
    unsafe { (pages as *mut u8).write_bytes(1, TIMES as usize * PAGE) };
    let sharer = child(|| {
        pause(60_000);
        Ok(())
    })?;
    let verdict =
        each(STORE, |registers, time| registers.general[RDI] = (pages + time as usize * PAGE) as u64, |_, _| ());
    kill(sharer, libc::SIGKILL);
    wait_for(sharer)?;
    verdict
}

/// How the handler of the traps below goes on.
static STEPS_TAKEN: AtomicU64 = AtomicU64::new(0);
static HANDLED: AtomicU64 = AtomicU64::new(0);
/// A page that the handler makes writable, so that the instruction can be done again.
static MEND: AtomicUsize = AtomicUsize::new(0);
/// The handler looks at what it was given, and changes it.
static LOOK: AtomicBool = AtomicBool::new(false);
static SEEN: AtomicUsize = AtomicUsize::new(0);

std::arch::global_asm!(
    // The bases are the program's own values, so nothing here may use thread-local storage.
    ".global conform_on_trap",
    "conform_on_trap:",
    "pushfq",
    "and qword ptr [rsp], -0x40001",
    "popfq",
    "jmp {on_trap}",
    on_trap = sym on_trap,
);

unsafe extern "C" {
    fn conform_on_trap();
}

/// Goes on behind what trapped.
extern "C" fn on_trap(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives both to a handler that was installed with SA_SIGINFO.
    let (info, context) = unsafe { (&*info, &mut *context.cast::<libc::ucontext_t>()) };
    HANDLED.fetch_add(1, Relaxed);
    if LOOK.load(Relaxed) {
        look(context);
    }
    let gregs = &mut context.uc_mcontext.gregs;
    let flags = &mut gregs[libc::REG_EFL as usize];
    match signal {
        libc::SIGTRAP if *flags as u64 & TRAP_FLAG != 0 => {
            if STEPS_TAKEN.fetch_add(1, Relaxed) % 3 == 2 {
                *flags &= !(TRAP_FLAG as i64);
            }
        }
        libc::SIGTRAP | libc::SIGALRM | libc::SIGUSR1 => {}
        libc::SIGSEGV if MEND.load(Relaxed) != 0 => {
            let at = caught_of(signal, info, context).addr & !(PAGE - 1);
            call(libc::SYS_mprotect, [at, PAGE, WRITE as usize, 0]);
        }
        _ => {
            *flags &= !(ALIGNMENT as i64);
            let exit = gregs[libc::REG_RSP as usize] as usize + EXIT;
            // SAFETY: the trap was a routine's, whose stack pointer points to its work.
            gregs[libc::REG_RIP as usize] = unsafe { *(exit as *const i64) };
        }
    }
}

fn handle_traps() {
    use_signal_stack();
    let signals =
        [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGALRM, libc::SIGUSR1];
    signals.into_iter().for_each(|signal| crate::guarded::handle(signal, conform_on_trap));
}

/// As [`each`], with the handler; it must have run so often for each trap, and keeps all registers.
fn each_handled(routine: Routine, handled: u64, prepare: impl FnMut(&mut Registers, u64)) -> Verdict {
    each_changed(routine, handled, prepare, 0)
}

/// The same, but that the handler takes these flags away.
fn each_changed(routine: Routine, handled: u64, prepare: impl FnMut(&mut Registers, u64), taken: u64) -> Verdict {
    handle_traps();
    each(routine, prepare, |expected, _| expected.flags &= !taken)?;
    let found = HANDLED.load(Relaxed);
    ensure!(found == TIMES * handled, "{found} signals instead of {}", TIMES * handled);
    Ok(())
}

pub fn segv() -> Verdict {
    let page = map(1, libc::PROT_NONE, false)? as u64;
    each_handled(STORE, 1, |registers, _| registers.general[RDI] = page)
}

pub fn mended_fault() -> Verdict {
    let pages = map(TIMES as usize, READ, false)?;
    MEND.store(pages, Relaxed);
    each_handled(STORE, 1, |registers, time| registers.general[RDI] = (pages + time as usize * PAGE) as u64)
}

pub fn breakpoint() -> Verdict {
    each_handled(BREAKPOINT, 1, |_, _| ())
}

pub fn step() -> Verdict {
    each_changed(STEPS, 3, |registers, _| registers.flags |= TRAP_FLAG, TRAP_FLAG)
}

pub fn divide() -> Verdict {
    each_handled(DIVIDE, 1, |_, _| ())
}

pub fn undefined() -> Verdict {
    each_handled(UNDEFINED, 1, |_, _| ())
}

pub fn alignment() -> Verdict {
    each_changed(UNALIGNED, 1, |registers, _| registers.flags |= ALIGNMENT, ALIGNMENT)
}

/// The registers as a signal's frame has them, which of these it does, in our order.
const IN_FRAME: [i32; 16] = [
    libc::REG_RAX,
    libc::REG_RBX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_RBP,
    libc::REG_RSP,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];
const RSP_IN_FRAME: usize = libc::REG_RSP as usize;

/// What is added to each general register, and what each byte of the vector registers is combined
/// with.
const ADDED: i64 = 0x0101_0101;
const MASK: u8 = 0xa5;

/// Bytes of an area that may have any value: those of st, xmm, and the upper halves of ymm.
fn is_free(at: usize, parts: u64) -> bool {
    let st = (32..160).contains(&at) && at % 16 < 10;
    st || (160..416).contains(&at) || parts & 4 != 0 && (576..832).contains(&at)
}

/// Copies what a signal's frame holds to `SEEN`, and changes it.
fn look(context: &mut libc::ucontext_t) {
    let seen = SEEN.load(Relaxed) as *mut Registers;
    let gregs = &mut context.uc_mcontext.gregs;
    // SAFETY: `SEEN` is a set of registers of the check's, and the frame holds an image of the size
    // that it tells.
    unsafe {
        for (place, register) in (*seen).general.iter_mut().zip(IN_FRAME) {
            let register = &mut gregs[register as usize];
            *place = *register as u64;
        }
        (*seen).flags = gregs[libc::REG_EFL as usize] as u64;
        for register in IN_FRAME.map(|register| register as usize).into_iter().filter(|&one| one != RSP_IN_FRAME) {
            gregs[register] = gregs[register].wrapping_add(ADDED);
        }
        let image = context.uc_mcontext.fpregs.cast::<u8>();
        /// Where software keeps the size of the image.
        const SIZE: usize = 464 + 16;
        let size = (image.add(SIZE).cast::<u32>().read_unaligned() as usize).min(size_of_val(&(*seen).extended));
        std::ptr::copy_nonoverlapping(image, (&raw mut (*seen).extended).cast::<u8>(), size);
        let parts = crate::registers::parts();
        for at in (0..size).filter(|&at| is_free(at, parts)) {
            *image.add(at) ^= MASK;
        }
    }
}

/// A handler finds the state in its frame, and what it writes there becomes the state.
pub fn signal_frame() -> Verdict {
    handle_traps();
    let mut machine = Machine::new(false)?;
    let mut seen = Box::new(machine.work().before.clone());
    SEEN.store(&raw mut *seen as usize, Relaxed);
    LOOK.store(true, Relaxed);
    let parts = crate::registers::parts();
    for time in 0..TIMES {
        machine.run(time, BREAKPOINT, |_| ());
        let before = machine.work().before.clone();
        // The frame does not have these.
        (seen.fs_base, seen.gs_base, seen.ds, seen.es) = (before.fs_base, before.gs_base, before.ds, before.es);
        if let Some(reason) = seen.difference(&before, parts, false) {
            return Err(format!("time {time}, in the frame: {reason}").into());
        }
        let changed = |expected: &mut Registers, work: &Work| {
            for register in &mut expected.general {
                *register = register.wrapping_add(ADDED as u64);
            }
            expected.general[RSP] = work.before.general[RSP];
            let bytes = expected.extended.0.iter_mut().enumerate().filter(|(at, _)| is_free(*at, parts));
            bytes.for_each(|(_, byte)| *byte ^= MASK);
        };
        machine.judge(changed).map_err(|reason| format!("time {time}, as the handler wrote it: {reason}"))?;
    }
    Ok(())
}

/// The child of a fork, and its parent, go on with what was in the registers.
pub fn fork() -> Verdict {
    let mut machine = Machine::new(false)?;
    for time in 0..40 {
        machine.run(time, SYSCALL, |registers| registers.general[RAX] = libc::SYS_fork as u64);
        let child = machine.work().after.general[RAX];
        let verdict = machine.judge(|expected, work| returned(expected, work, child));
        let verdict = verdict.map_err(|reason| {
            format!("time {time}, {}: {reason}", if child == 0 { "in the child" } else { "in the parent" })
        });
        if child == 0 {
            exit(report(verdict.map_err(Into::into)));
        }
        verdict?;
        ensure!((child as i64) > 0, "fork: error {}", -(child as i64));
        join(child as i32)?;
    }
    Ok(())
}

/// How long code spins that is to be interrupted.
const SPINNING: Duration = Duration::from_millis(80);

/// Lets machines spin, one for each seed, in threads; `meanwhile` has their handles and numbers.
fn spin_in_threads(count: u64, meanwhile: impl FnOnce(&[(Handle, i32)]) -> Verdict) -> Verdict {
    let mut machines = Vec::new();
    for _ in 0..count {
        machines.push(Machine::new(false)?);
    }
    let handles: Vec<Handle> = machines.iter().map(Machine::handle).collect();
    let (tell, told) = std::sync::mpsc::channel();
    let spin = |seed: u64, mut machine: Machine| {
        let _ = tell.send((machine.handle(), own_thread()));
        machine.run(seed, SPIN, |_| ());
        machine.judge(|_, _| ()).map_err(|reason| format!("thread {seed}: {reason}"))?;
        Ok(())
    };
    std::thread::scope(|scope| {
        let start = |(seed, machine)| scope.spawn(move || spin(seed, machine));
        let threads: Vec<_> = (0..).zip(machines).map(start).collect();
        let running: Vec<(Handle, i32)> = told.iter().take(threads.len()).collect();
        while !handles.iter().all(Handle::has_started) {
            pause(1);
        }
        let verdict = meanwhile(&running);
        handles.iter().for_each(Handle::stop);
        let verdicts = threads.into_iter().try_for_each(|thread| verdict_of(thread.join()));
        verdict.and(verdicts)
    })
}

/// More threads than CPUs, which never trap: they are interrupted and switched.
pub fn threads() -> Verdict {
    spin_in_threads(cpus().len() as u64 + 3, |_| {
        pause(SPINNING.as_millis() as u64);
        Ok(())
    })
}

/// The same with processes.
pub fn processes() -> Verdict {
    let mut machines = Vec::new();
    for _ in 0..cpus().len() + 3 {
        machines.push(Machine::new(true)?);
    }
    let handles: Vec<Handle> = machines.iter().map(Machine::handle).collect();
    let mut children = Vec::new();
    for (seed, mut machine) in (0..).zip(machines) {
        children.push(child(move || {
            machine.run(seed, SPIN, |_| ());
            machine.judge(|_, _| ()).map_err(|reason| format!("process {seed}: {reason}"))?;
            Ok(())
        })?);
    }
    while !handles.iter().all(Handle::has_started) {
        pause(1);
    }
    pause(SPINNING.as_millis() as u64);
    handles.iter().for_each(Handle::stop);
    children.into_iter().try_for_each(join)
}

/// Threads that hand the CPU to each other by themselves. Each has its own opinion of what is set
/// in the flags.
fn yield_with(flags: [u64; 2]) -> Verdict {
    let work = |number: u64| -> Verdict {
        let mut machine = Machine::new(false)?;
        for time in 0..TIMES {
            machine.run(number << 32 | time, SYSCALL, |registers| {
                registers.general[RAX] = libc::SYS_sched_yield as u64;
                registers.flags |= flags[number as usize % 2];
            });
            let verdict = machine.judge(|expected, work| returned(expected, work, 0));
            verdict.map_err(|reason| format!("thread {number}, time {time}: {reason}"))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().try_for_each(|thread| verdict_of(thread.join()))
    })
}

pub fn yielding() -> Verdict {
    yield_with([0, 0])
}

/// Apart from the others: this flag means nothing, and debuggers cannot set it.
pub fn identification() -> Verdict {
    yield_with([0, IDENTIFICATION])
}

/// A signal now and then, to code that spins.
pub fn signalled() -> Verdict {
    handle_traps();
    let begin = Instant::now();
    spin_in_threads(1, |running| {
        let (_, thread) = running[0];
        while HANDLED.load(SeqCst) < 50 {
            call(libc::SYS_tgkill, [std::process::id() as usize, thread as usize, libc::SIGUSR1 as usize, 0]);
            pause(1);
            ensure!(begin.elapsed() < Duration::from_secs(10), "of 50 signals {} came", HANDLED.load(SeqCst));
        }
        Ok(())
    })
}

/// A thread that spins is moved from CPU to CPU.
pub fn moves() -> Verdict {
    let cpus = several_cpus()?;
    spin_in_threads(1, |running| {
        let (_, thread) = running[0];
        for time in 0..60 {
            pin(thread, cpus[time % cpus.len()])?;
            pause(1);
        }
        Ok(())
    })
}

/// A thread moves itself, which it sees.
pub fn own_moves() -> Verdict {
    let cpus = several_cpus()?;
    let mut machine = Machine::new(false)?;
    for time in 0..TIMES as usize {
        let cpu = cpus[time % cpus.len()];
        let mut set = [0u64; 16];
        set[cpu / 64] = 1 << (cpu % 64);
        machine.run(time as u64, SYSCALL, |registers| {
            registers.general[RAX] = libc::SYS_sched_setaffinity as u64;
            registers.general[RDI] = 0;
            registers.general[RSI] = size_of_val(&set) as u64;
            registers.general[RDX] = &raw const set as u64;
        });
        machine
            .judge(|expected, work| returned(expected, work, 0))
            .map_err(|reason| format!("time {time}: {reason}"))?;
        let found = current_cpu();
        ensure!(found == cpu, "time {time}: on CPU {found}, after a move to CPU {cpu}");
    }
    Ok(())
}
