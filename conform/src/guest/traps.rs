//! Traps of all kinds arrive, as what Linux makes of them: the right result, or the right signal
//! with the right details.

use crate::guarded::{Caught, Code, guarded, jump, load, store};
use crate::tools::*;
use crate::verdict::{Not, Verdict, ensure, must, skipped};

macro_rules! codes {
    ($($name:ident [$($instruction:literal),*];)*) => {
        $(
            std::arch::global_asm!(
                concat!(".global ", stringify!($name)),
                concat!(stringify!($name), ":"),
                $($instruction,)*
                "ret",
            );
            unsafe extern "C" {
                fn $name(a: usize, b: usize) -> usize;
            }
        )*
    };
}

codes! {
    trap_syscall ["mov rax, rdi", "syscall"];
    trap_int80 ["push rbx", "mov eax, edi", "int 0x80", "pop rbx"];
    // Not known to return, but then to have trapped.
    trap_sysenter ["mov eax, 20", "xor ebp, ebp", "sysenter"];
    trap_vsyscall ["mov rax, rdi", "xor edi, edi", "call rax"];
    trap_breakpoint ["int3"];
    trap_debug [".byte 0xf1"];
    trap_step ["pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "nop"];
    trap_step_over_call ["mov eax, 39", "pushfq", "or qword ptr [rsp], 0x100", "popfq", "syscall", "nop"];
    trap_undefined ["ud2"];
    trap_divide ["xor edx, edx", "mov eax, 1", "xor ecx, ecx", "div ecx"];
    trap_overflow ["mov edx, 1", "xor eax, eax", "mov ecx, 1", "div ecx"];
    trap_alignment ["pushfq", "or qword ptr [rsp], 0x40000", "popfq", "mov eax, [rsp - 15]"];
    trap_halt ["hlt"];
    trap_port ["in al, 0x80"];
    trap_interrupt ["int 0x21"];
    trap_far ["mov rax, [rdi]"];
    trap_stack ["mov rsp, rdi", "push rax"];
    trap_segment ["mov eax, 0x1b3", "mov ds, ax"];
    trap_x87 ["push 0x0340", "fninit", "fldcw [rsp]", "pop rax", "fldz", "fld1", "fdivrp st(1), st", "fwait"];
    trap_sse ["push 0x1d80", "ldmxcsr [rsp]", "pop rax", "xorps xmm0, xmm0", "mov eax, 1", "cvtsi2ss xmm1, eax",
        "divss xmm1, xmm0"];
    trap_rdtsc ["rdtsc"];
    // A call with flags, floating-point state and a stack that nobody expects.
    trap_hostile_call ["push r15", "fninit", "push 0x0340", "fldcw [rsp]", "fldz", "fld1", "fdivrp st(1), st",
        "mov qword ptr [rsp], 0", "ldmxcsr [rsp]", "pop rax", "mov r15, rsp", "mov rax, rsi", "push rdi", "popfq",
        "mov rsp, 0x1234567", "syscall", "mov rsp, r15", "push 0x202", "popfq", "fninit", "push 0x1f80",
        "ldmxcsr [rsp]", "pop rcx", "pop r15"];
    trap_hostile_fault ["push rdi", "popfq", "mov rsp, 0x1234567", "mov byte ptr [rsi], 1"];
}

/// What Linux tells of an exception.
struct Expected {
    signal: i32,
    code: i32,
    /// None where it is the instruction's.
    addr: Option<usize>,
    /// How far behind the code's beginning the next instruction is.
    rip: usize,
    trap: u64,
}

fn judge(name: &str, code: Code, found: Result<usize, Caught>, expected: &Expected) -> Verdict {
    let caught = match found {
        Ok(result) => return Err(format!("{name}: no signal, and the result {result:#x}").into()),
        Err(caught) => caught,
    };
    let rip = code as usize + expected.rip;
    let wanted = Caught {
        signal: expected.signal,
        code: expected.code,
        addr: expected.addr.unwrap_or(rip),
        rip,
        trap: expected.trap,
        error: caught.error,
    };
    ensure!(caught == wanted, "{name}: {caught:x?}, and not {wanted:x?}");
    Ok(())
}

const SI_KERNEL: i32 = 0x80;
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const PAGE_FAULT: u64 = 14;

/// So often each is tried.
const TIMES: usize = 50;

fn exception(name: &str, code: Code, argument: usize, expected: &Expected) -> Verdict {
    (0..TIMES).try_for_each(|_| judge(name, code, guarded(code, argument, 0), expected))
}

pub fn syscall() -> Verdict {
    let own = std::process::id() as usize;
    for _ in 0..1000 {
        let found = guarded(trap_syscall, libc::SYS_getpid as usize, 0);
        ensure!(found == Ok(own), "getpid: {found:x?}, and not {own:#x}");
        let missing = guarded(trap_syscall, 100_000, 0).map(|result| result as i64);
        ensure!(missing == Ok(-i64::from(libc::ENOSYS)), "a call that does not exist: {missing:?}");
    }
    Ok(())
}

/// What `int 0x80` gives for getpid; skips the check where there is no such trap.
pub fn int80_result() -> Result<i64, Not> {
    const GETPID: usize = 20;
    match guarded(trap_int80, GETPID, 0) {
        Ok(result) => Ok(result as i64),
        Err(Caught { signal: libc::SIGSEGV, .. }) => skipped("int 0x80 is no system call here").map(|()| 0),
        Err(caught) => Err(format!("{caught:x?}").into()),
    }
}

/// A kernel without 32-bit calls says so; no other one may answer.
pub fn int80() -> Verdict {
    let own = i64::from(std::process::id());
    for _ in 0..TIMES {
        let found = int80_result()?;
        ensure!(found == own || found == -i64::from(libc::ENOSYS), "getpid by int 0x80: {found}, and not {own}");
    }
    Ok(())
}

/// It ends a process or not; the kernel goes on.
pub fn sysenter() -> Verdict {
    for _ in 0..10 {
        let pid = child(|| {
            // It returns, if ever, to an address of another program's kind.
            let _ = guarded(trap_sysenter, 0, 0);
            Ok(())
        })?;
        let status = wait_for(pid)?;
        let signal = status & 0x7f;
        ensure!(
            [0, libc::SIGSEGV, libc::SIGILL, libc::SIGBUS].contains(&signal),
            "it ended its process with status {status:#x}"
        );
    }
    Ok(())
}

pub fn vsyscall() -> Verdict {
    const TIME: usize = 0xffff_ffff_ff60_0400;
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    if !maps.contains("[vsyscall]") {
        return skipped("there is no vsyscall page");
    }
    for _ in 0..TIMES {
        let now = call(libc::SYS_time, [0; 4]);
        let found = guarded(trap_vsyscall, TIME, 0).map(|time| time as i64);
        ensure!(found.is_ok_and(|time| (now..now + 3).contains(&time)), "time: {found:x?}, and not {now:#x}");
    }
    Ok(())
}

pub fn vdso() -> Verdict {
    // SAFETY: a number.
    if unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } == 0 {
        return skipped("there is no vDSO: reading a clock is a system call");
    }
    for clock in [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME] {
        let by_call = || {
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            call(libc::SYS_clock_gettime, [clock as usize, &raw mut time as usize, 0, 0]);
            (time.tv_sec, time.tv_nsec)
        };
        let by_library = || {
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: a place for the time.
            unsafe { libc::clock_gettime(clock, &raw mut time) };
            (time.tv_sec, time.tv_nsec)
        };
        for _ in 0..1000 {
            let times = [by_call(), by_library(), by_call()];
            ensure!(times.is_sorted(), "clock {clock}: {times:?}, the second by the vDSO");
        }
    }
    Ok(())
}

fn no_access(code: i32, at: usize, found: Result<(), Caught>) -> Verdict {
    let Err(caught) = found else { return Err(format!("no signal at {at:#x}").into()) };
    let right = (caught.signal, caught.code, caught.addr) == (libc::SIGSEGV, code, at);
    ensure!(right && caught.trap == PAGE_FAULT, "at {at:#x}, code {code}: {caught:x?}");
    Ok(())
}

pub fn page_faults() -> Verdict {
    let pages = map(4, READ, false)?;
    let [absent, no_rights, read_only, writable] = [0, 1, 2, 3].map(|page| pages + page * PAGE + 7);
    for _ in 0..TIMES {
        unmap(pages, 1)?;
        protect(pages + PAGE, 1, libc::PROT_NONE)?;
        protect(pages + 3 * PAGE, 1, WRITE)?;
        no_access(SEGV_MAPERR, absent, load(absent).map(drop))?;
        no_access(SEGV_MAPERR, absent, store(absent, 1))?;
        no_access(SEGV_MAPERR, absent, jump(absent).map(drop))?;
        no_access(SEGV_ACCERR, no_rights, load(no_rights).map(drop))?;
        no_access(SEGV_ACCERR, no_rights, store(no_rights, 1))?;
        no_access(SEGV_ACCERR, no_rights, jump(no_rights).map(drop))?;
        ensure!(load(read_only) == Ok(0), "{read_only:#x} cannot be read");
        no_access(SEGV_ACCERR, read_only, store(read_only, 1))?;
        ensure!(store(writable, 1).is_ok(), "{writable:#x} cannot be written");
        no_access(SEGV_ACCERR, writable, jump(writable).map(drop))?;
        map_over(pages, 1, READ)?;
    }
    Ok(())
}

pub fn bus() -> Verdict {
    const BUS_ADRERR: i32 = 2;
    // SAFETY: a name, and numbers.
    let file = unsafe {
        let file = must("memfd_create", libc::memfd_create(c"conform".as_ptr(), 0).into())? as i32;
        must("ftruncate", libc::ftruncate(file, PAGE as i64).into())?;
        file
    };
    let kind = libc::MAP_SHARED;
    // SAFETY: the kernel chooses a free place.
    let at = must("mmap", unsafe { libc::mmap(std::ptr::null_mut(), 2 * PAGE, WRITE, kind, file, 0) } as i64)? as usize;
    for _ in 0..TIMES {
        ensure!(load(at) == Ok(0), "a file's first page cannot be read");
        let beyond = at + PAGE + 9;
        let found = load(beyond);
        let right = matches!(found, Err(c) if (c.signal, c.code, c.addr) == (libc::SIGBUS, BUS_ADRERR, beyond));
        ensure!(right, "beyond a file's end: {found:x?}");
    }
    Ok(())
}

pub fn divide() -> Verdict {
    const FPE_INTDIV: i32 = 1;
    let expected = |rip| Expected { signal: libc::SIGFPE, code: FPE_INTDIV, addr: None, rip, trap: 0 };
    exception("a division by zero", trap_divide, 0, &expected(9))?;
    exception("a quotient too large", trap_overflow, 0, &expected(12))
}

pub fn floating_point() -> Verdict {
    const FPE_FLTDIV: i32 = 3;
    let signal = libc::SIGFPE;
    for (name, code, trap) in [("x87", trap_x87 as Code, 16), ("SSE", trap_sse as Code, 19)] {
        for _ in 0..TIMES {
            let found = guarded(code, 0, 0);
            let right = matches!(found, Err(c) if (c.signal, c.code, c.trap) == (signal, FPE_FLTDIV, trap));
            ensure!(right, "{name}: {found:x?}");
        }
    }
    Ok(())
}

pub fn undefined() -> Verdict {
    const ILL_ILLOPN: i32 = 2;
    let expected = Expected { signal: libc::SIGILL, code: ILL_ILLOPN, addr: None, rip: 0, trap: 6 };
    exception("ud2", trap_undefined, 0, &expected)
}

pub fn breakpoint() -> Verdict {
    let expected = Expected { signal: libc::SIGTRAP, code: SI_KERNEL, addr: Some(0), rip: 1, trap: 3 };
    exception("int3", trap_breakpoint, 0, &expected)?;
    let found = guarded(trap_debug, 0, 0);
    // In some virtual machines it is told of before it is done.
    let at = trap_debug as *const () as usize;
    let right = matches!(found, Err(c) if c.signal == libc::SIGTRAP && (at..at + 2).contains(&c.rip));
    ensure!(right, "int1 at {at:#x}: {found:x?}");
    Ok(())
}

pub fn step() -> Verdict {
    const TRAP_TRACE: i32 = 2;
    let expected = |rip| Expected { signal: libc::SIGTRAP, code: TRAP_TRACE, addr: None, rip, trap: 1 };
    // pushfq, the change of it, popfq, and one more.
    exception("a step", trap_step, 0, &expected(11))?;
    let found = guarded(trap_step_over_call, 0, 0);
    // Processors differ in whether the trap comes before or after the instruction behind it.
    let behind = trap_step_over_call as *const () as usize + 17;
    let there = behind..behind + 2;
    let right = matches!(found, Err(c) if (c.signal, c.code) == (libc::SIGTRAP, TRAP_TRACE) && there.contains(&c.rip));
    ensure!(right, "a step over a system call: {found:x?}, and not at {behind:#x}");
    Ok(())
}

pub fn alignment() -> Verdict {
    const BUS_ADRALN: i32 = 1;
    for _ in 0..TIMES {
        let found = guarded(trap_alignment, 0, 0);
        let right = matches!(found, Err(c) if (c.signal, c.code, c.trap) == (libc::SIGBUS, BUS_ADRALN, 17));
        ensure!(right, "{found:x?}");
    }
    Ok(())
}

pub fn privileged() -> Verdict {
    let expected = Expected { signal: libc::SIGSEGV, code: SI_KERNEL, addr: Some(0), rip: 0, trap: 13 };
    exception("hlt", trap_halt, 0, &expected)?;
    exception("in", trap_port, 0, &expected)?;
    exception("int 0x21", trap_interrupt, 0, &expected)?;
    exception("a selector that is none", trap_segment, 0, &Expected { rip: 5, ..expected })
}

pub fn non_canonical() -> Verdict {
    let at = 0x8765_4321_0000_0000;
    let expected = Expected { signal: libc::SIGSEGV, code: SI_KERNEL, addr: Some(0), rip: 0, trap: 13 };
    exception("a load", trap_far, at, &expected)?;
    let found = guarded(trap_stack, at, 0);
    let right = matches!(found, Err(c) if (c.signal, c.code, c.trap) == (libc::SIGBUS, SI_KERNEL, 12));
    ensure!(right, "a push: {found:x?}");
    // A kernel's own address.
    let found = load(0xffff_ffff_8000_0000);
    ensure!(matches!(found, Err(c) if c.signal == libc::SIGSEGV && c.code == SEGV_MAPERR), "a kernel's: {found:x?}");
    Ok(())
}

pub fn timestamps() -> Verdict {
    const PR_SET_TSC: i32 = 26;
    let set = |value: i32| {
        // SAFETY: numbers.
        must("prctl(PR_SET_TSC)", unsafe { libc::prctl(PR_SET_TSC, value) }.into())
    };
    for _ in 0..10 {
        set(2)?;
        let without = guarded(trap_rdtsc, 0, 0);
        let other = std::thread::spawn(|| guarded(trap_rdtsc, 0, 0)).join();
        set(1)?;
        let with = guarded(trap_rdtsc, 0, 0);
        ensure!(matches!(without, Err(c) if c.signal == libc::SIGSEGV), "rdtsc when it is off: {without:x?}");
        // A thread has the setting of the one that made it.
        ensure!(matches!(other, Ok(Err(c)) if c.signal == libc::SIGSEGV), "in a new thread: {other:x?}");
        ensure!(with.is_ok(), "rdtsc when it is on again: {with:x?}");
    }
    Ok(())
}

/// Flags: none, direction, nested task, alignment, identification, and all of them.
const HOSTILE: [usize; 6] = [0, 1 << 10, 1 << 14, 1 << 18, 1 << 21, 0x24_4cd5];

/// System calls and faults with flags, floating-point state and a stack that nobody expects: the
/// kernel's code must not run with them.
pub fn hostile_state() -> Verdict {
    let own = std::process::id() as usize;
    let page = map(1, WRITE, false)?;
    for flags in HOSTILE {
        for _ in 0..TIMES {
            let found = guarded(trap_hostile_call, flags, libc::SYS_getpid as usize);
            ensure!(found == Ok(own), "a call with flags {flags:#x}: {found:x?}, and not {own:#x}");
            unmap(page, 1)?;
            let found = guarded(trap_hostile_fault, flags, page);
            let right = matches!(found, Err(c) if (c.signal, c.addr) == (libc::SIGSEGV, page));
            ensure!(right, "a fault with flags {flags:#x}: {found:x?}");
            map_over(page, 1, WRITE)?;
        }
    }
    Ok(())
}
